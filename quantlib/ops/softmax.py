"""The softmax of quantized arrays, in C."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array
from quantlib._arguments.softmax import exponentials, softmax_arguments
from quantlib.ops._results import room, settle


def qlinear_softmax(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    axis: int = -1,
    out: Array | None = None,
) -> Array:
    source, target, index = softmax_arguments(
        (x, x_scale, x_zero_point), y_scale, y_zero_point, axis
    )
    table, last = exponentials(source.scale), source.data.ndim - 1
    if index == last:
        data = _native.ready(source.data, source.data.dtype)
        y = room(out, data.shape, target.dtype, data)
        _native.softmax(data, table, target, y)
        return settle(y, out)
    data = np.ascontiguousarray(np.moveaxis(source.data, index, last))
    rows = np.empty(data.shape, target.dtype)
    _native.softmax(data, table, target, rows)
    y = room(out, source.data.shape, target.dtype)
    y[...] = np.moveaxis(rows, last, index)
    return settle(y, out)
