"""Sums and products of quantized arrays: examples, oracle, laws, exact fractions."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quantlib as ql
from quantlib import reference
from quantlib.testing import assert_bit_exact, exact, extreme_codes, interesting_sizes
from quantlib.testing.inputs import memory_layouts

SIZES = interesting_sizes(16, 32, 64)
BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])
BYTES = [np.int8, np.uint8]
TYPES = pytest.mark.parametrize(
    ("left", "right", "result"),
    [(np.uint8, np.uint8, np.uint8), (np.int8, np.int8, np.int8), (np.uint8, np.int8, np.int8)],
)
SHAPES = [
    ((3, 5), (5,)),
    ((4,), (3, 1)),
    ((1, 7, 1), (5, 1, 19)),
    ((2, 3, 4, 33), (3, 1, 1)),
    ((2, 1, 4, 33), (2, 6, 1, 33)),
    ((), (70,)),
    ((5, 6), ()),
    ((), ()),
    ((1, 1), (1,)),
    ((0, 3), (3,)),
    ((3, 1, 2), (3, 0, 2)),
]


def draw(rng: np.random.Generator, shape: Any, dtype: Any) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)


def middle(dtype: Any) -> Any:
    return dtype(np.iinfo(dtype).min + 120)


# ---- examples -----------------------------------------------------------------------------------


@BOTH
def test_sum_by_hand(layer: Any) -> None:
    """0.5 * (a - 10) + 0.25 * (b - 4), in steps of 0.5: ties 0.5 -> 0, 1.5 -> 2, 2.5 -> 2."""
    a, b = np.uint8([10, 11, 12, 9, 255]), np.uint8([5, 5, 5, 5, 255])
    codes = layer.qlinear_add(a, 0.5, 10, b, 0.25, 4, 0.5, np.int8(1))
    assert codes.tolist() == [1, 3, 3, 1, 127]
    assert codes.dtype == np.int8


@BOTH
def test_product_by_hand(layer: Any) -> None:
    a, b = np.int8([-3, 4, 5, 127]), np.uint8([7, 7, 4, 255])
    codes = layer.qlinear_mul(a, 0.5, 1, b, 0.5, 4, 0.5, 0)  # (a - 1) * (b - 4) / 2
    assert codes.tolist() == [-6, 4, 0, 127]
    assert codes.dtype == np.int8


@BOTH
def test_activation_keeps_codes_between_its_bounds(layer: Any) -> None:
    a, b = np.int8([-50, -2, 10, 100]), np.int8([0, 1, 2, 3])
    assert layer.qlinear_add(a, 1, 0, b, 1, 0, 1, 5, activation="relu").tolist() == [5, 5, 17, 108]
    kept = layer.qlinear_mul(a, 1, 0, b, 1, 0, 1, 0, activation=(-1.0, 6.0))
    assert kept.tolist() == [0, -1, 6, 6]


@BOTH
def test_enormous_quotients_of_scales_saturate(layer: Any) -> None:
    a, b = np.int8([-1, 0, 1, 1]), np.int8([0, 0, 0, -1])
    codes = layer.qlinear_add(a, 1e30, 0, b, 1e30, 0, 1.0, np.uint8(9))
    assert codes.tolist() == [0, 9, 255, 9]
    tiny = layer.qlinear_mul(a, 1e-30, 0, a, 1e-30, 0, 1.0, np.uint8(9))
    assert tiny.tolist() == [9, 9, 9, 9]


# ---- oracle -------------------------------------------------------------------------------------


@TYPES
def test_sizes(
    isa: str, agree: Any, rng: np.random.Generator, left: Any, right: Any, result: Any
) -> None:
    limits, free = np.iinfo(result), 0
    for size in SIZES:
        a, b = draw(rng, size, left), draw(rng, size, right)
        first, second = (a, 0.02, middle(left)), (b, 0.013, middle(right))
        total = agree("qlinear_add", *first, *second, 0.04, middle(result))
        product = agree("qlinear_mul", *first, *second, 0.014, middle(result))
        for codes in (total, product):
            free += np.count_nonzero((codes > limits.min) & (codes < limits.max))
    assert free > 1.5 * sum(SIZES)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@TYPES
def test_broadcasting(
    isa: str, agree: Any, rng: np.random.Generator, shapes: Any, left: Any, right: Any, result: Any
) -> None:
    a, b = draw(rng, shapes[0], left), draw(rng, shapes[1], right)
    for first, second in ((a, b), (b, a)):
        operands = first, 0.02, first.dtype.type(7), second, 0.03, second.dtype.type(90)
        agree("qlinear_add", *operands, 0.05, middle(result))
        agree("qlinear_mul", *operands, 0.02, middle(result), activation="relu")


def test_every_pair_of_codes(isa: str, agree: Any) -> None:
    a, b = np.arange(256, dtype=np.uint8)[:, np.newaxis], np.arange(256, dtype=np.uint8)
    for y_scale in (0.5, 0.37, 1.9):
        agree("qlinear_add", a, 0.5, 128, b, 0.25, 3, y_scale, np.uint8(77))
        agree("qlinear_mul", a, 0.1, 128, b, 0.25, 3, y_scale, np.int8(-7))


def test_extreme_codes_and_zero_points(isa: str, agree: Any) -> None:
    for dtype in BYTES:
        limits = np.iinfo(dtype)
        for a in extreme_codes((67,), dtype).values():
            for b in extreme_codes((67,), dtype).values():
                for zero in (dtype(limits.min), dtype(limits.max)):
                    for scale in (1e-3, 0.5, 3.0, 1e25):
                        operands = a, 0.01, zero, b, 0.02, zero
                        agree("qlinear_add", *operands, scale, zero)
                        agree("qlinear_mul", *operands, scale, zero)
                        agree("qlinear_add", a, scale, zero, b, 0.02, zero, 0.01, zero)


def test_pieces_of_large_arrays(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """Longer than what one thread takes at a time, in one row, in many and with one repeated."""
    for a_shape, b_shape in (((70_001,), (70_001,)), ((900, 101), (101,)), ((3, 40_000), (3, 1))):
        a, b = draw(rng, a_shape, np.uint8), draw(rng, b_shape, np.uint8)
        operands = a, 0.02, 100, b, 0.03, 90, 0.05
        agree("qlinear_add", *operands, np.uint8(99))
        agree("qlinear_mul", *operands, np.int8(9))


@given(
    a=st.lists(st.integers(-128, 127), min_size=1, max_size=70),
    b=st.integers(0, 255),
    zeros=st.tuples(st.integers(-128, 127), st.integers(0, 255), st.integers(-128, 127)),
    scales=st.tuples(*[st.floats(2.0**-12, 2.0**6, width=32)] * 3),
)
def test_anything(isa: str, agree: Any, a: Any, b: int, zeros: Any, scales: Any) -> None:
    left, right = np.array(a, np.int8), np.full(len(a), b, np.uint8)
    operands = left, scales[0], zeros[0], right, scales[1], zeros[1], scales[2], np.int8(zeros[2])
    agree("qlinear_add", *operands)
    agree("qlinear_mul", *operands)


def test_layouts_and_out(isa: str, agree: Any, rng: np.random.Generator) -> None:
    a, b = draw(rng, (7, 19), np.uint8), draw(rng, (7, 19), np.uint8)
    parameters = 0.5, 120, b, 0.25, 99, 0.7, np.uint8(130)
    for layout in memory_layouts(a).values():
        agree("qlinear_add", layout, *parameters)
        agree("qlinear_mul", layout, *parameters)
    agree.written("qlinear_add", a, *parameters)
    agree.written("qlinear_mul", a, *parameters)
    agree.overlapping("qlinear_add", a, *parameters)
    agree.overlapping("qlinear_mul", a, *parameters)


def test_out_may_be_the_second_operand(isa: str, rng: np.random.Generator) -> None:
    a, b = draw(rng, (5, 40), np.uint8), draw(rng, (5, 40), np.uint8)
    for name in ("qlinear_add", "qlinear_mul"):
        wanted = getattr(reference, name)(a, 0.5, 3, b, 0.5, 4, 0.9, 5)
        mine = b.copy()
        assert getattr(ql, name)(a, 0.5, 3, mine, 0.5, 4, 0.9, 5, out=mine) is mine
        assert_bit_exact(mine, wanted)


# ---- exact fractions ----------------------------------------------------------------------------


def single(value: Fraction) -> Fraction:
    return exact.round_to(value, np.float32)


@BOTH
@given(
    codes=st.tuples(st.integers(0, 255), st.integers(0, 255)),
    zeros=st.tuples(*[st.integers(0, 255)] * 3),
    scales=st.tuples(*[st.floats(2.0**-12, 2.0**6, width=32)] * 3),
)
def test_codes_are_those_of_exact_arithmetic(
    layer: Any, codes: Any, zeros: Any, scales: Any
) -> None:
    a, b = (code - zero for code, zero in zip(codes, zeros, strict=False))
    sa, sb, sy = map(Fraction, scales)
    total = single(single(a * single(sa / sy)) + single(b * single(sb / sy)))
    product = single(a * b * single(single(sa * sb) / sy))
    operands = np.uint8(codes[0]), scales[0], zeros[0], np.uint8(codes[1]), scales[1], zeros[1]
    for name, steps in (("qlinear_add", total), ("qlinear_mul", product)):
        wanted = min(max(round(steps) + zeros[2], 0), 255)
        assert int(getattr(layer, name)(*operands, scales[2], np.uint8(zeros[2]))) == wanted


# ---- laws ---------------------------------------------------------------------------------------


def test_adding_or_multiplying_by_the_neutral_element_changes_nothing(isa: str) -> None:
    codes = np.arange(256, dtype=np.uint8)
    zero, one = np.uint8(33), np.uint8(34)
    np.testing.assert_array_equal(ql.qlinear_add(codes, 0.1, 7, zero, 9.0, 33, 0.1, 7), codes)
    np.testing.assert_array_equal(ql.qlinear_mul(codes, 0.1, 7, one, 1.0, 33, 0.1, 7), codes)


# ---- prepared -----------------------------------------------------------------------------------


def test_prepared(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """One operation for operands of every type and shape, and what it refuses when it is made."""
    settings = {"a_scale": 0.02, "a_zero_point": 7, "b_scale": np.float32(0.03), "y_scale": 0.05}
    for zero_point in (None, 90, np.int8(9), np.uint8(99)):
        total = agree.prepared("QLinearAdd", **settings, y_zero_point=zero_point)
        product = agree.prepared(
            "QLinearMul", **settings, b_zero_point=90, y_zero_point=zero_point, activation="relu"
        )
        for a_type, b_type in itertools.product(BYTES, BYTES):
            for a_shape, b_shape in (*SHAPES, ((3, 70), (3, 70)), ((70,), (70,))):
                a, b = draw(rng, a_shape, a_type), draw(rng, b_shape, b_type)
                total(a, b)
                product(a, b)
    a = draw(rng, (3, 5), np.int8)
    add = ql.QLinearAdd(**settings)
    expected = add(a, a)
    assert add(a, a, out=a) is a
    assert_bit_exact(a, expected)


@BOTH
@pytest.mark.parametrize("name", ["QLinearAdd", "QLinearMul"])
def test_prepared_checks_its_parameters(layer: Any, name: str) -> None:
    make, scales = getattr(layer, name), {"a_scale": 1.0, "b_scale": 1.0, "y_scale": 1.0}
    for changed, message in (
        ({"a_scale": 0.0}, "a_scale"),
        ({"b_zero_point": 300}, "b_zero_point"),
        ({"y_scale": [1.0, 2.0]}, "y_scale"),
        ({"y_zero_point": np.int16(3)}, "y_zero_point"),
        ({"activation": "gelu"}, "activation"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            make(**{**scales, **changed})
    with pytest.raises(ValueError, match="do not broadcast"):
        make(**scales)(np.zeros(3, np.int8), np.zeros(4, np.int8))
    with pytest.raises(TypeError, match="a_zero_point is uint8"):
        make(**scales, a_zero_point=np.uint8(3))(np.zeros(3, np.int8), np.zeros(3, np.int8))
