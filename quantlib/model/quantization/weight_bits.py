"""Weights of any number of bits: which constants they are, their codes, and how a graph holds them.

Everything is computed in floats. A decoder stands before the nodes that read a weight: ONNX's
DequantizeLinear where it has the type, otherwise ``DecodeWeights`` (`quantlib.model.encoded`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from quantlib.encoding import Encoded, encode
from quantlib.model.encoded import DOMAIN, OPERATOR, VERSION, CodedWeights
from quantlib.model.graph import Array, Graph, ModelError, Namer, Node
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.fixed_bits import fixed_bit_weights, is_worth_it
from quantlib.model.quantization.gptq import gptq_codes, products_of
from quantlib.model.quantization.mixed_bits import (
    closed_form_step,
    mixed_bit_weights,
    search_step,
)
from quantlib.model.quantization.weights import Weights, dequantized_constant, output_axis

__all__ = ["Candidate", "Coder", "find_weights", "write_weight_bits"]

STANDARD_BITS = {8: 13, 4: 21, 16: 21}  # for which ONNX has types, and since which opset
CONVOLUTIONS = ("Conv", "ConvTranspose")
BITS_IF_NO_STEP_FITS = 8
FIXED = ("packed", "indexed", "sparse")


@dataclass(slots=True)
class Candidate:
    """A constant that becomes codes: who reads it, and how it is quantized."""

    name: str
    axis: int | None
    config: QuantConfig
    uses: list[tuple[int, int]]
    """The number of each node that reads it, and of that node's input."""

    @property
    def bits(self) -> int:
        """1 to 16, or 0 for mixed bits."""
        return self.config.weight_bits or 0


def find_weights(graph: Graph, config: QuantConfig) -> list[Candidate]:
    """The constants of a graph that become codes, each once, however many nodes read it."""
    found: dict[str, Candidate] = {}
    consumers = graph.consumers()
    for number, node in enumerate(graph.nodes):
        if node.domain or config.leaves_out(node):
            continue
        own = config.for_node(node)
        for index, axis in _weight_inputs(node, graph):
            name = node.inputs[index]
            if name in found:
                found[name].uses.append((number, index))
            elif own.weight_bits is not None and _is_large(node, graph.constants[name], axis, own):
                shared = node.op_type == "MatMul" and len(consumers[name]) > 1
                per_layer = shared or not own.per_channel or own.weight_bits == 0
                found[name] = Candidate(name, None if per_layer else axis, own, [(number, index)])
    return [one for one in found.values() if _is_worth_it(one, graph.constants[one.name])]


def _weight_inputs(node: Node, graph: Graph) -> Iterator[tuple[int, int]]:
    """Which inputs of a node are weights, and the axis of each along which its channels lie."""
    for index in _PLACES.get(node.op_type, ()):
        array = graph.constant(node.input(index))
        if array is not None and array.dtype in _REALS and array.ndim >= 2 and array.size:
            yield index, _channel_axis(node, index, array)


_REALS = (np.dtype(np.float32), np.dtype(np.float16))
_PLACES = {"Conv": (1,), "ConvTranspose": (1,), "MatMul": (0, 1), "Gemm": (0, 1), "LSTM": (1, 2),
           "Gather": (0,)}  # fmt: skip


def _channel_axis(node: Node, index: int, array: Array) -> int:
    if node.op_type == "ConvTranspose":
        return 0 if array.shape[0] == node.attributes.get("group", 1) else 1
    if node.op_type == "LSTM":
        return 1
    if node.op_type == "Gather":
        return int(node.attributes.get("axis", 0)) % array.ndim
    if index == 0:  # the left operand of a product
        return array.ndim - 1 if node.attributes.get("transA", 0) else array.ndim - 2
    return output_axis(node, array)


def _is_large(node: Node, array: Array, axis: int, config: QuantConfig) -> bool:
    if array.size <= config.min_weight_size:
        return False
    return node.op_type not in CONVOLUTIONS or array.shape[axis] > config.min_weight_channel


def _is_worth_it(candidate: Candidate, array: Array) -> bool:
    if candidate.axis is None or not candidate.config.corrects_weights:
        return True
    return is_worth_it(array.size, array.shape[candidate.axis], candidate.bits)


class Coder:
    """Computes the codes of weights of one graph, of each weight once for each way."""

    def __init__(self, graph: Graph) -> None:
        self.grams: dict[str, Array] = {}
        """Of what products are given, for the weights that GPTQ rounds, by name."""
        self._graph = graph
        self._known: dict[tuple[object, ...], CodedWeights] = {}

    def __call__(self, candidate: Candidate, tuned: float | None = None) -> CodedWeights:
        """The codes of a weight; `tuned` is the scale that a search has found."""
        config = candidate.config
        scale = (tuned, config.init_scale) if candidate.bits == 0 else None
        how = config.corrects_weights, config.weight_rounding
        key = candidate.name, candidate.bits, candidate.axis, how, scale
        if key not in self._known:
            self._known[key] = self._code(candidate, tuned)
        return self._known[key]

    def _code(self, candidate: Candidate, tuned: float | None) -> CodedWeights:
        data = self._graph.constants[candidate.name].astype(np.float32)
        if not np.all(np.isfinite(data)):
            raise ModelError(f"the weights {candidate.name!r} are not finite")
        correct = candidate.config.corrects_weights
        gram = self.grams.get(candidate.name)
        if candidate.config.weight_rounding == "gptq" and gram is not None:
            coded = fixed_bit_weights(data, candidate.bits, candidate.axis, correct=False)
            return gptq_codes(data, coded, products_of(self._graph, candidate.uses)[0], gram)
        if candidate.bits:
            return fixed_bit_weights(data, candidate.bits, candidate.axis, correct=correct)
        if tuned is not None:
            return mixed_bit_weights(data, closed_form_step(data, tuned))
        step = search_step(data, candidate.config.init_scale)
        if step is None:
            return fixed_bit_weights(data, BITS_IF_NO_STEP_FITS, None, correct=False)
        return mixed_bit_weights(data, step)


