"""Percentile: the range that leaves out a given share of the values at most."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from quantlib.calibration.histogram import Histogram

__all__ = ["SIDES", "Percentile", "percentile_of", "percentile_range"]

SIDES = ("both", "lower", "upper")


class Percentile(NamedTuple):
    """The ends that hold a share of the values, and how far they may be from the exact ones.

    ``high - high_error <= exact high <= high`` and ``low <= exact low <= low + low_error``, in the
    units of the data.
    """

    low: float
    high: float
    low_error: float
    high_error: float


def percentile_range(
    histogram: Histogram, percentile: float = 99.99, side: str = "both"
) -> tuple[float, float]:
    """The range that holds at least `percentile` percent of the values, widened to hold 0.

    Parameters
    ----------
    histogram, percentile, side
        As for `percentile_of`.

    Returns
    -------
    low, high : float
        In the units of the data, ``low <= 0 <= high``.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.calibration import histogram_of
    >>> percentile_range(histogram_of(np.arange(0.1, 1000.0)), 99.0)  # leaves out ten
    (0.0, 989.25)
    """
    answer = percentile_of(histogram, percentile, side)
    return min(answer.low, 0.0), max(answer.high, 0.0)


def percentile_of(
    histogram: Histogram, percentile: float = 99.99, side: str = "both"
) -> Percentile:
    """The ends between which at least `percentile` percent of the values lie.

    Parameters
    ----------
    histogram : Histogram
        Of one value or more.
    percentile : float
        The share of values to keep, in percent, above 0 and up to 100. It is taken as the decimal
        number it prints as, so that 99.9 percent of 1000 values leaves out exactly one.
    side : {"both", "lower", "upper"}
        Where values may be left out. With "both" that is half at each end if there are values on
        both sides of 0, and all at the one end that is not 0 otherwise.

    Returns
    -------
    Percentile
        Both ends, in the units of the data, and the bounds of their errors.

    Notes
    -----
    Of n values ``k = floor(n * (100 - percentile) / 100)`` may be left out, or ``floor(k / 2)`` at
    each of two ends. With j of them at the upper end, the exact answer is the (j+1)-th largest
    value v. For j = 0 that is the maximum, which is known. Otherwise v is known to lie in a bin of
    the histogram; the result is the outer edge of it, or the maximum if that is smaller, so that it
    is never too tight, and too wide by the width of a bin at most. Where all values are known to be
    multiples of the width, such as integers, and v is 0, it is exact as well. The lower end is the
    same of the negative values.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.calibration import histogram_of
    >>> percentile_of(histogram_of(np.arange(1000.0)), 99.0)  # leaves out 990 to 999
    Percentile(low=0.0, high=989.0, low_error=0.0, high_error=0.0)
    >>> answer = percentile_of(histogram_of(np.arange(0.1, 1000.0)), 99.0, "upper")
    >>> answer.low, answer.high, answer.high_error
    (0.1, 989.25, 0.25)
    """
    left_out = int(histogram.count * (100 - Fraction(repr(float(percentile)))) / 100)
    lower = upper = left_out
    if side != "both":
        lower, upper = (left_out, 0) if side == "lower" else (0, left_out)
    elif histogram.minimum < 0 < histogram.maximum:
        lower = upper = left_out // 2
    elif histogram.minimum >= 0:
        lower = 0
    else:
        upper = 0
    high, high_error = _upper_end(histogram, upper)
    low, low_error = _upper_end(_mirrored(histogram), lower)
    return Percentile(0.0 - low, high, low_error, high_error)


def _upper_end(histogram: Histogram, left_out: int) -> tuple[float, float]:
    """The upper end when `left_out` values may lie beyond it, and its error."""
    if left_out == 0:
        return histogram.maximum, 0.0
    in_order = np.insert(histogram.counts, -histogram.origin, histogram.zeros)
    from_above = np.cumsum(in_order[::-1])
    place = from_above.size - 1 - int(np.searchsorted(from_above, left_out, side="right"))
    zero = -histogram.origin
    if place == zero:
        return 0.0, 0.0
    index = place - zero if place < zero else place - zero - 1  # of the bin's left edge
    left, right = index * histogram.width, (index + 1) * histogram.width
    if histogram.exact:
        return (left if index >= 0 else right), 0.0
    outer = min(right, histogram.maximum)
    return outer, min(outer - max(left, histogram.minimum), histogram.width)


def _mirrored(histogram: Histogram) -> Histogram:
    """The histogram of ``-x``."""
    return Histogram(
        histogram.counts[::-1],
        -(histogram.origin + histogram.counts.size),
        histogram.exponent,
        histogram.zeros,
        -histogram.maximum,
        -histogram.minimum,
        histogram.exact,
    )
