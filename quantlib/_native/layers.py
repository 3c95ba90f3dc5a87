"""Layers of codes between products."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlib._arguments.arrays import Array
from quantlib._arguments.elementwise import Blend
from quantlib._arguments.pool import Averaging, PoolShape
from quantlib._arguments.resize import ResizeShape
from quantlib._arguments.softmax import Softmax
from quantlib._native.arrays import AddressCall, by_address
from quantlib._native.library import (
    CHARS,
    FLOATS,
    INT64S,
    Bound,
    bound,
    check,
    ffi,
    int32s,
    is_signed,
    lib,
    pointer_to,
    ready,
)


class Blending:
    """What becomes of two operands of these types, in C's terms."""

    def __init__(self, a_type: np.dtype[Any], b_type: np.dtype[Any], blend: Blend) -> None:
        target = blend.target
        self.dtype = target.dtype
        self._run = lib.ql_add if len(blend.factors) == 2 else lib.ql_multiply
        self._struct = ffi.new(
            "ql_blending *",
            {
                "a_signed": a_type.kind == "i",
                "b_signed": b_type.kind == "i",
                "y_signed": target.dtype.kind == "i",
                "a_zero": blend.a_zero_point,
                "b_zero": blend.b_zero_point,
                "y_zero": target.zero_point,
                "lower": target.lower,
                "upper": target.upper,
                "a_factor": float(blend.factors[0]),
                "b_factor": float(blend.factors[-1]),
            },
        )

    def run(self, walk: Walk, a: Array, b: Array, y: Array) -> None:
        """Fill `y`, contiguous; `a` and `b` are contiguous too."""
        buffer = ffi.from_buffer
        status = self._run(
            self._struct, walk.struct, buffer(CHARS, a), buffer(CHARS, b), buffer(CHARS, y)
        )
        if status:
            check(status)

    def by_address(self) -> AddressCall:
        """`run` of two operands and a result of one shape."""
        multiplies = self._run is lib.ql_multiply
        return by_address(lib.ql_call_blend, self._struct, multiplies)

    def bind(self, walk: Walk, a: Array, b: Array, y: Array) -> Bound:
        """The same with all of its arguments."""
        pointers = (pointer_to(array) for array in (a, b, y))
        return bound(self._run, self._struct, walk.struct, *pointers, kept=walk)


class Walk:
    """The axes of a result of two operands: extents, and the steps of both operands."""

    def __init__(self, axes: list[tuple[int, int, int]]) -> None:
        columns = zip(*axes, strict=True)
        self._kept = [ffi.new(INT64S, column) for column in columns]
        names = ("extents", "a_steps", "b_steps")
        self.struct = ffi.new("ql_walk *", dict(zip(names, self._kept, strict=True)))
        self.struct.rank = len(axes)


def look_up(x: Array, table: Array, y: Array, rows: int) -> None:
    """Fill `y`, whose rows are contiguous, with the entries of the bytes of `x`, contiguous."""
    columns = x.size // rows if rows else 0
    pointer = pointer_to(y) if y.flags.c_contiguous else ffi.cast("void *", y.ctypes.data)
    stride = columns if y.flags.c_contiguous else y.strides[0]
    check(lib.ql_look_up(pointer_to(x), pointer_to(table), pointer, rows, columns, stride))


class Pooling:
    """A pooling of images of one shape and type, in C's terms."""

    def __init__(self, shape: PoolShape, x_type: np.dtype[Any], by: Averaging | None) -> None:
        lead = 3 - len(shape.kernel)  # axes of extent 1 stand before the spatial axes
        ones, zeros = (1,) * lead, (0,) * lead
        last = shape.layout == "NHWC"
        self._shape = ffi.new(
            "ql_pool_shape *",
            {
                "batch": shape.batch if last else shape.batch * shape.channels,
                "inner": shape.channels if last else 1,
                "in": ones + shape.spatial,
                "kernel": ones + shape.kernel,
                "stride": ones + shape.strides,
                "dilation": ones + shape.dilations,
                "pad": zeros + shape.pads_begin,
                "pad_end": zeros + shape.pads_end,
                "out": ones + shape.out_spatial,
            },
        )
        self._x_signed = x_type.kind == "i"
        self._by = by
        if by is not None:
            self._x = by.x_zero_point, float(by.x_scale)
            y_signed = by.target.dtype.kind == "i"
            self._y = y_signed, by.target.zero_point, float(by.target.scale)

    def run(self, x: Array, y: Array) -> None:
        """Fill `y` from `x`, both contiguous: with the largest codes, or with averages."""
        function, *arguments = self._call(x, y)
        check(function(*arguments))

    def bind(self, x: Array, y: Array) -> Bound:
        """The same with all of its arguments."""
        return bound(*self._call(x, y))

    def _call(self, x: Array, y: Array) -> tuple[Any, ...]:
        images, result, signed, shape = pointer_to(x), pointer_to(y), self._x_signed, self._shape
        if self._by is None:
            return lib.ql_max_pool, images, signed, shape, result
        count_pad = self._by.include_pad
        return lib.ql_average_pool, images, signed, *self._x, shape, count_pad, result, *self._y


def softmax(x: Array, by: Softmax, y: Array) -> None:
    """Fill `y` with the softmax of the last axis of `x`, both contiguous."""
    length, target = x.shape[-1], by.target
    check(
        lib.ql_softmax(
            pointer_to(x),
            is_signed(x),
            int32s(by.exponentials),
            pointer_to(y),
            x.size // length if length else 0,
            length,
            float(target.scale),
            target.zero_point,
            target.lower,
            target.upper,
        )
    )


class Resizing:
    """A resizing of arrays of one shape and type, in C's terms."""

    def __init__(self, shape: ResizeShape, dtype: np.dtype[Any]) -> None:
        places = [ready(place, np.int64) for place in (*shape.first, *shape.second)]
        pointers = [ffi.from_buffer(INT64S, place) for place in places]
        weights = [ffi.from_buffer(FLOATS, ready(weight, np.float32)) for weight in shape.weight]
        self._kept = pointers, weights
        self._shape = ffi.new(
            "ql_resize_shape *",
            {
                "outer": shape.outer,
                "inner": shape.inner,
                "in": shape.extents,
                "out": shape.out_extents,
                "first": pointers[:3],
                "second": pointers[3:],
                "weight": weights,
            },
        )
        self._is_nearest, self._is_signed = shape.mode == "nearest", dtype.kind == "i"

    def run(self, x: Array, y: Array) -> None:
        """Fill `y` with the nearest or the interpolated codes of `x`, both contiguous."""
        if self._is_nearest:
            check(lib.ql_resize_nearest(pointer_to(x), self._shape, pointer_to(y)))
        else:
            check(lib.ql_resize_linear(pointer_to(x), self._is_signed, self._shape, pointer_to(y)))
