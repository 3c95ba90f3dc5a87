"""Which nodes work on integers, and which tensors therefore have codes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from quantlib.model.graph import Graph, Node
from quantlib.model.passes.activation import bounds_of_clip, only_consumer
from quantlib.model.quantization.config import QuantConfig

__all__ = ["Selection", "has_constant_weights", "select"]

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
SUMS = frozenset({"Add", "Mul"})
POOLS = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean"})
NORMS = frozenset({"LRN"})
BY_ELEMENT = frozenset(
    {"Relu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Selu",
     "Gelu", "Softplus", "Mish"}
)  # fmt: skip
# The result's codes are the operand's: both have one scale.
MOVES = frozenset(
    {"DepthToSpace", "Flatten", "Identity", "MaxPool", "Reshape", "Slice", "SpaceToDepth",
     "Squeeze", "Transpose", "Unsqueeze", "Dropout"}
)  # fmt: skip
JOINS = frozenset({"Concat"})
ALL = PRODUCTS | SUMS | POOLS | NORMS | BY_ELEMENT | MOVES | JOINS


@dataclass
class Selection:
    """The nodes that are quantized, and the tensors that get codes."""

    nodes: list[Node]
    tensors: list[str]
    sources: dict[str, list[str]] = field(default_factory=dict)
    """For each tensor those whose ranges it takes, itself unless a node moves or joins data."""
    owners: dict[str, Node] = field(default_factory=dict)
    """The node whose configuration says how a tensor is quantized."""


def has_constant_weights(node: Node, graph: Graph) -> bool:
    """Whether a product's second operand is a constant of float32 that can be packed."""
    weights = graph.constant(node.input(1))
    if weights is None or weights.dtype.name != "float32" or weights.size == 0:
        return False
    if node.op_type == "ConvTranspose" and node.attributes.get("group", 1) != 1:
        return False  # its output channels lie on two axes of the weights
    if node.op_type in CONVOLUTIONS:
        return 3 <= weights.ndim <= 5 and _is_constant_or_absent(node, graph, 2)
    if node.op_type == "Gemm":
        plain = node.attributes.get("alpha", 1.0) == 1 and node.attributes.get("beta", 1.0) == 1
        return plain and not node.attributes.get("transA", 0) and _is_row(node, graph, weights)
    return weights.ndim == 2 and (graph.rank(node.inputs[0]) or 0) >= 2


def _is_constant_or_absent(node: Node, graph: Graph, index: int) -> bool:
    return not node.input(index) or node.input(index) in graph.constants


def _is_row(node: Node, graph: Graph, weights: object) -> bool:
    """Whether a Gemm's third operand is a constant with an entry for each column, or absent."""
    if not node.input(2):
        return True
    bias, shape = graph.constant(node.input(2)), graph.constants[node.inputs[1]].shape
    columns = shape[0 if node.attributes.get("transB", 0) else 1]
    return bias is not None and bias.shape == (columns,)


def data_inputs(node: Node, graph: Graph) -> list[str]:
    """The operands of a node that come at run time."""
    if node.op_type in PRODUCTS | POOLS | NORMS | BY_ELEMENT | MOVES:
        return node.inputs[:1]
    return [name for name in node.inputs if name]


def select(graph: Graph, config: QuantConfig) -> Selection:
    """What to quantize statically."""
    consumers, producers = graph.consumers(), graph.producers()
    outputs = set(graph.output_names)
    chosen = {
        id(node): node
        for node in graph.nodes
        if not config.leaves_out(node) and _could_be(node, graph, config)
    }
    changed = True
    while changed:
        changed = False
        for node in list(chosen.values()):
            if node.op_type in PRODUCTS or _fits(node, graph, chosen, producers, consumers):
                continue
            del chosen[id(node)]
            changed = True
    selection = Selection(list(chosen.values()), [])
    added = (
        _added_as_reals(selection, producers, consumers, outputs) if config.fuse_residuals else ()
    )
    _select_tensors(selection, graph, chosen, consumers, producers, outputs, added)
    return selection


