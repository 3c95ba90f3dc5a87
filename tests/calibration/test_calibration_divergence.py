"""Divergence searches against loops that follow their definitions word by word."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr

from quantlib.calibration import find_range, histogram_of
from quantlib.calibration.divergence import (
    DIVERGENCES,
    divergence,
    divergence_range,
    kl_threshold_mindspore_lite,
    kl_threshold_tensorrt,
)
from quantlib.calibration.histogram import Histogram


def gaussian(size: int = 100_000) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(size)


COUNTS = st.lists(st.sampled_from([0, 0, 1, 2, 3, 10, 100]), min_size=12, max_size=60).filter(any)


def naive_kl(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.sum(rel_entr(p, q)))


def naive_js(p: np.ndarray, q: np.ndarray) -> float:
    m = (p + q) / 2
    return (naive_kl(p, m) + naive_kl(q, m)) / 2


NAIVE = {
    "kl": naive_kl,
    "symmetric_kl": lambda p, q: naive_kl(p, q) + naive_kl(q, p),
    "js": naive_js,
}


def naive_divergence(h: Histogram, low: float, high: float, levels: int, name: str) -> float:
    """The definition in the notes of `divergence`, over all bins, one at a time."""
    step = (high - low) / levels
    zero = round(-low / step)
    groups: dict[int, list[int]] = {}
    for b, count in enumerate(h.counts):
        for code in range(levels + 1) if count else ():
            left, right = ((code + half - zero) * step for half in (-0.5, 0.5))
            if left <= h.origin + b + 0.5 < right:
                groups.setdefault(code, []).append(b)
    q = np.zeros(h.counts.size)
    for bins in groups.values():
        q[bins] = sum(h.counts[bins]) / len(bins)
    n, size = h.counts.sum(), h.counts.size
    background = np.exp(-levels / (2 * (1 + (h.minimum < 0 < h.maximum))))
    p = (h.counts / n + background / size) / (1 + background)
    q = (q / max(q.sum(), 1) + background / size) / (1 + background)
    filled = h.counts > 0  # elsewhere they are equal
    return NAIVE[name](p[filled], q[filled])


def small_histogram(counts: list[int], origin: int) -> Histogram:
    values = np.array(counts, np.int64)
    return Histogram(values, origin, 0, 5, float(origin), float(origin + len(counts)), False)


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.integers(0, 12), st.sampled_from([1, 3, 7, 15, 40]), st.data())
@pytest.mark.parametrize("name", DIVERGENCES)
def test_cost_equals_the_definition(
    name: str, counts: list[int], left: int, levels: int, data: st.DataObject
) -> None:
    h = small_histogram(counts, -left)
    candidates = data.draw(
        st.lists(st.tuples(st.floats(0, 1), st.floats(0.05, 1)), min_size=1, max_size=5)
    )
    low = np.array([a * h.lowest for a, _ in candidates])
    high = np.array([b * max(h.highest, 1) for _, b in candidates])
    actual = [divergence(h, *ends, levels, name) for ends in zip(low, high, strict=True)]
    expected = [naive_divergence(h, *ends, levels, name) for ends in zip(low, high, strict=True)]
    np.testing.assert_allclose(actual, expected, rtol=1e-7, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.sampled_from([3, 7]))
@pytest.mark.parametrize("name", DIVERGENCES)
def test_threshold_of_a_small_histogram(name: str, counts: list[int], levels: int) -> None:
    """No candidate of the first grid, on which the search rests, is better than its result."""
    h = small_histogram(counts, 0)
    _, high = divergence_range(h, levels, name)
    found = naive_divergence(h, 0.0, high, levels, name)
    for threshold in h.highest * 2.0 ** (-np.arange(41) / 4):
        assert found <= naive_divergence(h, 0.0, threshold, levels, name) + 1e-12


@pytest.mark.parametrize("name", DIVERGENCES)
def test_codes_narrower_than_bins_keep_the_range(name: str) -> None:
    h = histogram_of(gaussian())
    assert divergence_range(h, 65535, name) == (h.minimum, h.maximum)
    assert divergence(h, h.minimum, h.maximum, 65535, name) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("method", DIVERGENCES)
@pytest.mark.parametrize("symmetric", [False, True])
def test_an_outlier_is_given_up(method: str, symmetric: bool) -> None:
    """N(0, 1) and a single value of 100: others return 100."""
    low, high = find_range(histogram_of(np.append(gaussian(), 100.0)), method, "int8", symmetric)
    assert 3 < high < 6
    assert -6 < low < -3


@pytest.mark.parametrize("method", DIVERGENCES)
def test_relu_uses_all_codes(method: str) -> None:
    low, high = find_range(histogram_of(np.maximum(gaussian(), 0)), method, "uint8")
    assert low == 0
    assert 3 < high < 5


@pytest.mark.parametrize("method", DIVERGENCES)
@pytest.mark.parametrize("bits", [4, 8])
def test_squared_error_stays_near_the_optimum(method: str, bits: int) -> None:
    """The figures in the notes, with room for the seed; far from what min-max may lose."""
    levels = 2 ** (bits - 1) - 1
    for x, bound in (
        (gaussian(), 2.1),
        (np.random.default_rng(1).laplace(size=100_000), 2.1),
        (np.maximum(gaussian(), 0), 2.1),
        (np.random.default_rng(2).standard_t(3, 100_000), 4.0),
    ):
        x = np.abs(x)

        def error(t: float, x: np.ndarray = x) -> float:
            codes = np.minimum(np.rint(x * (levels / t)), levels)
            return float(np.mean((codes * (t / levels) - x) ** 2))

        threshold = find_range(histogram_of(x), method, f"int{bits}", True)[1]
        least = min(error(t) for t in x.max() * np.geomspace(0.05, 1, 60))
        assert error(threshold) <= bound * least


def test_fewer_bits_clip_more() -> None:
    h = histogram_of(np.random.default_rng(0).laplace(size=100_000))
    for method in DIVERGENCES:
        ends = [find_range(h, method, f"int{bits}", True)[1] for bits in (2, 3, 4, 6)]
        assert ends == sorted(ends)
        assert ends[0] < 0.6 * ends[-1]


def naive_recipe(counts: np.ndarray, levels: int, variant: str) -> dict[int, float]:
    """The divergence at each threshold, by the recipes' own loops over groups and bins."""
    divergences = {}
    for i in range(levels, counts.size + (variant == "tensorrt")):
        p = counts[:i].astype(float)
        p[-1] += counts[i:].sum()
        q = np.zeros(i)
        if variant == "tensorrt":
            group = np.arange(i) * levels // i
            for g in range(levels):
                bins = np.flatnonzero((group == g) & (counts[:i] > 0))
                if bins.size:
                    q[bins] = counts[bins].sum() / bins.size
        else:
            for g in range(levels):
                start, stop = g * i / levels, (g + 1) * i / levels
                bins = np.arange(int(start), min(int(np.ceil(stop)), i))
                part = np.minimum(bins + 1, stop) - np.maximum(bins, start)
                filled = np.sum(part * (counts[bins] > 0))
                if filled > 0:
                    q[bins] += part * np.where(
                        counts[bins] > 0, np.sum(counts[bins] * part) / filled, 0
                    )
        missed = (p > 0) & (q == 0)
        both = (p > 0) & (q > 0)
        p, q = p / p.sum(), q / max(q.sum(), 1e-300)
        divergences[i] = float(np.sum(p[both] * np.log(p[both] / q[both])))
        if np.any(missed):
            divergences[i] += np.inf if variant == "tensorrt" else 1
    return divergences


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.sampled_from([2, 4, 8, 11]))
def test_recipes_equal_their_loops(counts: list[int], levels: int) -> None:
    x = np.array(counts)
    naive = naive_recipe(x, levels, "tensorrt")
    assert naive[kl_threshold_tensorrt(x, levels)] <= min(naive.values()) + 1e-12
    naive = naive_recipe(x, levels, "mindspore_lite")
    threshold = kl_threshold_mindspore_lite(x, 2.0, levels) / 2 - 0.5
    assert naive[threshold] <= min(naive.values()) + 1e-12


