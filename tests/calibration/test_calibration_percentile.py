"""Min-max and percentiles: exact counts of what is left out, and the bound of one bin."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantlib.calibration import histogram_of
from quantlib.calibration.minmax import minmax_range
from quantlib.calibration.percentile import percentile_range

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
    low, high = percentile_range(histogram_of(x), 99.9)
    assert (low, high) == (0.0, 999.25)


def test_two_sided_data_shares_what_is_left_out() -> None:
    x = np.arange(-1000.0, 1001.0)  # 2001 values, 20 of them left out, 10 at each end
    assert percentile_range(histogram_of(x), 99.0) == (-990.25, 990.25)


def test_mostly_zeros() -> None:
    x = np.zeros(10_000)
    x[:50] = 7.0
    assert percentile_range(histogram_of(x), 99.0) == (0.0, 0.0)
    assert percentile_range(histogram_of(x), 99.9) == (0.0, 7.0)
