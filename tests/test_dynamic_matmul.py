"""Products of reals that are quantized on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quantlib as ql
from quantlib import reference
from quantlib.testing import (
    assert_bit_exact,
    exact,
    interesting_sizes,
    isas,
    memory_layouts,
    use_isa,
)
from quantlib.testing.exact import Fraction
from quantlib.testing.strategies import dynamic_quantize_matmul_calls
from thread_counts import use_threads

BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])
BY_ROW = pytest.mark.parametrize("per_row", [False, True], ids=["tensor", "row"])
TILE_ROWS = (4, 6, 12, 16, 32)
LARGEST = float(np.finfo(np.float32).max)
TINY = float(np.finfo(np.float32).smallest_subnormal)


def random_reals(rng: np.random.Generator, shape: Any) -> np.ndarray:
    """Reals whose rows have ranges of their own."""
    x = rng.normal(rng.uniform(-1, 1), 1, shape) * rng.uniform(0.1, 10, (*shape[:-1], 1))
    return x.astype(np.float32)


def random_weights(rng: np.random.Generator, k: int, n: int, dtype: Any = np.int8) -> Any:
    """Codes, scales and zero points of columns."""
    limits = np.iinfo(dtype)
    b = rng.integers(limits.min, limits.max + 1, (k, n), dtype=dtype)
    zero_point = rng.integers(limits.min, limits.max + 1, n, dtype=dtype)
    return b, rng.uniform(0.01, 0.1, n).astype(np.float32), zero_point


# ---- examples -----------------------------------------------------------------------------------


@BOTH
def test_by_hand(layer: Any) -> None:
    """The range is -1 to 1.55, the scale 0.01, the zero point 100: codes 0, 255 and 100, 103.
    2.55 * 30 - 1 * 10 = 66.5 units of 0.1; 0.03 * 30 = 0.9 of them."""
    a, b = np.float32([[-1.0, 1.55], [0.0, 0.0255]]), np.int8([[10], [30]])
    y = layer.dynamic_quantize_matmul(a, b, 0.1)
    np.testing.assert_allclose(y, [[3.65], [0.09]], rtol=1e-6)
    y = layer.dynamic_quantize_matmul(a, b, 0.1, bias=[-1.0], activation="relu")
    np.testing.assert_allclose(y, [[2.65], [0.0]], rtol=1e-6)
    y = layer.dynamic_quantize_matmul(a, b, 0.1, per_row=True)
    np.testing.assert_allclose(y, [[3.65], [0.0765]], rtol=1e-6)
    y = layer.dynamic_quantize_matmul(a[0], b[:, 0], 0.1, np.int8(5))
    np.testing.assert_allclose(y, 3.375, rtol=1e-6)


@BOTH
@BY_ROW
@pytest.mark.parametrize("n", [0, 1, 17])
@pytest.mark.parametrize("m", [0, 1, 13])
def test_empty(layer: Any, m: int, n: int, per_row: bool) -> None:
    """An empty sum is 0, so that the bias is all there is."""
    a, b = np.zeros((m, 0), np.float32), np.zeros((0, n), np.int8)
    y = layer.dynamic_quantize_matmul(a, b, 0.1, 3, bias=2.5, per_row=per_row)
    assert_bit_exact(y, np.full((m, n), np.float32(2.5)))
    y = layer.dynamic_quantize_matmul(np.zeros((m, 5)), np.ones((5, n), np.int8), 0.1, per_row=True)
    assert_bit_exact(y, np.zeros((m, n), np.float32))


@BOTH
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
@BY_ROW
def test_data_that_are_not_finite(layer: Any, bad: float, per_row: bool) -> None:
    """Wherever they stand, and whether or not other threads find some too."""
    b = np.ones((600, 3), np.int8)
    for shape, at in (((1, 600), (0, 0)), ((500, 600), (499, 599)), ((2, 250, 600), (1, 7, 7))):
        a = np.zeros(shape)
        a[at] = bad
        with pytest.raises(ValueError, match=r"^a must be finite in float32"):
            layer.dynamic_quantize_matmul(a, b, 0.1, per_row=per_row)
        with pytest.raises(ValueError, match=r"^a must be finite in float32"):
            layer.DynamicQuantizeMatMul(b, 0.1, per_row=per_row)(a)


@BOTH
@BY_ROW
def test_scales_whose_product_overflows(layer: Any, per_row: bool) -> None:
    """It is known only when `a` is."""
    product = layer.DynamicQuantizeMatMul(np.int8([[1, 1]]), [1.0, 1e20], per_row=per_row)
    assert product(np.float32([[255.0]])).tolist() == [[255.0, float(np.float32(1e20) * 255)]]
    with pytest.raises(ValueError, match=r"scale of a.* overflows float32"):
        product(np.float32([[1.0], [1e25]]))
    most = layer.DynamicQuantizeMatMul(np.int8([[1], [-1]]), 127.0, per_row=per_row)
    assert np.isfinite(most(np.zeros((1, 2)))).all()
    assert most(np.float32([[LARGEST, -LARGEST]])) == np.inf


# ---- exact arithmetic ---------------------------------------------------------------------------


def by_fractions(row: Any, b: Any, scales: Any, zero_point: int, bias: Any, ends: Any) -> list[Any]:
    """One row of the result in rational numbers, rounded where the definition rounds."""
    scale, zero = exact.dynamic_range(*ends)
    codes = [exact.quantize(float(x), float(scale), zero, "uint8") for x in row]
    sums = exact.matmul([codes], b.tolist(), zero, zero_point)[0]
    results = []
    for total, column_scale, shift in zip(sums, scales, bias, strict=True):
        worth = exact.round_to(scale * Fraction(float(column_scale)), "f4")
        real = exact.round_to(exact.round_to(total, "f4") * worth, "f4")
        results.append(float(exact.round_to(real + Fraction(float(shift)), "f4")))
    return results


@BOTH
@given(data=st.data())
def test_results_are_those_of_rational_numbers(layer: Any, data: st.DataObject) -> None:
    m, k, n = (data.draw(st.integers(1, 6)) for _ in range(3))
    unit = data.draw(st.sampled_from([1.0, 0.37, TINY, 2.0**-120, 2.0**100]))
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    # Multiples of a unit meet ties; so do ranges of 255 and 510 units.
    a = (rng.integers(-255, 256, (m, k)) / 2 * unit).astype(np.float32)
    a[0, 0], a[-1, -1] = unit * data.draw(st.sampled_from([0, 100, 127.5])), -unit * 127.5
    b, scales, _ = random_weights(rng, k, n)
    bias = rng.normal(0, unit, n).astype(np.float32)
    zero_point = data.draw(st.integers(-128, 127))
    y = layer.dynamic_quantize_matmul(a, b, scales, zero_point, bias=bias)
    ends = a.min(), a.max()
    expected = [by_fractions(row, b, scales, zero_point, bias, ends) for row in a]
    assert y.tolist() == expected
    y = layer.dynamic_quantize_matmul(a, b, scales, zero_point, bias=bias, per_row=True)
    expected = [by_fractions(row, b, scales, zero_point, bias, (row.min(), row.max())) for row in a]
    assert y.tolist() == expected


# ---- laws of the definition ---------------------------------------------------------------------


@BOTH
def test_is_the_product_of_the_parts(layer: Any, rng: np.random.Generator) -> None:
    a = random_reals(rng, (2, 9, 30))
    b, scales, zero_point = random_weights(rng, 30, 20)
    codes, scale, zero = layer.dynamic_quantize_linear(a)
    expected = layer.qlinear_matmul(codes, scale, zero, b, scales, zero_point, None, None)
    assert_bit_exact(layer.dynamic_quantize_matmul(a, b, scales, zero_point), expected)


@BOTH
def test_rows_are_products_of_their_own(layer: Any, rng: np.random.Generator) -> None:
    a = random_reals(rng, (3, 7, 30))
    b, scales, zero_point = random_weights(rng, 30, 20)
    y = layer.dynamic_quantize_matmul(a, b, scales, zero_point, per_row=True)
    for index in np.ndindex(3, 7):
        row = a[index][np.newaxis]
        alone = layer.dynamic_quantize_matmul(row, b, scales, zero_point)
        assert_bit_exact(y[index], alone[0])
        alone = layer.dynamic_quantize_matmul(a[index], b, scales, zero_point, per_row=True)
        assert_bit_exact(y[index], alone)


@BOTH
def test_per_row_is_closer(layer: Any, rng: np.random.Generator) -> None:
    """What it is for: one outlier row costs the others nothing."""
    a = rng.normal(0, 1, (50, 64)).astype(np.float32)
    a[7] *= 100
    b = rng.integers(-127, 128, (64, 40), dtype=np.int8)
    real = a @ (b * np.float32(0.02))
    whole, by_row = (
        layer.dynamic_quantize_matmul(a, b, 0.02, per_row=per_row) for per_row in (False, True)
    )
    errors = [np.abs(np.delete(y - real, 7, axis=0)).mean() for y in (whole, by_row)]
    assert errors[1] * 50 < errors[0]


# ---- oracle -------------------------------------------------------------------------------------


@BY_ROW
def test_sizes(isa: str, agree: Any, rng: np.random.Generator, per_row: bool) -> None:
    for m in (*range(36), *interesting_sizes(*TILE_ROWS)):
        b, scales, zero_point = random_weights(rng, 37, 35, (np.int8, np.uint8)[m % 2])
        a = random_reals(rng, (m, 37))
        agree("dynamic_quantize_matmul", a, b, scales, per_row=per_row)
        agree("dynamic_quantize_matmul", a, b, scales, zero_point, per_row=per_row)
    for k in (*range(70), 127, 128, 255, 256, 257, 1023, 1024, 1025, 2049):
        b, scales, zero_point = random_weights(rng, k, 18)
        agree("dynamic_quantize_matmul", random_reals(rng, (9, k)), b, scales, per_row=per_row)
    for n in range(70):
        b, scales, zero_point = random_weights(rng, 21, n)
        bias = rng.normal(0, 1, n).astype(np.float32)
        a = random_reals(rng, (7, 21))
        y = agree("dynamic_quantize_matmul", a, b, scales, zero_point, bias=bias, per_row=per_row)
        if n > 3:
            assert len(np.unique(y)) > y.size // 2


@BY_ROW
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads(
    isa: str, agree: Any, rng: np.random.Generator, threads: int, per_row: bool
) -> None:
    """Ranges and products large enough to be shared, in several blocks of rows."""
    with use_threads(threads):
        for m, k, n in ((700, 300, 70), (65, 2100, 330), (2, 40_000, 33), (1, 70_000, 1)):
            b, scales, zero_point = random_weights(rng, k, n)
            agree(
                "dynamic_quantize_matmul", random_reals(rng, (m, k)), b, scales, zero_point,
                per_row=per_row,
            )  # fmt: skip


@given(call=dynamic_quantize_matmul_calls())
def test_any_call(isa: str, agree: Any, call: dict[str, Any]) -> None:
    y = agree("dynamic_quantize_matmul", **call)
    a = call.pop("a")
    prepared = agree.prepared("DynamicQuantizeMatMul", **call)
    assert_bit_exact(prepared(a), y)


@BY_ROW
def test_extreme_reals(isa: str, agree: Any, rng: np.random.Generator, per_row: bool) -> None:
    """Ranges that float32 cannot subtract, that are subnormal, or of one sign."""
    b, scales, _ = random_weights(rng, 4, 19)
    for row in (
        [LARGEST, -LARGEST, 1.0, 0.0],
        [TINY, -TINY, 0.0, -0.0],
        [255 * TINY, 0.0, 127 * TINY, 3 * TINY],
        [-0.0, -0.0, 0.0, -0.0],
        [3.0, 4.0, 5.0, 6.0],
        [-3.0, -4.0, -5.0, -6.0],
        [1e-38, -3e-38, 2e-38, 0.0],
        [255.0, 0.5, 1.5, 2.5],
    ):
        a = np.float32([row, row[::-1], np.divide(row, 3), np.zeros(4)])
        agree("dynamic_quantize_matmul", a, b, scales * np.float32(0.5), per_row=per_row)


def test_long_sums(isa: str, agree: Any) -> None:
    """K beyond what 32 bits are known to hold, with sums that do fit, and with ones that do not."""
    for k in (33_025, 33_026, 70_000):
        a, b = np.zeros((3, k), np.float32), np.full((k, 2), 255, np.uint8)
        a[0], a[1] = 1.0, np.resize([1.0, -1.0], k)
        for rows in (a, a[1:]):
            result = agree("dynamic_quantize_matmul", rows, b, 0.1, per_row=True)
            overflows = k > 33_025 and len(rows) == 3
            assert (result is OverflowError) == overflows


def test_every_arrangement_of_memory(isa: str, rng: np.random.Generator) -> None:
    a = random_reals(rng, (15, 36))
    b, scales, zero_point = random_weights(rng, 36, 34)
    for per_row in (False, True):
        expected = reference.dynamic_quantize_matmul(a, b, scales, zero_point, per_row=per_row)
        for left in memory_layouts(a).values():
            y = ql.dynamic_quantize_matmul(left, b, scales, zero_point, per_row=per_row)
            assert_bit_exact(y, expected)


@BY_ROW
def test_views_that_repeat_or_skip(
    isa: str, agree: Any, rng: np.random.Generator, per_row: bool
) -> None:
    big = random_reals(rng, (40, 100))
    b, scales, _ = random_weights(rng, 30, 33)
    for a in (big[:, :30], big[::-1, 3:33], big[::3, 10:40], big[:, ::-1][:, 5:35], big[:30].T):
        agree("dynamic_quantize_matmul", a, b, scales, per_row=per_row)
    agree("dynamic_quantize_matmul", np.broadcast_to(big[0, :30], (9, 30)), b, 0.1, per_row=per_row)
    agree("dynamic_quantize_matmul", np.broadcast_to(big[:, :1], (40, 30)), b, 0.1, per_row=per_row)
    stack = random_reals(rng, (4, 5, 6, 30))
    for a in (stack, stack[::2, ::-1], stack.swapaxes(0, 2), stack[:, :0]):
        agree("dynamic_quantize_matmul", a, b, scales, per_row=per_row)


@BY_ROW
def test_batches_of_both(isa: str, agree: Any, rng: np.random.Generator, per_row: bool) -> None:
    """One range for the whole of `a`, or one for each row, whatever it is multiplied with."""
    b = rng.integers(-128, 128, (3, 12, 10), dtype=np.int8)
    scales = rng.uniform(0.01, 0.1, (3, 1, 10)).astype(np.float32)
    zero_point = rng.integers(-128, 128, (3, 1, 10), dtype=np.int8)
    for shape in ((12,), (5, 12), (3, 5, 12), (2, 1, 5, 12), (0, 3, 5, 12)):
        a = random_reals(rng, shape)
        y = agree("dynamic_quantize_matmul", a, b, scales, zero_point, per_row=per_row)
        for index in range(3):
            if len(shape) < 3:
                parameters = scales[index], zero_point[index]
                alone = ql.dynamic_quantize_matmul(a, b[index], *parameters, per_row=per_row)
                assert_bit_exact(y[index], alone)


def test_out(isa: str, agree: Any, rng: np.random.Generator) -> None:
    a = random_reals(rng, (13, 24))
    b, scales, zero_point = random_weights(rng, 24, 24)
    agree.written("dynamic_quantize_matmul", a, b, scales, zero_point)
    agree.overlapping("dynamic_quantize_matmul", a, b, scales, zero_point)
    agree.overlapping("dynamic_quantize_matmul", a, b, scales, zero_point, per_row=True)


# ---- prepared -----------------------------------------------------------------------------------


@BY_ROW
def test_prepared(isa: str, agree: Any, rng: np.random.Generator, per_row: bool) -> None:
    """One layer, many calls: vectors, matrices and batches, with parameters of every kind."""
    b, scales, zero_point = random_weights(rng, 30, 41)
    bias = rng.normal(0, 1, 41).astype(np.float32)
    for given_ in ((0.1,), (scales, zero_point)):
        layer = agree.prepared(
            "DynamicQuantizeMatMul", b, *given_, bias=bias, per_row=per_row, activation=(-9.0, 9.0)
        )
        for shape in ((30,), (1, 30), (13, 30), (2, 7, 30), (0, 30), (2, 0, 30)):
            layer(random_reals(rng, shape) / 10)
            layer(random_reals(rng, shape).astype(np.float64))


def test_out_of_prepared(isa: str, rng: np.random.Generator) -> None:
    a = random_reals(rng, (24, 24))
    b, scales, zero_point = random_weights(rng, 24, 24)
    for layer in (ql, reference):
        product = layer.DynamicQuantizeMatMul(b, scales, zero_point, per_row=True)
        expected, given_away = product(a), a.copy()
        assert product(given_away, out=given_away) is given_away
        assert_bit_exact(given_away, expected)


def test_prepared_keeps_its_own_copies(isa: str, rng: np.random.Generator) -> None:
    a = random_reals(rng, (5, 9))
    for layer in (ql, reference):
        b, scales, zero_point = random_weights(rng, 9, 7)
        bias = np.ones(7, np.float32)
        product = layer.DynamicQuantizeMatMul(b, scales, zero_point, bias=bias)
        before = product(a)
        for array in (b, scales, zero_point, bias):
            array[...] = 1
        assert_bit_exact(product(a), before)


def test_prepared_under_another_instruction_set(rng: np.random.Generator) -> None:
    a = random_reals(rng, (33, 65))
    b, scales, zero_point = random_weights(rng, 65, 34)
    expected = reference.dynamic_quantize_matmul(a, b, scales, zero_point, per_row=True)
    for packed_on in isas():
        with use_isa(packed_on):
            product = ql.DynamicQuantizeMatMul(b, scales, zero_point, per_row=True)
        for used_on in isas():
            with use_isa(used_on):
                assert_bit_exact(product(a), expected)
