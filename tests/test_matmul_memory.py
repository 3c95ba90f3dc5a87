"""Matrix products of operands anywhere in memory, into results anywhere in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quantlib as ql
from matmul_cases import (
    BOTH,
    INT32,
    random_codes,
)
from quantlib import reference
from quantlib.testing import (
    assert_bit_exact,
    memory_layouts,
)


def test_every_arrangement_of_memory(isa: str, rng: np.random.Generator) -> None:
    a, b = random_codes(rng, (15, 36), np.uint8), random_codes(rng, (36, 34), np.int8)
    expected = reference.matmul_integer(a, b, 3, 5)
    for left in memory_layouts(a).values():
        for right in memory_layouts(b).values():
            assert_bit_exact(ql.matmul_integer(left, right, 3, 5), expected)
    bias, scale = np.arange(34, dtype=np.int32), np.linspace(1, 2, 34, dtype=np.float32)
    expected = reference.qlinear_matmul(a, 1.0, 3, b, scale, 5, 900.0, np.int8(0), bias=bias)
    scales, biases = memory_layouts(scale), memory_layouts(bias)
    for name in scales:
        y = ql.qlinear_matmul(a, 1.0, 3, b, scales[name], 5, 900.0, np.int8(0), bias=biases[name])
        assert_bit_exact(y, expected)


def test_views_that_repeat_or_skip(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """Strides of 0, rows backwards, a matrix cut out of a wider one."""
    big = random_codes(rng, (64, 2048 + 64), np.uint8)
    b = random_codes(rng, (64, 33), np.int8)
    for a in (big[:, :64], big[::-1, 3:67], big[::2, 10:74], big[:, 64:128][::-1]):
        agree("matmul_integer", a, b)
        agree("matmul_integer", a, b, 3, 4)
    row = big[:1, :64]
    agree("matmul_integer", np.broadcast_to(row, (20, 64)), b, 3)
    agree("matmul_integer", row, np.broadcast_to(b[:, :1], (64, 40)), 3, 2)
    agree("matmul_integer", row, np.broadcast_to(b[:1], (64, 33)), 3, 2)


def test_out(isa: str, agree: Any, rng: np.random.Generator) -> None:
    a, b = random_codes(rng, (13, 24), np.uint8), random_codes(rng, (24, 24), np.int8)
    agree.written("matmul_integer", a, b, 3, 4)
    agree.written("qlinear_matmul", a, 0.1, 3, b, 0.1, 4, 20.0, np.uint8(9))
    agree.written("qlinear_matmul", a, 0.1, 3, b, 0.1, 4, None, None)
    agree.overlapping("matmul_integer", a, b, 3, 4)
    agree.overlapping("qlinear_matmul", a, 0.1, 3, b, 0.1, 4, 20.0, np.uint8(9))


def test_out_of_prepared(isa: str, rng: np.random.Generator) -> None:
    a, b = random_codes(rng, (13, 24), np.uint8), random_codes(rng, (24, 24), np.int8)
    for layer in (ql, reference):
        product = layer.MatMulInteger(b)
        expected = product(a)
        for name, out in memory_layouts(np.ones_like(expected)).items():
            if name not in ("read-only", "swapped"):
                assert product(a, out=out) is out
                assert_bit_exact(out, expected)
        quantized = layer.QLinearMatMul(b, 0.1, a_scale=1.0, y_scale=400.0, y_zero_point=9)
        expected = quantized(a)
        given_away = a.copy()
        assert quantized(given_away, out=given_away) is given_away
        assert_bit_exact(given_away, expected)


@BOTH
def test_out_that_overlaps_the_right_operand(layer: Any, rng: np.random.Generator) -> None:
    b = random_codes(rng, (24, 24), np.int8)
    a = random_codes(rng, (24, 24), np.int8)
    expected = layer.qlinear_matmul(a, 0.1, 0, b, 0.1, 0, 20.0, np.int8(0))
    layer.qlinear_matmul(a, 0.1, 0, b, 0.1, 0, 20.0, np.int8(0), out=b)
    assert_bit_exact(b, expected)


@BOTH
def test_out_that_overlaps_a_large_right_operand(layer: Any, rng: np.random.Generator) -> None:
    """Shifted, so that the first panels of the result lie on codes of the last ones."""
    n = 512
    a, memory = random_codes(rng, (n, n), np.int8), random_codes(rng, 2 * n * n, np.int8)
    b, out = (memory[at : at + n * n].reshape(n, n) for at in (0, 5 * n + 7))
    expected = layer.qlinear_matmul(a, 0.1, 0, b.copy(), 0.1, 0, 20.0, np.int8(0))
    layer.qlinear_matmul(a, 0.1, 0, b, 0.1, 0, 20.0, np.int8(0), out=out)
    assert_bit_exact(out, expected)


@BOTH
def test_out_that_overlaps_parameters(layer: Any, rng: np.random.Generator) -> None:
    """A float32 bias and scales, in the place of the first rows of the result."""
    memory = rng.uniform(0.1, 0.3, (24, 24)).astype(np.float32)
    a, b = random_codes(rng, (24, 24), np.int8), random_codes(rng, (24, 24), np.int8)
    args = a, memory[:, 2].copy(), 0, b, memory[1].copy(), 0, None, None
    expected = layer.qlinear_matmul(*args, bias=memory[0].copy())
    args = a, memory[:, 2], 0, b, memory[1], 0, None, None
    layer.qlinear_matmul(*args, bias=memory[0], out=memory)
    assert_bit_exact(memory, expected)


@BOTH
@pytest.mark.parametrize("highest", [1000, INT32.max])
def test_out_that_overlaps_the_bias(layer: Any, rng: np.random.Generator, highest: int) -> None:
    """The first row of the result takes the place of the bias that the second row needs. With a
    bias that large, sums are collected in 64 bits and the bias is read late."""
    memory = np.zeros((40, 24), np.float32)
    bias = memory[0].view(np.int32)
    bias[:] = np.arange(24) * 1000
    bias[7] = highest
    a, b = random_codes(rng, (40, 24), np.int8), random_codes(rng, (24, 24), np.int8)
    b[:, 7] = 0
    expected = layer.qlinear_matmul(a, 0.1, 0, b, 0.1, 0, None, None, bias=bias)
    layer.qlinear_matmul(a, 0.1, 0, b, 0.1, 0, None, None, bias=bias, out=memory)
    assert_bit_exact(memory, expected)


def test_left_matrix_and_a_batch_of_one(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """A batch dimension of 1 on the right, whose parameters have it too."""
    a, b = random_codes(rng, (5, 9), np.uint8), random_codes(rng, (1, 1, 9, 7), np.int8)
    scale = rng.uniform(0.1, 0.3, (1, 1, 1, 7)).astype(np.float32)
    zero_point = random_codes(rng, (1, 1, 1, 7), np.int8)
    rows = rng.uniform(0.1, 0.3, 5).astype(np.float32)
    assert agree("matmul_integer", a, b, 3, zero_point).shape == (1, 1, 5, 7)
    for a_scale in (0.1, rows):
        for y in ((None, None), (50.0, np.uint8(128)), (200 * rows, np.uint8(128))):
            agree("qlinear_matmul", a, a_scale, 3, b, scale, zero_point, *y)
            agree("qlinear_matmul", a[0], 0.1, 3, b, scale, zero_point, None, None)
