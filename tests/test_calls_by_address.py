"""Calls whose operands C reads itself: the same results and errors as with all checks in Python."""

from __future__ import annotations

import itertools
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quantlib as ql
from quantlib import _native, ops
from quantlib._native import arrays
from quantlib.ops import elementwise, matmul

BYTES = np.int8, np.uint8
SOURCE = np.random.default_rng(7)


def test_arrays_are_read_here() -> None:
    """Otherwise every call is declined, and the tests below compare the checks with themselves."""
    assert arrays.CAN_READ is (sys.implementation.name == "cpython")


@pytest.mark.parametrize("array", arrays._examples(), ids=lambda array: str(array.shape))
def test_c_sees_what_arrays_say(array: Any) -> None:
    assert arrays._sees(array) == arrays._says(array)


@pytest.mark.parametrize("other", [None, 1, [np.zeros(3)], np.zeros, np.ndarray, memoryview(b"x")])
def test_c_tells_other_objects_from_arrays(other: Any) -> None:
    assert arrays._sees(other) is None


def test_a_subclass_is_another_object() -> None:
    """It may mean something else by its shape or elements."""
    assert arrays._sees(np.ma.zeros((2, 2), np.int8)) is None


# ---- operations ---------------------------------------------------------------------------------


def codes(*shape: int) -> Any:
    return SOURCE.integers(-128, 128, shape, np.int8)


WEIGHTS, KERNELS, CHANNELS = codes(6, 5), codes(4, 3, 2, 2), codes(3, 1, 1)
PRODUCT: dict[str, Any] = {"b_scale": 0.5, "a_scale": 0.25}
IMAGES: dict[str, Any] = {"x_scale": 0.5, "w_scale": 0.25}
ADDEND = codes(4, 6)
BLENDED: dict[str, Any] = {
    "a_scale": 0.5,
    "b_scale": 0.25,
    "b_zero_point": np.int8(-3),
    "y_scale": 0.5,
    "y_zero_point": np.int8(2),
}


def with_parameters(function: Any) -> Any:
    params = ql.QuantParams(np.float32(0.25), np.int8(3), ql.QType("int8"))
    return lambda x, out=None: function(x, params, out=out)


