"""Accumulators to codes: the rounding that every quantized product ends with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import quantlib as ql
from quantlib import reference
from quantlib.testing import assert_bit_exact, exact, interesting_sizes, memory_layouts

SIZES = interesting_sizes(8, 16, 32)
BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])
CODE_TYPES = pytest.mark.parametrize("dtype", [np.int8, np.uint8])
ACCUMULATORS = st.one_of(
    st.integers(-2000, 2000),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-32, 31).map(lambda i: i * 2**26),
    st.integers(2**24 - 3, 2**24 + 3),  # where float32 stops holding every integer
)
MULTIPLIERS = st.one_of(
    st.integers(-30, 10).map(lambda e: 2.0**e),
    st.floats(2.0**-40, 2.0**10, width=32),
    st.sampled_from([float(np.float32(1e-45)), 1.1754943508222875e-38, 3.4028234663852886e38]),
)


# ---- examples -----------------------------------------------------------------------------------


@BOTH
def test_by_hand(layer: Any) -> None:
    """Halves go to the even integer, then the zero point is added: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2."""
    acc = np.int32([-5, -3, -1, 0, 1, 3, 5, 7, 100, 10**9, -(10**9)])
    codes = layer.requantize(acc, 0.5, np.int8(1))
    assert codes.tolist() == [-1, -1, 1, 1, 1, 3, 3, 5, 51, 127, -128]


@BOTH
def test_accumulator_is_rounded_before_the_product(layer: Any) -> None:
    """2**24 + 1 is no float32. It becomes 2**24, and the product 2.5, which rounds to 2; the
    exact product is a little above 2.5 and would round to 3."""
    acc = np.int32([2**24 + 1, 2**24 + 2])
    multiplier = np.float32(2.5 * 2.0**-24)
    assert layer.requantize(acc, multiplier, np.uint8(0)).tolist() == [2, 3]


@BOTH
def test_per_channel_by_hand(layer: Any) -> None:
    acc = np.int32([[10, 10], [20, 20]])
    assert layer.requantize(acc, [1.0, 0.1], np.int8(0)).tolist() == [[10, 1], [20, 2]]
    assert layer.requantize(acc, [1.0, 0.1], np.int8(0), axis=0).tolist() == [[10, 10], [2, 2]]


# ---- oracle -------------------------------------------------------------------------------------


@CODE_TYPES
def test_sizes(isa: str, agree: Any, rng: np.random.Generator, dtype: Any) -> None:
    limits, free = np.iinfo(dtype), 0
    for size in SIZES:
        acc = rng.normal(0, 30_000, size).astype(np.int32)
        zero_point = dtype((limits.min + limits.max + 1) // 2)
        codes = agree("requantize", acc, np.float32(1.3e-3), zero_point)
        free += np.count_nonzero((codes > limits.min) & (codes < limits.max))
    assert free > 0.9 * sum(SIZES)


@CODE_TYPES
def test_channels(isa: str, agree: Any, rng: np.random.Generator, dtype: Any) -> None:
    for channels in SIZES:
        multiplier = rng.uniform(5e-4, 3e-3, channels).astype(np.float32)
        for axis, shape in ((-1, (5, channels)), (0, (channels, 9)), (1, (3, channels, 2))):
            acc = rng.normal(0, 30_000, shape).astype(np.int32)
            agree("requantize", acc, multiplier, dtype(100), axis=axis)


@CODE_TYPES
def test_ties(isa: str, agree: Any, rng: np.random.Generator, dtype: Any) -> None:
    acc = np.arange(-700, 700, dtype=np.int32)
    for shift in (1, 2, 3):
        for zero_point in (0, 1, np.iinfo(dtype).min, np.iinfo(dtype).max):
            agree("requantize", acc, 2.0**-shift, dtype(zero_point))


@given(
    acc=hnp.arrays(np.int32, hnp.array_shapes(max_dims=3, max_side=9), elements=ACCUMULATORS),
    multiplier=MULTIPLIERS,
    zero_point=st.one_of(st.integers(-128, 127).map(np.int8), st.integers(0, 255).map(np.uint8)),
)
def test_anything(isa: str, agree: Any, acc: Any, multiplier: float, zero_point: Any) -> None:
    agree("requantize", acc, multiplier, zero_point)


def test_parameters_are_known_by_their_values(isa: str, agree: Any) -> None:
    """What is made of parameters is kept from call to call: the same arrays with other contents
    are others, and so are equal numbers of other types."""
    acc, multiplier = np.int32([[-3000, 200], [7000, -5]]), np.float32([0.01, 0.02])
    for axis in (0, 1, -1):
        for zero_point in (np.int8(3), np.uint8(3), np.uint8([3])):
            agree("requantize", acc, multiplier, zero_point, axis=axis)
            multiplier *= 1.5


def test_layouts_and_out(isa: str, agree: Any, rng: np.random.Generator) -> None:
    acc = rng.normal(0, 3000, (7, 19)).astype(np.int32)
    expected = reference.requantize(acc, 0.01, np.uint8(120))
    for layout in memory_layouts(acc).values():
        assert_bit_exact(ql.requantize(layout, 0.01, np.uint8(120)), expected)
    agree.written("requantize", acc, 0.01, np.uint8(120))
    agree.overlapping("requantize", acc, 0.01, np.uint8(120))


# ---- exact fractions ----------------------------------------------------------------------------


@BOTH
@given(
    acc=st.lists(ACCUMULATORS, min_size=1, max_size=20),
    multiplier=MULTIPLIERS,
    zero_point=st.integers(-128, 127),
)
def test_codes_are_those_of_exact_arithmetic(
    layer: Any, acc: list[int], multiplier: float, zero_point: int
) -> None:
    witness = [exact.requantize(a, multiplier, zero_point) for a in acc]
    codes = layer.requantize(np.asarray(acc, np.int32), multiplier, np.int8(zero_point))
    assert codes.tolist() == witness


# ---- laws ---------------------------------------------------------------------------------------


@given(multiplier=MULTIPLIERS, zero_point=st.integers(0, 255))
def test_monotone_and_zero_is_the_zero_point(multiplier: float, zero_point: int) -> None:
    acc = np.sort(np.int32([0, -1, 1, 5, -(2**31), 2**31 - 1, *range(-100_000, 100_000, 997)]))
    codes = ql.requantize(acc, multiplier, np.uint8(zero_point)).astype(int)
    assert np.all(np.diff(codes) >= 0)
    assert codes[np.flatnonzero(acc == 0)[0]] == zero_point


@given(
    acc=hnp.arrays(np.int32, 40, elements=st.integers(-30_000, 30_000)),
    multiplier=st.floats(2.0**-13, 2.0**-7, width=32),
)
def test_odd_symmetry(acc: np.ndarray, multiplier: float) -> None:
    """Half to even treats both signs alike, which half up and half away with a shift do not."""
    positive = ql.requantize(acc, multiplier, np.int8(0)).astype(int)
    negative = ql.requantize(-acc, multiplier, np.int8(0)).astype(int)
    inside = (abs(positive) < 127) & (abs(negative) < 127)
    np.testing.assert_array_equal(positive[inside], -negative[inside])
