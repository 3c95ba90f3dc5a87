"""Integer matrix products, in C."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.affine import not_finite
from quantlib._arguments.arrays import (
    FLOAT32,
    INT8,
    INT32,
    UINT8,
    Array,
    as_byte_zero_point,
    as_bytes,
    as_flag,
    as_float32,
    per_tensor,
)
from quantlib._arguments.matmul import (
    check_product,
    check_scalars,
    dynamic_matmul_output,
    matmul_zero_points,
    no_rows,
    per_row,
    qlinear_matmul_output,
    with_scale,
)
from quantlib._arguments.output import Activation, Output
from quantlib._arguments.prepared import Prepared, own_arguments
from quantlib.ops._remembered import Remembered, key_of
from quantlib.ops._results import empty, room, settle

# The parameters of an Output that may differ by row or, for batches, have more dimensions.
SHAPED = ("row_factor", "column_factor", "divisor", "zero_point", "lower", "upper")


def matmul_integer(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    a_zero_point: npt.ArrayLike | None = None,
    b_zero_point: npt.ArrayLike | None = None,
    *,
    out: Array | None = None,
) -> Array:
    code = 0 if a_zero_point is None else _plain_code(a_zero_point, a)
    if code is not None and b_zero_point is None:
        y = _integers_once(a, code, b, out)
        if y is not None:
            return y
    left, right = as_bytes(a, "a"), as_bytes(b, "b")
    if b_zero_point is None and left.ndim == right.ndim == 2 and left.shape[1] == len(right):
        za = _left_zero_point(a_zero_point, left)  # most are, and need none of what batches do
        operand = _native.Operand(right, None)
        return _multiply_matrices(left, za, operand, (right,), _INTEGERS, out)
    za, zb = matmul_zero_points(left, right, a_zero_point, b_zero_point)
    return _Right(right, zb, _native.Operand).multiply(left, za, _INTEGERS, out)


def qlinear_matmul(
    a: npt.ArrayLike,
    a_scale: npt.ArrayLike,
    a_zero_point: npt.ArrayLike | None,
    b: npt.ArrayLike,
    b_scale: npt.ArrayLike,
    b_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike | None,
    y_zero_point: npt.ArrayLike | None,
    *,
    bias: npt.ArrayLike | None = None,
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    given = a_zero_point, b_zero_point, a_scale, b_scale, y_scale, y_zero_point, bias, activation
    known = _KNOWN.again(None, given)
    if known is not None and (y := known.once(a, known.za, b, out)) is not None:
        return y
    left, right = as_bytes(a, "a"), as_bytes(b, "b")
    known = _known(left, right, given)
    if (y := known.once(left, known.za, right, out)) is not None:
        return y
    if left.ndim == right.ndim == 2:
        operand = _native.Operand(right, known.zb, known.columns)
        return _multiply_matrices(left, known.za, operand, (right,), known.finish, out)
    return _Right(right, known.zb, _native.Operand).multiply(left, known.za, known.finish, out)


def dynamic_quantize_matmul(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    b_scale: npt.ArrayLike,
    b_zero_point: npt.ArrayLike | None = None,
    *,
    bias: npt.ArrayLike | None = None,
    per_row: bool = False,
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    left, right, by_row = as_float32(a, "a"), as_bytes(b, "b"), as_flag(per_row, "per_row")
    zb, output = dynamic_matmul_output(left, right, b_scale, b_zero_point, bias, activation)
    packed = _Right(right, zb)
    return packed.multiply_reals(left, by_row, _Finish(output, None, packed.n), out)


class MatMulInteger(Prepared):
    def __init__(self, b: npt.ArrayLike, b_zero_point: npt.ArrayLike | None = None) -> None:
        right = as_bytes(b, "b")
        self._given = own_arguments(b_zero_point=b_zero_point)
        _, zb = matmul_zero_points(no_rows(right, None), right, None, self._given["b_zero_point"])
        self._right = _Right(right, zb)
        self._finish = _Finish(None, None, self._right.n)
        self._plain = self._right.plainly(self._finish)

    def __call__(
        self,
        a: npt.ArrayLike,
        a_zero_point: npt.ArrayLike | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        code = 0 if a_zero_point is None else _plain_code(a_zero_point, a)
        if code is not None and (y := self._plain(a, code, out)) is not None:
            return y
        left, right = as_bytes(a, "a"), self._right
        if left.ndim != 2 or left.shape[1] != right.depth:
            right.check(left)
        za = 0 if a_zero_point is None else _left_zero_point(a_zero_point, left)
        return right.multiply(left, za, self._finish, out)

    def _arguments(self) -> dict[str, Any]:
        return {"b": self._right.unpacked(), **self._given}


class QLinearMatMul(Prepared):
    def __init__(
        self,
        b: npt.ArrayLike,
        b_scale: npt.ArrayLike,
        b_zero_point: npt.ArrayLike | None = None,
        *,
        a_scale: npt.ArrayLike,
        a_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike | None = None,
        y_zero_point: npt.ArrayLike | None = None,
        bias: npt.ArrayLike | None = None,
        activation: Activation = None,
    ) -> None:
        right = as_bytes(b, "b")
        self._given = given = own_arguments(
            b_scale=b_scale,
            b_zero_point=b_zero_point,
            a_scale=a_scale,
            a_zero_point=a_zero_point,
            y_scale=y_scale,
            y_zero_point=y_zero_point,
            bias=bias,
            activation=activation,
        )
        check_scalars(given, "a_scale", "a_zero_point", "y_scale", "y_zero_point")
        example = no_rows(right, given["a_zero_point"])
        _, zb = matmul_zero_points(example, right, given["a_zero_point"], given["b_zero_point"])
        self._stages: dict[Any, tuple[int, _Finish, _Prepared]] = {}
        self._right = _Right(right, zb)
        self._last = self._stage(example)

    def __call__(self, a: npt.ArrayLike, *, out: Array | None = None) -> Array:
        za, finish, plainly = self._last
        if (y := plainly(a, za, out)) is not None:
            return y
        left, right = as_bytes(a, "a"), self._right
        if left.ndim != 2 or left.shape[1] != right.depth:
            right.check(left)
        za, finish, _ = self._last = self._stages.get(left.dtype) or self._stage(left)
        return right.multiply(left, za, finish, out)

    def _arguments(self) -> dict[str, Any]:
        return {"b": self._right.unpacked(), **self._given}

    def _stage(self, a: Array) -> tuple[int, _Finish, _Prepared]:
        """Zero point and output stage for operands of the type of `a`, and the call that most
        need, kept."""
        given = self._given
        za = as_byte_zero_point(given["a_zero_point"], "a_zero_point", a.dtype, "a")
        example = np.zeros((0, self._right.k), a.dtype)
        names = "a_scale", "b_scale", "y_scale", "y_zero_point", "bias", "activation"
        output, bias = qlinear_matmul_output(
            example, self._right.shape, *(given[name] for name in names)
        )
        finish = _Finish(output, bias, self._right.n)
        code = int(per_tensor(za, "a_zero_point"))
        entry = code, finish, self._right.plainly(finish, a.dtype)
        self._stages[a.dtype] = entry
        return entry


class DynamicQuantizeMatMul(Prepared):
    def __init__(
        self,
        b: npt.ArrayLike,
        b_scale: npt.ArrayLike,
        b_zero_point: npt.ArrayLike | None = None,
        *,
        bias: npt.ArrayLike | None = None,
        per_row: bool = False,
        activation: Activation = None,
    ) -> None:
        right = as_bytes(b, "b")
        self._by_row = as_flag(per_row, "per_row")
        parameters = own_arguments(
            b_scale=b_scale, b_zero_point=b_zero_point, bias=bias, activation=activation
        )
        self._given = {**parameters, "per_row": self._by_row}
        zb, output = dynamic_matmul_output(no_rows(right, None), right, **parameters)
        self._right = _Right(right, zb)
        self._finish = _Finish(output, None, self._right.n)
        self._plain = self._right.plainly(self._finish, FLOAT32, by_row=self._by_row)

    def __call__(self, a: npt.ArrayLike, *, out: Array | None = None) -> Array:
        if (y := self._plain(a, 0, out)) is not None:
            return y
        left, right = as_float32(a, "a"), self._right
        if left.ndim != 2 or left.shape[1] != right.depth:
            right.check(left)
        return right.multiply_reals(left, self._by_row, self._finish, out)

    def _arguments(self) -> dict[str, Any]:
        return {"b": self._right.unpacked(), **self._given}


class _Finish:
    """What becomes of the accumulators; C's terms are kept where no parameter differs by row."""

    def __init__(self, output: Output | None, bias: Array | None, columns: int) -> None:
        self.output = output
        self.dtype = INT32 if output is None else output.dtype
        self.bias = None if bias is None else np.broadcast_to(bias, (columns,))
        self.columns = columns
        differs = output is not None and any(
            getattr(output, name).ndim >= 2 for name in SHAPED if getattr(output, name) is not None
        )
        # No data has a scale above 2 * max / 255, the whole range of float32, and 127 times that is
        # finite.
        self.may_overflow = output is not None and bool(np.any(output.column_factor > 127))
        # C's terms, where they are the same for all rows.
        self.same = None if differs else _native.Stage(output, self.bias, columns)

    @property
    def is_own(self) -> bool:
        """Whether it holds nothing that the caller may change."""
        return self.same is not None

    def check_scale(self, a_scale: Array) -> None:
        """Raise if a multiplier overflows with the scales of a left operand."""
        if self.may_overflow:
            output: Any = self.output
            with_scale(output, a_scale)

    def stage(
        self, leading: tuple[int, ...], batch: tuple[int, ...] = (), index: tuple[int, ...] = ()
    ) -> _native.Stage:
        """The stage for rows of the shape `leading`, of one matrix of a batch or of all."""
        if self.same is not None:
            return self.same
        output: Any = self.output
        return _native.Stage(_flat(output, leading, batch, index), self.bias, self.columns)


