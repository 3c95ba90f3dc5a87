"""What only moves data moves bytes: quantization comes before it, and dequantization behind it.

The code of a value does not depend on where it stands, and a larger value has no smaller code. So a
QuantizeLinear behind a transposition, a reshape, a concatenation or a pool of maxima may as well
stand before it, which then has a quarter of the bytes to move. (Where a window of a pool holds NaN,
its code becomes that of the largest number instead of the zero point.) A DequantizeLinear in front
may as well stand behind, where it may meet a product that takes codes.
"""

from __future__ import annotations

import numpy as np

from quantlib.model.graph import Graph, Namer, Node, Value
from quantlib.model.passes.activation import only_consumer

__all__ = ["dequantize_late", "quantize_early"]

_OPERANDS = {"Concat": None, "Flatten": 1, "MaxPool": 1, "Reshape": 1, "Squeeze": 1, "Transpose": 1,
             "Unsqueeze": 1}  # fmt: skip


def quantize_early(graph: Graph) -> None:
    """Let quantization come before what moves data, from the last nodes to the first."""
    namer, outputs = Namer(graph), set(graph.output_names)
    producers, consumers = graph.producers(), graph.consumers()
    for mover in list(reversed(graph.nodes)):
        if mover.kind not in _OPERANDS or len(mover.outputs) != 1:
            continue
        quantizer = only_consumer(mover.outputs[0], consumers, outputs)
        if quantizer is None or not _has_one_scale(quantizer, graph, mover):
            continue
        operands = mover.inputs[: _OPERANDS[mover.kind]]
        if not all(_is_computed(name, graph, producers) for name in operands):
            continue
        made = []
        for index, name in enumerate(operands):
            codes = namer(f"{name}_codes")
            graph.values[codes] = Value(codes, graph.dtype(quantizer.outputs[0]), graph.shape(name))
            made.append(
                Node("QuantizeLinear", [name, *quantizer.inputs[1:]], [codes],
                     dict(quantizer.attributes), quantizer.name, "", quantizer.version)
            )  # fmt: skip
            mover.inputs[index] = codes
            consumers[name] = [n for n in consumers[name] if n is not mover] + made[-1:]
        mover.outputs = list(quantizer.outputs)
        place = next(i for i, node in enumerate(graph.nodes) if node is mover)
        graph.nodes[place:place] = made
        graph.remove([quantizer])


def dequantize_late(graph: Graph) -> None:
    """Let what moves its one operand come before dequantization, from first to last."""
    namer, outputs = Namer(graph), set(graph.output_names)
    producers, consumers = graph.producers(), graph.consumers()
    for mover in list(graph.nodes):
        if _OPERANDS.get(mover.kind) != 1 or len(mover.outputs) != 1:
            continue
        dequantizer = producers.get(mover.inputs[0])
        follower = only_consumer(mover.outputs[0], consumers, outputs)
        is_fused = follower is not None and follower.kind == "QuantizeLinear"
        if dequantizer is None or is_fused or not _is_whole(dequantizer, graph):
            continue
        if only_consumer(mover.inputs[0], consumers, outputs) is not mover:
            continue  # the reals are needed, too
        codes, reals = namer(f"{mover.outputs[0]}_codes"), mover.outputs[0]
        dtype = graph.dtype(dequantizer.inputs[0])
        graph.values[codes] = Value(codes, dtype, graph.shape(reals))
        mover.inputs[0], mover.outputs = dequantizer.inputs[0], [codes]
        moved = Node("DequantizeLinear", [codes, *dequantizer.inputs[1:]], [reals],
                     dict(dequantizer.attributes), namer(f"{reals}_DQ"), "",
                     dequantizer.version)  # fmt: skip
        producers[reals], producers[codes] = moved, mover
        consumers[codes] = [moved]
        place = next(i for i, node in enumerate(graph.nodes) if node is mover)
        graph.nodes.insert(place + 1, moved)


def _is_whole(node: Node, graph: Graph) -> bool:
    """Whether a node dequantizes bytes that come at run time, with one scale."""
    scale = graph.constant(node.input(1))
    is_bytes = graph.dtype(node.inputs[0]) in (np.dtype(np.int8), np.dtype(np.uint8))
    return (
        node.kind == "DequantizeLinear"
        and scale is not None
        and scale.ndim == 0
        and is_bytes
        and node.inputs[0] not in graph.constants
    )


def _is_computed(name: str, graph: Graph, producers: dict[str, Node]) -> bool:
    """Whether a value is a float32 that something other than DequantizeLinear computes."""
    maker = producers.get(name)
    is_dequantized = maker is not None and maker.kind == "DequantizeLinear"
    return graph.dtype(name) == np.float32 and name not in graph.constants and not is_dequantized


def _has_one_scale(node: Node, graph: Graph, mover: Node) -> bool:
    scale = graph.constant(node.input(1))
    if node.kind != "QuantizeLinear" or node.inputs[0] != mover.outputs[0] or scale is None:
        return False
    is_bytes = graph.dtype(node.outputs[0]) in (np.dtype(np.int8), np.dtype(np.uint8))
    zero_is_constant = not node.input(2) or node.input(2) in graph.constants
    return scale.ndim == 0 and is_bytes and zero_is_constant
