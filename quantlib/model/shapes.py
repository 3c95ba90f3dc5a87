"""What the shapes and types of a graph's values will be, by ONNX's own rules of inference."""

from __future__ import annotations

from dataclasses import replace

import onnx
import onnx.shape_inference

from quantlib.model.encoded import is_decoder, value_of_decoder
from quantlib.model.graph import Graph, ModelError, Value

__all__ = ["infer_values"]


def infer_values(graph: Graph) -> dict[str, Value]:
    """Shape and type of every value that ONNX's rules determine.

    Constants of more than 1024 elements are only declared to the rules, not handed over: the time
    and memory that this takes do not depend on the size of the weights.

    Raises
    ------
    ModelError
        If the rules contradict each other or what the graph declares: a matrix product of shapes
        that do not fit, an output declared with another type than it has.
    """
    from quantlib.model.writer import model_of

    proto = model_of(_with_declared_weights(graph), keep_constants=False)
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        # Inside of graphs in attributes, and of operators that are defined by other operators, the
        # rules also stumble over what they merely do not know.
        if str(error).count("(op_type:") > 1:
            return _lenient(graph, proto)
        raise ModelError(f"shapes or types contradict each other: {_reason(error)}") from None
    return _values(graph, inferred)


def _with_declared_weights(graph: Graph) -> Graph:
    """`graph` with decoded weights as inputs: the rules do not know what makes them."""
    decoders = [node for node in graph.nodes if is_decoder(node)]
    if not decoders:
        return graph
    declared = replace(graph, nodes=list(graph.nodes))
    declared.remove(decoders)
    declared.inputs = [*graph.inputs, *map(value_of_decoder, decoders)]
    return declared


def _lenient(graph: Graph, proto: onnx.ModelProto) -> dict[str, Value]:
    return _values(graph, onnx.shape_inference.infer_shapes(proto, data_prop=True))


def _values(graph: Graph, inferred: onnx.ModelProto) -> dict[str, Value]:
    from quantlib.model.reader import read_value

    values = {}
    for entry in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output):
        value = read_value(entry)
        if value.name not in graph.constants:
            values[value.name] = value
    return values


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text.replace("[ShapeInferenceError] ", "").replace("Inference error(s): ", "")[:300]
