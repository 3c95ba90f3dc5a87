"""The only door to C: arrays to pointers, statuses to exceptions.

The functions here expect what the callers in ``quantlib.ops`` have checked: right types and
shapes, contiguous and aligned arrays. They compute into arrays that are handed to them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from quantlib._arguments.affine import AffineParameters, Granularity
from quantlib._arguments.arrays import Array
from quantlib._arguments.conv import ConvShape, Residual
from quantlib._arguments.elementwise import Blend
from quantlib._arguments.output import Output
from quantlib._arguments.pool import Averaging, PoolShape
from quantlib._arguments.resize import ResizeShape
from quantlib._arguments.softmax import Softmax
from quantlib._arguments.summary import Summary
from quantlib._environment import refuse

try:
    from quantlib._quantlib import ffi, lib
except ImportError as error:
    raise ImportError(
        "quantlib has no compiled module here. If this is the source folder, Python found it "
        "instead of the installed package: run `pip install .` in it and start Python in another "
        "folder, or run `pip install --no-build-isolation -e .` to work on quantlib itself."
    ) from error

_TYPES = {
    np.dtype(np.float32): lib.QL_FLOAT32,
    np.dtype(np.float64): lib.QL_FLOAT64,
    np.dtype(np.int8): lib.QL_INT8,
    np.dtype(np.uint8): lib.QL_UINT8,
    np.dtype(np.int16): lib.QL_INT16,
    np.dtype(np.uint16): lib.QL_UINT16,
    np.dtype(np.int32): lib.QL_INT32,
}
_KINDS = {
    "per-tensor": lib.QL_PER_TENSOR,
    "per-channel": lib.QL_PER_CHANNEL,
    "blocked": lib.QL_BLOCKED,
}


def _check(status: int) -> None:
    if status == 0:
        return
    if status == lib.QL_NO_MEMORY:
        raise MemoryError("quantlib could not allocate its working memory")
    if status == lib.QL_OVERFLOW:
        raise OverflowError("an accumulator does not fit int32")


check = _check  # of a bound call


_SUMMARY_TYPES = {
    name: ffi.typeof(ctype + "[]")
    for ctype, names in {
        "int64_t": ("counts", "zeros", "nonfinite"),
        "int32_t": ("exponent",),
        "uint8_t": ("exact",),
        "double": ("minimum", "maximum"),
        "uint32_t": ("sum", "squares"),
    }.items()
    for name in names
}
_from_buffer = ffi.from_buffer
_CHARS, _INT32S, _INT64S, _FLOATS = (
    ffi.typeof(name) for name in ("char[]", "int32_t[]", "int64_t[]", "float[]")
)


def _pointer(array: Array) -> Any:
    """Any type's pointer, for parameters that are ``void *``."""
    return ffi.from_buffer(_CHARS, array)


def _is_signed(array: Array) -> bool:
    """Whether codes are int8 and not uint8. Comparing dtypes takes three times as long."""
    return array.dtype.kind == "i"


Bound = Callable[[], int]


def _bound(function: Any, *arguments: Any, kept: Any = None) -> Bound:
    """A call with all of its arguments, for arrays that stay where they are; its status is for
    `check`. `kept` is what the arguments point into, besides arrays."""
    call = partial(function, *arguments)
    call.__dict__["kept"] = kept
    return call


def _address(array: Array) -> Any:
    """The same for an array that need not be contiguous."""
    return _pointer(array) if array.flags.c_contiguous else ffi.cast("void *", array.ctypes.data)


def _int32(array: Array) -> Any:
    return ffi.from_buffer(_INT32S, array)


def ready(array: Array, dtype: Any) -> Array:
    """`array` itself if C can read it as contiguous `dtype`, otherwise a copy that it can."""
    flags = array.flags
    same = array.dtype is dtype or array.dtype == dtype
    if same and flags.c_contiguous and flags.aligned:
        return array
    if array.dtype != np.float64:  # no other type has reals that overflow a type of the kernels
        return np.array(array, dtype=dtype, order="C")
    with np.errstate(over="ignore"):
        return np.array(array, dtype=dtype, order="C")