def with_addend(function: Any) -> Any:
    """Repeated as often as the other operand may be."""
    return lambda a, out=None: function(a, np.tile(ADDEND, (max(len(a) // 4, 1), 1)), out=out)


MAKERS: dict[str, tuple[Callable[[], Any], tuple[int, ...], tuple[int, ...], Any]] = {
    # how it is made, and the shape of its operand and of its result, and the type of that
    "MatMulInteger": (lambda: ops.MatMulInteger(WEIGHTS), (4, 6), (4, 5), np.int32),
    "QLinearMatMul": (
        lambda: ops.QLinearMatMul(WEIGHTS, **PRODUCT, y_scale=1.0, y_zero_point=np.int8(3)),
        (4, 6),
        (4, 5),
        np.int8,
    ),
    "QLinearMatMul to reals": (
        lambda: ops.QLinearMatMul(WEIGHTS, **PRODUCT, a_zero_point=9),
        (4, 6),
        (4, 5),
        np.float32,
    ),
    "DynamicQuantizeMatMul": (
        lambda: ops.DynamicQuantizeMatMul(WEIGHTS, 0.5),
        (4, 6),
        (4, 5),
        np.float32,
    ),
    "DynamicQuantizeMatMul by row": (
        lambda: ops.DynamicQuantizeMatMul(WEIGHTS, 0.5, per_row=True),
        (4, 6),
        (4, 5),
        np.float32,
    ),
    "matmul_integer": (
        lambda: lambda a, out=None: ql.matmul_integer(a, WEIGHTS, out=out),
        (4, 6),
        (4, 5),
        np.int32,
    ),
    "qlinear_matmul": (
        lambda: (
            lambda a, out=None: ql.qlinear_matmul(
                a, 0.5, None, WEIGHTS, 0.5, None, 1.0, np.int8(0), out=out
            )
        ),
        (4, 6),
        (4, 5),
        np.int8,
    ),
    "ConvInteger": (lambda: ops.ConvInteger(KERNELS), (2, 3, 5, 4), (2, 4, 4, 3), np.int32),
    "QLinearConv": (
        lambda: ops.QLinearConv(KERNELS, **IMAGES, y_scale=1.0, y_zero_point=np.uint8(8)),
        (2, 3, 5, 4),
        (2, 4, 4, 3),
        np.uint8,
    ),
    "QLinearConv, channels last": (
        lambda: ops.QLinearConv(KERNELS, **IMAGES, layout="NHWC"),
        (2, 5, 4, 3),
        (2, 4, 3, 4),
        np.float32,
    ),
    "QLinearConv of one axis": (
        lambda: ops.QLinearConv(CHANNELS, **IMAGES, group=3, y_scale=1.0, y_zero_point=np.int8(0)),
        (2, 3, 7),
        (2, 3, 7),
        np.int8,
    ),
    "quantize": (lambda: with_parameters(ql.quantize), (4, 6), (4, 6), np.int8),
    "dequantize": (lambda: with_parameters(ql.dequantize), (4, 6), (4, 6), np.float32),
    "fake_quantize": (lambda: with_parameters(ql.fake_quantize), (4, 6), (4, 6), np.float32),
    "QLinearAdd": (lambda: with_addend(ops.QLinearAdd(**BLENDED)), (4, 6), (4, 6), np.int8),
    "QLinearMul": (lambda: with_addend(ops.QLinearMul(**BLENDED)), (4, 6), (4, 6), np.int8),
    "qlinear_add": (
        lambda: with_addend(
            lambda a, b, out: ql.qlinear_add(a, 0.5, None, b, 0.25, None, 0.5, np.int8(2), out=out)
        ),
        (4, 6),
        (4, 6),
        np.int8,
    ),
}
OF_REALS = "DynamicQuantizeMatMul", "quantize", "fake_quantize"


@pytest.fixture(params=MAKERS)
def operation(request: pytest.FixtureRequest) -> Any:
    return request.param


def made(name: str, *, by_address: bool) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        if by_address:
            return MAKERS[name][0]()
        patch.setattr(arrays, "CAN_READ", False)
        return MAKERS[name][0]()


class InFull:
    """The same operation, every call of which is checked in Python."""

    def __init__(self, name: str) -> None:
        self._operation = made(name, by_address=False)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(arrays, "CAN_READ", False)
            patch.setattr(matmul, "_KNOWN", matmul.Remembered())
            patch.setattr(matmul, "_integers_once", matmul._not_plain)
            patch.setattr(elementwise, "_BLENDINGS", elementwise.Remembered())
            return self._operation(*arguments, **keywords)


def outcome(operation: Any, *arguments: Any, **keywords: Any) -> Any:
    """The result with its type and shape, or the error."""
    try:
        result = operation(*arguments, **keywords)
    except Exception as error:
        return type(error), str(error)
    return result.dtype, result.shape, result.tobytes()


# ---- what is handed to them ---------------------------------------------------------------------


def operand(name: str) -> Any:
    shape = MAKERS[name][1]
    if name.startswith(OF_REALS):
        return SOURCE.standard_normal(shape).astype(np.float32)
    return codes(*shape)


def shifted(array: Any) -> Any:
    """The same elements, one byte behind where their type would have them."""
    memory = np.empty(array.nbytes + 1, np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def spread(array: Any) -> Any:
    """The same elements, with others between them."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


FORMS: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda a: a,
    "Fortran's order": np.asfortranarray,
    "reversed rows": lambda a: a[::-1],
    "spread": spread,
    "shifted": shifted,
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "a list": lambda a: a.tolist(),
    "one image or row": lambda a: a[:1],
    "no image or row": lambda a: a[:0],
    "one axis more": lambda a: a[np.newaxis],
    "one axis less": lambda a: a[0],
    "no axes": lambda a: a[(0,) * a.ndim],
    "a column less": lambda a: a[..., 1:],
    "the other bytes": lambda a: a.view(np.uint8) if a.dtype == np.int8 else a,
    "doubles": lambda a: a.astype(np.float64),
    "int32": lambda a: a.astype(np.int32),
    "swapped bytes": lambda a: a.astype(a.dtype.newbyteorder()),
    "NaN": lambda a: a * np.nan,
    "masked": np.ma.asarray,
    "None": lambda a: None,
    "text": lambda a: "text",
}

RESULTS: dict[str, Callable[[Any, Any], Any]] = {
    "new": lambda y, a: None,
    "as it should be": lambda y, a: y,
    "shifted": lambda y, a: shifted(y),
    "spread": lambda y, a: spread(y),
    "Fortran's order": lambda y, a: np.asfortranarray(y),
    "a row less": lambda y, a: y[1:],
    "one axis more": lambda y, a: y[np.newaxis],
    "doubles": lambda y, a: y.astype(np.float64),
    "a list": lambda y, a: y.tolist(),
    "masked": lambda y, a: np.ma.asarray(y),
}


def test_same_as_in_full(operation: str) -> None:
    """With every form of operand and of result."""
    _, _, shape, dtype = MAKERS[operation]
    plain = operand(operation)
    for form, result in itertools.product(FORMS, RESULTS):
        quick, full = made(operation, by_address=True), InFull(operation)
        for given_form in (form, "as it is", form):  # in turn: calls remember the last one
            a = FORMS[given_form](plain)
            places = [RESULTS[result](np.full(shape, 77, dtype), a) for _ in range(2)]
            wanted = outcome(full, a, out=places[1])
            assert outcome(quick, a, out=places[0]) == wanted, (form, result, given_form)
            if isinstance(places[0], np.ndarray):
                assert np.array_equal(places[0], places[1]), (form, result, given_form)


def test_read_only_results_are_refused(operation: str) -> None:
    _, _, shape, dtype = MAKERS[operation]
    y = np.zeros(shape, dtype)
    y.flags.writeable = False
    quick, full = made(operation, by_address=True), InFull(operation)
    for form in FORMS:
        a = FORMS[form](operand(operation))
        found = outcome(quick, a, out=y)
        assert issubclass(found[0], (TypeError, ValueError)), form
        assert found == outcome(full, a, out=y), form
        assert not y.any(), form


@given(st.data())
def test_results_that_overlap(operation: str, data: st.DataObject) -> None:
    """Wherever the result begins in the memory of the operand, which is too large to be copied all
    at once before the first results are written."""
    many = 500
    plain = np.concatenate([operand(operation)] * many)
    run = made(operation, by_address=True)
    run(plain)  # that is remembered
    wanted = run(plain)
    start = data.draw(st.integers(0, (wanted.nbytes + plain.nbytes) // 4)) * 4
    memory = np.zeros(plain.nbytes + 2 * wanted.nbytes, np.uint8)
    a = memory[wanted.nbytes : -wanted.nbytes].view(plain.dtype).reshape(plain.shape)
    y = memory[start : start + wanted.nbytes].view(wanted.dtype).reshape(wanted.shape)
    a[...] = plain
    assert np.array_equal(run(a, out=y), wanted)


IN_FULL = {  # what calls that are checked in Python go through
    "MatMul": "quantlib.ops.matmul.as_bytes",
    "QLinearMatMul": "quantlib.ops.matmul.as_bytes",
    "Dynamic": "quantlib.ops.matmul.as_float32",
    "matmul": "quantlib._native.products._RightOperand.multiply",
    "qlinear_matmul": "quantlib._native.products._RightOperand.multiply",
    "ConvInteger": "quantlib._native.Filter.convolve",
    "QLinearConv": "quantlib.ops.conv.as_bytes",
    "quantize": "quantlib.ops.affine.quantize_arguments",
    "dequantize": "quantlib.ops.affine.dequantize_arguments",
    "fake_quantize": "quantlib.ops.affine.quantize_arguments",
    "": "quantlib._native.Blending.run",
}


def test_plain_operands_are_not_looked_at_in_python(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are what this is for: so that nobody turns it off without noticing."""
    if not arrays.CAN_READ:
        pytest.skip("this Python does not keep arrays where C can read them")
    name = next(place for start, place in IN_FULL.items() if operation.startswith(start))
    plain, run = operand(operation), made(operation, by_address=True)
    wanted = run(plain)

    def fail(*arguments: Any) -> Any:
        raise AssertionError(f"{name} was called")

    monkeypatch.setattr(name, fail)
    out = np.empty_like(wanted)
    assert np.array_equal(run(plain), wanted)
    assert run(plain, out=out) is out
    assert np.array_equal(out, wanted)


# ---- residuals ----------------------------------------------------------------------------------


def with_residual() -> Any:
    return ops.QLinearConv(
        KERNELS, **IMAGES, y_scale=1.0, y_zero_point=np.int8(1), residual_scale=0.5
    )


@pytest.mark.parametrize("form", FORMS)
def test_residuals(form: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "CAN_READ", False)
        full = with_residual()
    quick, x, plain = with_residual(), codes(2, 3, 5, 4), codes(2, 4, 4, 3)
    for given_form in ("as it is", form, "as it is"):
        residual = FORMS[given_form](plain)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(arrays, "CAN_READ", False)
            wanted = outcome(full, x, residual)
        assert outcome(quick, x, residual) == wanted
    inside = plain.copy()
    assert np.array_equal(quick(x, inside, out=inside), quick(x, plain))


# ---- results without `out` ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("form", FORMS)
def test_ranges(form: str, dtype: Any) -> None:
    x = FORMS[form](SOURCE.standard_normal((4, 6)).astype(dtype))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_native, "min_max_by_address", arrays._decline)
        wanted = outcome(lambda x: np.stack(ql.min_max(x)), x)
    assert outcome(lambda x: np.stack(ql.min_max(x)), x) == wanted


@pytest.mark.parametrize("function", [ql.quantize, ql.dequantize, ql.fake_quantize])
@pytest.mark.parametrize("scale", [np.float64(0.5), np.float16(0.5), np.float32([0.5, 1, 2])])
def test_other_parameters(function: Any, scale: Any) -> None:
    """Of types or granularities for which Python has more to do."""
    params = ql.QuantParams(scale, 0, ql.QType("int8"), axis=0 if scale.ndim else None)
    x = codes(3, 5) if function is ql.dequantize else SOURCE.standard_normal((3, 5))
    wanted = getattr(ql.reference, function.__name__)(x, params)
    for _ in range(3):
        found = function(x, params)
        assert found.dtype == wanted.dtype
        assert np.array_equal(found, wanted)


# ---- parameters that are remembered -------------------------------------------------------------


@pytest.mark.parametrize("scale", [np.array(0.5, np.float32), np.ones(1, np.float32)])
def test_parameters_that_change_between_calls(scale: Any) -> None:
    """The same object, but not the same value."""
    x, a, b = SOURCE.standard_normal((4, 6)).astype(np.float32), codes(4, 6), codes(6, 5)
    zero = np.int8(0)
    for value in (0.5, 0.25, 0.25, 0.125):
        scale[...] = value
        plain = np.float32(value)
        assert np.array_equal(ql.quantize_linear(x, scale), ql.quantize_linear(x, plain))
        for s in (scale, plain):
            found = ql.qlinear_matmul(a, s, zero, b, 1.0, zero, 64.0, zero)
            assert np.array_equal(
                found, ql.reference.qlinear_matmul(a, value, zero, b, 1.0, zero, 64.0, zero)
            )
            summed = ql.qlinear_add(a, s, zero, a, 0.25, zero, 0.5, zero)
            assert np.array_equal(
                summed, ql.reference.qlinear_add(a, value, zero, a, 0.25, zero, 0.5, zero)
            )


def test_parameters_of_other_types_and_the_same_value() -> None:
    """1, 1.0 and True are equal, but not the same."""
    x, params = np.float32([[0.4, 1.6]]), np.float32(1)
    for zero, dtype in ((np.int8(1), np.int8), (np.uint8(1), np.uint8), (np.int8(1), np.int8)):
        for _ in range(2):
            assert ql.quantize_linear(x, params, zero).dtype == dtype


A_LEFT, A_RIGHT = codes(4, 6), codes(6, 5)


def doubled(scale: Any) -> None:
    scale[2] *= 2


def reshaped(scale: Any) -> None:
    scale.resize((5, 1), refcheck=False)


def retyped(scale: Any) -> None:
    scale.dtype = np.int32


@pytest.mark.parametrize("change", [doubled, reshaped, retyped])
def test_arrays_of_parameters_that_change_between_calls(change: Any) -> None:
    """What was found again by its address must not be what it was."""
    zero, scale = np.int8(0), np.float32([0.5, 0.25, 0.5, 0.125, 1])

    def call(layer: Any) -> Any:
        return outcome(layer.qlinear_matmul, A_LEFT, 0.5, zero, A_RIGHT, scale, None, 64.0, zero)

    for _ in range(4):
        assert call(ops) == call(ql.reference)
    change(scale)
    for _ in range(4):
        assert call(ops) == call(ql.reference)


def test_parameters_are_told_apart() -> None:
    """By other objects, equal or not; by those that take the place of others that are gone; more of
    them than are remembered, and again."""
    zero, other_zero = np.int8(0), np.int8(3)
    for round_ in range(2):
        for step in range(70):
            scale = np.full(5, 0.25 + step / 64, np.float32)
            y_zero = zero if step % 3 else other_zero
            arguments = 0.5, None, A_RIGHT, scale, None, np.float32(8 + round_), y_zero
            for a in (A_LEFT, A_LEFT.view(np.uint8)):
                for _ in range(1 + step % 3):
                    found = outcome(ops.qlinear_matmul, a, *arguments)
                    assert found == outcome(ql.reference.qlinear_matmul, a, *arguments)


def test_equal_parameters_of_other_types_are_others() -> None:
    """1 and True, 0.0 and -0.0, codes of one and the other type."""
    for y_zero in (np.int8(1), np.uint8(1), 1, True, 1.0, np.int16(1), None):
        for _ in range(3):
            arguments = 0.5, None, A_RIGHT, np.ones(5, np.float32), None, 8.0, y_zero
            found = outcome(ops.qlinear_matmul, A_LEFT, *arguments)
            assert found == outcome(ql.reference.qlinear_matmul, A_LEFT, *arguments)


def test_what_is_remembered_does_not_keep_arrays() -> None:
    """They belong to the caller, who may want to resize them or to close what they lie in."""
    scale = np.ones(5, np.float32)
    for _ in range(4):
        ops.qlinear_matmul(A_LEFT, 0.5, None, A_RIGHT, scale, None, 8.0, np.int8(0))
    if arrays.CAN_READ:
        assert matmul._KNOWN._held.parameters
    scale.resize(4)
    gone = weakref.ref(scale)
    del scale
    assert gone() is None
