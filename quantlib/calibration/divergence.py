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
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib.calibration.histogram import Histogram
from quantlib.calibration.search import Ends, search_range

__all__ = [
    "FORMULAS",
    "divergence_range",
    "js",
    "kl",
    "kl_threshold_mindspore_lite",
    "kl_threshold_tensorrt",
    "symmetric_kl",
]

Array = npt.NDArray[np.float64]

BACKGROUND = 1e-6  # of one value; see the notes of divergence_range


def kl(p: Array, q: Array) -> Array:
    """Kullback-Leibler divergence ``sum p * ln(p / q)`` along the last axis, in nats.

    Parameters
    ----------
    p, q : numpy.ndarray of float64
        Greater than 0, of shapes that broadcast.

    Notes
    -----
    S. Kullback, R. A. Leibler, "On Information and Sufficiency", 1951,
    https://doi.org/10.1214/aoms/1177729694.

    Examples
    --------
    >>> round(float(kl(np.array([0.5, 0.5]), np.array([0.25, 0.75]))), 4)
    0.1438
    """
    total: Array = np.log(p) @ p - np.log(q) @ p
    return total


def symmetric_kl(p: Array, q: Array) -> Array:
    """Symmetric Kullback-Leibler divergence ``KL(p, q) + KL(q, p)`` along the last axis, in nats.

    Parameters
    ----------
    p, q : numpy.ndarray of float64
        Greater than 0, of shapes that broadcast.

    Notes
    -----
    Written as ``sum (p - q) * ln(p / q)``: the "divergence" of Kullback and Leibler's own paper,
    https://doi.org/10.1214/aoms/1177729694.

    Examples
    --------
    >>> round(float(symmetric_kl(np.array([0.5, 0.5]), np.array([0.25, 0.75]))), 4)
    0.2747
    """
    total: Array = np.sum((p - q) * (np.log(p) - np.log(q)), axis=-1)
    return total


def js(p: Array, q: Array) -> Array:
    """Jensen-Shannon divergence along the last axis, in nats: 0 to ln 2.

    ``(KL(p, m) + KL(q, m)) / 2`` with ``m = (p + q) / 2``.

    Parameters
    ----------
    p, q : numpy.ndarray of float64
        Greater than 0, of shapes that broadcast.

    Notes
    -----
    J. Lin, "Divergence measures based on the Shannon entropy", 1991,
    https://doi.org/10.1109/18.61115.

    Examples
    --------
    >>> round(float(js(np.array([0.5, 0.5]), np.array([0.25, 0.75]))), 4)
    0.0338
    """
    middle = (p + q) / 2
    log_middle = np.log(middle)
    total: Array = np.log(p) @ p + np.sum(q * np.log(q) - 2 * middle * log_middle, axis=-1)
    return total / 2


FORMULAS: dict[str, Callable[[Array, Array], Array]] = {
    "kl": kl,
    "symmetric_kl": symmetric_kl,
    "js": js,
}


