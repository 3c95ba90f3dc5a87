"""SmoothQuant: outlier channels of activations, moved into the weights that read them.

Where products with constant weights read a tensor, its channels are divided by the factors of
`quantlib.correction.smooth_quant_scales`, and the rows of the weights multiplied with them: the
results stay the same, and one scale for the tensor no longer has to serve a few channels that are a
hundred times as large as the others. The division costs nothing where it goes into the scale and
bias of a layer normalization, or into constants that the tensor was multiplied with and added to;
elsewhere a Mul is put before the products.

With a shift, the middle z of each channel's range is taken off as well, in the same place, and what
the products make of it is added to their biases: ``x W + b = ((x - z) / s) (s W) + (z W + b)``.
Source: X. Wei et al., "Outlier Suppression+", 2023, https://arxiv.org/abs/2304.09145.
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

Ranges = tuple[Array, Array]  # the lower and the upper end of each channel


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
        low, high = ranges[name]
        middle = (low + high) / 2 if config.smooth_shift else np.zeros_like(low)
        weights = [np.abs(_rows_first(node, graph)).max(axis=1) for node in readers]
        largest = np.maximum(high - middle, middle - low)
        factors = smooth_quant_scales(largest, np.max(weights, axis=0), config.smooth or 0.0)
        if np.any(middle):
            _add_to_biases(readers, graph, middle, namer)
        _multiply_rows(readers, graph, factors, namer)
        if not _divide(name, readers, graph, factors, middle, namer):
            _insert_division(name, readers, graph, factors, middle, namer)
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
) -> dict[str, Ranges]:
    """The smallest and the largest value of each channel of some tensors, over all feeds."""
    ranges: dict[str, Ranges] = {}
    for count, found in enumerate(stream(_ranges, (Model(graph), names), feeds, executor), 1):
        for name, (low, high) in zip(names, found, strict=True):
            if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high))):
                raise ModelError(f"calibration: {name!r} holds values that are not finite")
            before = ranges.get(name, (low, high))
            ranges[name] = np.minimum(before[0], low), np.maximum(before[1], high)
        progress(count, length_of(feeds))
    if names and not ranges:
        raise ModelError("calibration is empty; smoothing needs samples")
    return ranges


def _ranges(model: Model, names: tuple[str, ...], feed: Any) -> list[Ranges]:
    found = []
    for x in model.run(feed, names):
        low, high = ops.min_max(x, axis=-1) if x.size else (np.zeros(x.shape[-1]),) * 2
        found.append((low.astype(np.float64), high.astype(np.float64)))
    return found


def _multiply_rows(readers: list[Node], graph: Graph, factors: Array, namer: Namer) -> None:
    for node in readers:
        weights = graph.constants[node.inputs[1]]
        along = factors if output_axis(node, weights) == 0 else factors[:, np.newaxis]
        _set(node, 1, weights * along, graph, namer)


def _add_to_biases(readers: list[Node], graph: Graph, middle: Array, namer: Namer) -> None:
    """What products make of `middle`, added to their results."""
    for node in readers:
        row = middle @ _rows_first(node, graph)
        if node.op_type == "Gemm":
            bias = graph.constant(node.input(2))
            name = namer(f"{node.outputs[0]}_bias_smoothed")
            graph.constants[name] = (row if bias is None else bias + row).astype(np.float32)
            node.inputs = [*node.inputs[:2], name]
        else:
            _add_behind(node, graph, row, namer)


def _add_behind(node: Node, graph: Graph, row: Array, namer: Namer) -> None:
    """`row` added to a result: in the constant that is added to it anyway, or by a node."""
    output = node.outputs[0]
    follower = only_consumer(output, graph.consumers(), set(graph.output_names))
    if follower is not None and follower.kind == "Add":
        index = next((i for i, name in enumerate(follower.inputs) if name in graph.constants), None)
        if index is not None:
            array = graph.constants[follower.inputs[index]]
            if _lies_along_channels(array, row):
                _set(follower, index, array + row, graph, namer)
                return
    node.outputs, constant = [namer(f"{output}_product")], namer(f"{output}_bias_smoothed")
    graph.values[node.outputs[0]] = graph.values[output]
    graph.constants[constant] = row.astype(np.float32)
    place = next(i for i, one in enumerate(graph.nodes) if one is node) + 1
    graph.nodes.insert(
        place, Node("Add", [node.outputs[0], constant], [output], {}, namer(f"{output}_shift"), "",
                    graph.opset)
    )  # fmt: skip


def _divide(
    name: str, readers: list[Node], graph: Graph, factors: Array, middle: Array, namer: Namer
) -> bool:
    """``(x - middle) / factors`` by changing the constants a tensor is made with; if that works."""
    producers, consumers, outputs = graph.producers(), graph.consumers(), set(graph.output_names)
    if name in outputs or len(consumers[name]) != len(readers):
        return False
    changes: list[tuple[Node, int]] = []
    while True:
        node = producers.get(name)
        if node is None or len(node.outputs) != 1:
            return False
        if node.kind == "LayerNormalization":
            if np.any(middle) and not node.input(2):
                return False
            changes += [(node, index) for index in (2, 1) if node.input(index)]
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
    first, index = changes[0]  # the last thing that happened to the tensor
    is_sum = first.kind == "Add" or (first.kind == "LayerNormalization" and index == 2)
    if np.any(middle) and not is_sum:
        return False
    for (node, index), array in zip(changes, arrays, strict=True):
        shifted = np.asarray(array) - (middle if (node, index) == changes[0] else 0)
        _set(node, index, shifted / factors, graph, namer)
    return True


def _lies_along_channels(array: Array, factors: Array) -> bool:
    """Whether a constant that is divided by the factors still broadcasts as it did."""
    return array.size == 1 or (array.shape[-1] == array.size == factors.size)


def _insert_division(
    name: str, readers: list[Node], graph: Graph, factors: Array, middle: Array, namer: Namer
) -> None:
    steps = [("Mul", 1 / factors)]
    if np.any(middle):
        steps.insert(0, ("Sub", middle))
    first, last = next(i for i, node in enumerate(graph.nodes) if node is readers[0]), name
    for place, (kind, array) in enumerate(steps, start=first):
        smoothed, constant = namer(f"{name}_smoothed"), namer(f"{name}_smoothing")
        graph.constants[constant] = array.astype(np.float32)
        graph.values[smoothed] = Value(smoothed, np.dtype(np.float32), graph.shape(name))
        node = Node(kind, [last, constant], [smoothed], {}, namer(f"{name}_smooth"), "",
                    graph.opset)  # fmt: skip
        graph.nodes.insert(place, node)
        last = smoothed
    graph.rename_uses(name, last, readers)


def _set(node: Node, index: int, array: Array, graph: Graph, namer: Namer) -> None:
    """A constant of a node, under a new name: others may read the old one."""
    old = node.inputs[index]
    node.inputs[index] = namer(f"{old}_smoothed")
    graph.constants[node.inputs[index]] = array.astype(graph.constants[old].dtype)
