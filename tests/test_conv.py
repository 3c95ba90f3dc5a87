"""Integer convolutions and their quantized form."""

from __future__ import annotations

import itertools
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
    extreme_codes,
    interesting_sizes,
    isas,
    memory_layouts,
    use_isa,
)
from quantlib.testing.strategies import codes, conv_calls

BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])
LAYOUTS = pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
BYTES = [np.uint8, np.int8]
INT32 = np.iinfo(np.int32)


def random_codes(rng: np.random.Generator, shape: Any, dtype: Any) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape, dtype=dtype)


def images(rng: np.random.Generator, layout: str, shape: Any, dtype: Any) -> np.ndarray:
    """Random codes of shape (N, C, D1, ...), laid out as `layout` says."""
    x = random_codes(rng, shape, dtype)
    return x if layout == "NCHW" else np.ascontiguousarray(np.moveaxis(x, 1, -1))


def as_nchw(x: np.ndarray, layout: str) -> np.ndarray:
    return x if layout == "NCHW" else np.moveaxis(x, -1, 1)


def assert_mostly_free(y: np.ndarray) -> None:
    """Raise if so much is saturated that the comparison proves little."""
    limits = np.iinfo(y.dtype)
    assert np.mean((y > limits.min) & (y < limits.max)) > 0.9
    assert limits.min + 32 <= np.median(y) <= limits.max - 32


# ---- examples -----------------------------------------------------------------------------------


@BOTH
def test_conv_integer_by_hand(layer: Any) -> None:
    """The examples of the ONNX specification, without and with padding."""
    x = np.arange(2, 11, dtype=np.uint8).reshape(1, 1, 3, 3)
    w = np.ones((1, 1, 2, 2), np.uint8)
    assert layer.conv_integer(x, w, np.uint8(1)).tolist() == [[[[12, 16], [24, 28]]]]
    padded = layer.conv_integer(x, w, np.uint8(1), pads=(1, 1, 1, 1))
    assert padded.tolist() == [[[[1, 3, 5, 3], [5, 12, 16, 9], [11, 24, 28, 15], [7, 15, 17, 9]]]]


@BOTH
def test_qlinear_conv_by_hand(layer: Any) -> None:
    """The example of the ONNX specification: a kernel of one tap that turns the image around."""
    x = np.uint8(
        [
            [255, 174, 162, 25, 203, 168, 58],
            [15, 59, 237, 95, 129, 0, 64],
            [56, 242, 153, 221, 168, 12, 166],
            [232, 178, 186, 195, 237, 162, 237],
            [188, 39, 124, 77, 80, 102, 43],
            [127, 230, 21, 83, 41, 40, 134],
            [255, 154, 92, 141, 42, 148, 247],
        ]
    )[np.newaxis, np.newaxis]
    y = layer.qlinear_conv(
        x, np.float32(0.00369204697), np.uint8(132), np.uint8([[[[0]]]]),
        np.float32([0.00172794575]), np.uint8([255]), np.float32(0.00162681262), np.uint8(123),
    )  # fmt: skip
    assert_bit_exact(y, 255 - x)


@BOTH
def test_real_bias_by_hand(layer: Any) -> None:
    """acc = [0, -4, -4], worth 0.5 each; the bias is added after that, the bounds come last."""
    args = np.uint8([[[3, 5, 7]]]), 1.0, 3, np.int8([[[2, -2]]]), 0.5, 0, None, None
    y = layer.qlinear_conv(*args, [2.25], pads=(1, 0))
    assert y.tolist() == [[[2.25, 0.25, 0.25]]]
    y = layer.qlinear_conv(*args, [1.75], pads=(1, 0), activation="relu")
    assert y.tolist() == [[[1.75, 0, 0]]]
    with pytest.raises(TypeError, match="b must be int32 where results are quantized"):
        layer.qlinear_conv(*args[:6], 1.0, None, [0.5])


