"""Simplification: operators that are another one, or none at all."""

from __future__ import annotations

from quantlib.model.graph import Graph, Node
from quantlib.model.reader import dtype_of

__all__ = ["simplify"]


def simplify(graph: Graph) -> None:
    """Take a Sum of two as an Add, and let readers pass by what does nothing."""
    outputs = set(graph.output_names)
    for node in graph.nodes:
        if node.kind == "Sum" and len(node.inputs) == 2:
            node.op_type = "Add"
            node.version = max(node.version, 7)
    idle = [n for n in graph.nodes if _does_nothing(n, graph) and n.outputs[0] not in outputs]
    for node in idle:
        source, name = node.inputs[0], node.outputs[0]
        if not any(name in reader.captured for reader in graph.nodes):
            graph.rename_uses(name, source)
            graph.remove([node])


def _does_nothing(node: Node, graph: Graph) -> bool:
    if node.domain or len([name for name in node.outputs if name]) != 1:
        return False
    if node.op_type == "Sum":
        return len(node.inputs) == 1
    if node.op_type == "Dropout":  # in inference; since opset 12 an input may say otherwise
        return not node.input(2)
    if node.op_type == "Cast":
        return dtype_of(node.attributes["to"]) == graph.dtype(node.inputs[0]) is not None
    return node.op_type == "Identity"
