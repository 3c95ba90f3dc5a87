"""The arguments of sums and products of quantized arrays, element by element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlib._arguments.quantized import Source, Target, as_source, as_target, ratio


@dataclass(frozen=True, slots=True)
class Blend:
    """Two operands, what a step of each (or of their product) is worth in steps of the result."""

    a: Source
    b: Source
    factors: tuple[np.float32, ...]
    target: Target
    shape: tuple[int, ...]


def add_arguments(a: tuple[Any, ...], b: tuple[Any, ...], y: tuple[Any, ...]) -> Blend:
    """The checked arguments of ``qlinear_add``."""
    left, right, target, shape = _operands(a, b, y)
    factors = (
        ratio(left.scale, target.scale, "a_scale / y_scale"),
        ratio(right.scale, target.scale, "b_scale / y_scale"),
    )
    return Blend(left, right, factors, target, shape)


def mul_arguments(a: tuple[Any, ...], b: tuple[Any, ...], y: tuple[Any, ...]) -> Blend:
    """The checked arguments of ``qlinear_mul``."""
    left, right, target, shape = _operands(a, b, y)
    with np.errstate(over="ignore", under="ignore"):
        worth = left.scale * right.scale
    factor = ratio(worth, target.scale, "a_scale * b_scale / y_scale")
    return Blend(left, right, (factor,), target, shape)


def _operands(
    a: tuple[Any, ...], b: tuple[Any, ...], y: tuple[Any, ...]
) -> tuple[Source, Source, Target, tuple[int, ...]]:
    """Both operands, the result's codes, and the shape that the operands broadcast to."""
    left, right = as_source("a", *a), as_source("b", *b)
    y_scale, y_zero_point, activation = y
    target = as_target(y_scale, y_zero_point, left.data.dtype, activation)
    if left.data.shape == right.data.shape:
        return left, right, target, left.data.shape
    try:
        shape = np.broadcast_shapes(left.data.shape, right.data.shape)
    except ValueError:
        raise ValueError(
            f"a has shape {left.data.shape} and b {right.data.shape}: they do not broadcast"
        ) from None
    return left, right, target, shape