def own(array: Array, dtype: Any) -> Array:
    """A contiguous copy that nobody else writes to."""
    return np.array(array, dtype=dtype, order="C")


# --- instruction sets ---------------------------------------------------------------------------


def isa_names(*, available: bool) -> list[str]:
    """The instruction sets of this build, slowest first; only those that run here, or all."""
    return [
        ffi.string(lib.ql_isa_name(index)).decode()
        for index in range(lib.ql_isa_count())
        if not available or lib.ql_isa_available(index)
    ]


def current_isa() -> str:
    """The instruction set in use."""
    return isa_names(available=False)[lib.ql_isa_current()]


def select_isa(name: str) -> None:
    """Use `name` from now on; ValueError if it cannot run here."""
    if name not in isa_names(available=True):
        state = "not available on this processor" if name in isa_names(available=False) else "no"
        raise ValueError(
            f"QUANTLIB_ISA is {name!r}, {state} instruction set of this build; "
            f"available: {', '.join(isa_names(available=True))}"
        )
    lib.ql_isa_select(isa_names(available=False).index(name))


lib.ql_isa_current()  # fills the tables while the import lock is held


# --- threads ------------------------------------------------------------------------------------

MOST_THREADS = 256


def num_threads() -> int:
    """How many threads a call may use."""
    return lib.ql_threads()


def select_num_threads(count: int, name: str) -> None:
    """Let a call use `count` threads from now on."""
    if not 1 <= count <= MOST_THREADS:
        raise ValueError(f"{name} is {count}; it must be 1 to {MOST_THREADS}")
    lib.ql_set_threads(count)


def _initial_num_threads() -> int:
    """What QUANTLIB_NUM_THREADS says, or the processors that this process may run on."""
    wanted = os.environ.get("QUANTLIB_NUM_THREADS", "")
    if not wanted:
        usable = getattr(os, "sched_getaffinity", None)
        return min(len(usable(0)) if usable else os.cpu_count() or 1, MOST_THREADS)
    if not wanted.strip().isdecimal():
        raise ValueError(f"QUANTLIB_NUM_THREADS is {wanted!r}; it must be a whole number")
    return int(wanted)


try:
    if os.environ.get("QUANTLIB_ISA"):
        select_isa(os.environ["QUANTLIB_ISA"])
    select_num_threads(_initial_num_threads(), "QUANTLIB_NUM_THREADS")
except ValueError as error:
    refuse(error)


# --- reals and codes ----------------------------------------------------------------------------


class Affine:
    """Scales and zero points in C's terms."""

    __slots__ = ("code_type", "qmax", "qmin", "real_type", "scale", "zero_point")

    def __init__(self, parameters: AffineParameters) -> None:
        self.real_type = _TYPES[parameters.working]
        self.code_type = _TYPES[parameters.zero_point.dtype]
        self.scale = _pointer(ready(parameters.scale, parameters.working))
        self.zero_point = _int32(ready(parameters.zero_point, np.int32))
        self.qmin, self.qmax = parameters.qtype.qmin, parameters.qtype.qmax

    @classmethod
    def of(cls, parameters: AffineParameters) -> Affine:
        """Derived and kept, for parameters that are used again."""
        made = parameters.native = cls(parameters)
        return made


def quantize(x: Array, codes: Array, parameters: AffineParameters, groups: Granularity) -> None:
    """Fill `codes`, which have the type of the zero points; `x` has the working precision."""
    affine = parameters.native or Affine.of(parameters)
    kind, _, outer, length, inner, block = groups
    status = lib.ql_quantize(
        _from_buffer(_CHARS, x),
        affine.real_type,
        _from_buffer(_CHARS, codes),
        affine.code_type,
        affine.scale,
        affine.zero_point,
        affine.qmin,
        affine.qmax,
        _KINDS[kind],
        outer,
        length,
        inner,
        block,
    )
    if status:
        _check(status)


