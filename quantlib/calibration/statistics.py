"""What is kept of the data, and how it is merged: a function of the values, not of their order.

`summarize` describes a batch. Two descriptions merge exactly: extremes and counts are compared and
added, sums are integers, and the width of the bins is a power of two that depends on the largest
magnitude only, so that counts in narrower bins are first added up in pairs, which is what counting
again in the wider bins would have given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.summary import (
    BINS_PER_SIDE,
    SMALLEST_EXPONENT,
    SQUARES_DIGITS,
    SUM_DIGITS,
    UNIT,
)
from quantlib.calibration.histogram import Histogram
from quantlib.ops import summarize

__all__ = ["Statistics", "from_digits", "histogram_of", "in_units", "to_digits"]

Array = npt.NDArray[Any]


@dataclass(eq=False, slots=True)
class Statistics:
    """The state of each of several channels; the fields are those of `summarize`.

    Arrays have one entry for each channel; `sum` and `squares` are lists of Python integers.
    Treated as immutable: `merged` returns another one.
    """

    counts: Array
    exponent: Array
    exact: Array
    zeros: Array
    nonfinite: Array
    minimum: Array
    maximum: Array
    sum: list[int]
    squares: list[int]

    @classmethod
    def of(cls, rows: Array) -> Statistics:
        """Of the rows of a 2-D array, one channel each."""
        arrays = summarize(rows, axis=0)._asdict()
        for name in ("sum", "squares"):
            arrays[name] = from_digits(arrays[name])
        return cls(**arrays)

    @property
    def channels(self) -> int:
        return len(self.counts)

    @property
    def count(self) -> Array:
        """The number of finite values of each channel."""
        total: Array = self.counts.sum(axis=1) + self.zeros
        return total

    def merged(self, other: Statistics) -> Statistics:
        """Of the data of both, which have the same number of channels."""
        exponent = np.maximum(self.exponent, other.exponent)
        a, b = self._coarsened(exponent), other._coarsened(exponent)
        return Statistics(
            counts=a.counts + b.counts,
            exponent=exponent,
            exact=a.exact & b.exact,
            zeros=self.zeros + other.zeros,
            nonfinite=self.nonfinite + other.nonfinite,
            minimum=np.minimum(self.minimum, other.minimum),
            maximum=np.maximum(self.maximum, other.maximum),
            sum=[x + y for x, y in zip(self.sum, other.sum, strict=True)],
            squares=[x + y for x, y in zip(self.squares, other.squares, strict=True)],
        )

    def _coarsened(self, exponent: Array) -> Statistics:
        """The counts in bins of other widths, none narrower; the rest does not depend on it."""
        doublings = exponent - self.exponent
        if not doublings.any():
            return self
        counts, exact = self.counts.copy(), self.exact.copy()
        for channel in np.flatnonzero(doublings):
            step = 1 << min(int(doublings[channel]), BINS_PER_SIDE.bit_length() - 1)
            left, right = counts[channel, BINS_PER_SIDE - 1 :: -1], counts[channel, BINS_PER_SIDE:]
            for side in (left, right):
                grouped = side.reshape(-1, step)
                exact[channel] &= not grouped[:, 1:].any()
                totals = grouped.sum(axis=1)
                side[...] = 0
                side[: totals.size] = totals
        changed = {field.name: getattr(self, field.name) for field in fields(self)}
        return Statistics(**{**changed, "counts": counts, "exact": exact, "exponent": exponent})

    def histogram(self, channel: int) -> Histogram:
        """The histogram of a channel, without the bins beyond the extremes."""
        minimum, maximum = float(self.minimum[channel]), float(self.maximum[channel])
        exponent = int(self.exponent[channel])
        origin = _bin_of(minimum, exponent) if minimum < 0 else 0
        end = _bin_of(maximum, exponent) + 1 if maximum > 0 else 0
        return Histogram(
            counts=self.counts[channel, BINS_PER_SIDE + origin : BINS_PER_SIDE + end],
            origin=origin,
            exponent=exponent,
            zeros=int(self.zeros[channel]),
            minimum=minimum,
            maximum=maximum,
            exact=bool(self.exact[channel]),
        )

    def mean(self, channel: int) -> float:
        """The exact mean, rounded once; NaN without values."""
        count = int(self.count[channel])
        return _rounded(self.sum[channel], count << -UNIT) if count else math.nan

    def mean_square(self, channel: int) -> float:
        """The exact mean of the squares, rounded once; NaN without values."""
        count = int(self.count[channel])
        if count == 0:
            return math.nan
        return _rounded(self.squares[channel], count << -2 * UNIT)

    def variance(self, channel: int) -> float:
        """The exact mean squared distance from the mean, rounded once; NaN without values."""
        count = int(self.count[channel])
        if count == 0:
            return math.nan
        spread = self.squares[channel] * count - self.sum[channel] ** 2
        return _rounded(spread, count**2 << -2 * UNIT)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Statistics):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, field.name), getattr(other, field.name))
            for field in fields(self)
        )

    __hash__ = None  # type: ignore[assignment]

    def to_arrays(self) -> dict[str, Array]:
        """As arrays that can be stored, integers as digits."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays["sum"] = to_digits(self.sum, SUM_DIGITS)
        arrays["squares"] = to_digits(self.squares, SQUARES_DIGITS)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array]) -> Statistics:
        """From what `to_arrays` gave; ValueError where that cannot have given it."""
        channels = arrays["counts"].shape[0] if arrays["counts"].ndim == 2 else -1
        for name, (dtype, tail) in _LAYOUT.items():
            array = arrays[name]
            if array.dtype != dtype or array.shape != (channels, *tail):
                raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")
        loaded = dict(arrays)
        for name in ("sum", "squares"):
            loaded[name] = from_digits(arrays[name])  # type: ignore[assignment]
        state = cls(**loaded)  # type: ignore[arg-type]
        for channel in range(channels):
            _check(state, channel)
        return state


