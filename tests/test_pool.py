"""Pooling: examples, oracle over the attributes, windows one by one."""

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
from quantlib.testing import assert_bit_exact, exact, extreme_codes, memory_layouts

BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])
BYTES = pytest.mark.parametrize("dtype", [np.int8, np.uint8])
LAYOUTS = pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
SCALES = 0.02, 100, 0.011, np.uint8(120)


def draw(rng: np.random.Generator, shape: Any, dtype: Any) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)


# ---- examples -----------------------------------------------------------------------------------


@BOTH
def test_largest_by_hand(layer: Any) -> None:
    x = np.int8([[[3, -5, 7, 1, -128]]])
    assert layer.max_pool(x, kernel_shape=[2]).tolist() == [[[3, 7, 7, 1]]]
    assert layer.max_pool(x, kernel_shape=[2], strides=[2]).tolist() == [[[3, 7]]]
    up = layer.max_pool(x, kernel_shape=[2], strides=[2], ceil_mode=True)
    assert up.tolist() == [[[3, 7, -128]]]
    assert layer.max_pool(x, kernel_shape=[2], dilations=[3]).tolist() == [[[3, -5]]]
    assert layer.max_pool(x, kernel_shape=[3], auto_pad="SAME_UPPER", strides=[3]).tolist() == [
        [[7, 1]]
    ]


@BOTH
def test_windows_of_nothing(layer: Any) -> None:
    """The lowest code for a maximum, the zero point for an average."""
    x = np.int8([[[5]]])
    wide = {"kernel_shape": [1], "pads": [2, 1]}
    assert layer.max_pool(x, **wide).tolist() == [[[-128, -128, 5, -128]]]
    average = layer.qlinear_average_pool(x, 1, 0, 1, np.uint8(9), **wide)
    assert average.tolist() == [[[9, 9, 14, 9]]]
    hollow = {"kernel_shape": [2], "dilations": [2], "pads": [1, 1]}
    assert layer.max_pool(x, **hollow).tolist() == [[[-128]]]
    assert layer.max_pool(x.view(np.uint8), **hollow).tolist() == [[[0]]]


@BOTH
def test_average_by_hand(layer: Any) -> None:
    x = np.uint8([[[10, 20, 30, 45]]])  # reals 0, 5, 10, 17.5
    call = x, 0.5, 10, 0.5, np.uint8(1)
    two = {"kernel_shape": [2], "strides": [2], "pads": [1, 1]}
    assert layer.qlinear_average_pool(*call, **two).tolist() == [[[1, 16, 36]]]
    included = layer.qlinear_average_pool(*call, **two, count_include_pad=True)
    assert included.tolist() == [[[1, 16, 19]]]  # 17.5 halves to 17.5 steps, a tie
    whole = layer.qlinear_global_average_pool(*call)
    assert whole.tolist() == [[[17]]]  # 16.25 steps


@BOTH
def test_beyond_the_padding_nothing_counts(layer: Any) -> None:
    """The last window reaches one past the padding: of its three taps, two are counted."""
    x = np.uint8([[[4, 4, 8]]])
    wide = {"kernel_shape": [3], "strides": [2], "pads": [0, 1], "ceil_mode": 1}
    codes = layer.qlinear_average_pool(x, 1, 0, 1, 0, **wide, count_include_pad=1)
    assert codes.tolist() == [[[5, 4]]]
    assert layer.qlinear_average_pool(x, 1, 0, 1, 0, **wide).tolist() == [[[5, 8]]]


@BOTH
@LAYOUTS
def test_images_without_pixels_average_to_zero(layer: Any, layout: str) -> None:
    shape = (2, 3, 0, 5) if layout == "NCHW" else (2, 0, 5, 3)
    codes = layer.qlinear_global_average_pool(
        np.zeros(shape, np.int8), 1, 0, 1, np.uint8(7), layout=layout
    )
    assert codes.shape == ((2, 3, 1, 1) if layout == "NCHW" else (2, 1, 1, 3))
    assert np.all(codes == 7)


# ---- oracle -------------------------------------------------------------------------------------


@LAYOUTS
@BYTES
@pytest.mark.parametrize("channels", [1, 3, 15, 16, 17, 33, 64, 70])
def test_channels(
    isa: str, agree: Any, rng: np.random.Generator, dtype: Any, channels: int, layout: str
) -> None:
    shape = (2, channels, 9, 37) if layout == "NCHW" else (2, 9, 37, channels)
    x = draw(rng, shape, dtype)
    for stride in (1, 2):
        geometry = {
            "kernel_shape": (3, 3),
            "strides": (stride, stride),
            "pads": (1, 1, 1, 1),
            "layout": layout,
        }
        agree("max_pool", x, **geometry)
        agree("qlinear_average_pool", x, 0.02, dtype(90), 0.01, np.uint8(120), **geometry)
    call = x, 0.02, dtype(np.iinfo(dtype).min + 128), 0.002, np.int8(1)
    codes = agree("qlinear_global_average_pool", *call, layout=layout)
    assert np.mean((codes > -128) & (codes < 127)) > 0.9


