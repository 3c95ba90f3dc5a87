"""Dynamic and weight-only quantization, which need no data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from quantlib.model.graph import Array, Graph, Namer, Node
from quantlib.model.passes.dynamic import expand_rows
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.selection import CONVOLUTIONS, PRODUCTS, has_constant_weights
from quantlib.model.quantization.weights import (
    Weights,
    dequantized_constant,
    output_axis,
    quantize_weights,
)

__all__ = ["takes_codes", "write_dynamic", "write_weight_only"]

Codes = Callable[[Node, Array, QuantConfig], Weights]


def takes_codes(node: Node, graph: Graph, config: QuantConfig) -> bool:
    """Whether the weights of a node become codes, dynamically or by themselves."""
    if node.op_type not in PRODUCTS or node.domain or config.leaves_out(node):
        return False
    if config.mode == "dynamic":
        return node.op_type not in CONVOLUTIONS and has_constant_weights(node, graph)
    weights, own = graph.constant(node.input(1)), config.for_node(node)
    if node.op_type == "ConvTranspose" and node.attributes.get("group", 1) != 1:
        return False
    if weights is None or own.weight_bits is not None or not _is_plain(node, weights):
        return False
    return own.takes(node.op_type, weights.shape)


def write_dynamic(graph: Graph, config: QuantConfig, codes: Codes = quantize_weights) -> Graph:
    """Every product of a matrix of weights quantizes its other operand while it runs."""
    result, nodes = graph.copy(), []
    namer = Namer(result)
    for node in result.nodes:
        if not takes_codes(node, graph, config):
            nodes.append(node)
            continue
        own = config.for_node(node)
        weights = codes(node, graph.constants[node.inputs[1]], own)
        nodes += _dynamic_product(result, node, weights, own.per_row, namer)
    result.nodes = nodes
    return result


def _dynamic_product(
    graph: Graph, node: Node, weights: Weights, per_row: bool, namer: Namer
) -> list[Node]:
    codes, scale = weights.codes, np.asarray(weights.params.scale, np.float32)
    if output_axis(node, codes) == 0:
        codes = np.ascontiguousarray(codes.T)
    bias = node.input(2)
    if per_row:
        name = namer(node.name or node.outputs[0])
        return expand_rows(graph, name, node.inputs[0], codes, scale, bias, node.outputs[0])
    data, output, base = node.inputs[0], node.outputs[0], node.name or node.outputs[0]
    held = {"codes": codes, "scale": scale, "zero_point": np.zeros((), codes.dtype)}
    names = {key: namer(f"{base}/{key}") for key in held}
    for key, array in held.items():
        graph.constants[names[key]] = array
    inner = {
        key: namer(f"{base}/{key}")
        for key in ("quantized", "data_scale", "data_zero_point", "product", "cast", "worth", "sum")
    }
    last = inner["sum"] if bias else output
    recipe: list[tuple[str, list[str], list[str], dict[str, object]]] = [
        ("DynamicQuantizeLinear", [data],
         [inner["quantized"], inner["data_scale"], inner["data_zero_point"]], {}),
        ("MatMulInteger", [inner["quantized"], names["codes"], inner["data_zero_point"],
                           names["zero_point"]], [inner["product"]], {}),
        ("Cast", [inner["product"]], [inner["cast"]], {"to": TensorProto.FLOAT}),
        ("Mul", [inner["data_scale"], names["scale"]], [inner["worth"]], {}),
        ("Mul", [inner["cast"], inner["worth"]], [last], {}),
    ]  # fmt: skip
    if bias:
        recipe.append(("Add", [last, bias], [output], {}))
    return [
        Node(kind, inputs, outputs, attributes, namer(f"{base}/{kind}"), "", graph.opset)
        for kind, inputs, outputs, attributes in recipe
    ]


def _is_plain(node: Node, weights: Array) -> bool:
    """Whether weights have one axis of output channels."""
    ranks = (3, 4, 5) if node.op_type in CONVOLUTIONS else (2,)
    return weights.dtype == np.float32 and weights.ndim in ranks and weights.size > 0


def write_weight_only(graph: Graph, config: QuantConfig, codes: Codes = quantize_weights) -> Graph:
    """Weights as codes with a DequantizeLinear behind them; everything is computed in floats."""
    result, nodes = graph.copy(), []
    namer = Namer(result)
    for node in result.nodes:
        if takes_codes(node, graph, config):
            own = codes(node, graph.constants[node.inputs[1]], config.for_node(node))
            reader, output = dequantized_constant(result, node.inputs[1], own, namer)
            node.inputs[1] = output
            nodes.append(reader)
        nodes.append(node)
    result.nodes = nodes
    return result
