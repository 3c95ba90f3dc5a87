"""Models in QOperator form, spelled out as Q/DQ pairs around float operators.

The fusion of Q/DQ pairs then is the only place where integer operators come from, whichever form a
file has. What is spelled out computes the same reals; the fusion restores the integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quantlib.model.graph import Graph, Namer, Node, Value

__all__ = ["expand_qoperators"]

_GEOMETRY = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
CONTRIB = "com.microsoft"


class _Writer:
    """Puts nodes in the place of one."""

    def __init__(self, graph: Graph, node: Node, namer: Namer) -> None:
        self.graph, self.node, self._namer = graph, node, namer
        self.nodes: list[Node] = []

    def add(
        self,
        op_type: str,
        inputs: list[str],
        attributes: dict[str, Any] | None = None,
        output: str = "",
    ) -> str:
        output = output or self._namer(f"{self.node.outputs[0]}_{op_type}")
        name = self._namer(f"{self.node.name or self.node.outputs[0]}_{op_type}")
        version = self.graph.opset
        self.nodes.append(Node(op_type, inputs, [output], attributes or {}, name, "", version))
        return output

    def real(self, codes: int, axis: int | None = None) -> str:
        """The reals of the codes at inputs `codes`, `codes` + 1 (scale) and + 2 (zero point)."""
        names = [self.node.input(codes + index) for index in range(3)]
        scale = self.graph.constant(names[1])
        per_channel = scale is not None and scale.size > 1
        inputs = [self._flat(name, per_channel) for name in names if name]
        attributes = {"axis": axis} if per_channel and axis is not None else {}
        output = self.add("DequantizeLinear", [names[0], *inputs[1:]], attributes)
        shape = self.graph.shape(names[0])
        self.graph.values[output] = Value(output, np.dtype(np.float32), shape)
        return output

    def _flat(self, name: str, per_channel: bool) -> str:
        """A parameter as a scalar; others write it as an array of one."""
        array = self.graph.constant(name)
        if array is None or array.ndim == 0 or array.size != 1 or per_channel:
            return name
        flat = self._namer(name + "_scalar")
        self.graph.constants[flat] = array.reshape(())
        return flat

    def codes(self, real: str, scale: int) -> None:
        """The node's result: `real` in the codes of inputs `scale` and `scale` + 1."""
        value = Value(real, np.dtype(np.float32), self.graph.shape(self.node.outputs[0]))
        self.graph.values[real] = value
        names = [self._flat(self.node.input(scale + index), False) for index in range(2)]
        zero = self.graph.constant(names[1]) if names[1] else None
        dtype = np.dtype(np.uint8) if zero is None else zero.dtype
        output = self.node.outputs[0]
        self.graph.values[output] = Value(output, dtype, self.graph.shape(output))
        self.add("QuantizeLinear", [real, *(name for name in names if name)], None, output)

    def bias(self, index: int, x_scale: int, w_scale: int) -> list[str]:
        """The int32 bias as reals: it counts in units of the product of two scales."""
        name = self.node.input(index)
        if not name:
            return []
        scales = [self.graph.constants[self.node.input(i)] for i in (x_scale, w_scale)]
        product = np.asarray(scales[0].reshape(()) * scales[1].reshape(-1), np.float32)
        scale = self._namer(name + "_scale")
        self.graph.constants[scale] = product.reshape(()) if product.size == 1 else product
        return [self.add("DequantizeLinear", [name, scale], {"axis": 0})]


