"""Integer matrix products, in C."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array, as_byte_zero_point, as_bytes
from quantlib._arguments.matmul import (
    check_product,
    check_scalars,
    matmul_zero_points,
    no_rows,
    per_row,
    qlinear_matmul_output,
)
from quantlib._arguments.output import Activation, Output
from quantlib.ops._results import room, settle

INT32: np.dtype[Any] = np.dtype(np.int32)
NO_ZERO_POINT = np.zeros((), np.int32)
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
    left, right = as_bytes(a, "a"), as_bytes(b, "b")
    za, zb = matmul_zero_points(left, right, a_zero_point, b_zero_point)
    packed = _Right(right, zb)
    return packed.multiply(left, za, _Finish(None, None, packed.n), out)


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
    left, right = as_bytes(a, "a"), as_bytes(b, "b")
    za, zb = matmul_zero_points(left, right, a_zero_point, b_zero_point)
    output, offset = qlinear_matmul_output(
        left, right.shape, a_scale, b_scale, y_scale, y_zero_point, bias, activation
    )
    packed = _Right(right, zb)
    return packed.multiply(left, za, _Finish(output, offset, packed.n), out)


class MatMulInteger:
    def __init__(self, b: npt.ArrayLike, b_zero_point: npt.ArrayLike | None = None) -> None:
        right = as_bytes(b, "b")
        _, zb = matmul_zero_points(no_rows(right, None), right, None, b_zero_point)
        self._right = _Right(right, zb)
        self._finish = _Finish(None, None, self._right.n)

    def __call__(
        self,
        a: npt.ArrayLike,
        a_zero_point: npt.ArrayLike | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        left = as_bytes(a, "a")
        self._right.check(left)
        za = NO_ZERO_POINT
        if a_zero_point is not None:
            za = as_byte_zero_point(a_zero_point, "a_zero_point", left.dtype, "a")
            za = per_row(za, "a_zero_point", left.shape)
        return self._right.multiply(left, za, self._finish, out)


class QLinearMatMul:
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
        check_scalars(
            a_scale=a_scale,
            a_zero_point=a_zero_point,
            y_scale=y_scale,
            y_zero_point=y_zero_point,
        )
        example = no_rows(right, a_zero_point)
        _, zb = matmul_zero_points(example, right, a_zero_point, b_zero_point)
        self._a_zero_point = deepcopy(a_zero_point)
        self._scales = deepcopy((a_scale, b_scale, y_scale, y_zero_point, bias, activation))
        self._stages: dict[Any, tuple[Array, _Finish]] = {}
        self._right = _Right(right, zb)
        self._stage(example)

    def __call__(self, a: npt.ArrayLike, *, out: Array | None = None) -> Array:
        left = as_bytes(a, "a")
        self._right.check(left)
        za, finish = self._stages.get(left.dtype) or self._stage(left)
        return self._right.multiply(left, za, finish, out)

    def _stage(self, a: Array) -> tuple[Array, _Finish]:
        """Zero point and output stage for operands of the type of `a`, kept."""
        za = as_byte_zero_point(self._a_zero_point, "a_zero_point", a.dtype, "a")
        example = np.zeros((0, self._right.k), a.dtype)
        za = per_row(za, "a_zero_point", example.shape)
        output, bias = qlinear_matmul_output(example, self._right.shape, *self._scales)
        entry = za, _Finish(output, bias, self._right.n)
        self._stages[a.dtype] = entry
        return entry


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
        self._same = None if differs else _native.Stage(output, self.bias, columns)

    def stage(
        self, leading: tuple[int, ...], batch: tuple[int, ...] = (), index: tuple[int, ...] = ()
    ) -> _native.Stage:
        """The stage for rows of the shape `leading`, of one matrix of a batch or of all."""
        if self._same is not None:
            return self._same
        output: Any = self.output
        return _native.Stage(_flat(output, leading, batch, index), self.bias, self.columns)


class _Right:
    """A right operand, packed: one matrix for each entry of its batch dimensions."""

    def __init__(self, b: Array, zero_point: Array) -> None:
        self.shape, self.ndim = b.shape, b.ndim
        matrices = b[:, np.newaxis] if b.ndim == 1 else b
        self.k, self.n = matrices.shape[-2:]
        self.batch = matrices.shape[:-2]
        self._packed = np.empty(self.batch, object)
        for index in np.ndindex(*self.batch):
            mine = _of_matrix(zero_point, self.batch, index)
            self._packed[index] = _native.Matrix(matrices[index], mine)
        self._shared = self._packed.reshape(-1)[0] if self._packed.size == 1 else None

    def check(self, a: Array) -> None:
        """Raise unless `a` can stand to the left."""
        if a.ndim != 2 or self.ndim != 2 or a.shape[1] != self.k:
            check_product(a.shape, self.shape)

    def multiply(self, a: Array, za: Array, finish: _Finish, out: Any) -> Array:
        """The product with `a`, finished; parameters broadcast against it."""
        rows = a[np.newaxis] if a.ndim == 1 else a
        batch = rows.shape[:-2]
        if self.batch:
            batch = np.broadcast_shapes(batch, self.batch)
        shape = batch + rows.shape[-2:-1] * (a.ndim > 1) + (self.n,) * (self.ndim > 1)
        y = room(out, shape, finish.dtype, a)
        if self._shared is not None:
            self._multiply_shared(rows, (*batch, rows.shape[-2]), za, finish, y)
        else:
            self._multiply_batch(rows, batch, za, finish, y)
        return settle(y, out)

    def _multiply_shared(
        self, a: Array, leading: tuple[int, ...], za: Array, finish: _Finish, y: Array
    ) -> None:
        """One matrix for all rows, which are those of `a`: batch dimensions are more rows."""
        stage = finish.stage(leading)
        if a.ndim != 2:
            count = math.prod(leading)
            a, y = a.reshape(count, self.k), y.reshape(count, self.n)
        matrix: Any = self._shared
        matrix.multiply(_contiguous_rows(a), _zero_point_rows(za, leading), stage, y)

    def _multiply_batch(
        self, a: Array, batch: tuple[int, ...], za: Array, finish: _Finish, y: Array
    ) -> None:
        operands = np.broadcast_to(a, batch + a.shape[-2:])
        matrices: Any = np.broadcast_to(self._packed, batch)
        results = y.reshape(*batch, a.shape[-2], self.n)
        for index in np.ndindex(*batch):
            rows = _contiguous_rows(operands[index])
            zero_points = _zero_point_rows(_of_matrix(za, batch, index), rows.shape[:1])
            stage = finish.stage(rows.shape[:1], batch, index)
            matrices[index].multiply(rows, zero_points, stage, results[index])


def _contiguous_rows(a: Array) -> Array:
    """`a`, (M, K), or a copy, such that the codes of a row stand side by side."""
    return a if a.strides[1] == 1 or (a.size == 0 and a.flags.c_contiguous) else a.copy(order="C")


def _of_matrix(value: Array, batch: tuple[int, ...], index: tuple[int, ...]) -> Array:
    """The part of a parameter that belongs to one matrix of a batch."""
    if value.ndim <= 2:
        return value
    part: Array = np.broadcast_to(value, batch + value.shape[-2:])[index]
    return part


def _zero_point_rows(zero_point: Array, leading: tuple[int, ...]) -> Array:
    """Zero points of rows as C takes them: an int32 scalar or one for each row."""
    if zero_point.ndim < 2:
        return zero_point if zero_point.ndim == 0 else _native.ready(zero_point, np.int32)
    return _native.ready(np.broadcast_to(zero_point, (*leading, 1)).reshape(-1), np.int32)


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
