"""Channel shuffles: a reshape, a transposition and a reshape that deal channels out to groups."""

from __future__ import annotations

from quantlib.model.graph import INTERNAL, Graph, Node
from quantlib.model.passes.activation import only_consumer

__all__ = ["fuse_shuffles"]


def fuse_shuffles(graph: Graph) -> None:
    """Make one node of the three, which then does not care where the channels lie."""
    outputs, consumers = set(graph.output_names), graph.consumers()
    for node in list(graph.nodes):
        if node.kind != "Reshape":
            continue
        turn = only_consumer(node.outputs[0], consumers, outputs)
        last = turn and only_consumer(turn.outputs[0], consumers, outputs)
        if turn is None or last is None or last.kind != "Reshape" or turn.kind != "Transpose":
            continue
        group = _groups(graph, node, turn, last)
        if group is None:
            continue
        last.op_type, last.domain = "ShuffleChannels", INTERNAL
        last.inputs, last.attributes = [node.inputs[0]], {"group": group}
        graph.remove([node, turn])


def _groups(graph: Graph, node: Node, turn: Node, last: Node) -> int | None:
    """The number of groups, None if the nodes do anything else."""
    x, split = (graph.shape(one.inputs[0]) for one in (node, turn))
    y = graph.shape(last.outputs[0])
    if x is None or split is None or y is None or len(x) < 3 or len(split) != len(x) + 1:
        return None
    known = x[1:] + split[1:] + y[1:]
    if graph.dtype(node.inputs[0]) is None or not all(isinstance(extent, int) for extent in known):
        return None
    order = [0, 2, 1, *range(3, len(split))]
    if turn.attributes.get("perm") != order or x[1:] != y[1:] or split[3:] != x[2:]:
        return None
    group, channels = split[1:3]
    if not isinstance(group, int) or not isinstance(channels, int) or group * channels != x[1]:
        return None
    return group if group * channels else None