def expand_qoperators(graph: Graph) -> None:
    """Spell out every quantized operator whose parameters are constant."""
    namer = Namer(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        expand = _EXPANSIONS.get(node.kind)
        writer = _Writer(graph, node, namer)
        if expand is not None and _parameters_are_constant(node, graph) and expand(writer):
            nodes += writer.nodes
        else:
            nodes.append(node)
    graph.nodes = nodes


def _parameters_are_constant(node: Node, graph: Graph) -> bool:
    """Whether every input is a constant except the data, which are the inputs of 8 bits."""
    scales = _SCALES[node.kind] or range(0, len(node.inputs), 3)
    for index in scales:
        for name in (node.input(index), node.input(index + 1)):
            array = graph.constant(name)
            if name and (array is None or array.ndim > 1):
                return False
    return True


def _conv(writer: _Writer) -> bool:
    node = writer.node
    if writer.graph.constant(node.input(3)) is None:
        return False
    inputs = [writer.real(0), writer.real(3, axis=0), *writer.bias(8, 1, 4)]
    attributes = {name: node.attributes[name] for name in _GEOMETRY if name in node.attributes}
    writer.codes(writer.add("Conv", inputs, attributes), 6)
    return True


def _matmul(writer: _Writer) -> bool:
    rank = writer.graph.rank(writer.node.input(3))
    if rank is None:
        return False
    writer.codes(writer.add("MatMul", [writer.real(0), writer.real(3, axis=rank - 1)]), 6)
    return True


def _gemm(writer: _Writer) -> bool:
    node = writer.node
    if writer.graph.constant(node.input(3)) is None or node.attributes.get("alpha", 1.0) != 1:
        return False
    axis = 0 if node.attributes.get("transB", 0) else 1
    inputs = [writer.real(0), writer.real(3, axis=axis), *writer.bias(6, 1, 4)]
    kept = ("transA", "transB")
    attributes: dict[str, Any] = {n: node.attributes[n] for n in kept if n in node.attributes}
    if node.input(7):
        writer.codes(writer.add("Gemm", inputs, attributes), 7)
    else:
        writer.add("Gemm", inputs, attributes, node.outputs[0])
    return True


def _binary(op_type: str) -> Callable[[_Writer], bool]:
    def expand(writer: _Writer) -> bool:
        writer.codes(writer.add(op_type, [writer.real(0), writer.real(3)]), 6)
        return True

    return expand


def _unary(op_type: str, *names: str) -> Callable[[_Writer], bool]:
    def expand(writer: _Writer) -> bool:
        attributes = writer.node.attributes
        if attributes.get("channels_last", 0):
            return False
        kept = {name: attributes[name] for name in names if name in attributes}
        writer.codes(writer.add(op_type, [writer.real(0)], kept), 3)
        return True

    return expand


def _concat(writer: _Writer) -> bool:
    """Inputs: the result's scale and zero point, then codes, scale and zero point of each part."""
    node = writer.node
    parts = [writer.real(index) for index in range(2, len(node.inputs), 3)]
    writer.codes(writer.add("Concat", parts, {"axis": node.attributes["axis"]}), 0)
    return True


_POOL = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")
_EXPANSIONS: dict[str, Callable[[_Writer], bool]] = {
    "QLinearConv": _conv,
    "QLinearMatMul": _matmul,
    f"{CONTRIB}.QGemm": _gemm,
    f"{CONTRIB}.QLinearAdd": _binary("Add"),
    f"{CONTRIB}.QLinearMul": _binary("Mul"),
    f"{CONTRIB}.QLinearAveragePool": _unary("AveragePool", *_POOL),
    f"{CONTRIB}.QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    f"{CONTRIB}.QLinearSigmoid": _unary("Sigmoid"),
    f"{CONTRIB}.QLinearLeakyRelu": _unary("LeakyRelu", "alpha"),
    f"{CONTRIB}.QLinearSoftmax": _unary("Softmax", "axis"),
    f"{CONTRIB}.QLinearConcat": _concat,
}
# Where scales stand, each with its zero point behind it; None if they are spread over the inputs.
_SCALES: dict[str, tuple[int, ...] | None] = {
    "QLinearConv": (1, 4, 6),
    "QLinearMatMul": (1, 4, 6),
    f"{CONTRIB}.QGemm": (1, 4, 7),
    f"{CONTRIB}.QLinearAdd": (1, 4, 6),
    f"{CONTRIB}.QLinearMul": (1, 4, 6),
    f"{CONTRIB}.QLinearAveragePool": (1, 3),
    f"{CONTRIB}.QLinearGlobalAveragePool": (1, 3),
    f"{CONTRIB}.QLinearSigmoid": (1, 3),
    f"{CONTRIB}.QLinearLeakyRelu": (1, 3),
    f"{CONTRIB}.QLinearSoftmax": (1, 3),
    f"{CONTRIB}.QLinearConcat": None,
}