_INTEGERS = _Finish(None, None, 0)  # accumulators as they are, of any number of columns


class _Known(NamedTuple):
    """What follows from the parameters of ``qlinear_matmul``, for operands of these shapes."""

    za: Any  # an int, if it is the same for all rows
    zb: Array
    columns: Any  # zb in C's terms
    finish: _Finish
    once: _Once


_KNOWN: Remembered[_Known] = Remembered()


def _known(a: Array, b: Array, given: tuple[Any, ...]) -> _Known:
    """What follows from parameters, remembered."""
    kind = a.shape, a.dtype, b.shape, b.dtype
    values = key_of(*given)
    key = None if values is None else (kind, values)
    known = _KNOWN.get(key)
    if known is not None:
        if known.once is not _not_plain:
            _KNOWN.hold(None, given, known)
        return known
    za, zb = matmul_zero_points(a, b, *given[:2])
    columns = b.shape[-1] if b.ndim > 1 else 1
    finish = _Finish(*qlinear_matmul_output(a, b.shape, *given[2:]), columns)
    terms = _native.column_zero_points(zb, columns) if b.ndim == 2 else None
    once: _Once = _not_plain
    if not za.ndim and b.ndim == 2 and finish.same is not None:
        once = _plainly_once(_native.once_by_address(a, b, terms, finish.same), finish.dtype)
    known = _Known(za if za.ndim else int(za), zb, terms, finish, once)
    if finish.is_own:
        _KNOWN.keep(key, known)
    return known


