"""Pooling of quantized images, in C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array, as_bytes, byte_type, one_of
from quantlib._arguments.conv import LAYOUTS
from quantlib._arguments.pool import (
    Averaging,
    PoolShape,
    average_pool_shape,
    averaging,
    global_average_pool_shape,
    pool_shape,
    smallest_images,
)
from quantlib._arguments.prepared import Prepared, own_arguments, own_geometry
from quantlib.ops._remembered import Remembered, key_of
from quantlib.ops._results import contiguous, room, settle

MOST_SHAPES = 64  # that a prepared pooling remembers


class _Plan:
    """A pooling of images of one shape and type."""

    def __init__(
        self,
        shape: PoolShape,
        x_type: np.dtype[Any],
        by: Averaging | None = None,
        out_shape: tuple[int, ...] | None = None,
    ) -> None:
        self._pooling = _native.Pooling(shape, x_type, by)
        self._out_shape = shape.out_shape if out_shape is None else out_shape
        self._dtype = x_type if by is None else by.target.dtype
        # Windows over nothing at all, which C has no windows for.
        self._of_nothing = by.target.zero_point if by is not None and 0 in shape.spatial else None

    def run(self, x: Array, out: Any) -> Array:
        images = contiguous(x)
        y = room(out, self._out_shape, self._dtype, images)
        if self._of_nothing is None:
            self._pooling.run(images, y)
        else:
            y.fill(self._of_nothing)
        return settle(y, out)

    def bind(self, x: Array, out: Array) -> _native.Bound | None:
        """A call that has been made before, on contiguous arrays that stay where they are."""
        return self._pooling.bind(x, out) if self._of_nothing is None else None


_PLANS: Remembered[_Plan] = Remembered()


def _run(x: Any, plan_of: Callable[..., _Plan], parameters: dict[str, Any], out: Any) -> Array:
    """With parameters, and images of a shape, that may be those of the call before."""
    data = as_bytes(x, "x")
    values = key_of(*parameters.values())
    key = None if values is None else (plan_of, data.shape, data.dtype, values)
    plan = _PLANS.get(key)
    if plan is None:
        plan = plan_of(data, **parameters)
        _PLANS.keep(key, plan)
    return plan.run(data, out)


def _max_plan(x: Array, **geometry: Any) -> _Plan:
    return _Plan(pool_shape(x.shape, **geometry), x.dtype)


def _average_plan(
    x: Array,
    x_scale: Any,
    x_zero_point: Any,
    y_scale: Any,
    y_zero_point: Any,
    count_include_pad: Any,
    **geometry: Any,
) -> _Plan:
    by = averaging(x.dtype, x_scale, x_zero_point, y_scale, y_zero_point, count_include_pad)
    return _Plan(average_pool_shape(x.shape, **geometry), x.dtype, by)


def _global_plan(x: Array, layout: Any, **parameters: Any) -> _Plan:
    by = averaging(x.dtype, **parameters)
    shape = global_average_pool_shape(x.shape, layout)
    ones = (1,) * (x.ndim - 2)
    whole = (shape.batch, shape.channels, *ones)
    if shape.layout == "NHWC":
        whole = (shape.batch, *ones, shape.channels)
    return _Plan(shape, x.dtype, by, whole)


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
    parameters = {
        "kernel_shape": kernel_shape,
        "auto_pad": auto_pad,
        "ceil_mode": ceil_mode,
        "dilations": dilations,
        "pads": pads,
        "strides": strides,
        "layout": layout,
    }
    return _run(x, _max_plan, parameters, out)


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
    parameters = {
        "x_scale": x_scale,
        "x_zero_point": x_zero_point,
        "y_scale": y_scale,
        "y_zero_point": y_zero_point,
        "count_include_pad": count_include_pad,
        "kernel_shape": kernel_shape,
        "auto_pad": auto_pad,
        "ceil_mode": ceil_mode,
        "dilations": dilations,
        "pads": pads,
        "strides": strides,
        "layout": layout,
    }
    return _run(x, _average_plan, parameters, out)


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
    parameters = {
        "x_scale": x_scale,
        "x_zero_point": x_zero_point,
        "y_scale": y_scale,
        "y_zero_point": y_zero_point,
        "layout": layout,
    }
    return _run(x, _global_plan, parameters, out)


class _Pool:
    """What the prepared poolings have in common."""

    _plan_of: Any
    _plans: Remembered[_Plan]

    _arguments: Callable[[], dict[str, Any]]

    def _plan(self, x: Array) -> _Plan:
        """For images of this shape and type, remembered."""
        key = x.shape, x.dtype
        plan = self._plans.get(key)
        if plan is None:
            plan = type(self)._plan_of(x, **self._arguments())
            self._plans.keep(key, plan)
        return plan

    def _bind(self, x: Array, out: Array) -> _native.Bound | None:
        return self._plan(x).bind(x, out)


class MaxPool(_Pool, Prepared):
    _plan_of = staticmethod(_max_plan)

    def __init__(
        self,
        *,
        kernel_shape: Sequence[int],
        auto_pad: str = "NOTSET",
        ceil_mode: bool = False,
        dilations: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
        layout: str = "NCHW",
    ) -> None:
        self._given = own_geometry(
            kernel_shape=kernel_shape,
            auto_pad=auto_pad,
            ceil_mode=ceil_mode,
            dilations=dilations,
            pads=pads,
            strides=strides,
            layout=layout,
        )
        pool_shape(smallest_images(kernel_shape, dilations, layout), **self._given)
        self._plans = Remembered(MOST_SHAPES)

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        data = as_bytes(x, "x")
        return self._plan(data).run(data, out)

    def _arguments(self) -> dict[str, Any]:
        return self._given


class QLinearAveragePool(_Pool, Prepared):
    _plan_of = staticmethod(_average_plan)

    def __init__(
        self,
        *,
        x_scale: npt.ArrayLike,
        x_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike,
        y_zero_point: npt.ArrayLike | None = None,
        kernel_shape: Sequence[int],
        auto_pad: str = "NOTSET",
        ceil_mode: bool = False,
        count_include_pad: bool = False,
        dilations: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
        layout: str = "NCHW",
    ) -> None:
        self._parameters = own_arguments(
            x_scale=x_scale, x_zero_point=x_zero_point, y_scale=y_scale, y_zero_point=y_zero_point
        )
        self._parameters |= own_geometry(count_include_pad=count_include_pad)
        self._geometry = own_geometry(
            kernel_shape=kernel_shape,
            auto_pad=auto_pad,
            ceil_mode=ceil_mode,
            dilations=dilations,
            pads=pads,
            strides=strides,
            layout=layout,
        )
        averaging(byte_type(x_zero_point, "x_zero_point"), **self._parameters)
        average_pool_shape(smallest_images(kernel_shape, dilations, layout), **self._geometry)
        self._plans = Remembered(MOST_SHAPES)

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        data = as_bytes(x, "x")
        return self._plan(data).run(data, out)

    def _arguments(self) -> dict[str, Any]:
        return {**self._parameters, **self._geometry}


class QLinearGlobalAveragePool(_Pool, Prepared):
    _plan_of = staticmethod(_global_plan)

    def __init__(
        self,
        *,
        x_scale: npt.ArrayLike,
        x_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike,
        y_zero_point: npt.ArrayLike | None = None,
        layout: str = "NCHW",
    ) -> None:
        self._parameters = own_arguments(
            x_scale=x_scale, x_zero_point=x_zero_point, y_scale=y_scale, y_zero_point=y_zero_point
        )
        self._layout = one_of(layout, "layout", *LAYOUTS)
        averaging(byte_type(x_zero_point, "x_zero_point"), **self._parameters)
        self._plans = Remembered(MOST_SHAPES)

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        data = as_bytes(x, "x")
        return self._plan(data).run(data, out)

    def _arguments(self) -> dict[str, Any]:
        return {**self._parameters, "layout": self._layout}
