"""Convolutions with every combination of their attributes, on every instruction set.

Three ways to the same comparison: all kernels, strides and dilations of one axis, one by one;
whatever Hypothesis draws out of everything together; and the corners where a window and its image
hardly meet, by hand. What a convolution *is* stands in test_conv.py.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quantlib as ql
from quantlib import ops, reference
from quantlib.testing import assert_bit_exact, isas, use_isa
from quantlib.testing.strategies import conv_calls, qlinear_conv_calls

# There is more to combine here than elsewhere, and one evaluation of the definition serves all
# instruction sets, so that several times as many examples as usual are affordable.
THOROUGHLY = settings(max_examples=5 * settings.default.max_examples)

LAYOUTS = ("NCHW", "NHWC")
BYTES = (np.uint8, np.int8)
GROUPS = {  # groups, input and output channels of each
    "whole": (1, 5, 17),
    "grouped": (3, 4, 6),
    "depthwise": (18, 1, 1),
    "multiplied": (9, 1, 3),
}


def codes(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape, dtype)


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """NCHW as `layout` has it."""
    return x if layout == "NCHW" else np.ascontiguousarray(np.moveaxis(x, 1, -1))


def compare(name: str, call: dict[str, Any]) -> np.ndarray:
    """The definition's result, which every instruction set gives to the bit."""
    expected = getattr(reference, name)(**call)
    for isa in isas():
        with use_isa(isa):
            assert_bit_exact(getattr(ops, name)(**call), expected)
    return expected


def compare_prepared(call: dict[str, Any], expected: np.ndarray) -> None:
    """The same by `QLinearConv`, for the image twice: the second time the shape is remembered."""
    x, arguments = call["x"], {name: call[name] for name in call if name != "x"}
    for isa in isas():
        with use_isa(isa):
            layer = ops.QLinearConv(**arguments)
            assert_bit_exact(layer(x), expected)
            assert_bit_exact(layer(x), expected)


# ---- one axis, all of it ------------------------------------------------------------------------


