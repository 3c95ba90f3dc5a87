"""The softmax of codes: examples, oracle, and the real softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import quantlib as ql
from quantlib import reference
from quantlib.testing import extreme_codes, interesting_sizes, memory_layouts

BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])
BYTES = pytest.mark.parametrize("dtype", [np.int8, np.uint8])
PART = 1 / 256


@BOTH
def test_by_hand(layer: Any) -> None:
    """exp(-log(2)) is a half: 4 parts of 7, 2 and 1, of 256."""
    x = np.int8([[2, 1, 0], [5, 5, 5]])
    codes = layer.qlinear_softmax(x, math.log(2), 0, PART, np.uint8(0))
    assert codes.tolist() == [[146, 73, 37], [85, 85, 85]]
    assert layer.qlinear_softmax(x[:, :1], 1.0, 0, PART, np.int8(-128)).tolist() == [[127], [127]]
    along = layer.qlinear_softmax(x.T, math.log(2), 0, PART, np.uint8(0), axis=0)
    np.testing.assert_array_equal(along, codes.T)


@BOTH
def test_axes_without_elements(layer: Any) -> None:
    for shape in ((3, 0), (0, 3), (0, 0)):
        assert layer.qlinear_softmax(np.zeros(shape, np.int8), 1, 0, 1, 0).shape == shape


@BYTES
def test_sizes(isa: str, agree: Any, rng: np.random.Generator, dtype: Any) -> None:
    for size in (*interesting_sizes(16, 64, 256), 5000):
        x = rng.integers(0, 256, (3, size), np.uint8).view(dtype)
        for scale in (0.001, 0.05, 2.0):
            agree("qlinear_softmax", x, scale, 3, 1 / (size + 1), np.int8(-128))
    x = rng.integers(0, 256, (300, 400), np.uint8).view(dtype)
    codes = agree("qlinear_softmax", x, 0.01, 3, 1 / 8000, np.uint8(0))
    assert len(np.unique(codes)) > 50


@BYTES
def test_extremes(isa: str, agree: Any, dtype: Any) -> None:
    for x in extreme_codes((2, 70_000), dtype).values():
        for scale in (1e-45, 1e-3, 1e30):
            agree("qlinear_softmax", x, scale, 0, 1e-5, np.uint8(7))
            agree("qlinear_softmax", x[:, :5], scale, 0, scale, np.int8(7))


@given(
    x=hnp.arrays(np.int8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=9)),
    scale=st.floats(2.0**-10, 4.0, width=32),
    data=st.data(),
)
def test_any_axis(isa: str, agree: Any, x: np.ndarray, scale: float, data: Any) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    codes = agree("qlinear_softmax", x, scale, 0, PART, np.uint8(0), axis=axis)
    real = np.exp(scale * (x - x.max(axis=axis, keepdims=True).astype(float)))
    real /= real.sum(axis=axis, keepdims=True)
    wanted = np.minimum(real * 256, 255)
    assert np.abs(codes - wanted).max() <= 0.5001


def test_layouts_and_out(isa: str, agree: Any, rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (7, 19), np.uint8)
    for layout in memory_layouts(x).values():
        agree("qlinear_softmax", layout, 0.02, 0, PART, 0)
    for axis in (0, 1):
        agree.written("qlinear_softmax", x, 0.02, 0, PART, 0, axis=axis)
        agree.overlapping("qlinear_softmax", x, 0.02, 0, PART, 0, axis=axis)


def test_prepared(isa: str, agree: Any, rng: np.random.Generator) -> None:
    for axis in (0, -1):
        softmax = agree.prepared(
            "QLinearSoftmax", x_scale=0.02, x_zero_point=7, y_scale=PART, axis=axis
        )
        for shape in ((1000,), (3, 70), (0, 4), (2, 3, 5)):
            for dtype in (np.int8, np.uint8):
                softmax(rng.integers(0, 127, shape).astype(dtype))
    for layer in (ql, reference):
        with pytest.raises(ValueError, match="axis"):
            layer.QLinearSoftmax(x_scale=1.0, y_scale=1.0, axis=1)(np.zeros(3, np.int8))
        with pytest.raises(TypeError, match="axis"):
            layer.QLinearSoftmax(x_scale=1.0, y_scale=1.0, axis="last")
        with pytest.raises(ValueError, match="y_scale"):
            layer.QLinearSoftmax(x_scale=1.0, y_scale=0.0)