# Products whose operands C reads where they are: of a left operand, its zero point, the right one
# if that comes with the call, and a result; None if they have to be asked for in another way.
# Nearly always there is nothing about operands that needs a second look.
_Prepared = Callable[[Any, int, Any], Array | None]
_Once = Callable[[Any, int, Any, Any], Array | None]


def _plainly(call: _native.AddressCall, columns: int, dtype: Any) -> _Prepared:
    """The product with an operand of so many columns."""

    def multiply(a: Any, za: int, out: Any) -> Array | None:
        y = out
        if out is None:
            if type(a) is not np.ndarray or a.ndim != 2:
                return None
            y = empty((len(a), columns), dtype)
        status = call(id(a), za, id(y))
        if status:
            _native.declined(status)
            return None
        return y  # type: ignore[no-any-return]

    return multiply


def _plainly_once(call: _native.AddressCall, dtype: Any) -> _Once:
    """The product with an operand that comes with the call."""

    def multiply(a: Any, za: int, b: Any, out: Any) -> Array | None:
        y = out
        if out is None:
            if type(a) is not np.ndarray or type(b) is not np.ndarray or not a.ndim == b.ndim == 2:
                return None
            y = empty((len(a), b.shape[1]), dtype)
        status = call(id(a), za, id(b), id(y))
        if status:
            _native.declined(status)
            return None
        return y  # type: ignore[no-any-return]

    return multiply


def _not_plain(*arguments: Any) -> None:
    """The product of operands or parameters that have to be looked at each time."""


