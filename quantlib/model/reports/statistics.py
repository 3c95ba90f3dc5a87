"""What a tensor holds, by order statistics, and how its error splits up."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from quantlib.model.codes import Codes
from quantlib.model.graph import Array

__all__ = ["PARTS", "ErrorSums", "Summary", "beyond_codes", "clipped_share", "cosine",
           "summarize_tensor"]  # fmt: skip

PARTS = ("inherited", "weights", "clipping", "rounding")
"""Of an error, in the order in which it arises."""
_TINY = float(np.finfo(np.float64).eps)  # energies below count as none


@dataclass(frozen=True, slots=True)
class Summary:
    """A tensor's values: for n of them sorted, `q1` is the one at ``int(0.25 * n)``, and so on.

    `variance` is that of the population; `sparsity` the share of exact zeros.
    """

    minimum: float
    q1: float
    median: float
    q3: float
    maximum: float
    mean: float
    variance: float
    sparsity: float


def summarize_tensor(values: Array) -> Summary:
    """All of `Summary`, NaN if there are no values."""
    flat = np.asarray(values).reshape(-1)
    if not flat.size:
        none = math.nan
        return Summary(none, none, none, none, none, none, none, none)
    places = [int(share * flat.size) for share in (0.25, 0.5, 0.75)]
    ordered = np.partition(flat, sorted({0, flat.size - 1, *places}))
    low, q1, median, q3, high = (float(ordered[place]) for place in (0, *places, -1))
    wide = flat.astype(np.float64)
    zeros = np.count_nonzero(flat == 0) / flat.size
    return Summary(low, q1, median, q3, high, float(wide.mean()), float(wide.var()), zeros)


def clipped_share(original: Array, other: Array) -> float:
    """The share of `original` outside of the range of `other`."""
    if not original.size:
        return 0.0
    return float(np.mean((original < other.min()) | (original > other.max())))


def beyond_codes(original: Array, codes: Codes | None) -> float:
    """The share of `original` that codes cut off, not merely round; 0 without codes."""
    if codes is None or not original.size:
        return 0.0
    half = float(codes.scale.max(initial=0)) / 2
    return float(np.mean((original < codes.low - half) | (original > codes.high + half)))


def cosine(original: Array, other: Array) -> float:
    """The cosine, 1 where both are all but 0, 0 where one is, or where it is not a number."""
    a, b = (array.astype(np.float64).reshape(-1) for array in (original, other))
    energies, product = (float(a @ a), float(b @ b)), float(a @ b)
    if max(energies) < _TINY:
        return 1.0
    if energies[0] * energies[1] < _TINY**2:
        return 0.0
    found = product / math.sqrt(energies[0]) / math.sqrt(energies[1])
    return found if math.isfinite(found) else 0.0


@dataclass(slots=True)
class ErrorSums:
    """Sums of squares of a tensor's values, its error, and the parts of that, over all feeds.

    Rows of `channels` and entries of `samples` are: the values, the error, then `PARTS`.
    """

    axis: int
    channels: Array | None = None
    samples: list[Array] = field(default_factory=list)

    def update(self, original: Array, stages: tuple[Array, Array, Array], codes: Codes | None,
               batched: bool) -> None:  # fmt: skip
        """Add one feed: `stages` are what was inherited, what the node returned, what it became."""
        squares = [np.square(original, dtype=np.float64), *_squares(original, stages, codes)]
        rank = original.ndim
        axis = min(self.axis, rank - 1)
        others = tuple(place for place in range(rank) if place != axis)
        by_channel = np.stack([np.atleast_1d(one.sum(axis=others)) for one in squares])
        if self.channels is None:
            self.channels = by_channel
        elif self.channels.shape == by_channel.shape:
            self.channels = self.channels + by_channel
        else:  # an axis that is as long as the feed, and no axis of channels
            self.channels = (self.channels.sum(1) + by_channel.sum(1))[:, None]
        if batched and rank:
            rows = np.stack([one.reshape(len(one), -1).sum(1) for one in squares], axis=1)
            self.samples.extend(rows)
        else:
            self.samples.append(by_channel.sum(1))

    @property
    def totals(self) -> Array:
        """Over all channels."""
        return np.zeros(2 + len(PARTS)) if self.channels is None else self.channels.sum(1)


def _squares(original: Array, stages: tuple[Array, ...], codes: Codes | None) -> list[Array]:
    """The squares of the error and of its parts, which sum up to the error."""
    inherited, raw, final = (stage.astype(np.float64) for stage in stages)
    start = original.astype(np.float64)
    kept = raw if codes is None else np.clip(raw, codes.low, codes.high)
    parts = (final - start, inherited - start, raw - inherited, kept - raw, final - kept)
    return [np.square(part) for part in parts]
