"""Summaries: the histogram, the counts and the exact sums, on every instruction set."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import quantlib as ql
from quantlib.testing import memory_layouts
from thread_counts import use_threads

BLOCK = 16384  # values that the C core takes at a time
SIZES = [0, 1, 3, 4, 7, 8, 9, 127, 128, 129, 255, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5]


def integer(digits: np.ndarray) -> int:
    return int.from_bytes(digits.astype("<u4").tobytes(), "little", signed=True)


def data_of_all_kinds(rng: np.random.Generator) -> dict[str, np.ndarray]:
    gaussian = rng.standard_normal(3000)
    return {
        "gaussian": gaussian,
        "relu": np.maximum(gaussian, 0),
        "student": rng.standard_t(1, 3000),
        "all magnitudes": gaussian * 2.0 ** rng.integers(-130, 120, 3000),
        "integers": rng.integers(-500, 500, 3000).astype(np.float64),
        "edges": rng.integers(-5000, 5000, 3000) / 512.0,
        "constant": np.full(3000, 0.1),
        "zeros": np.zeros(3000),
        "negative zeros": np.copysign(np.zeros(3000), gaussian),
        "tiny": gaussian * 2.0**-140,
        "huge": gaussian * 2.0**124,
        "one outlier": np.append(gaussian, 1e30),
        "squares that need both terms": 1 + rng.integers(0, 2**23, 3000) * 2.0**-23,
        "least that is kept": np.array([0.999] + [2.0**-19 * (1 + k * 2.0**-23) for k in range(9)]),
        "least double": np.array([0.999] + [2.0**-27 * (1 + k * 2.0**-52) for k in range(-9, 9)]),
        "small doubles": gaussian * 1e-200,
        "large doubles": gaussian * 1e160,
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_sizes(isa: str, agree: Any, rng: np.random.Generator, size: int, dtype: Any) -> None:
    agree("summarize", rng.standard_normal(size).astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kinds(isa: str, agree: Any, rng: np.random.Generator, dtype: Any) -> None:
    for x in data_of_all_kinds(rng).values():
        with np.errstate(over="ignore"):  # of the large doubles
            agree("summarize", x.astype(dtype))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_integers(isa: str, agree: Any, rng: np.random.Generator, dtype: Any) -> None:
    ends = np.iinfo(dtype)
    agree("summarize", rng.integers(ends.min, ends.max, 1000, dtype, endpoint=True))


def test_a_range_that_grows(isa: str, agree: Any) -> None:
    """Each block widens the bins of those before it, by one doubling and by very many."""
    for growth in (2.0, 3.7, 1e9, 1e15):
        x = np.concatenate([np.linspace(-0.5, 1, BLOCK) * growth**k for k in range(3)])
        agree("summarize", x)
        agree("summarize", x.astype(np.float32))
    integers = np.concatenate([np.arange(-9.0, BLOCK - 9), np.full(5, 2.0**20)])
    assert not agree("summarize", integers).exact
    assert agree("summarize", integers * 512 // 512 // 512 * 512).exact


def test_blocks_that_are_not_finite(isa: str, agree: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal(4 * BLOCK).astype(np.float32)
    x[[5, 700]] = np.nan, -np.inf
    x[BLOCK : 2 * BLOCK] = np.inf
    x[3 * BLOCK + 1] = np.nan
    for data in (x, x.astype(np.float64), np.full(9, np.nan), np.float32([np.inf, 0.0])):
        result = agree("summarize", data)
        assert result.nonfinite == np.sum(~np.isfinite(data))


def test_channels(isa: str, agree: Any, rng: np.random.Generator) -> None:
    scales = np.array([1e-30, 1.0, 0.0, 1e30, 77.0])
    x = rng.standard_normal((40, 5, 30)) * scales[:, np.newaxis]
    for dtype in (np.float32, np.float64):
        data = x.astype(dtype)
        whole = agree("summarize", data, axis=1)
        for channel in range(5):
            alone = agree("summarize", data[:, channel])
            for field, single in zip(whole, alone, strict=True):
                assert np.array_equal(field[channel], single)
        agree("summarize", data, axis=-1)
        agree("summarize", data[:, :0], axis=1)
        agree("summarize", data[:0], axis=1)


def test_memory_layouts(isa: str, agree: Any, rng: np.random.Generator) -> None:
    for x in memory_layouts(rng.standard_normal((6, 50)).astype(np.float32)).values():
        agree("summarize", x)
        agree("summarize", x, axis=0)


@given(
    hnp.arrays(
        np.float32,
        st.integers(0, 50),
        elements=st.floats(width=32) | st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0**-20]),
    )
)
def test_any_floats(x: np.ndarray) -> None:
    fast, definition = ql.summarize(x), ql.reference.summarize(x)
    assert all(np.array_equal(a, b) for a, b in zip(fast, definition, strict=True))


def test_every_block_can_be_the_most_that_a_double_adds_up(isa: str, agree: Any) -> None:
    """All values as large as they may be, and so are all partial sums."""
    largest = np.full(BLOCK, np.nextafter(np.float32(1), np.float32(0)))
    agree("summarize", largest)
    agree("summarize", -largest)
    double = largest.astype(np.float64)
    agree("summarize", np.full_like(double, np.nextafter(1, 0)))
    agree("summarize", double - 2.0**-21 - 2.0**-41)  # parts of which the rest is half a unit
    odd = np.full(BLOCK, np.float32(2.0**-19 * (1 + 2.0**-23)))
    odd[0] = largest[0]
    agree("summarize", odd)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_of_a_kind(isa: str, dtype: Any) -> None:
    """More in one bin, and more zeros, than the counts within the C core hold."""
    many = 20 * BLOCK + 3
    s = ql.summarize(np.repeat(np.array([0.75, 0], dtype), many))
    assert np.flatnonzero(s.counts).tolist() == [4096 + 3072]
    assert s.counts.max() == s.zeros == many
    assert integer(s.sum) == many * 3 * 2**1072
    assert integer(s.squares) == many * 9 * 2**2144


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axis", [None, 0])
def test_threads_do_not_show(isa: str, rng: np.random.Generator, dtype: Any, axis: Any) -> None:
    """Parts with other ranges, zeros and values that are not finite; and rows."""
    x = rng.standard_normal((3, 1 << 18)).astype(dtype)
    x[0] *= 1e-9
    x[1, ::3] = 0
    x[2, 7] = np.nan
    x[2, -1] = 1e9
    with use_threads(1):
        alone = ql.summarize(x, axis=axis)
    with use_threads(3):
        together = ql.summarize(x, axis=axis)
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


class TestDefinition:
    """The definition against fractions and loops."""

    def test_sums(self, rng: np.random.Generator) -> None:
        for x in data_of_all_kinds(rng).values():
            s = ql.reference.summarize(x)
            fractions = [Fraction(v) for v in x.tolist()]
            assert integer(s.sum) == sum(fractions) * 2**1074
            assert integer(s.squares) == sum(f * f for f in fractions) * 2**2148

    def test_largest_sums_fit(self) -> None:
        x = np.full(1000, -np.finfo(np.float64).max)
        s = ql.summarize(x)
        assert integer(s.sum) == 1000 * int(x[0]) * 2**1074
        assert integer(s.squares) == 1000 * int(x[0]) ** 2 * 2**2148
        assert 32 * s.sum.size >= 1074 + 1024 + 63 + 1
        assert 32 * s.squares.size >= 2 * (1074 + 1024) + 63 + 1

    def test_bins(self, rng: np.random.Generator) -> None:
        x = rng.standard_normal(500)
        s = ql.reference.summarize(x)
        width = 2.0 ** int(s.exponent)
        assert 2048 * width <= np.abs(x).max() < 4096 * width
        for bin_, count in enumerate(s.counts):
            low, high = (bin_ - 4096) * width, (bin_ - 4095) * width
            inside = (x >= low) & (x < high) if bin_ >= 4096 else (x > low) & (x <= high)
            assert count == np.sum(inside & (x != 0))

    def test_by_hand(self) -> None:
        s = ql.reference.summarize([-1.0, -0.0, 0.0, np.nan, 4095.0, -np.inf, 2.5])
        assert dict(zip(*np.nonzero(s.counts), s.counts[s.counts > 0], strict=True)) == {
            4094: 1,
            4098: 1,
            8191: 1,
        }
        assert (s.exponent, s.zeros, s.nonfinite, s.exact) == (0, 2, 2, False)
        assert (s.minimum, s.maximum) == (-1, 4095)


@pytest.mark.parametrize("layer", [ql, ql.reference], ids=["fast", "reference"])
@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, "x must be float", {"x": np.array([True])}),
        (TypeError, "x must be float", {"x": np.array([1j])}),
        (TypeError, "axis must be an integer", {"axis": 1.5}),
        (ValueError, "axis is 2", {"axis": 2}),
    ],
)
def test_errors(layer: Any, error: type[Exception], message: str, arguments: Any) -> None:
    with pytest.raises(error, match=message):
        layer.summarize(**{"x": np.ones((2, 2)), **arguments})
