"""Q/DQ fusion: float operators between DequantizeLinear and QuantizeLinear become integer ones.

A model in QDQ form says which tensors have codes; every operator is still written in floats. Where
all operands of an operator are dequantized, and its result is quantized again, the codes in between
can be computed from codes: products and sums in integers, operators of one element by a table of
256 entries, and operators that only move data by moving the codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quantlib import ops
from quantlib.model.graph import INTERNAL, Array, Graph, Namer, Node, Value
from quantlib.model.operators import kernel_of
from quantlib.model.passes.activation import bounds_of_clip, only_consumer

__all__ = ["fuse_qdq"]

_BYTES = (np.dtype(np.int8), np.dtype(np.uint8))
_GEOMETRY = ("auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape",
             "pads", "strides")  # fmt: skip
_MOVES = frozenset(
    {"DepthToSpace", "Expand", "Flatten", "Identity", "MaxPool", "Reshape", "Slice", "SpaceToDepth",
     "Squeeze", "Tile", "Transpose", "Unsqueeze", "Gather"}
)  # fmt: skip
_BY_ELEMENT = frozenset(
    {"Abs", "Celu", "Clip", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity",
     "LeakyRelu", "Mish", "Neg", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Tanh"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Codes:
    """A dequantized value: the names of codes, scale and zero point, and the scale's axis."""

    codes: str
    scale: str
    zero_point: str
    axis: int | None  # None per tensor

    @property
    def names(self) -> list[str]:
        return [self.codes, self.scale, self.zero_point]


class _Fusion:
    """The tables that all patterns look into, and the nodes that they make."""

    def __init__(self, graph: Graph, portable: bool) -> None:
        self.graph, self.portable = graph, portable
        self.namer = Namer(graph)
        self.outputs = set(graph.output_names)
        self.refresh()

    def refresh(self) -> None:
        self.producers, self.consumers = self.graph.producers(), self.graph.consumers()

    def codes(self, name: str) -> Codes | None:
        """Where `name` comes from, if it is dequantized from bytes with constant parameters."""
        node = self.producers.get(name)
        if node is None or node.kind != "DequantizeLinear" or node.attributes.get("block_size", 0):
            return None
        graph, scale = self.graph, self.graph.constant(node.input(1))
        if scale is None or graph.dtype(node.inputs[0]) not in _BYTES or scale.dtype != np.float32:
            return None
        if node.input(2) and graph.constant(node.input(2)) is None:
            return None
        axis = None
        if scale.ndim:
            rank = graph.rank(node.inputs[0])
            if rank is None:
                return None
            axis = node.attributes.get("axis", 1) % max(rank, 1)
        return Codes(node.inputs[0], node.inputs[1], node.input(2), axis)

    def tensor(self, name: str) -> Codes | None:
        """As `codes`, of a value with one scale."""
        found = self.codes(name)
        return found if found is not None and found.axis is None else None

    def quantizer(self, name: str) -> Node | None:
        """The QuantizeLinear to bytes that is all that becomes of a value."""
        node = only_consumer(name, self.consumers, self.outputs)
        if node is None or node.kind != "QuantizeLinear" or node.inputs[0] != name:
            return None
        graph, scale = self.graph, self.graph.constant(node.input(1))
        dtype = graph.dtype(node.outputs[0])
        if scale is None or scale.ndim or scale.dtype != np.float32 or dtype not in _BYTES:
            return None
        if node.input(2) and graph.constant(node.input(2)) is None:
            return None
        return node

    def tail(self, node: Node) -> tuple[tuple[float, float] | None, list[Node], Node | None]:
        """What follows `node`: an activation's bounds, the nodes they come from, the quantizer."""
        output, passed, bounds = node.outputs[0], [], None
        follower = only_consumer(output, self.consumers, self.outputs)
        if follower is not None and follower.inputs[0] == output:
            bounds = bounds_of_clip(follower, self.graph)
            if bounds is not None:
                passed, output = [follower], follower.outputs[0]
        return bounds, passed, self.quantizer(output)

    def zero_point_of(self, node: Node) -> str:
        """The zero point that a QuantizeLinear names or implies."""
        return node.input(2) or self.constant("zero_point", np.zeros((), np.uint8))

    def constant(self, wish: str, array: Array) -> str:
        name = self.namer(wish)
        self.graph.constants[name] = array
        return name

    def replace(self, nodes: list[Node], *fused: Node) -> None:
        """Put `fused` where the last of `nodes` stands."""
        place = next(i for i, node in enumerate(self.graph.nodes) if node is nodes[-1])
        self.graph.nodes[place : place + 1] = list(fused)
        self.graph.remove(nodes[:-1])
        self.refresh()