def _could_be(node: Node, graph: Graph, config: QuantConfig) -> bool:
    if node.domain or node.op_type not in ALL or len(node.outputs) > 1:
        return False
    if node.op_type in PRODUCTS:
        return has_constant_weights(node, graph) and config.takes(
            node.op_type, graph.constants[node.inputs[1]].shape
        )
    data = data_inputs(node, graph)
    if any(graph.dtype(name) != "float32" for name in data):
        return False
    if node.op_type in SUMS:
        return not any(name in graph.constants for name in data) and data[0] != data[1]
    if node.op_type in ("AveragePool", "GlobalAveragePool", "ReduceMean"):
        return (graph.rank(data[0]) or 0) >= 3
    return not any(name in graph.constants for name in data)


def _fits(
    node: Node,
    graph: Graph,
    chosen: dict[int, Node],
    producers: dict[str, Node],
    consumers: dict[str, list[Node]],
) -> bool:
    """Whether codes come into a node and are wanted behind it."""
    for name in data_inputs(node, graph):
        producer = producers.get(name)
        if producer is not None and id(producer) not in chosen:
            return False
    return any(id(reader) in chosen for reader in consumers.get(node.outputs[0], ()))


def _select_tensors(
    selection: Selection,
    graph: Graph,
    chosen: dict[int, Node],
    consumers: dict[str, list[Node]],
    producers: dict[str, Node],
    outputs: set[str],
    added: Collection[str],
) -> None:
    for node in selection.nodes:
        for name in data_inputs(node, graph):
            if name in selection.owners or name in graph.constants or name in added:
                continue
            if _is_fused_away(name, graph, chosen, consumers, producers, outputs):
                continue
            selection.tensors.append(name)
            producer = producers.get(name)
            made = producer is not None and id(producer) in chosen
            selection.owners[name] = producer if made and producer is not None else node
    for name in selection.tensors:
        selection.sources[name] = _sources(name, graph, chosen, producers, set())
    _unite(selection, graph, chosen)


def _added_as_reals(
    selection: Selection,
    producers: dict[str, Node],
    consumers: dict[str, list[Node]],
    outputs: set[str],
) -> set[str]:
    """The results of convolutions that are added to codes before they are rounded: of each sum one
    operand, that which is computed last."""
    place = {id(node): index for index, node in enumerate(selection.nodes)}
    added = set()
    for node in selection.nodes:
        if node.op_type != "Add":
            continue
        makers = {name: producers.get(name) for name in node.inputs}
        found = [
            (place[id(maker)], name)
            for name, maker in makers.items()
            if maker is not None
            and maker.op_type == "Conv"
            and id(maker) in place
            and only_consumer(name, consumers, outputs) is node
        ]
        if found:
            added.add(max(found)[1])
    return added


def _is_fused_away(
    name: str,
    graph: Graph,
    chosen: dict[int, Node],
    consumers: dict[str, list[Node]],
    producers: dict[str, Node],
    outputs: set[str],
) -> bool:
    """Whether a tensor is computed and consumed within one call: before a ReLU or a bias."""
    producer, follower = producers.get(name), only_consumer(name, consumers, outputs)
    if producer is None or follower is None or id(producer) not in chosen:
        return False
    if producer.op_type not in PRODUCTS | SUMS:
        return False
    return bounds_of_clip(follower, graph) is not None


def _sources(
    name: str, graph: Graph, chosen: dict[int, Node], producers: dict[str, Node], seen: set[str]
) -> list[str]:
    """The tensors whose values a tensor holds, moved or joined."""
    producer = producers.get(name)
    if producer is None or id(producer) not in chosen or name in seen:
        return [name]
    seen.add(name)
    if producer.op_type in MOVES | JOINS:
        found: list[str] = []
        for operand in data_inputs(producer, graph):
            found += _sources(operand, graph, chosen, producers, seen)
        return list(dict.fromkeys(found))
    return [name]


def _unite(selection: Selection, graph: Graph, chosen: dict[int, Node]) -> None:
    """Tensors that hold the same values, and the parts of what is joined, share their sources."""
    parent = {name: name for name in selection.tensors}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    by_source: dict[str, str] = {}
    for name in selection.tensors:
        for source in selection.sources[name]:
            other = by_source.setdefault(source, name)
            parent[root(name)] = root(other)
    groups: dict[str, list[str]] = {}
    for name in selection.tensors:
        groups.setdefault(root(name), []).append(name)
    for members in groups.values():
        union = list(dict.fromkeys(s for name in members for s in selection.sources[name]))
        for name in members:
            selection.sources[name] = union