_LAYOUT: dict[str, tuple[type[Any], tuple[int, ...]]] = {
    "counts": (np.int64, (2 * BINS_PER_SIDE,)),
    "exponent": (np.int32, ()),
    "exact": (np.bool_, ()),
    "zeros": (np.int64, ()),
    "nonfinite": (np.int64, ()),
    "minimum": (np.float64, ()),
    "maximum": (np.float64, ()),
    "sum": (np.uint32, (SUM_DIGITS,)),
    "squares": (np.uint32, (SQUARES_DIGITS,)),
}


def _check(state: Statistics, channel: int) -> None:
    """Raise unless the fields of a channel can belong together."""
    count = int(state.count[channel])
    low, high = float(state.minimum[channel]), float(state.maximum[channel])
    if min(int(state.counts[channel].min()), int(state.zeros[channel])) < 0 or count < 0:
        raise ValueError("counts are negative")
    if state.nonfinite[channel] < 0:
        raise ValueError("nonfinite is negative")
    if (
        (low, high) != (math.inf, -math.inf)
        if count == 0
        else not -math.inf < low <= high < math.inf
    ):
        raise ValueError(f"minimum and maximum are {low} and {high}, of {count} values")
    magnitude = max(-low, high, 0.0)
    if int(state.exponent[channel]) != _exponent_of(magnitude):
        raise ValueError(
            f"exponent is {state.exponent[channel]}, with magnitudes up to {magnitude}"
        )
    filled = np.flatnonzero(state.counts[channel]) - BINS_PER_SIDE
    ends = [_bin_of(end, int(state.exponent[channel])) for end in (low, high) if end != 0]
    if filled.size and not (min(ends) <= filled[0] and filled[-1] <= max(ends)):
        raise ValueError("counts lie beyond minimum and maximum")
    if state.squares[channel] < 0 or state.squares[channel] * count < state.sum[channel] ** 2:
        raise ValueError("sum and squares do not fit together")


def histogram_of(x: npt.ArrayLike) -> Histogram:
    """The histogram of all the finite values of an array.

    Parameters
    ----------
    x : array_like of float or int
        Of any shape; may be empty.

    Returns
    -------
    Histogram
        Its bins are ``2**e`` wide, with the smallest ``e`` for which ``max|x| < 4096 * 2**e``.

    Examples
    --------
    >>> h = histogram_of([-1.0, 0.0, 3.5, 4095.0])
    >>> h.width, h.origin, h.counts[:6].tolist(), h.zeros, h.count
    (1.0, -2, [1, 0, 0, 0, 0, 1], 1, 4)
    """
    return Statistics.of(np.asarray(x).reshape(1, -1)).histogram(0)


def _exponent_of(magnitude: float) -> int:
    """The smallest allowed ``e`` with ``magnitude < BINS_PER_SIDE * 2**e``."""
    if magnitude == 0:
        return SMALLEST_EXPONENT
    return max(math.frexp(magnitude)[1] - (BINS_PER_SIDE.bit_length() - 1), SMALLEST_EXPONENT)


def _bin_of(value: float, exponent: int) -> int:
    """Index of the bin of `value`, which is not 0, counted from 0 on."""
    index = int(math.ldexp(abs(value), -exponent))
    return index if value > 0 else -1 - index


def _rounded(numerator: int, denominator: int) -> float:
    """The quotient, rounded once; infinity beyond the largest float64, where squares can be."""
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf


def in_units(value: float) -> int:
    """A finite float64 as a multiple of ``2**UNIT``."""
    numerator, denominator = value.as_integer_ratio()
    return numerator * ((1 << -UNIT) // denominator)


def from_digits(digits: Array) -> list[int]:
    """Rows of 32-bit digits, lowest first, in two's complement."""
    return [int.from_bytes(row.astype("<u4").tobytes(), "little", signed=True) for row in digits]


def to_digits(integers: list[int], count: int) -> Array:
    rows = [
        np.frombuffer(value.to_bytes(4 * count, "little", signed=True), "<u4") for value in integers
    ]
    return np.array(rows, np.uint32).reshape(-1, count)
