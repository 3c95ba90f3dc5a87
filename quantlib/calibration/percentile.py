"""Percentile: the range that leaves out a given share of the values at most."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from quantlib.calibration.histogram import Histogram
from quantlib.calibration.minmax import minmax_range

__all__ = ["percentile_range"]


def percentile_range(histogram: Histogram, percentile: float = 99.99) -> tuple[float, float]:
    """The range that holds at least `percentile` percent of the values.

    Parameters
    ----------
    histogram : Histogram
        Of one value or more.
    percentile : float
        The share of values to keep, in percent, above 0 and up to 100. It is taken as the decimal
        number it prints as, so that 99.9 percent of 1000 values leaves out exactly one.

    Returns
    -------
    low, high : float
        In the units of the data, ``low <= 0 <= high``.

    Notes
    -----
    Of n values ``k = floor(n * (100 - percentile) / 100)`` may be left out: at the one end that
    is not 0 if all values have one sign, ``floor(k / 2)`` at each end otherwise. With j of them
    at the upper end, the (j+1)-th largest value v is the exact end, and the result is the outer
    edge of its bin, or the exact maximum if that is smaller (or 0, if v is negative):

        ``v <= high <= v + histogram.width``

    and likewise at the lower end. The end is thus never too tight, and too wide by one bin at
    most. ``percentile=100`` is exact min-max.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.calibration.histogram import histogram_of
    >>> percentile_range(histogram_of(np.arange(1000.0)), 99.0)  # leaves out 990 to 999
    (0.0, 989.25)
    """
    left_out = int(histogram.count * (100 - Fraction(repr(float(percentile)))) / 100)
    if histogram.minimum < 0 < histogram.maximum:
        left_out //= 2
    low = _bins_kept(histogram.negative, left_out) * histogram.width
    high = _bins_kept(histogram.positive, left_out) * histogram.width
    lowest, highest = minmax_range(histogram)
    return max(lowest, 0.0 - low), min(highest, high)


def _bins_kept(counts: npt.NDArray[np.int64], left_out: int) -> int:
    """How many bins from 0 outwards hold all values but the outermost `left_out`."""
    from_outside = np.cumsum(counts[::-1])
    return counts.size - int(np.searchsorted(from_outside, left_out, side="right"))