class _Right:
    """A right operand: one matrix for each entry of its batch dimensions, packed to be kept or, as
    an `Operand`, for one product."""

    def __init__(self, b: Array, zero_point: Array, matrix: Any = _native.Matrix) -> None:
        self.shape, self.ndim, self.dtype = b.shape, b.ndim, b.dtype
        self.reads = (b,) if matrix is _native.Operand else ()  # while C writes the result
        matrices = b[:, np.newaxis] if b.ndim == 1 else b
        self.k, self.n = matrices.shape[-2:]
        self.depth = self.k if b.ndim == 2 else None  # what operands of two dimensions must have
        self.batch = matrices.shape[:-2]
        self._packed = np.empty(self.batch, object)
        self._shared: Any = None
        self._matrix: Any = None  # what most products are with
        if not self.batch:
            self._shared = self._packed[()] = matrix(matrices, zero_point)
            self._matrix = self._shared if b.ndim == 2 else None
            return
        for index in np.ndindex(*self.batch):
            mine = _of_matrix(zero_point, self.batch, index)
            self._packed[index] = matrix(matrices[index], mine)
        if self._packed.size == 1:
            self._shared = self._packed.reshape(-1)[0]

    def plainly(self, finish: _Finish, dtype: Any = None, *, by_row: bool = False) -> _Prepared:
        """The product of a matrix of this type, or of any codes, with one packed matrix."""
        if self._matrix is None or finish.same is None or finish.may_overflow:
            return _not_plain
        call = self._matrix.by_address(finish.same, dtype, by_row=by_row)
        return _plainly(call, self.n, finish.dtype)

    def unpacked(self) -> Array:
        """The codes, as they were given."""
        b = np.empty((*self.batch, self.k, self.n), self.dtype)
        packed: Any = self._packed
        for index in np.ndindex(*self.batch):
            packed[index].unpack(b[index])
        return b.reshape(self.shape)

    def check(self, a: Array) -> None:
        """Raise unless `a` can stand to the left."""
        check_product(a.shape, self.shape)

    def multiply_reals(self, a: Array, by_row: bool, finish: _Finish, out: Any) -> Array:
        """The product with `a`, float32, quantized by its range or by that of each row."""
        matrix, stage = self._matrix, finish.same
        if matrix is not None and a.ndim == 2 and stage is not None and not finish.may_overflow:
            y = room(out, (len(a), self.n), finish.dtype, a)
            if not matrix.multiply_reals(a, by_row, stage, y):
                raise not_finite("a")
            return settle(y, out)
        data, scale, zero_point = _dynamic(a, by_row)
        finish.check_scale(scale)
        return self.multiply(data, zero_point, finish, out, scale)

    def multiply(
        self, a: Array, za: int | Array, finish: _Finish, out: Any, scale: Array | None = None
    ) -> Array:
        """The product with `a`, finished; parameters broadcast against it. With a `scale`, `a` is
        float32, to be quantized."""
        if self._matrix is not None and a.ndim == 2 and scale is None:
            return _multiply_matrices(a, za, self._matrix, self.reads, finish, out)
        rows = a[np.newaxis] if a.ndim == 1 else a
        batch = rows.shape[:-2]
        if self.batch:
            batch = np.broadcast_shapes(batch, self.batch)
        shape = batch + rows.shape[-2:-1] * (a.ndim > 1) + (self.n,) * (self.ndim > 1)
        y = room(out, shape, finish.dtype, a, *self.reads)
        if self._shared is not None:
            self._multiply_shared(rows, (*batch, rows.shape[-2]), za, scale, finish, y)
        else:
            self._multiply_batch(rows, batch, za, scale, finish, y)
        return settle(y, out)

    def _multiply_shared(
        self,
        a: Array,
        leading: tuple[int, ...],
        za: int | Array,
        scale: Array | None,
        finish: _Finish,
        y: Array,
    ) -> None:
        """One matrix for all rows, which are those of `a`: batch dimensions are more rows."""
        stage = finish.stage(leading)
        if a.ndim != 2:
            count = math.prod(leading)
            a, y = a.reshape(count, self.k), y.reshape(count, self.n)
        matrix: Any = self._shared
        za = _by_row(za, leading)
        if scale is None:
            matrix.multiply(a, za, stage, y)
        else:
            matrix.multiply_scaled(a, _by_row(scale, leading), za, stage, y)

    def _multiply_batch(
        self,
        a: Array,
        batch: tuple[int, ...],
        za: int | Array,
        scale: Array | None,
        finish: _Finish,
        y: Array,
    ) -> None:
        operands = np.broadcast_to(a, batch + a.shape[-2:])
        matrices: Any = np.broadcast_to(self._packed, batch)
        results = y.reshape(*batch, a.shape[-2], self.n)
        for index in np.ndindex(*batch):
            rows, leading = operands[index], a.shape[-2:-1]
            zero_points = _by_row(_of_matrix(za, batch, index), leading)
            stage = finish.stage(leading, batch, index)
            if scale is None:
                matrices[index].multiply(rows, zero_points, stage, results[index])
            else:
                factors = _by_row(_of_matrix(scale, batch, index), leading)
                matrices[index].multiply_scaled(rows, factors, zero_points, stage, results[index])


