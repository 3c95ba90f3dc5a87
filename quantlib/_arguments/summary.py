"""The arguments of `summarize`, and what it returns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from quantlib._arguments.affine import split_axis
from quantlib._arguments.arrays import FLOAT32, Array, as_real

BINS_PER_SIDE = 4096
SMALLEST_EXPONENT = -1022  # a narrower bin would have no normal float64 width
UNIT = -1074  # sums are in units of 2**UNIT, the smallest float64, those of squares in its square
SUM_DIGITS, SQUARES_DIGITS = 68, 134  # of 32 bits: enough for 2**63 float64 numbers of any size


class Summary(NamedTuple):
    """What `summarize` returns: arrays of shape ``(...)``, which is ``()`` or ``(channels,)``."""

    counts: Array
    exponent: Array
    exact: Array
    zeros: Array
    nonfinite: Array
    minimum: Array
    maximum: Array
    sum: Array
    squares: Array


def summary_arguments(x: Any, axis: Any) -> tuple[Array, tuple[int, ...]]:
    """The values of each channel as a row of float32 or float64, and the shape of the channels."""
    data = as_real(x, "x")
    if data.dtype == np.float16:
        data = data.astype(FLOAT32)
    groups = split_axis(data.shape, axis, None)
    if axis is None:
        return data.reshape(1, -1), ()
    channels = groups.length
    columns = groups.outer * groups.inner
    first = np.moveaxis(data, groups.axis, 0) if groups.axis else data
    return first.reshape(channels, columns), (channels,)


def empty_summary(shape: tuple[int, ...]) -> Summary:
    """Arrays to be filled."""
    return Summary(
        counts=np.empty((*shape, 2 * BINS_PER_SIDE), np.int64),
        exponent=np.empty(shape, np.int32),
        exact=np.empty(shape, np.bool_),
        zeros=np.empty(shape, np.int64),
        nonfinite=np.empty(shape, np.int64),
        minimum=np.empty(shape, np.float64),
        maximum=np.empty(shape, np.float64),
        sum=np.empty((*shape, SUM_DIGITS), np.uint32),
        squares=np.empty((*shape, SQUARES_DIGITS), np.uint32),
    )