def dequantize(codes: Array, x: Array, parameters: AffineParameters, groups: Granularity) -> None:
    """Fill `x`, which has the working precision."""
    affine = parameters.native or Affine.of(parameters)
    kind, _, outer, length, inner, block = groups
    status = lib.ql_dequantize(
        _from_buffer(_CHARS, codes),
        _TYPES[codes.dtype],
        _from_buffer(_CHARS, x),
        affine.real_type,
        affine.scale,
        affine.zero_point,
        _KINDS[kind],
        outer,
        length,
        inner,
        block,
    )
    if status:
        _check(status)


def fake_quantize(x: Array, y: Array, parameters: AffineParameters, groups: Granularity) -> None:
    """Fill `y`; `x` and `y` have the working precision."""
    affine = parameters.native or Affine.of(parameters)
    kind, _, outer, length, inner, block = groups
    status = lib.ql_fake_quantize(
        _from_buffer(_CHARS, x),
        affine.real_type,
        _from_buffer(_CHARS, y),
        affine.scale,
        affine.zero_point,
        affine.qmin,
        affine.qmax,
        _KINDS[kind],
        outer,
        length,
        inner,
        block,
    )
    if status:
        _check(status)


def min_max(x: Array, lo: Array, hi: Array, groups: Granularity) -> None:
    """Fill `lo` and `hi`, which have the type of `x`."""
    kind, _, outer, length, inner, block = groups
    status = lib.ql_min_max(
        _from_buffer(_CHARS, x),
        _TYPES[x.dtype],
        _from_buffer(_CHARS, lo),
        _from_buffer(_CHARS, hi),
        _KINDS[kind],
        outer,
        length,
        inner,
        block,
    )
    if status:
        _check(status)


def summarize(rows: Array, to: Summary) -> None:
    """Fill `to` from `rows`, 2-D of float32 or float64."""
    fields = {
        name: ffi.from_buffer(_SUMMARY_TYPES[name], array) for name, array in to._asdict().items()
    }
    summaries = ffi.new("ql_summaries *", fields)
    _check(lib.ql_summarize(_pointer(rows), _TYPES[rows.dtype], *rows.shape, summaries))


def tails(row: Array, least: float, low: float, high: float, greatest: float, room: int) -> Array:
    """The x of a row with ``least < x <= low`` or ``high <= x < greatest``, `room` at most."""
    found = np.empty(room, row.dtype)
    count = lib.ql_tails(
        _pointer(row),
        _TYPES[row.dtype],
        row.size,
        least,
        low,
        high,
        greatest,
        _pointer(found),
        room,
    )
    return found[:count]


def requantize(
    acc: Array, y: Array, multiplier: Array, zero_point: int, limits: Any, groups: Granularity
) -> None:
    """Fill `y`, whose type's range is that of `limits`; `multiplier` is float32."""
    kind, _, outer, length, inner, _ = groups
    _check(
        lib.ql_requantize(
            _int32(acc),
            _pointer(y),
            ffi.from_buffer(_FLOATS, multiplier),
            zero_point,
            limits.qmin,
            limits.qmax,
            _KINDS[kind],
            outer,
            length,
            inner,
        )
    )


# --- products and convolutions ------------------------------------------------------------------


