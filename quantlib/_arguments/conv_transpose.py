"""The arguments of transposed convolutions, and their extents."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quantlib._arguments.arrays import Array, as_integers, byte_type, one_of
from quantlib._arguments.conv import (
    LARGEST_EXTENT,
    LARGEST_RESULT,
    LAYOUTS,
    ConvShape,
    as_extents,
    as_group,
)

MOST_AXES = 3
AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


def conv_transpose_shape(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    *,
    auto_pad: Any,
    dilations: Any,
    group: Any,
    kernel_shape: Any,
    output_padding: Any,
    output_shape: Any,
    pads: Any,
    strides: Any,
    layout: Any,
) -> ConvShape:
    """The extents of a transposed convolution by the rules of ONNX's ConvTranspose."""
    layout = one_of(layout, "layout", *LAYOUTS)
    rank = _rank(w_shape)
    if len(x_shape) != len(w_shape):
        raise ValueError(f"x has shape {x_shape}; w, of shape {w_shape}, needs as many dimensions")
    channels = x_shape[1] if layout == "NCHW" else x_shape[-1]
    spatial = x_shape[2:] if layout == "NCHW" else x_shape[1:-1]
    groups = as_group(group)
    if w_shape[0] != channels:
        raise ValueError(f"w has shape {w_shape}; with x of {channels} channels, w has as many")
    if channels % groups:
        raise ValueError(f"group is {groups}; it must divide the {channels} channels of x")
    if 0 in spatial:
        raise ValueError(f"x has spatial shape {spatial}; it must not be empty")
    kernel = w_shape[2:]
    if kernel_shape is not None and as_extents(kernel_shape, "kernel_shape", rank) != kernel:
        raise ValueError(f"kernel_shape is {tuple(kernel_shape)}; w has {kernel}")
    step = as_extents(strides, "strides", rank)
    dilation = as_extents(dilations, "dilations", rank)
    extra = _from_zero(output_padding, "output_padding", rank)
    whole = tuple(
        (n - 1) * s + (k - 1) * d + 1 + p
        for n, s, k, d, p in zip(spatial, step, kernel, dilation, extra, strict=True)
    )
    if max(whole) > LARGEST_EXTENT:
        raise ValueError(
            f"strides, dilations or output_padding make an axis longer than {LARGEST_EXTENT}: "
            f"{max(whole)}"
        )
    begin, end, out = _pads(auto_pad, pads, output_shape, whole, spatial, step)
    out_channels = w_shape[1] * groups
    if math.prod(max(extent, 1) for extent in (x_shape[0], out_channels, *out)) > LARGEST_RESULT:
        raise ValueError(f"strides make a result of spatial shape {out}, larger than any memory")
    return ConvShape(
        layout,
        x_shape[0],
        channels,
        spatial,
        out_channels,
        groups,
        kernel,
        step,
        dilation,
        begin,
        end,
        out,
    )


def _rank(w_shape: tuple[int, ...]) -> int:
    rank = len(w_shape) - 2
    if not 1 <= rank <= MOST_AXES:
        raise ValueError(
            f"w has shape {w_shape}; weights are (C, M / group, k1, ...), 3 to 5 dimensions"
        )
    if 0 in w_shape[2:]:
        raise ValueError(f"w has shape {w_shape}; its kernel is empty")
    return rank


def _from_zero(value: Any, name: str, count: int) -> tuple[int, ...]:
    """`count` integers from 0; None is all zeros."""
    amounts = (0,) * count if value is None else as_integers(value, name, count)
    if any(not 0 <= amount <= LARGEST_EXTENT for amount in amounts):
        raise ValueError(f"{name} is {amounts}; entries must be 0 to {LARGEST_EXTENT}")
    return amounts


def _pads(
    auto_pad: Any,
    pads: Any,
    output_shape: Any,
    whole: tuple[int, ...],
    spatial: tuple[int, ...],
    strides: tuple[int, ...],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """What is cut off before and after each axis of the whole result, and what is left."""
    auto_pad = one_of(auto_pad, "auto_pad", *AUTO_PADS)
    rank = len(whole)
    explicit = _from_zero(pads, "pads", 2 * rank)
    if auto_pad != "NOTSET" and any(explicit):
        raise ValueError(f"pads is given together with auto_pad {auto_pad!r}")
    if output_shape is not None:
        out = as_extents(output_shape, "output_shape", rank)
    elif auto_pad.startswith("SAME"):
        out = tuple(n * s for n, s in zip(spatial, strides, strict=True))
    else:
        begin, end = explicit[:rank], explicit[rank:]
        out = tuple(w - b - e for w, b, e in zip(whole, begin, end, strict=True))
        if min(out) < 1:
            raise ValueError(f"pads is {explicit}; that leaves nothing of {whole}")
        return begin, end, out
    totals = [max(w - o, 0) for w, o in zip(whole, out, strict=True)]
    small = tuple(total // 2 for total in totals)
    large = tuple(total - total // 2 for total in totals)
    return (small, large, out) if auto_pad == "SAME_UPPER" else (large, small, out)


def smallest_images(w: Array, x_zero_point: Any, geometry: dict[str, Any]) -> Array:
    """No images, just large enough for padding to leave something of the result: transposing them
    checks the other arguments."""
    rank = _rank(w.shape)
    layout = one_of(geometry["layout"], "layout", *LAYOUTS)
    pads = _from_zero(geometry["pads"], "pads", 2 * rank)
    step = as_extents(geometry["strides"], "strides", rank)
    spatial = tuple(
        1 - (-(before + after) // s)
        for before, after, s in zip(pads[:rank], pads[rank:], step, strict=True)
    )
    shape = (0, *spatial, w.shape[0]) if layout == "NHWC" else (0, w.shape[0], *spatial)
    dtype = byte_type(x_zero_point, "x_zero_point")
    if math.prod(max(extent, 1) for extent in shape) > LARGEST_RESULT:
        raise ValueError(f"pads is {pads}; it leaves something only of images beyond any memory")
    return np.zeros(shape, dtype)
