"""Resizing of codes, in C."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array
from quantlib._arguments.resize import resize_arguments
from quantlib.ops._results import room, settle


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
    data, shape = resize_arguments(
        x, scales, sizes, axes, mode, coordinate_transformation_mode, nearest_mode
    )
    codes = _native.ready(data, data.dtype)
    y = room(out, shape.result, data.dtype, codes)
    _native.resize(codes, shape, y)
    return settle(y, out)