class Stage:
    """The output stage of a product of `columns` columns in C's terms, and private copies of the
    parameters, which are scalars or have an entry for each row or column."""

    def __init__(
        self,
        output: Output | None,
        bias: Array | None,
        columns: int,
        residual: Residual | None = None,
    ) -> None:
        self.dtype: np.dtype[Any] = np.dtype(np.int32) if output is None else output.dtype
        self.kept: list[Array] = []
        self.struct = struct = ffi.new("ql_output *")
        struct.type = _TYPES[self.dtype]
        struct.bias = ffi.NULL if bias is None else self._keep(bias, np.int32, _INT32S)
        if output is None:
            return
        if residual is not None:
            struct.residual_signed = _is_signed(residual.codes)
            struct.residual_zero_point = int(residual.zero_point)
            struct.residual_factor = float(residual.factor)
        multiplier = self._keep_multiplier(output)
        struct.multiplier = self._keep(np.broadcast_to(multiplier, (columns,)), np.float32, _FLOATS)
        if self.dtype == np.float32:
            struct.lower_real, struct.upper_real = float(output.lower), float(output.upper)
            if output.bias is not None:
                bias = np.broadcast_to(output.bias, (columns,))
                struct.bias_real = self._keep(bias, np.float32, _FLOATS)
            return
        codes = np.broadcast_arrays(output.zero_point, output.lower, output.upper)
        struct.code_step = int(codes[0].ndim > 0)
        for name, code in zip(("zero_point", "lower", "upper"), codes, strict=True):
            setattr(struct, name, self._keep(code.reshape(-1), np.int32, _INT32S))

    def _keep_multiplier(self, output: Output) -> Array:
        """The multipliers of the columns; what rows multiply and divide them by is kept."""
        factor, divisor = output.row_factor, output.divisor
        if factor.ndim == 0 and (divisor is None or divisor.ndim == 0):
            return output.multiplier
        struct = self.struct
        if divisor is not None:
            factor, divisor = np.broadcast_arrays(factor, divisor)
            struct.row_divisor = self._keep(divisor, np.float32, _FLOATS)
        struct.row_factor = self._keep(factor, np.float32, _FLOATS)
        struct.row_step = 1
        return output.column_factor

    def _keep(self, array: Array, dtype: Any, ctype: Any) -> Any:
        kept = own(array, dtype)
        self.kept.append(kept)
        return ffi.from_buffer(ctype, kept)


def _reals(a: Array) -> Any:
    """The pointer to float32, however far apart its rows are."""
    if a.flags.c_contiguous:
        return ffi.from_buffer(_FLOATS, a)
    return ffi.cast("float *", a.ctypes.data)


