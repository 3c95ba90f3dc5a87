"""Functions of one code at a time, by tables, in C."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments import lookup as tables
from quantlib._arguments.arrays import Array, as_bytes, byte_type
from quantlib._arguments.lookup import (
    Conversion,
    Function,
    FunctionOrValues,
    all_values,
    conversion_of,
    kept_table,
    lookup_arguments,
    table_of,
)
from quantlib._arguments.prepared import Prepared, own_arguments
from quantlib.ops._results import room, settle


def qlinear_lookup(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    function: Function,
    *,
    out: Array | None = None,
) -> Array:
    data, conversion = lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point)
    table = table_of(function, conversion)
    return _look_up(data, table, out)


class QLinearLookup(Prepared):
    def __init__(
        self,
        function: FunctionOrValues,
        *,
        x_scale: npt.ArrayLike,
        x_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike,
        y_zero_point: npt.ArrayLike | None = None,
    ) -> None:
        self._function = function.copy() if isinstance(function, np.ndarray) else function
        self._given = own_arguments(
            x_scale=x_scale, x_zero_point=x_zero_point, y_scale=y_scale, y_zero_point=y_zero_point
        )
        dtype = byte_type(x_zero_point, "x_zero_point")
        table_of(function, conversion_of(dtype, **self._given))  # checks the arguments
        self._tables: dict[Any, Array] = {}

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        data = as_bytes(x, "x")
        table = self._tables.get(data.dtype)
        if table is None:
            table = table_of(self._function, conversion_of(data.dtype, **self._given))
            self._tables[data.dtype] = table
        return _look_up(data, table, out)

    def _arguments(self) -> dict[str, Any]:
        return {"function": all_values(self._function, self._given), **self._given}


def qlinear_relu(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    out: Array | None = None,
) -> Array:
    call = lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point)
    return _named(tables.relu, call, out)


def qlinear_leaky_relu(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    alpha: float = 0.01,
    out: Array | None = None,
) -> Array:
    call = lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point)
    return _named(tables.leaky_relu(tables.as_alpha(alpha)), call, out)


def qlinear_clip(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    min: npt.ArrayLike | None = None,
    max: npt.ArrayLike | None = None,
    out: Array | None = None,
) -> Array:
    call = lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point)
    return _named(tables.clipped(*tables.as_bounds(min, max)), call, out)


def qlinear_sigmoid(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    out: Array | None = None,
) -> Array:
    call = lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point)
    return _named(tables.sigmoid, call, out)


def qlinear_tanh(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    out: Array | None = None,
) -> Array:
    call = lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point)
    return _named(tables.tanh, call, out)


def qlinear_gelu(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    approximate: str = "none",
    out: Array | None = None,
) -> Array:
    call = lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point)
    return _named(tables.as_gelu(approximate), call, out)


def _named(function: Function, call: tuple[Array, Conversion], out: Any) -> Array:
    """A function that is the same object in every call, so that its table can be kept."""
    data, conversion = call
    return _look_up(data, kept_table(function, conversion), out)


def _look_up(x: Array, table: Array, out: Any) -> Array:
    data = _native.ready(x, x.dtype)
    y = room(out, x.shape, table.dtype, data)
    _native.look_up(data, table, y, 1)
    return settle(y, out)
