"""Convolutions that add a residual before they round."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import quantlib as ql
from quantlib import reference
from quantlib.testing import assert_bit_exact
from thread_counts import use_threads

BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])
LAYOUTS = pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
BYTES = [np.uint8, np.int8]
ONE = np.int8([[[1]]])  # a kernel that returns its input


def random_codes(rng: np.random.Generator, shape: Any, dtype: Any) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape, dtype=dtype)


def in_layout(x: np.ndarray, layout: str) -> np.ndarray:
    """NCHW to `layout`."""
    return x if layout == "NCHW" else np.ascontiguousarray(np.moveaxis(x, 1, -1))


# ---- examples -----------------------------------------------------------------------------------


@BOTH
def test_it_is_rounded_once(layer: Any) -> None:
    """A half and a half are one. Rounded one by one, each half would be zero."""
    x = np.uint8([[[1]]])
    y = layer.qlinear_conv(x, 0.5, 0, ONE, 1.0, 0, 1.0, np.uint8(0), residual=x, residual_scale=0.5)
    assert y.tolist() == [[[1]]]
    rounded = layer.qlinear_conv(x, 0.5, 0, ONE, 1.0, 0, 1.0, np.uint8(0))
    assert layer.qlinear_add(rounded, 1.0, 0, x, 0.5, 0, 1.0, 0).tolist() == [[[0]]]


@BOTH
def test_by_hand(layer: Any) -> None:
    x, residual = np.uint8([[[10, 20, 30]]]), np.int8([[[-7, 3, 127]]])
    add = layer.QLinearConv(
        ONE, 1.0, x_scale=0.5, x_zero_point=20, y_scale=0.25, y_zero_point=np.int8(5),
        residual_scale=1.0, residual_zero_point=np.int8(3), activation=(-100.0, 6.0),
    )  # fmt: skip
    # Reals -5, 0, 5 and -10, 0, 124: -15, 0, and 129, which the activation keeps to 6.
    assert add(x, residual).tolist() == [[[-55, 5, 29]]]
    to_real = layer.QLinearConv(
        ONE, 1.0, x_scale=0.5, x_zero_point=20, residual_scale=1.0, residual_zero_point=3,
        activation=(-12.5, 6.0), b=np.float32(0.5),
    )  # fmt: skip
    assert to_real(x, residual=residual).tolist() == [[[-12.5, 0.5, 6.0]]]


# ---- against the definition ---------------------------------------------------------------------

# Channels, output channels, groups, kernel, strides: every way in which rows are gathered, tiles
# that end in parts of strips, groups that share a product, and channels that do not mix.
SHAPES = {
    "pointwise": (18, 33, 1, (1, 1), (1, 1)),
    "overlapping patches": (18, 33, 1, (3, 3), (1, 1)),
    "patches side by side": (18, 17, 1, (3, 3), (2, 2)),
    "few channels": (3, 20, 1, (3, 3), (2, 1)),
    "narrow groups": (20, 30, 10, (3, 2), (1, 1)),
    "wide groups": (40, 34, 2, (1, 3), (1, 1)),
    "depthwise": (21, 21, 21, (3, 3), (1, 1)),
    "a multiplier": (7, 21, 7, (3, 3), (2, 2)),
}


@LAYOUTS
@pytest.mark.parametrize("shape", SHAPES)
def test_every_result(
    isa: str, agree: Any, rng: np.random.Generator, layout: str, shape: str
) -> None:
    channels, out_channels, group, kernel, strides = SHAPES[shape]
    for x_type, residual_type in itertools.product(BYTES, BYTES):
        x = in_layout(random_codes(rng, (2, channels, 9, 21), x_type), layout)
        w = random_codes(rng, (out_channels, channels // group, *kernel), np.int8)
        settings = {"pads": (1, 0, 0, 1), "strides": strides, "group": group, "layout": layout}
        y_shape = reference.conv_integer(x, w, 0, 0, **settings).shape
        residual = random_codes(rng, y_shape, residual_type)
        zero_point = random_codes(rng, (), residual_type)[()]
        scales = rng.uniform(0.001, 0.003, out_channels).astype(np.float32)
        bias = rng.integers(-3000, 3000, out_channels).astype(np.int32)
        for y in ((np.float32(1.5), np.uint8(128)), (np.float32(1.5), np.int8(0)), (None, None)):
            for activation in (None, (-50.0, 70.0)):
                agree(
                    "qlinear_conv", x, 1.0, x_type(60), w, scales, 0, *y, bias,
                    residual=residual, residual_scale=0.8, residual_zero_point=zero_point,
                    activation=activation, **settings,
                )  # fmt: skip


@LAYOUTS
def test_extremes(isa: str, agree: Any, layout: str) -> None:
    """Multipliers and factors whose products are beyond every code, and beyond int32."""
    x = np.full((1, 17, 3, 19), 255, np.uint8)
    w = np.full((5, 17, 1, 1), -128, np.int8)
    for sign, factor in itertools.product((1, -1), (1e-3, 1.0, 1e30, 1e36)):
        residual = np.full((1, 5, 3, 19), 127 * sign, np.int8)
        for y in ((np.float32(1.0), np.int8(7)), (None, None)):
            agree(
                "qlinear_conv", in_layout(x, layout), 1.0, 0, w, np.float32(1e30), 0, *y,
                residual=in_layout(residual, layout), residual_scale=factor, layout=layout,
            )  # fmt: skip


def test_prepared(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """One layer, many images: sizes that change, every pair of types, no image at all."""
    w = random_codes(rng, (21, 6, 3, 3), np.int8)
    layer = agree.prepared(
        "QLinearConv", w, 0.1, x_scale=0.1, x_zero_point=99, y_scale=30.0, residual_scale=0.7,
        residual_zero_point=[3], pads=(1, 1, 1, 1), layout="NHWC",
    )  # fmt: skip
    for extents in ((2, 3, 3), (1, 8, 5), (0, 3, 4), (2, 3, 3)):
        for x_type, residual_type in itertools.product(BYTES, BYTES):
            x = random_codes(rng, (*extents, 6), x_type)
            layer(x, random_codes(rng, (*extents, 21), residual_type))


@pytest.fixture
def three_threads() -> Iterator[None]:
    with use_threads(3):
        yield


@LAYOUTS
@pytest.mark.usefixtures("three_threads")
def test_threads_share_it(agree: Any, rng: np.random.Generator, layout: str) -> None:
    x = in_layout(random_codes(rng, (3, 32, 40, 37), np.uint8), layout)
    w = random_codes(rng, (48, 32, 3, 3), np.int8)
    residual = in_layout(random_codes(rng, (3, 48, 40, 37), np.uint8), layout)
    agree(
        "qlinear_conv", x, 0.1, 99, w, 0.1, 0, 30.0, np.uint8(120), pads=(1, 1, 1, 1),
        residual=residual, residual_scale=20.0, residual_zero_point=120, layout=layout,
    )  # fmt: skip


@LAYOUTS
def test_arrays_that_share_memory(isa: str, rng: np.random.Generator, layout: str) -> None:
    """The result may take the residual's place; a residual may be any view."""
    x = in_layout(random_codes(rng, (2, 16, 5, 6), np.uint8), layout)
    w = random_codes(rng, (16, 16, 3, 3), np.int8)
    add = ql.QLinearConv(
        w, 0.01, x_scale=1.0, y_scale=1.5, residual_scale=1.0, pads=(1, 1, 1, 1), layout=layout
    )
    residual = random_codes(rng, x.shape, np.uint8)
    expected = add(x, residual)
    apart = np.repeat(residual, 2, axis=-1)[..., ::2]
    assert not apart.flags.c_contiguous
    assert_bit_exact(add(x, apart), expected)
    given_away = residual.copy()
    assert add(x, given_away, out=given_away) is given_away
    assert_bit_exact(given_away, expected)