def fuse_qdq(graph: Graph, *, portable: bool = False) -> None:
    """Fuse every operator whose operands are dequantized bytes, in the graph's order.

    With `portable`, only to operators that others have too: without tables, and with activations
    only where the codes' range is all that they keep.
    """
    _take_scalars(graph)
    fusion = _Fusion(graph, portable)
    for node in list(graph.nodes):
        pattern = _PATTERNS.get(node.kind)
        if pattern is not None and any(node is one for one in graph.nodes):
            pattern(fusion, node)
    if not portable:
        _fuse_tables(fusion)


def _take_scalars(graph: Graph) -> None:
    """Parameters of a tensor, which some write as arrays of one element, are scalars."""
    for node in graph.nodes:
        if node.kind not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale = graph.constant(node.input(1))
        if scale is None or scale.size != 1 or scale.ndim != 1:
            continue
        for index in (1, 2):
            array = graph.constant(node.input(index))
            if array is not None and array.ndim == 1:
                name = f"{node.inputs[index]}_scalar"
                graph.constants[name] = array.reshape(())
                node.inputs[index] = name


# --- products -----------------------------------------------------------------------------------


def _fuse_product(
    fusion: _Fusion, node: Node, a: Codes, b: Codes, bias: str, op_type: str, last: Node,
    attributes: dict[str, object], residual: Codes | None = None,
) -> None:  # fmt: skip
    """An integer product in the place of `node`, and of what follows `last`."""
    bounds, passed, quantizer = fusion.tail(last)
    if fusion.portable and not _is_portable(fusion, node, bias, bounds, quantizer):
        return
    if bounds is not None:
        attributes["activation"] = bounds
    offset = _bias(fusion, bias, a, b, quantizer is not None)
    if offset is None:
        return
    y = ["", ""]
    if quantizer is not None:
        y = [quantizer.inputs[1], fusion.zero_point_of(quantizer)]
        passed = [*passed, quantizer]
    removed = [*dict.fromkeys([node, last, *passed])]
    output = removed[-1].outputs[0]
    inputs = [*a.names, *b.names, *y, offset, *(residual.names if residual else ())]
    fused = Node(op_type, inputs, [output], attributes, node.name, INTERNAL, node.version)
    fusion.replace(removed, fused)


def _is_portable(
    fusion: _Fusion,
    node: Node,
    bias: str,
    bounds: tuple[float, float] | None,
    quantizer: Node | None,
) -> bool:
    """Whether other run times have an integer operator for a product and what follows it."""
    if quantizer is None or node.op_type == "ConvTranspose":
        return False
    if node.op_type != "Conv" and bias and fusion.graph.rank(node.inputs[0]) != 2:
        return False
    return _keeps_all_codes(fusion, bounds, quantizer)


def _keeps_all_codes(fusion: _Fusion, bounds: tuple[float, float] | None, quantizer: Node) -> bool:
    """Whether an activation's bounds lie at or beyond the ends of the codes."""
    if bounds is None:
        return True
    constants = fusion.graph.constants
    zero = constants[fusion.zero_point_of(quantizer)]
    limits = np.iinfo(zero.dtype)
    scale, point = float(constants[quantizer.inputs[1]]), int(zero)
    low, high = (bound / scale + point for bound in bounds)
    return low <= limits.min + 0.5 and high >= limits.max - 0.5


