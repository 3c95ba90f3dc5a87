"""Matrix products: int8 against float32, shape by shape.

NumPy's float32 product is the baseline. Codes are drawn over their whole range. int8 left operands
have the zero point 0 and uint8 ones 121, right operands are int8 with the zero point 0, which is
how networks are quantized in practice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import quantlib as ql
from bench import peers
from bench.cases import Admission, Candidate, Case, MatmulShape, Race, matmul_shapes
from bench.harness import Contender
from bench.peers import Input

A_SCALE, B_SCALE = np.float32(0.02), np.float32(0.005)
A_ZERO_POINT, Y_ZERO_POINT = np.uint8(121), np.uint8(117)
STEPS_OF_DEVIATION = 40.0  # the codes that a standard deviation of the result spans


@dataclass(frozen=True)
class Operands:
    """The data of one shape."""

    shape: MatmulShape

    @cached_property
    def _random(self) -> np.random.Generator:
        return np.random.default_rng(self.shape.operations)

    @cached_property
    def signed(self) -> Any:
        return self._random.integers(-128, 128, (self.shape.m, self.shape.k), np.int8)

    @cached_property
    def unsigned(self) -> Any:
        return self.signed.view(np.uint8)

    @cached_property
    def right(self) -> Any:
        return self._random.integers(-128, 128, (self.shape.k, self.shape.n), np.int8)

    @cached_property
    def real(self) -> tuple[Any, Any]:
        return self.signed.astype(np.float32), self.right.astype(np.float32)

    @cached_property
    def y_scale(self) -> np.float32:
        """Such that few results saturate."""
        return np.float32(A_SCALE * B_SCALE * 74 * 74 * np.sqrt(self.shape.k) / STEPS_OF_DEVIATION)

    def result(self, dtype: Any) -> Any:
        return np.empty((self.shape.m, self.shape.n), dtype)


def cases(threads: int, most_work: int, admission: Admission) -> Iterator[Case]:
    """One case for each shape of at most so many operations."""
    for shape in matmul_shapes():
        if shape.operations <= most_work:
            yield _case(Operands(shape), threads, admission)


def _case(data: Operands, threads: int, admission: Admission) -> Case:
    float_peers = _float_peers(data, threads, admission)
    races = (
        *_integer_races(data, threads, admission, float_peers),
        _quantized_race(data, threads, admission, float_peers),
    )
    shape = data.shape
    return Case("matmul", shape.label, shape.operations, _baseline(data, admission), races)


def _baseline(data: Operands, admission: Admission) -> Contender:
    left, right = data.real
    y = data.result(np.float32)
    return admission.required(
        "NumPy float32", lambda: np.matmul(left, right, out=y), _product(data)
    )


def _product(data: Operands) -> Any:
    left, right = data.real
    return (left.astype(np.float64) @ right.astype(np.float64)).astype(np.float32)


def _float_peers(data: Operands, threads: int, admission: Admission) -> tuple[Contender, ...]:
    left, right = data.real
    expected = _product(data)
    candidates = []
    if peers.installed("onnx", "onnxruntime"):
        inputs = [Input(left, constant=False), Input(right)]
        candidates.append(
            Candidate(
                "ONNX Runtime float32",
                lambda: peers.onnx_call("MatMul", inputs, data.result(np.float32), threads=threads),
                expected,
            )
        )
    if peers.installed("torch"):
        candidates.append(
            Candidate(
                "torch float32",
                lambda: peers.torch_matmul_call(left, right, threads=threads),
                expected,
            )
        )
    return admission.peers(candidates)


# --- int32 results --------------------------------------------------------------------------------


def _integer_races(
    data: Operands, threads: int, admission: Admission, float_peers: tuple[Contender, ...]
) -> Iterator[Race]:
    """Prepared for either type of left operand, and not prepared."""
    signed = ql.reference.matmul_integer(data.signed, data.right)
    unsigned = ql.reference.matmul_integer(data.unsigned, data.right, A_ZERO_POINT)
    prepared = ql.MatMulInteger(data.right)

    def once(left: Any, zero_point: Any, name: str, expected: Any) -> Contender:
        y = data.result(np.int32)
        return admission.required(name, lambda: prepared(left, zero_point, out=y), expected)

    constant = (*_integer_peers(data, threads, admission, signed, unsigned, True), *float_peers)
    fed = (*_integer_peers(data, threads, admission, signed, unsigned, False), *float_peers)
    y = data.result(np.int32)
    yield Race(once(data.signed, None, "MatMulInteger int8", signed), constant)
    yield Race(once(data.unsigned, A_ZERO_POINT, "MatMulInteger uint8", unsigned), constant)
    yield Race(
        admission.required(
            "matmul_integer int8, not prepared",
            lambda: ql.matmul_integer(data.signed, data.right, out=y),
            signed,
        ),
        fed,
    )


def _integer_peers(
    data: Operands, threads: int, admission: Admission, signed: Any, unsigned: Any, constant: bool
) -> tuple[Contender, ...]:
    candidates = []
    if peers.installed("onnx", "onnxruntime"):
        inputs = [
            Input(data.unsigned, constant=False),
            Input(data.right, constant=constant),
            Input(A_ZERO_POINT),
        ]
        candidates.append(
            Candidate(
                "ONNX Runtime MatMulInteger" + ", not prepared" * (not constant),
                lambda: peers.onnx_call(
                    "MatMulInteger", inputs, data.result(np.int32), threads=threads
                ),
                unsigned,
            )
        )
    if peers.installed("torch"):
        candidates.append(
            Candidate(
                "torch _int_mm",
                lambda: peers.torch_int_mm_call(data.signed, data.right, threads=threads),
                signed,
            )
        )
    return admission.peers(candidates)


# --- 8-bit results --------------------------------------------------------------------------------


def _quantized_race(
    data: Operands, threads: int, admission: Admission, float_peers: tuple[Contender, ...]
) -> Race:
    # As the definition and the ONNX operator take them, after the left operand.
    rest = (A_SCALE, A_ZERO_POINT, data.right, B_SCALE, np.int8(0), data.y_scale, Y_ZERO_POINT)
    expected = ql.reference.qlinear_matmul(data.unsigned, *rest)
    op = ql.QLinearMatMul(
        data.right,
        B_SCALE,
        a_scale=A_SCALE,
        a_zero_point=A_ZERO_POINT,
        y_scale=data.y_scale,
        y_zero_point=Y_ZERO_POINT,
    )
    y = data.result(np.uint8)
    ours = admission.required("QLinearMatMul uint8", lambda: op(data.unsigned, out=y), expected)
    candidates = []
    if peers.installed("onnx", "onnxruntime"):
        inputs = [Input(data.unsigned, constant=False), *map(Input, rest)]
        candidates.append(
            Candidate(
                "ONNX Runtime QLinearMatMul",
                lambda: peers.onnx_call(
                    "QLinearMatMul", inputs, data.result(np.uint8), threads=threads
                ),
                expected,
            )
        )
    return Race(ours, (*admission.peers(candidates), *float_peers))
