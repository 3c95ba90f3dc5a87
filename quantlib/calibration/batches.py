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
from quantlib.ops.summary import tails

__all__ = ["Batches"]

Array = npt.NDArray[Any]

SMALLEST_FLOAT_EXPONENT = -126  # of bins whose edges float32 has
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
    first, last = int(LOWER * count), int(UPPER * count)
    lower, upper = (
        _Rank(float(statistics.minimum[channel])),
        _Rank(float(statistics.maximum[channel])),
    )
    if first or last < count - 1:
        running = _running_counts(statistics, channel)
        if first:
            lower = _Rank.of(statistics, channel, running, first, from_below=True)
        if last < count - 1:
            upper = _Rank.of(statistics, channel, running, last, from_below=False)
    if lower.value is None or upper.value is None:
        _search(rows[channel], statistics, channel, lower, upper)
    assert lower.value is not None
    assert upper.value is not None
    return in_units(lower.value), in_units(upper.value)


@dataclass(slots=True)
class _Rank:
    """A value of which the number in order is given: itself, or where to look for it.

    Parameters
    ----------
    value : float or None
        The answer, if the histogram knows it.
    place : int
        Its number, counted from the end, from 0.
    within : int
        How many values lie in its bin and between that and the end.
    edge : float
        The edge of the bin which is further from the end.
    closed : bool
        Whether a value on that edge belongs to the bin: if 0 is on that side.
    """

    value: float | None
    place: int = 0
    within: int = 0
    edge: float = 0.0
    closed: bool = False

    @classmethod
    def of(
        cls, statistics: Statistics, channel: int, running: Array, number: int, from_below: bool
    ) -> _Rank:
        """Of value `number` from below, with the end below or above."""
        bin_ = int(np.searchsorted(running, number, side="right"))
        if bin_ == BINS_PER_SIDE:
            return cls(0.0)
        index = bin_ - BINS_PER_SIDE - int(bin_ > BINS_PER_SIDE)  # of the left edge
        exponent = int(statistics.exponent[channel])
        left, right = math.ldexp(index, exponent), math.ldexp(index + 1, exponent)
        if statistics.exact[channel]:  # then a bin holds nothing but its edge nearer to 0
            return cls(right if index < 0 else left)
        if from_below:
            return cls(None, number, int(running[bin_]), right, index < 0)
        count = int(running[-1])
        beyond = int(running[bin_ - 1]) if bin_ else 0
        return cls(None, count - 1 - number, count - beyond, left, index >= 0)


def _search(row: Array, statistics: Statistics, channel: int, lower: _Rank, upper: _Rank) -> None:
    """Find the values that the histogram does not tell, among those in their bins and beyond."""
    if int(statistics.exponent[channel]) < SMALLEST_FLOAT_EXPONENT:
        row = row.astype(np.float64)  # which has all edges
    least, greatest = statistics.minimum[channel], statistics.maximum[channel]
    low = -math.inf if lower.value is not None else _inwards(lower, row.dtype, -math.inf)
    high = math.inf if upper.value is not None else _inwards(upper, row.dtype, math.inf)
    found = tails(row, least, low, high, greatest, lower.within + upper.within)
    if lower.value is None:
        lower.value = _ranked(found[found <= low], lower, float(least))
    if upper.value is None:
        upper.value = -_ranked(-found[found >= high], upper, -float(greatest))


def _inwards(rank: _Rank, dtype: Any, end: float) -> float:
    """The last number of a type that belongs to the bin."""
    edge = dtype.type(rank.edge)
    return float(edge if rank.closed else np.nextafter(edge, dtype.type(end)))


def _ranked(found: Array, rank: _Rank, end: float) -> float:
    """The value of a place among those found and those that equal the end, which are not."""
    place = rank.place - (rank.within - found.size)
    return end if place < 0 else float(np.partition(found, place)[place])


def _running_counts(statistics: Statistics, channel: int) -> Array:
    """Of the values up to each bin, with the zeros between both sides."""
    counts, zeros = statistics.counts[channel], statistics.zeros[channel]
    sides = counts[:BINS_PER_SIDE], [zeros], counts[BINS_PER_SIDE:]
    return np.cumsum(np.concatenate(sides))
