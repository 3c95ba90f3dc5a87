"""Joining and padding quantized arrays, in C."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array
from quantlib._arguments.concat import concat_arguments, conversion, pad_arguments
from quantlib.ops._results import room, settle


def qlinear_concat(
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    inputs: Sequence[tuple[Any, Any, Any]],
    *,
    axis: int,
    out: Array | None = None,
) -> Array:
    sources, target, index, shape = concat_arguments(y_scale, y_zero_point, inputs, axis)
    y = room(out, shape, target.dtype, *(source.data for source in sources))
    rows = prod(shape[:index])
    columns = y.reshape(rows, prod(shape[index:]))
    first = 0
    for source in sources:
        data = _native.ready(source.data, source.data.dtype)
        last = first + prod(data.shape[index:])
        table = conversion(source, target)
        if table is None:
            columns[:, first:last] = data.reshape(rows, last - first)
        else:
            _native.look_up(data, table, columns[:, first:last], rows)
        first = last
    return settle(y, out)


def pad(
    x: npt.ArrayLike,
    pads: Sequence[int],
    x_zero_point: npt.ArrayLike | None = None,
    *,
    axes: Sequence[int] | None = None,
    out: Array | None = None,
) -> Array:
    data, padding = pad_arguments(x, pads, x_zero_point, axes)
    y = room(out, padding.shape, data.dtype, data)
    y.fill(padding.code)
    y[padding.place] = data[padding.kept]
    return settle(y, out)
