"""Dead code: nodes and constants that no output depends on."""

from __future__ import annotations

from quantlib.model.graph import Graph

__all__ = ["remove_dead_code"]


def remove_dead_code(graph: Graph) -> None:
    """Take out every node and constant that no output depends on."""
    needed = set(graph.output_names)
    kept = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            needed.update(node.reads)
            node.outputs = [name if name in needed else "" for name in node.outputs]
            while len(node.outputs) > 1 and not node.outputs[-1]:
                node.outputs.pop()
            kept.append(node)
    graph.nodes = kept[::-1]
    graph.constants = {name: a for name, a in graph.constants.items() if name in needed}
