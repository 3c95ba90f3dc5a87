"""Divergence searches: the range that changes the distribution of the values least.

The idea is S. Migacz's, "8-bit Inference with TensorRT", NVIDIA GTC 2017
(https://on-demand.gputechconf.com/gtc/2017/presentation/s7310-8-bit-inference-with-tensorrt.pdf):
compare the histogram P of the values with the distribution Q that is left when every value is
known only by its code, and take the range for which Q diverges least from P. `divergence_range`
is quantlib's own reading of it; `kl_threshold_tensorrt` and `kl_threshold_mindspore_lite` are
the two that other engines made common.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib.calibration.histogram import Histogram
from quantlib.calibration.search import Ends, search_range

__all__ = [
    "DIVERGENCES",
    "divergence",
    "divergence_range",
    "kl_threshold_mindspore_lite",
    "kl_threshold_tensorrt",
]

Array = npt.NDArray[np.float64]
Sizes = npt.NDArray[np.intp]

DIVERGENCES = ("kl", "symmetric_kl", "js")

TEMPORARY = 1 << 15  # numbers at a time, so that they stay in the cache
NATS_PER_CODE = 0.5  # what a clipped value costs, for each code of its side; see divergence_range


def divergence_range(histogram: Histogram, levels: int, name: str = "kl") -> tuple[float, float]:
    """The range whose codes keep the distribution of the values best.

    Parameters
    ----------
    histogram : Histogram
        Of one value other than 0, or more.
    levels : int
        The number of steps between the lowest and the highest code, 1 or more: 255 for int8.
    name : {"kl", "symmetric_kl", "js"}
        The divergence.

    Returns
    -------
    low, high : float
        In the units of the data, ``low <= 0 <= high``.

    See Also
    --------
    divergence : the formula that is minimized.
    quantlib.calibration.search.search_range : the candidates.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.calibration import histogram_of
    >>> x = np.append(np.random.default_rng(0).standard_normal(100_000), 100.0)
    >>> low, high = divergence_range(histogram_of(x), levels=255)
    >>> bool(-6 < low < -3.5) and bool(3.5 < high < 6)
    True
    """
    if levels >= histogram.counts.size:  # a code or several for each bin: the range loses nothing
        return histogram.lowest * histogram.width, histogram.highest * histogram.width
    cost = _Cost.of(histogram, levels, name)
    low, high = search_range(cost, histogram.lowest, histogram.highest)
    return low * histogram.width, high * histogram.width


def divergence(
    histogram: Histogram, low: float, high: float, levels: int, name: str = "kl"
) -> float:
    """How much the distribution of the values changes when the codes are spread over a range.

    Parameters
    ----------
    histogram : Histogram
        Of one value other than 0, or more.
    low, high : float
        The range, in the units of the data, ``low <= 0 <= high``, not both 0.
    levels : int
        The number of steps between the lowest and the highest code.
    name : {"kl", "symmetric_kl", "js"}
        The divergence.

    Returns
    -------
    float
        In nats.

    Notes
    -----
    Of the N values other than 0, bin b of L bins holds ``h[b]``. With the step
    ``s = (high - low) / levels`` and the zero point ``z = rint(-low / s)``, code k has the bins
    whose centre lies from ``(k - z - 0.5) * s`` up to ``(k - z + 0.5) * s``. Its values are spread
    evenly over its non-empty bins, which gives ``q[b]``; bins that no code has are clipped and have
    ``q[b] = 0``. What is compared is

        ``P[b] = (h[b] / N + e / L) / (1 + e)``
        ``Q[b] = (q[b] / sum(q) + e / L) / (1 + e)``

    over the non-empty bins (in an empty one P and Q are equal), by

        ``kl = sum P * ln(P / Q)``
        ``symmetric_kl = sum P * ln(P / Q) + sum Q * ln(Q / P)``
        ``js = (sum P * ln(P / M) + sum Q * ln(Q / M)) / 2`` with ``M = (P + Q) / 2``

    The background e makes every divergence finite. To `kl`, a clipped value costs about
    ``ln(1 / e) / N`` nats more than one that is kept, however far away it is. That price is the one
    free choice in all this, and

        ``e = exp(-levels / (2 * sides))``

    where sides is 2 if there are values on both sides of 0 and 1 if not, sets it to half a nat for
    each code of a side: the finer the codes, the less a step is gained by clipping. It was chosen
    by measurement, as the rule whose worst squared error is smallest over distributions of light
    and heavy tails and 2 to 10 bits; with one e for all widths the worst cases are twice as bad.

    What differs from the recipe of 2017, and why:

    * P keeps the tail where it is instead of piling it up in the last bin, so that P is one and
      the same for all candidates, and Q needs no rule for an empty last bin, where an infinite
      divergence makes other implementations return the outlier itself.
    * Codes and the zero point are those of the quantizer, so both ends can be searched, data of
      one sign uses all the codes, and every number of levels has a result of its own.

    A divergence sees how many values are clipped, not how far, and nothing within a bin: codes
    narrower than bins lose nothing, so that with 16 bits the range of the data is kept.

    Sources: S. Kullback, R. A. Leibler, "On Information and Sufficiency", 1951,
    https://doi.org/10.1214/aoms/1177729694, whose own "divergence" is the symmetric one; J. Lin,
    "Divergence measures based on the Shannon entropy", 1991, https://doi.org/10.1109/18.61115.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.calibration import histogram_of
    >>> h = histogram_of(np.random.default_rng(0).standard_normal(100_000))
    >>> [round(divergence(h, -t, t, levels=15), 3) for t in (4.5, 3.0, 1.5)]
    [0.025, 0.021, 0.26]
    """
    ends = np.array([low]) / histogram.width, np.array([high]) / histogram.width
    return float(_Cost.of(histogram, levels, name)(*ends)[0])


@dataclass(frozen=True, slots=True)
class _Cost:
    """The divergences of several ranges, given in bin widths.

    Everything but `js` needs no look at single bins: Q is constant within a code, so that sums over
    its bins are differences of running sums, ``levels`` terms for each range instead of as many as
    there are bins.
    """

    name: str
    levels: int
    origin: int
    background: float  # e / L, in values: times N
    log_background: float
    p: Array  # of the non-empty bins, in values
    p_log_p: float
    counts: Array  # running sums over all bins: of the values,
    filled: Array  # of the non-empty bins,
    log_p: Array  # and of ln(p) over the non-empty bins
    clipped: Array  # running sums over these of (p + q) * ln(p + q) where they are clipped

    @classmethod
    def of(cls, histogram: Histogram, levels: int, name: str) -> _Cost:
        sides = 1 + int(histogram.minimum < 0 < histogram.maximum)
        filled = histogram.counts > 0
        values = histogram.counts[filled].astype(np.float64)
        log_background = np.log(values.sum() / filled.size) - NATS_PER_CODE * levels / sides
        background = float(np.exp(log_background))
        log_p = np.zeros(filled.size)
        log_p[filled] = np.log(values + background)
        return cls(
            name=name,
            levels=levels,
            origin=histogram.origin,
            background=background,
            log_background=float(log_background),
            p=values + background,
            p_log_p=float(_x_log_x(values + background).sum()),
            counts=_running_sum(histogram.counts),
            filled=_running_sum(filled),
            log_p=_running_sum(log_p),
            clipped=_running_sum(_x_log_x(values + 2 * background)),
        )

    def __call__(self, low: Ends, high: Ends) -> Ends:
        bounds = self._bounds_of_codes(low, high)
        counts, filled = np.diff(self.counts[bounds]), np.diff(self.filled[bounds])
        total, kept = self.counts[-1], counts.sum(axis=1)
        q = counts * (total / np.maximum(kept, 1))[:, np.newaxis]
        q /= np.maximum(filled, 1)
        q += self.background
        log_q = np.log(np.where(filled > 0, q, 1))
        clipped = self.filled[-1] - filled.sum(axis=1)  # bins
        q_log_q = np.sum(filled * q * log_q, axis=1)
        q_log_q += clipped * self.background * self.log_background
        if self.name == "js":
            twice = self.p.sum() + np.sum(filled * q, axis=1) + clipped * self.background
            sums = self.p_log_p + q_log_q + np.log(2) * twice - self._of_both(bounds, q, filled)
            sums /= 2
        else:
            p_log_q = np.sum((counts + filled * self.background) * log_q, axis=1)
            p_log_q += (total - kept + clipped * self.background) * self.log_background
            sums = self.p_log_p - p_log_q
            if self.name == "symmetric_kl":
                log_p = np.diff(self.log_p[bounds])
                q_log_p = np.sum(q * log_p, axis=1)
                q_log_p += self.background * (self.log_p[-1] - log_p.sum(axis=1))
                sums += q_log_q - q_log_p
        result: Ends = sums / (total + (self.counts.size - 1) * self.background)
        return result

    def _bounds_of_codes(self, low: Ends, high: Ends) -> npt.NDArray[np.intp]:
        """The first bin of each code of each range, and the one after the last code's."""
        step = ((high - low) / self.levels)[:, np.newaxis]
        zero = np.rint(-low[:, np.newaxis] / step)
        edges = (np.arange(self.levels + 2) - 0.5 - zero) * step
        edges -= self.origin + 0.5
        np.ceil(edges, out=edges)
        np.clip(edges, 0, self.counts.size - 1, out=edges)
        return edges.astype(np.intp)

    def _of_both(self, bounds: npt.NDArray[np.intp], q: Array, filled: Array) -> Array:
        """``sum (p + q) * ln(p + q)`` over the non-empty bins, for each range.

        The one sum that needs a look at every bin, but for those which are clipped.
        """
        first, last = (self.filled[bounds[:, end]].astype(np.intp) for end in (0, -1))
        sums: Array = self.clipped[-1] - self.clipped[last] + self.clipped[first]
        some = np.flatnonzero(last > first)
        repeats, ends = filled.astype(np.intp), np.cumsum(last - first)
        at = 0
        while at < some.size:  # as many ranges at a time as stay in the cache
            done = ends[some[at]] - (last - first)[some[at]]
            stop = max(at + 1, int(np.searchsorted(ends[some], done + TEMPORARY, side="right")))
            these = some[at:stop]
            both = np.repeat(q[these].ravel(), repeats[these].ravel())
            both += np.concatenate([self.p[first[i] : last[i]] for i in these])
            np.multiply(both, np.log(both), out=both)
            sums[these] += np.add.reduceat(both, ends[these] - (last - first)[these] - done)
            at = stop
        return sums


