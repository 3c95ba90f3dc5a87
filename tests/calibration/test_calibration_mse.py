"""Least p-th power error: its closed form against sums and integrals done the slow way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from quantlib.calibration import histogram_of
from quantlib.calibration.mse import mse_range, quantization_error
from quantlib.calibration.search import search_range

SIZE = 50_000


def gaussian(size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(size)


def error_of(x: np.ndarray, low: float, high: float, levels: int, power: float = 2) -> float:
    """The error of a quantizer that is really run on the values."""
    step = (high - low) / levels
    zero = np.rint(-low / step)
    codes = np.clip(np.rint(x / step) + zero, 0, levels)
    return float(np.mean(np.abs(x - (codes - zero) * step) ** power))


def integrated(h, low: float, high: float, levels: int, power: float) -> float:
    """The same under the histogram's assumption: every bin as 2000 values, evenly spread, but one
    value at each extreme, where its bin ends; bins hold their inner edge if that is known."""
    within = (np.arange(2000) + 0.5) / 2000
    counts, points = h.counts.astype(float), []
    filled = np.flatnonzero(counts)
    for end, bin_, outer in (
        (h.minimum, filled[0], h.minimum < 0),
        (h.maximum, filled[-1], h.maximum > 0),
    ):
        if outer and not h.exact:
            points.append(end)
            counts[bin_] -= 1
    total = sum(error_of(np.array([end]), low, high, levels, power) for end in points)
    for i in filled:
        left, right = (h.origin + i) * h.width, (h.origin + i + 1) * h.width
        x = max(left, h.minimum) + (min(right, h.maximum) - max(left, h.minimum)) * within
        if h.exact:
            x = np.array([left if left >= 0 else right])
        total += counts[i] * error_of(x, low, high, levels, power)
    return total / h.count


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-100, 100, width=16), min_size=1, max_size=8).filter(any),
    st.sampled_from([1.0, 0.1]),
    st.floats(0.05, 1),
    st.floats(0.05, 1),
    st.sampled_from([1, 3, 7, 15, 255]),
    st.sampled_from([1.0, 2.0, 2.4, 4.0]),
)
def test_closed_form_equals_integration(
    values: list[float], factor: float, low: float, high: float, levels: int, power: float
) -> None:
    h = histogram_of(np.array(values) * factor)
    extent = max(-h.minimum, h.maximum)
    low, high = -low * extent, high * extent
    expected = integrated(h, low, high, levels, power)
    actual = quantization_error(h, low, high, levels, power)
    assert actual == pytest.approx(expected, rel=2e-2, abs=1e-9 * extent**power)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8, 16])
@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_error_of_real_data(bits: int, power: float) -> None:
    """The histogram predicts the error on the values behind it."""
    x = gaussian()
    actual = quantization_error(histogram_of(x), -2.5, 3.0, 2**bits - 1, power)
    assert actual == pytest.approx(error_of(x, -2.5, 3.0, 2**bits - 1, power), rel=0.01)


DATA = {
    "gauss": gaussian(),
    "laplace": np.random.default_rng(1).laplace(size=SIZE),
    "relu": np.maximum(gaussian(), 0),
    "gelu": gaussian() * 0.5 * (1 + erf(gaussian() / 2**0.5)),
    "student": np.random.default_rng(2).standard_t(3, SIZE),
    "outlier": np.append(gaussian(), 100.0),
    "outliers": np.append(gaussian(), [100.0, -30.0]),
    "lognormal": np.random.default_rng(3).lognormal(0, 1, SIZE),
    "shifted": gaussian() + 3,
    "uniform": np.random.default_rng(4).uniform(-1, 2, SIZE),
    "negative": -np.random.default_rng(5).exponential(size=SIZE),
}


@pytest.mark.parametrize("levels", [7, 15, 127, 255])
@pytest.mark.parametrize("name", DATA)
def test_one_end_is_nearly_optimal(name: str, levels: int) -> None:
    """No threshold of a dense grid has less error on the values, by more than one percent."""
    x = np.abs(DATA[name])
    low, high = mse_range(histogram_of(x), levels)
    assert low == 0
    least = min(error_of(x, 0, t, levels) for t in x.max() * np.geomspace(0.01, 1, 300))
    assert error_of(x, 0, high, levels) <= 1.01 * least


@pytest.mark.parametrize("levels", [15, 255])
@pytest.mark.parametrize("name", DATA)
def test_two_ends_are_nearly_optimal(name: str, levels: int) -> None:
    """Nor does any pair of ends of a grid in two dimensions."""
    x = DATA[name]
    h = histogram_of(x)
    low, high = mse_range(h, levels)
    assert min(x.min(), 0) <= low <= 0 <= high <= max(x.max(), 0)
    shrink = np.geomspace(0.03, 1, 30)
    lows, highs = min(x.min(), 0) * shrink, max(x.max(), 0) * shrink
    least = min(
        quantization_error(h, a, b, levels) for a in np.unique(lows) for b in np.unique(highs)
    )
    assert quantization_error(h, low, high, levels) <= 1.03 * least


def test_outlier_costs_what_it_costs() -> None:
    """An outlier in a million values is clipped; among ten values it is not."""
    h = histogram_of(np.append(np.tile(gaussian(), 20), 20.0))
    assert mse_range(h, 15)[1] < 5
    assert mse_range(histogram_of(np.append(gaussian(9), 20.0)), 255)[1] > 15


def test_power_moves_the_range() -> None:
    """The higher the power, the less is clipped."""
    h = histogram_of(gaussian())
    ends = [mse_range(h, 15, power)[1] for power in (1.0, 2.0, 4.0)]
    assert ends[0] < ends[1] < ends[2]


@settings(deadline=None, max_examples=25)
@given(st.floats(0.01, 1), st.floats(0.01, 1), st.floats(1, 1000), st.floats(1, 1000))
def test_search_finds_a_smooth_minimum(a: float, b: float, below: float, above: float) -> None:
    best_low, best_high = -a * below, b * above

    def cost(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        return (low / best_low - 1) ** 2 + (high / best_high - 1) ** 2

    low, high = search_range(cost, -below, above)
    assert low == pytest.approx(best_low, rel=0.01)
    assert high == pytest.approx(best_high, rel=0.01)


def test_search_of_the_mirrored_cost_is_mirrored() -> None:
    """Whichever end is longer: it goes first, which a cost with a slanted valley shows."""

    def cost(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        return (low + 1.3) ** 2 + (high - 2.1) ** 2 + (high + 3 * low + 1) ** 2

    low, high = search_range(cost, -4.0, 9.0)
    assert search_range(lambda low, high: cost(-high, -low), -9.0, 4.0) == (-high, -low)


def test_search_takes_the_wider_of_equal_ranges() -> None:
    assert search_range(lambda low, high: np.zeros_like(low), -3.0, 5.0) == (-3.0, 5.0)
    assert search_range(lambda low, high: np.zeros_like(low), -7.0, 0.0) == (-7.0, 0.0)