def _bias(fusion: _Fusion, name: str, a: Codes, b: Codes, quantized: bool) -> str | None:
    """The bias in the form that the product takes, "" without one, None if there is no such form.

    An int32 bias in units of ``a.scale * b.scale`` is taken as it is. Any other is brought into
    those units where the result is quantized, which moves it by half a unit at most, and stays
    float32 where it is not.
    """
    if not name:
        return ""
    graph = fusion.graph
    unit = graph.constants[a.scale] * graph.constants[b.scale].reshape(-1)
    producer = fusion.producers.get(name)
    if producer is not None and producer.kind == "DequantizeLinear":
        codes, scale = (graph.constant(producer.input(index)) for index in range(2))
        if codes is None or scale is None:
            return None
        if codes.dtype == np.int32 and np.array_equal(
            np.broadcast_to(scale.reshape(-1), unit.shape), unit
        ):
            flat = codes.reshape(-1)
            return fusion.constant(producer.inputs[0] + "_bias", np.ascontiguousarray(flat))
        reals = np.asarray(kernel_of(producer, graph).function(
            *(graph.constant(entry) for entry in producer.inputs)
        ))  # fmt: skip
    else:
        constant = graph.constant(name)
        if constant is None or constant.dtype != np.float32:
            return None
        reals = constant
    if not quantized:
        return fusion.constant(name + "_real", np.ascontiguousarray(reals.reshape(-1)))
    units = np.rint(reals.reshape(-1).astype(np.float64) / unit.astype(np.float64))
    if not np.all(np.abs(units) < 2**31):
        return None
    return fusion.constant(name + "_units", units.astype(np.int32))


def _fuse_conv(fusion: _Fusion, node: Node) -> None:
    x, w = fusion.tensor(node.inputs[0]), fusion.codes(node.inputs[1])
    transposes = node.op_type == "ConvTranspose"  # whose output channels lie on axis 1, by group
    if x is None or w is None or w.codes not in fusion.graph.constants:
        return
    if w.axis is not None and w.axis != int(transposes):
        return
    if w.axis is not None and transposes and node.attributes.get("group", 1) != 1:
        return
    rank = fusion.graph.rank(w.codes)
    if rank is None or not 3 <= rank <= 5:
        return
    attributes = {name: node.attributes[name] for name in _GEOMETRY if name in node.attributes}
    last, residual = (node, None) if transposes else _residual(fusion, node)
    kind = f"QLinear{node.op_type}"
    _fuse_product(fusion, node, x, w, node.input(2), kind, last, attributes, residual)


def _residual(fusion: _Fusion, node: Node) -> tuple[Node, Codes | None]:
    """The sum of a convolution's reals and dequantized codes of one shape, and these codes.

    Where the convolution's result is rounded to codes before it is added, there is no such sum.
    """
    graph, output = fusion.graph, node.outputs[0]
    follower = only_consumer(output, fusion.consumers, fusion.outputs)
    if fusion.portable or follower is None or follower.kind != "Add":
        return node, None
    other = next((name for name in follower.inputs if name != output), "")
    codes, shape = fusion.tensor(other), graph.shape(other)
    if codes is None or codes.codes in graph.constants or fusion.tail(follower)[2] is None:
        return node, None
    if shape is None or None in shape or shape != graph.shape(output):
        return node, None
    return follower, codes


def _fuse_matmul(fusion: _Fusion, node: Node) -> None:
    graph = fusion.graph
    a, b = fusion.tensor(node.inputs[0]), fusion.codes(node.inputs[1])
    rank = graph.rank(node.inputs[1])
    if a is None or b is None or rank is None or graph.rank(node.inputs[0]) in (None, 0, 1):
        return
    if rank < 2 or b.axis not in (None, rank - 1) or (b.axis is not None and rank > 2):
        return
    if b.codes not in graph.constants:
        b_scale = graph.constants[b.scale]
        if b_scale.ndim:
            return
    bias, last = "", node
    follower = only_consumer(node.outputs[0], fusion.consumers, fusion.outputs)
    if follower is not None and follower.kind == "Add":
        other = [name for name in follower.inputs if name != node.outputs[0]]
        columns = (graph.shape(b.codes) or (None,))[-1]
        if len(other) == 1 and _is_row(fusion, other[0], columns):
            bias, last = other[0], follower
    _fuse_product(fusion, node, a, b, bias, "QLinearMatMul", last, {})


