"""Resizing of codes, in C."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array, as_bytes
from quantlib._arguments.resize import resize_shape
from quantlib.ops._remembered import Remembered, key_of
from quantlib.ops._results import contiguous, room, settle

_PLANS: Remembered[tuple[tuple[int, ...], _native.Resizing]] = Remembered(most=16)


def resize(
    x: npt.ArrayLike,
    *,
    scales: npt.ArrayLike | None = None,
    sizes: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    out: Array | None = None,
) -> Array:
    data = as_bytes(x, "x")
    values = key_of(scales, sizes, axes, mode, coordinate_transformation_mode, nearest_mode)
    key = None if values is None else (data.shape, data.dtype, values)
    plan = _PLANS.get(key)
    if plan is None:
        shape = resize_shape(
            data.shape,
            scales=scales,
            sizes=sizes,
            axes=axes,
            mode=mode,
            coordinate_transformation_mode=coordinate_transformation_mode,
            nearest_mode=nearest_mode,
        )
        plan = shape.result, _native.Resizing(shape, data.dtype)
        _PLANS.keep(key, plan)
    result, resizing = plan
    codes = contiguous(data)
    y = room(out, result, data.dtype, codes)
    resizing.run(codes, y)
    return settle(y, out)