@st.composite
def poolings(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, Any]]:
    rank = draw(st.integers(1, 3))

    def extents(low: int, high: int, count: int = rank) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    kernel, dilations = extents(1, {1: 7, 2: 5, 3: 3}[rank]), extents(1, 3)
    pads, layout = extents(0, 4, 2 * rank), draw(st.sampled_from(["NCHW", "NHWC"]))
    spatial = [
        max(1, (k - 1) * d + 1 - pads[i] - pads[rank + i]) + draw(st.integers(0, 9 // rank))
        for i, (k, d) in enumerate(zip(kernel, dilations, strict=True))
    ]
    outer = [draw(st.integers(1, 2)), draw(st.integers(1, 19))]
    shape = (*outer, *spatial) if layout == "NCHW" else (outer[0], *spatial, outer[1])
    seed = draw(st.integers(0, 2**32 - 1))
    x = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    attributes = {
        "kernel_shape": kernel,
        "dilations": dilations,
        "pads": pads,
        "strides": extents(1, 4),
        "ceil_mode": draw(st.booleans()),
        "layout": layout,
    }
    return x.view(draw(st.sampled_from([np.int8, np.uint8]))), attributes


@given(call=poolings(), include=st.booleans())
def test_any_attributes(isa: str, agree: Any, call: Any, include: bool) -> None:
    x, attributes = call
    agree("max_pool", x, **attributes)
    agree("qlinear_average_pool", x, *SCALES, **attributes, count_include_pad=include)


def test_attributes_that_meet_rarely(isa: str, agree: Any, rng: np.random.Generator) -> None:
    x = draw(rng, (1, 2, 5, 40), np.uint8)
    for auto_pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        geometry = {"kernel_shape": (2, 3), "strides": (3, 2), "auto_pad": auto_pad}
        agree("max_pool", x, **geometry)
        agree("qlinear_average_pool", x, *SCALES, **geometry)
    agree("max_pool", x, kernel_shape=(5, 40))
    agree("qlinear_average_pool", x, *SCALES, kernel_shape=(5, 40))
    agree("max_pool", x, kernel_shape=(1, 2), strides=(9, 2**31 - 1))
    agree("max_pool", x[:, :, :, :2], kernel_shape=(1, 2), dilations=(1, 9), pads=(0, 8, 0, 9))


@LAYOUTS
def test_lines_shared_by_threads(
    isa: str, agree: Any, rng: np.random.Generator, layout: str
) -> None:
    shape = (2, 8, 80, 200) if layout == "NCHW" else (2, 80, 200, 8)
    x = draw(rng, shape, np.uint8)
    agree("max_pool", x, kernel_shape=(3, 3), strides=(2, 2), layout=layout)
    agree("qlinear_average_pool", x, *SCALES, kernel_shape=(2, 2), strides=(2, 2), layout=layout)
    agree("qlinear_global_average_pool", x, *SCALES, layout=layout)


@BYTES
def test_extreme_codes(isa: str, agree: Any, dtype: Any) -> None:
    """Long sums of the largest numbers, which overflow 16 bits and 8-bit partial sums."""
    limits = np.iinfo(dtype)
    for x in extreme_codes((1, 3, 300, 301), dtype).values():
        for zero in (limits.min, limits.max):
            for layout in ("NCHW", "NHWC"):
                call = x, 0.5, dtype(zero), 0.7, dtype(zero)
                agree("qlinear_global_average_pool", *call, layout=layout)
    for x in extreme_codes((1, 1, 20, 33), dtype).values():
        agree("max_pool", x, kernel_shape=(3, 3))
        agree("qlinear_average_pool", x, 0.5, 0, 0.5, 0, kernel_shape=(17, 19))


def test_layouts_and_out(isa: str, agree: Any, rng: np.random.Generator) -> None:
    x = draw(rng, (2, 3, 5, 7), np.uint8)
    for layout in memory_layouts(x).values():
        agree("max_pool", layout, kernel_shape=(2, 2))
        agree("qlinear_average_pool", layout, *SCALES, kernel_shape=(2, 2), layout="NHWC")
        agree("qlinear_global_average_pool", layout, *SCALES)
    agree.written("max_pool", x, kernel_shape=(2, 2))
    agree.written("qlinear_average_pool", x, *SCALES, kernel_shape=(2, 2))
    agree.written("qlinear_global_average_pool", x, *SCALES)
    agree.overlapping("max_pool", x, kernel_shape=(2, 2))
    agree.overlapping("qlinear_average_pool", x, *SCALES, kernel_shape=(2, 2))
    agree.overlapping("qlinear_global_average_pool", x, *SCALES)


# ---- prepared -----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_prepared(isa: str, agree: Any, rng: np.random.Generator, layout: str) -> None:
    """One pooling for images of many shapes and both types, more of them than it remembers."""
    scales = dict(zip(("x_scale", "x_zero_point", "y_scale", "y_zero_point"), SCALES, strict=True))
    windows = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1], "layout": layout}
    pools = [
        agree.prepared("MaxPool", **windows),
        agree.prepared("QLinearAveragePool", **scales, **windows, count_include_pad=True),
        agree.prepared("QLinearGlobalAveragePool", **scales, layout=layout),
    ]
    extents = [(2, 5, 7, 6), (1, 17, 4, 9), (0, 3, 3, 3), (2, 5, 7, 6)]
    extents += [(1, 2, 3, 3 + more) for more in range(70)]
    for pool, shape in itertools.product(pools, extents):
        pool(draw(rng, shape, np.uint8))
    pool = ql.MaxPool(kernel_shape=[1, 1], strides=[1, 1], layout=layout)
    x = draw(rng, (2, 3, 4, 5), np.int8)
    expected = x.copy()
    assert pool(x, out=x) is x
    assert_bit_exact(x, expected)


