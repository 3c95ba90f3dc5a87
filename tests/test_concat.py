"""Joining and padding quantized arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import quantlib as ql
from quantlib import reference
from quantlib.testing import assert_bit_exact, memory_layouts
from quantlib.testing.inputs import extreme_codes

BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])


@BOTH
def test_join_by_hand(layer: Any) -> None:
    """Real 0.5 * (a - 10) and 1.0 * b in steps of 0.5 from 10: a stays, b doubles."""
    a, b = np.uint8([[1], [2]]), np.int8([[-3, 4], [100, -100]])
    joined = layer.qlinear_concat(0.5, np.uint8(10), [(a, 0.5, 10), (b, 1.0, 0)], axis=1)
    assert joined.tolist() == [[1, 4, 18], [2, 210, 0]]


@BOTH
def test_pad_by_hand(layer: Any) -> None:
    x = np.int8([[1, 2, 3], [4, 5, 6]])
    padded = layer.pad(x, [1, 0, 0, 2], np.int8(-7))
    assert padded.tolist() == [[-7] * 5, [1, 2, 3, -7, -7], [4, 5, 6, -7, -7]]
    assert layer.pad(x, [-1, 1], axes=[-1]).tolist() == [[2, 3, 0], [5, 6, 0]]
    assert layer.pad(x, [-5, 4], 9, axes=[1]).tolist() == [[9, 9], [9, 9]]
    assert layer.pad(x, [4, -5], 9, axes=[1]).tolist() == [[9, 9], [9, 9]]
    assert layer.pad(x, [], axes=()).tolist() == x.tolist()
    assert layer.pad(np.int8(3), []).tolist() == 3


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_joins(isa: str, agree: Any, rng: np.random.Generator, axis: int) -> None:
    inputs = []
    for number, length in enumerate((1, 0, 5, 70)):
        shape = [3, 4, 5]
        shape[axis] = length
        dtype = (np.uint8, np.int8)[number % 2]
        x = rng.integers(0, 256, shape, np.uint8).view(dtype)
        inputs.append((x, 0.02 * (number + 1), dtype(100)))
    joined = agree("qlinear_concat", 0.06, np.int8(7), inputs, axis=axis)
    assert np.unique(joined).size > 100
    agree("qlinear_concat", 0.02, np.uint8(100), inputs[:1] * 3, axis=axis)


def test_codes_that_stay_and_codes_that_saturate(isa: str, agree: Any) -> None:
    for x in extreme_codes((2, 40), "int8").values():
        agree("qlinear_concat", 0.5, np.int8(3), [(x, 0.5, 3), (x, 0.5, 4), (x, 9.0, 3)], axis=0)


def test_layouts_and_out(isa: str, agree: Any, rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (6, 19), np.uint8)
    inputs = [(x, 0.02, 100), (x, 0.5, 3)]
    for layout in memory_layouts(x).values():
        agree("qlinear_concat", 0.02, np.uint8(100), [(layout, 0.03, 7)] * 2, axis=1)
        agree("pad", layout, [1, 2, 3, 4], np.uint8(9))
    agree.written("qlinear_concat", np.float32(0.02), np.uint8(100), inputs, axis=1)
    agree.overlapping("qlinear_concat", np.float32(0.02), np.uint8(100), inputs, axis=1)
    agree.written("pad", x, [0, 1, 2, 3])
    agree.overlapping("pad", x, [0, 1, 2, 3])


def test_prepared(isa: str, agree: Any, rng: np.random.Generator) -> None:
    join = agree.prepared(
        "QLinearConcat",
        x_scales=np.float32([0.5, 0.25, 0.5]),
        x_zero_points=[3, 4, 3],
        y_scale=0.5,
        y_zero_point=np.uint8(3),
        axis=-1,
    )
    same = agree.prepared("QLinearConcat", x_scales=[0.5] * 3, y_scale=[0.5], axis=1)
    frame = agree.prepared("Pad", [1, 0, 2, -1], [9], axes=[0, 1])
    for shape in ((3, 5), (2, 7), (3, 5)):  # and what was remembered
        x = rng.integers(0, 256, shape, np.uint8)
        for y in (x, x.view(np.int8), np.asfortranarray(x)):
            join([x, y, x[:, :2]])
            same((y, y, y))
            frame(y)


def test_out_of_prepared(isa: str, rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (3, 5), np.uint8)
    for layer in (ql, reference):
        join = layer.QLinearConcat(x_scales=[0.5, 0.25], y_scale=0.5, axis=0)
        frame = layer.Pad([0, 1, 0, 1], 3)
        for operation, codes in ((join, [x, x]), (frame, x)):
            wanted = operation(codes)
            out = np.empty_like(wanted)
            assert operation(codes, out=out) is out
            assert_bit_exact(out, wanted)
            with pytest.raises(ValueError, match=r"^out has shape"):
                operation(codes, out=out[1:])


@BOTH
def test_prepared_arguments_are_checked_when_they_are_given(layer: Any) -> None:
    fixed = {"x_scales": [1.0, 2.0], "y_scale": 1.0, "axis": 0}
    for name, value in (
        ("x_scales", []),
        ("x_scales", [1.0, 0.0]),
        ("x_zero_points", [1]),
        ("x_zero_points", [1, 300]),
        ("y_scale", 0.0),
    ):
        with pytest.raises(ValueError, match=rf"^{name}"):
            layer.QLinearConcat(**{**fixed, name: value})
    with pytest.raises(ValueError, match=r"^inputs are 1; there must be 2$"):
        layer.QLinearConcat(**fixed)([np.zeros(3, np.int8)])
    typed = layer.QLinearConcat(**fixed, x_zero_points=np.int8([1, 2]))
    with pytest.raises(TypeError, match=r"^inputs\[1\]: x_zero_point is int8"):
        typed([np.zeros(3, np.int8), np.zeros(3, np.uint8)])
    with pytest.raises(ValueError, match=r"^x_zero_point"):
        layer.Pad([1, 1], 300)
    with pytest.raises(TypeError, match=r"^pads"):
        layer.Pad(1)
    with pytest.raises(ValueError, match=r"^pads has 2 entries; it must have 4$"):
        layer.Pad([1, 1])(np.zeros((2, 3), np.int8))


def test_out_may_hold_an_input(isa: str, rng: np.random.Generator) -> None:
    for layer in (ql, reference):
        memory = rng.integers(0, 256, (6, 40), np.uint8)
        parts = [(memory[:, 20:], 0.5, 3), (memory[:, :20], 0.25, 4)]
        wanted = reference.qlinear_concat(0.5, 3, [(x.copy(), s, z) for x, s, z in parts], axis=1)
        assert layer.qlinear_concat(0.5, 3, parts, axis=1, out=memory) is memory
        assert_bit_exact(memory, wanted)


@given(
    x=hnp.arrays(np.int8, hnp.array_shapes(max_dims=3, max_side=4)),
    data=st.data(),
)
def test_padding_of_any_sign(isa: str, agree: Any, x: np.ndarray, data: st.DataObject) -> None:
    begin = [data.draw(st.integers(-n - 2, 3)) for n in x.shape]
    end = [data.draw(st.integers(max(-n - b, -5), 5)) for n, b in zip(x.shape, begin, strict=True)]
    padded = agree("pad", x, [*begin, *end], 5)
    wide = np.pad(x, 9, constant_values=5)  # of which the result is a window
    window = tuple(slice(9 - b, 9 + n + e) for n, b, e in zip(x.shape, begin, end, strict=True))
    np.testing.assert_array_equal(padded, wide[window])


def test_joined_codes_are_quantized_reals() -> None:
    x = np.arange(256, dtype=np.uint8)
    params = ql.QuantParams(0.07, 99, "int8")
    wanted = ql.quantize(ql.dequantize(x, ql.QuantParams(0.1, 50, "uint8")), params)
    joined = ql.qlinear_concat(0.07, np.int8(99), [(x, 0.1, 50)], axis=0)
    assert_bit_exact(joined, wanted)
