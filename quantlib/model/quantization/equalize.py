"""Cross-layer equalization: neighbouring convolutions share the ranges of channels between them.

Channel i of a first convolution may be divided by any ``s_i > 0`` if the second multiplies it
again, even with a ReLU between. With ``s_i = sqrt(r1_i / r2_i)``, where r1 and r2 are the largest
magnitudes of the weights that make and that read the channel, both become ``sqrt(r1_i * r2_i)``: no
channel has much smaller weights than others, so that one scale suits all of a tensor. Depthwise
convolutions may be the first, the second or both. Source: M. Nagel et al., "Data-Free Quantization
Through Weight Equalization and Bias Correction", 2019, https://arxiv.org/abs/1906.04721.
"""

from __future__ import annotations

import numpy as np

from quantlib.model.graph import Array, Graph, Namer, Node
from quantlib.model.passes.activation import only_consumer

__all__ = ["equalize"]

ROUNDS = 3  # a convolution may be the second of one pair and the first of the next


def equalize(graph: Graph) -> int:
    """Equalize all pairs of neighbouring convolutions; the number of pairs."""
    pairs = _pairs(graph)
    namer = Namer(graph)
    for _ in range(ROUNDS):
        for first, second in pairs:
            _balance(first, second, graph, namer)
    return len(pairs)


def _pairs(graph: Graph) -> list[tuple[Node, Node]]:
    """Convolutions with nothing but a ReLU between them, whose weights no other node reads."""
    consumers, outputs = graph.consumers(), set(graph.output_names)
    pairs = []
    for node in graph.nodes:
        if not _is_plain(node, graph, consumers):
            continue
        follower = only_consumer(node.outputs[0], consumers, outputs)
        if follower is not None and follower.kind == "Relu":
            follower = only_consumer(follower.outputs[0], consumers, outputs)
        if follower is not None and _is_plain(follower, graph, consumers):
            pairs.append((node, follower))
    return pairs


def _is_plain(node: Node, graph: Graph, consumers: dict[str, list[Node]]) -> bool:
    if node.kind != "Conv" or any(name not in graph.constants for name in node.inputs[1:] if name):
        return False
    if any(len(consumers[name]) > 1 for name in node.inputs[1:] if name):
        return False
    group = node.attributes.get("group", 1)
    return group == 1 or graph.constants[node.inputs[1]].shape[:2] == (group, 1)


def _balance(first: Node, second: Node, graph: Graph, namer: Namer) -> None:
    w1, w2 = (graph.constants[node.inputs[1]] for node in (first, second))
    axis = 0 if second.attributes.get("group", 1) > 1 else 1  # of the channels that w2 reads
    r1, r2 = _largest(w1, 0), _largest(w2, axis)
    if r1.shape != r2.shape:
        return
    usable = (r1 > 0) & (r2 > 0)
    scale = np.where(usable, np.sqrt(np.where(usable, r1, 1) / np.where(usable, r2, 1)), 1.0)
    _set(first, 1, w1 / _along(scale, w1, 0), graph, namer)
    if first.input(2):
        _set(first, 2, graph.constants[first.inputs[2]] / scale, graph, namer)
    _set(second, 1, w2 * _along(scale, w2, axis), graph, namer)


def _largest(weights: Array, axis: int) -> Array:
    others = tuple(i for i in range(weights.ndim) if i != axis)
    return np.asarray(np.abs(weights).max(axis=others), np.float64)


def _along(scale: Array, weights: Array, axis: int) -> Array:
    return scale.reshape([-1 if i == axis else 1 for i in range(weights.ndim)])


def _set(node: Node, index: int, array: Array, graph: Graph, namer: Namer) -> None:
    """A constant of a node, under a new name: the old one may belong to the float model, too."""
    old = node.inputs[index]
    name = old if old.endswith("_equalized") else namer(f"{old}_equalized")
    graph.constants[name] = array.astype(graph.constants[old].dtype)
    node.inputs[index] = name
