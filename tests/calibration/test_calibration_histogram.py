"""The histogram: what its bins mean, and that no batching can show in it."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantlib._arguments.summary import BINS_PER_SIDE
from quantlib.calibration import Histogram, histogram_of

FINITE = st.floats(allow_nan=False, allow_infinity=False)
ARRAYS = hnp.arrays(np.float64, st.integers(1, 40), elements=FINITE)
ONE_SCALE = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-100, 100))


def naive(x: np.ndarray) -> dict[int, int]:
    """Bin index to count, one exact value at a time."""
    exponent = histogram_of(x).exponent
    counts: dict[int, int] = {}
    for value in x.ravel().tolist():
        if value:
            index = math.floor(abs(value) / 2.0**exponent)
            index = index if value > 0 else -1 - index
            counts[index] = counts.get(index, 0) + 1
    return counts


def as_dict(h: Histogram) -> dict[int, int]:
    return {h.origin + i: int(n) for i, n in enumerate(h.counts) if n}


def test_bins_of_a_small_example() -> None:
    """4095 needs bins of width 1; the values on edges go to the bin farther from 0."""
    h = histogram_of(np.array([-2.0, -1.5, 0.0, 0.0, 1.0, 4095.5]))
    assert (h.width, h.origin, h.zeros, h.count) == (1.0, -3, 2, 6)
    assert as_dict(h) == {-3: 1, -2: 1, 1: 1, 4095: 1}
    assert (h.minimum, h.maximum) == (-2.0, 4095.5)
    assert (h.lowest, h.highest) == (-2.0, 4095.5)


@pytest.mark.parametrize("magnitude", [1e-300, 2.0**-126, 1.0, 4095.0, 4096.0, 1e30, 1.7e308])
def test_resolution(magnitude: float) -> None:
    """The largest magnitude has between half of the bins and all of them."""
    h = histogram_of(np.array([magnitude]))
    assert BINS_PER_SIDE / 2 <= magnitude / h.width < BINS_PER_SIDE


@given(ONE_SCALE)
def test_counts_equal_naive_ones(x: np.ndarray) -> None:
    h = histogram_of(x)
    assert as_dict(h) == naive(x)
    assert h.zeros == np.count_nonzero(x == 0)
    assert h.count == x.size


@given(ARRAYS)
def test_mirror(x: np.ndarray) -> None:
    h, mirrored = histogram_of(x), histogram_of(-x)
    assert np.array_equal(mirrored.counts, h.counts[::-1])
    assert np.array_equal(mirrored.negative, h.positive)
    assert (mirrored.minimum, mirrored.maximum) == (-h.maximum, -h.minimum)


@given(ARRAYS)
def test_magnitudes(x: np.ndarray) -> None:
    assert histogram_of(x).magnitudes().counts.tolist() == histogram_of(np.abs(x)).counts.tolist()
    assert histogram_of(x).magnitudes().maximum == np.abs(x).max()


@given(ONE_SCALE.filter(lambda x: np.abs(x).max() > 1e-200), st.integers(-300, 300))
def test_power_of_two_scaling(x: np.ndarray, k: int) -> None:
    x = np.where(np.abs(x) > 1e-200, x, 0)
    h, scaled = histogram_of(x), histogram_of(np.ldexp(x, k))
    assert np.array_equal(h.counts, scaled.counts)
    assert scaled.exponent == h.exponent + k


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.uint8, np.int32, ">f4"])
def test_other_types_count_as_float64(dtype: object) -> None:
    x = np.random.default_rng(0).integers(0, 100, 1000).astype(dtype)
    assert histogram_of(x) == histogram_of(x.astype(np.float64))


def test_more_values_than_a_block() -> None:
    x = np.random.default_rng(0).standard_normal(40_000)
    h = histogram_of(x)
    assert h.count == x.size
    assert as_dict(h) == naive(x)


def test_strided_and_read_only_input() -> None:
    x = np.random.default_rng(0).standard_normal((40, 30))
    view = x[::2, ::-3]
    view.setflags(write=False)
    assert histogram_of(view) == histogram_of(view.copy())


def test_empty() -> None:
    empty = histogram_of(np.zeros(0))
    assert (empty.count, empty.counts.size, empty.exact) == (0, 0, True)
    assert (empty.minimum, empty.maximum) == (np.inf, -np.inf)


def test_exact() -> None:
    """Integers are on edges until bins get wider than 1."""
    assert histogram_of(np.arange(-9, 4096)).exact
    assert not histogram_of(np.arange(-9, 4097)).exact
    assert histogram_of(4 * np.arange(-9, 4096)).exact
    assert not histogram_of([1.0, 0.1]).exact


def test_zeros_only() -> None:
    h = histogram_of(np.array([0.0, -0.0]))
    assert (h.counts.size, h.zeros, h.minimum, h.maximum) == (0, 2, 0.0, 0.0)
    assert math.copysign(1, histogram_of(np.array([-0.0])).minimum) == 1


def test_unequal_to_others() -> None:
    h = histogram_of(np.array([1.0]))
    assert h != histogram_of(np.array([1.0, 1.0]))
    assert h != "histogram"


def test_pickle() -> None:
    h = histogram_of(np.array([-1.0, 0.0, 2.0]))
    assert pickle.loads(pickle.dumps(h)) == h
