"""Products: the output stage, and right operands, packed or as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlib._arguments.arrays import Array
from quantlib._arguments.conv import Residual
from quantlib._arguments.output import Output
from quantlib._native.arrays import AddressCall, by_address
from quantlib._native.library import (
    CHARS,
    FLOATS,
    INT32S,
    TYPES,
    address_of,
    check,
    ffi,
    from_buffer,
    int32s,
    is_signed,
    lib,
    own,
    pointer_to,
    ready,
)


class Stage:
    """The output stage of a product of `columns` columns in C's terms, and private copies of the
    parameters, which are scalars or have an entry for each row or column."""

    def __init__(
        self,
        output: Output | None,
        bias: Array | None,
        columns: int,
        residual: Residual | None = None,
        reach: int | None = None,
    ) -> None:
        """`reach` is the most that an accumulator can be, if it is worth to know it."""
        self.dtype: np.dtype[Any] = np.dtype(np.int32) if output is None else output.dtype
        self.kept: list[Array] = []
        self.struct = struct = ffi.new("ql_output *")
        struct.type = TYPES[self.dtype]
        struct.bias = ffi.NULL if bias is None else self._keep(bias, np.int32, INT32S)
        if output is None:
            return
        if residual is not None:
            struct.residual_signed = is_signed(residual.codes)
            struct.residual_zero_point = int(residual.zero_point)
            struct.residual_factor = float(residual.factor)
        multiplier = self._keep_multiplier(output)
        struct.multiplier = self._keep(np.broadcast_to(multiplier, (columns,)), np.float32, FLOATS)
        if self.dtype == np.float32:
            struct.lower_real, struct.upper_real = float(output.lower), float(output.upper)
            if output.bias is not None:
                bias = np.broadcast_to(output.bias, (columns,))
                struct.bias_real = self._keep(bias, np.float32, FLOATS)
            return
        codes = np.broadcast_arrays(output.zero_point, output.lower, output.upper)
        struct.code_step = int(codes[0].ndim > 0)
        for name, code in zip(("zero_point", "lower", "upper"), codes, strict=True):
            setattr(struct, name, self._keep(code.reshape(-1), np.int32, INT32S))
        if reach is not None and residual is None:
            self._fuse(columns, reach)

    def _fuse(self, columns: int, reach: int) -> None:
        """Let codes be made by fused multiply-adds, if that makes the same ones."""
        struct = self.struct
        start, addend = np.empty(columns, np.int32), np.empty(columns, np.float32)
        starts, addends = ffi.from_buffer(INT32S, start), ffi.from_buffer(FLOATS, addend)
        if lib.ql_fuse(struct.multiplier, columns, reach, starts, addends) == lib.QL_OK:
            self.kept += start, addend
            struct.fused_start, struct.fused_addend = starts, addends

    def _keep_multiplier(self, output: Output) -> Array:
        """The multipliers of the columns; what rows multiply and divide them by is kept."""
        factor, divisor = output.row_factor, output.divisor
        if factor.ndim == 0 and (divisor is None or divisor.ndim == 0):
            return output.multiplier
        struct = self.struct
        if divisor is not None:
            factor, divisor = np.broadcast_arrays(factor, divisor)
            struct.row_divisor = self._keep(divisor, np.float32, FLOATS)
        struct.row_factor = self._keep(factor, np.float32, FLOATS)
        struct.row_step = 1
        return output.column_factor

    def _keep(self, array: Array, dtype: Any, ctype: Any) -> Any:
        kept = own(array, dtype)
        self.kept.append(kept)
        return ffi.from_buffer(ctype, kept)


def _reals(a: Array) -> Any:
    """The pointer to float32, however far apart its rows are."""
    if a.flags.c_contiguous:
        return ffi.from_buffer(FLOATS, a)
    return ffi.cast("float *", a.ctypes.data)


def dynamic_range(a: Array, scale: Array, zero_point: Array) -> bool:
    """Fill `scale` and `zero_point`, of one entry or one for each row of `a`, float32 of shape
    (M, K) with contiguous rows; False if it holds NaN or an infinity."""
    status = lib.ql_dynamic_range(
        _reals(a),
        *a.shape,
        a.strides[0] // a.itemsize,
        scale.ndim > 0,
        ffi.from_buffer(FLOATS, scale),
        int32s(zero_point),
    )
    if status == lib.QL_NOT_FINITE:
        return False
    check(status)
    return True


# Zero points that are codes: 0 to 255 and, from the end, -128 to -1.
_CODES = ffi.new("int32_t[]", [*range(256), *range(-128, 0)])
_POINTERS_TO_CODES = [_CODES + index for index in range(384)]
_MOST_ZEROS = 4096
_ZEROS = ffi.new("int32_t[]", _MOST_ZEROS)


class _RightOperand:
    """What a product is with, of shape (K, N): a function of C and its first arguments."""

    __slots__ = ("_terms", "k", "n")

    _product: Any
    _terms: tuple[Any, ...]

    k: int
    n: int

    def multiply(self, a: Array, zero_point: int | Array, stage: Stage, y: Array) -> None:
        """Fill `y`, contiguous (M, N), from `a`, (M, K); `zero_point` is a code, or int32 with one
        entry or M."""
        if a.flags.c_contiguous:
            rows, stride = from_buffer(CHARS, a), self.k
        else:
            a, rows, stride = _strided(a, "void *")
        if type(zero_point) is int:
            zero_points, step = _POINTERS_TO_CODES[zero_point], 0
        else:
            zero_points, step = from_buffer(INT32S, zero_point), np.ndim(zero_point)
        status = self._product(
            *self._terms,
            rows,
            len(a),
            stride,
            a.dtype.kind == "i",
            zero_points,
            step,
            stage.struct,
            from_buffer(CHARS, y),
            self.n,
        )
        if status:
            check(status)


def _strided(a: Array, ctype: str) -> tuple[Array, Any, int]:
    """`a`, (M, K), or a copy, such that the elements of a row stand side by side; a pointer to it,
    and how many elements the rows are apart."""
    if a.strides[1] != a.itemsize or not a.flags.aligned:
        a = a.copy(order="C")
    return a, ffi.cast(ctype, a.ctypes.data), a.strides[0] // a.itemsize


class Matrix(_RightOperand):
    """A right operand that is packed for the instruction set in use."""

    __slots__ = ("_packed", "nbytes")

    _product = lib.ql_matmul

    def __init__(self, b: Array, zero_point: Array) -> None:
        self.k, self.n = b.shape
        zero_points = ready(np.broadcast_to(zero_point.reshape(-1), (self.n,)), np.int32)
        packed = lib.ql_matrix_pack(
            ffi.cast("void *", b.ctypes.data),
            self.k,
            self.n,
            *b.strides,
            is_signed(b),
            int32s(zero_points),
        )
        if packed == ffi.NULL:
            raise MemoryError(f"b of shape {b.shape} could not be packed")
        self.nbytes: int = lib.ql_matrix_size(packed)
        self._packed = ffi.gc(packed, lib.ql_matrix_free, self.nbytes)
        self._terms = (self._packed,)

    def unpack(self, b: Array) -> None:
        """Fill `b`, contiguous, with the codes that were packed."""
        lib.ql_matrix_unpack(self._packed, pointer_to(b), is_signed(b))

    def by_address(
        self, stage: Stage, dtype: np.dtype[Any] | None = None, *, by_row: bool = False
    ) -> AddressCall:
        """`multiply` of a left operand, a code that is its zero point, and a result; or, of
        float32, `multiply_reals`. The operand has this type, or is int8 or uint8."""
        code = -1 if dtype is None else TYPES[dtype]
        fixed = (self._packed, stage.struct, self.k, self.n, code, by_row)
        call = ffi.new("ql_product_call *", fixed)
        return by_address(lib.ql_call_product, call, kept=(self, stage))

    def multiply_reals(self, a: Array, by_row: bool, stage: Stage, y: Array) -> bool:
        """Fill `y`, contiguous (M, N), from float32 `a`, (M, K), quantized on the way by its range
        or by that of each row; False if it holds NaN or an infinity. Multipliers must be known not
        to overflow."""
        flags = a.flags
        if flags.c_contiguous and flags.aligned:
            rows, stride = from_buffer(FLOATS, a), self.k
        else:
            a, rows, stride = _strided(a, "float *")
        status = lib.ql_dynamic_product(
            self._packed,
            rows,
            len(a),
            stride,
            by_row,
            stage.struct,
            from_buffer(CHARS, y),
            self.n,
        )
        if status == lib.QL_NOT_FINITE:
            return False
        check(status)
        return True

    def multiply_scaled(
        self, a: Array, scale: Array, zero_point: Array, stage: Stage, y: Array
    ) -> None:
        """The same with `scale` and `zero_point`, scalars or of M entries, of rows that are
        contiguous."""
        check(
            lib.ql_dynamic_matmul(
                self._packed,
                _reals(a),
                a.shape[0],
                a.strides[0] // a.itemsize,
                ffi.from_buffer(FLOATS, scale),
                int32s(zero_point),
                int(scale.ndim > 0),
                stage.struct,
                pointer_to(y),
                self.n,
            )
        )


class Operand(_RightOperand):
    """A right operand that is packed anew, where that pays, for each product."""

    __slots__ = ("_kept",)

    _product = lib.ql_matmul_once

    def __init__(self, b: Array, zero_point: Array | None, zero_points: Any = None) -> None:
        """With `zero_points`, the zero point in C's terms, if they are known."""
        self.k, self.n = b.shape
        if zero_points is None:
            zero_points = column_zero_points(zero_point, self.n)
        self._kept = b
        codes = from_buffer(CHARS, b) if b.flags.c_contiguous else address_of(b)
        self._terms = (codes, self.k, self.n, *b.strides, b.dtype.kind == "i", zero_points)


