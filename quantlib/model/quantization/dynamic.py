"""Dynamic and weight-only quantization, which need no data."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from quantlib.model.graph import Array, Graph, Namer, Node
from quantlib.model.passes.dynamic import expand_rows
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.selection import PRODUCTS, has_constant_weights
from quantlib.model.quantization.weights import (
    dequantized_constant,
    output_axis,
    quantize_weights,
)

__all__ = ["write_dynamic", "write_weight_only"]


def write_dynamic(graph: Graph, config: QuantConfig) -> Graph:
    """Every product of a matrix of weights quantizes its other operand while it runs."""
    result, nodes = graph.copy(), []
    namer = Namer(result)
    for node in result.nodes:
        fits = node.op_type in ("Gemm", "MatMul") and not node.domain
        if not fits or config.leaves_out(node) or not has_constant_weights(node, graph):
            nodes.append(node)
            continue
        nodes += _dynamic_product(result, node, config.for_node(node), namer)
    result.nodes = nodes
    return result


def _dynamic_product(graph: Graph, node: Node, config: QuantConfig, namer: Namer) -> list[Node]:
    weights = quantize_weights(node, graph.constants[node.inputs[1]], config)
    codes, scale = weights.codes, np.asarray(weights.params.scale, np.float32)
    if output_axis(node, codes) == 0:
        codes = np.ascontiguousarray(codes.T)
    bias = node.input(2)
    if config.per_row:
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
    ranks = (3, 4, 5) if node.op_type == "Conv" else (2,)
    return weights.dtype == np.float32 and weights.ndim in ranks and weights.size > 0


def write_weight_only(graph: Graph, config: QuantConfig) -> Graph:
    """Weights as codes with a DequantizeLinear behind them; everything is computed in floats."""
    result, nodes = graph.copy(), []
    namer = Namer(result)
    for node in result.nodes:
        fits = node.op_type in PRODUCTS and not node.domain and not config.leaves_out(node)
        weights = graph.constant(node.input(1)) if fits else None
        if weights is not None and _is_plain(node, weights):
            own = quantize_weights(node, weights, config.for_node(node))
            reader, output = dequantized_constant(result, node.inputs[1], own, namer)
            node.inputs[1] = output
            nodes.append(reader)
        nodes.append(node)
    result.nodes = nodes
    return result
