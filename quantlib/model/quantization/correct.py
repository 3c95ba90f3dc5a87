"""Bias correction: the mean error that quantization adds to each channel is taken off the bias.

Every layer is fed the float model's values, quantized, so that its own error is measured and not
what it inherits. The mean of `quantlib.correction.bias_correction` over all calibration data is
added to the bias.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import numpy as np

from quantlib.calibration.progress import Progress
from quantlib.correction import bias_correction, correct_bias
from quantlib.model.graph import Array, Graph, Namer, Node, Value
from quantlib.model.model import Model
from quantlib.model.quantization.ranges import Feeds, length_of, stream
from quantlib.model.quantization.selection import CONVOLUTIONS, PRODUCTS, Selection
from quantlib.model.quantization.static import bias_codes, channel_axis, qdq_pair
from quantlib.model.quantization.weights import Weights
from quantlib.params import QuantParams

__all__ = ["corrected_biases"]


def corrected_biases(
    graph: Graph,
    selection: Selection,
    params: dict[str, QuantParams],
    weights: dict[int, Weights],
    feeds: Feeds,
    executor: Executor | None,
    progress: Progress,
) -> dict[int, Array]:
    """The new bias of each product, in units of its accumulator, by the node's id."""
    layers = [node for node in selection.nodes if node.op_type in PRODUCTS and _has_room(node)]
    model, names = _beside_each_other(graph, layers, params, weights)
    axes = [channel_axis(node, graph) for node in layers]
    totals: dict[int, Array] = {id(node): np.zeros(1) for node in layers}
    sizes = dict.fromkeys(totals, 0)
    results = stream(_errors, (model, names, tuple(axes)), feeds, executor)
    for count, errors in enumerate(results, start=1):
        for node, (error, size) in zip(layers, errors, strict=True):
            totals[id(node)] = totals[id(node)] + size * error
            sizes[id(node)] += size
        progress(count, length_of(feeds))
    found = {}
    for node in layers:
        if sizes[id(node)]:
            own, x = weights[id(node)], params[node.inputs[0]]
            codes, unit = bias_codes(graph.constant(node.input(2)), x, own)
            error = totals[id(node)] / sizes[id(node)]
            found[id(node)] = correct_bias(np.broadcast_to(codes, error.shape), error, unit)
    return found


def _has_room(node: Node) -> bool:
    """Whether an operator takes a bias: a MatMul does not."""
    return node.op_type in CONVOLUTIONS | {"Gemm"}


def _errors(
    model: Model, names: tuple[str, ...], axes: tuple[int, ...], feed: Any
) -> list[tuple[Array, int]]:
    """The mean error of each layer's channels, and over how many values."""
    values, errors = model.run(feed, names), []
    for axis, real, quantized in zip(axes, values[::2], values[1::2], strict=True):
        size = real.size // max(real.shape[axis], 1)
        mean = bias_correction(real, quantized, axis=axis) if size else np.zeros(real.shape[axis])
        errors.append((mean, size))
    return errors


def _beside_each_other(
    graph: Graph, layers: list[Node], params: dict[str, QuantParams], weights: dict[int, Weights]
) -> tuple[Model, tuple[str, ...]]:
    """The float model with a quantized twin beside each layer, and the names of both results."""
    both, namer, names = graph.copy(), Namer(graph), []
    for node in layers:
        own, x = weights[id(node)], params[node.inputs[0]]
        base = node.outputs[0]
        rounded = namer(f"{base}_operand")
        both.nodes += qdq_pair(both, node.inputs[0], rounded, x, namer)
        constants = [own.reals()]
        bias = graph.constant(node.input(2))
        if bias is not None:
            codes, unit = bias_codes(bias, x, own)
            constants.append((codes * unit.astype(np.float64)).astype(np.float32))
        inputs = [rounded]
        for array in constants:
            inputs.append(namer(f"{base}_twin_constant"))
            both.constants[inputs[-1]] = array
        twin = namer(f"{base}_twin")
        both.values[twin] = Value(twin, np.dtype(np.float32), graph.shape(base))
        both.nodes.append(
            Node(node.op_type, inputs, [twin], dict(node.attributes), twin, "", node.version)
        )
        names += [base, twin]
    return Model(both), tuple(names)
