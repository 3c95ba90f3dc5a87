"""Sums and products of quantized arrays, element by element, in C."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array
from quantlib._arguments.elementwise import Blend, add_arguments, mul_arguments
from quantlib._arguments.output import Activation
from quantlib.ops._results import room, settle


def qlinear_add(
    a: npt.ArrayLike,
    a_scale: npt.ArrayLike,
    a_zero_point: npt.ArrayLike | None,
    b: npt.ArrayLike,
    b_scale: npt.ArrayLike,
    b_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    return _blend(
        add_arguments(
            (a, a_scale, a_zero_point),
            (b, b_scale, b_zero_point),
            (y_scale, y_zero_point, activation),
        ),
        out,
    )


def qlinear_mul(
    a: npt.ArrayLike,
    a_scale: npt.ArrayLike,
    a_zero_point: npt.ArrayLike | None,
    b: npt.ArrayLike,
    b_scale: npt.ArrayLike,
    b_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    return _blend(
        mul_arguments(
            (a, a_scale, a_zero_point),
            (b, b_scale, b_zero_point),
            (y_scale, y_zero_point, activation),
        ),
        out,
    )


def _blend(call: Blend, out: Any) -> Array:
    a, b = call.a.data, call.b.data
    left, right = _native.ready(a, a.dtype), _native.ready(b, b.dtype)
    y = room(out, call.shape, call.target.dtype, left, right)
    _native.blend(
        (left, call.a.zero_point),
        (right, call.b.zero_point),
        call.factors,
        call.target,
        y,
        _walk(left, right, call.shape),
    )
    return settle(y, out)


def _walk(a: Array, b: Array, shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Extent, and steps of `a` and `b`, of each axis of the result; neighbours that both operands
    step through evenly are one axis. A step is 0 where an operand is repeated."""
    if a.shape == b.shape:
        return [(a.size, 1, 1)]
    axes: list[tuple[int, int, int]] = []
    for extent, left, right in zip(
        shape, _steps(a, len(shape)), _steps(b, len(shape)), strict=True
    ):
        if extent == 1:
            continue
        if axes and axes[-1][1:] == (left * extent, right * extent):
            axes[-1] = (axes[-1][0] * extent, left, right)
        else:
            axes.append((extent, left, right))
    return axes or [(1, 1, 1)]


def _steps(x: Array, rank: int) -> list[int]:
    steps = [0 if extent == 1 else step for extent, step in zip(x.shape, x.strides, strict=True)]
    return [0] * (rank - x.ndim) + steps
