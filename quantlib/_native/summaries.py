"""What calibration needs to know of data."""

from __future__ import annotations

import numpy as np

from quantlib._arguments.arrays import Array
from quantlib._arguments.summary import Summary
from quantlib._native.library import TYPES, check, ffi, lib, pointer_to

_SUMMARY_TYPES = {
    name: ffi.typeof(ctype + "[]")
    for ctype, names in {
        "int64_t": ("counts", "zeros", "nonfinite"),
        "int32_t": ("exponent",),
        "uint8_t": ("exact",),
        "double": ("minimum", "maximum"),
        "uint32_t": ("sum", "squares"),
    }.items()
    for name in names
}


def summarize(rows: Array, to: Summary) -> None:
    """Fill `to` from `rows`, 2-D of float32 or float64."""
    fields = {
        name: ffi.from_buffer(_SUMMARY_TYPES[name], array) for name, array in to._asdict().items()
    }
    summaries = ffi.new("ql_summaries *", fields)
    check(lib.ql_summarize(pointer_to(rows), TYPES[rows.dtype], *rows.shape, summaries))


def tails(row: Array, least: float, low: float, high: float, greatest: float, room: int) -> Array:
    """The x of a row with ``least < x <= low`` or ``high <= x < greatest``, `room` at most."""
    found = np.empty(room, row.dtype)
    count = lib.ql_tails(
        pointer_to(row),
        TYPES[row.dtype],
        row.size,
        least,
        low,
        high,
        greatest,
        pointer_to(found),
        room,
    )
    return found[:count]
