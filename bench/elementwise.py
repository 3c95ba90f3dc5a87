"""Reals to codes and back, and ranges, layout by layout, against the engines that have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench import peers, shapes
from bench.peers import Input
from bench.selection import Selection
from quantlib.benchmark import elementwise
from quantlib.benchmark.cases import Admission, Candidate, Case
from quantlib.benchmark.elementwise import Data, Layout


def cases(threads: int, selection: Selection, admission: Admission) -> Iterator[Case]:
    for layout in shapes.elementwise_layouts():
        for operation in elementwise.operations(layout):
            label = f"{layout.label} {operation.__name__}"
            if selection.takes("elementwise", label, layout.size):
                data = Data(layout)
                entry = operation(data, admission)
                candidates = _candidates(entry.ours.name, data, entry.expected, threads)
                yield elementwise.case(data, entry, admission.peers(candidates))


def _candidates(name: str, data: Data, expected: Any, threads: int) -> Iterator[Candidate]:
    """The peers that have the operation with this granularity."""
    if peers.installed("onnx", "onnxruntime") and name in ONNX:
        call = ONNX[name](data, threads)
        if call is not None:
            yield Candidate(f"ONNX Runtime {name}", call, expected)
    if peers.installed("torch") and name in TORCH and not data.layout.block:
        yield Candidate(
            f"torch {name}",
            lambda: TORCH[name](data, threads),
            expected,
            steps=STEPS.get(name, 0),
            read=READ.get(name, lambda result: result),
        )


Prepare = Callable[[], Callable[[], Any]]


def _onnx_linear(node: str, data: Data, x: Any, y: Any, threads: int) -> Prepare:
    params, layout = data.params, data.layout
    inputs = [Input(x, constant=False), Input(params.scale), Input(np.int8(params.zero_point))]
    attributes = {} if layout.axis is None else {"axis": layout.axis}
    if layout.block:
        attributes["block_size"] = layout.block
    return lambda: peers.onnx_call(node, inputs, y, threads=threads, **attributes)


def _onnx_quantize(data: Data, threads: int) -> Prepare:
    y = np.empty(data.layout.shape, np.int8)
    return _onnx_linear("QuantizeLinear", data, data.x, y, threads)


def _onnx_dequantize(data: Data, threads: int) -> Prepare:
    y = np.empty(data.layout.shape, np.float32)
    return _onnx_linear("DequantizeLinear", data, data.codes, y, threads)


def _onnx_min_max(data: Data, threads: int) -> Prepare | None:
    axes, shape = _reduction(data.layout)
    if data.layout.block:
        return None
    return lambda: peers.onnx_min_max_call(data.x, axes, shape, threads=threads)


def _reduction(layout: Layout) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes that a range is taken over, and the shape of the ranges."""
    axes = layout.reduced_axes
    return tuple(range(len(layout.shape))) if axes is None else axes, layout.parameters


def _torch_quantize(data: Data, threads: int) -> Any:
    params, axis = data.params, data.layout.axis
    return peers.torch_quantize_call(data.x, params.scale, params.zero_point, axis, threads=threads)


def _torch_dequantize(data: Data, threads: int) -> Any:
    params, axis = data.params, data.layout.axis
    return peers.torch_dequantize_call(
        data.codes, params.scale, params.zero_point, axis, threads=threads
    )


def _torch_fake_quantize(data: Data, threads: int) -> Any:
    params, axis = data.params, data.layout.axis
    return peers.torch_fake_quantize_call(
        data.x, params.scale, params.zero_point, axis, threads=threads
    )


def _torch_min_max(data: Data, threads: int) -> Any:
    axes = _reduction(data.layout)[0] if data.layout.axis is not None else None
    return peers.torch_min_max_call(data.x, axes, threads=threads)


def _torch_histogram(data: Data, threads: int) -> Any:
    return peers.torch_histogram_call(data.x, elementwise.HISTOGRAM_BINS, threads=threads)


ONNX = {"quantize": _onnx_quantize, "dequantize": _onnx_dequantize, "min_max": _onnx_min_max}
TORCH = {
    "quantize": _torch_quantize,
    "dequantize": _torch_dequantize,
    "fake_quantize": _torch_fake_quantize,
    "min_max": _torch_min_max,
    "summarize": _torch_histogram,
}
# torch rounds to codes in another order of operations, and bin edges in another way.
STEPS = {"quantize": 1, "summarize": 50}
READ: dict[str, Callable[[Any], Any]] = {
    "quantize": peers.torch_codes,
    "summarize": lambda counts: counts.numpy().astype(np.int64),
}
