"""Depthwise convolutions and narrow groups: what kernels treat apart, on every instruction set.

Channels by groups and strips, or planes; lines by tiles, bundles and bands; weights that need more
than eight bits; sums that become codes at once or not. Every combination of the attributes is
compared in test_conv_combinations.py.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import quantlib as ql
from quantlib import ops, reference
from quantlib.testing import assert_bit_exact, extreme_codes, isas, use_isa
from thread_counts import use_threads

LAYOUTS = pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
BYTES = (np.uint8, np.int8)


def codes(rng: np.random.Generator, shape: Any, dtype: Any) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape, dtype)


def images(rng: np.random.Generator, layout: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Codes of shape (N, C, H, W), laid out as `layout` says."""
    x = codes(rng, shape, dtype)
    return x if layout == "NCHW" else np.ascontiguousarray(np.moveaxis(x, 1, -1))


def compare(name: str, call: dict[str, Any]) -> np.ndarray:
    expected = getattr(reference, name)(**call)
    for isa in isas():
        with use_isa(isa):
            assert_bit_exact(getattr(ops, name)(**call), expected)
    return expected


def quantized(
    x: np.ndarray, w: np.ndarray, rng: np.random.Generator, **more: Any
) -> dict[str, Any]:
    """The arguments of a convolution whose results are spread over the codes."""
    x_type, w_type, outputs = x.dtype.type, w.dtype.type, w.shape[0]
    call = {
        "x": x, "x_zero_point": x_type(np.mean(x)), "w": w,
        "w_zero_point": w_type(np.mean(w)), **more,
    }  # fmt: skip
    acc = reference.conv_integer(**call)
    return call | {
        "x_scale": 0.02,
        "w_scale": rng.uniform(0.9, 1.1, outputs).astype(np.float32) / 100,
        "y_scale": np.float32(max(float(np.std(acc)), 1) * 0.0002 / 40),
        "y_zero_point": np.uint8(130),
        "b": rng.integers(-3000, 3000, outputs, np.int32),
    }


def free(y: np.ndarray) -> float:
    """The share of codes that are not saturated."""
    limits = np.iinfo(y.dtype)
    return float(np.mean((y > limits.min) & (y < limits.max)))


CHANNELS = [2, 3, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 79, 80, 95, 96, 97, 112, 127, 128]
CHANNELS += [129, 160, 176, 200]