def _is_row(fusion: _Fusion, name: str, columns: int | str | None) -> bool:
    """Whether a value is a constant (or a dequantized one) with an entry for each column."""
    producer = fusion.producers.get(name)
    if producer is not None and producer.kind == "DequantizeLinear":
        name = producer.inputs[0]
    array = fusion.graph.constant(name)
    return array is not None and array.shape == (columns,)


def _fuse_gemm(fusion: _Fusion, node: Node) -> None:
    attributes, graph = node.attributes, fusion.graph
    a, b = fusion.tensor(node.inputs[0]), fusion.codes(node.inputs[1])
    codes = None if b is None else graph.constant(b.codes)
    if a is None or b is None or codes is None or attributes.get("transA", 0):
        return
    if attributes.get("alpha", 1.0) != 1 or attributes.get("beta", 1.0) != 1:
        return
    transposed = bool(attributes.get("transB", 0))
    if b.axis not in (None, 0 if transposed else 1):
        return
    columns = codes.shape[0 if transposed else 1]
    if node.input(2) and not _is_row(fusion, node.input(2), columns):
        return
    if transposed:
        b = Codes(fusion.constant(b.codes + "_T", codes.T), b.scale, b.zero_point, b.axis)
    _fuse_product(fusion, node, a, b, node.input(2), "QLinearMatMul", node, {})


# --- sums, moves, tables ------------------------------------------------------------------------


def _fuse_binary(fusion: _Fusion, node: Node) -> None:
    a, b = fusion.tensor(node.inputs[0]), fusion.tensor(node.inputs[1])
    bounds, passed, quantizer = fusion.tail(node)
    if a is None or b is None or quantizer is None:
        return
    if fusion.portable and not _keeps_all_codes(fusion, bounds, quantizer):
        return
    attributes = {} if bounds is None else {"activation": bounds}
    y = [quantizer.inputs[1], fusion.zero_point_of(quantizer)]
    fused = Node("QLinear" + node.op_type, [*a.names, *b.names, *y], list(quantizer.outputs),
                 attributes, node.name, INTERNAL, node.version)  # fmt: skip
    fusion.replace([node, *passed, quantizer], fused)


def _fuse_pool(fusion: _Fusion, node: Node) -> None:
    x, quantizer = fusion.tensor(node.inputs[0]), fusion.quantizer(node.outputs[0])
    rank = fusion.graph.rank(node.inputs[0])
    if x is None or quantizer is None or rank is None or rank < 3:
        return
    if fusion.graph.dtype(x.codes) != fusion.graph.dtype(quantizer.outputs[0]):
        return
    y = [quantizer.inputs[1], fusion.zero_point_of(quantizer)]
    fused = Node("QLinear" + node.op_type, [*x.names, *y], list(quantizer.outputs),
                 dict(node.attributes), node.name, INTERNAL, node.version)  # fmt: skip
    fusion.replace([node, quantizer], fused)


def _fuse_local_norm(fusion: _Fusion, node: Node) -> None:
    """A local response normalization of codes, where the kernel takes its parameters."""
    attributes = node.attributes
    if fusion.portable or attributes.get("alpha", 1e-4) < 0 or attributes.get("bias", 1.0) <= 0:
        return
    x, quantizer = fusion.tensor(node.inputs[0]), fusion.quantizer(node.outputs[0])
    if x is None or quantizer is None:
        return
    y = [quantizer.inputs[1], fusion.zero_point_of(quantizer)]
    fused = Node("QLinearLRN", [*x.names, *y], list(quantizer.outputs), dict(attributes), node.name,
                 INTERNAL, node.version)  # fmt: skip
    fusion.replace([node, quantizer], fused)


