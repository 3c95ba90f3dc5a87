"""Batch-normalization folding: constant factors and offsets per channel go into the weights.

In inference a batch normalization is ``y = x * f + o`` with
``f = scale / sqrt(variance + epsilon)`` and ``o = bias - mean * f``; so is a Mul or an Add with a
constant per channel. Behind a convolution with weights W and bias b this is a convolution with
weights ``W * f`` and bias ``b * f + o``.
"""

from __future__ import annotations

import numpy as np

from quantlib.model.graph import Array, Graph, Namer, Node

__all__ = ["affine_of_norm", "fold_batch_norms"]


def fold_batch_norms(graph: Graph) -> None:
    """Fold what follows a convolution (or another batch normalization) channel by channel."""
    consumers, producers, namer = graph.consumers(), graph.producers(), Namer(graph)
    outputs = set(graph.output_names)
    for node in list(graph.nodes):
        if node.domain or node.op_type not in ("BatchNormalization", "Mul", "Add"):
            continue
        found = _source(node, graph, producers)
        if found is None:
            continue
        source, data = found
        if data in outputs or len(consumers.get(data, ())) != 1:
            continue
        affine = _affine(node, graph, data, _channels(source, graph))
        if affine is None:
            continue
        (_scale_conv if source.op_type == "Conv" else _scale_norm)(source, graph, namer, *affine)
        source.outputs = [node.outputs[0]]
        producers[node.outputs[0]] = source
        graph.remove([node])


def _source(node: Node, graph: Graph, producers: dict[str, Node]) -> tuple[Node, str] | None:
    """The convolution or normalization whose result `node` scales, and that result's name."""
    for name in node.inputs[:1] if node.op_type == "BatchNormalization" else node.inputs:
        source = producers.get(name)
        if source is None or source.domain or len(source.outputs) != 1:
            continue
        kinds = (
            ("Conv",) if node.op_type == "BatchNormalization" else ("Conv", "BatchNormalization")
        )
        if source.op_type in kinds and all(n in graph.constants for n in source.inputs[1:] if n):
            if source.op_type == "BatchNormalization" and graph.rank(name) is None:
                continue
            return source, name
    return None


def _channels(source: Node, graph: Graph) -> int:
    return len(graph.constants[source.inputs[1]])


def _affine(node: Node, graph: Graph, data: str, channels: int) -> tuple[Array, Array] | None:
    """Factor and offset per channel, in float64."""
    if node.op_type == "BatchNormalization":
        return affine_of_norm(node, graph)
    other = node.inputs[1] if node.inputs[0] == data else node.inputs[0]
    value, rank = graph.constant(other), graph.rank(data)
    if value is None or rank is None or value.ndim > rank or value.dtype.kind != "f":
        return None
    shape = (1,) * (rank - value.ndim) + value.shape
    if any(extent != 1 for axis, extent in enumerate(shape) if axis != 1):
        return None
    if shape[1] not in (1, channels):
        return None
    per_channel = np.broadcast_to(value.reshape(-1), (channels,)).astype(np.float64)
    if node.op_type == "Mul":
        return per_channel, np.zeros(channels)
    return np.ones(channels), per_channel


def affine_of_norm(node: Node, graph: Graph) -> tuple[Array, Array] | None:
    """A normalization's factor and offset per channel, in float64, if they are constant."""
    if len(node.outputs) > 1 or node.attributes.get("training_mode", 0):
        return None
    parameters = [graph.constant(name) for name in node.inputs[1:5]]
    if any(array is None for array in parameters):
        return None
    scale, bias, mean, variance = (np.asarray(a, np.float64) for a in parameters)
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    return factor, bias - mean * factor


def _scale_conv(node: Node, graph: Graph, namer: Namer, factor: Array, offset: Array) -> None:
    weights = graph.constants[node.inputs[1]]
    bias = graph.constant(node.input(2))
    scaled = weights * factor.reshape((-1,) + (1,) * (weights.ndim - 1))
    moved = offset if bias is None else bias * factor + offset
    names = namer(node.inputs[1] + "_folded"), namer(node.inputs[1] + "_bias")
    for name, array in zip(names, (scaled, moved), strict=True):
        graph.constants[name] = np.asarray(array, weights.dtype)
    node.inputs = [node.inputs[0], *names]


def _scale_norm(node: Node, graph: Graph, namer: Namer, factor: Array, offset: Array) -> None:
    scale, bias = (graph.constants[name] for name in node.inputs[1:3])
    names = namer(node.inputs[1] + "_folded"), namer(node.inputs[2] + "_folded")
    for name, array in zip(names, (scale * factor, bias * factor + offset), strict=True):
        graph.constants[name] = np.asarray(array, scale.dtype)
    node.inputs[1:3] = names
