"""Fused multiply-adds instead of conversions and products: ``csrc/fused.c`` promises that no code
changes, for any sum within reach. They are computed here in float64, where they are exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlib._native.library import FLOATS, INT32S, ffi, lib

REACH = 1 << 20  # times 2**-6 it fits 16 bits


def fuse(multiplier, reach):
    """Starts and addends of float32 multipliers, or None if C declines them."""
    multiplier = np.asarray(multiplier, np.float32)
    start, addend = np.empty(multiplier.size, np.int32), np.empty(multiplier.size, np.float32)
    pointers = ffi.from_buffer(INT32S, start), ffi.from_buffer(FLOATS, addend)
    status = lib.ql_fuse(ffi.from_buffer(FLOATS, multiplier), multiplier.size, reach, *pointers)
    assert status in (lib.QL_OK, lib.QL_DECLINED)
    return (start, addend) if status == lib.QL_OK and np.isfinite(addend).all() else None


def rounded(sums, multiplier, start, addend):
    """The integers next to the fused multiply-adds of all sums."""
    bits = (sums + start).astype(np.int32)
    reals = bits.view(np.float32).astype(np.float64)
    assert (reals == reals[0] + (sums - sums[0])).all()
    # 24 by 24 bits are exact in 53, and so is the difference of what is so near to each other.
    exact = reals * np.float64(np.float32(multiplier)) + np.float64(addend)
    return np.rint(exact.astype(np.float32)).astype(np.int64)


def expected(sums, multiplier):
    return np.rint(sums.astype(np.float32) * np.float32(multiplier)).astype(np.int64)


def compare(multiplier, reach):
    fused = fuse([multiplier], reach)
    if fused is None:
        return False
    sums = np.arange(-reach, reach + 1)
    ours = rounded(sums, multiplier, fused[0][0], fused[1][0])
    theirs = expected(sums, multiplier)
    np.testing.assert_array_equal(np.clip(ours, -256, 256), np.clip(theirs, -256, 256))
    assert np.abs(ours).max() < 2**15 - 256
    return True


@settings(max_examples=15)
@given(st.floats(2.0**-20, 2.0**-6, width=32))
def test_no_code_changes(multiplier):
    compare(multiplier, REACH)


def test_few_are_declined():
    """Only where a product lies all but in the middle between two floats."""
    multipliers = np.geomspace(2e-4, 2e-2, 3000, dtype=np.float32)
    assert sum(fuse([multiplier], 300_000) is None for multiplier in multipliers) < 10


@pytest.mark.parametrize("reach", [0, 1, 255 * 9 * 128, 4_161_600])
def test_reach(reach):
    for multiplier in 0.005, 1 / 256, 2.0**-10, 3e-3, 0.0019531251:
        assert compare(multiplier, reach) or reach * multiplier > 2000


def test_multipliers_of_few_bits():
    """Products that lie exactly half-way between two codes, or two floats."""
    for numerator in range(1, 32, 2):
        for exponent in 9, 14:
            reach = min(1 << 17, (31000 << exponent) // numerator)
            assert compare(numerator / 2.0**exponent, reach)
    for exponent in range(6, 20):
        assert compare(2.0**-exponent, min(1 << 17, 31000 << exponent))


def test_each_multiplier_has_its_own():
    multipliers = np.linspace(1e-4, 2e-2, 200, dtype=np.float32).repeat(2)
    start, addend = (
        np.concatenate(two) for two in zip(*map(alone_or_not, multipliers), strict=True)
    )
    many = np.empty(400, np.int32), np.empty(400, np.float32)
    pointers = ffi.from_buffer(INT32S, many[0]), ffi.from_buffer(FLOATS, many[1])
    lib.ql_fuse(ffi.from_buffer(FLOATS, multipliers), 400, 300_000, *pointers)
    fine = np.isfinite(addend)
    for first in range(0, 400, 64):
        block = slice(first, first + 64)
        if fine[block].all():
            np.testing.assert_array_equal(many[0][block], start[block])
            np.testing.assert_array_equal(many[1][block], addend[block])
        else:
            assert (many[0][block] == 0).all()
            assert np.isnan(many[1][block]).all()


def alone_or_not(multiplier):
    """What one multiplier has alone."""
    alone = fuse([multiplier], 300_000)
    return alone if alone is not None else (np.zeros(1, np.int32), np.full(1, np.nan, np.float32))


@pytest.mark.parametrize(
    "multiplier", [0.0, -0.01, 1.5, 1e-7, 1e-40, float("inf"), float("nan"), 3e38]
)
def test_declined(multiplier):
    assert fuse([0.01, multiplier], 1000) is None


@pytest.mark.parametrize("reach", [-1, 1 << 22, 1 << 40])
def test_declined_reach(reach):
    assert fuse([1e-4], reach) is None
    assert fuse([0.01], 3_300_000) is None  # products beyond 16 bits