def integers_by_address() -> AddressCall:
    """The product of a left operand, a code that is its zero point, a right operand with the zero
    point 0, and a result of int32."""
    stage = Stage(None, None, 0)
    fixed = (stage.struct, _ZEROS, 0, _MOST_ZEROS, -1, -1)
    call = ffi.new("ql_once_call *", fixed)
    return by_address(lib.ql_call_product_once, call, kept=stage)


def once_by_address(a: Array, b: Array, zero_points: Any, stage: Stage) -> AddressCall:
    """The same with this stage, of operands that have the types of these and, to the right, as many
    columns, with their zero points in C's terms."""
    types = TYPES[a.dtype], TYPES[b.dtype]
    fixed = (stage.struct, zero_points, b.shape[1], b.shape[1], *types)
    call = ffi.new("ql_once_call *", fixed)
    return by_address(lib.ql_call_product_once, call, kept=(stage, zero_points))


def column_zero_points(zero_point: Array | None, columns: int) -> Any:
    """The zero point of a right operand in C's terms, an entry for each column; None is 0."""
    if zero_point is None and columns <= _MOST_ZEROS:
        return _ZEROS  # or their first
    zero_points = np.zeros(columns, np.int32)
    if zero_point is not None:
        zero_points[:] = zero_point.reshape(-1)
    return int32s(zero_points)
