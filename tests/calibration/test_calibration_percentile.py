"""Min-max and percentiles: exact counts of what is left out, and the bound of one bin."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantlib.calibration import histogram_of
from quantlib.calibration.minmax import minmax_range
from quantlib.calibration.percentile import SIDES, percentile_of, percentile_range

ARRAYS = hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(-10, 10, width=16))
PERCENTILES = st.one_of(st.sampled_from([100.0, 99.99, 99.9, 50.0]), st.floats(0.01, 100))


@given(ARRAYS)
def test_minmax_is_exact(x: np.ndarray) -> None:
    assert minmax_range(histogram_of(x)) == (min(x.min(), 0), max(x.max(), 0))


@given(ARRAYS, PERCENTILES)
def test_ends_are_within_a_bin_of_the_order_statistics(x: np.ndarray, percentile: float) -> None:
    """The exact ends by sorting; the result is never tighter, and wider by a bin at most."""
    left_out = int(x.size * (100 - Fraction(repr(percentile))) / 100)
    if x.min() < 0 < x.max():
        left_out //= 2
    ordered = np.sort(x)
    exact_low, exact_high = min(ordered[left_out], 0), max(ordered[-1 - left_out], 0)
    h = histogram_of(x)
    low, high = percentile_range(h, percentile)
    assert exact_low - h.width <= low <= exact_low
    assert exact_high <= high <= exact_high + h.width
    assert x.min() <= low or low == 0
    assert high <= x.max() or high == 0


@given(ARRAYS, PERCENTILES)
def test_keeps_at_least_the_share(x: np.ndarray, percentile: float) -> None:
    low, high = percentile_range(histogram_of(x), percentile)
    kept = np.count_nonzero((low <= x) & (x <= high))
    assert kept >= x.size * Fraction(repr(percentile)) / 100


@given(ARRAYS)
def test_100_is_minmax(x: np.ndarray) -> None:
    assert percentile_range(histogram_of(x), 100) == minmax_range(histogram_of(x))


@given(ARRAYS, PERCENTILES)
def test_mirror(x: np.ndarray, percentile: float) -> None:
    low, high = percentile_range(histogram_of(x), percentile)
    assert percentile_range(histogram_of(-x), percentile) == (-high, -low)


@pytest.mark.parametrize("value", [3.0, -3.0, 1e-30, -1e30])
@pytest.mark.parametrize("percentile", [0.5, 99.99, 100.0])
def test_constant(value: float, percentile: float) -> None:
    """Peers return a lower end above the upper one here."""
    x = np.full(1000, value)
    assert percentile_range(histogram_of(x), percentile) == (min(value, 0), max(value, 0))


def test_decimal_share() -> None:
    """0.1 percent of 1000 is exactly one value, though ``100 - 99.9`` is less than 0.1."""
    x = np.arange(1, 1001.0)
    assert percentile_range(histogram_of(x), 99.9) == (0.0, 999.0)
    assert percentile_range(histogram_of(x + 0.1), 99.9) == (0.0, 999.25)


def test_two_sided_data_shares_what_is_left_out() -> None:
    x = np.arange(-1000.0, 1001.0)  # 2001 values, 20 of them left out, 10 at each end
    assert percentile_range(histogram_of(x), 99.0) == (-990.0, 990.0)
    assert percentile_range(histogram_of(x * 1.0001), 99.0) == (-990.25, 990.25)


def test_one_side() -> None:
    x = np.arange(-1000.0, 1001.0)
    assert percentile_range(histogram_of(x), 99.0, "upper") == (-1000.0, 980.0)
    assert percentile_range(histogram_of(x), 99.0, "lower") == (-980.0, 1000.0)


@given(ARRAYS, PERCENTILES, st.sampled_from(SIDES))
def test_the_reported_error_holds(x: np.ndarray, percentile: float, side: str) -> None:
    """Both ends against sorting, without the widening to 0, and no error where none may be."""
    left_out = int(x.size * (100 - Fraction(repr(percentile))) / 100)
    lower = upper = left_out
    if side != "both":
        lower, upper = (left_out, 0) if side == "lower" else (0, left_out)
    elif x.min() < 0 < x.max():
        lower = upper = left_out // 2
    else:
        lower, upper = (0, left_out) if x.min() >= 0 else (left_out, 0)
    ordered = np.sort(x)
    h = histogram_of(x)
    answer = percentile_of(h, percentile, side)
    assert answer.low <= ordered[lower] <= answer.low + answer.low_error
    assert answer.high - answer.high_error <= ordered[-1 - upper] <= answer.high
    assert 0 <= answer.low_error <= h.width
    assert 0 <= answer.high_error <= h.width
    if h.exact or left_out == 0:
        assert answer.low_error == answer.high_error == 0


def test_high_percentiles_mean_something() -> None:
    """99.99 and 99.999 of a million values: within a bin of what sorting gives."""
    x = np.random.default_rng(0).standard_t(3, 1_000_000)
    ordered = np.sort(x)
    for percentile, left_out in ((99.99, 100), (99.999, 10), (99.9999, 1)):
        answer = percentile_of(histogram_of(x), percentile, "upper")
        exact = ordered[-1 - left_out]
        assert answer.high - answer.high_error <= exact <= answer.high
        assert answer.high_error <= np.abs(x).max() / 2048


def test_mostly_zeros() -> None:
    x = np.zeros(10_000)
    x[:50] = 7.0
    assert percentile_range(histogram_of(x), 99.0) == (0.0, 0.0)
    assert percentile_range(histogram_of(x), 99.9) == (0.0, 7.0)
