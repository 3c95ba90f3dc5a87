"""Reals to codes and back, ranges, and accumulators to codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlib._arguments.affine import AffineParameters, Granularity
from quantlib._arguments.arrays import Array
from quantlib._native.arrays import AddressCall, by_address
from quantlib._native.library import (
    CHARS,
    FLOATS,
    KINDS,
    TYPES,
    check,
    ffi,
    from_buffer,
    int32s,
    lib,
    pointer_to,
    ready,
)


class Affine:
    """Scales and zero points in C's terms."""

    __slots__ = ("code_type", "qmax", "qmin", "real_type", "scale", "zero_point")

    def __init__(self, parameters: AffineParameters) -> None:
        self.real_type = TYPES[parameters.working]
        self.code_type = TYPES[parameters.zero_point.dtype]
        self.scale = pointer_to(ready(parameters.scale, parameters.working))
        self.zero_point = int32s(ready(parameters.zero_point, np.int32))
        self.qmin, self.qmax = parameters.qtype.qmin, parameters.qtype.qmax

    @classmethod
    def of(cls, parameters: AffineParameters) -> Affine:
        """Derived and kept, for parameters that are used again."""
        made = parameters.native = cls(parameters)
        return made


def affine_by_address(name: str, parameters: AffineParameters) -> AddressCall:
    """`quantize`, `dequantize` or `fake_quantize` of an array and a result of any shape, which
    share one parameter."""
    affine = parameters.native or Affine.of(parameters)
    real, code = affine.real_type, affine.code_type
    what, *types = {
        "quantize": (lib.QL_TO_CODES, real, code),
        "dequantize": (lib.QL_TO_REALS, code, real),
        "fake_quantize": (lib.QL_TO_CODES_AND_BACK, real, real),
    }[name]
    fixed = (what, *types, affine.scale, affine.zero_point, affine.qmin, affine.qmax)
    call = ffi.new("ql_affine_call *", fixed)
    return by_address(lib.ql_call_affine, call, kept=affine)


min_max_by_address = by_address(lib.ql_call_min_max)  # of an array and two results of no axes


def quantize(x: Array, codes: Array, parameters: AffineParameters, groups: Granularity) -> None:
    """Fill `codes`, which have the type of the zero points; `x` has the working precision."""
    affine = parameters.native or Affine.of(parameters)
    kind, _, outer, length, inner, block = groups
    status = lib.ql_quantize(
        from_buffer(CHARS, x),
        affine.real_type,
        from_buffer(CHARS, codes),
        affine.code_type,
        affine.scale,
        affine.zero_point,
        affine.qmin,
        affine.qmax,
        KINDS[kind],
        outer,
        length,
        inner,
        block,
    )
    if status:
        check(status)


def dequantize(codes: Array, x: Array, parameters: AffineParameters, groups: Granularity) -> None:
    """Fill `x`, which has the working precision."""
    affine = parameters.native or Affine.of(parameters)
    kind, _, outer, length, inner, block = groups
    status = lib.ql_dequantize(
        from_buffer(CHARS, codes),
        TYPES[codes.dtype],
        from_buffer(CHARS, x),
        affine.real_type,
        affine.scale,
        affine.zero_point,
        KINDS[kind],
        outer,
        length,
        inner,
        block,
    )
    if status:
        check(status)


def fake_quantize(x: Array, y: Array, parameters: AffineParameters, groups: Granularity) -> None:
    """Fill `y`; `x` and `y` have the working precision."""
    affine = parameters.native or Affine.of(parameters)
    kind, _, outer, length, inner, block = groups
    status = lib.ql_fake_quantize(
        from_buffer(CHARS, x),
        affine.real_type,
        from_buffer(CHARS, y),
        affine.scale,
        affine.zero_point,
        affine.qmin,
        affine.qmax,
        KINDS[kind],
        outer,
        length,
        inner,
        block,
    )
    if status:
        check(status)


def min_max(x: Array, lo: Array, hi: Array, groups: Granularity) -> None:
    """Fill `lo` and `hi`, which have the type of `x`."""
    kind, _, outer, length, inner, block = groups
    status = lib.ql_min_max(
        from_buffer(CHARS, x),
        TYPES[x.dtype],
        from_buffer(CHARS, lo),
        from_buffer(CHARS, hi),
        KINDS[kind],
        outer,
        length,
        inner,
        block,
    )
    if status:
        check(status)


def requantize(
    acc: Array, y: Array, multiplier: Array, zero_point: int, limits: Any, groups: Granularity
) -> None:
    """Fill `y`, whose type's range is that of `limits`; `multiplier` is float32."""
    kind, _, outer, length, inner, _ = groups
    check(
        lib.ql_requantize(
            int32s(acc),
            pointer_to(y),
            ffi.from_buffer(FLOATS, multiplier),
            zero_point,
            limits.qmin,
            limits.qmax,
            KINDS[kind],
            outer,
            length,
            inner,
        )
    )
