"""The histogram that every search reads: power-of-two bins, so that no batching can show in it.

A bin is ``2**exponent`` wide and 0 lies on a bin edge. The exponent is the smallest one for which
the largest magnitude falls into the first `BINS_PER_SIDE` bins, so it is a function of the data's
range alone; a range that grows only merges neighbouring bins, which is what counting again in the
wider bins would have given. Hence two histograms of parts `merge` to the bits of the histogram of
the whole, in whatever order and however the data was cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BINS_PER_SIDE", "Histogram", "histogram_of", "merge"]

# A divergence cannot tell ranges apart that have less than a bin for each code. With half as many
# bins, Gaussian data with an outlier at 25 standard deviations is already cut off at 8 of them
# instead of 5; with twice as many, the searches take twice as long, and nothing else changes.
BINS_PER_SIDE = 4096
SMALLEST_EXPONENT = -1022  # a narrower bin would have no normal float64 width
BLOCK = 1 << 16  # values counted at a time, so that their temporaries stay in the cache


@dataclass(frozen=True, eq=False, slots=True)
class Histogram:
    """How often values of each size occur, in uniform bins of a power-of-two width.

    Bin ``i`` counts the values between the edges ``(origin + i) * width`` and
    ``(origin + i + 1) * width``; a value on an edge belongs to the bin farther from 0, so that
    the histogram of ``-x`` is the mirror image of that of ``x``. Exact zeros are in no bin: every
    quantizer represents them exactly, so no search needs to see them.

    Parameters
    ----------
    counts : numpy.ndarray of int64, shape (bins,)
        Values per bin, from the bin of `minimum` (or 0 if it is above 0) to the bin of `maximum`
        (or 0 if it is below 0).
    origin : int
        Index of the first bin, 0 or less: bins left of 0 have negative indices.
    exponent : int
        The base-2 logarithm of the bin width.
    zeros : int
        Number of exact zeros.
    minimum, maximum : float
        The exact extremes; infinity and -infinity if there is no data.

    See Also
    --------
    histogram_of, merge
    """

    counts: npt.NDArray[np.int64]
    origin: int
    exponent: int
    zeros: int
    minimum: float
    maximum: float

    @property
    def count(self) -> int:
        """Number of values, zeros included."""
        return int(self.counts.sum()) + self.zeros

    @property
    def width(self) -> float:
        """Width of a bin, in the units of the data."""
        return math.ldexp(1.0, self.exponent)

    @property
    def lowest(self) -> float:
        """The smaller of `minimum` and 0, in bin widths."""
        return min(self.minimum, 0.0) / self.width

    @property
    def highest(self) -> float:
        """The larger of `maximum` and 0, in bin widths."""
        return max(self.maximum, 0.0) / self.width

    @property
    def negative(self) -> npt.NDArray[np.int64]:
        """The counts of the bins below 0, from 0 outwards."""
        return self.counts[: -self.origin][::-1]

    @property
    def positive(self) -> npt.NDArray[np.int64]:
        """The counts of the bins above 0, from 0 outwards."""
        return self.counts[-self.origin :]

    def magnitudes(self) -> Histogram:
        """The histogram of ``|x|``."""
        negative, positive = self.negative, self.positive
        counts = np.zeros(max(negative.size, positive.size), np.int64)
        counts[: negative.size] += negative
        counts[: positive.size] += positive
        crosses = self.minimum < 0 < self.maximum
        ends = sorted((abs(self.minimum), abs(self.maximum)))
        return Histogram(counts, 0, self.exponent, self.zeros, 0.0 if crosses else ends[0], ends[1])

    def coarsen(self, doublings: int) -> Histogram:
        """The same values in bins ``2**doublings`` times as wide."""
        if doublings == 0:
            return self
        indices = (np.arange(self.counts.size) + self.origin) >> doublings
        origin = self.origin >> doublings
        counts = np.zeros(int(indices[-1]) - origin + 1 if indices.size else 0, np.int64)
        np.add.at(counts, indices - origin, self.counts)
        return Histogram(
            counts, origin, self.exponent + doublings, self.zeros, self.minimum, self.maximum
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return self._summary == other._summary and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash((self._summary, self.counts.tobytes()))

    @property
    def _summary(self) -> tuple[Any, ...]:
        return self.origin, self.exponent, self.zeros, self.minimum, self.maximum


def histogram_of(x: npt.NDArray[Any]) -> Histogram:
    """The histogram of all values of a finite array.

    Parameters
    ----------
    x : numpy.ndarray of float16, float32, float64 or integers
        The values, finite, any shape. An empty array gives the histogram without counts, which
        `merge` leaves without effect.

    Returns
    -------
    Histogram
        Its bins are ``2**e`` wide, with the smallest ``e`` for which
        ``max|x| < BINS_PER_SIDE * 2**e``.

    Examples
    --------
    >>> import numpy as np
    >>> h = histogram_of(np.array([-1.0, 0.0, 3.5, 4095.0]))
    >>> h.width, h.origin, h.counts[:6].tolist(), h.zeros, h.count
    (1.0, -2, [1, 0, 0, 0, 0, 1], 1, 4)
    """
    if x.size == 0:
        return Histogram(np.zeros(0, np.int64), 0, SMALLEST_EXPONENT, 0, math.inf, -math.inf)
    minimum, maximum = float(x.min()) + 0.0, float(x.max()) + 0.0  # + 0.0 turns -0.0 into 0.0
    exponent = _exponent_of(max(-minimum, maximum))
    counts, zeros = np.zeros(2 * BINS_PER_SIDE, np.int64), 0
    flat = x.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        bins, nulls = _count(flat[start : start + BLOCK], exponent)
        counts, zeros = counts + bins, zeros + nulls
    first = BINS_PER_SIDE + _bin_of(min(minimum, 0.0), exponent)
    last = BINS_PER_SIDE + _bin_of(max(maximum, 0.0), exponent)
    return Histogram(
        counts[first : last + (maximum > 0)].copy(),
        first - BINS_PER_SIDE,
        exponent,
        zeros,
        minimum,
        maximum,
    )


def merge(*histograms: Histogram) -> Histogram:
    """The histogram of all the values of several histograms together.

    Parameters
    ----------
    *histograms : Histogram
        One or more of them.

    Returns
    -------
    Histogram
        Bit for bit the histogram of the concatenated data.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0.1, -7.0, 0.0, 300.0])
    >>> merge(histogram_of(x[:1]), histogram_of(x[1:])) == histogram_of(x)
    True
    """
    return reduce(_merge_two, histograms)


def _merge_two(a: Histogram, b: Histogram) -> Histogram:
    exponent = max(a.exponent, b.exponent)
    a, b = a.coarsen(exponent - a.exponent), b.coarsen(exponent - b.exponent)
    origin = min(a.origin, b.origin)
    counts = np.zeros(max(h.origin + h.counts.size for h in (a, b)) - origin, np.int64)
    for h in (a, b):
        start = h.origin - origin
        counts[start : start + h.counts.size] += h.counts
    return Histogram(
        counts,
        origin,
        exponent,
        a.zeros + b.zeros,
        min(a.minimum, b.minimum),
        max(a.maximum, b.maximum),
    )


def _exponent_of(magnitude: float) -> int:
    """The smallest allowed ``e`` with ``magnitude < BINS_PER_SIDE * 2**e``."""
    if magnitude == 0:
        return SMALLEST_EXPONENT
    return max(math.frexp(magnitude)[1] - (BINS_PER_SIDE.bit_length() - 1), SMALLEST_EXPONENT)


def _bin_of(value: float, exponent: int) -> int:
    """Index of the bin of `value`; 0 counts as the first one right of 0."""
    index = int(math.ldexp(abs(value), -exponent))
    return index if value >= 0 else -1 - index


def _count(block: npt.NDArray[Any], exponent: int) -> tuple[npt.NDArray[np.int64], int]:
    """Counts of all ``2 * BINS_PER_SIDE`` bins, and the number of zeros.

    Dividing by a power of two is exact or, far below the first edge, rounds towards a number
    that is still below it: every value finds its true bin.
    """
    values = block.astype(np.float64)
    magnitudes = np.abs(values)
    indices = np.multiply(magnitudes, math.ldexp(1.0, -exponent), out=magnitudes).astype(np.intp)
    indices += BINS_PER_SIDE
    np.subtract(2 * BINS_PER_SIDE - 1, indices, out=indices, where=values < 0)
    counts = np.bincount(indices, minlength=2 * BINS_PER_SIDE)
    zeros = values.size - int(np.count_nonzero(values))
    counts[BINS_PER_SIDE] -= zeros
    return counts, zeros