def divergence_range(
    histogram: Histogram, levels: int, formula: Callable[[Array, Array], Array] = kl
) -> tuple[float, float]:
    """The range whose codes keep the distribution of the values best.

    Parameters
    ----------
    histogram : Histogram
        Of one value other than 0, or more.
    levels : int
        The number of steps between the lowest and the highest code, 1 or more: 255 for int8.
    formula : callable
        `kl`, `symmetric_kl` or `js`, or any function of ``p`` of shape ``(bins,)`` and ``q`` of
        shape ``(candidates, bins)`` that returns the divergences, of shape ``(candidates,)``.

    Returns
    -------
    low, high : float
        In the units of the data, ``low <= 0 <= high``.

    See Also
    --------
    quantlib.calibration.search.search_range : the candidates.

    Notes
    -----
    Of the N values other than 0, bin b of L bins holds ``h[b]``. Each bin belongs to the code
    that its centre rounds to, with the step ``(high - low) / levels`` and an integer zero point.
    A code's values are spread evenly over its non-empty bins, which gives ``q[b]``; bins whose
    centre lies beyond the outermost codes are clipped and have ``q[b] = 0``. What is compared is

        ``P[b] = (h[b] + e / L) / (N + e)``
        ``Q[b] = (q[b] * N / sum(q) + e / L) / (N + e)``

    over the non-empty bins (in an empty one P and Q are equal), with `BACKGROUND` as e: so small
    a part of one more value, spread over all bins, makes every divergence finite. A clipped value
    costs about ``ln(L / e) / N`` nats of `kl`, so a lone outlier is given up, a heavy tail is not.

    What differs from the recipe of 2017, and why:

    * P keeps the tail where it is instead of piling it up in the last bin, so that P is one and
      the same for all candidates, and Q needs no rule for an empty last bin, where an infinite
      divergence makes other implementations return the outlier itself.
    * Codes and the zero point are those of the quantizer, so both ends can be searched, data of
      one sign uses all the codes, and every number of levels has a result of its own.

    A divergence sees how many values are clipped, not how far, and nothing within a bin. It is
    therefore not the way to the least squared error: with 200000 samples and symmetric int8, the
    squared error is this many times the least one that a threshold can reach (medians):

        ============  =====  =======  ==========  =============
        formula       gauss  laplace  relu gauss  student's t3
        ============  =====  =======  ==========  =============
        kl            1.3    1.4      1.2         1.5
        symmetric_kl  1.2    1.3      1.2         1.6
        js            1.1    1.0      1.1         2.7
        ============  =====  =======  ==========  =============

    (min-max: 1.3, 1.4, 1.2, 1.8.) A larger e would gain on the first three what it loses on the
    last. With 4 bits `kl` and `symmetric_kl` clip too little (gauss: 1.9 and 1.7). And no range is
    found that is narrower than about one bin to each code: with 8 bits, less than 1/16 of the
    range of the data, even if all but an outlier lies within it. `mse_range` has no such limits.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.calibration.histogram import histogram_of
    >>> x = np.append(np.random.default_rng(0).standard_normal(100_000), 100.0)
    >>> low, high = divergence_range(histogram_of(x), levels=255)
    >>> bool(-6 < low < -3.5) and bool(3.5 < high < 6)
    True
    """
    cost = _divergence_cost(histogram, levels, formula)
    low, high = search_range(cost, histogram.lowest, histogram.highest)
    return low * histogram.width, high * histogram.width


def _divergence_cost(
    histogram: Histogram, levels: int, formula: Callable[[Array, Array], Array]
) -> Callable[[Ends, Ends], Ends]:
    """The divergence of each of several ranges, given in bin widths."""
    filled = np.flatnonzero(histogram.counts)
    counts = histogram.counts[filled].astype(np.float64)
    centres: Array = filled.astype(np.float64) + (histogram.origin + 0.5)
    background = BACKGROUND / histogram.counts.size
    total = counts.sum()
    p = (counts + background) / (total + BACKGROUND)

    def cost(low: Ends, high: Ends) -> Ends:
        q = _quantized_counts(counts, _codes_of(centres, low, high, levels), levels)
        kept = q.sum(axis=1, keepdims=True)
        q *= total / np.maximum(kept, 1)
        q += background
        q /= total + BACKGROUND
        return formula(p, q)

    return cost


def _codes_of(centres: Array, low: Ends, high: Ends, levels: int) -> npt.NDArray[np.intp]:
    """The code of each centre for each range, ``(candidates, bins)``; -1 if it is clipped."""
    step = ((high - low) / levels)[:, np.newaxis]
    code = np.rint(centres / step)
    code += np.rint(-low[:, np.newaxis] / step)
    code[(code < 0) | (code > levels)] = -1
    return code.astype(np.intp)


