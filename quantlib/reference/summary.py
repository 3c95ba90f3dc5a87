"""What calibration needs to know of data: the definition of `summarize`."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array
from quantlib._arguments.summary import (
    BINS_PER_SIDE,
    SMALLEST_EXPONENT,
    SQUARES_DIGITS,
    SUM_DIGITS,
    UNIT,
    Summary,
    empty_summary,
    summary_arguments,
)

__all__ = ["summarize"]


def summarize(x: npt.ArrayLike, *, axis: int | None = None) -> Summary:
    """What calibration needs to know of data: exact, of fixed size, and mergeable.

    Every field is a function of the finite values and how often each occurs, not of their order,
    and such that the fields of two parts of the data give those of the whole, bit for bit.
    `Observer` does that; this is the operation under it.

    Parameters
    ----------
    x : array_like of float or int
        Data of any shape, which may be empty and may hold NaN and infinity.
    axis : int, optional
        The channel axis: each index along it gets a summary of its own. Negative counts from the
        end.

    Returns
    -------
    Summary
        A named tuple of arrays, whose shape ``(...)`` is ``()``, or ``(channels,)`` with `axis`:

        * ``counts``, int64 of shape ``(..., 8192)``: values in each bin, from left to right. Bins
          are ``width = 2**exponent`` wide, and 0 is the edge between number 4095 and 4096. A value
          v other than 0 is in bin ``k = trunc(|v| / width)``, counted outwards from 0: number
          ``4096 + k`` if it is positive, ``4095 - k`` if it is negative.
        * ``exponent``, int32: the least one for which all ``|v| < 4096 * width``, but -1022 or
          more.
        * ``exact``, bool: whether every value is a multiple of the width, and hence the edge of
          its bin that is nearer to 0.
        * ``zeros`` and ``nonfinite``, int64: how many values are 0, and how many NaN or infinite;
          neither are in any bin.
        * ``minimum`` and ``maximum``, float64, of the finite values; infinity and -infinity if
          there are none.
        * ``sum``, uint32 of shape ``(..., 68)``, and ``squares``, ``(..., 134)``: the exact sum of
          the finite values in units of ``2**-1074``, and of their squares in units of
          ``2**-2148``, as digits of 32 bits, lowest first, in two's complement.

    Raises
    ------
    TypeError
        If `x` is not an array of floats or integers, or `axis` no integer.
    ValueError
        If `axis` is not an axis of `x`.

    Notes
    -----
    The exponent depends on the largest magnitude only, and coarser bins are unions of finer ones:
    that is why counts of parts can be brought to one width and added. Sums are integers because a
    sum that rounds would depend on the order.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> s = reference.summarize(np.float32([-1.0, 0.0, 3.5, 4095.0]))
    >>> int(s.exponent), np.flatnonzero(s.counts) - 4096, int(s.zeros), bool(s.exact)
    (0, array([  -2,    3, 4095]), 1, False)
    >>> int.from_bytes(s.sum.astype("<u4").tobytes(), "little") / 2**1074
    4097.5
    """
    rows, shape = summary_arguments(x, axis)
    result = empty_summary(shape)
    for channel, row in zip(np.ndindex(*shape), rows, strict=True):
        for field, value in zip(result, _summary_of(row.astype(np.float64)), strict=True):
            field[channel] = value
    return result


def _summary_of(row: Array) -> Summary:
    values = row[np.isfinite(row)] + 0.0  # no -0.0
    magnitudes = np.abs(values)
    largest = float(magnitudes.max(initial=0.0))
    exponent = SMALLEST_EXPONENT
    if largest > 0:
        exponent = max(exponent, math.frexp(largest)[1] - (BINS_PER_SIDE.bit_length() - 1))
    width = math.ldexp(1.0, exponent)
    outwards = np.trunc(magnitudes / width).astype(np.intp)
    bins = BINS_PER_SIDE + np.where(values < 0, -1 - outwards, outwards)
    units = [n * (2**-UNIT // d) for n, d in map(float.as_integer_ratio, values.tolist())]
    return Summary(
        counts=np.bincount(bins[values != 0], minlength=2 * BINS_PER_SIDE),
        exponent=np.asarray(exponent),
        exact=np.asarray(np.all(outwards * width == magnitudes)),
        zeros=np.sum(values == 0),
        nonfinite=np.asarray(row.size - values.size),
        minimum=values.min(initial=np.inf),
        maximum=values.max(initial=-np.inf),
        sum=_digits(sum(units), SUM_DIGITS),
        squares=_digits(sum(n * n for n in units), SQUARES_DIGITS),
    )


def _digits(total: int, count: int) -> Array:
    return np.frombuffer(total.to_bytes(4 * count, "little", signed=True), "<u4")