def _fuse_mean(fusion: _Fusion, node: Node) -> None:
    """A mean over all spatial axes is a global pool; the axes it drops are dropped behind it."""
    graph, name = fusion.graph, node.inputs[0]
    rank = graph.rank(name)
    axes = node.attributes.get("axes")
    if axes is None and node.input(1):
        given = graph.constant(node.input(1))
        axes = None if given is None else given.tolist()
    if rank is None or rank < 3 or not axes:
        return
    if sorted(axis % rank for axis in axes) != list(range(2, rank)):
        return
    x, quantizer = fusion.tensor(name), fusion.quantizer(node.outputs[0])
    if x is None or quantizer is None:
        return
    if graph.dtype(x.codes) != graph.dtype(quantizer.outputs[0]):
        return
    y = [quantizer.inputs[1], fusion.zero_point_of(quantizer)]
    pool = Node("QLinearGlobalAveragePool", [*x.names, *y], list(quantizer.outputs), {}, node.name,
                INTERNAL, node.version)  # fmt: skip
    if node.attributes.get("keepdims", 1):
        fusion.replace([node, quantizer], pool)
        return
    pooled = fusion.namer(node.outputs[0] + "_pooled")
    shape = graph.shape(name) or ()
    extents = (*shape[:2], *(1 for _ in shape[2:]))
    graph.values[pooled] = Value(pooled, graph.dtype(x.codes), extents)
    pool.outputs = [pooled]
    spatial = fusion.constant("axes", np.arange(2, rank))
    drop = Node("Squeeze", [pooled, spatial], list(quantizer.outputs), {}, "", "", 13)
    fusion.replace([node, quantizer], pool, drop)


def _fuse_move(fusion: _Fusion, node: Node) -> None:
    """The codes are moved; with other parameters behind, a table then changes each of them."""
    x, quantizer = fusion.tensor(node.inputs[0]), fusion.quantizer(node.outputs[0])
    if x is None or quantizer is None or len(node.outputs) > 1:
        return
    moved = Node(node.op_type, [x.codes, *node.inputs[1:]], list(quantizer.outputs),
                 dict(node.attributes), node.name, node.domain, node.version)  # fmt: skip
    if _same_parameters(fusion, x, quantizer):
        fusion.replace([node, quantizer], moved)
        return
    if fusion.portable:
        return
    between = fusion.namer(node.outputs[0] + "_codes")
    moved.outputs = [between]
    _declare(fusion.graph, between, x.codes, node.outputs[0])
    table = _table(fusion, x, [], quantizer)
    fusion.replace([node, quantizer], moved, _lookup(between, table, quantizer))


def _fuse_concat(fusion: _Fusion, node: Node) -> None:
    """Every part brought to the parameters of the whole, then codes put side by side."""
    parts = [fusion.tensor(name) for name in node.inputs]
    quantizer = fusion.quantizer(node.outputs[0])
    if quantizer is None or any(part is None for part in parts):
        return
    if fusion.portable and not all(
        part is not None and _same_parameters(fusion, part, quantizer) for part in parts
    ):
        return
    nodes, names = [], []
    for part, original in zip(parts, node.inputs, strict=True):
        if part is None or _same_parameters(fusion, part, quantizer):
            names.append(part.codes if part else original)
            continue
        name = fusion.namer(original + "_codes")
        _declare(fusion.graph, name, quantizer.outputs[0], original)
        lookup = _lookup(part.codes, _table(fusion, part, [], quantizer), quantizer)
        lookup.outputs = [name]
        nodes.append(lookup)
        names.append(name)
    fused = Node("Concat", names, list(quantizer.outputs), dict(node.attributes), node.name, "",
                 node.version)  # fmt: skip
    fusion.replace([node, quantizer], *nodes, fused)


def _declare(graph: Graph, name: str, dtype_of: str, shape_of: str) -> None:
    graph.values[name] = Value(name, graph.dtype(dtype_of), graph.shape(shape_of))


def _same_parameters(fusion: _Fusion, x: Codes, quantizer: Node) -> bool:
    constants = fusion.graph.constants
    zero = constants[x.zero_point] if x.zero_point else np.zeros((), np.uint8)
    other = constants[fusion.zero_point_of(quantizer)]
    return bool(
        fusion.graph.dtype(x.codes) == fusion.graph.dtype(quantizer.outputs[0])
        and constants[x.scale] == constants[quantizer.inputs[1]]
        and int(zero.reshape(())) == int(other.reshape(()))
    )


