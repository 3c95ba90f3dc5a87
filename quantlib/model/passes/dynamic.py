"""Dynamic products: the operators that quantize rows while a model runs, as one.

Two forms are known. One range for the whole operand is what ONNX Runtime's dynamic quantizer
writes: DynamicQuantizeLinear, MatMulInteger, Cast, and a Mul with the product of the scales. A
range for each row has no operator in ONNX; `expand_rows` writes it in basic ones, and what it wrote
is recognised by writing it again and comparing.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from quantlib.model.graph import INTERNAL, Array, Graph, Node
from quantlib.model.passes.activation import only_consumer

__all__ = ["PER_ROW", "expand_rows", "fuse_dynamic"]

PER_ROW = "/quantized_by_row/"  # in the names of the nodes that `expand_rows` writes


def fuse_dynamic(graph: Graph) -> None:
    """Replace both forms by the operator that does it in one call."""
    _fuse_rows(graph)
    outputs = set(graph.output_names)
    for node in [node for node in graph.nodes if node.kind == "MatMulInteger"]:
        _fuse_tensor(graph, node, outputs)


# --- one range for the operand ------------------------------------------------------------------


def _fuse_tensor(graph: Graph, node: Node, outputs: set[str]) -> None:
    producers, consumers = graph.producers(), graph.consumers()
    source = producers.get(node.inputs[0])
    if source is None or source.kind != "DynamicQuantizeLinear":
        return
    if node.input(2) != source.outputs[2] or graph.constant(node.inputs[1]) is None:
        return
    cast = only_consumer(node.outputs[0], consumers, outputs)
    if cast is None or cast.kind != "Cast" or cast.attributes["to"] != TensorProto.FLOAT:
        return
    scaled = only_consumer(cast.outputs[0], consumers, outputs)
    if scaled is None or scaled.kind != "Mul":
        return
    (factor,) = [name for name in scaled.inputs if name != cast.outputs[0]] or [""]
    weight_scale = _weight_scale(graph, factor, source.outputs[1], producers)
    zero = node.input(3)
    if not weight_scale or (zero and zero not in graph.constants):
        return
    weights, columns = graph.constants[node.inputs[1]], graph.constants[node.inputs[1]].shape[-1]
    if weights.ndim != 2 or graph.constants[weight_scale].size not in (1, columns):
        return
    last, bias = scaled, ""
    add = only_consumer(scaled.outputs[0], consumers, outputs)
    if add is not None and add.kind == "Add":
        other = [name for name in add.inputs if name != scaled.outputs[0]]
        value = graph.constant(other[0]) if other else None
        if value is not None and value.shape == (columns,) and value.dtype == np.float32:
            last, bias = add, other[0]
    _put(graph, node, last, [source.inputs[0], node.inputs[1], weight_scale, zero, bias], 0)
    graph.remove([one for one in (cast, scaled, last) if one is not node and one in graph.nodes])


def _put(graph: Graph, place: Node, last: Node, inputs: list[str], per_row: int) -> None:
    """The fused operator where `place` stands, with the result of `last`."""
    for index in (2, 3):
        if inputs[index]:
            inputs[index] = _flat(graph, inputs[index])
    fused = Node("DynamicQuantizeMatMul", inputs, [last.outputs[0]], {"per_row": per_row},
                 place.name, INTERNAL, 1)  # fmt: skip
    position = next(i for i, node in enumerate(graph.nodes) if node is place)
    graph.nodes[position] = fused
    if last is not place:
        graph.remove([last])


def _flat(graph: Graph, name: str) -> str:
    """A parameter as a scalar if it has one entry, as a row otherwise."""
    array = graph.constants[name]
    flat = array.reshape(()) if array.size == 1 else array.reshape(-1)
    if flat.ndim == array.ndim:
        return name
    graph.constants[name + "_flat"] = flat
    return name + "_flat"


def _weight_scale(graph: Graph, factor: str, data_scale: str, producers: dict[str, Node]) -> str:
    """The weights' scale in ``data scale * weight scale``, empty if that is not what it is."""
    product = producers.get(factor)
    if product is None or product.kind != "Mul" or data_scale not in product.inputs:
        return ""
    (other,) = [name for name in product.inputs if name != data_scale] or [""]
    return other if other in graph.constants else ""


# --- one range for each row ---------------------------------------------------------------------


