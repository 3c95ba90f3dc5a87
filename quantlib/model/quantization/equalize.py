"""Cross-layer equalization: neighbouring convolutions share the ranges of channels between them.

Channel i of a first convolution may be divided by any ``s_i > 0`` if the second multiplies it
again, even with a ReLU between. With ``s_i = sqrt(r1_i / r2_i)``, where r1 and r2 are the largest
magnitudes of the weights that make and that read the channel, both become ``sqrt(r1_i * r2_i)``: no
channel has much smaller weights than others, so that one scale suits all of a tensor. Depthwise
convolutions may be the first, the second or both. The formula, and its source, is that of
`quantlib.correction.cross_layer_equalization`.
"""

from __future__ import annotations

from quantlib.correction import cross_layer_equalization
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
    depthwise = second.attributes.get("group", 1) > 1
    reads = w2.swapaxes(0, 1) if depthwise else w2  # the channels that it reads on axis 1
    if reads.shape[1] != w1.shape[0]:
        return
    weights, biases = cross_layer_equalization([w1, reads], [graph.constant(first.input(2)), None])
    _set(first, 1, weights[0], graph, namer)
    if biases[0] is not None:
        _set(first, 2, biases[0], graph, namer)
    _set(second, 1, weights[1].swapaxes(0, 1) if depthwise else weights[1], graph, namer)


def _set(node: Node, index: int, array: Array, graph: Graph, namer: Namer) -> None:
    """A constant of a node, under a new name: the old one may belong to the float model, too."""
    old = node.inputs[index]
    name = old if old.endswith("_equalized") else namer(f"{old}_equalized")
    graph.constants[name] = array
    node.inputs[index] = name
