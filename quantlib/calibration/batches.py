"""What depends on how the data was cut into batches: moving averages and order statistics.

It is kept apart from `Statistics`, which do not depend on it. A batch is what one call of
`Observer.update` brings; one that holds no finite value of a channel leaves that channel as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.summary import BINS_PER_SIDE, SUM_DIGITS, UNIT
from quantlib.calibration.statistics import Statistics, from_digits, in_units, to_digits

__all__ = ["Batches"]

Array = npt.NDArray[Any]

LOWER, UPPER = 0.0001, 0.9999  # MindSpore Lite's shares of the sorted values of a sample


@dataclass(eq=False, slots=True)
class Batches:
    """The state of each of several channels, in arrays with one entry for each; immutable.

    Parameters
    ----------
    batches : numpy.ndarray of int64
        How many have been averaged.
    first_low, first_high : numpy.ndarray of float64
        The extremes of the first batch.
    low, high : numpy.ndarray of float64
        The moving averages of the extremes.
    lower, upper : list of int
        The sums of the order statistics, in units of 2**-1074.
    """

    batches: Array
    first_low: Array
    first_high: Array
    low: Array
    high: Array
    lower: list[int]
    upper: list[int]

    @classmethod
    def of(cls, rows: Array, statistics: Statistics) -> Batches:
        """Of one batch, whose channels are `rows`, described by `statistics`."""
        low, high = statistics.minimum + 0.0, statistics.maximum + 0.0
        ends = [_order_statistics(rows, statistics, channel) for channel in range(len(rows))]
        return cls(
            batches=(statistics.count > 0).astype(np.int64),
            first_low=low,
            first_high=high,
            low=low,
            high=high,
            lower=[lower for lower, _ in ends],
            upper=[upper for _, upper in ends],
        )

    def followed_by(self, other: Batches, constant: float) -> Batches:
        """As if the batches of `other` had come after these.

        With ``m <- m + c * (v - m)`` from the first batch on, k more batches whose own average is
        a, from their first value f, lead to ``a + (1 - c)**k * (m - f)``. For a single batch a is f
        and this is the definition, which is then computed as it stands.
        """
        kept = (1 - constant) ** other.batches

        def average(mine: Array, theirs: Array, first: Array) -> Array:
            with np.errstate(invalid="ignore"):  # of channels without values, not taken below
                one = mine + constant * (theirs - mine)
                several = theirs + kept * (mine - first)
            both = np.where(other.batches == 1, one, several)
            return np.where(self.batches == 0, theirs, np.where(other.batches == 0, mine, both))

        none = self.batches == 0
        return Batches(
            batches=self.batches + other.batches,
            first_low=np.where(none, other.first_low, self.first_low),
            first_high=np.where(none, other.first_high, self.first_high),
            low=average(self.low, other.low, other.first_low),
            high=average(self.high, other.high, other.first_high),
            lower=[a + b for a, b in zip(self.lower, other.lower, strict=True)],
            upper=[a + b for a, b in zip(self.upper, other.upper, strict=True)],
        )

    def moving_average(self, channel: int) -> tuple[float, float]:
        """The averages of the extremes."""
        return float(self.low[channel]), float(self.high[channel])

    def without_outliers(self, channel: int) -> tuple[float, float]:
        """The means of the order statistics, each rounded once."""
        count = int(self.batches[channel])
        unit = count << -UNIT
        return self.lower[channel] / unit, self.upper[channel] / unit

    def to_arrays(self) -> dict[str, Array]:
        """As arrays that can be stored, integers as digits."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("lower", "upper"):
            arrays[name] = to_digits(arrays[name], SUM_DIGITS)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array], channels: int) -> Batches:
        """From what `to_arrays` gave; ValueError where that cannot have given it."""
        loaded: dict[str, Any] = dict(arrays)
        for name, (dtype, tail) in _LAYOUT.items():
            array = arrays[name]
            if array.dtype != dtype or array.shape != (channels, *tail):
                raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")
        for name in ("lower", "upper"):
            loaded[name] = from_digits(arrays[name])
        if np.any(arrays["batches"] < 0):
            raise ValueError("batches are negative")
        used = arrays["batches"] > 0
        if not all(np.all(np.isfinite(arrays[name][used])) for name in _AVERAGES):
            raise ValueError("averages are not finite")
        return cls(**loaded)


_AVERAGES = ("first_low", "first_high", "low", "high")
_LAYOUT: dict[str, tuple[type[Any], tuple[int, ...]]] = {
    "batches": (np.int64, ()),
    **dict.fromkeys(_AVERAGES, (np.float64, ())),
    "lower": (np.uint32, (SUM_DIGITS,)),
    "upper": (np.uint32, (SUM_DIGITS,)),
}


def _order_statistics(rows: Array, statistics: Statistics, channel: int) -> tuple[int, int]:
    """The values number ``int(0.0001 * n)`` and ``int(0.9999 * n)`` of n, counted from 0."""
    count = int(statistics.count[channel])
    if count == 0:
        return 0, 0
    row = rows[channel]
    lower = _lowest(row, statistics, channel, int(LOWER * count))
    upper = _highest(row, statistics, channel, count - 1 - int(UPPER * count))
    return in_units(lower), in_units(upper)


def _lowest(row: Array, statistics: Statistics, channel: int, rank: int) -> float:
    """The value number `rank` from below; the histogram says where to look for it."""
    if rank == 0:
        return float(statistics.minimum[channel])
    counts = _in_order(statistics, channel)
    place = int(np.searchsorted(np.cumsum(counts), rank, side="right"))
    if place == BINS_PER_SIDE:
        return 0.0
    edge = _edge(place + 1, statistics, channel)
    tail = row[row <= edge]
    return float(np.partition(tail[tail >= statistics.minimum[channel]], rank)[rank])


def _highest(row: Array, statistics: Statistics, channel: int, rank: int) -> float:
    """The value number `rank` from above."""
    if rank == 0:
        return float(statistics.maximum[channel])
    counts = _in_order(statistics, channel)
    place = counts.size - 1 - int(np.searchsorted(np.cumsum(counts[::-1]), rank, side="right"))
    if place == BINS_PER_SIDE:
        return 0.0
    tail = row[row >= _edge(place, statistics, channel)]
    tail = tail[tail <= statistics.maximum[channel]]
    return float(np.partition(tail, tail.size - 1 - rank)[tail.size - 1 - rank])


def _in_order(statistics: Statistics, channel: int) -> Array:
    """The counts with the zeros, as number `BINS_PER_SIDE`, between both sides."""
    return np.insert(statistics.counts[channel], BINS_PER_SIDE, statistics.zeros[channel])


def _edge(place: int, statistics: Statistics, channel: int) -> float:
    """The left end of what `_in_order` counts as number `place`."""
    index = place - BINS_PER_SIDE - int(place > BINS_PER_SIDE)
    return math.ldexp(index, int(statistics.exponent[channel]))