@BOTH
def test_attributes_by_hand(layer: Any) -> None:
    """Stride, dilation, asymmetric padding and groups, on a line."""
    x, w = np.int8([[[1, 2, 3, 4, 5]]]), np.int8([[[1, 10]]])
    assert layer.conv_integer(x, w).tolist() == [[[21, 32, 43, 54]]]
    assert layer.conv_integer(x, w, strides=(2,)).tolist() == [[[21, 43]]]
    assert layer.conv_integer(x, w, dilations=(3,)).tolist() == [[[41, 52]]]
    assert layer.conv_integer(x, w, pads=(1, 0)).tolist() == [[[10, 21, 32, 43, 54]]]
    assert layer.conv_integer(x, w, pads=(0, 2)).tolist() == [[[21, 32, 43, 54, 5, 0]]]
    two, filters = np.int8([[[1, 2], [3, 4]]]), np.int8([[[1, 1]], [[2, 0]]])
    assert layer.conv_integer(two, filters, group=2).tolist() == [[[3], [6]]]


@BOTH
@pytest.mark.parametrize(
    ("auto_pad", "expected"),
    [
        ("VALID", [21, 43]),
        ("SAME_UPPER", [21, 43, 5]),
        ("SAME_LOWER", [10, 32, 54]),
    ],
)
def test_auto_pad_by_hand(layer: Any, auto_pad: str, expected: list[int]) -> None:
    x, w = np.int8([[[1, 2, 3, 4, 5]]]), np.int8([[[1, 10]]])
    assert layer.conv_integer(x, w, strides=(2,), auto_pad=auto_pad).tolist() == [[expected]]


@BOTH
@LAYOUTS
def test_padding_stands_for_zero(layer: Any, layout: str, rng: np.random.Generator) -> None:
    """Where the kernel sees nothing but padding, the sum is 0 whatever the zero points."""
    x = images(rng, layout, (1, 3, 2, 2), np.uint8)
    w = random_codes(rng, (5, 3, 2, 2), np.int8)
    y = layer.conv_integer(x, w, 77, 9, pads=(2, 2, 2, 2), layout=layout)
    y = as_nchw(y, layout)
    assert not y[:, :, 0].any()
    assert not y[:, :, :, -1].any()
    assert y[:, :, 2, 2].any()


@BOTH
@LAYOUTS
def test_empty(layer: Any, layout: str) -> None:
    """No images, no channels in, no channels out."""
    for batch, channels, out in itertools.product((0, 2), (0, 3), (0, 4)):
        shape = (batch, 5, channels) if layout == "NHWC" else (batch, channels, 5)
        x, w = np.ones(shape, np.uint8), np.ones((out, channels, 2), np.int8)
        y = layer.qlinear_conv(x, 1.0, 0, w, 1.0, 0, 1.0, np.uint8(7), layout=layout)
        full = (batch, 4, out) if layout == "NHWC" else (batch, out, 4)
        assert_bit_exact(y, np.full(full, 7 + 2 * channels, np.uint8))


# ---- oracle -------------------------------------------------------------------------------------


