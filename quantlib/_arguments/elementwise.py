"""The arguments of sums and products of quantized arrays, element by element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlib._arguments.arrays import Array, byte_type
from quantlib._arguments.quantized import (
    Target,
    as_target,
    as_tensor_scale,
    as_tensor_zero_point,
    ratio,
)


@dataclass(frozen=True, slots=True)
class Blend:
    """The zero points of two operands, and what a step of each (or of their product) is worth in
    steps of the result."""

    a_zero_point: int
    b_zero_point: int
    factors: tuple[np.float32, ...]
    target: Target


def add_blend(
    a_type: np.dtype[Any],
    b_type: np.dtype[Any],
    a_scale: Any,
    a_zero_point: Any,
    b_scale: Any,
    b_zero_point: Any,
    y_scale: Any,
    y_zero_point: Any,
    activation: Any,
) -> Blend:
    """The checked parameters of ``qlinear_add``, for operands of these types."""
    left = as_tensor_scale(a_scale, "a_scale")
    right = as_tensor_scale(b_scale, "b_scale")
    target = as_target(y_scale, y_zero_point, a_type, activation)
    factors = (
        ratio(left, target.scale, "a_scale / y_scale"),
        ratio(right, target.scale, "b_scale / y_scale"),
    )
    return Blend(*_zero_points(a_type, a_zero_point, b_type, b_zero_point), factors, target)


def mul_blend(
    a_type: np.dtype[Any],
    b_type: np.dtype[Any],
    a_scale: Any,
    a_zero_point: Any,
    b_scale: Any,
    b_zero_point: Any,
    y_scale: Any,
    y_zero_point: Any,
    activation: Any,
) -> Blend:
    """The checked parameters of ``qlinear_mul``, for operands of these types."""
    left = as_tensor_scale(a_scale, "a_scale")
    right = as_tensor_scale(b_scale, "b_scale")
    target = as_target(y_scale, y_zero_point, a_type, activation)
    with np.errstate(over="ignore", under="ignore"):
        worth = left * right
    factor = ratio(worth, target.scale, "a_scale * b_scale / y_scale")
    return Blend(*_zero_points(a_type, a_zero_point, b_type, b_zero_point), (factor,), target)


def _zero_points(
    a_type: np.dtype[Any], a_zero_point: Any, b_type: np.dtype[Any], b_zero_point: Any
) -> tuple[int, int]:
    return (
        as_tensor_zero_point(a_zero_point, "a_zero_point", a_type, "a"),
        as_tensor_zero_point(b_zero_point, "b_zero_point", b_type, "b"),
    )


def blended_shape(a: Array, b: Array) -> tuple[int, ...]:
    """The shape that the operands broadcast to."""
    try:
        return np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise ValueError(f"a has shape {a.shape} and b {b.shape}: they do not broadcast") from None


def no_operands(parameters: dict[str, Any]) -> tuple[Array, Array]:
    """Operands without elements, of types that the zero points allow: sums of them check the other
    arguments."""
    a_type, b_type = operand_types(parameters)
    return np.empty(0, a_type), np.empty(0, b_type)


def operand_types(parameters: dict[str, Any]) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Types that operands with these zero points can have."""
    return (
        byte_type(parameters["a_zero_point"], "a_zero_point"),
        byte_type(parameters["b_zero_point"], "b_zero_point"),
    )