@pytest.mark.parametrize("form", GROUPS)
@pytest.mark.parametrize("kernel", range(1, 8))
def test_every_stride_and_dilation(kernel: int, form: str, rng: np.random.Generator) -> None:
    """Along the one axis they count up, along the other they count down."""
    group, inputs, outputs = GROUPS[form]
    for index, (stride, dilation) in enumerate(itertools.product(range(1, 5), range(1, 4))):
        x_type, w_type = BYTES[index % 2], BYTES[index // 2 % 2]
        other = 8 - kernel, 5 - stride, 4 - dilation
        reach = [(k - 1) * d + 1 for k, d in ((kernel, dilation), (other[0], other[2]))]
        x = codes(rng, (1, group * inputs, reach[0] + 5, reach[1] + 2), x_type)
        w = codes(rng, (group * outputs, inputs, kernel, other[0]), w_type)
        layout = LAYOUTS[(index // 4 + kernel) % 2]
        compare(
            "conv_integer",
            {
                "x": laid_out(x, layout),
                "w": w,
                "x_zero_point": x_type(99),
                "w_zero_point": codes(rng, (group * outputs,), w_type),
                "pads": rng.integers(0, 5, 4).tolist(),
                "strides": (stride, other[1]),
                "dilations": (dilation, other[2]),
                "group": group,
                "layout": layout,
            },
        )


# ---- everything together ------------------------------------------------------------------------


def padded_alike(call: dict[str, Any], auto_pad: str | None) -> dict[str, Any]:
    """The call with padding as `auto_pad` says, or, if that is None, with its own."""
    if auto_pad is None:
        return call
    call = {name: call[name] for name in call if name != "pads"}
    return {**call, "auto_pad": auto_pad, "kernel_shape": call["w"].shape[2:]}


auto_pads = st.sampled_from([None, None, None, "SAME_UPPER", "SAME_LOWER"])


@THOROUGHLY
@given(call=conv_calls(), auto_pad=auto_pads)
def test_sums(call: dict[str, Any], auto_pad: str | None) -> None:
    call = padded_alike(call, auto_pad)
    expected = compare("conv_integer", call)
    zero, fixed = call.pop("x_zero_point"), {name: call[name] for name in call if name != "x"}
    for isa in isas():
        with use_isa(isa):
            layer = ops.ConvInteger(**fixed)
            assert_bit_exact(layer(call["x"], zero), expected)
            assert_bit_exact(layer(call["x"], zero), expected)


@THOROUGHLY
@given(call=qlinear_conv_calls(), auto_pad=auto_pads)
def test_quantized_results(call: dict[str, Any], auto_pad: str | None) -> None:
    """To 8 bits of either signedness and to float32, with bias and activation."""
    call = padded_alike(call, auto_pad)
    compare_prepared(call, compare("qlinear_conv", call))


def test_quantized_results_are_mostly_free() -> None:
    """The strategy keeps results inside the range, so that the comparison above means something."""
    seen: list[np.ndarray] = []

    @given(call=qlinear_conv_calls())
    def collect(call: dict[str, Any]) -> None:
        if call["y_scale"] is not None and call["activation"] is None:
            y = reference.qlinear_conv(**call)
            limits = np.iinfo(y.dtype)
            seen.append((y > limits.min) & (y < limits.max))

    collect()
    assert np.mean(np.concatenate([s.ravel() for s in seen])) > 0.9


# ---- corners ------------------------------------------------------------------------------------

# Spatial extents of the image and of the kernel, and the attributes.
CORNERS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "one pixel, one tap": ((1, 1), (1, 1), {}),
    "one pixel in the middle of the kernel": ((1, 1), (3, 3), {"pads": (1, 1, 1, 1)}),
    "kernel larger than the image": ((2, 3), (7, 7), {"pads": (3, 3, 3, 3)}),
    "kernel as large as the image": ((5, 7), (5, 7), {}),
    "padding longer than the kernel": ((3, 3), (2, 2), {"pads": (5, 4, 3, 6)}),
    "padding on one side only": ((4, 4), (3, 3), {"pads": (0, 9, 0, 0)}),
    "padding after, none before": ((4, 4), (3, 3), {"pads": (0, 0, 2, 2)}),
    "one tap, padded": ((3, 3), (1, 1), {"pads": (1, 2, 0, 1)}),
    "one tap, padded, in steps": ((5, 5), (1, 1), {"pads": (1, 1, 1, 1), "strides": (2, 3)}),
    "stride beyond the kernel": ((9, 11), (2, 2), {"strides": (4, 5)}),
    "stride beyond the image": ((6, 6), (3, 3), {"strides": (100, 100)}),
    "stride of the largest integer": ((6, 6), (3, 3), {"strides": (2**31 - 1, 2**31 - 1)}),
    "stride over all but padding": ((2, 2), (1, 1), {"pads": (3, 3, 3, 3), "strides": (7, 7)}),
    "taps that miss the image between them": (
        (2, 2),
        (2, 2),
        {"pads": (2, 2, 2, 2), "dilations": (5, 5)},
    ),
    "no window with all its taps inside": (
        (3, 4),
        (3, 3),
        {"pads": (6, 6, 6, 6), "dilations": (3, 3)},
    ),
    "dilation of the largest extent, one tap": ((3, 3), (1, 1), {"dilations": (2**31 - 1, 1)}),
    "a column": ((40, 1), (7, 1), {"pads": (3, 0, 3, 0)}),
    "a row": ((1, 70), (1, 7), {"pads": (0, 3, 0, 3), "strides": (1, 2)}),
    "a row under a tall kernel": ((1, 19), (7, 1), {"pads": (3, 0, 3, 0)}),
    "a line": ((33,), (3,), {"pads": (1, 1)}),
    "a line shorter than the kernel": ((1,), (7,), {"pads": (4, 3), "dilations": (1,)}),
    "a volume of one voxel": ((1, 1, 1), (3, 3, 3), {"pads": (1,) * 6}),
    "a volume, different along each axis": (
        (4, 5, 9),
        (2, 1, 7),
        {"pads": (0, 1, 2, 3, 0, 1), "strides": (1, 3, 2), "dilations": (3, 1, 1)},
    ),
    "no rows, all padding": ((0, 3), (2, 2), {"pads": (1, 0, 1, 1)}),
}
# Groups, input and output channels of each: around strips, groups of products and registers.
CHANNELS = {
    "one": (1, 1, 1),
    "none out": (1, 3, 0),
    "none in": (1, 0, 3),
    "of each group none out": (4, 1, 0),
    "of each group none in": (4, 0, 1),
    "below a strip": (1, 3, 15),
    "above a strip": (1, 17, 33),
    "above a group of products": (1, 65, 16),
    "two groups": (2, 16, 16),
    "odd groups": (5, 3, 7),
    "depthwise below a register": (15, 1, 1),
    "depthwise": (64, 1, 1),
    "depthwise above a register": (65, 1, 1),
    "depthwise, twice": (33, 1, 2),
    "group by group one out": (8, 2, 1),
}


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("corner", CORNERS)
def test_corners(corner: str, channels: str, rng: np.random.Generator) -> None:
    spatial, kernel, attributes = CORNERS[corner]
    group, inputs, outputs = CHANNELS[channels]
    kinds = itertools.product(LAYOUTS, BYTES) if outputs else [("NHWC", np.uint8)]
    for layout, x_type in kinds:
        w_type = BYTES[len(kernel) % 2] if layout == "NCHW" else np.int8
        ends = np.iinfo(x_type)
        zero = x_type(ends.max if layout == "NHWC" else ends.min)
        x = laid_out(codes(rng, (2, group * inputs, *spatial), x_type), layout)
        call = {
            "x": x,
            "x_scale": np.float32(0.01),
            "x_zero_point": zero,
            "w": codes(rng, (group * outputs, inputs, *kernel), w_type),
            "w_scale": np.float32(0.01),
            "w_zero_point": codes(rng, (group * outputs,), w_type),
            "y_scale": np.float32(0.02 * max(1, inputs)),
            "y_zero_point": np.uint8(100),
            "b": rng.integers(-999, 999, group * outputs).astype(np.int32),
            "group": group,
            "layout": layout,
            **attributes,
        }
        compare_prepared(call, compare("qlinear_conv", call))
        not_sums = ("x_scale", "w_scale", "y_scale", "y_zero_point", "b")
        compare("conv_integer", {name: call[name] for name in call if name not in not_sums})


@pytest.mark.parametrize(
    ("spatial", "kernel", "attributes"),
    [
        ((2, 9), (3, 3), {}),
        ((5, 5), (3, 3), {"dilations": (1, 3)}),
        ((1,), (7,), {"pads": (3, 2)}),
        ((4, 4), (5, 1), {"auto_pad": "VALID"}),
        ((0, 3), (1, 1), {}),
        ((3, 3, 3), (1, 1, 4), {}),
    ],
)
@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_kernel_that_fits_nowhere_is_an_error(
    spatial: tuple[int, ...], kernel: tuple[int, ...], attributes: Any, group: int, layout: str
) -> None:
    """There are no results of no pixels: such a kernel is a mistake, and is told."""
    x = laid_out(np.zeros((1, 4, *spatial), np.uint8), layout)
    w = np.zeros((4, 4 // group, *kernel), np.int8)
    for layer in (ql, reference):
        with pytest.raises(ValueError, match="the kernel reaches over"):
            layer.conv_integer(x, w, group=group, layout=layout, **attributes)
        prepared = layer.QLinearConv(w, 0.1, x_scale=0.1, group=group, layout=layout, **attributes)
        with pytest.raises(ValueError, match="the kernel reaches over"):
            prepared(x)
