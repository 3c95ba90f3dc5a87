"""Activation fusion: a ReLU or clip is done while the result before it is still in the cache."""

from __future__ import annotations

import math

import numpy as np

from quantlib.model.graph import INTERNAL, Graph, Node
from quantlib.model.operators.registry import REALS

__all__ = ["bounds_of_clip", "fuse_activations", "only_consumer"]

_HOSTS = frozenset(
    {"Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "quantlib.MatMul", "quantlib.QLinearConv",
     "quantlib.QLinearMatMul", "quantlib.DynamicQuantizeMatMul"}
)  # fmt: skip


_DYNAMIC = "quantlib.DynamicQuantizeMatMul"


def fuse_activations(graph: Graph) -> None:
    """Fuse ``MatMul + bias``, then ReLU and clips with what computes their input."""
    outputs = set(graph.output_names)
    consumers = graph.consumers()
    for node in list(graph.nodes):
        if node.kind == "MatMul" or (node.kind == _DYNAMIC and not node.input(4)):
            _fuse_bias(node, graph, consumers, outputs)
    for node in list(graph.nodes):
        if node.kind in _HOSTS and "activation" not in node.attributes:
            _fuse_activation(node, graph, consumers, outputs)


def only_consumer(name: str, consumers: dict[str, list[Node]], outputs: set[str]) -> Node | None:
    """The one node that reads a value, None if several do or the graph returns it."""
    readers = consumers.get(name, ())
    return readers[0] if len(readers) == 1 and name not in outputs else None


def bounds_of_clip(node: Node, graph: Graph) -> tuple[float, float] | None:
    """The interval that a ReLU or a clip with constant bounds keeps, None for other nodes."""
    if node.kind == "Relu":
        return 0.0, math.inf
    if node.kind != "Clip":
        return None
    if node.version < 11:
        return node.attributes.get("min", -math.inf), node.attributes.get("max", math.inf)
    bounds = []
    for name, default in zip((node.input(1), node.input(2)), (-math.inf, math.inf), strict=True):
        value = graph.scalar(name) if name else default
        if value is None:
            return None
        bounds.append(float(value))
    return (bounds[0], bounds[1]) if bounds[0] <= bounds[1] else None


def _fuse_activation(
    node: Node, graph: Graph, consumers: dict[str, list[Node]], outputs: set[str]
) -> None:
    follower = only_consumer(node.outputs[0], consumers, outputs)
    bounds = follower and bounds_of_clip(follower, graph)
    if not follower or not bounds or follower.inputs[0] != node.outputs[0]:
        return
    dtype = graph.dtype(node.outputs[0])
    if dtype not in REALS:
        return
    node.attributes["activation"] = bounds
    node.domain = INTERNAL
    node.outputs = list(follower.outputs)
    graph.remove([follower])


def _fuse_bias(
    node: Node, graph: Graph, consumers: dict[str, list[Node]], outputs: set[str]
) -> None:
    follower = only_consumer(node.outputs[0], consumers, outputs)
    if follower is None or follower.kind != "Add" or follower.inputs[0] == follower.inputs[1]:
        return
    left, right = follower.inputs
    bias = right if left == node.outputs[0] else left
    value, b = graph.constant(bias), graph.shape(node.inputs[1])
    rank = graph.rank(node.outputs[0])
    if (
        value is None
        or value.ndim != 1
        or value.dtype not in REALS
        or not rank
        or not b
        or b[-1] != value.shape[0]
    ):
        return
    if value.dtype != np.float32 and node.kind == _DYNAMIC:
        return
    node.domain, node.inputs = INTERNAL, [*node.inputs[: 4 if node.kind == _DYNAMIC else 2], bias]
    node.outputs = list(follower.outputs)
    graph.remove([follower])