def dynamic_range(a: Array, scale: Array, zero_point: Array) -> bool:
    """Fill `scale` and `zero_point`, of one entry or one for each row of `a`, float32 of shape
    (M, K) with contiguous rows; False if it holds NaN or an infinity."""
    status = lib.ql_dynamic_range(
        _reals(a),
        *a.shape,
        a.strides[0] // a.itemsize,
        scale.ndim > 0,
        ffi.from_buffer(_FLOATS, scale),
        _int32(zero_point),
    )
    if status == lib.QL_NOT_FINITE:
        return False
    _check(status)
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
            rows, stride = _from_buffer(_CHARS, a), self.k
        else:
            a, rows, stride = _strided(a, "void *")
        if type(zero_point) is int:
            zero_points, step = _POINTERS_TO_CODES[zero_point], 0
        else:
            zero_points, step = _from_buffer(_INT32S, zero_point), np.ndim(zero_point)
        status = self._product(
            *self._terms,
            rows,
            len(a),
            stride,
            a.dtype.kind == "i",
            zero_points,
            step,
            stage.struct,
            _from_buffer(_CHARS, y),
            self.n,
        )
        if status:
            _check(status)


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
            _is_signed(b),
            _int32(zero_points),
        )
        if packed == ffi.NULL:
            raise MemoryError(f"b of shape {b.shape} could not be packed")
        self.nbytes: int = lib.ql_matrix_size(packed)
        self._packed = ffi.gc(packed, lib.ql_matrix_free, self.nbytes)
        self._terms = (self._packed,)

    def unpack(self, b: Array) -> None:
        """Fill `b`, contiguous, with the codes that were packed."""
        lib.ql_matrix_unpack(self._packed, _pointer(b), _is_signed(b))

    def multiply_reals(self, a: Array, by_row: bool, stage: Stage, y: Array) -> bool:
        """Fill `y`, contiguous (M, N), from float32 `a`, (M, K), quantized on the way by its range
        or by that of each row; False if it holds NaN or an infinity. Multipliers must be known not
        to overflow."""
        flags = a.flags
        if flags.c_contiguous and flags.aligned:
            rows, stride = _from_buffer(_FLOATS, a), self.k
        else:
            a, rows, stride = _strided(a, "float *")
        status = lib.ql_dynamic_product(
            self._packed,
            rows,
            len(a),
            stride,
            by_row,
            stage.struct,
            _from_buffer(_CHARS, y),
            self.n,
        )
        if status == lib.QL_NOT_FINITE:
            return False
        _check(status)
        return True

    def multiply_scaled(
        self, a: Array, scale: Array, zero_point: Array, stage: Stage, y: Array
    ) -> None:
        """The same with `scale` and `zero_point`, scalars or of M entries, of rows that are
        contiguous."""
        _check(
            lib.ql_dynamic_matmul(
                self._packed,
                _reals(a),
                a.shape[0],
                a.strides[0] // a.itemsize,
                ffi.from_buffer(_FLOATS, scale),
                _int32(zero_point),
                int(scale.ndim > 0),
                stage.struct,
                _pointer(y),
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
        codes = _from_buffer(_CHARS, b) if b.flags.c_contiguous else _address(b)
        self._terms = (codes, self.k, self.n, *b.strides, b.dtype.kind == "i", zero_points)


def column_zero_points(zero_point: Array | None, columns: int) -> Any:
    """The zero point of a right operand in C's terms, an entry for each column; None is 0."""
    if zero_point is None and columns <= _MOST_ZEROS:
        return _ZEROS  # or their first
    zero_points = np.zeros(columns, np.int32)
    if zero_point is not None:
        zero_points[:] = zero_point.reshape(-1)
    return _int32(zero_points)


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
            _pointer(ready(w, w.dtype)),
            _is_signed(w),
            _int32(zero_points),
            conv_extents(shape),
            shape.layout == "NCHW",
        )
        if packed == ffi.NULL:
            raise MemoryError(f"w of shape {w.shape} could not be packed")
        self.nbytes: int = lib.ql_filter_size(packed)
        self._packed = ffi.gc(packed, lib.ql_filter_free, self.nbytes)

    def unpack(self, w: Array) -> None:
        """Fill `w`, contiguous, with the codes that were packed."""
        _check(lib.ql_filter_unpack(self._packed, _pointer(w), _is_signed(w)))

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
        _check(lib.ql_conv(*self._call(x, zero_point, extents, layout, stage, y, residual)))

    def bind(self, *arguments: Any) -> Bound:
        """The same with all of its arguments."""
        return _bound(lib.ql_conv, *self._call(*arguments), kept=arguments)

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
            _pointer(x),
            _is_signed(x),
            zero_point,
            extents,
            layout == "NCHW",
            stage.struct,
            ffi.NULL if residual is None else _pointer(residual),
            _pointer(y),
        )


def transpose(x: Array, y: Array) -> None:
    """``y[n, j, i] = x[n, i, j]`` for contiguous 3-D arrays of 1-byte or 4-byte elements."""
    lib.ql_transpose(_pointer(x), _pointer(y), *x.shape, x.itemsize)


def bind_transpose(x: Array, y: Array) -> Bound:
    """The same with all of its arguments."""
    return _bound(lib.ql_transpose, _pointer(x), _pointer(y), *x.shape, x.itemsize)


def bind_join(parts: Sequence[Array], y: Array, axis: int) -> list[Bound]:
    """Calls that put contiguous arrays side by side along an axis of `y`, contiguous, too."""
    calls, first = [], 0
    row = math.prod(y.shape[axis:]) * y.itemsize
    target = ffi.cast("char *", _pointer(y))
    for part in parts:
        size = math.prod(part.shape[axis:]) * y.itemsize
        rows = part.nbytes // size if size else 0
        arguments = (_pointer(part), size, target + first, row, rows, size)
        calls.append(_bound(lib.ql_copy_rows, *arguments, kept=y))
        first += size
    return calls


