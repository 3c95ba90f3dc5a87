"""Static quantization: a float graph becomes one in QDQ form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantlib.calibration.observer import Observer
from quantlib.model.graph import Array, Graph, Namer, Node, Value
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.selection import (
    CONVOLUTIONS,
    JOINS,
    MOVES,
    PRODUCTS,
    Selection,
    data_inputs,
)
from quantlib.model.quantization.weights import (
    Weights,
    dequantized_constant,
    quantize_weights,
)
from quantlib.params import QType, QuantParams

__all__ = [
    "activation_params",
    "bias_codes",
    "channel_axis",
    "layer_weights",
    "qdq_pair",
    "write_qdq",
]

LARGEST_BIAS = np.iinfo(np.int32).max // 2  # of a bias in units of the accumulator


def activation_params(
    selection: Selection, observers: dict[str, Observer], config: QuantConfig
) -> dict[str, QuantParams]:
    """The parameters of every tensor that has codes."""
    params: dict[str, QuantParams] = {}
    known: dict[tuple[str, ...], QuantParams] = {}
    for name in selection.tensors:
        key = tuple(sorted(selection.sources[name]))
        if key not in known:
            own = config.for_node(selection.owners[name])
            observer = Observer()
            for source in key:
                observer.merge(observers[source])
            known[key] = observer.params(
                own.method, own.activation, own.activation_symmetric, percentile=own.percentile,
                variant=own.variant,
            )  # fmt: skip
        params[name] = known[key]
    return params


def layer_weights(
    graph: Graph,
    selection: Selection,
    params: dict[str, QuantParams],
    config: QuantConfig,
    codes: Callable[[Node, Array, QuantConfig], Weights] = quantize_weights,
) -> dict[int, Weights]:
    """The weights of each product, by the node's id; scales are large enough for its bias.

    None where the target leaves weights in floats.
    """
    found: dict[int, Weights] = {}
    if config.target is not None and not config.target.quantizes_weights:
        return found
    for node in selection.nodes:
        if node.op_type in PRODUCTS:
            weights = codes(node, graph.constants[node.inputs[1]], config.for_node(node))
            bias = graph.constant(node.input(2))
            found[id(node)] = _for_bias(node, graph, weights, bias, params[node.inputs[0]])
    return found


def _for_bias(
    node: Node, graph: Graph, weights: Weights, bias: Array | None, x: QuantParams
) -> Weights:
    """`weights` with the scales of those channels enlarged whose bias would not fit int32."""
    if bias is None:
        return weights
    scale = weights.params.scale.astype(np.float64).reshape(-1)
    least = np.abs(bias.astype(np.float64)) / (float(x.scale) * LARGEST_BIAS)
    enlarged = np.maximum(scale, least if scale.size > 1 else least.max(initial=0))
    if np.array_equal(enlarged, scale):
        return weights
    from quantlib import ops

    shaped = enlarged.astype(np.float32).reshape(weights.params.scale.shape)
    params = QuantParams(shaped, weights.params.zero_point, weights.params.qtype,
                         weights.params.axis)  # fmt: skip
    data = graph.constants[node.inputs[1]].astype(np.float32)
    return Weights(ops.quantize(data, params), params)


def bias_codes(bias: Array | None, x: QuantParams, weights: Weights) -> tuple[Array, Array]:
    """A bias in units of the accumulator, and the unit of each channel; None is one of zero."""
    unit = np.asarray(x.scale * weights.params.scale, np.float32)
    if bias is None:
        return np.zeros((), np.int32), unit
    codes = np.rint(bias.astype(np.float64) / unit.astype(np.float64))
    return np.clip(codes, -LARGEST_BIAS - 1, LARGEST_BIAS + 1).astype(np.int32), unit


def write_qdq(
    graph: Graph,
    selection: Selection,
    params: dict[str, QuantParams],
    weights: dict[int, Weights],
    biases: dict[int, Array] | None = None,
) -> Graph:
    """A copy of `graph` with Q/DQ pairs at every tensor that has codes.

    `biases`, in units of the accumulators, replace those of nodes, by the nodes' id in `graph`.
    """
    chosen = {id(node) for node in selection.nodes}
    producers, namer = graph.producers(), Namer(graph)
    result = graph.copy()
    twins = {id(old): new for old, new in zip(graph.nodes, result.nodes, strict=True)}
    made: list[str] = []
    fed: list[str] = []
    for name in selection.tensors:
        producer = producers.get(name)
        (made if producer is not None and id(producer) in chosen else fed).append(name)
    written = {id(node): [] for node in result.nodes}  # type: dict[int, list[Node]]
    start: list[Node] = []
    for name in made:
        node = twins[id(producers[name])]
        raw = namer(f"{name}_real")
        result.values[raw] = Value(raw, np.dtype(np.float32), graph.shape(name))
        node.outputs = [raw if output == name else output for output in node.outputs]
        moved = node.op_type in MOVES | JOINS  # then the codes have been clipped before
        written[id(node)] += qdq_pair(result, raw, name, params[name], namer, clip=not moved)
    for name in fed:
        output = namer(f"{name}_dequantized")
        pair = qdq_pair(result, name, output, params[name], namer)
        maker = producers.get(name)
        (start if maker is None else written[id(twins[id(maker)])]).extend(pair)
        for node in selection.nodes:
            if name in data_inputs(node, graph):
                result.rename_uses(name, output, [twins[id(node)]])
    before = _write_weights(result, graph, selection, params, weights, biases or {}, twins, namer)
    nodes = start
    for node in result.nodes:
        nodes += [*before.get(id(node), ()), node, *written[id(node)]]
    result.nodes = nodes
    return result


def qdq_pair(
    graph: Graph, real: str, output: str, params: QuantParams, namer: Namer, *, clip: bool = True
) -> list[Node]:
    """QuantizeLinear and DequantizeLinear from `real` to `output`.

    Codes of fewer bits than their container are clipped in between, which leaves the operators
    around them as they are; other run times, too, then compute with them as with all bytes.
    """
    scale, zero_point = namer(f"{output}_scale"), namer(f"{output}_zero_point")
    graph.constants[scale] = np.asarray(params.scale, np.float32)
    graph.constants[zero_point] = np.asarray(params.zero_point, params.qtype.dtype)
    codes = namer(f"{output}_quantized")
    graph.values[codes] = Value(codes, params.qtype.dtype, graph.shape(real))
    graph.values[output] = Value(output, np.dtype(np.float32), graph.shape(real))
    nodes = [_node("QuantizeLinear", [real, scale, zero_point], codes, f"{output}_Q", graph, namer)]
    if clip and params.qtype.bits < 8:
        nodes.append(_clip_codes(codes, params.qtype, graph, namer))
        codes = nodes[-1].outputs[0]
    inputs = [codes, scale, zero_point]
    return [*nodes, _node("DequantizeLinear", inputs, output, f"{output}_DQ", graph, namer)]


def _clip_codes(codes: str, qtype: QType, graph: Graph, namer: Namer) -> Node:
    ends = [namer(f"{codes}_{end}") for end in ("lowest", "highest")]
    for name, value in zip(ends, (qtype.qmin, qtype.qmax), strict=True):
        graph.constants[name] = np.asarray(value, qtype.dtype)
    clipped = namer(f"{codes}_clipped")
    graph.values[clipped] = Value(clipped, qtype.dtype, graph.shape(codes))
    return _node("Clip", [codes, *ends], clipped, f"{codes}_clip", graph, namer)


def _node(
    op_type: str, inputs: list[str], output: str, name: str, graph: Graph, namer: Namer
) -> Node:
    return Node(op_type, inputs, [output], {}, namer(name), "", graph.opset)


def _write_weights(
    result: Graph,
    graph: Graph,
    selection: Selection,
    params: dict[str, QuantParams],
    weights: dict[int, Weights],
    biases: dict[int, Array],
    twins: dict[int, Node],
    namer: Namer,
) -> dict[int, list[Node]]:
    """The DequantizeLinear nodes of weights and biases, by the node that they stand before."""
    before: dict[int, list[Node]] = {}
    for node in selection.nodes:
        if id(node) not in weights:
            continue
        twin, own = twins[id(node)], weights[id(node)]
        name = node.inputs[1]
        reader, output = dequantized_constant(result, name, own, namer, packed=False)
        twin.inputs[1] = output
        before[id(twin)] = [reader]
        bias = graph.constant(node.input(2))
        if bias is None and id(node) not in biases:
            continue
        codes, unit = bias_codes(bias, params[node.inputs[0]], own)
        codes = biases.get(id(node), codes)
        base = node.input(2) or f"{node.outputs[0]}_bias"
        names = [namer(f"{base}_quantized"), namer(f"{base}_scale")]
        result.constants[names[0]], result.constants[names[1]] = codes, unit
        real = namer(f"{base}_dequantized")
        before[id(twin)].append(
            Node("DequantizeLinear", names, [real], {"axis": 0} if unit.ndim else {},
                 namer(f"{real}_node"), "", result.opset)
        )  # fmt: skip
        twin.inputs = [*twin.inputs[:2], real]
    return before


def channel_axis(node: Node, graph: Graph) -> int:
    """The axis of a product's result along which its channels lie."""
    if node.op_type in CONVOLUTIONS:
        return 1
    rank = graph.rank(node.outputs[0])
    return (rank or 2) - 1