def kl_threshold_tensorrt(counts: npt.ArrayLike, levels: int = 128) -> int:
    """The threshold of the recipe that TensorRT's entropy calibrator was described by.

    Parameters
    ----------
    counts : array_like of numbers, shape (bins,)
        The histogram of ``|x|``, starting at 0, with more bins than `levels`.
    levels : int
        The number of groups that stand for the positive codes.

    Returns
    -------
    int
        The number of bins up to the threshold, `levels` to `bins`.

    Raises
    ------
    ValueError
        If `counts` is not 1-D with more than `levels` bins, is negative or not finite somewhere,
        or is 0 everywhere.

    Notes
    -----
    For ``i`` from `levels` to `bins`: P is ``counts[:i]`` with the rest added to its last bin;
    Q is ``counts[:i]`` without the rest, bin b going to group ``floor(b * levels / i)``, each
    group's sum spread evenly over its non-empty bins. The first i of least ``KL(P, Q)`` wins. No
    smoothing: if the last bin is empty but the rest is not, the divergence is infinite. Data
    with a far outlier may thus return the outlier; quantlib's own search does not.
    S. Migacz, "8-bit Inference with TensorRT", GTC 2017, with the group bounds of NVIDIA's
    pytorch-quantization, https://github.com/NVIDIA/TensorRT (tools/pytorch-quantization).

    Examples
    --------
    >>> kl_threshold_tensorrt([8, 7, 5, 3, 2, 1, 1, 0], levels=4)
    7
    """
    counts = _as_counts(counts, levels)
    sizes = np.arange(levels, counts.size + 1)
    cost = _ClippedCost.of(counts, np.inf)
    edges = np.arange(levels + 1)

    def whole(sizes: Sizes) -> Array:
        bounds = -(-edges * sizes[:, np.newaxis] // levels)  # ceil
        return cost(sizes, bounds)

    return int(sizes[np.argmin(_by_parts(whole, sizes, levels))])


def kl_threshold_mindspore_lite(counts: npt.ArrayLike, interval: float, levels: int = 128) -> float:
    """The threshold that MindSpore Lite's KL calibrator chooses.

    Parameters
    ----------
    counts : array_like of numbers, shape (bins,)
        The histogram of ``|x|`` without zeros: there 2048 bins, each of which starts at 1e-7, so
        that every bin counts as non-empty.
    interval : float
        The width of a bin, there ``max|x| / 2048``, greater than 0.
    levels : int
        The number of groups that stand for the positive codes, there 128 for every bit width.

    Returns
    -------
    float
        The threshold T, in the units of `interval`; the range is -T to T.

    Raises
    ------
    ValueError
        If `counts` is not 1-D with more than `levels` bins, is negative or not finite somewhere,
        or is 0 everywhere; if `interval` is not finite and greater than 0.

    Notes
    -----
    For ``i`` from `levels` to ``bins - 1``: P is ``counts[:i]`` with the rest added to its last
    bin. Q is ``counts[:i]`` without the rest, cut into groups of ``i / levels`` bins each,
    fractional at the edges; each group's sum is spread evenly over its non-empty (parts of) bins.
    The divergence is the sum of ``p * ln(p / q)``, or 1 where q is 0 and p is not. The first i of
    least divergence wins, and ``T = (i + 0.5) * interval``. The last bin is never part of Q, so
    that values which are all in it, such as constants, are clipped to ``levels + 0.5`` bins.
    Source: MindSpore Lite, tools/converter/quantizer/data_distribution.cc,
    https://www.mindspore.cn/lite.

    Examples
    --------
    >>> x = np.abs(np.random.default_rng(0).laplace(0, 1, 20_000))
    >>> interval = x.max() / 2048
    >>> bins = np.minimum((x / interval).astype(int), 2047)
    >>> counts = 1e-7 + np.bincount(bins, minlength=2048)
    >>> round(kl_threshold_mindspore_lite(counts, interval), 4)
    8.2528
    """
    counts = _as_counts(counts, levels)
    if not (np.isfinite(interval) and interval > 0):
        raise ValueError(f"interval is {interval}; it must be finite and greater than 0")
    sizes = np.arange(levels, counts.size)
    cost = _ClippedCost.of(counts, 1.0)
    edges = np.arange(levels + 1)

    def fractional(sizes: Sizes) -> Array:
        bounds = edges * (sizes[:, np.newaxis] / levels)
        whole = bounds.astype(np.intp)
        return cost(sizes, whole, bounds - whole)

    return float((sizes[np.argmin(_by_parts(fractional, sizes, levels))] + 0.5) * interval)


def _as_counts(counts: Any, levels: int) -> Array:
    array = np.asarray(counts, dtype=np.float64)
    if array.ndim != 1 or array.size <= levels:
        raise ValueError(
            f"counts has shape {array.shape}; it must be 1-D with more than levels={levels} bins"
        )
    if not (np.all(array >= 0) and 0 < array.sum() < np.inf):
        raise ValueError("counts must be finite and 0 or more, and not all 0")
    return array


def _by_parts(cost: Callable[[Sizes], Array], sizes: Sizes, levels: int) -> Array:
    """The costs of all sizes, of as many at a time as stay in the cache."""
    rows = max(1, TEMPORARY // (levels + 1))
    starts = range(0, sizes.size, rows)
    return np.concatenate([cost(sizes[start : start + rows]) for start in starts])


@dataclass(frozen=True, slots=True)
class _ClippedCost:
    """``KL(P, Q)`` for each size i, with the tail of P in its last bin.

    Q is constant within a group, so ``sum p * ln q`` takes one term per group instead of one per
    bin. `penalty` is the divergence where the last bin is empty, but for the tail.
    """

    counts: Array
    penalty: float
    running: Array  # sums over the bins before: of the counts,
    filled: Array | None  # of the bins that are not empty, or None if all are
    p_log_p: Array

    @classmethod
    def of(cls, counts: Array, penalty: float) -> _ClippedCost:
        filled = counts > 0
        return cls(
            counts=np.append(counts, 0),
            penalty=penalty,
            running=_running_sum(counts),
            filled=None if filled.all() else _running_sum(filled),
            p_log_p=_running_sum(_x_log_x(counts)),
        )

    def __call__(self, sizes: Sizes, whole: Sizes, rest: Array | None = None) -> Array:
        """`whole`, of shape ``(sizes, groups + 1)``, and `rest` add up to the groups' edges."""
        total, inside = self.running[-1], self.running[sizes]
        last, tail = self.counts[sizes - 1], total - inside
        missed = (last == 0) & (tail > 0)
        cut = None if rest is None else self.counts[whole]  # the bins that edges lie in
        masses = _between(self.running, whole, rest, cut)
        density = self._densities(masses, whole, rest)
        log_density = np.log(density)

        p_log_p = self.p_log_p[sizes]
        p_log_p += np.where(missed, 0, _x_log_x(last + tail) - _x_log_x(last))
        p_log_q = np.einsum("ij,ij->i", masses, log_density)
        if rest is not None and cut is not None:
            p_log_q += _mixed_bins(cut[:, 1:-1], rest[:, 1:-1], density, log_density)
        p_log_q += np.where(missed, 0, tail * log_density[:, -1])

        matched = np.where(missed, inside, total)
        scale = np.log(np.where(inside > 0, inside, 1) / total)
        divergences: Array = (p_log_p - p_log_q + matched * scale) / total
        return divergences + np.where(missed, self.penalty, 0)

    def _densities(self, masses: Array, whole: Sizes, rest: Array | None) -> Array:
        """Each group's sum over its number of non-empty bins; 1, whose logarithm is 0, if none."""
        if self.filled is None:
            sizes = whole[:, 1:] - whole[:, :-1]
            return masses / (sizes if rest is None else sizes + np.diff(rest))
        cut = None if rest is None else self.counts[whole] > 0
        filled = _between(self.filled, whole, rest, cut)
        return np.where(masses > 0, masses, 1) / np.where(masses > 0, filled, 1)


def _between(
    running: Array, whole: Sizes, rest: Array | None, cut: npt.NDArray[Any] | None
) -> Array:
    """What lies between neighbouring edges, by sums up to whole bins and the parts of cut ones."""
    sums = running[whole]
    if rest is not None and cut is not None:
        sums += rest * cut
    difference: Array = sums[:, 1:] - sums[:, :-1]
    return difference


def _mixed_bins(counts: Array, share: Array, density: Array, log_density: Array) -> Array:
    """What a group edge inside a bin adds to ``sum p * ln q``.

    There q is a mixture of two groups, and its logarithm not the mixture of theirs. Groups are
    no narrower than bins, so no bin has more than one edge inside it.
    """
    mixture = density[:, 1:] + share * (density[:, :-1] - density[:, 1:])
    np.log(mixture, out=mixture)
    mixture -= log_density[:, 1:] + share * (log_density[:, :-1] - log_density[:, 1:])
    sums: Array = np.einsum("ij,ij->i", counts, mixture)
    return sums


def _running_sum(values: npt.NDArray[Any]) -> Array:
    return np.concatenate(([0.0], np.cumsum(values)))


def _x_log_x(x: Array) -> Array:
    product: Array = x * np.log(np.where(x > 0, x, 1))
    return product