# --- layers between products --------------------------------------------------------------------


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
            self._struct, walk.struct, buffer(_CHARS, a), buffer(_CHARS, b), buffer(_CHARS, y)
        )
        if status:
            _check(status)

    def bind(self, walk: Walk, a: Array, b: Array, y: Array) -> Bound:
        """The same with all of its arguments."""
        pointers = (_pointer(array) for array in (a, b, y))
        return _bound(self._run, self._struct, walk.struct, *pointers, kept=walk)


class Walk:
    """The axes of a result of two operands: extents, and the steps of both operands."""

    def __init__(self, axes: list[tuple[int, int, int]]) -> None:
        columns = zip(*axes, strict=True)
        self._kept = [ffi.new(_INT64S, column) for column in columns]
        names = ("extents", "a_steps", "b_steps")
        self.struct = ffi.new("ql_walk *", dict(zip(names, self._kept, strict=True)))
        self.struct.rank = len(axes)


def look_up(x: Array, table: Array, y: Array, rows: int) -> None:
    """Fill `y`, whose rows are contiguous, with the entries of the bytes of `x`, contiguous."""
    columns = x.size // rows if rows else 0
    pointer = _pointer(y) if y.flags.c_contiguous else ffi.cast("void *", y.ctypes.data)
    stride = columns if y.flags.c_contiguous else y.strides[0]
    _check(lib.ql_look_up(_pointer(x), _pointer(table), pointer, rows, columns, stride))


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
        _check(function(*arguments))

    def bind(self, x: Array, y: Array) -> Bound:
        """The same with all of its arguments."""
        return _bound(*self._call(x, y))

    def _call(self, x: Array, y: Array) -> tuple[Any, ...]:
        images, result, signed, shape = _pointer(x), _pointer(y), self._x_signed, self._shape
        if self._by is None:
            return lib.ql_max_pool, images, signed, shape, result
        count_pad = self._by.include_pad
        return lib.ql_average_pool, images, signed, *self._x, shape, count_pad, result, *self._y


