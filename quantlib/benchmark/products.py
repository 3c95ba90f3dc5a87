"""Matrix products: quantlib's forms of them, and NumPy's in float32.

Codes are drawn over their whole range. int8 left operands have the zero point 0 and uint8 ones 121;
right operands are int8 with the zero point 0 and, where scales matter, one for each column, which
is how networks are quantized in practice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from quantlib import ops, reference
from quantlib.benchmark.cases import BASELINE, Admission
from quantlib.benchmark.stopwatch import Contender
from quantlib.ops._results import room

A_SCALE = np.float32(0.02)
INT8, UINT8 = np.dtype(np.int8), np.dtype(np.uint8)
ZERO_POINTS = {INT8: np.int8(0), UINT8: np.uint8(121)}
Y_ZERO_POINTS = {INT8: np.int8(-11), UINT8: np.uint8(117)}
STEPS_OF_DEVIATION = 40.0  # the codes that a standard deviation of the result spans


@dataclass(frozen=True)
class MatmulShape:
    """(M, K) @ (K, N)."""

    m: int
    k: int
    n: int

    @property
    def label(self) -> str:
        return f"{self.m},{self.k},{self.n}"

    @property
    def operations(self) -> int:
        return 2 * self.m * self.k * self.n


@dataclass(frozen=True)
class Operands:
    """The data of one shape."""

    shape: MatmulShape

    @cached_property
    def left(self) -> dict[np.dtype[Any], Any]:
        """By type; the same bytes."""
        random = np.random.default_rng(self.shape.operations)
        codes = random.integers(-128, 128, (self.shape.m, self.shape.k), np.int8)
        return {INT8: codes, UINT8: codes.view(np.uint8)}

    @cached_property
    def right(self) -> Any:
        random = np.random.default_rng(self.shape.operations + 1)
        return random.integers(-128, 128, (self.shape.k, self.shape.n), np.int8)

    @cached_property
    def b_scale(self) -> Any:
        random = np.random.default_rng(self.shape.n)
        return random.uniform(0.004, 0.006, self.shape.n).astype(np.float32)

    @cached_property
    def y_scale(self) -> np.float32:
        """Such that few results saturate."""
        deviation = A_SCALE * 0.005 * 74 * 74 * np.sqrt(self.shape.k)
        return np.float32(deviation / STEPS_OF_DEVIATION)

    @cached_property
    def real(self) -> tuple[Any, Any]:
        return self.left[INT8].astype(np.float32), self.right.astype(np.float32)

    @cached_property
    def real_product(self) -> Any:
        left, right = self.real
        return (left.astype(np.float64) @ right.astype(np.float64)).astype(np.float32)

    @cached_property
    def integer_product(self) -> dict[np.dtype[Any], Any]:
        return {
            dtype: reference.matmul_integer(a, self.right, ZERO_POINTS[dtype])
            for dtype, a in self.left.items()
        }

    @cached_property
    def quantized_product(self) -> dict[np.dtype[Any], Any]:
        return {
            dtype: reference.qlinear_matmul(a, *self.quantized_arguments(dtype))
            for dtype, a in self.left.items()
        }

    @cached_property
    def scaled_product(self) -> Any:
        """Of uint8 codes, as reals."""
        a_scale, a_zero_point, b, b_scale, b_zero_point, *_ = self.quantized_arguments(UINT8)
        return reference.qlinear_matmul(
            self.left[UINT8], a_scale, a_zero_point, b, b_scale, b_zero_point, None, None
        )

    @cached_property
    def dynamic_product(self) -> Any:
        """Of reals, quantized by their own range on the way."""
        return reference.dynamic_quantize_matmul(self.real[0], self.right, self.b_scale)

    def quantized_arguments(self, dtype: np.dtype[Any]) -> tuple[Any, ...]:
        """As `qlinear_matmul` and the ONNX operator take them, after the left operand."""
        b_zero_point = np.zeros(self.shape.n, np.int8)
        right = self.right, self.b_scale, b_zero_point
        return A_SCALE, ZERO_POINTS[dtype], *right, self.y_scale, Y_ZERO_POINTS[dtype]

    def result(self, dtype: Any) -> Any:
        """Room for results that begins at a cache line, as new results of all engines do."""
        return room(None, (self.shape.m, self.shape.n), np.dtype(dtype))


def baseline(data: Operands, admission: Admission) -> Contender:
    left, right = data.real
    y = data.result(np.float32)
    return admission.required(BASELINE, lambda: np.matmul(left, right, out=y), data.real_product)


def integer(data: Operands, dtype: np.dtype[Any], admission: Admission) -> Contender:
    """int32 results, the right operand prepared."""
    op = ops.MatMulInteger(data.right)
    a, zero_point, y = data.left[dtype], _zero_point(dtype), data.result(np.int32)
    return admission.required(
        f"MatMulInteger {dtype}",
        lambda: op(a, zero_point, out=y),
        data.integer_product[dtype],
    )


def integer_at_once(data: Operands, dtype: np.dtype[Any], admission: Admission) -> Contender:
    """int32 results, the right operand given with the call."""
    a, b, zero_point, y = data.left[dtype], data.right, _zero_point(dtype), data.result(np.int32)
    return admission.required(
        f"matmul_integer {dtype}, not prepared",
        lambda: ops.matmul_integer(a, b, zero_point, out=y),
        data.integer_product[dtype],
    )


def quantized(data: Operands, dtype: np.dtype[Any], admission: Admission) -> Contender:
    """8-bit results, the right operand prepared, a multiplier for each column."""
    a, y = data.left[dtype], data.result(dtype)
    a_scale, a_zero_point, b, b_scale, _, y_scale, y_zero_point = data.quantized_arguments(dtype)
    op = ops.QLinearMatMul(
        b,
        b_scale,
        a_scale=a_scale,
        a_zero_point=a_zero_point,
        y_scale=y_scale,
        y_zero_point=y_zero_point,
    )
    return admission.required(
        f"QLinearMatMul {dtype}", lambda: op(a, out=y), data.quantized_product[dtype]
    )


def quantized_at_once(data: Operands, dtype: np.dtype[Any], admission: Admission) -> Contender:
    """8-bit results, the right operand given with the call."""
    a, y, arguments = data.left[dtype], data.result(dtype), data.quantized_arguments(dtype)
    return admission.required(
        f"qlinear_matmul {dtype}, not prepared",
        lambda: ops.qlinear_matmul(a, *arguments, out=y),
        data.quantized_product[dtype],
    )


def scaled(data: Operands, admission: Admission) -> Contender:
    """float32 results of uint8 codes, the right operand prepared, a scale for each column."""
    a, y = data.left[UINT8], data.result(np.float32)
    op = ops.QLinearMatMul(
        data.right, data.b_scale, a_scale=A_SCALE, a_zero_point=ZERO_POINTS[UINT8]
    )
    return admission.required(
        "QLinearMatMul uint8 to float32", lambda: op(a, out=y), data.scaled_product
    )


def dynamic(data: Operands, admission: Admission) -> Contender:
    """float32 in and out, the right operand prepared, a scale for each column."""
    a, y = data.real[0], data.result(np.float32)
    op = ops.DynamicQuantizeMatMul(data.right, data.b_scale)
    return admission.required("DynamicQuantizeMatMul", lambda: op(a, out=y), data.dynamic_product)


def new_results(data: Operands, admission: Admission) -> Iterator[Contender]:
    """The prepared operations without ``out``, as they are called most."""
    signed, unsigned = data.left[INT8], data.left[UINT8]
    integer_op = ops.MatMulInteger(data.right)
    yield admission.required(
        "MatMulInteger int8, new result",
        lambda: integer_op(signed),
        data.integer_product[INT8],
    )
    scaled_op = ops.QLinearMatMul(
        data.right, data.b_scale, a_scale=A_SCALE, a_zero_point=ZERO_POINTS[UINT8]
    )
    yield admission.required(
        "QLinearMatMul uint8 to float32, new result",
        lambda: scaled_op(unsigned),
        data.scaled_product,
    )


def _zero_point(dtype: np.dtype[Any]) -> Any:
    """None instead of 0, as a caller without a zero point writes it."""
    return ZERO_POINTS[dtype] or None
