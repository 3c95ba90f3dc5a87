"""Pooling of quantized images, in C."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array
from quantlib._arguments.pool import (
    average_pool_arguments,
    global_average_pool_arguments,
    max_pool_arguments,
)
from quantlib.ops._results import room, settle


def max_pool(
    x: npt.ArrayLike,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    data, shape = max_pool_arguments(
        x,
        kernel_shape,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
        dilations=dilations,
        pads=pads,
        strides=strides,
        layout=layout,
    )
    images = _native.ready(data, data.dtype)
    y = room(out, shape.out_shape, data.dtype, images)
    _native.max_pool(images, shape, y)
    return settle(y, out)


def qlinear_average_pool(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    source, target, shape, include = average_pool_arguments(
        (x, x_scale, x_zero_point),
        (y_scale, y_zero_point),
        kernel_shape,
        count_include_pad,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
        dilations=dilations,
        pads=pads,
        strides=strides,
        layout=layout,
    )
    images = _native.ready(source.data, source.data.dtype)
    y = room(out, shape.out_shape, target.dtype, images)
    _native.average_pool(images, source, shape, include, target, y)
    return settle(y, out)


def qlinear_global_average_pool(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    source, target, shape = global_average_pool_arguments(
        (x, x_scale, x_zero_point), (y_scale, y_zero_point), layout
    )
    images = _native.ready(source.data, source.data.dtype)
    ones = (1,) * (images.ndim - 2)
    whole = (shape.batch, shape.channels, *ones)
    if shape.layout == "NHWC":
        whole = (shape.batch, *ones, shape.channels)
    y = room(out, whole, target.dtype, images)
    if shape.spatial[0]:
        _native.average_pool(images, source, shape, False, target, y)
    else:
        y.fill(target.zero_point)
    return settle(y, out)