def softmax(x: Array, by: Softmax, y: Array) -> None:
    """Fill `y` with the softmax of the last axis of `x`, both contiguous."""
    length, target = x.shape[-1], by.target
    _check(
        lib.ql_softmax(
            _pointer(x),
            _is_signed(x),
            _int32(by.exponentials),
            _pointer(y),
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
        pointers = [ffi.from_buffer(_INT64S, place) for place in places]
        weights = [ffi.from_buffer(_FLOATS, ready(weight, np.float32)) for weight in shape.weight]
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
            _check(lib.ql_resize_nearest(_pointer(x), self._shape, _pointer(y)))
        else:
            _check(lib.ql_resize_linear(_pointer(x), self._is_signed, self._shape, _pointer(y)))


# --- entropy coding -----------------------------------------------------------------------------


def entropy_encode(
    symbols: Array, frequency: Array, first: Array, most_bits: Array, states: Array, log: int
) -> tuple[int, int, Array]:
    """The last state of coding `symbols`, contiguous uint16; the number of bits; and these."""
    arrays = {
        "frequency": ("uint32_t[]", frequency),
        "first": ("uint32_t[]", first),
        "most_bits": ("uint8_t[]", most_bits),
        "states": ("uint16_t[]", states),
    }
    pointers = {name: ffi.from_buffer(*pair) for name, pair in arrays.items()}
    coder = ffi.new("ql_entropy_coder *", {"log": log, **pointers})
    most = int(np.bincount(symbols, minlength=most_bits.size) @ most_bits.astype(np.int64))
    bits, state = np.empty(most // 8 + 1, np.uint8), ffi.new("uint32_t *")
    count = lib.ql_entropy_encode(
        ffi.from_buffer("uint16_t[]", symbols),
        symbols.size,
        coder,
        ffi.from_buffer("uint8_t[]", bits),
        state,
    )
    return state[0], count, bits[: -(-count // 8)].copy()


def entropy_decode(
    data: Array,
    start: Array,
    bits: Array,
    state: Array,
    length: int,
    steps: tuple[Array, Array, Array],
    codes: Array,
) -> bool:
    """Fill `codes`, int16, from segments of `length`; whether their bits end with them.

    `data` has four spare bytes; `start`, `bits` and `state` are int64; `steps` are the code, the
    number of bits and the base of each state.
    """
    table = np.empty((steps[0].size, 3), np.uint16)  # as ql_entropy_step has them
    table[:, 0], table[:, 1], table[:, 2] = steps[0].view(np.uint16), steps[2], steps[1]
    places = [ready(array, np.int64) for array in (start, bits, state)]
    status = lib.ql_entropy_decode(
        ffi.from_buffer("uint8_t[]", data),
        *[ffi.from_buffer(_INT64S, array) for array in places],
        len(places[0]),
        length,
        ffi.cast("ql_entropy_step *", _pointer(table)),
        ffi.from_buffer("int16_t[]", codes),
        codes.size,
    )
    return status == 0


# --- layers of float32 --------------------------------------------------------------------------

_ACTIVATIONS = {
    "erf": lib.QL_ERF,
    "gelu": lib.QL_GELU,
    "gelu_tanh": lib.QL_GELU_TANH,
    "sigmoid": lib.QL_SIGMOID,
}


def _float32(array: Array) -> Any:
    return ffi.from_buffer(_FLOATS, array)


def activate(function: str, x: Array, y: Array) -> None:
    """Fill `y` with a function of each element of `x`, both contiguous float32; they may be one."""
    lib.ql_activate(_ACTIVATIONS[function], _float32(x), _float32(y), x.size)


def real_softmax(x: Array, y: Array) -> None:
    """Fill `y` with the softmax of the last axis of `x`, both contiguous float32."""
    length = x.shape[-1]
    lib.ql_real_softmax(_float32(x), _float32(y), x.size // length if length else 0, length)


def layer_norm(x: Array, scale: Array, bias: Array | None, epsilon: float, y: Array) -> None:
    """Fill `y` with the normalized rows of `x`, as long as `scale`; all contiguous float32."""
    length = scale.size
    offset = ffi.NULL if bias is None else _float32(bias)
    rows = x.size // length if length else 0
    lib.ql_layer_norm(_float32(x), _float32(scale), offset, _float32(y), rows, length, epsilon)


class LocalNorm:
    """``x * (offset + factor * s)**-power``, s the squares of a row's window summed, in C's terms;
    `factor` is 0 or more, `offset` above 0."""

    def __init__(self, window: int, factor: float, offset: float, power: float) -> None:
        self._window = ffi.new("ql_window *", (window, factor, offset, power))

    def run(self, x: Array, y: Array) -> None:
        """Fill `y` along the last axis of `x`, both contiguous float32."""
        length = x.shape[-1]
        rows = x.size // length if length else 0
        _check(lib.ql_local_norm(_float32(x), _float32(y), rows, length, self._window))

    def run_codes(
        self, x: Array, x_by: tuple[float, int], y: Array, y_by: tuple[float, int]
    ) -> None:
        """Fill `y` from `x`, both contiguous 8-bit codes, with the scale and zero point of each."""
        _check(self.bind_codes(x, x_by, y, y_by)())

    def bind_codes(
        self, x: Array, x_by: tuple[float, int], y: Array, y_by: tuple[float, int]
    ) -> Bound:
        """The same with all of its arguments."""
        length = x.shape[-1]
        rows = x.size // length if length else 0
        operands = (_pointer(x), _is_signed(x), *x_by, _pointer(y), _is_signed(y), *y_by)
        return _bound(lib.ql_local_norm_of_codes, *operands, rows, length, self._window)