@BOTH
def test_prepared_checks_its_parameters(layer: Any) -> None:
    for changed, message in (
        ({"kernel_shape": None}, "kernel_shape"),
        ({"kernel_shape": []}, "kernel_shape"),
        ({"kernel_shape": [2, 0]}, "kernel_shape"),
        ({"kernel_shape": [1, 1, 1, 1]}, "spatial axes"),
        ({"strides": [1]}, "strides"),
        ({"pads": [1, 1, 1]}, "pads"),
        ({"layout": "NHCW"}, "layout"),
        ({"ceil_mode": 2}, "ceil_mode"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            layer.MaxPool(**{"kernel_shape": [2, 2], **changed})
        with pytest.raises((TypeError, ValueError), match=message):
            layer.QLinearAveragePool(
                x_scale=1.0, y_scale=1.0, **{"kernel_shape": [2, 2], **changed}
            )
    with pytest.raises(ValueError, match="x_scale"):
        layer.QLinearGlobalAveragePool(x_scale=-1.0, y_scale=1.0)
    with pytest.raises(ValueError, match="x has shape"):
        layer.MaxPool(kernel_shape=[2, 2])(np.zeros((1, 2), np.int8))


# ---- windows one by one -------------------------------------------------------------------------


@given(call=poolings(), include=st.booleans())
def test_each_window_in_python(call: Any, include: bool) -> None:
    x, attributes = call
    images = np.moveaxis(x, -1, 1) if attributes["layout"] == "NHWC" else x
    rank, zero = images.ndim - 2, 100
    kernel, pads = attributes["kernel_shape"], attributes["pads"]
    strides, dilations = attributes["strides"], attributes["dilations"]
    largest = ql.max_pool(x, **attributes)
    average = ql.qlinear_average_pool(
        x, 0.25, zero, 0.5, 7, **attributes, count_include_pad=include
    )
    if attributes["layout"] == "NHWC":
        largest, average = np.moveaxis(largest, -1, 1), np.moveaxis(average, -1, 1)
    for place in itertools.product(*map(range, largest.shape)):
        codes, count = [], 0
        for tap in itertools.product(*map(range, kernel)):
            at = [
                p * s + t * d - before
                for p, s, t, d, before in zip(
                    place[2:], strides, tap, dilations, pads, strict=False
                )
            ]
            inside = all(0 <= at[i] < images.shape[2 + i] for i in range(rank))
            padded = all(at[i] < images.shape[2 + i] + pads[rank + i] for i in range(rank))
            codes += [int(images[*place[:2], *at])] if inside else []
            count += padded if include else inside
        limits = np.iinfo(x.dtype)
        assert largest[place] == max(codes, default=limits.min)
        factor = exact.round_to(Fraction(1, 4) / (Fraction(1, 2) * max(count, 1)), np.float32)
        total = sum(codes) - zero * len(codes)
        assert average[place] == exact.requantize(total, float(factor), 7, str(x.dtype))
