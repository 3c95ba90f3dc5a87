"""QGemm: examples, oracle, and what it has in common with QLinearMatMul."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import quantlib as ql
from quantlib import reference
from quantlib.testing import assert_bit_exact, memory_layouts

BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])
TYPES = pytest.mark.parametrize("left", [np.int8, np.uint8])


@BOTH
def test_by_hand(layer: Any) -> None:
    a, b = np.uint8([[3, 4], [5, 6]]), np.int8([[1, 2], [3, -4]])
    real = layer.qgemm(a, 0.5, 3, b, 2.0, 0, [[10], [20]], alpha=2.0)
    # [[0, 1], [2, 3]] @ b = [[3, -4], [11, -8]], plus c, in units of 2
    assert real.tolist() == [[26.0, 12.0], [62.0, 24.0]]
    assert real.dtype == np.float32
    codes = layer.qgemm(a, 0.5, 3, b, 2.0, 0, None, 0.5, np.int8(1), transB=True)
    assert codes.tolist() == [[5, -7], [17, -11]]


@TYPES
@pytest.mark.parametrize("c_shape", [None, (), (1,), (9,), (1, 9), (5, 1), (5, 9)], ids=str)
def test_addends(isa: str, agree: Any, rng: np.random.Generator, left: Any, c_shape: Any) -> None:
    a, b = rng.integers(0, 128, (5, 70)).astype(left), rng.integers(-128, 128, (70, 9), np.int8)
    c = None if c_shape is None else rng.integers(-9000, 9000, c_shape, np.int32)
    scale, zero = rng.uniform(0.01, 0.03, 9), rng.integers(-9, 9, 9, np.int8)
    for y in ((None, None), (5.0, np.uint8(120)), (5.0, np.int8(3))):
        agree("qgemm", a, 0.02, 60, b, scale, zero, c, *y, alpha=1.3)
        agree("qgemm", a.T, 0.02, 60, b.T, 0.03, 2, c, *y, transA=True, transB=1)


def test_prepared(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """One right operand for many left ones of both types, with addends of every shape."""
    b, scale = rng.integers(-128, 128, (70, 9), np.int8), rng.uniform(0.01, 0.03, 9)
    for c_shape in (None, (), (9,), (5, 1), (5, 9)):
        c = None if c_shape is None else rng.integers(-9000, 9000, c_shape, np.int32)
        for y_scale, y_zero_point in ((None, None), (5.0, np.uint8(120))):
            out = {"y_scale": y_scale, "y_zero_point": y_zero_point}
            straight = agree.prepared("QGemm", b, scale, 3, c, a_scale=0.02, a_zero_point=60, **out)
            turned = agree.prepared(
                "QGemm", b.T, 0.03, 3, c, a_scale=0.02, alpha=1.3, transA=True, transB=1, **out
            )
            rows = (5, 5) if c is not None and c.ndim == 2 else (5, 0, 1, 33)
            for count, dtype in itertools.product(rows, (np.int8, np.uint8)):
                a = rng.integers(0, 128, (count, 70)).astype(dtype)
                straight(a)
                turned(a.T)


@BOTH
def test_prepared_checks_its_parameters(layer: Any) -> None:
    b = np.zeros((4, 3), np.int8)
    for changed, message in (
        ({"b_scale": [1.0, 2.0]}, "b_scale"),
        ({"c": [1, 2]}, "c has shape"),
        ({"a_zero_point": 300}, "a_zero_point"),
        ({"alpha": -1.0}, "alpha"),
        ({"transB": 2}, "transB"),
        ({"b": np.zeros(3, np.int8)}, "b has shape"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            layer.QGemm(**{"b": b, "b_scale": 1.0, "a_scale": 1.0, **changed})
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        layer.QGemm(b, 1.0, a_scale=1.0)(np.zeros((2, 3), np.int8))


def test_nothing_wraps(isa: str, agree: Any) -> None:
    """Addends that do not fit, and products that only fit with them, raise."""
    a, b = np.full((2, 40_000), 255, np.uint8), np.full((40_000, 3), 255, np.uint8)
    most = np.int32(2**31 - 1)
    assert agree("qgemm", a, 1, 0, b, 1, 0, -most) is OverflowError
    assert agree("qgemm", a[:, :1], 1, 0, b[:1], 1, 0, most) is OverflowError
    assert agree("qgemm", a[:, :1], 1, 0, b[:1], 1, 0, [[most], [0]]) is OverflowError
    assert agree("qgemm", a[:, :1], 1, 0, b[:1], 1, 0, -most).shape == (2, 3)
    fits = agree("qgemm", a[:, :33_100], 1, 0, b[:33_100], 1, 9, [5, -(10**9), 7])
    assert fits.shape == (2, 3)


def test_is_a_qlinear_matmul(rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 256, (5, 30), np.uint8), rng.integers(-128, 128, (30, 9), np.int8)
    alpha, scale, bias = np.float32(0.7), np.float32(0.02), rng.integers(-99, 99, 9, np.int32)
    layer = ql.QLinearMatMul(b, 0.03, a_scale=alpha * scale, a_zero_point=9, y_scale=0.3, bias=bias)
    assert_bit_exact(ql.qgemm(a, scale, 9, b, 0.03, 0, bias, 0.3, alpha=0.7), layer(a))


def test_layouts_and_out(isa: str, agree: Any, rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 256, (5, 30), np.uint8), rng.integers(-128, 128, (30, 9), np.int8)
    for layout in memory_layouts(a).values():
        agree("qgemm", layout, 1.0, 3, b, 1.0, 0, None, 900.0)
    for c in (None, rng.integers(-99, 99, (5, 9), np.int32)):
        agree.written("qgemm", a, 1.0, 3, b, 1.0, 0, c, 900.0)
        agree.written("qgemm", a, 1.0, 3, b, 1.0, 0, c)
        agree.overlapping("qgemm", a, 1.0, 3, b, 1.0, 0, c, 900.0)