# --- what the graph then holds ------------------------------------------------------------------


def write_weight_bits(
    graph: Graph, config: QuantConfig, coder: Coder, tuned: float | None = None
) -> Graph:
    """A copy of `graph` in which weights are stored as codes, or replaced by what these decode to.

    Weights that would take no fewer bytes stay as they are.
    """
    result, namer = graph.copy(), Namer(graph)
    decoders: list[Node] = []
    for candidate in find_weights(graph, config):
        coded, dtype = coder(candidate, tuned), graph.constants[candidate.name].dtype
        encoded = encode_weights(coded, candidate)
        if stored_size(coded, encoded) >= graph.constants[candidate.name].nbytes:
            continue
        if config.export_precision_mode == "FLOAT32":
            output = namer(f"{_base(candidate.name)}_decoded")
            result.constants[output] = coded.reals().astype(dtype)
        else:
            nodes = decoder_of(result, candidate, coded, encoded, namer)
            nodes += _cast(nodes[-1], dtype, namer, graph.opset)
            decoders += nodes
            output = nodes[-1].outputs[0]
        for number, index in candidate.uses:
            result.nodes[number].inputs[index] = output
    result.nodes = decoders + result.nodes
    if any(node.domain == DOMAIN for node in decoders):
        result.opsets[DOMAIN] = VERSION
    if tuned is not None:
        result.metadata["quantlib.init_scale"] = repr(tuned)
    return result


def encode_weights(coded: CodedWeights, candidate: Candidate) -> Encoded:
    """The codes as bytes; the entropy coder is for mixed bits, and for fewer than 8 on the fly."""
    config = candidate.config
    few = coded.bits < 8 and config.dequant_strategy == "on_the_fly"
    encodings = FIXED if config.enable_encode else FIXED[:1]
    if config.enable_encode and (candidate.bits == 0 or few):
        encodings = (*encodings, "entropy")
    zero = coded.along(coded.zero_point)
    return encode(
        coded.codes, coded.bits, zero, encodings=encodings, max_segments=config.max_segments
    )


def stored_size(coded: CodedWeights, encoded: Encoded) -> int:
    """The bytes of codes and of what they are worth."""
    parts = [encoded.data, coded.scale, coded.zero_point]
    if np.any(coded.offset):
        parts.append(coded.offset)
    return sum(array.nbytes for array in parts)


def decoder_of(
    graph: Graph, candidate: Candidate, coded: CodedWeights, encoded: Encoded, namer: Namer
) -> list[Node]:
    """The nodes that decode a weight; their constants are added to `graph`."""
    on_the_fly = candidate.config.dequant_strategy == "on_the_fly"
    has_type = graph.opset >= STANDARD_BITS.get(coded.bits, graph.opset + 1)
    if encoded.encoding == "packed" and has_type and not on_the_fly:
        return _standard_decoder(graph, candidate, coded, namer)
    base = _base(candidate.name)
    arrays = {"encoded": encoded.data, "scale": coded.scale, "zero_point": coded.zero_point}
    if np.any(coded.offset):
        arrays["offset"] = coded.offset
    names = [namer(f"{base}_{part}") for part in arrays]
    graph.constants.update(zip(names, arrays.values(), strict=True))
    output = namer(f"{base}_decoded")
    attributes: dict[str, object] = {
        "encoding": encoded.encoding,
        "bits": encoded.bits,
        "shape": list(encoded.shape),
    }
    if coded.axis is not None:
        attributes["axis"] = coded.axis
    if on_the_fly:
        attributes["on_the_fly"] = 1
    return [Node(OPERATOR, names, [output], attributes, namer(f"{output}_node"), DOMAIN, VERSION)]


def _standard_decoder(
    graph: Graph, candidate: Candidate, coded: CodedWeights, namer: Namer
) -> list[Node]:
    """DequantizeLinear, and an Add of the offset if there is one."""
    weights = Weights(coded.codes, coded.params)
    reader, output = dequantized_constant(graph, candidate.name, weights, namer)
    if not np.any(coded.offset):
        return [reader]
    base = _base(candidate.name)
    offset, corrected = namer(f"{base}_offset"), namer(f"{base}_corrected")
    graph.constants[offset] = coded.along(coded.offset)
    add = Node("Add", [output, offset], [corrected], {}, namer(f"{corrected}_node"), "",
               graph.opset)  # fmt: skip
    return [reader, add]


def _cast(node: Node, dtype: np.dtype[np.floating], namer: Namer, opset: int) -> list[Node]:
    """What makes float16 of what a decoder makes, where the weight was of that type."""
    if dtype == np.float32:
        return []
    output = namer(f"{node.outputs[0]}_half")
    kind = {"to": TensorProto.FLOAT16}
    return [Node("Cast", node.outputs[:1], [output], kind, namer(f"{output}_node"), "", opset)]


def _base(name: str) -> str:
    return name.removesuffix("_folded")
