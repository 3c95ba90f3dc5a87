"""Layout assignment: convolutions and what stands between them run with the channels last.

In a file, data is (N, C, H, W). The kernels want the channels of a pixel side by side. The pass
walks through the graph once: a convolution or pool turns its data, unless a node before it already
did; operators that do not care follow the layout of their operands; where a node needs the file's
layout, the data is turned back, once for all who need it.
"""

from __future__ import annotations

import numpy as np

from quantlib.model.graph import INTERNAL, Array, Graph, Namer, Node, Value
from quantlib.model.operators.quantized import BYTES
from quantlib.model.operators.registry import REALS

__all__ = ["assign_layout"]

_CARES = frozenset(
    {"Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "quantlib.Conv",
     "quantlib.QLinearConv", "quantlib.QLinearConvTranspose", "quantlib.QLinearAveragePool",
     "quantlib.QLinearGlobalAveragePool"}
)  # fmt: skip
_CONVOLUTIONS = frozenset(
    {"Conv", "quantlib.Conv", "quantlib.QLinearConv", "quantlib.QLinearConvTranspose"}
)
_OF_CODES = frozenset(
    {"MaxPool", "quantlib.QLinearConv", "quantlib.QLinearConvTranspose",
     "quantlib.QLinearAveragePool",
     "quantlib.QLinearGlobalAveragePool"}
)  # fmt: skip
_FOLLOWS = frozenset(
    {"Abs", "Add", "Cast", "Celu", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid",
     "HardSwish", "Identity", "LeakyRelu", "Log", "Max", "Min", "Mish", "Mul", "Neg", "PRelu",
     "Pow", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tanh",
     "Dropout", "quantlib.Add", "quantlib.Sub", "quantlib.Mul", "quantlib.Lookup",
     "quantlib.QLinearAdd", "quantlib.QLinearMul", "QuantizeLinear", "DequantizeLinear", "Concat",
     "BatchNormalization", "LRN", "Split", "quantlib.QLinearLRN", "quantlib.ShuffleChannels"}
)  # fmt: skip
# Inputs that are parameters, not data of the operator's shape.
_PARAMETERS: dict[str, tuple[int, ...]] = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "Clip": (1, 2),
    "Dropout": (1, 2),
    "BatchNormalization": (1, 2, 3, 4),
    "Split": (1,),
    "quantlib.Lookup": (1,),
    "quantlib.QLinearLRN": (1, 2, 3, 4),
    "quantlib.QLinearAdd": (1, 2, 4, 5, 6, 7),
    "quantlib.QLinearMul": (1, 2, 4, 5, 6, 7),
}


class _Layout:
    def __init__(self, graph: Graph) -> None:
        self.graph, self.namer = graph, Namer(graph)
        self.last: dict[str, str] = {}  # the channels-last form of a value
        self.first_is_made: set[str] = set()  # values whose channels-first form exists
        self.nodes: list[Node] = []

    def take_last(self, name: str) -> str:
        """The channels-last form of a value, turned if there is none."""
        if name not in self.last:
            rank = self.graph.rank(name)
            turned = self._declare(name)
            self.nodes.append(_turn(name, turned, (0, *range(2, rank or 0), 1)))
            self.last[name] = turned
        return self.last[name]

    def take_first(self, name: str) -> str:
        """The channels-first form of a value, turned back if there is none."""
        if name in self.last and name not in self.first_is_made:
            rank = self.graph.rank(name) or 0
            self.nodes.append(_turn(self.last[name], name, (0, rank - 1, *range(1, rank - 1))))
            self.first_is_made.add(name)
        return name

    def make_last(self, name: str) -> str:
        """A name for a node's result with channels last."""
        self.last[name] = self._declare(name)
        return self.last[name]

    def _declare(self, name: str) -> str:
        turned = self.namer(name + "_channels_last")
        shape = self.graph.shape(name)
        moved = None if shape is None else (shape[0], *shape[2:], shape[1])
        self.graph.values[turned] = Value(turned, self.graph.dtype(name), moved)
        return turned


def _turn(source: str, target: str, order: tuple[int, ...]) -> Node:
    return Node("Transpose", [source], [target], {"perm": list(order)}, "", "", 13)


def assign_layout(graph: Graph) -> None:
    """Let convolutions, pools and their surroundings work on channels-last data."""
    if not any(node.kind in _CONVOLUTIONS for node in graph.nodes):
        return
    layout = _Layout(graph)
    layout.first_is_made.update(graph.input_names, graph.constants)
    for node in graph.nodes:
        if node.kind in _CARES and _is_image(graph, node):
            _turn_image(layout, node)
        elif not (node.kind in _FOLLOWS and _follow(layout, node)) and not _reduce(layout, node):
            node.inputs = [layout.take_first(name) if name else "" for name in node.inputs]
            for name in node.captured:
                layout.take_first(name)
            layout.first_is_made.update(node.outputs)
            layout.nodes.append(node)
    for name in graph.output_names:
        layout.take_first(name)
    graph.nodes = layout.nodes


