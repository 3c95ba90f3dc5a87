"""The histogram that every search reads: power-of-two bins, so that no batching can show in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Histogram"]


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
    exact : bool
        Whether every value is a multiple of the width, so that a bin holds a single value, its
        edge nearer to 0.

    See Also
    --------
    histogram_of : makes one.
    """

    counts: npt.NDArray[np.int64]
    origin: int
    exponent: int
    zeros: int
    minimum: float
    maximum: float
    exact: bool

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
        lowest = 0.0 if crosses else ends[0]
        return Histogram(counts, 0, self.exponent, self.zeros, lowest, ends[1], self.exact)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return self._summary == other._summary and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash((self._summary, self.counts.tobytes()))

    @property
    def _summary(self) -> tuple[Any, ...]:
        return self.origin, self.exponent, self.zeros, self.minimum, self.maximum, self.exact
