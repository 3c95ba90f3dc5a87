"""Matrix products, shape by shape: quantlib's forms of them, each against the engines that do the
same work, and against every float32 engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from bench import peers, shapes
from bench.peers import Input
from bench.selection import Selection
from quantlib.benchmark import products
from quantlib.benchmark.cases import Admission, Candidate, Case, Race
from quantlib.benchmark.products import A_SCALE, INT8, UINT8, ZERO_POINTS, Operands
from quantlib.benchmark.stopwatch import Contender

Contenders = tuple[Contender, ...]
MICROSOFT = "com.microsoft"
DYNAMIC_TOLERANCE = 0.01  # of the largest result: codes of the left operand may differ by one


def cases(threads: int, selection: Selection, admission: Admission) -> Iterator[Case]:
    for shape in shapes.matmul_shapes(selection.files):
        if selection.takes("matmul", shape.label, shape.operations):
            yield _case(Operands(shape), threads, admission)


def overhead_cases(threads: int, selection: Selection, admission: Admission) -> Iterator[Case]:
    """What a call costs: hardly any arithmetic. Also without ``out``, as one calls most."""
    for shape in shapes.overhead_shapes():
        if selection.takes("overhead", shape.label, shape.operations):
            data = Operands(shape)
            case = _case(data, threads, admission)
            rivals = case.races[0].peers
            more = [Race(ours, rivals) for ours in products.new_results(data, admission)]
            yield replace(case, suite="overhead", races=(*case.races, *more))


def _case(data: Operands, threads: int, admission: Admission) -> Case:
    shape = data.shape
    baseline = products.baseline(data, admission)
    races = tuple(_races(data, threads, admission))
    return Case("matmul", shape.label, shape.operations, baseline, races)


def _races(data: Operands, threads: int, admission: Admission) -> Iterator[Race]:
    in_float = _float_peers(data, threads, admission)
    constant = (*_integer_peers(data, threads, admission, prepared=True), *in_float)
    fed = (*_integer_peers(data, threads, admission, prepared=False), *in_float)
    for dtype in (INT8, UINT8):
        yield Race(products.integer(data, dtype, admission), constant)
        yield Race(products.integer_at_once(data, dtype, admission), fed)
    constant = (*_quantized_peers(data, threads, admission, prepared=True), *in_float)
    fed = (*_quantized_peers(data, threads, admission, prepared=False), *in_float)
    for dtype in (INT8, UINT8):
        yield Race(products.quantized(data, dtype, admission), constant)
    yield Race(products.quantized_at_once(data, UINT8, admission), fed)
    rivals = (*_scaled_peers(data, threads, admission), *in_float)
    yield Race(products.scaled(data, admission), rivals)
    rivals = (*_dynamic_peers(data, threads, admission), *in_float)
    yield Race(products.dynamic(data, admission), rivals)


def _onnx(
    node: str, left: Any, rest: list[Input], y: Any, threads: int, domain: str = ""
) -> Callable[[], Any]:
    """Prepares a node's call: the left operand is fed with it."""
    inputs = [Input(left, constant=False), *rest]
    return lambda: peers.onnx_call(node, inputs, y, threads=threads, domain=domain)


def _float_peers(data: Operands, threads: int, admission: Admission) -> Contenders:
    left, right = data.real
    candidates = []
    if peers.installed("onnx", "onnxruntime"):
        prepare = _onnx("MatMul", left, [Input(right)], data.result(np.float32), threads)
        candidates.append(Candidate("ONNX Runtime float32", prepare, data.real_product))
    if peers.installed("torch"):
        candidates.append(
            Candidate(
                "torch float32",
                lambda: peers.torch_matmul_call(left, right, threads=threads),
                data.real_product,
            )
        )
    return admission.peers(candidates)


def _integer_peers(
    data: Operands, threads: int, admission: Admission, *, prepared: bool
) -> Contenders:
    candidates = []
    if peers.installed("onnx", "onnxruntime"):
        for dtype in (UINT8, INT8):
            rest = [Input(data.right, constant=prepared), Input(ZERO_POINTS[dtype])]
            y = data.result(np.int32)
            candidates.append(
                Candidate(
                    f"ONNX Runtime MatMulInteger {dtype}" + ", not prepared" * (not prepared),
                    _onnx("MatMulInteger", data.left[dtype], rest, y, threads),
                    data.integer_product[dtype],
                )
            )
    if peers.installed("torch"):
        candidates.append(
            Candidate(
                "torch _int_mm",
                lambda: peers.torch_int_mm_call(data.left[INT8], data.right, threads=threads),
                data.integer_product[INT8],
            )
        )
    return admission.peers(candidates)


def _quantized_peers(
    data: Operands, threads: int, admission: Admission, *, prepared: bool
) -> Contenders:
    candidates = []
    if peers.installed("onnx", "onnxruntime"):
        for dtype in (UINT8, INT8):
            rest = [Input(value) for value in data.quantized_arguments(dtype)]
            rest[2] = Input(data.right, constant=prepared)
            y = data.result(dtype)
            candidates.append(
                Candidate(
                    f"ONNX Runtime QLinearMatMul {dtype}" + ", not prepared" * (not prepared),
                    _onnx("QLinearMatMul", data.left[dtype], rest, y, threads),
                    data.quantized_product[dtype],
                )
            )
    if prepared and peers.installed("torch"):
        arguments = data.quantized_arguments(UINT8)
        for engine in peers.TORCH_ENGINES:
            candidates.append(
                Candidate(
                    f"torch quantized linear, {engine}",
                    lambda engine=engine: peers.torch_quantized_linear_call(
                        engine, data.left[UINT8], arguments, threads=threads
                    ),
                    data.quantized_product[UINT8],
                    steps=1,
                    read=peers.torch_codes,
                )
            )
    return admission.peers(candidates)


def _scaled_peers(data: Operands, threads: int, admission: Admission) -> Contenders:
    candidates = []
    if peers.installed("onnx", "onnxruntime"):
        b_zero_point = np.zeros(data.shape.n, np.int8)
        values = data.right, A_SCALE, data.b_scale, ZERO_POINTS[UINT8], b_zero_point
        rest, y = [Input(value) for value in values], data.result(np.float32)
        candidates.append(
            Candidate(
                "ONNX Runtime MatMulIntegerToFloat",
                _onnx("MatMulIntegerToFloat", data.left[UINT8], rest, y, threads, MICROSOFT),
                data.scaled_product,
            )
        )
    return admission.peers(candidates)


def _dynamic_peers(data: Operands, threads: int, admission: Admission) -> Contenders:
    candidates = []
    left, y = data.real[0], data.result(np.float32)
    if peers.installed("onnx", "onnxruntime"):
        rest = [Input(data.right), Input(data.b_scale)]
        candidates.append(
            Candidate(
                "ONNX Runtime DynamicQuantizeMatMul",
                _onnx("DynamicQuantizeMatMul", left, rest, y, threads, MICROSOFT),
                data.dynamic_product,
            )
        )
    if peers.installed("torch"):
        for engine in peers.TORCH_ENGINES:
            candidates.append(
                Candidate(
                    f"torch dynamic linear, {engine}",
                    lambda engine=engine: peers.torch_dynamic_linear_call(
                        engine, left, data.right, data.b_scale, threads=threads
                    ),
                    data.dynamic_product,
                    tolerance=DYNAMIC_TOLERANCE,
                )
            )
    return admission.peers(candidates)