def _is_image(graph: Graph, node: Node) -> bool:
    """Whether the data of a node is of a rank and type that the channels-last kernels take."""
    name = node.inputs[0]
    rank, dtype = graph.rank(name), graph.dtype(name)
    if rank is None or rank < 3 or name in graph.constants or len(node.outputs) > 1:
        return False
    return dtype in REALS or (dtype in BYTES and node.kind in _OF_CODES)


def _turn_image(layout: _Layout, node: Node) -> None:
    name, rank = node.outputs[0], layout.graph.rank(node.inputs[0]) or 0
    if layout.graph.rank(name) is None:
        layout.graph.values[name] = Value(name, layout.graph.dtype(name), (None,) * rank)
    node.inputs[0] = layout.take_last(node.inputs[0])
    if node.op_type == "QLinearConv" and node.input(9):
        node.inputs[9] = layout.take_last(node.inputs[9])
    node.attributes["layout"] = "NHWC"
    node.domain = INTERNAL
    if node.op_type == "MaxPool" and layout.graph.dtype(name) in BYTES:
        node.op_type = "MaxPoolOfCodes"
    node.outputs = [layout.make_last(node.outputs[0])]
    layout.nodes.append(node)


def _follow(layout: _Layout, node: Node) -> bool:
    """Work on channels last if an operand does and all the others can; whether that is so."""
    graph, parameters = layout.graph, _PARAMETERS.get(node.kind, ())
    data = [i for i, name in enumerate(node.inputs) if name and i not in parameters]
    turned = [i for i in data if node.inputs[i] in layout.last]
    if not turned or (node.kind == "BatchNormalization" and not _is_plain_norm(graph, node)):
        return False
    rank = graph.rank(node.inputs[turned[0]])
    if rank is None or (
        node.kind in ("QuantizeLinear", "DequantizeLinear") and not _whole(graph, node)
    ):
        return False
    constants = {}
    for index in data:
        name = node.inputs[index]
        array = graph.constant(name)
        if array is not None:
            moved = _turned_constant(array, rank)
            if moved is None:
                return False
            constants[index] = moved
        elif graph.rank(name) == 0:
            constants[index] = np.empty(0)  # a scalar, left as it is
        elif graph.rank(name) != rank:
            return False
    axis = _axis(node, rank)
    for index in data:
        if index not in constants:
            node.inputs[index] = layout.take_last(node.inputs[index])
        elif node.inputs[index] in graph.constants and constants[index].ndim:
            name = layout.namer(node.inputs[index] + "_channels_last")
            graph.constants[name] = constants[index]
            node.inputs[index] = name
    if axis is not None:
        node.attributes["axis"] = axis
    if node.kind in (
        "BatchNormalization",
        "LRN",
        "quantlib.QLinearLRN",
        "quantlib.ShuffleChannels",
    ):
        node.domain = INTERNAL
        node.attributes["layout"] = "NHWC"
    node.outputs = [layout.make_last(name) if name else "" for name in node.outputs]
    layout.nodes.append(node)
    return True


def _is_plain_norm(graph: Graph, node: Node) -> bool:
    """Whether a batch normalization is one of inference, in a type with a kernel."""
    training = node.attributes.get("training_mode", 0) or len(node.outputs) > 1
    return not training and all(graph.dtype(name) in REALS for name in node.inputs)


def _whole(graph: Graph, node: Node) -> bool:
    """Whether a tensor has one scale."""
    return graph.rank(node.inputs[1]) == 0 or (
        (scale := graph.constant(node.inputs[1])) is not None and scale.ndim == 0
    )


def _turned_constant(array: Array, rank: int) -> Array | None:
    """A constant operand with channels last, None if its shape does not allow that."""
    if array.ndim > rank:
        return None
    if array.size == 1:
        return array.reshape(())
    full = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return np.ascontiguousarray(np.moveaxis(full, 1, -1))


def _axis(node: Node, rank: int) -> int | None:
    """The axis of a concatenation or split in the turned data."""
    if node.kind not in ("Concat", "Split"):
        return None
    axis = node.attributes.get("axis", 0) % rank
    return axis if axis == 0 else rank - 1 if axis == 1 else axis - 1


def _reduce(layout: _Layout, node: Node) -> bool:
    """A mean over all spatial axes that drops them needs no turning back."""
    graph = layout.graph
    if node.kind not in ("ReduceMean", "ReduceMax", "ReduceSum", "ReduceMin"):
        return False
    name = node.inputs[0]
    rank = graph.rank(name)
    axes = node.attributes.get("axes")
    if axes is None and node.input(1):
        given = graph.constant(node.input(1))
        axes = None if given is None else given.tolist()
    if name not in layout.last or rank is None or not axes:
        return False
    if sorted(axis % rank for axis in axes) != list(range(2, rank)):
        return False
    spatial = np.arange(1, rank - 1, dtype=np.int64)
    if "axes" in node.attributes:
        node.attributes["axes"] = spatial.tolist()
    else:
        node.inputs[1] = layout.namer("axes")
        graph.constants[node.inputs[1]] = spatial
    node.inputs[0] = layout.last[name]
    if node.attributes.get("keepdims", 1):
        node.outputs = [layout.make_last(node.outputs[0])]
    else:
        layout.first_is_made.update(node.outputs)
    layout.nodes.append(node)
    return True