def _fuse_tables(fusion: _Fusion) -> None:
    """Chains of operators of one element, from codes to codes, as one table each."""
    for node in list(fusion.graph.nodes):
        if not any(node is one for one in fusion.graph.nodes):
            continue
        x = fusion.tensor(node.inputs[0]) if node.inputs else None
        if x is None:
            continue
        chain = _chain(fusion, node)
        quantizer = fusion.quantizer(chain[-1].outputs[0]) if chain else None
        if quantizer is not None:
            table = _table(fusion, x, chain, quantizer)
            fusion.replace([*chain, quantizer], _lookup(x.codes, table, quantizer))
        elif node.kind == "QuantizeLinear" and _is_plain_quantizer(fusion, node):
            table = _table(fusion, x, [], node)
            fusion.replace([node], _lookup(x.codes, table, node))


def _is_plain_quantizer(fusion: _Fusion, node: Node) -> bool:
    scale = fusion.graph.constant(node.input(1))
    return (
        scale is not None
        and scale.ndim == 0
        and scale.dtype == np.float32
        and fusion.graph.dtype(node.outputs[0]) in _BYTES
        and (not node.input(2) or node.input(2) in fusion.graph.constants)
    )


def _chain(fusion: _Fusion, node: Node) -> list[Node]:
    """`node` and its followers, as long as each acts on each element by itself."""
    chain: list[Node] = []
    current: Node | None = node
    while current is not None and _acts_by_element(fusion, current, chain):
        chain.append(current)
        current = only_consumer(current.outputs[0], fusion.consumers, fusion.outputs)
    return chain


def _acts_by_element(fusion: _Fusion, node: Node, chain: list[Node]) -> bool:
    if len(node.outputs) > 1 or node.domain:
        return False
    if chain and node.inputs[0] != chain[-1].outputs[0]:
        return False
    rest = node.inputs[1:]
    if any(name and name not in fusion.graph.constants for name in rest):
        return False
    if node.op_type in ("Add", "Sub", "Mul", "Div"):
        value = fusion.graph.constant(rest[0])
        return value is not None and value.size == 1 and value.ndim == 0
    return node.op_type in _BY_ELEMENT


def _table(fusion: _Fusion, x: Codes, chain: list[Node], quantizer: Node) -> str:
    """What becomes of each code, in the order of their bits as unsigned numbers."""
    graph = fusion.graph
    dtype = graph.dtype(x.codes)
    codes = np.arange(256, dtype=np.uint8).view(dtype or np.uint8)
    zero = graph.constants[x.zero_point] if x.zero_point else None
    reals = ops.dequantize_linear(codes, graph.constants[x.scale].reshape(()), _flat(zero))
    with np.errstate(all="ignore"):
        for node in chain:
            rest = (graph.constants[name] if name else None for name in node.inputs[1:])
            reals = np.asarray(kernel_of(node, graph).function(reals, *rest), np.float32)
    target = graph.constants[fusion.zero_point_of(quantizer)]
    table = ops.quantize_linear(reals, graph.constants[quantizer.inputs[1]], _flat(target))
    return fusion.constant(quantizer.outputs[0] + "_table", table)


def _flat(array: Array | None) -> Array | None:
    return None if array is None else array.reshape(())


def _lookup(codes: str, table: str, quantizer: Node) -> Node:
    return Node("Lookup", [codes, table], list(quantizer.outputs), {}, quantizer.name, INTERNAL, 1)


_PATTERNS: dict[str, Callable[[_Fusion, Node], None]] = {
    "Conv": _fuse_conv,
    "ConvTranspose": _fuse_conv,
    "MatMul": _fuse_matmul,
    "Gemm": _fuse_gemm,
    "Add": _fuse_binary,
    "Mul": _fuse_binary,
    "AveragePool": _fuse_pool,
    "GlobalAveragePool": _fuse_pool,
    "ReduceMean": _fuse_mean,
    "LRN": _fuse_local_norm,
    "Concat": _fuse_concat,
    **dict.fromkeys(_MOVES, _fuse_move),
}
