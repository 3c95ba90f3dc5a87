"""`annotate`: parameters of quantization as metadata, where viewers of ONNX files show them."""

from __future__ import annotations

import json

import numpy as np

from quantlib.model.codes import Codes, codes_of
from quantlib.model.graph import Graph, Node
from quantlib.model.model import Model
from quantlib.model.quantization.selection import PRODUCTS

__all__ = ["annotate"]


def annotate(model: Model) -> Model:
    """Write what codes stand for into the metadata of a quantized model's nodes.

    Parameters
    ----------
    model : Model
        In QDQ form.

    Returns
    -------
    Model
        The same model. Nodes that have quantized operands or results, and the QuantizeLinear and
        DequantizeLinear nodes themselves, have entries such as ``quantlib.weights``; the model has
        ``quantlib.float_layers``, the names of those convolutions and products whose weights are
        floats, as JSON. Saved, they are ``metadata_props``, which compute nothing.

    Examples
    --------
    >>> import numpy as np, onnx.parser
    >>> import quantlib as ql
    >>> text = '''<ir_version: 8, opset_import: ["" : 17]>
    ... g (float[n, 2] x) => (float[n, 1] y) <float[2, 1] w = {1.0, -0.5}> { y = MatMul (x, w) }'''
    >>> q = ql.model.quantize(onnx.parser.parse_model(text), mode="weight_only")
    >>> told = ql.model.annotate(q).graph.nodes[-1].metadata
    >>> told["quantlib.weights"]
    'int8, 8 bits, -0.496063 to 1, scale 0.00787402, zero point 0'
    """
    graph = model.graph.copy()
    producers, consumers = graph.producers(), graph.consumers()
    for node in graph.nodes:
        node.metadata |= _of(node, graph, producers, consumers)
    floats = [
        node.name
        for node in graph.nodes
        if node.op_type in PRODUCTS and graph.constant(node.input(1)) is not None
    ]
    graph.metadata["quantlib.float_layers"] = json.dumps(floats)
    annotated = Model(graph)
    annotated.partial = model.partial
    return annotated


def _of(
    node: Node, graph: Graph, producers: dict[str, Node], consumers: dict[str, list[Node]]
) -> dict[str, str]:
    """The entries of one node."""
    if node.op_type == "DequantizeLinear":
        codes = codes_of(node.outputs[0], graph, producers)
        return {"quantlib.codes": _said(codes)} if codes else {}
    if node.op_type == "QuantizeLinear":
        codes = _behind(node.outputs[0], graph, producers, consumers)
        return {"quantlib.codes": _said(codes)} if codes else {}
    found = {}
    for place, name in enumerate(node.inputs):
        codes = codes_of(name, graph, producers)
        if codes:
            is_product = node.op_type in PRODUCTS and place < 3
            role = ("operand", "weights", "bias")[place] if is_product else f"operand_{place}"
            found[f"quantlib.{role}"] = _said(codes)
    for reader in consumers.get(node.outputs[0], ()) if node.outputs else ():
        if reader.op_type == "QuantizeLinear":
            codes = _behind(reader.outputs[0], graph, producers, consumers)
            if codes:
                found["quantlib.result"] = _said(codes)
    return found


def _behind(
    name: str, graph: Graph, producers: dict[str, Node], consumers: dict[str, list[Node]]
) -> Codes | None:
    """What the codes of this name are decoded to."""
    for reader in consumers.get(name, ()):
        if reader.op_type == "DequantizeLinear":
            return codes_of(reader.outputs[0], graph, producers)
        if reader.op_type == "Clip":
            return _behind(reader.outputs[0], graph, producers, consumers)
    return None


def _said(codes: Codes) -> str:
    """For instance "int8, 8 bits, -1 to 1, 16 scales along axis 0, 0.001 to 0.02, zero point 0"."""
    scale = codes.scale.reshape(-1)
    scales = f"scale {scale[0]:.6g}"
    if scale.size > 1:
        blocks = f" in blocks of {codes.block_size}" if codes.block_size else ""
        scales = f"{scale.size} scales along axis {codes.axis}{blocks}, "
        scales += f"{scale.min():.6g} to {scale.max():.6g}"
    zeros = np.unique(codes.zero_point)
    zero = f"zero point {zeros[0]}"
    if zeros.size > 1:
        zero = f"zero points {zeros[0]} to {zeros[-1]}"
    ends = f"{codes.low:.6g} to {codes.high:.6g}"
    return f"{codes.dtype.name}, {codes.bits} bits, {ends}, {scales}, {zero}"
