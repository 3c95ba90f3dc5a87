"""Convolutions: their extents, and weights that are packed."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlib._arguments.arrays import Array
from quantlib._arguments.conv import ConvShape
from quantlib._native.arrays import AddressCall, by_address
from quantlib._native.library import (
    TYPES,
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
from quantlib._native.products import Stage


def conv_extents(shape: ConvShape) -> Any:
    """A ``ql_conv_shape``: axes of extent 1 stand before the spatial axes up to three."""
    lead = 3 - len(shape.kernel)
    ones, zeros = (1,) * lead, (0,) * lead
    return ffi.new(
        "ql_conv_shape *",
        {
            "batch": shape.batch,
            "channels": shape.channels,
            "out_channels": shape.out_channels,
            "group": shape.group,
            "in": ones + shape.spatial,
            "kernel": ones + shape.kernel,
            "stride": ones + shape.strides,
            "dilation": ones + shape.dilations,
            "pad": zeros + shape.pads_begin,
            "out": ones + shape.out_spatial,
        },
    )


class Filter:
    """Weights of shape (M, C / group, k1, ...), packed for the instruction set in use."""

    def __init__(self, w: Array, zero_point: Array, shape: ConvShape) -> None:
        zero_points = ready(np.broadcast_to(zero_point, (shape.out_channels,)), np.int32)
        packed = lib.ql_filter_pack(
            pointer_to(ready(w, w.dtype)),
            is_signed(w),
            int32s(zero_points),
            conv_extents(shape),
            shape.layout == "NCHW",
        )
        if packed == ffi.NULL:
            raise MemoryError(f"w of shape {w.shape} could not be packed")
        self.nbytes: int = lib.ql_filter_size(packed)
        self._packed = ffi.gc(packed, lib.ql_filter_free, self.nbytes)

    def unpack(self, w: Array) -> None:
        """Fill `w`, contiguous, with the codes that were packed."""
        check(lib.ql_filter_unpack(self._packed, pointer_to(w), is_signed(w)))

    def convolve(
        self,
        x: Array,
        zero_point: int,
        extents: Any,
        layout: str,
        stage: Stage,
        y: Array,
        residual: Array | None = None,
    ) -> None:
        """Fill `y` from `x` and, if the stage has one, from a residual, all contiguous and in
        `layout`; `extents` is a conv_extents."""
        check(lib.ql_conv(*self._call(x, zero_point, extents, layout, stage, y, residual)))

    def by_address(
        self,
        shape: ConvShape,
        extents: Any,
        stage: Stage,
        x_type: np.dtype[Any] | None,
        residual_type: np.dtype[Any] | None = None,
    ) -> AddressCall:
        """`convolve` of images of this shape, a code that is their zero point, a residual or 0,
        and a result. The images have this type, or are int8 or uint8."""
        codes = (-1 if dtype is None else TYPES[dtype] for dtype in (x_type, residual_type))
        first = shape.layout == "NCHW"
        fixed = (self._packed, extents, stage.struct, len(shape.kernel), first, *codes)
        call = ffi.new("ql_conv_call *", fixed)
        return by_address(lib.ql_call_conv, call, kept=(self, extents, stage))

    def bind(self, *arguments: Any) -> Bound:
        """The same with all of its arguments."""
        return bound(lib.ql_conv, *self._call(*arguments), kept=arguments)

    def _call(
        self,
        x: Array,
        zero_point: int,
        extents: Any,
        layout: str,
        stage: Stage,
        y: Array,
        residual: Array | None = None,
    ) -> tuple[Any, ...]:
        return (
            self._packed,
            pointer_to(x),
            is_signed(x),
            zero_point,
            extents,
            layout == "NCHW",
            stage.struct,
            ffi.NULL if residual is None else pointer_to(residual),
            pointer_to(y),
        )