@LAYOUTS
def test_channels(layout: str, rng: np.random.Generator) -> None:
    """Whole groups, halves of them, strips, and what is left, into every kind of result."""
    for index, channels in enumerate(CHANNELS):
        x_type, w_type = BYTES[index % 2], BYTES[index // 2 % 2]
        x = images(rng, layout, (1, channels, 5, 7 + index % 5), x_type)
        w = codes(rng, (channels, 1, 3, 3), w_type)
        settings = {"group": channels, "pads": (1, 1, 1, 1), "layout": layout}
        call = quantized(x, w, rng, **settings) | {
            "y_zero_point": (np.uint8(130), np.int8(5))[index // 4 % 2]
        }
        assert free(compare("qlinear_conv", call)) > 0.9
        compare("qlinear_conv", call | {"activation": (-1.0, 3.0)})
        compare("qlinear_conv", call | {"y_scale": None, "y_zero_point": None})
        compare("conv_integer", {"x": x, "w": w, "x_zero_point": call["x_zero_point"], **settings})


@LAYOUTS
@pytest.mark.parametrize("multiplier", [2, 3, 5, 16])
def test_multipliers(layout: str, multiplier: int, rng: np.random.Generator) -> None:
    """Several output channels for each channel of the input."""
    for index, channels in enumerate((2, 5, 16, 21, 64, 70)):
        x = images(rng, layout, (2, channels, 6, 9), BYTES[index % 2])
        w = codes(rng, (channels * multiplier, 1, 3, 2), BYTES[index // 2 % 2])
        settings = {"pads": (1, 0, 1, 2), "strides": (1, 1 + index % 2), "layout": layout}
        call = quantized(x, w, rng, group=channels, **settings)
        assert free(compare("qlinear_conv", call)) > 0.9


@LAYOUTS
@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 3), (4, 1), (5, 5), (6, 3), (7, 7)])
def test_bundles_of_lines(layout: str, kernel: tuple[int, int], rng: np.random.Generator) -> None:
    """Heights around the lines that share planes, strides that leave lines out between them."""
    for height, stride in itertools.product(range(1, 9), (1, 2, 3, 5)):
        x = images(rng, layout, (2, 33, height, 6), BYTES[height % 2])
        w = codes(rng, (33, 1, *kernel), BYTES[stride % 2])
        pads = (kernel[0] // 2, kernel[1] - 1, kernel[0] - 1, 0)
        compare(
            "conv_integer",
            {"x": x, "w": w, "x_zero_point": 77, "strides": (stride, stride % 3 + 1), "pads": pads,
             "group": 33, "layout": layout},
        )  # fmt: skip


@LAYOUTS
@pytest.mark.parametrize("shape", [(33, 3, 700), (700, 3, 9), (72, 4, 250), (1030, 2, 33)])
def test_tiles_and_blocks(
    layout: str, shape: tuple[int, int, int], rng: np.random.Generator
) -> None:
    """Lines so long, and channels so many, that planes do not fit at once."""
    for index, (stride, dilation) in enumerate(((1, 1), (2, 1), (1, 3), (3, 2))):
        x = images(rng, layout, (1, *shape), BYTES[index % 2])
        w = codes(rng, (shape[0], 1, 3, 3), BYTES[index // 2])
        compare(
            "qlinear_conv",
            quantized(
                x, w, rng, group=shape[0], pads=(1, dilation, 1, dilation), layout=layout,
                strides=(1, stride), dilations=(1, dilation),
            ),
        )  # fmt: skip


WIDTHS = [1, 2, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 27, 28, 31, 32, 33, 56, 63, 64, 65, 112, 130]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_planes(step: int, rng: np.random.Generator) -> None:
    """With channels first: widths around those of vectors, into every kind of result."""
    for index, width in enumerate(WIDTHS):
        x = codes(rng, (2, 3, 3 + index % 7, step * width), BYTES[index % 2])
        w = codes(rng, (3, 1, 3, 3), BYTES[index // 2 % 2])
        settings = {"group": 3, "pads": (1, 1, 1, 1), "strides": (index // 3 % 2 + 1, step)}
        call = quantized(x, w, rng, **settings)
        assert free(compare("qlinear_conv", call)) > 0.9
        compare("qlinear_conv", call | {"y_zero_point": np.int8(5), "activation": (-1.0, 3.0)})
        compare("qlinear_conv", call | {"y_scale": None, "y_zero_point": None})
        compare("conv_integer", {"x": x, "w": w, "x_zero_point": call["x_zero_point"], **settings})


def test_small_planes(rng: np.random.Generator) -> None:
    """With channels first and lines of up to 64 codes: planes from one vector, or from several, and
    lines of one vector, of two and of four, of which planes have any number or too many."""
    shapes = [(7, 7, 1), (14, 14, 2), (8, 8, 1), (7, 9, 1), (15, 13, 2), (4, 16, 1), (13, 17, 2)]
    shapes += [(14, 14, 1), (29, 28, 2), (5, 31, 1), (9, 58, 2), (3, 62, 1), (257, 12, 1)]
    paddings = [(1, 1, 1, 1), (0, 0, 1, 1), (2, 1, 0, 2)]
    for (height, width, step), pads in itertools.product(shapes, paddings):
        for channels, dtype in ((1, np.uint8), (9, np.int8)):
            x = codes(rng, (2, channels, height, width), dtype)
            w = codes(rng, (channels, 1, 3, 3), np.int8) // 2
            settings = {"group": channels, "pads": pads, "strides": (step, step)}
            call = quantized(x, w, rng, **settings) | {"w_zero_point": np.int8(0)}
            assert free(compare("qlinear_conv", call)) > 0.9
            with use_threads(2):
                compare("qlinear_conv", call | {"y_zero_point": np.int8(5)})


def test_lines_in_place(rng: np.random.Generator) -> None:
    """Every other place of planes whose lines have 17 to 64 results: some are read as they are."""
    shapes = [(30, 56), (31, 34), (12, 112), (9, 41), (6, 127), (3, 64), (8, 128)]
    paddings = [(1, 1, 1, 1), (0, 0, 1, 1), (2, 2, 0, 0), (1, 0, 0, 1), (0, 1, 2, 0)]
    for (height, width), pads in itertools.product(shapes, paddings):
        for channels in (1, 6):
            x = codes(rng, (2, channels, height, width), np.uint8)
            w = codes(rng, (channels, 1, 3, 3), np.int8) // 2
            settings = {"group": channels, "pads": pads, "strides": (2, 2)}
            call = quantized(x, w, rng, **settings) | {"w_zero_point": np.int8(0)}
            assert free(compare("qlinear_conv", call)) > 0.9
            with use_threads(2):
                compare("qlinear_conv", call | {"y_zero_point": np.int8(5)})


@pytest.mark.parametrize("kernel", [(1, 1), (1, 4), (2, 5), (3, 2), (5, 5), (7, 7), (4, 9)])
def test_windows(kernel: tuple[int, int], rng: np.random.Generator) -> None:
    """Kernels of several windows, taps and lines apart, padded more on one side or by too much."""
    for index, (step, width) in enumerate(itertools.product((1, 2), (25, 30, 65))):
        x = codes(rng, (1, 4, 11, width), BYTES[index % 2])
        w = codes(rng, (8, 1, *kernel), BYTES[index // 2 % 2])
        for pads in ((0, 0, 3, 0), (9, 9, 0, 2), (1, 0, 2, 11)):
            for dilations in ((1, 1), (2, 2), (1, 3)):
                settings = {"pads": pads, "dilations": dilations, "strides": (index % 4 + 1, step)}
                if 1 + (kernel[0] - 1) * dilations[0] > 11 + pads[0] + pads[2]:
                    continue
                zero = codes(rng, 8, w.dtype)
                compare(
                    "conv_integer",
                    {"x": x, "w": w, "x_zero_point": 99, "w_zero_point": zero, "group": 4,
                     **settings},
                )  # fmt: skip


def test_bands_of_planes(rng: np.random.Generator) -> None:
    """Planes that are cut, lines that are too long for that, and threads that share them."""
    for height, width, step in ((150, 260, 1), (333, 90, 2), (3, 9000, 1), (2, 140000, 2)):
        x = codes(rng, (2, 3, height, width), BYTES[height % 2])
        w = codes(rng, (3, 1, 3, 3), np.int8)
        call = quantized(x, w, rng, group=3, pads=(1, 1, 1, 1), strides=(step, step))
        compare("qlinear_conv", call)
        compare("qlinear_conv", call | {"y_scale": None, "y_zero_point": None})
        for count in (2, 5):
            with use_threads(count):
                compare("qlinear_conv", call)


@LAYOUTS
def test_pixels_far_apart(layout: str, rng: np.random.Generator) -> None:
    """Steps and dilations far beyond the image, which memory does not grow with."""
    for stride, dilation in ((1, 9000), (9000, 1), (3, 2025), (3, 2026)):
        x = images(rng, layout, (1, 20, 3, 9), np.uint8)
        w = codes(rng, (20, 1, 3, 3), np.int8)
        compare(
            "conv_integer",
            {"x": x, "w": w, "x_zero_point": 7, "group": 20, "layout": layout,
             "strides": (1, stride), "dilations": (1, dilation), "pads": (1, dilation) * 2},
        )  # fmt: skip


@LAYOUTS
def test_weights_far_from_their_zero_points(layout: str, rng: np.random.Generator) -> None:
    """Differences of nine bits: all of them, and the largest ones there are."""
    for x_type, w_type in itertools.product(BYTES, BYTES):
        limits = np.iinfo(w_type)
        x = images(rng, layout, (1, 70, 4, 5), x_type)
        settings = {"group": 70, "pads": (1, 1, 1, 1), "layout": layout}
        random = codes(rng, (70, 1, 3, 3), w_type), codes(rng, 70, w_type)
        ends = extreme_codes((70, 1, 3, 3), w_type)
        for w, zero in [random, *itertools.product(ends.values(), (limits.min, limits.max))]:
            given = {"x": x, "w": w, "x_zero_point": 9, "w_zero_point": np.array(zero, w_type)}
            compare("conv_integer", given | settings)


@LAYOUTS
def test_steps_that_do_not_fit_int32(layout: str, rng: np.random.Generator) -> None:
    """Multipliers so large that sums cannot become codes by conversions that saturate late."""
    x = images(rng, layout, (1, 20, 5, 5), np.uint8)
    w = codes(rng, (20, 1, 3, 3), np.int8)
    call = quantized(x, w, rng, group=20, layout=layout)
    for y_scale in (1e-3, 1e-7, 1e-12, 1e-30):
        compare("qlinear_conv", call | {"y_scale": np.float32(y_scale)})


@LAYOUTS
def test_biases_at_the_ends_of_int32(layout: str, rng: np.random.Generator) -> None:
    """Sums that just fit are exact; one more is an error."""
    x = np.zeros((1, 40, 2, 3) if layout == "NCHW" else (1, 2, 3, 40), np.uint8)
    w = codes(rng, (40, 1, 1, 1), np.int8)
    w[17] = 100
    for end, pixel in ((np.iinfo(np.int32).max, 1), (np.iinfo(np.int32).min, -1)):
        w[17] = pixel
        bias = np.full(40, 5, np.int32)
        bias[17] = end - pixel
        call = {
            "x": x + np.uint8(1), "x_scale": 0.5, "x_zero_point": 0, "w": w, "w_scale": 0.5,
            "w_zero_point": 0, "b": bias, "group": 40, "layout": layout,
        }  # fmt: skip
        for y in ((None, None), (1e7, np.int8(3))):
            compare("qlinear_conv", call | {"y_scale": y[0], "y_zero_point": y[1]})
        bias[17] = end
        for isa in isas():
            with use_isa(isa), pytest.raises(OverflowError, match="does not fit int32"):
                ops.qlinear_conv(**call, y_scale=1e7, y_zero_point=np.int8(3))


def test_stages_in_turn(rng: np.random.Generator) -> None:
    """A filter arranges what a call needs once, and for another stage anew."""
    w, b = codes(rng, (83, 1, 3, 3), np.int8), codes(rng, 83, np.int8).astype(np.int32)
    stage = {"x_scale": 0.02, "w_scale": 0.01, "y_scale": 0.4, "y_zero_point": np.uint8(120)}
    settings = {"group": 83, "layout": "NHWC", "strides": (1, 2), "pads": (1, 1, 1, 1), "b": b}
    for isa in isas():
        with use_isa(isa):
            convolution = ops.QLinearConv(w, **stage, x_zero_point=7, **settings)
            for dtype in (np.uint8, np.int8, np.uint8, np.uint8):
                x = codes(rng, (1, 4, 9, 83), dtype)
                call = {"x": x, "x_zero_point": dtype(7), "w": w, "w_zero_point": np.int8(0)}
                assert_bit_exact(
                    convolution(x), reference.qlinear_conv(**call, **stage, **settings)
                )


@LAYOUTS
@pytest.mark.parametrize("kernel", [3, 5])
def test_prepared_codes(rng: np.random.Generator, layout: str, kernel: int) -> None:
    """Codes that fused multiply-adds may make, beside channels whose multipliers they cannot take,
    with even and odd zero points, bounds, and zero points at both ends."""
    w_scale = rng.uniform(1e-3, 1e-2, 150).astype(np.float32)
    w_scale[70] = 2.5  # with it, channels 64 to 127 are converted
    w_scale[:3] = 0.01, 2.0**-8, 0.005  # products half-way between codes
    w, b = codes(rng, (150, 1, kernel, kernel), np.int8), rng.integers(-900, 900, 150, np.int32)
    pads = (kernel // 2,) * 4
    cases = itertools.product((7, 14, 40), (1, 2), BYTES, (0, 7, 128, 255), (None, "relu", "relu6"))
    for i, (width, stride, dtype, zero, activation) in enumerate(cases):
        if i % 5 != kernel % 5 and width == 40:  # some of the larger ones
            continue
        settings = {
            "x_scale": np.float32(1), "w_scale": w_scale, "y_scale": np.float32(1), "b": b,
            "x_zero_point": dtype(3), "y_zero_point": dtype(zero + np.iinfo(dtype).min),
            "activation": activation, "group": 150, "layout": layout, "pads": pads,
            "strides": (stride, stride),
        }  # fmt: skip
        x = images(rng, layout, (1, 150, 6, width), dtype)
        expected = reference.QLinearConv(w, **settings)(x)
        for isa in isas():
            with use_isa(isa):
                assert_bit_exact(ops.QLinearConv(w, **settings)(x), expected)


def test_threads_share_lines(rng: np.random.Generator) -> None:
    """Layers that are large enough to be shared, in bundles that do not divide their lines."""
    for channels, stride in ((48, 1), (80, 2)):
        x = codes(rng, (2, 61, 67, channels), np.uint8)
        w = codes(rng, (channels, 1, 5, 3), np.int8)
        call = quantized(x, w, rng, group=channels, layout="NHWC", strides=(stride, stride))
        expected = reference.qlinear_conv(**call)
        for isa, count in itertools.product(isas(), (1, 2, 5)):
            with use_isa(isa), use_threads(count):
                assert_bit_exact(ops.qlinear_conv(**call), expected)


# --- groups of several channels -------------------------------------------------------------------

OF_GROUPS = pytest.mark.parametrize("width", [2, 4, 8, 16, 32, 64])


@LAYOUTS
@OF_GROUPS
def test_narrow_groups_channels(layout: str, width: int, rng: np.random.Generator) -> None:
    """Blocks of 64 channels and parts of them, into every kind of result."""
    for index, channels in enumerate((32, 48, 64, 80, 112, 128, 144, 192)):
        if channels % width or channels == width:
            continue
        x_type, w_type = BYTES[index % 2], BYTES[index // 2 % 2]
        x = images(rng, layout, (1, channels, 5, 3 + index), x_type)
        w = codes(rng, (channels, width, 3, 3), w_type)
        settings = {"group": channels // width, "pads": (1, 1, 1, 1), "layout": layout}
        call = quantized(x, w, rng, **settings) | {
            "y_zero_point": (np.uint8(130), np.int8(5))[index // 4 % 2]
        }
        y = compare("qlinear_conv", call)
        assert free(y) > 0.9
        compare("qlinear_conv", call | {"activation": (-1.0, 3.0)})
        compare("qlinear_conv", call | {"y_scale": None, "y_zero_point": None})
        residual = {"residual": codes(rng, y.shape, np.int8), "residual_scale": 0.01}
        compare("qlinear_conv", call | residual | {"residual_zero_point": np.int8(3)})
        compare("conv_integer", {"x": x, "w": w, "x_zero_point": call["x_zero_point"], **settings})


@LAYOUTS
@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_narrow_groups_geometry(layout: str, width: int, rng: np.random.Generator) -> None:
    """Steps, taps that are apart, and more padding on one side than on the other or than taps."""
    kernels = [(1, 1), (1, 5), (2, 3), (3, 3), (5, 2)]
    steps = [(1, 1), (2, 2), (1, 3), (3, 2)]
    for index, (kernel, strides) in enumerate(itertools.product(kernels, steps)):
        channels = max(32, 2 * width)
        x = images(rng, layout, (2, channels, 11, 4 + index % 9 * 2), BYTES[index % 2])
        w = codes(rng, (channels, width, *kernel), BYTES[index // 2 % 2])
        for pads, dilations in (
            ((1, 2, 0, 3), (1, 1)),
            ((0, 4, 5, 4), (2, 2)),
            ((9, 9, 1, 9), (1, 3)),
        ):
            settings = {"pads": pads, "dilations": dilations, "strides": strides}
            zero = codes(rng, channels, w.dtype)
            compare(
                "conv_integer",
                {"x": x, "w": w, "x_zero_point": 99, "w_zero_point": zero,
                 "group": channels // width,
                 "layout": layout, **settings},
            )  # fmt: skip


@LAYOUTS
@pytest.mark.parametrize("shape", [(3, 700), (90, 20), (40, 120)])
def test_narrow_groups_tiles_and_bands(
    layout: str, shape: tuple[int, int], rng: np.random.Generator
) -> None:
    """Images so large that they are cut, for several threads too."""
    for index, (stride, width) in enumerate(itertools.product((1, 2), (4, 16))):
        x = images(rng, layout, (1, 48, *shape), BYTES[index % 2])
        w = codes(rng, (48, width, 3, 3), np.int8)
        call = quantized(
            x, w, rng, group=48 // width, pads=(1, 1, 1, 1), strides=(stride, stride), layout=layout
        )
        for count in (1, 3):
            with use_threads(count):
                compare("qlinear_conv", call)
                compare("qlinear_conv", call | {"y_scale": None, "y_zero_point": None})


@LAYOUTS
def test_narrow_groups_one_and_three_axes(layout: str, rng: np.random.Generator) -> None:
    """Lines, and volumes whose kernels are as deep as one plane or as several."""
    for extents, kernel in (((9,), (3,)), ((4, 5, 6), (1, 3, 3)), ((4, 5, 6), (2, 3, 3))):
        x = images(rng, layout, (2, 24, *extents), np.uint8)
        w = codes(rng, (24, 4, *kernel), np.int8)
        rank = len(extents)
        for pads, step in (((0,) * 2 * rank, 1), ((1,) * 2 * rank, 2)):
            compare(
                "conv_integer",
                {"x": x, "w": w, "x_zero_point": 7, "group": 6, "pads": pads,
                 "strides": (step,) * rank, "layout": layout},
            )  # fmt: skip


@LAYOUTS
def test_narrow_groups_weights_far_from_their_zero_points(
    layout: str, rng: np.random.Generator
) -> None:
    """Differences of nine bits: all of them, and the largest ones there are."""
    for x_type, w_type in itertools.product(BYTES, BYTES):
        limits = np.iinfo(w_type)
        x = images(rng, layout, (1, 48, 4, 5), x_type)
        settings = {"pads": (1, 1, 1, 1), "layout": layout}
        for width in (4, 16):
            random = codes(rng, (48, width, 3, 3), w_type), codes(rng, 48, w_type)
            ends = extreme_codes((48, width, 3, 3), w_type)
            for w, zero in [random, *itertools.product(ends.values(), (limits.min, limits.max))]:
                given = {"x": x, "w": w, "x_zero_point": 9, "w_zero_point": np.array(zero, w_type)}
                compare("conv_integer", given | settings | {"group": 48 // width})


@LAYOUTS
def test_narrow_groups_large_steps_and_biases(layout: str, rng: np.random.Generator) -> None:
    """Multipliers too large for conversions, sums that just fit int32, and one that does not."""
    x = images(rng, layout, (1, 24, 5, 5), np.uint8)
    w = codes(rng, (24, 4, 3, 3), np.int8)
    call = quantized(x, w, rng, group=6, layout=layout)
    for y_scale in (1e-3, 1e-7, 1e-30):
        compare("qlinear_conv", call | {"y_scale": np.float32(y_scale)})
    one, pixel = np.ones((24, 4, 1, 1), np.int8), np.ones_like(x)
    bias = np.full(24, 5, np.int32)
    bias[17] = np.iinfo(np.int32).max - 4
    call = {
        "x": pixel, "x_scale": 0.5, "x_zero_point": 0, "w": one, "w_scale": 0.5,
        "w_zero_point": 0, "b": bias, "group": 6, "layout": layout,
    }  # fmt: skip
    compare("qlinear_conv", call | {"y_scale": None, "y_zero_point": None})
    bias[17] += 1
    for isa in isas():
        with use_isa(isa), pytest.raises(OverflowError, match="does not fit int32"):
            ops.qlinear_conv(**call, y_scale=1e7, y_zero_point=np.int8(3))


@LAYOUTS
def test_groups_of_any_width(layout: str, rng: np.random.Generator) -> None:
    """Groups that share 16 results or have more, and other numbers of channels out than in."""
    shapes = [
        (3, 3, 32), (5, 5, 24), (6, 6, 7), (16, 4, 5), (4, 16, 3), (24, 24, 3), (40, 17, 2),
        (48, 48, 2), (20, 80, 2), (64, 1, 5), (33, 50, 2), (64, 128, 2), (65, 129, 2),
    ]  # fmt: skip
    for index, (width, out, group) in enumerate(shapes):
        size = [(9, 30), (3, 7), (5, 17), (2, 161)][index % 4]
        x = images(rng, layout, (1, width * group, *size), BYTES[index % 2])
        w = codes(rng, (out * group, width, *[(3, 3), (1, 1), (2, 5)][index % 3]), np.int8)
        dilations, strides = (1, 1 + index // 2 % 2), (1 + index % 3 // 2, 1 + index // 4 % 2)
        call = quantized(
            x, w, rng, group=group, pads=(1, 2, 1, 2), strides=strides, dilations=dilations,
            layout=layout,
        )  # fmt: skip
        y = compare("qlinear_conv", call | {"y_zero_point": (np.uint8(130), np.int8(5))[index % 2]})
        assert free(y) > 0.9
        residual = {"residual": codes(rng, y.shape, np.uint8), "residual_scale": 0.01}
        compare("qlinear_conv", call | residual | {"activation": (-1.0, 3.0)})
        compare("qlinear_conv", call | {"y_scale": None, "y_zero_point": None})


def test_narrow_groups_prepared_weights_come_back(rng: np.random.Generator) -> None:
    """Packing loses nothing, on whichever instruction set a copy is made."""
    x = images(rng, "NHWC", (1, 40, 4, 5), np.uint8)
    for isa, out in itertools.product(isas(), (40, 15)):
        w = codes(rng, (out, 8, 3, 3), np.int8)
        with use_isa(isa):
            layer = ql.ConvInteger(w, 3, group=5, layout="NHWC")
            again = type(layer)(**layer._arguments())
            assert_bit_exact(again._arguments()["w"], w)
            assert_bit_exact(again(x, 9), layer(x, 9))