_integers_once = _plainly_once(_native.integers_by_address(), INT32)


def _multiply_matrices(
    a: Array, za: int | Array, matrix: Any, reads: tuple[Array, ...], finish: _Finish, out: Any
) -> Array:
    """`a`, (M, K), times `matrix`, finished; `reads` is what C reads besides `a` meanwhile."""
    rows = len(a)
    y = room(out, (rows, matrix.n), finish.dtype, a, *reads)
    if type(za) is not int:
        za = _by_row(za, (rows,))
    matrix.multiply(a, za, finish.same or finish.stage((rows,)), y)
    return y if out is None or out is y else settle(y, out)


_CODES: dict[Any, np.dtype[Any]] = {np.int8: INT8, np.uint8: UINT8}


def _plain_code(zero_point: Any, a: Any) -> int | None:
    """A zero point that is a code of the type of `a`; None if that is not plain to see."""
    dtype = _CODES.get(type(zero_point))
    if dtype is None or type(a) is not np.ndarray or a.dtype is not dtype:
        return None
    return int(zero_point)


def _left_zero_point(zero_point: Any, a: Array) -> int | Array:
    """The zero point of a left operand, checked: one, or one for each row."""
    if zero_point is None:
        return 0
    if (code := _plain_code(zero_point, a)) is not None:
        return code
    given = as_byte_zero_point(zero_point, "a_zero_point", a.dtype, "a")
    return per_row(given, "a_zero_point", a.shape)


def _of_matrix(value: Any, batch: tuple[int, ...], index: tuple[int, ...]) -> Any:
    """The part of a parameter that belongs to one matrix of a batch."""
    if type(value) is int or value.ndim <= 2:
        return value
    return np.broadcast_to(value, batch + value.shape[-2:])[index]


def _by_row(parameter: Any, leading: tuple[int, ...]) -> Any:
    """A parameter of rows as C takes it: a scalar or one for each row."""
    if type(parameter) is int or parameter.ndim < 2:
        return parameter
    if parameter.shape[:-1] != leading:
        parameter = np.broadcast_to(parameter, (*leading, 1))
    return _native.ready(parameter.reshape(-1), parameter.dtype)


def _dynamic(a: Array, by_row: bool) -> tuple[Array, Array, Array]:
    """`a`, or a copy, with rows that C can read, and its scale and zero point, or those of each
    row in the shape (..., M, 1)."""
    rows = a if a.ndim == 2 else a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
    if rows.strides[1] != rows.itemsize or not rows.flags.aligned:
        rows = rows.copy(order="C")
    shape = (len(rows),) if by_row else ()
    scale, zero_point = np.empty(shape, np.float32), np.empty(shape, np.int32)
    if not _native.dynamic_range(rows, scale, zero_point):
        raise not_finite("a")
    data = rows if a.ndim == 2 else rows.reshape(a.shape)
    if not by_row:
        return data, scale, zero_point
    shape = (*a.shape[:-1], 1)
    return data, scale.reshape(shape), zero_point.reshape(shape)


def _flat(
    output: Output, leading: tuple[int, ...], batch: tuple[int, ...], index: tuple[int, ...]
) -> Output:
    """`output` for rows of the shape `leading`, of one matrix of a batch or of all: parameters
    have one dimension, or none."""
    flat = {}
    for name in SHAPED:
        value = getattr(output, name)
        if value is None or value.ndim < 2:
            continue
        value = _of_matrix(value, batch, index) if index else value
        if name != "column_factor":
            value = np.broadcast_to(value, (*leading, 1))
        flat[name] = value.reshape(-1)
    return replace(output, **flat)
