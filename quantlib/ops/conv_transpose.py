"""Transposed convolutions, in C.

Places of the result whose coordinates leave the same remainders by the strides are reached by the
same taps, as in a convolution of stride 1 with these taps in reverse. So a transposed convolution
is one convolution for each combination of remainders, a phase, whose results are laid out by turns.
No product with an inserted zero is ever computed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array, as_byte_zero_point, as_bytes, per_tensor
from quantlib._arguments.conv import ConvShape, conv_zero_points, qlinear_conv_output
from quantlib._arguments.conv_transpose import conv_transpose_shape, smallest_images
from quantlib._arguments.output import Activation
from quantlib._arguments.prepared import Prepared, own_arguments, own_geometry
from quantlib.ops._remembered import Remembered
from quantlib.ops._results import room, settle
from quantlib.ops.conv import MOST_SHAPES, _stage


@dataclass(frozen=True, slots=True)
class _Taps:
    """The taps of one axis that leave one remainder by the stride: every `step`-th from `first`."""

    remainder: int
    first: int
    step: int
    count: int
    dilation: int  # of the equivalent convolution


def qlinear_conv_transpose(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    w: npt.ArrayLike,
    w_scale: npt.ArrayLike,
    w_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike | None,
    y_zero_point: npt.ArrayLike | None,
    b: npt.ArrayLike | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    layout: str = "NCHW",
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    data, weights = as_bytes(x, "x"), as_bytes(w, "w")
    shape = conv_transpose_shape(
        data.shape,
        weights.shape,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        output_padding=output_padding,
        output_shape=output_shape,
        pads=pads,
        strides=strides,
        layout=layout,
    )
    zx, zw = conv_zero_points(data, weights, shape, x_zero_point, w_zero_point)
    output, bias = qlinear_conv_output(
        data, shape, x_scale, w_scale, y_scale, y_zero_point, b, activation
    )
    stage = _stage(output, bias, shape.out_channels)
    filters = _filters(_as_convolution(weights, shape), zw, shape)
    return _transpose(data, filters, int(zx), shape, stage, out)


class QLinearConvTranspose(Prepared):
    def __init__(
        self,
        w: npt.ArrayLike,
        w_scale: npt.ArrayLike,
        w_zero_point: npt.ArrayLike | None = None,
        *,
        x_scale: npt.ArrayLike,
        x_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike | None = None,
        y_zero_point: npt.ArrayLike | None = None,
        b: npt.ArrayLike | None = None,
        activation: Activation = None,
        auto_pad: str = "NOTSET",
        dilations: Sequence[int] | None = None,
        group: int = 1,
        kernel_shape: Sequence[int] | None = None,
        output_padding: Sequence[int] | None = None,
        output_shape: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
        layout: str = "NCHW",
    ) -> None:
        weights = as_bytes(w, "w")
        self._geometry = own_geometry(
            auto_pad=auto_pad,
            dilations=dilations,
            group=group,
            kernel_shape=kernel_shape,
            output_padding=output_padding,
            output_shape=output_shape,
            pads=pads,
            strides=strides,
            layout=layout,
        )
        self._given = own_arguments(
            w_scale=w_scale,
            w_zero_point=w_zero_point,
            x_scale=x_scale,
            x_zero_point=x_zero_point,
            y_scale=y_scale,
            y_zero_point=y_zero_point,
            b=b,
            activation=activation,
        )
        example = smallest_images(weights, x_zero_point, self._geometry)
        shape = conv_transpose_shape(example.shape, weights.shape, **self._geometry)
        zero_points = self._given["x_zero_point"], self._given["w_zero_point"]
        _, zw = conv_zero_points(example, weights, shape, *zero_points)
        self._w_shape, self._w_type, self._example = weights.shape, weights.dtype, shape
        self._shapes: Remembered[ConvShape] = Remembered(MOST_SHAPES)
        self._stages: dict[Any, tuple[int, _native.Stage]] = {}
        self._stage(example, shape)
        self._filters = _filters(_as_convolution(weights, shape), zw, shape)

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        data = as_bytes(x, "x")
        shape = self._shapes.get(data.shape)
        if shape is None:
            shape = conv_transpose_shape(data.shape, self._w_shape, **self._geometry)
            self._shapes.keep(data.shape, shape)
        zero_point, stage = self._stages.get(data.dtype) or self._stage(data, shape)
        return _transpose(data, self._filters, zero_point, shape, stage, out)

    def _stage(self, x: Array, shape: ConvShape) -> tuple[int, _native.Stage]:
        """Zero point and output stage for inputs of the type of `x`, kept."""
        given = self._given
        zx = as_byte_zero_point(given["x_zero_point"], "x_zero_point", x.dtype, "x")
        names = "x_scale", "w_scale", "y_scale", "y_zero_point", "b", "activation"
        output, bias = qlinear_conv_output(x, shape, *(given[name] for name in names))
        stage = _stage(output, bias, shape.out_channels)
        entry = self._stages[x.dtype] = int(per_tensor(zx, "x_zero_point")), stage
        return entry

    def _arguments(self) -> dict[str, Any]:
        shape = self._example
        inputs = shape.channels // shape.group
        w = np.empty((shape.out_channels, inputs, *shape.kernel), self._w_type)
        for taps, filter_, phase in self._filters:
            mine = np.empty((shape.out_channels, inputs, *phase.kernel), self._w_type)
            filter_.unpack(mine)
            _of_phase(w, taps)[...] = mine
        return {"w": _from_convolution(w, shape), **self._given, **self._geometry}


def _as_convolution(w: Array, shape: ConvShape) -> Array:
    """(C, M / group, ...) as (M, C / group, ...)."""
    inputs, outputs = shape.channels // shape.group, shape.out_channels // shape.group
    grouped = w.reshape(shape.group, inputs, outputs, *shape.kernel)
    return np.swapaxes(grouped, 1, 2).reshape(shape.out_channels, inputs, *shape.kernel)


def _from_convolution(w: Array, shape: ConvShape) -> Array:
    """The other way around."""
    inputs, outputs = shape.channels // shape.group, shape.out_channels // shape.group
    grouped = w.reshape(shape.group, outputs, inputs, *shape.kernel)
    return np.swapaxes(grouped, 1, 2).reshape(shape.channels, outputs, *shape.kernel)


def _of_phase(w: Array, taps: tuple[_Taps, ...]) -> Array:
    """The weights of some taps, in reverse: a view."""
    chosen = tuple(slice(t.first, None, t.step) for t in taps)
    backwards = (slice(None, None, -1),) * len(taps)
    return w[:, :, *chosen][:, :, *backwards]


def _taps_by_remainder(kernel: int, dilation: int, stride: int) -> list[_Taps]:
    """The taps of an axis, by the remainder of their distance; only remainders that occur."""
    common = math.gcd(dilation, stride)
    step = stride // common
    return [
        _Taps(tap * dilation % stride, tap, step, -(-(kernel - tap) // step), dilation // common)
        for tap in range(min(kernel, step))
    ]


def _filters(
    w: Array, zero_points: Array, shape: ConvShape
) -> list[tuple[tuple[_Taps, ...], _native.Filter, ConvShape]]:
    """The taps, packed in reverse, of each phase that has any."""
    axes = zip(shape.kernel, shape.dilations, shape.strides, strict=True)
    filters = []
    for taps in itertools.product(*(_taps_by_remainder(*axis) for axis in axes)):
        mine = np.ascontiguousarray(_of_phase(w, taps))
        phase = _phase_shape(shape, taps, shape.spatial, (0,) * len(taps), (1,) * len(taps))
        filters.append((taps, _native.Filter(mine, zero_points, phase), phase))
    return filters


def _phase_shape(
    shape: ConvShape,
    taps: tuple[_Taps, ...],
    spatial: tuple[int, ...],
    pads: tuple[int, ...],
    out: tuple[int, ...],
) -> ConvShape:
    kernel, dilations = tuple(t.count for t in taps), tuple(t.dilation for t in taps)
    ends = tuple(
        max(0, o + (k - 1) * d - n - p)
        for o, k, d, n, p in zip(out, kernel, dilations, spatial, pads, strict=True)
    )
    return ConvShape(
        "NHWC",
        shape.batch,
        shape.channels,
        spatial,
        shape.out_channels,
        shape.group,
        kernel,
        (1,) * len(taps),
        dilations,
        pads,
        ends,
        out,
    )


def _transpose(
    x: Array, filters: Any, zero_point: int, shape: ConvShape, stage: _native.Stage, out: Any
) -> Array:
    data = x if shape.layout == "NHWC" else np.moveaxis(x, 1, -1)
    data = _native.ready(data, x.dtype)
    y = room(out, shape.out_shape, stage.dtype, x)
    last = y if shape.layout == "NHWC" else np.moveaxis(y, 1, -1)
    if len(filters) < math.prod(shape.strides):
        last[...] = _bias_only(filters[0], zero_point, shape, stage, x.dtype)
    for taps, filter_, _ in filters:
        _run_phase(data, taps, filter_, zero_point, shape, stage, last)
    return settle(y, out)


def _run_phase(
    x: Array,
    taps: tuple[_Taps, ...],
    filter_: _native.Filter,
    zero_point: int,
    shape: ConvShape,
    stage: _native.Stage,
    y: Array,
) -> None:
    """One convolution, into the places of `y`, channels last, that belong to it."""
    places, kept, pads, counts = [], [], [], []
    for axis, t in enumerate(taps):
        stride, before = shape.strides[axis], shape.pads_begin[axis]
        turn = max(0, -((t.remainder - before) // stride))
        start = t.remainder - before + turn * stride
        counts.append(max(0, -((start - shape.out_spatial[axis]) // stride)))
        places.append(slice(start, None, stride))
        # The pixel that the last tap, the first in reverse, takes for the first place.
        reach = (t.first * shape.dilations[axis] - t.remainder) // stride
        corner = turn - reach - (t.count - 1) * t.dilation
        kept.append(slice(min(max(corner, 0), shape.spatial[axis] - 1), None))
        pads.append(max(-corner, 0) if corner < shape.spatial[axis] else -1)
    if 0 in counts:
        return
    data = x
    if any(part.start for part in kept) or -1 in pads:
        data = np.ascontiguousarray(x[:, *kept])
    if -1 in pads:  # beyond the image along an axis: only padding, like one pixel of it
        data = np.full_like(data, zero_point)
        pads = [max(pad, 0) for pad in pads]
    spatial = data.shape[1:-1]
    phase = _phase_shape(shape, taps, spatial, tuple(pads), tuple(counts))
    result = np.empty(phase.out_shape, stage.dtype)
    filter_.convolve(data, zero_point, _native.conv_extents(phase), "NHWC", stage, result)
    y[:, *places] = result


def _bias_only(
    first: Any, zero_point: int, shape: ConvShape, stage: _native.Stage, dtype: Any
) -> Array:
    """What a place has that no tap reaches: a convolution of one pixel of padding."""
    taps, filter_, _ = first
    ones = (1,) * len(taps)
    single = _phase_shape(shape, taps, ones, (0,) * len(taps), ones)
    x = np.full((shape.batch, *ones, shape.channels), zero_point, dtype)
    result = np.empty(single.out_shape, stage.dtype)
    filter_.convolve(x, zero_point, _native.conv_extents(single), "NHWC", stage, result)
    return result