def test_mindspore_lite_vector() -> None:
    """A vector computed from the published formulas, apart from this code."""
    x = np.abs(np.random.default_rng(0).laplace(0, 1, 20_000))
    assert round(x.max(), 3) == 11.949
    interval = x.max() / 2048
    bins = np.minimum((x / interval).astype(int), 2047)
    counts = 1e-7 + np.bincount(bins, minlength=2048)
    threshold = kl_threshold_mindspore_lite(counts, interval)
    assert threshold == (1414 + 0.5) * interval
    assert round(threshold, 4) == 8.2528


def test_tensorrt_recipe_returns_a_lone_outlier_or_less() -> None:
    """Where the bin below the threshold is empty, its divergence is infinite."""
    counts = np.zeros(64)
    counts[:8] = [90, 70, 50, 30, 20, 10, 5, 2]
    counts[-1] = 1
    assert kl_threshold_tensorrt(counts, 8) == 8
    assert kl_threshold_tensorrt(np.r_[np.zeros(9), 1.0], 4) == 10


@pytest.mark.parametrize("search", [kl_threshold_tensorrt, kl_threshold_mindspore_lite])
@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([[1, 2, 3, 4, 5]], "shape"),
        ([1, 2, 3, 4], "shape"),
        ([1, 2, 3, 4, -1], "counts must be"),
        ([0, 0, 0, 0, 0], "counts must be"),
        ([1, 2, 3, 4, np.nan], "counts must be"),
    ],
)
def test_recipes_refuse_invalid_counts(search, counts: list[float], message: str) -> None:
    arguments = (1.0, 4) if search is kl_threshold_mindspore_lite else (4,)
    with pytest.raises(ValueError, match=message):
        search(counts, *arguments)


@pytest.mark.parametrize("interval", [0.0, -1.0, np.inf, np.nan])
def test_mindspore_lite_refuses_invalid_interval(interval: float) -> None:
    with pytest.raises(ValueError, match="interval"):
        kl_threshold_mindspore_lite([1, 2, 3], interval, 2)
