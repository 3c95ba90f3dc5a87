"""Convolutions whose pixels have whole cache lines of channels: where tiles may read every tap of a
kernel from lines of input. Sizes are around those of tiles, of blocks of lines, and of images that
are loaded together."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlib import ops, reference
from quantlib.testing import assert_bit_exact, isas, use_isa
from thread_counts import use_threads

LAYOUTS = ("NHWC", "NCHW")
BYTES = (np.uint8, np.int8)
# One evaluation of the definition serves all instruction sets.
THOROUGHLY = settings(max_examples=3 * settings.default.max_examples)


def codes(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape, dtype)


def in_layout(x: np.ndarray, layout: str) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)) if layout == "NHWC" else x


def compare(name: str, call: dict[str, Any]) -> None:
    expected = getattr(reference, name)(**call)
    for isa in isas():
        with use_isa(isa):
            assert_bit_exact(getattr(ops, name)(**call), expected)


def quantized(
    rng: np.random.Generator, x: np.ndarray, w: np.ndarray, y: tuple[Any, Any], **rest: Any
) -> dict[str, Any]:
    """A call whose results are mostly inside the range of codes; `y` is their scale, in units of
    what keeps them there, and zero point."""
    out, depth = len(w), int(np.prod(w.shape[1:]))
    scale = None if y[0] is None else np.float32(y[0] * 70 * 70 * depth**0.5 / 30)
    return {
        "x": x,
        "x_scale": 1.0,
        "x_zero_point": x.dtype.type(100),
        "w": w,
        "w_scale": rng.uniform(0.5, 1.5, out).astype(np.float32),
        "w_zero_point": 0,
        "y_scale": scale,
        "y_zero_point": y[1],
        "b": rng.integers(-9000, 9000, out).astype(np.int32),
        **rest,
    }


# ---- geometry -----------------------------------------------------------------------------------


@st.composite
def geometries(draw: st.DrawFn) -> dict[str, Any]:
    """Extents of an image and what a kernel does with it; the result has at least one pixel."""
    kernel, strides, dilations, before, after, extents = [], [], [], [], [], []
    for _ in range(2):
        kernel.append(draw(st.integers(1, 5)))
        strides.append(draw(st.sampled_from([1, 1, 1, 2, 2, 3, 4, 5])))
        dilations.append(draw(st.sampled_from([1, 1, 1, 2, 3])))
        reach = (kernel[-1] - 1) * dilations[-1]
        before.append(draw(st.integers(0, reach)))
        after.append(draw(st.integers(0, reach)))
        extents.append(draw(st.integers(max(reach + 1 - before[-1] - after[-1], 1), reach + 18)))
    return {
        "kernel": kernel,
        "extents": extents,
        "settings": {"strides": strides, "dilations": dilations, "pads": [*before, *after]},
    }


@THOROUGHLY
@given(
    geometry=geometries(),
    channels=st.sampled_from([64, 64, 64, 128, 192]),
    out=st.sampled_from([1, 16, 17, 33]),
    batch=st.integers(1, 4),
    types=st.tuples(st.sampled_from(BYTES), st.sampled_from(BYTES)),
    layout=st.sampled_from(LAYOUTS),
    seed=st.integers(0, 2**32),
)
def test_geometry(
    geometry: dict[str, Any],
    channels: int,
    out: int,
    batch: int,
    types: tuple[Any, Any],
    layout: str,
    seed: int,
) -> None:
    """Every stride, dilation and padding, with several images. Channels, of which definitions need
    not have so many, meet weights in every place."""
    rng = np.random.default_rng(seed)
    x = in_layout(codes(rng, (batch, channels, *geometry["extents"]), types[0]), layout)
    w = codes(rng, (out, channels, *geometry["kernel"]), types[1])
    zero = 0 if types[1] is np.int8 else 128  # none, as a number of int8
    compare(
        "conv_integer",
        {"x": x, "w": w, "x_zero_point": codes(rng, (), types[0])[()],
         "w_zero_point": types[1](zero), "layout": layout, **geometry["settings"]},
    )  # fmt: skip


@pytest.mark.parametrize("width", [1, 2, 5, 7, 8, 14, 15, 16, 17, 30, 31, 33])
def test_widths(isa: str, agree: Any, rng: np.random.Generator, width: int) -> None:
    """Lines around the rows of a tile and half of one; the last row of all of them is the last
    pixel, behind which nothing may be needed."""
    w = codes(rng, (18, 64, 3, 3), np.int8)
    for height, batch in ((1, 1), (3, 3), (9, 2)):
        x = codes(rng, (batch, height, width, 64), np.uint8)
        for pads in ((1, 1, 1, 1), (1, 0, 1, 2), (1, 2, 1, 0), (2, 2, 2, 2)):
            if width + pads[1] + pads[3] > 2:
                agree("conv_integer", x, w, 77, pads=pads, layout="NHWC")


@pytest.mark.parametrize("stride", [2, 3])
def test_strides(isa: str, agree: Any, rng: np.random.Generator, stride: int) -> None:
    """Padding of more than a stride, which lines may share, before and behind any column."""
    w = codes(rng, (3, 64, 3, 4), np.int8)
    for width in range(2, 12):
        x = codes(rng, (2, 5, width, 64), np.uint8)
        for before, after in itertools.product(range(2, 5), range(4)):
            pads = (1, before, 1, after)
            agree("conv_integer", x, w, 9, pads=pads, strides=(1, stride), layout="NHWC")


@pytest.mark.parametrize("batch", [4, 6, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_images_together(
    isa: str, agree: Any, rng: np.random.Generator, batch: int, stride: int
) -> None:
    """More small images than are loaded together: all at once, some at a time, one by one."""
    w = codes(rng, (35, 192, 3, 3), np.int8)
    for extent in (4, 16):
        x = codes(rng, (batch, extent, extent, 192), np.int8)
        agree(
            "conv_integer", x, w, 3, pads=(1, 1, 1, 1), strides=(stride, stride), layout="NHWC"
        )  # fmt: skip


def test_weights_beyond_a_cache(rng: np.random.Generator) -> None:
    """So many weights that more images are loaded together."""
    x, w = codes(rng, (6, 9, 9, 384), np.uint8), codes(rng, (320, 384, 3, 3), np.int8)
    compare("conv_integer", {"x": x, "w": w, "x_zero_point": 9, "layout": "NHWC"})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_several_blocks(layout: str, rng: np.random.Generator) -> None:
    """An image that is loaded in parts, on one thread and on several, which begin at any line."""
    for channels, out, stride in ((64, 33, 1), (128, 64, 2)):
        x = in_layout(codes(rng, (2, channels, 98, 103), np.uint8), layout)
        w = codes(rng, (out, channels, 3, 3), np.int8)
        call = {"x": x, "w": w, "x_zero_point": 50, "layout": layout}
        call |= {"strides": (stride, stride), "pads": (1, 1, 1, 1)}
        expected = reference.conv_integer(**call)
        for isa, count in itertools.product(isas(), (1, 2, 5)):
            with use_isa(isa), use_threads(count):
                assert_bit_exact(ops.conv_integer(**call), expected)


def test_what_is_not_for_lines(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """Weights with zero points, three axes, lines that do not fit a block, images that are mostly
    padding."""
    x, w = codes(rng, (1, 6, 7, 64), np.uint8), codes(rng, (17, 64, 3, 3), np.int8)
    agree("conv_integer", x, w, 3, codes(rng, (17,), np.int8), layout="NHWC")
    x, w = codes(rng, (1, 3, 4, 5, 64), np.uint8), codes(rng, (17, 64, 2, 2, 2), np.int8)
    agree("conv_integer", x, w, 3, layout="NHWC")
    x, w = codes(rng, (1, 3, 3000, 64), np.uint8), codes(rng, (3, 64, 2, 3), np.int8)
    agree("conv_integer", x, w, 3, layout="NHWC")
    x, w = codes(rng, (1, 2, 3, 64), np.uint8), codes(rng, (17, 64, 3, 3), np.int8)
    agree("conv_integer", x, w, 3, pads=(9, 9, 9, 9), dilations=(5, 4), layout="NHWC")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_groups(isa: str, agree: Any, rng: np.random.Generator, layout: str) -> None:
    """Each group reads its own slice of the channels."""
    x = in_layout(codes(rng, (2, 256, 6, 9), np.uint8), layout)
    w = codes(rng, (34, 128, 3, 3), np.int8)
    agree("conv_integer", x, w, 9, group=2, pads=(1, 1, 1, 1), layout=layout)


# ---- results ------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_result(rng: np.random.Generator, layout: str, batch: int) -> None:
    """Codes, computed beside the next tile, and reals; with and without a residual."""
    x = codes(rng, (batch, 64, 11, 19), np.uint8)
    w = codes(rng, (70, 64, 3, 3), np.int8)
    shared = in_layout(codes(rng, (batch, 70, 11, 19), np.int8), layout)
    residual = {"residual": shared, "residual_scale": 900.0, "residual_zero_point": np.int8(3)}
    for dtype, y, sum_with in itertools.product(
        BYTES, ((1, np.uint8(128)), (1, np.int8(-3)), (None, None)), ({}, residual)
    ):
        call = quantized(
            rng,
            in_layout(x.view(dtype), layout),
            w,
            y,
            pads=(1, 1, 1, 1),
            layout=layout,
            **sum_with,
        )
        compare("qlinear_conv", call)
        if y[0] is not None and not sum_with:
            seen = reference.qlinear_conv(**call)
            limits = np.iinfo(seen.dtype)
            assert np.mean((seen > limits.min) & (seen < limits.max)) > 0.9


@pytest.mark.parametrize("sign", [1, -1])
def test_biases_at_the_ends_of_int32(isa: str, sign: int) -> None:
    """Sums that need 64 bits on the way, to the last one that fits."""
    x, w = np.full((2, 5, 20, 64), 100, np.int8), np.full((33, 64, 3, 3), sign * 100, np.int8)
    total = 9 * 10_000 * 64
    bias = np.zeros(33, np.int32)
    bias[32] = (2**31 - 1) - total if sign > 0 else -(2**31) + total
    call: dict[str, Any] = {"pads": (1, 1, 1, 1), "layout": "NHWC"}
    y = ops.qlinear_conv(x, 1.0, 0, w, 1.0, 0, None, None, bias, **call)
    assert y[1, 2, 3, 32] == np.float32(sign * 2.0**31)
    assert_bit_exact(y, reference.qlinear_conv(x, 1.0, 0, w, 1.0, 0, None, None, bias, **call))
    bias[32] += sign
    with pytest.raises(OverflowError, match="does not fit int32"):
        ops.qlinear_conv(x, 1.0, 0, w, 1.0, 0, None, None, bias, **call)


def test_sums_that_are_collected_in_64_bits(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """So many products that they are summed in pieces, because a bias leaves no room."""
    x, w = codes(rng, (1, 2, 2, 4096), np.uint8), codes(rng, (2, 4096, 3, 3), np.int8)
    bias = np.array([2**31 - 2**28, -(2**31) + 2**28], np.int32)
    agree(
        "qlinear_conv", x, 1.0, 128, w, 1.0, 0, None, None, bias, pads=(1, 1, 1, 1), layout="NHWC"
    )  # fmt: skip


def test_prepared_for_changing_sizes(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """One layer, whose rows are read from lines for some images and put together for others."""
    w = codes(rng, (17, 64, 3, 3), np.int8)
    layer = agree.prepared(
        "QLinearConv", w, 0.1, x_scale=0.1, x_zero_point=99, y_scale=40.0, y_zero_point=np.uint8(9),
        pads=(1, 1, 1, 1), layout="NHWC",
    )  # fmt: skip
    for extents in ((2, 3, 3), (1, 8, 5), (0, 3, 4), (1, 1, 1), (1, 2, 2900), (4, 3, 3)):
        layer(codes(rng, (*extents, 64), np.uint8))
