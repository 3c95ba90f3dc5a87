"""The arguments of pooling, and its extents."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import as_sequence, as_switch, one_of
from quantlib._arguments.conv import (
    LARGEST_EXTENT,
    LARGEST_RESULT,
    LAYOUTS,
    as_extents,
    as_pads,
)
from quantlib._arguments.quantized import (
    Target,
    as_target,
    as_tensor_scale,
    as_tensor_zero_point,
    ratio,
)

MOST_AXES = 3
LARGEST_WINDOW = (2**31 - 1) // 255  # elements whose sum certainly fits int32


@dataclass(frozen=True, slots=True)
class PoolShape:
    """The extents of one pooling, checked; tuples have one entry for each spatial axis."""

    layout: str
    batch: int
    channels: int
    spatial: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads_begin: tuple[int, ...]
    pads_end: tuple[int, ...]
    out_spatial: tuple[int, ...]

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The result's shape, in `layout`."""
        if self.layout == "NHWC":
            return (self.batch, *self.out_spatial, self.channels)
        return (self.batch, self.channels, *self.out_spatial)


@dataclass(frozen=True, slots=True)
class Averaging:
    """What a step of the images is worth, what results are, and whether padding counts."""

    x_scale: np.float32
    x_zero_point: int
    target: Target
    include_pad: bool


def split_layout(x_shape: tuple[int, ...], layout: Any) -> tuple[str, int, int, tuple[int, ...]]:
    """The layout, batch, channels and spatial extents of images."""
    layout = one_of(layout, "layout", *LAYOUTS)
    if len(x_shape) < 3:
        raise ValueError(f"x has shape {x_shape}; images are (N, C, D1, ...), 3 dimensions or more")
    if layout == "NCHW":
        return layout, x_shape[0], x_shape[1], x_shape[2:]
    return layout, x_shape[0], x_shape[-1], x_shape[1:-1]


def pool_shape(
    x_shape: tuple[int, ...],
    *,
    kernel_shape: Any,
    auto_pad: Any,
    ceil_mode: Any,
    dilations: Any,
    pads: Any,
    strides: Any,
    layout: Any,
) -> PoolShape:
    """The extents of a pooling by the rules of ONNX's MaxPool and AveragePool."""
    layout, batch, channels, spatial = split_layout(x_shape, layout)
    rank = len(spatial)
    if rank > MOST_AXES:
        raise ValueError(f"x has {rank} spatial axes; pooling has 1, 2 or {MOST_AXES}")
    upwards = as_switch(ceil_mode, "ceil_mode")
    if kernel_shape is None:
        raise TypeError("kernel_shape must be a sequence of integers, not None")
    kernel = as_extents(kernel_shape, "kernel_shape", rank)
    step = as_extents(strides, "strides", rank)
    dilation = as_extents(dilations, "dilations", rank)
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    begin, end = as_pads(auto_pad, pads, spatial, reach, step)
    padded = tuple(b + s + e for b, s, e in zip(begin, spatial, end, strict=True))
    if max((*padded, *reach)) > LARGEST_EXTENT:
        raise ValueError(
            f"pads or dilations make an axis longer than {LARGEST_EXTENT}: {max((*padded, *reach))}"
        )
    if any(p < r for p, r in zip(padded, reach, strict=True)):
        raise ValueError(
            f"x has spatial shape {spatial}, padded {padded}; kernel_shape reaches over {reach}"
        )
    out = []
    for extent, p, r, s, b in zip(spatial, padded, reach, step, begin, strict=True):
        count = (p - r) // s + 1
        # One more, over the end of the padding, unless it would begin there.
        if upwards and (p - r) % s and count * s < extent + b:
            count += 1
        out.append(count)
    if math.prod(max(extent, 1) for extent in (batch, channels, *out)) > LARGEST_RESULT:
        raise ValueError(f"pads make a result of spatial shape {out}, larger than any memory")
    return PoolShape(
        layout, batch, channels, spatial, kernel, step, dilation, begin, end, tuple(out)
    )


def average_pool_shape(x_shape: tuple[int, ...], **attributes: Any) -> PoolShape:
    """The same, of windows whose sums fit int32."""
    shape = pool_shape(x_shape, **attributes)
    _check_window(math.prod(map(min, shape.kernel, shape.spatial)), "kernel_shape")
    return shape


def global_average_pool_shape(x_shape: tuple[int, ...], layout: Any) -> PoolShape:
    """One window over everything, which is the same for one spatial axis as for many. With channels
    last it is the first of two, so that the pixels below one another are summed."""
    layout, batch, channels, spatial = split_layout(x_shape, layout)
    size = math.prod(spatial)
    _check_window(size, "x")
    extents = (size, 1) if layout == "NHWC" else (size,)
    ones, zeros = (1,) * len(extents), (0,) * len(extents)
    return PoolShape(layout, batch, channels, extents, extents, ones, ones, zeros, zeros, ones)


def averaging(
    x_type: np.dtype[Any],
    x_scale: Any,
    x_zero_point: Any,
    y_scale: Any,
    y_zero_point: Any,
    count_include_pad: Any = False,
) -> Averaging:
    """The checked parameters of averages of images of this type."""
    scale = as_tensor_scale(x_scale, "x_scale")
    zero_point = as_tensor_zero_point(x_zero_point, "x_zero_point", x_type, "x")
    target = as_target(y_scale, y_zero_point, x_type)
    ratio(scale, target.scale, "x_scale / y_scale")
    return Averaging(scale, zero_point, target, as_switch(count_include_pad, "count_include_pad"))


def smallest_images(kernel_shape: Any, dilations: Any, layout: Any) -> tuple[int, ...]:
    """The shape of no images, just large enough for a window, to check the other arguments with."""
    layout = one_of(layout, "layout", *LAYOUTS)
    kernel = as_sequence(kernel_shape, "kernel_shape")
    kernel = as_extents(kernel, "kernel_shape", max(1, len(kernel)))
    steps = kernel if dilations is None else as_sequence(dilations, "dilations")
    if len(steps) != len(kernel):
        raise ValueError(
            f"kernel_shape has {len(kernel)} entries and dilations {len(steps)}; "
            "both have one for each spatial axis"
        )
    dilation = as_extents(dilations, "dilations", len(kernel))
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    return (0, *reach, 0) if layout == "NHWC" else (0, 0, *reach)


def _check_window(size: int, name: str) -> None:
    if size > LARGEST_WINDOW:
        raise ValueError(
            f"{name} makes windows of {size} elements; at most {LARGEST_WINDOW} can be"
        )


def average_factor(by: Averaging, count: Any) -> npt.NDArray[np.float32]:
    """``f32(x_scale / f32(y_scale * count))``: what a sum of `count` codes less their zero points
    is worth in steps of the result. 1 stands for a count of 0."""
    with np.errstate(over="ignore", under="ignore"):
        divisor = by.target.scale * np.maximum(count, 1).astype(np.float32)
        return np.asarray(by.x_scale / divisor)
