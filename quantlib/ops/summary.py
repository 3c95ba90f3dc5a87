"""What calibration needs to know of data, in C."""

from __future__ import annotations

import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.summary import Summary, empty_summary, summary_arguments


def summarize(x: npt.ArrayLike, *, axis: int | None = None) -> Summary:
    rows, shape = summary_arguments(x, axis)
    result = empty_summary(shape)
    _native.summarize(_native.ready(rows, rows.dtype), result)
    return result
