"""Reals to codes and back, and ranges: quantlib against NumPy and peers, size by size.

The baseline is NumPy as one writes it, temporaries included. What these operations do for each
element is little, so the measure is memory: `share` compares the bytes that they read and write a
second with those of a float32 copy of the same number of elements, timed in the same turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import quantlib as ql
from bench import peers
from bench.cases import Admission, Candidate, Case, Race, elementwise_sizes
from bench.harness import Contender
from bench.peers import Input

SCALE, ZERO_POINT = 0.03125, 3  # a power of two: torch multiplies by 1 / scale, the others divide
FLOAT_BYTES, CODE_BYTES = 4, 1


@dataclass(frozen=True)
class Data:
    size: int

    @cached_property
    def x(self) -> Any:
        return np.random.default_rng(self.size).standard_normal(self.size, np.float32)

    @cached_property
    def codes(self) -> Any:
        return np.random.default_rng(self.size).integers(-128, 128, self.size, np.int8)

    @cached_property
    def params(self) -> ql.QuantParams:
        return ql.QuantParams(SCALE, ZERO_POINT, "int8")


def cases(threads: int, most_work: int, admission: Admission) -> Iterator[Case]:
    """Three operations for each size of at most so many elements."""
    for size in elementwise_sizes():
        if size <= most_work:
            data = Data(size)
            yield _quantize(data, threads, admission)
            yield _dequantize(data, threads, admission)
            yield _min_max(data, threads, admission)


def _case(
    data: Data, baseline: Contender, ours: Contender, rivals: tuple[Contender, ...], moved: int
) -> Case:
    target = np.empty_like(data.x)
    return Case(
        suite="elementwise",
        shape=f"{data.size:,}",
        work=data.size,
        baseline=baseline,
        races=(Race(ours, rivals),),
        bytes_moved=moved * data.size,
        copy=Contender("NumPy copy", lambda: np.copyto(target, data.x)),
        copy_bytes=2 * FLOAT_BYTES * data.size,
    )


def _scale_inputs() -> list[Input]:
    return [Input(np.float32(SCALE)), Input(np.int8(ZERO_POINT))]


def _quantize(data: Data, threads: int, admission: Admission) -> Case:
    expected = ql.reference.quantize(data.x, data.params)
    scale = np.float32(SCALE)
    y = np.empty(data.size, np.int8)

    def in_numpy() -> Any:
        return np.clip(np.rint(data.x / scale) + ZERO_POINT, -128, 127).astype(np.int8)

    def in_onnx() -> Any:
        inputs = [Input(data.x, constant=False), *_scale_inputs()]
        return peers.onnx_call(
            "QuantizeLinear", inputs, np.empty(data.size, np.int8), threads=threads
        )

    def in_torch() -> Any:
        return peers.torch_quantize_call(data.x, SCALE, ZERO_POINT, threads=threads)

    return _case(
        data,
        admission.required("NumPy float32", in_numpy, expected),
        admission.required("quantize", lambda: ql.quantize(data.x, data.params, out=y), expected),
        admission.peers(_candidates("quantize", in_onnx, in_torch, expected, steps=1)),
        FLOAT_BYTES + CODE_BYTES,
    )


def _dequantize(data: Data, threads: int, admission: Admission) -> Case:
    expected = ql.reference.dequantize(data.codes, data.params)
    scale, zero_point = np.float32(SCALE), np.float32(ZERO_POINT)
    x = np.empty(data.size, np.float32)

    def in_numpy() -> Any:
        return (data.codes.astype(np.float32) - zero_point) * scale

    def in_onnx() -> Any:
        inputs = [Input(data.codes, constant=False), *_scale_inputs()]
        return peers.onnx_call(
            "DequantizeLinear", inputs, np.empty(data.size, np.float32), threads=threads
        )

    def in_torch() -> Any:
        return peers.torch_dequantize_call(data.codes, SCALE, ZERO_POINT, threads=threads)

    return _case(
        data,
        admission.required("NumPy float32", in_numpy, expected),
        admission.required(
            "dequantize", lambda: ql.dequantize(data.codes, data.params, out=x), expected
        ),
        admission.peers(_candidates("dequantize", in_onnx, in_torch, expected)),
        CODE_BYTES + FLOAT_BYTES,
    )


def _min_max(data: Data, threads: int, admission: Admission) -> Case:
    expected = ql.reference.min_max(data.x)
    return _case(
        data,
        admission.required("NumPy float32", lambda: (data.x.min(), data.x.max()), expected),
        admission.required("min_max", lambda: ql.min_max(data.x), expected),
        admission.peers(
            _candidates(
                "min and max",
                lambda: peers.onnx_min_max_call(data.x, threads=threads),
                lambda: peers.torch_min_max_call(data.x, threads=threads),
                expected,
            )
        ),
        FLOAT_BYTES,
    )


def _candidates(
    what: str, in_onnx: Any, in_torch: Any, expected: Any, steps: int = 0
) -> list[Candidate]:
    found = []
    if peers.installed("onnx", "onnxruntime"):
        found.append(Candidate(f"ONNX Runtime {what}", in_onnx, expected, steps))
    if peers.installed("torch"):
        found.append(Candidate(f"torch {what}", in_torch, expected, steps))
    return found
