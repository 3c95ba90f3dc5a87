"""Batch normalizations that nothing can be folded into, as convolutions.

Behind a concatenation or a sum there are no weights for the factors of a normalization to go into,
so that it would stay in floats, and all that it stands between with it. As a depthwise convolution
of one tap it works on integers: of a channel with one weight, the code is 127 and the scale the
factor itself.
"""

from __future__ import annotations

import numpy as np

from quantlib.model.graph import Graph, Namer, Node
from quantlib.model.passes.batch_norm import affine_of_norm
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.selection import (
    BY_ELEMENT,
    JOINS,
    MOVES,
    POOLS,
    PRODUCTS,
    has_constant_weights,
)

__all__ = ["norms_to_convolutions"]


def norms_to_convolutions(graph: Graph, config: QuantConfig) -> None:
    """Make convolutions of those normalizations whose results products read as codes."""
    consumers, namer = graph.consumers(), Namer(graph)
    for node in graph.nodes:
        if node.kind != "BatchNormalization" or config.leaves_out(node):
            continue
        affine = affine_of_norm(node, graph)
        if affine is None or (graph.rank(node.inputs[0]) or 0) not in (3, 4, 5):
            continue
        if graph.dtype(node.inputs[0]) != np.float32 or not _is_wanted(node, graph, consumers):
            continue
        factor, offset = (array.astype(np.float32) for array in affine)
        taps = (1,) * ((graph.rank(node.inputs[0]) or 0) - 2)
        names = namer(f"{node.name}_factors"), namer(f"{node.name}_offsets")
        graph.constants[names[0]] = factor.reshape(-1, 1, *taps)
        graph.constants[names[1]] = offset
        node.op_type, node.inputs = "Conv", [node.inputs[0], *names]
        node.attributes = {"group": factor.size, "kernel_shape": list(taps)}
        node.version = graph.opset


def _is_wanted(node: Node, graph: Graph, consumers: dict[str, list[Node]]) -> bool:
    """Whether a product reads a node's result, or what becomes of it as codes."""
    for reader in consumers.get(node.outputs[0], ()):
        if reader.op_type in PRODUCTS and has_constant_weights(reader, graph):
            return True
        passes_on = reader.op_type in BY_ELEMENT | MOVES | JOINS | POOLS
        if passes_on and _is_wanted(reader, graph, consumers):
            return True
    return False
