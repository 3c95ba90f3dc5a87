"""SmoothQuant: outlier channels of activations, moved into the weights that read them.

Where products with constant weights read a tensor, its channels are divided by the factors of
`quantlib.correction.smooth_quant_scales`, and the rows of the weights multiplied with them: the
results stay the same, and one scale for the tensor no longer has to serve a few channels that are a
hundred times as large as the others. The division costs nothing where it goes into the scale and
bias of a layer normalization, or into constants that the tensor was multiplied with and added to;
elsewhere a Mul is put before the products.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import numpy as np

from quantlib import ops
from quantlib.calibration.progress import Progress
from quantlib.correction import smooth_quant_scales
from quantlib.model.graph import Array, Graph, ModelError, Namer, Node, Value
from quantlib.model.model import Model
from quantlib.model.passes.activation import only_consumer
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.ranges import Feeds, length_of, stream
from quantlib.model.quantization.selection import has_constant_weights
from quantlib.model.quantization.weights import output_axis

__all__ = ["smooth"]


def smooth(
    graph: Graph,
    config: QuantConfig,
    feeds: Feeds,
    executor: Executor | None,
    progress: Progress,
) -> int:
    """Smooth what products read, in place; the number of tensors."""
    groups = _groups(graph, config)
    ranges = _channel_ranges(graph, tuple(groups), feeds, executor, progress)
    namer = Namer(graph)
    for name, readers in groups.items():
        weights = [np.abs(_rows_first(node, graph)).max(axis=1) for node in readers]
        factors = smooth_quant_scales(ranges[name], np.max(weights, axis=0), config.smooth or 0.0)
        _multiply_rows(readers, graph, factors, namer)
        if not _divide(name, readers, graph, factors, namer):
            _insert_division(name, readers, graph, factors, namer)
    return len(groups)


def _groups(graph: Graph, config: QuantConfig) -> dict[str, list[Node]]:
    """The products that will be quantized and have constant weights, by the tensor they read."""
    groups: dict[str, list[Node]] = {}
    for node in graph.nodes:
        fits = node.kind in ("MatMul", "Gemm") and not config.leaves_out(node)
        if fits and has_constant_weights(node, graph) and node.inputs[0] not in graph.constants:
            groups.setdefault(node.inputs[0], []).append(node)
    return groups


def _rows_first(node: Node, graph: Graph) -> Array:
    """A product's weights, with what is summed over on axis 0."""
    weights = graph.constants[node.inputs[1]]
    return weights.T if output_axis(node, weights) == 0 else weights


def _channel_ranges(
    graph: Graph,
    names: tuple[str, ...],
    feeds: Feeds,
    executor: Executor | None,
    progress: Progress,
) -> dict[str, Array]:
    """The largest magnitude of each channel of some tensors, over all feeds."""
    largest: dict[str, Array] = {}
    for count, found in enumerate(stream(_largest, (Model(graph), names), feeds, executor), 1):
        for name, array in zip(names, found, strict=True):
            if not np.all(np.isfinite(array)):
                raise ModelError(f"calibration: {name!r} holds values that are not finite")
            largest[name] = np.maximum(largest[name], array) if name in largest else array
        progress(count, length_of(feeds))
    if names and not largest:
        raise ModelError("calibration is empty; smoothing needs samples")
    return largest


def _largest(model: Model, names: tuple[str, ...], feed: Any) -> list[Array]:
    found = []
    for x in model.run(feed, names):
        low, high = ops.min_max(x, axis=-1) if x.size else (np.zeros(x.shape[-1], x.dtype),) * 2
        found.append(np.maximum(np.abs(low), np.abs(high)))
    return found


def _multiply_rows(readers: list[Node], graph: Graph, factors: Array, namer: Namer) -> None:
    for node in readers:
        weights = graph.constants[node.inputs[1]]
        along = factors if output_axis(node, weights) == 0 else factors[:, np.newaxis]
        _set(node, 1, weights * along, graph, namer)


def _divide(name: str, readers: list[Node], graph: Graph, factors: Array, namer: Namer) -> bool:
    """Divide a tensor's channels by changing the constants it is made with; whether that works."""
    producers, consumers, outputs = graph.producers(), graph.consumers(), set(graph.output_names)
    if name in outputs or len(consumers[name]) != len(readers):
        return False
    changes: list[tuple[Node, int]] = []
    while True:
        node = producers.get(name)
        if node is None or len(node.outputs) != 1:
            return False
        if node.kind == "LayerNormalization":
            changes += [(node, index) for index in (1, 2) if node.input(index)]
            break
        index = next((i for i, entry in enumerate(node.inputs) if entry in graph.constants), None)
        if node.kind not in ("Mul", "Add") or index is None:
            return False
        changes.append((node, index))
        if node.kind == "Mul":
            break
        name = node.inputs[1 - index]
        if only_consumer(name, consumers, outputs) is not node:
            return False
    arrays = [graph.constant(node.inputs[index]) for node, index in changes]
    if not all(array is not None and _lies_along_channels(array, factors) for array in arrays):
        return False
    for (node, index), array in zip(changes, arrays, strict=True):
        _set(node, index, np.asarray(array) / factors, graph, namer)
    return True


def _lies_along_channels(array: Array, factors: Array) -> bool:
    """Whether a constant that is divided by the factors still broadcasts as it did."""
    return array.size == 1 or (array.shape[-1] == array.size == factors.size)


def _insert_division(
    name: str, readers: list[Node], graph: Graph, factors: Array, namer: Namer
) -> None:
    smoothed, constant = namer(f"{name}_smoothed"), namer(f"{name}_smoothing")
    graph.constants[constant] = (1 / factors).astype(np.float32)
    graph.values[smoothed] = Value(smoothed, np.dtype(np.float32), graph.shape(name))
    place = next(i for i, node in enumerate(graph.nodes) if node is readers[0])
    division = Node("Mul", [name, constant], [smoothed], {}, namer(f"{name}_smooth"), "",
                    graph.opset)  # fmt: skip
    graph.nodes.insert(place, division)
    graph.rename_uses(name, smoothed, readers)


def _set(node: Node, index: int, array: Array, graph: Graph, namer: Namer) -> None:
    """A constant of a node, under a new name: others may read the old one."""
    old = node.inputs[index]
    node.inputs[index] = namer(f"{old}_smoothed")
    graph.constants[node.inputs[index]] = array.astype(graph.constants[old].dtype)