def expand_rows(
    graph: Graph, name: str, data: str, codes: Array, scale: Array, bias: str, output: str
) -> list[Node]:
    """``data @ weights`` with each row of `data` quantized by a range of its own.

    With codes ``q`` of the rows, their scales ``s`` and zero points ``z``, the product is
    ``s * scale * (q @ codes - z * sum(codes))``: run times take no zero point for each row, so it
    is taken off the sums, in int32. All is as DynamicQuantizeLinear and MatMulInteger define it.
    Constants are put into `graph`.
    """
    prefix = name + PER_ROW
    constants = {
        "codes": codes,
        "scale": scale,
        "sums": codes.astype(np.int32).sum(axis=0, dtype=np.int32),
        "zero": np.float32(0),
        "one": np.float32(1),
        "levels": np.float32(255),
        "axis": np.array([-1], np.int64),
    }
    for key, array in constants.items():
        graph.constants[prefix + key] = np.asarray(array)
    keep: dict[str, object] = {"keepdims": 1}
    along = ["axis"]
    if graph.opset < 18:  # where axes are no input yet
        along = []
        keep["axes"] = [-1]
        del graph.constants[prefix + "axis"]
    float_, byte, word = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT32
    recipe: list[tuple[str, list[str], str, dict[str, object]]] = [
        ("ReduceMin", ["data", *along], "least", keep),
        ("ReduceMax", ["data", *along], "most", keep),
        ("Min", ["least", "zero"], "low", {}),
        ("Max", ["most", "zero"], "high", {}),
        ("Sub", ["high", "low"], "span", {}),
        ("Div", ["span", "levels"], "step", {}),
        ("Equal", ["step", "zero"], "flat", {}),
        ("Where", ["flat", "one", "step"], "rows", {}),
        ("Div", ["low", "rows"], "lowest", {}),
        ("Sub", ["zero", "lowest"], "start", {}),
        ("Clip", ["start", "zero", "levels"], "bounded", {}),
        ("Round", ["bounded"], "points", {}),
        ("Div", ["data", "rows"], "units", {}),
        ("Round", ["units"], "whole", {}),
        ("Add", ["whole", "points"], "moved", {}),
        ("Clip", ["moved", "zero", "levels"], "kept", {}),
        ("Cast", ["kept"], "bytes", {"to": byte}),
        ("MatMulInteger", ["bytes", "codes"], "product", {}),
        ("Cast", ["points"], "integers", {"to": word}),
        ("Mul", ["integers", "sums"], "excess", {}),
        ("Sub", ["product", "excess"], "exact", {}),
        ("Cast", ["exact"], "reals", {"to": float_}),
        ("Mul", ["rows", "scale"], "worth", {}),
        ("Mul", ["reals", "worth"], "result", {}),
    ]
    if bias:
        recipe.append(("Add", ["result", "bias"], "sum", {}))
    given = {"data": data, "bias": bias, recipe[-1][2]: output}
    nodes = []
    for op_type, inputs, made, attributes in recipe:
        names = [given.get(key, prefix + key) for key in inputs]
        made = given.get(made, prefix + made)
        nodes.append(Node(op_type, names, [made], dict(attributes), prefix + op_type + made, "",
                          graph.opset))  # fmt: skip
    return nodes


def _fuse_rows(graph: Graph) -> None:
    groups: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if PER_ROW in node.name:
            groups.setdefault(node.name.split(PER_ROW)[0], []).append(node)
    for name, nodes in groups.items():
        prefix = name + PER_ROW
        parts = [prefix + key for key in ("codes", "scale")]
        if nodes[0].op_type != "ReduceMin" or not all(part in graph.constants for part in parts):
            continue
        bias = nodes[-1].inputs[1] if nodes[-1].op_type == "Add" else ""
        if bias and bias not in graph.constants:
            continue
        codes, scale = (graph.constants[part] for part in parts)
        trial = Graph("", [], [], [], {}, dict(graph.opsets))
        again = expand_rows(trial, name, nodes[0].inputs[0], codes, scale, bias,
                            nodes[-1].outputs[0])  # fmt: skip
        if _same(nodes, again, graph, trial):
            place, last = nodes[-1], nodes[-1]
            _put(graph, place, last, [nodes[0].inputs[0], *parts, "", bias], 1)
            graph.remove(nodes)


def _same(nodes: list[Node], again: list[Node], graph: Graph, trial: Graph) -> bool:
    """Whether nodes and constants are those that `expand_rows` writes, and nothing else is read."""
    shape = [(n.op_type, n.inputs, n.outputs, n.attributes) for n in nodes]
    if shape != [(n.op_type, n.inputs, n.outputs, n.attributes) for n in again]:
        return False
    inner = {name for node in nodes[:-1] for name in node.outputs}
    readers = [n for n in graph.nodes if not any(n is one for one in nodes)]
    if inner & {name for node in readers for name in node.reads} or inner & set(graph.output_names):
        return False
    return all(
        name in graph.constants and np.array_equal(graph.constants[name], array)
        for name, array in trial.constants.items()
    )
