"""The softmax of quantized arrays, in C."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array, as_bytes, byte_type
from quantlib._arguments.prepared import Prepared, own_arguments
from quantlib._arguments.softmax import Softmax, softmax_axis, softmax_parameters
from quantlib.ops._remembered import Remembered, key_of
from quantlib.ops._results import contiguous, room, settle
from quantlib.params import as_index

_PARAMETERS: Remembered[Softmax] = Remembered()


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
    data = as_bytes(x, "x")
    parameters = x_scale, x_zero_point, y_scale, y_zero_point
    values = key_of(*parameters)
    key = None if values is None else (data.dtype, values)
    by = _PARAMETERS.get(key)
    if by is None:
        by = softmax_parameters(data.dtype, *parameters)
        _PARAMETERS.keep(key, by)
    return _softmax(data, by, axis, out)


class QLinearSoftmax(Prepared):
    def __init__(
        self,
        *,
        x_scale: npt.ArrayLike,
        x_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike,
        y_zero_point: npt.ArrayLike | None = None,
        axis: int = -1,
    ) -> None:
        self._given = own_arguments(
            x_scale=x_scale, x_zero_point=x_zero_point, y_scale=y_scale, y_zero_point=y_zero_point
        )
        self._axis = as_index(axis, "axis")
        self._by: dict[np.dtype[Any], Softmax] = {}
        self._for(byte_type(x_zero_point, "x_zero_point"))

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        data = as_bytes(x, "x")
        return _softmax(data, self._by.get(data.dtype) or self._for(data.dtype), self._axis, out)

    def _for(self, dtype: np.dtype[Any]) -> Softmax:
        """The parameters for codes of this type, kept."""
        by = self._by[dtype] = softmax_parameters(dtype, **self._given)
        return by

    def _arguments(self) -> dict[str, Any]:
        return {**self._given, "axis": self._axis}


def _softmax(x: Array, by: Softmax, axis: int, out: Any) -> Array:
    index, last = softmax_axis(x, axis), x.ndim - 1
    if index == last:
        data = contiguous(x)
        y = room(out, data.shape, by.target.dtype, data)
        _native.softmax(data, by, y)
        return settle(y, out)
    data = np.ascontiguousarray(np.moveaxis(x, index, last))
    rows = np.empty(data.shape, by.target.dtype)
    _native.softmax(data, by, rows)
    y = room(out, x.shape, by.target.dtype)
    y[...] = np.moveaxis(rows, last, index)
    return settle(y, out)