@LAYOUTS
def test_channels(isa: str, agree: Any, rng: np.random.Generator, layout: str) -> None:
    """Channels in and out around the strips and groups of products, both types of each side."""
    sizes = [size for size in interesting_sizes(2, 4, 16, 32) if size]
    for index, (channels, out) in enumerate(itertools.product(sizes, sizes)):
        x_type, w_type = BYTES[index % 2], BYTES[index // 2 % 2]
        x = images(rng, layout, (1, channels, 3, 4), x_type)
        w = random_codes(rng, (out, channels, 2, 3), w_type)
        zeros = x_type(100), random_codes(rng, out, w_type) if index % 3 else None
        agree("conv_integer", x, w, *zeros, pads=(1, 0, 0, 2), layout=layout)


@LAYOUTS
@pytest.mark.parametrize("kernel", [(1, 1), (1, 7), (7, 1), (2, 3), (3, 3), (5, 5)])
def test_windows(
    isa: str, agree: Any, rng: np.random.Generator, layout: str, kernel: tuple[int, int]
) -> None:
    """Kernels with every stride, dilation and side of the padding, grouped and not."""
    for stride, dilation, group in itertools.product((1, 2, 3), (1, 2), (1, 2, 6)):
        pads = rng.integers(0, 3, 4).tolist()
        x = images(rng, layout, (2, 6, 14, 15), np.uint8 if stride % 2 else np.int8)
        for w_type in BYTES:
            w = random_codes(rng, (12, 6 // group, *kernel), w_type)
            agree(
                "conv_integer", x, w, x.dtype.type(101), random_codes(rng, 12, w_type), pads=pads,
                strides=(stride, stride % 3 + 1), dilations=(dilation, 3 - dilation), group=group,
                layout=layout,
            )  # fmt: skip


@LAYOUTS
@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_auto_pad(
    isa: str, agree: Any, rng: np.random.Generator, layout: str, auto_pad: str
) -> None:
    x = images(rng, layout, (2, 3, 9, 10), np.uint8)
    w = random_codes(rng, (4, 3, 3, 4), np.int8)
    for strides, dilations in itertools.product(((1, 1), (2, 3)), ((1, 1), (2, 1))):
        settings = {"strides": strides, "dilations": dilations, "layout": layout}
        y = agree("conv_integer", x, w, 9, auto_pad=auto_pad, kernel_shape=(3, 4), **settings)
        if auto_pad != "VALID":
            extents = as_nchw(y, layout).shape[2:]
            assert extents == tuple(-(-d // s) for d, s in zip((9, 10), strides, strict=True))


@pytest.mark.parametrize("channels", [2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65])
def test_depthwise(isa: str, agree: Any, rng: np.random.Generator, channels: int) -> None:
    """One filter for each channel, which has a kernel of its own."""
    for kernel, stride, layout in itertools.product((1, 3, 5), (1, 2), ("NCHW", "NHWC")):
        for x_type, w_type in itertools.product(BYTES, BYTES):
            x = images(rng, layout, (2, channels, 6, 7), x_type)
            w = random_codes(rng, (channels, 1, kernel, kernel), w_type)
            agree(
                "conv_integer", x, w, x_type(100), random_codes(rng, channels, w_type),
                pads=(1, 2, 2, 0), strides=(stride, stride), group=channels, layout=layout,
            )  # fmt: skip


@pytest.mark.parametrize("extents", [(1, 1), (2, 3), (3, 3)])
@pytest.mark.parametrize("channels", [65, 80, 96, 112, 144])
def test_depthwise_of_a_few_pixels(
    isa: str, agree: Any, rng: np.random.Generator, channels: int, extents: tuple[int, int]
) -> None:
    """Too few for vectors of pixels, in blocks of channels of which the last one is smaller."""
    for stride, layout in itertools.product((1, 2), ("NCHW", "NHWC")):
        agree(
            "qlinear_conv", images(rng, layout, (2, channels, *extents), np.uint8),
            np.float32(0.1), np.uint8(100), random_codes(rng, (channels, 1, 3, 3), np.int8),
            rng.uniform(0.001, 0.01, channels).astype(np.float32), np.zeros(channels, np.int8),
            np.float32(1), np.uint8(110), rng.integers(-999, 999, channels).astype(np.int32),
            pads=(1, 1, 1, 1), strides=(stride, stride), group=channels, layout=layout,
        )  # fmt: skip


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, 8, 11, 14, 33])
@pytest.mark.parametrize("channels", [16, 32, 48, 112, 121])
def test_depthwise_lines(
    isa: str, agree: Any, rng: np.random.Generator, channels: int, width: int
) -> None:
    """Vectors that one, two or four pixels of a line share, and ends of lines with any padding."""
    for stride, left, right, x_type in [(1, 1, 1, np.uint8), (1, 0, 2, np.int8),
                                        (2, 1, 0, np.uint8), (2, 2, 1, np.int8)]:  # fmt: skip
        if left + width + right < 3:
            continue
        agree(
            "qlinear_conv", images(rng, "NHWC", (1, channels, 5, width), x_type),
            np.float32(0.1), x_type(100), random_codes(rng, (channels, 1, 3, 3), np.int8),
            rng.uniform(0.001, 0.01, channels).astype(np.float32), np.zeros(channels, np.int8),
            np.float32(1), np.int8(-3), rng.integers(-999, 999, channels).astype(np.int32),
            pads=(1, left, 1, right), strides=(stride, stride), group=channels, layout="NHWC",
        )  # fmt: skip


@pytest.mark.parametrize("rows", [(1, 1), (1, 5), (2, 6), (3, 11), (4, 4), (5, 13), (7, 33)])
def test_pixels(isa: str, agree: Any, rng: np.random.Generator, rows: tuple[int, int]) -> None:
    """How many output pixels there are, around the rows of a tile and over ends of lines."""
    for batch in (1, 3):
        x = images(rng, "NHWC", (batch, 20, *rows), np.uint8)
        for kernel in (1, 3):
            w = random_codes(rng, (33, 20, kernel, kernel), np.int8)
            pads = (kernel // 2,) * 4
            agree("conv_integer", x, w, 100, 3, pads=pads, layout="NHWC")


def test_blocks_of_pixels(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """So many pixels that they are taken in several blocks."""
    x = images(rng, "NHWC", (2, 64, 17, 19), np.uint8)
    w = random_codes(rng, (35, 64, 3, 3), np.int8)
    agree("conv_integer", x, w, 100, 3, pads=(1, 1, 1, 1), layout="NHWC")
    agree("conv_integer", x, w[:, :, :1, :1], 100, layout="NHWC")
    for strides in ((1, 1), (2, 2)):
        y = agree(
            "qlinear_conv", x, 0.1, np.uint8(100), w, 0.2, np.int8(0), 64.0, np.uint8(128),
            pads=(1, 1, 1, 1), strides=strides, layout="NHWC",
        )  # fmt: skip
        assert len(np.unique(y)) > 100


def test_extremes(isa: str, agree: Any) -> None:
    for x_type, w_type in itertools.product(BYTES, BYTES):
        ends = np.iinfo(x_type)
        xs, ws = extreme_codes((1, 16, 5, 5), x_type), extreme_codes((16, 16, 3, 3), w_type)
        thin = extreme_codes((16, 1, 3, 3), w_type)
        for x, zero in itertools.product(xs.values(), (ends.min, ends.max)):
            for name in ws:
                zeros = x_type(zero), w_type(np.iinfo(w_type).max)
                agree("conv_integer", x, ws[name], *zeros, pads=(1, 1, 1, 1))
                agree("conv_integer", x, thin[name], *zeros, pads=(1, 1, 1, 1), group=16)


@LAYOUTS
@pytest.mark.parametrize("group", [1, 3, 18])
def test_quantized(isa: str, agree: Any, rng: np.random.Generator, layout: str, group: int) -> None:
    """Every output, per-channel scales, bias and activations, mostly not saturated."""
    for x_type, w_type in itertools.product(BYTES, BYTES):
        x = images(rng, layout, (2, 18, 9, 8), x_type)
        w = random_codes(rng, (36 if group < 18 else 18, 18 // group, 3, 3), w_type)
        out = w.shape[0]
        zx, zw = x_type(np.mean(x)), random_codes(rng, out, w_type)
        settings = {"pads": (1, 0, 0, 1), "group": group, "layout": layout}
        acc = reference.conv_integer(x, w, zx, zw, **settings)
        scales = rng.uniform(0.15, 0.25, out).astype(np.float32)
        bias = rng.integers(-3000, 3000, out).astype(np.int32)
        y_scale = np.float32(3 * np.std(acc) * 0.1 * 0.2 / 110)
        args = (x, 0.1, zx, w, scales, zw)
        for zero_point in (np.uint8(128), np.int8(0)):
            y = agree("qlinear_conv", *args, y_scale, zero_point, bias, **settings)
            assert_mostly_free(y)
            for activation in ("relu", "relu6", (-3.0, 400.0)):
                agree(
                    "qlinear_conv", *args, y_scale, zero_point, bias, activation=activation,
                    **settings,
                )  # fmt: skip
        for activation in (None, "relu6"):
            for kind in (bias, rng.normal(0, 99, out).astype(np.float32), np.float32(0.3), None):
                agree("qlinear_conv", *args, None, None, kind, activation=activation, **settings)


def test_prepared(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """One layer, many images: sizes that change, both types, no image at all."""
    w = random_codes(rng, (21, 6, 3, 3), np.int8)
    scales = rng.uniform(0.1, 0.3, 21).astype(np.float32)
    for y_scale, zero_point in ((None, None), (np.float32(60.0), np.uint8(128))):
        layer = agree.prepared(
            "QLinearConv", w, scales, x_scale=0.1, x_zero_point=99, y_scale=y_scale,
            y_zero_point=zero_point, b=np.arange(21, dtype=np.int32), pads=(1, 1, 1, 1),
            strides=(2, 1),
        )  # fmt: skip
        for shape in ((1, 6, 3, 3), (2, 6, 8, 5), (0, 6, 4, 4), (1, 6, 3, 3)):
            for dtype in BYTES:
                layer(random_codes(rng, shape, dtype))


def test_prepared_sums(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """Sums for many images, whose zero point comes with them."""
    for group, layout in itertools.product((1, 6), ("NCHW", "NHWC")):
        w = random_codes(rng, (18, 6 // group, 3, 3), np.int8)
        layer = agree.prepared("ConvInteger", w, 9, pads=(1,) * 4, group=group, layout=layout)
        for shape in ((1, 6, 3, 3), (2, 6, 8, 5), (0, 6, 4, 4)):
            for dtype, zero in itertools.product(BYTES, (None, 100)):
                layer(images(rng, layout, shape, dtype), zero)


def test_prepared_remembers_many_sizes(agree: Any, rng: np.random.Generator) -> None:
    layer = agree.prepared("QLinearConv", random_codes(rng, (3, 2, 2), np.int8), 0.1, x_scale=0.1)
    for extent in (*range(2, 140), *range(2, 20)):
        layer(random_codes(rng, (1, 2, extent), np.uint8))


def test_prepared_keeps_its_own_copies(isa: str, rng: np.random.Generator) -> None:
    """What the caller does to the arrays afterwards changes nothing."""
    x = random_codes(rng, (1, 4, 5), np.uint8)
    for layer in (ql, reference):
        for group in (1, 4):
            w = random_codes(rng, (4, 4 // group, 2), np.int8)
            scale, zero_point = np.full(4, 0.1, np.float32), np.full(4, 3, np.int8)
            bias, y_scale, pads = np.full(4, 50, np.int32), np.full(1, 9.0, np.float32), [1, 0]
            prepared = layer.QLinearConv(
                w, scale, zero_point, x_scale=0.1, y_scale=y_scale, b=bias, pads=pads, group=group
            )
            before = prepared(x)
            for array in (w, scale, zero_point, bias, y_scale):
                array[...] = 1
            pads[0] = 2
            assert_bit_exact(prepared(x), before)


def test_prepared_under_another_instruction_set(rng: np.random.Generator) -> None:
    x = random_codes(rng, (1, 12, 9, 9), np.uint8)
    for group in (1, 3, 12):
        w = random_codes(rng, (12, 12 // group, 3, 3), np.int8)
        expected = reference.qlinear_conv(x, 0.1, 9, w, 0.1, 2, None, None, group=group)
        for packed_on in isas():
            with use_isa(packed_on):
                layer = ql.QLinearConv(w, 0.1, 2, x_scale=0.1, x_zero_point=9, group=group)
            for used_on in isas():
                with use_isa(used_on):
                    assert_bit_exact(layer(x), expected)


# ---- memory -------------------------------------------------------------------------------------


@LAYOUTS
def test_every_arrangement_of_memory(isa: str, rng: np.random.Generator, layout: str) -> None:
    x = images(rng, layout, (2, 5, 6, 7), np.uint8)
    w = random_codes(rng, (6, 5, 3, 2), np.int8)
    settings = {"pads": (1, 1, 0, 0), "layout": layout}
    expected = reference.conv_integer(x, w, 3, 5, **settings)
    for left in memory_layouts(x).values():
        for right in memory_layouts(w).values():
            assert_bit_exact(ql.conv_integer(left, right, 3, 5, **settings), expected)


@LAYOUTS
@pytest.mark.parametrize("group", [1, 8])
def test_out(isa: str, agree: Any, rng: np.random.Generator, layout: str, group: int) -> None:
    x = images(rng, layout, (2, 8, 4, 4), np.uint8)
    w = random_codes(rng, (8, 8 // group, 3, 3), np.int8)
    settings = {"pads": (1, 1, 1, 1), "group": group, "layout": layout}
    agree.written("conv_integer", x, w, 3, 4, **settings)
    agree.overlapping("conv_integer", x, w, 3, 4, **settings)
    for y in ((9.0, np.uint8(7)), (None, None)):
        agree.written("qlinear_conv", x, 0.1, 3, w, 0.1, 4, *y, **settings)
        agree.overlapping("qlinear_conv", x, 0.1, 3, w, 0.1, 4, *y, **settings)
    for layer in (ql, reference):
        prepared = layer.QLinearConv(
            w, 0.1, 4, x_scale=0.1, x_zero_point=3, y_scale=9.0, y_zero_point=7, **settings
        )
        expected, given_away = prepared(x), x.copy()
        assert prepared(given_away, out=given_away) is given_away
        assert_bit_exact(given_away, expected)


@BOTH
@pytest.mark.parametrize("group", [1, 8])
def test_out_that_overlaps_the_bias(layer: Any, rng: np.random.Generator, group: int) -> None:
    """The first pixel of the result takes the place of the bias that the next ones need."""
    memory = np.zeros((1, 40, 8), np.float32)
    bias = memory[0, 0].view(np.int32)
    bias[:] = np.arange(8) * 1000
    bias[7] = INT32.max
    x = random_codes(rng, (1, 40, 8), np.int8)
    w = random_codes(rng, (8, 8 // group, 1), np.int8)
    w[7] = 0
    args = (x, 0.1, 0, w, 0.1, 0, None, None, bias)
    expected = layer.qlinear_conv(*args, group=group, layout="NHWC")
    layer.qlinear_conv(*args, group=group, layout="NHWC", out=memory)
    assert_bit_exact(memory, expected)


# ---- exact integers -----------------------------------------------------------------------------


@BOTH
@given(data=st.data())
def test_sums_are_those_of_python_integers(layer: Any, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 3))
    group, inputs, outputs = (data.draw(st.integers(1, 2)) for _ in range(3))
    x_type, w_type = data.draw(st.sampled_from(BYTES)), data.draw(st.sampled_from(BYTES))
    axis = st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.integers(0, 2))
    kernel, strides, dilations, before = zip(
        *data.draw(st.lists(axis, min_size=rank, max_size=rank)), strict=True
    )
    after = tuple(data.draw(st.integers(0, 2)) for _ in range(rank))
    spatial = tuple(
        max((k - 1) * d + 1 - b - e, 1) + data.draw(st.integers(0, 2))
        for k, d, b, e in zip(kernel, dilations, before, after, strict=True)
    )
    x = data.draw(codes((1, group * inputs, *spatial), x_type))
    w = data.draw(codes((group * outputs, inputs, *kernel), w_type))
    zx, zw = int(data.draw(codes((), x_type))), data.draw(codes((group * outputs,), w_type))
    settings = {"pads": before + after, "strides": strides, "dilations": dilations, "group": group}
    witness = exact.conv(x, w, zx, zw.tolist(), **settings)
    y = layer.conv_integer(x, w, x_type(zx), zw, **settings)
    assert {index: int(y[index]) for index in np.ndindex(*y.shape)} == witness
    last = np.moveaxis(x, 1, -1)
    y = np.moveaxis(layer.conv_integer(last, w, x_type(zx), zw, layout="NHWC", **settings), -1, 1)
    assert {index: int(y[index]) for index in np.ndindex(*y.shape)} == witness


@BOTH
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize(
    ("x_code", "w_code", "most"), [(-128, -128, 131071), (127, -128, 132104), (-128, 127, 132104)]
)
def test_int32_is_straddled_exactly(
    layer: Any, group: int, x_code: int, w_code: int, most: int
) -> None:
    """Kernels so long that the sum meets the limit, dense and depthwise."""
    assert abs(x_code * w_code * most) <= 2**31 - 1 < abs(x_code * w_code * (most + 1))
    for isa in isas() if layer is ql else ["portable"]:
        with use_isa(isa):
            x = np.full((1, group, most + 1), x_code, np.int8)
            w = np.full((group, 1, most + 1), w_code, np.int8)
            y = layer.conv_integer(x[:, :, :most], w[:, :, :most], group=group)
            assert y.tolist() == [[[x_code * w_code * most]] * group]
            with pytest.raises(OverflowError, match="does not fit int32"):
                layer.conv_integer(x, w, group=group)


@BOTH
@LAYOUTS
@pytest.mark.parametrize("group", [1, 20])
@pytest.mark.parametrize("sign", [1, -1])
def test_bias_straddles_int32(layer: Any, layout: str, group: int, sign: int) -> None:
    """A bias that reaches the limit to the last unit fits; one unit more does not. The padding
    adds nothing, so that its corners hold the bias itself."""
    shape = (1, 3, 3, 20) if layout == "NHWC" else (1, 20, 3, 3)
    x, w = np.full(shape, 100, np.int8), np.full((20, 20 // group, 3, 3), sign * 100, np.int8)
    total = 9 * 10_000 * (20 // group)
    room = (INT32.max - total) if sign > 0 else (INT32.min + total)
    settings = {"pads": (1, 1, 1, 1), "group": group, "layout": layout}
    for isa in isas() if layer is ql else ["portable"]:
        with use_isa(isa):
            bias = np.zeros(20, np.int32)
            bias[17] = room
            y = layer.qlinear_conv(x, 1.0, 0, w, 1.0, 0, None, None, bias, **settings)
            middle = as_nchw(y, layout)[0, :, 1, 1]
            assert middle[17] == np.float32(sign * 2.0**31)
            assert middle[16] == sign * total
            bias[17] += sign
            with pytest.raises(OverflowError, match="does not fit int32"):
                layer.qlinear_conv(x, 1.0, 0, w, 1.0, 0, None, None, bias, **settings)


# ---- laws ---------------------------------------------------------------------------------------


def patches(call: dict[str, Any]) -> tuple[np.ndarray, tuple[int, ...]]:
    """The rows of the equivalent matrix product, (N * pixels, C, taps), and the output extents."""
    x, w = as_nchw(call["x"], call["layout"]), call["w"]
    rank, zero = w.ndim - 2, call["x_zero_point"]
    margins = list(zip(call["pads"][:rank], call["pads"][rank:], strict=True))
    zero = 0 if zero is None else zero
    x = np.pad(x, [(0, 0), (0, 0), *margins], constant_values=zero)
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], call["dilations"], strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, tuple(range(2, x.ndim)))
    steps = tuple(slice(None, None, s) for s in call["strides"])
    taps = tuple(slice(None, None, d) for d in call["dilations"])
    windows = windows[(slice(None), slice(None), *steps, *taps)]
    out = windows.shape[2 : 2 + rank]
    return np.moveaxis(windows, 1, 1 + rank).reshape(-1, x.shape[1], int(np.prod(w.shape[2:]))), out


@given(call=conv_calls())
def test_is_a_product_of_patches(call: dict[str, Any]) -> None:
    """im2col with the zero point as padding, one product for each group."""
    rows, out = patches(call)
    w, group = call["w"], call["group"]
    inputs, outputs = w.shape[1], w.shape[0] // group
    columns = []
    for g in range(group):
        a = rows[:, g * inputs : (g + 1) * inputs]
        a = a.reshape(rows.shape[0], inputs * rows.shape[2])
        mine = slice(g * outputs, (g + 1) * outputs)
        zero = call["w_zero_point"]
        zero = zero[mine] if zero is not None and zero.ndim else zero
        b = w[mine].reshape(outputs, a.shape[1]).T
        columns.append(ql.matmul_integer(a, b, call["x_zero_point"], zero))
    batch = call["x"].shape[0]
    expected = np.concatenate(columns, axis=1).reshape(batch, *out, w.shape[0])
    y = ql.conv_integer(**call)
    y = np.moveaxis(y, 1, -1) if call["layout"] == "NCHW" else y
    assert_bit_exact(np.ascontiguousarray(y), expected)


@given(call=conv_calls(), data=st.data())
def test_splitting_changes_nothing(call: dict[str, Any], data: st.DataObject) -> None:
    """Images, output channels and, where there is one group, input channels in two parts each."""
    whole = ql.conv_integer(**call)
    x, w, zero = call["x"], call["w"], call["w_zero_point"]
    images_ = [ql.conv_integer(**{**call, "x": x[i : i + 1]}) for i in range(x.shape[0])]
    if images_:
        assert_bit_exact(np.concatenate(images_), whole)
    if call["group"] > 1:
        return
    axis = 1 if call["layout"] == "NCHW" else whole.ndim - 1
    at = data.draw(st.integers(0, w.shape[0]))
    parts = [
        ql.conv_integer(
            **{
                **call,
                "w": w[cut],
                "w_zero_point": zero[cut] if zero is not None and zero.ndim else zero,
            }
        )
        for cut in (slice(0, at), slice(at, None))
    ]
    assert_bit_exact(np.concatenate(parts, axis), whole)
    at = data.draw(st.integers(0, w.shape[1]))
    channels = [
        ql.conv_integer(**{**call, "x": np.take(x, cut, axis), "w": w[:, cut]})
        for cut in (np.arange(at), np.arange(at, w.shape[1]))
    ]
    assert_bit_exact(channels[0] + channels[1], whole)


@given(call=conv_calls())
def test_layouts_are_transposes(call: dict[str, Any]) -> None:
    x, first = call["x"], call["layout"] == "NCHW"
    moved = {
        **call,
        "x": np.moveaxis(x, 1, -1) if first else np.moveaxis(x, -1, 1),
        "layout": "NHWC" if first else "NCHW",
    }
    y = ql.conv_integer(**moved)
    back = np.moveaxis(y, -1, 1) if first else np.moveaxis(y, 1, -1)
    assert_bit_exact(np.ascontiguousarray(back), ql.conv_integer(**call))


@given(call=conv_calls())
def test_mirrored_images_have_mirrored_sums(call: dict[str, Any]) -> None:
    """Turning image, kernel and padding around turns the result around, where strides are 1."""
    call["strides"] = (1,) * len(call["strides"])
    x, rank = call["x"], call["w"].ndim - 2
    axes = tuple(range(2, 2 + rank)) if call["layout"] == "NCHW" else tuple(range(1, 1 + rank))
    turned = {
        **call,
        "x": np.flip(x, axes),
        "w": np.flip(call["w"], tuple(range(2, 2 + rank))),
        "pads": call["pads"][rank:] + call["pads"][:rank],
    }
    y = np.ascontiguousarray(np.flip(ql.conv_integer(**turned), axes))
    assert_bit_exact(y, ql.conv_integer(**call))


@given(call=conv_calls(ranks=(1, 2)))
def test_an_axis_of_one_adds_nothing(call: dict[str, Any]) -> None:
    """A line is an image of one row, and an image a volume of one slice."""
    at, rank = (2 if call["layout"] == "NCHW" else 1), call["w"].ndim - 2
    y = ql.conv_integer(
        **{
            **call,
            "x": np.expand_dims(call["x"], at),
            "w": np.expand_dims(call["w"], 2),
            "pads": (0, *call["pads"][:rank], 0, *call["pads"][rank:]),
            "strides": (3, *call["strides"]),
            "dilations": (2, *call["dilations"]),
        }
    )
    assert_bit_exact(np.squeeze(y, at), ql.conv_integer(**call))
