"""Integer convolutions, in C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array, as_byte_zero_point, as_bytes, per_tensor
from quantlib._arguments.conv import (
    ConvShape,
    Residual,
    conv_shape,
    conv_zero_points,
    no_images,
    no_residual,
    qlinear_conv_output,
    residual_of,
)
from quantlib._arguments.output import Activation, Output
from quantlib._arguments.prepared import Prepared, own_arguments, own_geometry
from quantlib.ops._remembered import Remembered
from quantlib.ops._results import empty, room, settle

MOST_SHAPES = 64  # that a prepared convolution remembers


def conv_integer(
    x: npt.ArrayLike,
    w: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None = None,
    w_zero_point: npt.ArrayLike | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    data, weights = as_bytes(x, "x"), as_bytes(w, "w")
    shape = conv_shape(
        data.shape,
        weights.shape,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
        layout=layout,
    )
    _require_three_axes(shape)
    zx, zw = conv_zero_points(data, weights, shape, x_zero_point, w_zero_point)
    stage = _native.Stage(None, None, shape.out_channels)
    filter_ = _native.Filter(weights, zw, shape)
    return _convolve(data, filter_, zx, shape, _native.conv_extents(shape), stage, out)


def qlinear_conv(
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
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    layout: str = "NCHW",
    residual: npt.ArrayLike | None = None,
    residual_scale: npt.ArrayLike | None = None,
    residual_zero_point: npt.ArrayLike | None = None,
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    data, weights = as_bytes(x, "x"), as_bytes(w, "w")
    shape = conv_shape(
        data.shape,
        weights.shape,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
        layout=layout,
    )
    _require_three_axes(shape)
    zx, zw = conv_zero_points(data, weights, shape, x_zero_point, w_zero_point)
    output, bias = qlinear_conv_output(
        data, shape, x_scale, w_scale, y_scale, y_zero_point, b, activation
    )
    term = residual_of(residual, residual_scale, residual_zero_point, y_scale, shape.out_shape)
    stage = _stage(output, bias, shape.out_channels, term)
    filter_ = _native.Filter(weights, zw, shape)
    extents, added = _native.conv_extents(shape), None if term is None else term.codes
    return _convolve(data, filter_, zx, shape, extents, stage, out, added)


class ConvInteger(Prepared):
    def __init__(
        self,
        w: npt.ArrayLike,
        w_zero_point: npt.ArrayLike | None = None,
        *,
        auto_pad: str = "NOTSET",
        dilations: Sequence[int] | None = None,
        group: int = 1,
        kernel_shape: Sequence[int] | None = None,
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
            pads=pads,
            strides=strides,
            layout=layout,
        )
        self._given = own_arguments(w_zero_point=w_zero_point)
        self._w_shape, self._w_type = weights.shape, weights.dtype
        example = no_images(weights, None, self._geometry)
        shape = conv_shape(example.shape, weights.shape, **self._geometry)
        _require_three_axes(shape)
        _, zw = conv_zero_points(example, weights, shape, None, self._given["w_zero_point"])
        self._shapes: Remembered[tuple[ConvShape, Any, _Plainly]] = Remembered(MOST_SHAPES)
        self._sums = _native.Stage(None, None, shape.out_channels)
        self._filter = _native.Filter(weights, zw, shape)

    def __call__(
        self,
        x: npt.ArrayLike,
        x_zero_point: npt.ArrayLike | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        data = as_bytes(x, "x")
        shape, extents, plainly = self._shapes.get(data.shape) or self._shape(data.shape)
        zx = as_byte_zero_point(x_zero_point, "x_zero_point", data.dtype, "x")
        zx = per_tensor(zx, "x_zero_point")
        if (y := plainly(data, int(zx), None, out)) is not None:
            return y
        return _convolve(data, self._filter, zx, shape, extents, self._sums, out)

    def _shape(self, x_shape: tuple[int, ...]) -> tuple[ConvShape, Any, _Plainly]:
        """The extents for inputs of this shape, and the call that most of them need, kept."""
        shape = conv_shape(x_shape, self._w_shape, **self._geometry)
        extents = _native.conv_extents(shape)
        entry = shape, extents, _Plainly(self._filter, shape, extents, self._sums, None)
        self._shapes.keep(x_shape, entry)
        return entry

    def _arguments(self) -> dict[str, Any]:
        w = np.empty(self._w_shape, self._w_type)
        self._filter.unpack(w)
        return {"w": w, **self._given, **self._geometry}


class QLinearConv(Prepared):
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
        residual_scale: npt.ArrayLike | None = None,
        residual_zero_point: npt.ArrayLike | None = None,
        activation: Activation = None,
        auto_pad: str = "NOTSET",
        dilations: Sequence[int] | None = None,
        group: int = 1,
        kernel_shape: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
        layout: str = "NCHW",
    ) -> None:
        weights = as_bytes(w, "w")
        self._w_shape, self._w_type = weights.shape, weights.dtype
        self._geometry = own_geometry(
            auto_pad=auto_pad,
            dilations=dilations,
            group=group,
            kernel_shape=kernel_shape,
            pads=pads,
            strides=strides,
            layout=layout,
        )
        self._given = given = own_arguments(
            w_scale=w_scale,
            w_zero_point=w_zero_point,
            x_scale=x_scale,
            x_zero_point=x_zero_point,
            y_scale=y_scale,
            y_zero_point=y_zero_point,
            b=b,
            residual_scale=residual_scale,
            residual_zero_point=residual_zero_point,
            activation=activation,
        )
        self._takes_residual = residual_scale is not None
        self._stages: dict[Any, tuple[Array, _native.Stage]] = {}
        self._shapes: dict[tuple[int, ...], tuple[ConvShape, Any]] = {}
        self._plain: Remembered[tuple[int, _Plainly]] = Remembered(MOST_SHAPES)
        self._last: tuple[int, _Plainly | None] = 0, None
        example = no_images(weights, given["x_zero_point"], self._geometry)
        shape = conv_shape(example.shape, weights.shape, **self._geometry)
        _require_three_axes(shape)
        zero_points = given["x_zero_point"], given["w_zero_point"]
        _, zw = conv_zero_points(example, weights, shape, *zero_points)
        self._distance = _distance(weights, zw) if shape.group > 1 else None
        added = no_residual(given["residual_scale"], given["residual_zero_point"], shape.out_shape)
        self._stage(example, added, shape)
        self._filter = _native.Filter(weights, zw, shape)

    def __call__(
        self,
        x: npt.ArrayLike,
        residual: npt.ArrayLike | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        zero, plainly = self._last
        if plainly is not None and (y := plainly(x, zero, residual, out)) is not None:
            return y
        data = as_bytes(x, "x")
        shape, extents = self._shapes.get(data.shape) or self._shape(data.shape)
        if residual is not None or self._takes_residual:
            return self._call_with(data, shape, extents, residual, out)
        zx, stage = self._stages.get(data.dtype) or self._stage(data, None, shape)
        self._remember(data, None, shape, extents)
        return _convolve(data, self._filter, zx, shape, extents, stage, out)

    def _bind(self, x: Array, out: Array, residual: Array | None = None) -> _native.Bound:
        """A call that has been made before, on contiguous arrays that stay where they are."""
        shape, extents = self._shapes.get(x.shape) or self._shape(x.shape)
        key = x.dtype if residual is None else (x.dtype, residual.dtype)
        zx, stage = self._stages.get(key) or self._stage(x, residual, shape)
        return self._filter.bind(x, int(zx), extents, shape.layout, stage, out, residual)

    def _call_with(
        self, data: Array, shape: ConvShape, extents: Any, residual: Any, out: Array | None
    ) -> Array:
        codes = None if residual is None else as_bytes(residual, "residual")
        known = None if codes is None else self._stages.get((data.dtype, codes.dtype))
        if known is None or codes is None or codes.shape != shape.out_shape:
            known = self._stage(data, codes, shape)
        zx, stage = known
        self._remember(data, codes, shape, extents)
        return _convolve(data, self._filter, zx, shape, extents, stage, out, codes)

    def _arguments(self) -> dict[str, Any]:
        w = np.empty(self._w_shape, self._w_type)
        self._filter.unpack(w)
        return {"w": w, **self._given, **self._geometry}

    def _remember(self, x: Array, residual: Any, shape: ConvShape, extents: Any) -> None:
        """Have the next call tried as this one would have been, had it been the second."""
        types = x.dtype, None if residual is None else residual.dtype
        key = x.shape, types
        last = self._plain.get(key)
        if last is None:
            zx, stage = self._stages[x.dtype if residual is None else types]
            last = int(zx), _Plainly(self._filter, shape, extents, stage, *types)
            self._plain.keep(key, last)
        self._last = last

    def _shape(self, x_shape: tuple[int, ...]) -> tuple[ConvShape, Any]:
        """The extents for inputs of this shape, kept."""
        shape = conv_shape(x_shape, self._w_shape, **self._geometry)
        if len(self._shapes) >= MOST_SHAPES:
            self._shapes.clear()
        entry = shape, _native.conv_extents(shape)
        self._shapes[x_shape] = entry
        return entry

    def _stage(
        self, x: Array, residual: Array | None, shape: ConvShape
    ) -> tuple[Array, _native.Stage]:
        """Zero point and output stage for inputs and residuals of these types, kept."""
        given = self._given
        zx = as_byte_zero_point(given["x_zero_point"], "x_zero_point", x.dtype, "x")
        zx = per_tensor(zx, "x_zero_point")
        names = "x_scale", "w_scale", "y_scale", "y_zero_point", "b", "activation"
        output, bias = qlinear_conv_output(x, shape, *(given[name] for name in names))
        scales = given["residual_scale"], given["residual_zero_point"], given["y_scale"]
        term = residual_of(residual, *scales, shape.out_shape)
        entry = zx, _stage(output, bias, shape.out_channels, term, self._distance)
        self._stages[x.dtype if residual is None else (x.dtype, residual.dtype)] = entry
        return entry


class _Plainly:
    """A convolution whose operands C reads where they are."""

    __slots__ = ("_call", "_dtype", "_shape")

    def __init__(
        self,
        filter_: _native.Filter,
        shape: ConvShape,
        extents: Any,
        stage: _native.Stage,
        x_type: np.dtype[Any] | None,
        residual_type: np.dtype[Any] | None = None,
    ) -> None:
        self._call = filter_.by_address(shape, extents, stage, x_type, residual_type)
        self._shape, self._dtype = shape.out_shape, stage.dtype

    def __call__(self, x: Any, zero_point: int, residual: Any, out: Any) -> Array | None:
        """The result, or None if it has to be asked for in another way."""
        y = empty(self._shape, self._dtype) if out is None else out
        added = 0 if residual is None else id(residual)
        status = self._call(id(x), zero_point, added, id(y))
        if status:
            _native.declined(status)
            return None
        return y


def _distance(w: Array, zero_points: Array) -> Array:
    """How far the weights of each output channel are away from its zero point, all together."""
    steps = w.astype(np.int64) - zero_points.reshape(-1, *(1,) * (w.ndim - 1))
    total: Array = np.abs(steps).sum(axis=tuple(range(1, w.ndim)))
    return total


def _stage(
    output: Output,
    bias: Array,
    columns: int,
    residual: Residual | None = None,
    distance: Array | None = None,
) -> _native.Stage:
    """The output stage with channels last, whatever the layout."""
    flat = replace(
        output,
        column_factor=output.column_factor.reshape(-1),
        bias=None if output.bias is None else output.bias.reshape(-1),
    )
    terms = np.broadcast_to(bias.reshape(-1), (columns,))
    reach = None
    if distance is not None and distance.size:
        reach = int((255 * distance + np.abs(terms.astype(np.int64))).max())
    return _native.Stage(flat, terms, columns, residual, reach)


def _require_three_axes(shape: ConvShape) -> None:
    if len(shape.kernel) > 3:
        raise ValueError(
            f"x has {len(shape.kernel)} spatial axes; convolutions have 1, 2 or 3 "
            "(quantlib.reference has no limit)"
        )


def _convolve(
    x: Array,
    filter_: _native.Filter,
    zero_point: Array,
    shape: ConvShape,
    extents: Any,
    stage: _native.Stage,
    out: Any,
    residual: Array | None = None,
) -> Array:
    data = _native.ready(x, x.dtype)
    added = None if residual is None else _native.ready(residual, residual.dtype)
    inputs = (x,) if residual is None else (x, residual)
    y = room(out, shape.out_shape, stage.dtype, *inputs)
    filter_.convolve(data, int(zero_point), extents, shape.layout, stage, y, added)
    return settle(y, out)
