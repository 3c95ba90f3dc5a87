"""Convolutions with channels first on planes of the image: sizes around those of their blocks."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import quantlib as ql
from quantlib import reference
from quantlib.testing import assert_bit_exact, isas, use_isa
from thread_counts import use_threads

BYTES = [np.uint8, np.int8]
STRIP, ROWS = 64, 32  # places and output channels that are convolved together


def random_codes(rng: np.random.Generator, shape: Any, dtype: Any) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape, dtype=dtype)


# ---- sums ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", [1, 15, 17, 32, 33, 48, STRIP - 1, STRIP, STRIP + 1, 257, 600])
def test_pixels(isa: str, agree: Any, rng: np.random.Generator, pixels: int) -> None:
    for channels, out in ((3, 5), (16, ROWS + 1), (130, 17)):
        x = random_codes(rng, (2, channels, pixels), BYTES[channels % 2])
        agree("conv_integer", x, random_codes(rng, (out, channels, 1), np.int8), 9)


@pytest.mark.parametrize("offset", [0, 1, 16, 63])
def test_where_cache_lines_begin(
    isa: str, agree: Any, rng: np.random.Generator, offset: int
) -> None:
    """Planes of whole cache lines, from any byte on: the first block ends with a line."""
    for channels, extents in ((20, (8, 8)), (140, (8, 88)), (260, (56, 56))):
        memory = random_codes(rng, (2 * channels * extents[0] * extents[1] + STRIP,), np.uint8)
        first = (offset - memory.ctypes.data) % STRIP
        x = memory[first : first + memory.size - STRIP].reshape(2, channels, *extents)
        agree("conv_integer", x, random_codes(rng, (3, channels, 1, 1), np.int8), 9)


@pytest.mark.parametrize("channels", [16, 17, 63, 64, 65, 68, 72, 127, 129])
def test_channels(isa: str, agree: Any, rng: np.random.Generator, channels: int) -> None:
    for out in (1, 15, 16, ROWS, 2 * ROWS + 1):
        for dtype in BYTES:
            x = random_codes(rng, (1, channels, 9, 8), dtype)
            w = random_codes(rng, (out, channels, 2, 3), np.int8)
            agree("conv_integer", x, w, 100, pads=(1, 1, 1, 1))


@pytest.mark.parametrize("width", [1, 2, 7, 13, 14, 28, 57, 64, 100])
def test_lines(isa: str, agree: Any, rng: np.random.Generator, width: int) -> None:
    """Kernels, dilations and padding on either side, which lines of places share."""
    w = random_codes(rng, (18, 20, 3, 3), np.int8)
    x = random_codes(rng, (2, 20, 9, width), np.uint8)
    for pads in ((1, 1, 1, 1), (0, 2, 2, 0), (2, 0, 0, 2), (0, 4, 3, 5)):
        for dilations in ((1, 1), (2, 1), (1, 2)):
            if width + pads[1] + pads[3] > 2 * dilations[1]:
                agree("conv_integer", x, w, 3, pads=pads, dilations=dilations)


@pytest.mark.parametrize("strides", [(2, 2), (1, 2), (3, 1), (3, 3)])
def test_strides(isa: str, agree: Any, rng: np.random.Generator, strides: tuple[int, int]) -> None:
    for extents in ((9, 9), (14, 29), (23, 140)):
        x = random_codes(rng, (1, 19, *extents), np.int8)
        agree("conv_integer", x, random_codes(rng, (17, 19, 1, 1), np.int8), -7, strides=strides)
        agree("conv_integer", x, random_codes(rng, (3, 19, 3, 3), np.int8), -7, strides=strides)


def test_groups(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """Each is a convolution of its own: with few channels, more outputs than a tile, a stride, or
    places that are whole pixels, in images of one block or of several."""
    cases = [
        (3, 5, 2, (6, 11), 1, 1),
        (2, 1, 3, (4, 4), 1, 1),
        (5, 12, 48, (23, 29), 1, 1),
        (2, 70, ROWS + 1, (9, 8), 1, 2),
        (2, 20, 17, (9, 8), 3, 1),
        (3, 49, 5, (11, 7), 3, 2),
    ]
    for number, (group, channels, out, extents, kernel, stride) in enumerate(cases):
        x = random_codes(rng, (2, group * channels, *extents), BYTES[number % 2])
        w = random_codes(rng, (group * out, channels, kernel, kernel), np.int8)
        pads = (kernel // 2,) * 4
        agree("conv_integer", x, w, 11, group=group, strides=(stride, stride), pads=pads)


def test_pixels_and_patches(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """Kernels whose places may be whole pixels, or whole patches of few channels: lines that are
    loaded one by one and together, phases of a stride, and input that no result sees."""
    cases = [
        (64, (7, 7), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 33),
        (130, (5, 14), (3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 16),
        (50, (6, 29), (2, 3), (1, 1), (0, 2, 3, 0), (2, 1), 5),
        (64, (9, 57), (3, 3), (2, 2), (1, 0, 0, 1), (1, 1), 65),
        (49, (8, 20), (5, 5), (1, 2), (2, 2, 2, 2), (1, 1), 17),
        (64, (11, 31), (2, 2), (2, 1), (0, 0, 0, 0), (1, 3), 3),
        (66, (6, 8), (1, 2), (2, 2), (0, 0, 0, 0), (1, 1), 32),
        (48, (1, 1), (3, 3), (1, 1), (1, 3, 1, 3), (1, 2), 2),
        (48, (4, 3), (3, 1), (2, 2), (5, 4, 0, 6), (1, 1), 40),
        (3, (20, 37), (7, 7), (2, 2), (3, 3, 3, 3), (1, 1), 33),
        (12, (7, 200), (5, 5), (1, 1), (2, 2, 2, 2), (1, 1), 3),
        (15, (9, 8), (3, 3), (1, 1), (1, 1, 1, 1), (2, 1), 65),
        (2, (6, 5), (3, 4), (2, 3), (2, 4, 1, 0), (1, 1), 16),
        (1, (1, 90), (1, 5), (1, 2), (0, 1, 0, 7), (1, 1), 17),
        (3, (8, 3), (3, 3), (2, 2), (0, 0, 0, 0), (1, 1), 32),
    ]
    for number, (channels, extents, kernel, strides, pads, dilations, out) in enumerate(cases):
        x = random_codes(rng, (2, channels, *extents), BYTES[number % 2])
        w = random_codes(rng, (out, channels, *kernel), np.int8)
        settings: dict[str, Any] = {"strides": strides, "pads": pads, "dilations": dilations}
        agree("conv_integer", x, w, 77, **settings)
        scales = rng.uniform(0.5, 1.5, out).astype(np.float32)
        bias = rng.integers(-9000, 9000, out).astype(np.int32)
        y_scale = np.float32(130 * np.sqrt(channels * kernel[0] * kernel[1]))
        for zero in (np.uint8(128), np.int8(-3)):
            agree("qlinear_conv", x, 1, 77, w, scales, None, y_scale, zero, bias, **settings)


def test_three_axes(isa: str, agree: Any, rng: np.random.Generator) -> None:
    x = random_codes(rng, (2, 18, 3, 5, 6), np.uint8)
    w = random_codes(rng, (4, 18, 1, 1, 1), np.int8)
    for strides in ((1, 1, 1), (2, 1, 2)):
        agree("conv_integer", x, w, 5, strides=strides)
    agree("conv_integer", x, random_codes(rng, (4, 18, 1, 2, 2), np.int8), 5)


def test_weights_without_zero_point(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """uint8 less 128 is as good as int8; with other zero points planes are not for them."""
    x = random_codes(rng, (1, 16, 5, 7), np.uint8)
    w = random_codes(rng, (5, 16, 3, 3), np.uint8)
    for zero_point in (128, 127, np.uint8([128, 128, 3, 128, 128])):
        agree("conv_integer", x, w, 3, zero_point)


def test_what_does_not_fit_a_block(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """Three lines of so many channels are more than a block, and so are 64 places of more."""
    deep = random_codes(rng, (1, 2100, 3, 90), np.uint8)
    agree("conv_integer", deep, random_codes(rng, (2, 2100, 3, 3), np.int8))
    deeper = random_codes(rng, (1, 8300, 3), np.uint8)
    agree("conv_integer", deeper, random_codes(rng, (2, 8300, 1), np.int8))


def test_several_blocks(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """An image that is more than one block, and weights that are more than a cache."""
    x = random_codes(rng, (1, 260, 60, 50), np.uint8)
    agree("conv_integer", x, random_codes(rng, (3, 260, 3, 1), np.int8), pads=(1, 0, 1, 0))
    x = random_codes(rng, (1, 700, 3, 90), np.uint8)
    agree("conv_integer", x, random_codes(rng, (260, 700, 3, 3), np.int8), 4)


# ---- results ------------------------------------------------------------------------------------

SHAPES = [  # batch, group, channels of each, height, width, kernel, padding
    (1, 1, 70, 8, 8, 1, 0),
    (2, 1, 21, 9, 15, 3, 1),
    (1, 1, 16, 1, 40, 1, 0),
    (1, 1, 33, 20, 7, 3, 1),
    (2, 3, 20, 7, 9, 1, 0),
    (1, 2, 50, 6, 11, 3, 1),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_result(
    isa: str, agree: Any, rng: np.random.Generator, shape: tuple[int, ...]
) -> None:
    batch, group, channels, height, width, kernel, pad = shape
    out = group * (ROWS + 3)
    w = random_codes(rng, (out, channels, kernel, kernel), np.int8)
    scales = rng.uniform(0.5, 1.5, out).astype(np.float32)
    bias = rng.integers(-9000, 9000, out).astype(np.int32)
    y_scale = np.float32(130 * kernel * np.sqrt(channels))
    settings: dict[str, Any] = {"pads": (pad,) * 4, "group": group}
    for dtype in BYTES:
        x = random_codes(rng, (batch, group * channels, height, width), dtype)
        zero = 120 if dtype is np.uint8 else -9
        for y_dtype in BYTES:
            middle = np.array(128 if y_dtype is np.uint8 else -3, y_dtype)
            for b, activation in ((bias, None), (None, "relu"), (bias, "relu6")):
                y = agree(
                    "qlinear_conv", x, 1, zero, w, scales, None, y_scale, middle, b,
                    activation=activation, **settings,
                )  # fmt: skip
                if activation is None:
                    assert np.mean((y > np.iinfo(y_dtype).min) & (y < np.iinfo(y_dtype).max)) > 0.9
        for kind in (bias, scales, np.float32(0.3), None):
            agree("qlinear_conv", x, 1, zero, w, scales, None, None, None, kind, **settings)


@pytest.mark.parametrize("extents", [(1, 1), (3, 9), (7, 7), (5, 13), (9, 29)])
def test_codes_beside_products(
    isa: str, agree: Any, rng: np.random.Generator, extents: tuple[int, int]
) -> None:
    """Channels so many that the codes of a tile are computed while the next one is multiplied."""
    for out, stride in ((1, 1), (16, 2), (17, 1), (ROWS, 2), (2 * ROWS + 5, 1)):
        x = random_codes(rng, (2, 260, *extents), np.uint8)
        w = random_codes(rng, (out, 260, 1, 1), np.int8)
        scales = rng.uniform(0.5, 1.5, out).astype(np.float32)
        bias = rng.integers(-9000, 9000, out).astype(np.int32)
        settings: dict[str, Any] = {"strides": (stride, stride)}
        agree(
            "qlinear_conv", x, 1, 3, w, scales, None, np.float32(2500), np.uint8(99), bias,
            **settings,
        )  # fmt: skip


def test_multipliers_beyond_int32(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """Steps that do not fit int32 are still kept between the codes."""
    x, w = random_codes(rng, (1, 16, 9, 9), np.uint8), random_codes(rng, (3, 16, 1, 1), np.int8)
    for scale in (1e4, 1e20, 1e30):
        agree("qlinear_conv", x, scale, 7, w, 1, None, 1e-3, np.uint8(100))


def test_bias_near_the_ends_of_int32(isa: str, agree: Any, rng: np.random.Generator) -> None:
    x, w = random_codes(rng, (1, 16, 3, 3), np.uint8), random_codes(rng, (2, 16, 1, 1), np.int8)
    largest = int(np.abs(reference.conv_integer(x, w, 7)).max())
    bias = np.array([2**31 - 1 - largest, largest - 2**31], np.int32)
    agree("qlinear_conv", x, 1, 7, w, 1, None, None, None, bias)


# ---- prepared -----------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_it(rng: np.random.Generator, threads: int) -> None:
    cases = [
        ((1, 256, 40, 40), (96, 256, 1, 1), 1),
        ((2, 128, 29, 30), (65, 128, 3, 3), 1),
        ((2, 240, 28, 28), (120, 80, 1, 1), 3),
    ]
    for x_shape, w_shape, group in cases:
        x, w = random_codes(rng, x_shape, np.uint8), random_codes(rng, w_shape, np.int8)
        settings: dict[str, Any] = {"pads": (w_shape[2] // 2,) * 4, "group": group}
        expected = reference.conv_integer(x, w, 3, **settings)
        for isa in isas():
            with use_isa(isa), use_threads(threads):
                assert_bit_exact(ql.conv_integer(x, w, 3, **settings), expected)


@pytest.mark.parametrize("dtype", BYTES)
def test_weights_come_back(isa: str, rng: np.random.Generator, dtype: Any) -> None:
    for group, kernel in ((1, (3, 2)), (7, (1, 1)), (5, (3, 2))):
        w = random_codes(rng, (35, 70, *kernel), dtype)
        layer = ql.ConvInteger(w, 128 if dtype is np.uint8 else 0, group=group)
        x = random_codes(rng, (1, group * 70, 5, 6), np.uint8)
        assert_bit_exact(layer.__reduce__()[1][1]["w"], w)
        assert_bit_exact(pickle.loads(pickle.dumps(layer))(x, 3), layer(x, 3))


def test_calls_that_planes_are_not_for(rng: np.random.Generator) -> None:
    """Their weights are packed again by the first of them, for the set that they belong to."""
    for group, channels, out, kernel in ((1, 20, 33, 3), (3, 20, 33, 1), (4, 50, 12, 3)):
        check_calls_not_for_planes(rng, group, channels, out, kernel)


def check_calls_not_for_planes(
    rng: np.random.Generator, group: int, channels: int, out: int, kernel: int
) -> None:
    x = random_codes(rng, (1, group * channels, 6, 7), np.uint8)
    w = random_codes(rng, (out, channels, kernel, kernel), np.int8)
    settings: dict[str, Any] = {
        "x_scale": 0.1, "x_zero_point": 9, "y_scale": 30.0, "pads": (kernel // 2,) * 4,
        "group": group,
    }  # fmt: skip
    residual = random_codes(rng, (1, out, 6, 7), np.uint8)
    definition = reference.QLinearConv(w, 0.1, residual_scale=0.2, **settings)
    plain = reference.QLinearConv(w, 0.1, **settings)(x)
    for packed_on in isas():
        for used_on in isas():
            with use_isa(packed_on):
                layer = ql.QLinearConv(w, 0.1, residual_scale=0.2, **settings)
                without = ql.QLinearConv(w, 0.1, **settings)
            with use_isa(used_on):
                for _ in range(2):
                    assert_bit_exact(layer(x, residual), definition(x, residual))
                    assert_bit_exact(without(x), plain)
