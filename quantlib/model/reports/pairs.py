"""Which node and which tensor of a quantized model stands for which of the float model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantlib.model.codes import Codes, codes_of, weight_codes_of
from quantlib.model.graph import Graph, Namer, Node

__all__ = ["Pair", "Tensor", "pair_nodes"]

_AFFINE = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the float model and the one that stands for it: an operand or a result."""

    name: str
    twin: str
    is_output: bool
    is_weight: bool
    codes: Codes | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A node of the float model, and what is known of it in the quantized one.

    Attributes
    ----------
    node : Node
        Of the float model.
    tensors : list of Tensor
        Operands, then results.
    raw : str
        In the quantized model, what the node returned before it became codes.
    inherited : str
        In the quantized model, what the float node would return from operands that are quantized:
        float weights, so that all error is that of the operands.
    is_quantized : bool
        Whether operands, weights or results became codes, or integer operators replace the node.
    """

    node: Node
    tensors: list[Tensor]
    raw: str
    inherited: str
    is_quantized: bool

    @property
    def output(self) -> Tensor | None:
        """The first result."""
        return next((tensor for tensor in self.tensors if tensor.is_output), None)


def pair_nodes(original: Graph, quantized: Graph) -> tuple[list[Pair], Graph]:
    """All pairs in the order of computation, and `quantized` with the nodes of `Pair.inherited`.

    Nodes stand for each other if they have one name and operator; where an operator was replaced,
    as in dynamic quantization, by the name of the result.
    """
    twins = {
        (node.name, node.op_type): node for node in quantized.nodes if node.op_type not in _AFFINE
    }
    both, namer = quantized.copy(), Namer(quantized)
    producers = quantized.producers()
    made = {*producers, *quantized.input_names, *quantized.constants}
    pairs = []
    for node in original.nodes:
        twin = twins.get((node.name, node.op_type))
        if not node.outputs or (twin is None and node.outputs[0] not in made):
            continue
        tensors = _tensors(node, twin, original, quantized, producers, made)
        weights = any(t.is_weight and _is_changed(t, original, quantized) for t in tensors)
        coded = twin is None or weights or any(t.codes is not None for t in tensors)
        raw = node.outputs[0] if twin is None else twin.outputs[0]
        inherited = raw
        if twin is None or weights:
            inherited = _add_float_node(both, node, tensors, original, namer) or raw
        pairs.append(Pair(node, tensors, raw, inherited, coded))
    return pairs, both


def _is_changed(tensor: Tensor, original: Graph, quantized: Graph) -> bool:
    """Whether a weight is not the float model's."""
    array = quantized.constant(tensor.twin)
    return array is None or not np.array_equal(array, original.constants[tensor.name])


def _tensors(
    node: Node,
    twin: Node | None,
    original: Graph,
    quantized: Graph,
    producers: dict[str, Node],
    made: set[str],
) -> list[Tensor]:
    tensors = []
    operands = zip(node.inputs, node.inputs if twin is None else twin.inputs, strict=False)
    for name, other in operands:
        if name and other in made and _is_float(original, name):
            is_weight = name in original.constants
            codes = (weight_codes_of if is_weight else codes_of)(other, quantized, producers)
            tensors.append(Tensor(name, other, False, is_weight, codes))
    for place, name in enumerate(node.outputs):
        other = name if name in made or twin is None else twin.outputs[place]
        if name and other in made and _is_float(original, name):
            tensors.append(Tensor(name, other, True, False, codes_of(other, quantized, producers)))
    return tensors


def _is_float(graph: Graph, name: str) -> bool:
    dtype = graph.dtype(name)
    return dtype is None or dtype.kind == "f"


def _add_float_node(
    both: Graph, node: Node, tensors: list[Tensor], original: Graph, namer: Namer
) -> str:
    """A node in `both` with the float node's weights and the twin's operands; its result's name.

    Empty if an operand has no twin, or graphs in attributes read others.
    """
    if node.captured:
        return ""
    operands = {t.name: t.twin for t in tensors if not t.is_output and not t.is_weight}
    inputs = []
    for name in node.inputs:
        if name in original.constants:
            inputs.append(namer(f"{name}_float"))
            both.constants[inputs[-1]] = original.constants[name]
        elif name and name not in operands:
            return ""
        else:
            inputs.append(operands.get(name, ""))
    outputs = [namer(f"{name}_inherited") if name else "" for name in node.outputs]
    both.nodes.append(
        Node(node.op_type, inputs, outputs, dict(node.attributes), namer(outputs[0]), node.domain,
             node.version)
    )  # fmt: skip
    return outputs[0]