# ---- what is refused ----------------------------------------------------------------------------

X, R = np.uint8([[[1, 2]]]), np.uint8([[[3, 4]]])
REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no scale": ({"residual": R}, ValueError, "residual is given without residual_scale"),
    "only a zero point": (
        {"residual_zero_point": 3}, ValueError, "residual_zero_point is given without",
    ),
    "no residual": ({"residual_scale": 1.0}, ValueError, "residual_scale is given without"),
    "another shape": (
        {"residual": R[..., :1], "residual_scale": 1.0}, ValueError, r"residual has shape \(1, 1",
    ),
    "reals": ({"residual": R / 2, "residual_scale": 1.0}, TypeError, "residual"),
    "a scale of 0": ({"residual": R, "residual_scale": 0.0}, ValueError, "residual_scale"),
    "a scale for each": (
        {"residual": R, "residual_scale": [1.0, 2.0]}, ValueError, "residual_scale has shape",
    ),
    "a scale that overflows": (
        {"residual": R, "residual_scale": 1e37}, ValueError, "residual_scale / y_scale",
    ),
    "a zero point of another type": (
        {"residual": R, "residual_scale": 1.0, "residual_zero_point": np.int8(3)},
        TypeError, "residual_zero_point",
    ),
    "a zero point out of range": (
        {"residual": R, "residual_scale": 1.0, "residual_zero_point": 300},
        ValueError, "residual_zero_point",
    ),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("case", REFUSED)
def test_refused(layer: Any, case: str) -> None:
    keywords, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        layer.qlinear_conv(X, 1.0, 0, ONE, 1.0, 0, 0.5, np.uint8(0), **keywords)


@BOTH
@pytest.mark.parametrize("case", REFUSED)
def test_refused_when_prepared(layer: Any, case: str) -> None:
    keywords, error, message = REFUSED[case]
    residual = {key: value for key, value in keywords.items() if key == "residual"}
    others = {key: value for key, value in keywords.items() if key != "residual"}
    with pytest.raises(error, match=message):
        layer.QLinearConv(ONE, 1.0, x_scale=1.0, y_scale=0.5, **others)(X, **residual)
