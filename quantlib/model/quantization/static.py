"""Static quantization: a float graph becomes one in QDQ form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantlib.calibration.observer import Observer
from quantlib.model.graph import Array, Graph, Namer, Node, Value
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.selection import PRODUCTS, Selection, data_inputs
from quantlib.model.quantization.weights import (
    Weights,
    dequantized_constant,
    quantize_weights,
)
from quantlib.params import QuantParams

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
                own.method, own.activation, own.activation_symmetric, percentile=own.percentile
            )
        params[name] = known[key]
    return params


def layer_weights(
    graph: Graph,
    selection: Selection,
    params: dict[str, QuantParams],
    config: QuantConfig,
    codes: Callable[[Node, Array, QuantConfig], Weights] = quantize_weights,
) -> dict[int, Weights]:
    """The weights of each product, by the node's id; scales are large enough for its bias."""
    found = {}
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


def bias_codes(bias: Array, x: QuantParams, weights: Weights) -> tuple[Array, Array]:
    """A bias in units of the accumulator, and the unit of each channel."""
    unit = np.asarray(x.scale * weights.params.scale, np.float32)
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

    `biases` replace those of nodes, by the nodes' id in `graph`.
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
        written[id(node)] += qdq_pair(result, raw, name, params[name], namer)
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


def qdq_pair(graph: Graph, real: str, output: str, params: QuantParams, namer: Namer) -> list[Node]:
    """QuantizeLinear and DequantizeLinear from `real` to `output`."""
    names = [namer(f"{output}_scale"), namer(f"{output}_zero_point")]
    graph.constants[names[0]] = np.asarray(params.scale, np.float32)
    graph.constants[names[1]] = np.asarray(params.zero_point, params.qtype.dtype)
    codes = namer(f"{output}_quantized")
    graph.values[codes] = Value(codes, params.qtype.dtype, graph.shape(real))
    graph.values[output] = Value(output, np.dtype(np.float32), graph.shape(real))
    version = graph.opset
    return [
        Node("QuantizeLinear", [real, *names], [codes], {}, namer(f"{output}_Q"), "", version),
        Node("DequantizeLinear", [codes, *names], [output], {}, namer(f"{output}_DQ"), "", version),
    ]


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
        if node.op_type not in PRODUCTS:
            continue
        twin, own = twins[id(node)], weights[id(node)]
        reader, output = dequantized_constant(result, node.inputs[1], own, namer)
        twin.inputs[1] = output
        before[id(twin)] = [reader]
        bias = biases.get(id(node), graph.constant(node.input(2)))
        if bias is None:
            continue
        codes, unit = bias_codes(bias, params[node.inputs[0]], own)
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
    if node.op_type == "Conv":
        return 1
    rank = graph.rank(node.outputs[0])
    return (rank or 2) - 1
