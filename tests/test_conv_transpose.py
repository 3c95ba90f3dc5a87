"""Transposed convolutions: examples, oracle over the attributes, sums term by term."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quantlib as ql
from quantlib import reference
from quantlib.testing import extreme_codes, memory_layouts

BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])


@BOTH
def test_by_hand(layer: Any) -> None:
    """Pixels 1 and 2 spread 1, 2, 3 over the result, two places apart."""
    x, w = np.uint8([[[4, 5]]]), np.int8([[[1, 2, 3]]])
    operands = x, 1.0, 3, w, 1.0, 0, 1.0, np.int8(0)
    up = layer.qlinear_conv_transpose
    assert up(*operands, strides=[2]).tolist() == [[[1, 2, 5, 4, 6]]]
    assert up(*operands, strides=[2], pads=[1, 2]).tolist() == [[[2, 5]]]
    assert up(*operands, strides=[4], output_padding=[1]).tolist() == [[[1, 2, 3, 0, 2, 4, 6, 0]]]
    assert up(*operands, [10], strides=[4]).tolist() == [[[11, 12, 13, 10, 12, 14, 16]]]
    same = up(*operands, strides=[2], auto_pad="SAME_UPPER")
    assert same.tolist() == [[[1, 2, 5, 4]]]
    lower = up(*operands, strides=[2], output_shape=[4])
    assert lower.tolist() == [[[2, 5, 4, 6]]]
    assert up(*operands, strides=[2], output_shape=[7]).tolist() == [[[1, 2, 5, 4, 6, 0, 0]]]


@BOTH
def test_nothing_wraps(layer: Any) -> None:
    x, w = np.full((1, 40_000, 1), 255, np.uint8), np.full((40_000, 1, 1), 255, np.uint8)
    with pytest.raises(OverflowError):
        layer.qlinear_conv_transpose(x, 1.0, 0, w, 1.0, 0, None, None)


@st.composite
def transpositions(draw: st.DrawFn) -> dict[str, Any]:
    rank = draw(st.integers(1, 3))

    def extents(low: int, high: int, count: int = rank) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    group, layout = draw(st.integers(1, 3)), draw(st.sampled_from(["NCHW", "NHWC"]))
    inputs, outputs = draw(st.integers(1, 4)), draw(st.integers(1, 17))
    if draw(st.booleans()):
        inputs = outputs = 1
    kernel, strides, dilations = extents(1, 8 // rank), extents(1, 4), extents(1, 3)
    spatial, extra = extents(1, 6), extents(0, 3)
    whole = [
        (n - 1) * s + (k - 1) * d + 1 + p
        for n, s, k, d, p in zip(spatial, strides, kernel, dilations, extra, strict=True)
    ]
    begin = [draw(st.integers(0, extent - 1)) for extent in whole]
    end = [draw(st.integers(0, w - b - 1)) for w, b in zip(whole, begin, strict=True)]
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels = group * inputs
    shape = (2, channels, *spatial) if layout == "NCHW" else (2, *spatial, channels)
    w = random.integers(0, 256, (channels, outputs, *kernel), np.uint8).view(np.int8)
    return {
        "x": random.integers(0, 256, shape, np.uint8).view(draw(st.sampled_from(["i1", "u1"]))),
        "x_scale": 0.02,
        "x_zero_point": draw(st.integers(0, 127)),
        "w": w,
        "w_scale": random.uniform(0.01, 0.03, group * outputs).astype(np.float32),
        "w_zero_point": random.integers(-9, 9, group * outputs).astype(np.int8),
        "y_scale": draw(st.sampled_from([None, 1.0])),
        "y_zero_point": None,
        "b": random.integers(-9999, 9999, group * outputs, np.int32),
        "group": group,
        "strides": strides,
        "dilations": dilations,
        "output_padding": extra,
        "pads": [*begin, *end],
        "layout": layout,
    }


@given(call=transpositions())
def test_any_attributes(isa: str, agree: Any, call: dict[str, Any]) -> None:
    x, fixed = call["x"], {name: call[name] for name in call if name != "x"}
    layer = agree.prepared("QLinearConvTranspose", **fixed)
    layer(x)
    layer(np.concatenate([x, x]))
    agree("qlinear_conv_transpose", **call)


@given(call=transpositions())
def test_each_sum_term_by_term(call: dict[str, Any]) -> None:
    """With scales of 1 and no rounding, float32 results are the sums."""
    call |= {"x_scale": 1.0, "w_scale": 1.0, "y_scale": None, "w_zero_point": 3}
    result = ql.qlinear_conv_transpose(**call)
    x, w, rank = call["x"], call["w"], call["w"].ndim - 2
    if call["layout"] == "NHWC":
        x, result = np.moveaxis(x, -1, 1), np.moveaxis(result, -1, 1)
    inputs, outputs = w.shape[0] // call["group"], w.shape[1]
    sums = np.zeros(result.shape, np.int64) + call["b"].reshape(-1, *(1,) * rank)
    for c, m, *places in itertools.product(
        range(w.shape[0]), range(outputs), *map(range, (*x.shape[2:], *w.shape[2:]))
    ):
        pixel, tap = places[:rank], places[rank:]
        at = [
            p * s + t * d - b
            for p, s, t, d, b in zip(
                pixel, call["strides"], tap, call["dilations"], call["pads"], strict=False
            )
        ]
        if all(0 <= a < n for a, n in zip(at, result.shape[2:], strict=True)):
            steps = x[:, c, *pixel].astype(np.int64) - call["x_zero_point"]
            sums[:, c // inputs * outputs + m, *at] += steps * (int(w[c, m, *tap]) - 3)
    np.testing.assert_array_equal(result, sums)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_usual_layers(isa: str, agree: Any, rng: np.random.Generator, layout: str) -> None:
    """What decoders have: kernels of 2 to 4, strides of 2, and depthwise."""
    for channels, outputs, group, kernel, pad in (
        (24, 17, 1, 4, 1),
        (16, 1, 16, 4, 1),
        (8, 8, 1, 2, 0),
    ):
        shape = (2, channels, 9, 11) if layout == "NCHW" else (2, 9, 11, channels)
        x = rng.integers(0, 256, shape, np.uint8)
        w = rng.integers(-128, 128, (channels, outputs, kernel, kernel), np.int8)
        geometry = {"strides": [2, 2], "pads": [pad] * 4, "group": group, "layout": layout}
        codes = agree(
            "qlinear_conv_transpose", x, 0.02, 120, w, 0.01, 0, 1.5, np.uint8(128), **geometry
        )
        assert np.mean((codes > 0) & (codes < 255)) > 0.5


def test_extremes_and_enormous_strides(isa: str, agree: Any) -> None:
    for x in extreme_codes((1, 3, 5), "int8").values():
        for w in extreme_codes((3, 2, 4), "int8").values():
            agree("qlinear_conv_transpose", x, 1, -128, w, 1, 127, None, None, strides=[3])
    x, w = np.ones((1, 1, 1, 1), np.uint8), np.ones((1, 1, 1, 2), np.uint8)
    codes = agree("qlinear_conv_transpose", x, 1, 0, w, 1, 0, 1, 0, strides=[2**30, 2**30])
    assert codes.tolist() == [[[[1, 1]]]]


def test_layouts_and_out(isa: str, agree: Any, rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (2, 3, 4, 5), np.uint8)
    w = rng.integers(-128, 128, (3, 2, 3, 2), np.int8)
    rest = 0.02, 120, w, 0.02, 0, 1.0, np.uint8(128)
    for layout in memory_layouts(x).values():
        agree("qlinear_conv_transpose", layout, *rest, strides=[2, 3])
    agree.written("qlinear_conv_transpose", x, *rest, strides=[2, 3])
    agree.overlapping("qlinear_conv_transpose", x, *rest, strides=[2, 3])