def _quantized_counts(counts: Array, codes: npt.NDArray[np.intp], levels: int) -> Array:
    """The counts of each code spread evenly over its bins, 0 for the bins that are clipped."""
    candidates = codes.shape[0]
    slots = codes + (np.arange(candidates) * (levels + 2) + 1)[:, np.newaxis]  # slot 0: clipped
    weights = np.broadcast_to(counts, codes.shape)
    size = candidates * (levels + 2)
    sums = np.bincount(slots.ravel(), weights.ravel(), size)
    bins = np.bincount(slots.ravel(), minlength=size)
    mean = sums / np.maximum(bins, 1)
    mean[:: levels + 2] = 0
    spread: Array = mean[slots]
    return spread


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
    bounds = -(-np.arange(levels + 1) * sizes[:, np.newaxis] // levels)  # ceil
    divergences = _clipped_divergences(counts, sizes, bounds.astype(np.float64), np.inf)
    return int(sizes[np.argmin(divergences)])


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
    bounds = np.arange(levels + 1) * (sizes[:, np.newaxis] / levels)
    divergences = _clipped_divergences(counts, sizes, bounds, 1.0)
    return float((sizes[np.argmin(divergences)] + 0.5) * interval)


def _as_counts(counts: Any, levels: int) -> Array:
    array = np.asarray(counts, dtype=np.float64)
    if array.ndim != 1 or array.size <= levels:
        raise ValueError(
            f"counts has shape {array.shape}; it must be 1-D with more than levels={levels} bins"
        )
    if not (np.all(array >= 0) and 0 < array.sum() < np.inf):
        raise ValueError("counts must be finite and 0 or more, and not all 0")
    return array


def _clipped_divergences(
    counts: Array, sizes: npt.NDArray[np.int_], bounds: Array, penalty: float
) -> Array:
    """``KL(P, Q)`` for each size i, with the tail of P in its last bin.

    `bounds`, of shape ``(sizes, groups + 1)``, are the edges of the groups, in bins. Q is constant
    within a group, so ``sum p * ln q`` takes one term per group instead of one per bin.
    `penalty` is the divergence where the last bin is empty, but for the tail.
    """
    total, inside = counts.sum(), _running_sum(counts)[sizes]
    last, tail = counts[sizes - 1], total - inside
    missed = (last == 0) & (tail > 0)
    masses = np.diff(_integral(counts, bounds))
    density = _group_densities(counts, bounds, masses)

    p_log_p = _running_sum(_x_log_x(counts))[sizes]
    p_log_p += np.where(missed, 0, _x_log_x(last + tail) - _x_log_x(last))
    p_log_q = np.sum(masses * np.log(density), axis=1)
    p_log_q += _mixed_bins(counts, bounds, density)
    p_log_q += np.where(missed, 0, tail * np.log(density[:, -1]))

    matched = np.where(missed, inside, total)
    scale = np.log(np.where(inside > 0, inside, 1) / total)
    divergences: Array = (p_log_p - p_log_q + matched * scale) / total
    return divergences + np.where(missed, penalty, 0)


def _group_densities(counts: Array, bounds: Array, masses: Array) -> Array:
    """Each group's sum over the number of its non-empty bins; 1, whose logarithm is 0, if none."""
    filled = np.diff(_integral(counts > 0, bounds))
    return np.where(masses > 0, masses, 1) / np.where(masses > 0, filled, 1)


def _mixed_bins(counts: Array, bounds: Array, density: Array) -> Array:
    """What a group edge inside a bin adds to ``sum p * ln q``.

    There q is a mixture of two groups, and its logarithm not the mixture of theirs. Groups are
    no narrower than bins, so no bin has more than one edge inside it.
    """
    size, group = np.nonzero(bounds[:, 1:-1] % 1)
    edges = bounds[size, group + 1]
    left, right = density[size, group], density[size, group + 1]
    share = edges % 1
    mixture = np.log(share * left + (1 - share) * right)
    mixture -= share * np.log(left) + (1 - share) * np.log(right)
    weights = counts[edges.astype(np.intp)] * mixture
    return np.bincount(size, weights, len(bounds)).astype(np.float64)


def _integral(values: npt.NDArray[Any], at: Array) -> Array:
    """The integral, from 0, of the function that has one value for each bin."""
    whole = at.astype(np.intp)
    integral: Array = _running_sum(values)[whole]
    integral += (at - whole) * np.append(values, 0)[whole]
    return integral


def _running_sum(values: npt.NDArray[Any]) -> Array:
    return np.concatenate(([0.0], np.cumsum(values)))


def _x_log_x(x: Array) -> Array:
    product: Array = x * np.log(np.where(x > 0, x, 1))
    return product
