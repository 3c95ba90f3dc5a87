"""Other forms of a quantized model: QOperator, and weights as floats."""

from __future__ import annotations

import numpy as np

from quantlib.model.encoded import DOMAIN, is_decoder
from quantlib.model.graph import INTERNAL, Graph, Namer, Node
from quantlib.model.passes import fold_constants, fuse_qdq, remove_dead_code
from quantlib.model.passes.qoperator import CONTRIB

__all__ = ["FORMS", "to_float", "to_qoperator"]

# Where an operator has its zero points, behind scales.
_ZERO_POINTS = {"QLinearConv": (2, 5, 7), "QLinearMatMul": (2, 5, 7)}


def to_qoperator(graph: Graph) -> Graph:
    """A copy of a graph in QDQ form with integer operators where there are such.

    Convolutions and products become ONNX's QLinearConv and QLinearMatMul; products with a bias,
    sums and average pools those of ONNX Runtime's domain, ``com.microsoft``. What has no such form,
    for instance a convolution whose result stays in floats, keeps its Q/DQ pairs.
    """
    result = graph.copy()
    fuse_qdq(result, portable=True)
    namer = Namer(result)
    for node in result.nodes:
        if node.domain == INTERNAL:
            _name_portably(node, result, namer)
    remove_dead_code(result)
    if any(node.domain == CONTRIB for node in result.nodes):
        result.opsets[CONTRIB] = 1
    return result


def to_float(graph: Graph) -> Graph:
    """A copy of a graph with the floats that stored weights decode to."""
    result = graph.copy()
    for node in result.nodes:
        if is_decoder(node):
            node.attributes.pop("on_the_fly", None)
    fold_constants(result)
    remove_dead_code(result)
    result.opsets.pop(DOMAIN, None)
    return result


def _name_portably(node: Node, graph: Graph, namer: Namer) -> None:
    """The operator of ONNX, or of ONNX Runtime, that a fused node is."""
    node.version = graph.opset
    if node.op_type == "QLinearMatMul" and (node.input(8) or not node.input(6)):
        a, b, y, bias = node.inputs[:3], node.inputs[3:6], node.inputs[6:8], node.input(8)
        node.op_type, node.domain, node.version = "QGemm", CONTRIB, 1
        node.inputs = [*_given(a, graph, namer), *_given(b, graph, namer), bias, *y]
        node.attributes = {"transB": 0}
    elif node.op_type in _ZERO_POINTS:
        node.domain = ""
        for index in _ZERO_POINTS[node.op_type]:
            triple = _given(node.inputs[: index + 1], graph, namer)
            node.inputs[index] = triple[-1]
    else:
        node.domain, node.version = CONTRIB, 1
    node.attributes.pop("activation", None)
    while node.inputs and not node.inputs[-1]:
        node.inputs.pop()


def _given(names: list[str], graph: Graph, namer: Namer) -> list[str]:
    """Names of codes, scale and zero point, with a zero where the last is left out."""
    if names[-1]:
        return names
    zero = namer("zero_point")
    graph.constants[zero] = np.zeros((), graph.dtype(names[-3]) or np.uint8)
    return [*names[:-1], zero]


def _as_it_is(graph: Graph) -> Graph:
    return graph


FORMS = {"qdq": _as_it_is, "qoperator": to_qoperator, "float32": to_float}
