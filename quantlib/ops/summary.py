"""What calibration needs to know of data, in C."""

from __future__ import annotations

import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array
from quantlib._arguments.summary import Summary, empty_summary, summary_arguments


def summarize(x: npt.ArrayLike, *, axis: int | None = None) -> Summary:
    rows, shape = summary_arguments(x, axis)
    result = empty_summary(shape)
    _native.summarize(_native.ready(rows, rows.dtype), result)
    return result


def tails(row: Array, least: float, low: float, high: float, greatest: float, room: int) -> Array:
    """The x of a row with ``least < x <= low`` or ``high <= x < greatest``, `room` at most.

    `row` is 1-D of float32 or float64, and the bounds are such numbers.
    """
    return _native.tails(_native.ready(row, row.dtype), least, low, high, greatest, room)
