"""The arguments of pooling, and its extents."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array, as_bytes, as_switch, one_of
from quantlib._arguments.conv import (
    LARGEST_EXTENT,
    LARGEST_RESULT,
    LAYOUTS,
    as_extents,
    as_pads,
)
from quantlib._arguments.quantized import Source, Target, as_source, as_target, ratio

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


def split_layout(x: Array, layout: Any) -> tuple[str, int, int, tuple[int, ...]]:
    """The layout, batch, channels and spatial extents of images."""
    layout = one_of(layout, "layout", *LAYOUTS)
    if x.ndim < 3:
        raise ValueError(f"x has shape {x.shape}; images are (N, C, D1, ...), 3 dimensions or more")
    if layout == "NCHW":
        return layout, x.shape[0], x.shape[1], x.shape[2:]
    return layout, x.shape[0], x.shape[-1], x.shape[1:-1]


def pool_shape(
    x: Array,
    kernel_shape: Any,
    *,
    auto_pad: Any,
    ceil_mode: Any,
    dilations: Any,
    pads: Any,
    strides: Any,
    layout: Any,
) -> PoolShape:
    """The extents of a pooling by the rules of ONNX's MaxPool and AveragePool."""
    layout, batch, channels, spatial = split_layout(x, layout)
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


def max_pool_arguments(x: Any, kernel_shape: Any, **attributes: Any) -> tuple[Array, PoolShape]:
    """The checked arguments of ``max_pool``."""
    data = as_bytes(x, "x")
    return data, pool_shape(data, kernel_shape, **attributes)


def average_pool_arguments(
    x: tuple[Any, ...], y: tuple[Any, ...], kernel_shape: Any, count_include_pad: Any, **rest: Any
) -> tuple[Source, Target, PoolShape, bool]:
    """The checked arguments of ``qlinear_average_pool``."""
    source, target = _operands(x, y)
    shape = pool_shape(source.data, kernel_shape, **rest)
    _check_window(math.prod(map(min, shape.kernel, shape.spatial)), "kernel_shape")
    return source, target, shape, as_switch(count_include_pad, "count_include_pad")


def global_average_pool_arguments(
    x: tuple[Any, ...], y: tuple[Any, ...], layout: Any
) -> tuple[Source, Target, PoolShape]:
    """The checked arguments of ``qlinear_global_average_pool``: one window over everything, which
    is the same for one spatial axis as for many."""
    source, target = _operands(x, y)
    layout, batch, channels, spatial = split_layout(source.data, layout)
    size = math.prod(spatial)
    _check_window(size, "x")
    one, none = (1,), (0,)
    shape = PoolShape(layout, batch, channels, (size,), (size,), one, one, none, none, one)
    return source, target, shape


def _operands(x: tuple[Any, ...], y: tuple[Any, ...]) -> tuple[Source, Target]:
    source = as_source("x", *x)
    y_scale, y_zero_point = y
    target = as_target(y_scale, y_zero_point, source.data.dtype)
    ratio(source.scale, target.scale, "x_scale / y_scale")
    return source, target


def _check_window(size: int, name: str) -> None:
    if size > LARGEST_WINDOW:
        raise ValueError(
            f"{name} makes windows of {size} elements; at most {LARGEST_WINDOW} can be"
        )


def average_factor(source: Source, target: Target, count: Any) -> npt.NDArray[np.float32]:
    """``f32(x_scale / f32(y_scale * count))``: what a sum of `count` codes less their zero points
    is worth in steps of the result. 1 stands for a count of 0."""
    with np.errstate(over="ignore", under="ignore"):
        divisor = target.scale * np.maximum(count, 1).astype(np.float32)
        return np.asarray(source.scale / divisor)
