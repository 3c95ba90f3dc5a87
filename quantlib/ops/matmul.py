"""Integer matrix products, in C."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments import (
    Activation,
    Array,
    Output,
    as_byte_zero_point,
    as_bytes,
    check_product,
    matmul_zero_points,
    no_rows,
    per_row,
    qlinear_matmul_output,
)
from quantlib.ops._results import room, settle

INT32: np.dtype[Any] = np.dtype(np.int32)


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
    return _Right(right, zb).multiply(left, za, None, None, out)


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
    return _Right(right, zb).multiply(left, za, output, offset, out)


class MatMulInteger:
    def __init__(self, b: npt.ArrayLike, b_zero_point: npt.ArrayLike | None = None) -> None:
        right = as_bytes(b, "b")
        _, zb = matmul_zero_points(no_rows(right, None), right, None, b_zero_point)
        self._right = _Right(right, zb)

    def __call__(
        self,
        a: npt.ArrayLike,
        a_zero_point: npt.ArrayLike | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        left = as_bytes(a, "a")
        check_product(left.shape, self._right.shape)
        za = as_byte_zero_point(a_zero_point, "a_zero_point", left.dtype, "a")
        za = per_row(za, "a_zero_point", left.shape)
        return self._right.multiply(left, za, None, None, out)


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
        example = no_rows(right, a_zero_point)
        _, zb = matmul_zero_points(example, right, a_zero_point, b_zero_point)
        self._a_zero_point = a_zero_point
        self._scales = a_scale, b_scale, y_scale, y_zero_point, bias, activation
        self._stages: dict[Any, tuple[Array, Output, Array]] = {}
        self._right = _Right(right, zb)
        self._stage(example)

    def __call__(self, a: npt.ArrayLike, *, out: Array | None = None) -> Array:
        left = as_bytes(a, "a")
        check_product(left.shape, self._right.shape)
        za, output, bias = self._stages.get(left.dtype) or self._stage(left)
        return self._right.multiply(left, za, output, bias, out)

    def _stage(self, a: Array) -> tuple[Array, Output, Array]:
        """Zero point, output stage and bias for operands of the type of `a`, kept."""
        za = as_byte_zero_point(self._a_zero_point, "a_zero_point", a.dtype, "a")
        example = np.zeros((0, self._right.k), a.dtype)
        za = per_row(za, "a_zero_point", example.shape)
        output, bias = qlinear_matmul_output(example, self._right.shape, *self._scales)
        self._stages[a.dtype] = za, output, bias
        return self._stages[a.dtype]


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

    def multiply(
        self, a: Array, za: Array, output: Output | None, bias: Array | None, out: Any
    ) -> Array:
        """The product with `a`, finished by `output`; parameters broadcast against it."""
        rows = a[np.newaxis] if a.ndim == 1 else a
        batch = np.broadcast_shapes(rows.shape[:-2], self.batch)
        shape = batch + rows.shape[-2:-1] * (a.ndim > 1) + (self.n,) * (self.ndim > 1)
        columns = None if bias is None else np.broadcast_to(bias, (self.n,))
        y = room(out, shape, INT32 if output is None else output.dtype, a)
        if self._shared is not None:
            self._multiply_shared(rows, za, output, columns, y)
        else:
            self._multiply_batch(rows, batch, za, output, columns, y)
        return settle(y, out)

    def _multiply_shared(
        self, a: Array, za: Array, output: Output | None, bias: Array | None, y: Array
    ) -> None:
        """One matrix for all rows: the batch dimensions of `a` are more rows."""
        leading = a.shape[:-1]
        if output is not None:
            output = _by_row(output, leading, self.n)
        stage = _native.Stage(output, bias, self.n)
        matrix: Any = self._shared
        count = math.prod(leading)
        rows = _contiguous_rows(a if a.ndim == 2 else a.reshape(count, self.k))
        matrix.multiply(rows, _zero_point_rows(za, leading), stage, y.reshape(count, self.n))

    def _multiply_batch(
        self,
        a: Array,
        batch: tuple[int, ...],
        za: Array,
        output: Output | None,
        bias: Array | None,
        y: Array,
    ) -> None:
        operands = np.broadcast_to(a, batch + a.shape[-2:])
        matrices: Any = np.broadcast_to(self._packed, batch)
        results = y.reshape(*batch, a.shape[-2], self.n)
        for index in np.ndindex(*batch):
            mine = output
            if output is not None:
                mine = _by_row(_slice_output(output, batch, index), operands.shape[-2:-1], self.n)
            stage = _native.Stage(mine, bias, self.n)
            rows = _contiguous_rows(operands[index])
            zero_points = _zero_point_rows(_of_matrix(za, batch, index), rows.shape[:1])
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
        return _native.ready(zero_point, np.int32)
    return _native.ready(np.broadcast_to(zero_point, (*leading, 1)).reshape(-1), np.int32)


def _slice_output(output: Output, batch: tuple[int, ...], index: tuple[int, ...]) -> Output:
    return replace(
        output,
        multiplier=_of_matrix(output.multiplier, batch, index),
        zero_point=_of_matrix(output.zero_point, batch, index),
        lower=_of_matrix(output.lower, batch, index),
        upper=_of_matrix(output.upper, batch, index),
    )


def _by_row(output: Output, leading: tuple[int, ...], columns: int) -> Output:
    """`output` with parameters that differ by row written out: multipliers (M, N), codes (M,)."""
    multiplier = output.multiplier
    if multiplier.ndim >= 2:
        multiplier = np.broadcast_to(multiplier, (*leading, columns))
        multiplier = multiplier.reshape(math.prod(leading), columns)
    codes = [
        np.broadcast_to(code, (*leading, 1)).reshape(-1) if code.ndim >= 2 else code
        for code in (output.zero_point, output.lower, output.upper)
    ]
    return Output(output.dtype, multiplier, *codes)
