"""The edge of what is valid: nothing at all, no numbers, too much, and memory of every kind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import quantlib as ql
from foreign_arrays import OnlyDLPack, Subclass
from quantlib.testing import isas, memory_layouts, use_isa
from valid_calls import (
    CALLS,
    CODES,
    IMAGE,
    PER_CHANNEL,
    PER_TENSOR,
    WEIGHTS,
    WITH_OUT,
    B,
    X,
    answer,
    outcome,
)


def test_every_operation_has_a_valid_call_here(isa: str) -> None:
    public = set(ql.reference.__all__)
    assert set(CALLS) == public
    for name, arguments in CALLS.items():
        assert outcome(ql.reference, name, arguments)[0] == "returned", name
        assert outcome(ql, name, arguments) == outcome(ql.reference, name, arguments), name


@pytest.mark.parametrize("layer", [ql, ql.reference], ids=["fast", "reference"])
def test_empty_data_has_defined_results(layer: Any, isa: str) -> None:
    """Sums of nothing are 0 and their codes the zero point; no rows, columns or images are none."""
    none, some = np.zeros((2, 0), np.int8), np.zeros((0, 3), np.int8)
    np.testing.assert_array_equal(layer.matmul_integer(none, some, 5, 7), np.zeros((2, 3)))
    codes = layer.qlinear_matmul(none, 1.0, 5, some, 1.0, 7, 1.0, np.uint8(9))
    np.testing.assert_array_equal(codes, np.full((2, 3), 9))
    codes = layer.qlinear_matmul(none, 1.0, 5, some, 1.0, 7, 2.0, np.uint8(9), bias=[2, 4, -6])
    np.testing.assert_array_equal(codes, [[10, 11, 6]] * 2)
    assert layer.matmul_integer(some, np.zeros((3, 4), np.int8)).shape == (0, 4)
    assert layer.matmul_integer(B, np.zeros((4, 0), np.int8)).shape == (3, 0)
    assert layer.matmul_integer(np.zeros((0, 2, 3), np.int8), B).shape == (0, 2, 4)
    product = layer.MatMulInteger(np.zeros((0, 3), np.int8))
    np.testing.assert_array_equal(product(none), np.zeros((2, 3)))

    weights = np.zeros((2, 0, 1, 1), np.int8)
    result = layer.conv_integer(np.zeros((1, 0, 2, 2), np.uint8), weights)
    np.testing.assert_array_equal(result, np.zeros((1, 2, 2, 2)))
    codes = layer.qlinear_conv(
        np.zeros((1, 0, 2, 2), np.uint8), 1.0, 0, weights, 1.0, 0, 1.0, np.int8(-4), [1, 2]
    )
    np.testing.assert_array_equal(codes, np.full((1, 2, 2, 2), [[[-3]], [[-2]]]))
    assert layer.conv_integer(IMAGE[:0], WEIGHTS).shape == (0, 2, 2, 2)
    assert layer.conv_integer(IMAGE, WEIGHTS[:0]).shape == (1, 0, 2, 2)
    assert layer.QLinearConv(WEIGHTS, 1.0, x_scale=1.0)(IMAGE[:0]).shape == (0, 2, 2, 2)

    assert layer.quantize(X[:0], PER_TENSOR).shape == (0, 3)
    assert layer.dequantize(CODES[:, :, np.newaxis][..., :0], PER_TENSOR).shape == (2, 3, 0)
    assert layer.quantize(X[:0], PER_CHANNEL).dtype == np.int8
    y, scale, zero_point = layer.dynamic_quantize_linear([])
    assert (y.shape, float(scale), int(zero_point)) == ((0,), 1.0, 0)
    assert layer.requantize(np.zeros((0, 2), np.int32), [1.0, 2.0], np.int8(0)).shape == (0, 2)


@pytest.mark.parametrize("layer", [ql, ql.reference], ids=["fast", "reference"])
def test_values_that_are_no_numbers_have_codes(layer: Any, isa: str) -> None:
    x = np.float32([math.nan, math.inf, -math.inf, 3e38, -3e38, 1e-45, -0.0])
    np.testing.assert_array_equal(
        layer.quantize(x, ql.QuantParams(0.5, 3, "int8")), [3, 127, -128, 127, -128, 3, 3]
    )
    scaled = layer.quantize_linear(x.astype(np.float64) * 10, np.float64(1e-300), np.uint8(7))
    np.testing.assert_array_equal(scaled, [7, 255, 0, 255, 0, 255, 7])


def test_views_larger_than_memory_are_refused() -> None:
    """A view can repeat one byte more often than any size in C can count."""
    tall = np.broadcast_to(np.int8(1), (2**61, 1))
    for call in (
        lambda: ql.MatMulInteger(tall),
        lambda: ql.matmul_integer(np.zeros((0, 2**61), np.int8), tall),
        lambda: ql.matmul_integer(tall, np.ones((1, 1), np.int8)),
        lambda: ql.QLinearConv(tall[..., np.newaxis], 1.0, x_scale=1.0),
        lambda: ql.quantize(tall, PER_TENSOR),
    ):
        with pytest.raises((MemoryError, ValueError)):
            call()


def test_extents_larger_than_memory_are_refused() -> None:
    x, w = np.zeros((1, 1, 2, 2, 2), np.int8), np.ones((1, 1, 1, 1, 1), np.int8)
    with pytest.raises(ValueError, match="pads make a result"):
        ql.conv_integer(x, w, pads=[2**30 - 2] * 6)
    with pytest.raises(ValueError, match="group is"):
        ql.conv_integer(np.zeros((1, 0, 2), np.int8), np.ones((0, 0, 1), np.int8), group=2**61)
    lo, hi = ql.min_max(X, axis=0, block_size=2**63 - 1)
    np.testing.assert_array_equal(lo, X[:1])
    np.testing.assert_array_equal(hi, X[1:])


# ---- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_layout_of_an_argument_does_not_matter(name: str) -> None:
    """Each array in turn lies oddly in memory; results stay the same, and so do the inputs."""
    wanted = outcome(ql.reference, name, CALLS[name])
    arrays = {key: v for key, v in CALLS[name].items() if isinstance(v, np.ndarray) and v.ndim}
    for argument, value in arrays.items():
        foreign = {"DLPack": OnlyDLPack(value), "subclass": value.view(Subclass)}
        for layout, odd in (memory_layouts(value) | foreign).items():
            for isa in isas():
                with use_isa(isa):
                    found = outcome(ql, name, CALLS[name] | {argument: odd})
                assert found == wanted, f"{argument}, {layout}, on {isa}"
            if isinstance(odd, np.ndarray):
                np.testing.assert_array_equal(odd, value)


@pytest.mark.parametrize("name", WITH_OUT)
def test_results_go_where_they_are_wanted(name: str, isa: str) -> None:
    (wanted,) = answer(ql.reference, name, CALLS[name])
    for layer in (ql, ql.reference):
        for layout, out in memory_layouts(np.zeros_like(wanted)).items():
            if layout in ("read-only", "swapped"):
                continue
            (result,) = answer(layer, name, CALLS[name] | {"out": out})
            assert result is out, layout
            np.testing.assert_array_equal(out, wanted, layout)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_inputs_are_never_changed(name: str, isa: str) -> None:
    inputs = {key: value for key, value in CALLS[name].items() if key != "params"}
    before = [_contents(value) for value in inputs.values()]
    answer(ql, name, CALLS[name])
    assert before == [_contents(value) for value in inputs.values()]


def _contents(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_contents(entry) for entry in value]
    return np.array(value).tobytes() if isinstance(value, np.ndarray) else value
