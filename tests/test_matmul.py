"""Integer matrix products and their quantized forms."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quantlib as ql
from matmul_cases import (
    BOTH,
    BYTES,
    INT32,
    LEFT_TYPES,
    TYPES,
    assert_mostly_free,
    output_scale,
    random_codes,
)
from quantlib import reference
from quantlib.testing import (
    assert_bit_exact,
    exact,
    isas,
    use_isa,
)
from quantlib.testing.strategies import codes, matmul_calls, qlinear_matmul_calls

# ---- examples -----------------------------------------------------------------------------------


@BOTH
def test_matmul_integer_by_hand(layer: Any) -> None:
    """The example of the ONNX specification."""
    a = np.uint8([[11, 7, 3], [10, 6, 2], [9, 5, 1], [8, 4, 0]])
    b = np.uint8([[1, 4], [2, 5], [3, 6]])
    y = layer.matmul_integer(a, b, np.uint8(12), np.uint8(0))
    assert y.tolist() == [[-38, -83], [-44, -98], [-50, -113], [-56, -128]]
    assert y.dtype == np.int32


@BOTH
def test_qlinear_matmul_by_hand(layer: Any) -> None:
    """The example of the ONNX specification."""
    a = np.uint8([[208, 236, 0, 238], [3, 214, 255, 29]])
    b = np.uint8([[152, 51, 244], [60, 26, 255], [0, 127, 246], [127, 254, 247]])
    y = layer.qlinear_matmul(
        a, np.float32(0.0066), np.uint8(113), b, np.float32(0.00705), np.uint8(114),
        np.float32(0.0107), np.uint8(118),
    )  # fmt: skip
    assert y.tolist() == [[168, 115, 255], [1, 66, 151]]


@BOTH
def test_output_stage_by_hand(layer: Any) -> None:
    """acc = [4, -4, 60] + bias; worth 0.5 each; y_scale 0.25 doubles, zero point 10."""
    a, b = np.int8([[2]]), np.int8([[2, -2, 30]])
    args = (a, 1.0, 0, b, 0.5, 0)
    assert layer.qlinear_matmul(*args, 0.25, np.uint8(10)).tolist() == [[18, 2, 130]]
    assert layer.qlinear_matmul(*args, None, None, bias=[1, 1, -60]).tolist() == [[2.5, -1.5, 0]]
    relu6 = layer.qlinear_matmul(*args, 0.25, np.uint8(10), activation="relu6")
    assert relu6.tolist() == [[18, 10, 34]]
    relu = layer.qlinear_matmul(*args, None, None, activation="relu")
    assert relu.tolist() == [[2, 0, 30]]
    assert not np.signbit(relu).any()


@BOTH
def test_real_bias_by_hand(layer: Any) -> None:
    """acc = [4, -4, 60], worth 0.5 each; the bias is added after that, the bounds come last."""
    args = np.int8([[2]]), 1.0, 0, np.int8([[2, -2, 30]]), 0.5, 0, None, None
    for bias in ([0.25, 3.0, -31.0], np.float32([0.25, 3, -31]), np.float64([0.25, 3, -31])):
        assert layer.qlinear_matmul(*args, bias=bias).tolist() == [[2.25, 1, -1]]
        relu = layer.qlinear_matmul(*args, bias=bias, activation="relu")
        assert relu.tolist() == [[2.25, 1, 0]]
    assert layer.qlinear_matmul(*args, bias=0.5).tolist() == [[2.5, -1.5, 30.5]]
    vector = args[0], 1.0, 0, np.int8([30]), 0.5, 0, None, None
    assert layer.qlinear_matmul(*vector, bias=[0.5]).tolist() == [30.5]


@BOTH
def test_the_kind_of_a_bias_goes_with_the_results(layer: Any) -> None:
    a, b = np.int8([[2]]), np.int8([[2]])
    with pytest.raises(TypeError, match="bias must be int32 where results are quantized"):
        layer.qlinear_matmul(a, 1.0, 0, b, 0.5, 0, 1.0, None, bias=[0.5])
    for bias in (np.nan, [np.inf], 1e39):
        with pytest.raises(ValueError, match="bias must be finite"):
            layer.qlinear_matmul(a, 1.0, 0, b, 0.5, 0, None, None, bias=bias)


@BOTH
@pytest.mark.parametrize("n", [0, 1, 17])
@pytest.mark.parametrize("m", [0, 1, 13])
def test_empty(layer: Any, m: int, n: int) -> None:
    """An empty sum is 0, which is the zero point, whatever zero points went in."""
    a, b = np.zeros((m, 0), np.uint8), np.zeros((0, n), np.int8)
    assert_bit_exact(layer.matmul_integer(a, b, 7, -3), np.zeros((m, n), np.int32))
    y = layer.qlinear_matmul(a, 0.1, 7, b, 0.2, -3, 0.3, np.uint8(77))
    assert_bit_exact(y, np.full((m, n), 77, np.uint8))
    y = layer.qlinear_matmul(a, 0.1, 7, b, 0.2, -3, None, None, bias=10)
    assert_bit_exact(y, np.full((m, n), np.float32(10) * (np.float32(0.1) * np.float32(0.2))))


# ---- any product --------------------------------------------------------------------------------


@given(call=matmul_calls())
def test_any_product(isa: str, agree: Any, call: dict[str, Any]) -> None:
    acc = agree("matmul_integer", **call)
    prepared = agree.prepared("MatMulInteger", call["b"], call["b_zero_point"])
    assert_bit_exact(prepared(call["a"], call["a_zero_point"]), acc)


@given(call=qlinear_matmul_calls())
def test_any_quantized_product(isa: str, agree: Any, call: dict[str, Any]) -> None:
    agree("qlinear_matmul", **call)


def test_quantized_products_are_mostly_free() -> None:
    """The strategy keeps results inside the range, so that the comparison above means something."""
    seen: list[np.ndarray] = []

    @given(call=qlinear_matmul_calls())
    def collect(call: dict[str, Any]) -> None:
        if call["y_scale"] is not None and call["activation"] is None:
            y = reference.qlinear_matmul(**call)
            limits = np.iinfo(y.dtype)
            seen.append((y > limits.min) & (y < limits.max))

    collect()
    assert np.mean(np.concatenate([s.ravel() for s in seen])) > 0.9


@LEFT_TYPES
@TYPES
def test_quantized(
    isa: str, agree: Any, rng: np.random.Generator, a_type: Any, b_type: Any
) -> None:
    """Every output, per-row and per-column scales, bias and activations, mostly not saturated."""
    m, k, n = 27, 66, 49
    a, b = random_codes(rng, (m, k), a_type), random_codes(rng, (k, n), b_type)
    za, zb = a_type(np.mean(a)), random_codes(rng, n, b_type)
    acc = reference.matmul_integer(a, b, za, zb)
    y_scale = output_scale(acc, 0.1 * 0.2)
    columns = rng.uniform(0.15, 0.25, n).astype(np.float32)
    rows = rng.uniform(0.08, 0.12, m).astype(np.float32)
    bias = rng.integers(-5000, 5000, n).astype(np.int32)
    for y_type, middle in ((np.uint8, 128), (np.int8, 0)):
        zero_point = y_type(middle)
        y = agree("qlinear_matmul", a, 0.1, za, b, columns, zb, y_scale, zero_point, bias=bias)
        assert_mostly_free(y)
        many = np.full(m, zero_point) + np.arange(m, dtype=y_type) % 9
        for activation in (None, "relu", "relu6", (-3.0, 40.0)):
            agree(
                "qlinear_matmul", a, rows, za, b, columns, zb, y_scale * rows * 10, many,
                bias=bias, activation=activation,
            )  # fmt: skip
    for activation in (None, "relu", "relu6", (-3.0, 40.0)):
        for row_scale in (0.1, rows):
            for kind in (bias, rng.normal(0, 100, n).astype(np.float32), None):
                agree(
                    "qlinear_matmul", a, row_scale, za, b, columns, zb, None, None,
                    bias=kind, activation=activation,
                )  # fmt: skip


def test_prepared(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """One layer, many calls: both types of input, vectors, matrices and batches."""
    b = random_codes(rng, (30, 41), np.int8)
    scales = rng.uniform(0.1, 0.3, 41).astype(np.float32)
    bias = rng.integers(-3000, 3000, 41).astype(np.int32)
    for y_scale, zero_point in ((None, None), (np.float32(25.0), np.uint8(128))):
        layer = agree.prepared(
            "QLinearMatMul", b, scales, a_scale=0.1, a_zero_point=99, y_scale=y_scale,
            y_zero_point=zero_point, bias=bias, activation=(-3000.0, 3000.0),
        )  # fmt: skip
        for shape in ((30,), (1, 30), (13, 30), (2, 7, 30), (0, 30), (2, 0, 30)):
            for dtype in BYTES:
                y = layer(random_codes(rng, shape, dtype))
                if zero_point is not None and y.size > 500:
                    assert_mostly_free(y)


def test_prepared_keeps_its_own_copies(isa: str, rng: np.random.Generator) -> None:
    """What the caller does to the arrays afterwards changes nothing."""
    a, b = random_codes(rng, (5, 9), np.uint8), random_codes(rng, (9, 7), np.int8)
    for layer in (ql, reference):
        scale, zero_point = np.full(7, 0.1, np.float32), np.full(7, 3, np.int8)
        bias, right, y_scale = np.full(7, 50, np.int32), b.copy(), np.full(1, 9.0, np.float32)
        integer = layer.MatMulInteger(right, zero_point)
        quantized = layer.QLinearMatMul(
            right, scale, zero_point, a_scale=0.1, y_scale=y_scale, bias=bias
        )
        before = integer(a), quantized(a), quantized(a.view(np.int8))
        fresh = layer.QLinearMatMul(
            right, scale, zero_point, a_scale=0.1, y_scale=y_scale, bias=bias
        )
        for array in (scale, zero_point, bias, right, y_scale):
            array[...] = 1
        assert_bit_exact((integer(a), quantized(a), fresh(a.view(np.int8))), before)


def test_prepared_under_another_instruction_set(rng: np.random.Generator) -> None:
    """A packed matrix goes with its own kernels, whichever are chosen later."""
    a, b = random_codes(rng, (33, 65), np.uint8), random_codes(rng, (65, 34), np.int8)
    expected = reference.matmul_integer(a, b, 7, 3)
    for packed_on in isas():
        with use_isa(packed_on):
            product = ql.MatMulInteger(b, 3)
        for used_on in isas():
            with use_isa(used_on):
                assert_bit_exact(product(a, 7), expected)


# ---- exact integers -----------------------------------------------------------------------------


@BOTH
@given(data=st.data())
def test_products_are_those_of_python_integers(layer: Any, data: st.DataObject) -> None:
    m, k, n = (data.draw(st.integers(1, 5)) for _ in range(3))
    a_type, b_type = data.draw(st.sampled_from(BYTES)), data.draw(st.sampled_from(BYTES))
    a, b = data.draw(codes((m, k), a_type)), data.draw(codes((k, n), b_type))
    za, zb = (int(data.draw(codes((), kind))) for kind in (a_type, b_type))
    witness = exact.matmul(a.tolist(), b.tolist(), za, zb)
    assert layer.matmul_integer(a, b, a_type(za), b_type(zb)).tolist() == witness
    scale = data.draw(st.floats(2.0**-12, 1.0, width=32))
    y = layer.qlinear_matmul(
        a, np.float32(0.3), a_type(za), b, np.float32(scale), b_type(zb), 0.7, np.int8(-5)
    )
    worth = exact.round_to(exact.Fraction(float(np.float32(0.3))) * exact.Fraction(scale), "f4")
    m_ = float(exact.round_to(worth / exact.Fraction(float(np.float32(0.7))), "f4"))
    assert y.tolist() == [[exact.requantize(acc, m_, -5) for acc in row] for row in witness]


def test_every_step_of_a_real_result_is_rounded(isa: str, rng: np.random.Generator) -> None:
    """float32 for the scales' product, the accumulator, their product and the sum: a fused
    multiply-add, or any other order, would show."""
    m, k, n = 9, 40, 37
    a, b = random_codes(rng, (m, k), np.uint8), random_codes(rng, (k, n), np.int8)
    rows, columns = (rng.uniform(0.01, 0.1, size).astype(np.float32) for size in (m, n))
    bias = rng.normal(0, 100, n).astype(np.float32)
    y = ql.qlinear_matmul(a, rows, 3, b, columns, 5, None, None, bias=bias)
    acc = exact.matmul(a.tolist(), b.tolist(), 3, 5)
    fused = 0
    for i, j in np.ndindex(m, n):
        worth = exact.round_to(
            exact.Fraction(float(rows[i])) * exact.Fraction(float(columns[j])), "f4"
        )
        product = exact.round_to(acc[i][j], "f4") * worth
        shift = exact.Fraction(float(bias[j]))
        assert float(y[i, j]) == float(exact.round_to(exact.round_to(product, "f4") + shift, "f4"))
        fused += float(y[i, j]) != float(exact.round_to(product + shift, "f4"))
    assert fused > 10


def test_row_scales_make_no_matrix_of_multipliers(rng: np.random.Generator) -> None:
    """Scales that differ by row cost memory in proportion to the rows."""
    m, n = 400, 500
    a, b = random_codes(rng, (m, 8), np.uint8), random_codes(rng, (8, n), np.int8)
    rows, columns = (rng.uniform(0.01, 0.1, size).astype(np.float32) for size in (m, n))
    for y_scale in (None, 1.0, rows):
        out = np.empty((m, n), np.float32 if y_scale is None else np.uint8)
        tracemalloc.start()
        ql.qlinear_matmul(a, rows, 3, b, columns, 5, y_scale, None, out=out)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < m * n


LIMITS = [
    # type, code, zero point of a; the same of b; the largest K that fits, worked by hand
    (np.int8, -128, 0, np.int8, -128, 0, 131071),  # 16384 K <= 2**31 - 1
    (np.uint8, 255, 0, np.uint8, 255, 0, 33025),  # 65025 K <= 2**31 - 1
    (np.uint8, 255, 0, np.int8, -128, 0, 65793),  # -32640 K >= -2**31
    (np.uint8, 255, 0, np.int8, 127, 0, 66311),  # 32385 K <= 2**31 - 1
    (np.uint8, 128, 0, np.int8, -128, 0, 131072),  # -16384 K == -2**31 exactly
    (np.uint8, 0, 255, np.uint8, 255, 0, 33025),  # -65025 K >= -2**31
    (np.int8, -128, 127, np.int8, 127, -128, 33025),
    (np.int8, 127, -128, np.uint8, 0, 255, 33025),
    (np.int8, 1, 0, np.int8, 127, 0, 300_000),  # never near
]


@BOTH
@pytest.mark.parametrize(("a_type", "a", "za", "b_type", "b", "zb", "most"), LIMITS)
def test_int32_is_straddled_exactly(
    layer: Any, a_type: Any, a: int, za: int, b_type: Any, b: int, zb: int, most: int
) -> None:
    """The longest K that fits is exact; one more is an OverflowError, unless it is far away."""
    for isa in isas() if layer is ql else ["portable"]:
        with use_isa(isa):
            left, right = np.full((2, most + 1), a, a_type), np.full((most + 1, 2), b, b_type)
            left[0] = za  # a row that is all zeros, beside the one that overflows
            zeros = a_type(za), b_type(zb)
            y = layer.matmul_integer(left[:, :most], right[:most], *zeros)
            assert y.tolist() == [[0, 0], [(a - za) * (b - zb) * most] * 2]
            if most == 300_000:
                continue
            with pytest.raises(OverflowError, match="does not fit int32"):
                layer.matmul_integer(left, right, *zeros)
            assert layer.matmul_integer(left[:1], right, *zeros).tolist() == [[0, 0]]


@BOTH
@pytest.mark.parametrize("sign", [1, -1])
def test_bias_straddles_int32(layer: Any, sign: int) -> None:
    """A bias that reaches the limit to the last unit fits; one unit more does not."""
    a, b = np.int8([[100]]), np.int8([[sign * 100]])
    room = (INT32.max if sign > 0 else INT32.min) - sign * 10_000
    for isa in isas() if layer is ql else ["portable"]:
        with use_isa(isa):
            y = layer.qlinear_matmul(a, 1.0, 0, b, 1.0, 0, None, None, bias=[room])
            assert y.tolist() == [[float(np.float32(sign * 2.0**31))]]
            with pytest.raises(OverflowError, match="does not fit int32"):
                layer.qlinear_matmul(a, 1.0, 0, b, 1.0, 0, None, None, bias=[room + sign])


@pytest.mark.parametrize("k", [32_768, 33_026, 65_793, 65_794, 131_075, 300_000])
def test_long_sums(isa: str, agree: Any, rng: np.random.Generator, k: int) -> None:
    """K beyond what 32 bits are known to hold, with sums that do fit, in several pieces."""
    for a_type, b_type in ((np.uint8, np.uint8), (np.int8, np.int8), (np.uint8, np.int8)):
        a, b = random_codes(rng, (13, k), a_type), random_codes(rng, (k, 17), b_type)
        zeros = a_type(np.mean(a)), b_type(np.mean(b))
        assert agree("matmul_integer", a, b, *zeros) is not OverflowError
        assert np.ndim(agree("matmul_integer", a, b, np.full(13, zeros[0]), zeros[1])) == 2


# ---- laws ---------------------------------------------------------------------------------------


@given(call=matmul_calls(max_side=70, vectors=False), data=st.data())
def test_splitting_changes_nothing(call: dict[str, Any], data: st.DataObject) -> None:
    """Rows, columns and depth in two parts each."""
    a, b = call["a"], call["b"]
    whole = ql.matmul_integer(a, b)
    for axis, (extent, part) in enumerate(
        [
            (a.shape[-2], lambda cut: ql.matmul_integer(a[..., cut, :], b)),
            (b.shape[-1], lambda cut: ql.matmul_integer(a, b[..., cut])),
        ]
    ):
        at = data.draw(st.integers(0, extent))
        parts = [part(slice(0, at)), part(slice(at, extent))]
        assert_bit_exact(np.concatenate(parts, axis=-2 + axis), whole)
    at = data.draw(st.integers(0, a.shape[-1]))
    halves = ql.matmul_integer(a[..., :at], b[..., :at, :]) + ql.matmul_integer(
        a[..., at:], b[..., at:, :]
    )
    assert_bit_exact(halves, whole)


@given(call=matmul_calls(vectors=False))
def test_transposed(call: dict[str, Any]) -> None:
    """``(a b)^T = b^T a^T``, which swaps the roles of rows, columns and zero points."""
    a, b, za, zb = call["a"], call["b"], call["a_zero_point"], call["b_zero_point"]
    turn = [None if z is None else z.swapaxes(-1, -2) if z.ndim > 1 else z for z in (za, zb)]
    swapped = ql.matmul_integer(b.swapaxes(-1, -2), a.swapaxes(-1, -2), turn[1], turn[0])
    assert_bit_exact(np.ascontiguousarray(swapped.swapaxes(-1, -2)), ql.matmul_integer(**call))


@given(call=matmul_calls(max_side=20, vectors=False))
def test_signs_are_a_shift_of_128(call: dict[str, Any]) -> None:
    """uint8 with its zero point is int8 with both 128 less."""
    call = {name: value for name, value in call.items() if "zero_point" not in name}
    plain = ql.matmul_integer(**call, a_zero_point=5, b_zero_point=6)
    for name, zero in (("a", 5), ("b", 6)):
        x = call[name]
        to, by = (np.int8, -128) if x.dtype == np.uint8 else (np.uint8, 128)
        moved = {**call, name: (x.astype(int) + by).astype(to)}
        zeros = {"a_zero_point": 5, "b_zero_point": 6, f"{name}_zero_point": to(zero + by)}
        assert_bit_exact(ql.matmul_integer(**moved, **zeros), plain)


@given(call=matmul_calls(max_side=12, vectors=False))
def test_batches_are_loops(call: dict[str, Any]) -> None:
    whole = ql.matmul_integer(**call)
    batch = whole.shape[:-2]

    def of(value: Any, index: tuple[int, ...]) -> Any:
        if value is None or value.ndim < 2:
            return value
        return np.broadcast_to(value, batch + value.shape[-2:])[index]

    for index in np.ndindex(*batch):
        alone = {name: of(value, index) for name, value in call.items()}
        assert_bit_exact(ql.matmul_integer(**alone), whole[index])


@given(call=matmul_calls(max_side=12))
def test_vectors_are_matrices_of_one(call: dict[str, Any]) -> None:
    a, b = call["a"], call["b"]
    if a.ndim > 1 and b.ndim > 1:
        a, call["a_zero_point"] = a.reshape(-1)[: b.shape[-2]], None
        if a.size != b.shape[-2]:
            a = np.zeros(b.shape[-2], a.dtype)
    y = ql.matmul_integer(a, b)
    left = a if a.ndim > 1 else a[np.newaxis]
    right = b if b.ndim > 1 else b[:, np.newaxis]
    assert_bit_exact(y, ql.matmul_integer(left, right).reshape(y.shape))


@given(call=matmul_calls(max_side=30, vectors=False), data=st.data())
def test_one_code_changes_its_row_only(call: dict[str, Any], data: st.DataObject) -> None:
    a, b = call["a"], call["b"]
    if a.ndim > 2 or b.ndim > 2 or not a.size:
        return
    i, k = (data.draw(st.integers(0, extent - 1)) for extent in a.shape)
    changed = a.copy()
    changed[i, k] ^= 1
    difference = ql.matmul_integer(changed, b) - ql.matmul_integer(a, b)
    step = int(changed[i, k]) - int(a[i, k])
    expected = np.zeros_like(difference)
    expected[i] = step * b[k].astype(np.int32)
    assert_bit_exact(difference, expected)


@BOTH
def test_float_output_is_the_scaled_accumulator(layer: Any, rng: np.random.Generator) -> None:
    a, b = random_codes(rng, (9, 30), np.uint8), random_codes(rng, (30, 20), np.int8)
    acc = layer.matmul_integer(a, b, 128)
    y = layer.qlinear_matmul(a, 0.1, 128, b, 0.2, 0, None, None)
    assert_bit_exact(y, acc.astype(np.float32) * (np.float32(0.1) * np.float32(0.2)))


def test_output_stages_are_known_by_their_values(isa: str, agree: Any) -> None:
    """Stages are kept from call to call: the same arrays with other contents are others, and so
    are equal numbers of other types."""
    a, b = np.uint8([[200, 3]]), np.int8([[7, -9], [5, 11]])
    scale, y_scale, bias = np.float32([0.5, 0.25]), np.float32([2.0]), np.int32([0, 0])
    for step in range(3):
        agree("qlinear_matmul", a, 0.1, 3, b, scale, 0, y_scale, np.uint8(9), bias=bias)
        scale *= 2
        bias += 40
        y_scale += step
    za, zb = np.uint8([3]), np.int8([1, -2])
    for step in range(3):
        agree("qlinear_matmul", a, 0.1, za, b, scale, zb, y_scale, np.uint8(9))
        za += step
        zb -= step
    for a_zero_point in (3, np.uint8(3), np.uint8([3]), np.uint8([[3]]), None, 0, np.uint8(0)):
        agree("qlinear_matmul", a, 0.1, a_zero_point, b, scale, 0, 2.0, 9)
    for y_zero_point in (9, np.uint8(9), np.int8(9), np.uint8([9])):
        agree("qlinear_matmul", a, 0.1, 3, b, scale, 0, 2.0, y_zero_point)
    rows = np.float32([0.5])
    for _ in range(2):
        agree("qlinear_matmul", a, rows[:, np.newaxis], 3, b, scale, 0, None, None)
        rows *= 3
