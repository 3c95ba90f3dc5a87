"""What a tensor's codes stand for, read off the Q/DQ nodes of a graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quantlib.model.encoded import EncodedWeights, is_decoder
from quantlib.model.graph import Array, Graph, Node
from quantlib.model.quantization.selection import MOVES

__all__ = ["Codes", "codes_of", "weight_codes_of"]

_RANGES = {"int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3)}


@dataclass(frozen=True, slots=True)
class Codes:
    """The parameters of a tensor that a DequantizeLinear with constant ones makes, or of weights.

    Attributes
    ----------
    node : Node
        The DequantizeLinear, or what decodes the weights.
    scale, zero_point : numpy.ndarray
        As the graph holds them; zeros where it holds none.
    dtype : numpy.dtype
        Of the codes.
    least, most : int
        The codes that can occur: those of the type, or fewer if a Clip or constants say so.
    constant : numpy.ndarray or None
        The codes, if they are constant.
    names : tuple of str
        What the tensor is called before it is quantized, as codes, and behind that.
    offset : numpy.ndarray or None
        What is added to weights that are corrected.
    """

    node: Node
    scale: Array
    zero_point: Array
    dtype: np.dtype[Any]
    least: int
    most: int
    constant: Array | None
    names: tuple[str, ...]
    offset: Array | None = None

    @property
    def axis(self) -> int | None:
        """The axis with scales, None for one scale."""
        return int(self.node.attributes.get("axis", 1)) if self.scale.size > 1 else None

    @property
    def block_size(self) -> int:
        """How many codes share a scale along the axis; 0 if all do."""
        return int(self.node.attributes.get("block_size", 0))

    @property
    def bits(self) -> int:
        """How many bits the codes take."""
        if self.constant is None or self.dtype.itemsize > 1:
            return (self.most - self.least).bit_length()
        largest = max(self.most, -1 - self.least, 0)
        return largest.bit_length() + (1 if self.dtype.name.startswith("int") else 0) or 1

    @property
    def low(self) -> float:
        """The least real that has a code, of any channel."""
        return float(self._reals(self.least).min())

    @property
    def high(self) -> float:
        """The largest real that has a code, of any channel."""
        return float(self._reals(self.most).max())

    def _reals(self, code: int) -> Array:
        reals = (code - self.zero_point) * self.scale.astype(np.float64)
        return reals if self.offset is None else reals + self.offset


def codes_of(name: str, graph: Graph, producers: dict[str, Node]) -> Codes | None:
    """What the codes of a value stand for, None if no DequantizeLinear of constants makes it."""
    node = producers.get(name)
    if node is None or node.op_type != "DequantizeLinear" or node.domain:
        return None
    scale, dtype = graph.constant(node.inputs[1]), graph.dtype(node.inputs[0])
    if scale is None or dtype is None or not scale.size:
        return None
    zero = graph.constant(node.input(2))
    zero = np.zeros(scale.shape, np.int64) if zero is None else zero.astype(np.int64)
    constant = graph.constant(node.inputs[0])
    least, most = _ends(dtype)
    names = [name, node.inputs[0]]
    maker = producers.get(node.inputs[0])
    if maker is not None and maker.op_type == "Clip":  # codes of fewer bits than their type has
        bounds = [graph.scalar(maker.input(index)) for index in (1, 2)]
        least, most = (
            end if bound is None else int(bound)
            for end, bound in zip((least, most), bounds, strict=True)
        )
        maker = producers.get(maker.inputs[0])
    if maker is not None and maker.op_type == "QuantizeLinear":
        names.append(maker.inputs[0])
        moved = _moved(maker.inputs[0], graph, producers)
        if moved is not None and np.array_equal(moved.scale, scale):
            least, most = max(least, moved.least), min(most, moved.most)
    if constant is not None and constant.size and dtype.itemsize == 1 and dtype.name not in _RANGES:
        least, most = int(constant.min()), int(constant.max())
    return Codes(node, scale, zero, dtype, least, most, constant, tuple(names))


def weight_codes_of(name: str, graph: Graph, producers: dict[str, Node]) -> Codes | None:
    """The same of weights: also those that are encoded, corrected by an offset, or cast."""
    node = producers.get(name)
    if node is None:
        return None
    if is_decoder(node):
        stored = EncodedWeights.of(node, lambda index: graph.constant(node.input(index)))
        zero, limit = stored.zero_point.astype(np.int64), 1 << (stored.encoded.bits - 1)
        return Codes(node, stored.scale, zero, stored.zero_point.dtype, -limit, limit - 1, None,
                     (name,), stored.offset)  # fmt: skip
    if node.kind not in ("Add", "Cast"):
        return codes_of(name, graph, producers)
    others = [other for other in node.inputs if other not in graph.constants]
    found = weight_codes_of(others[0], graph, producers) if len(others) == 1 else None
    if found is None or node.kind == "Cast":
        return found
    (offset,) = [graph.constants[other] for other in node.inputs if other in graph.constants]
    return replace(found, offset=offset.reshape(found.scale.shape))


def _moved(name: str, graph: Graph, producers: dict[str, Node]) -> Codes | None:
    """The codes of what a node only moves: no others come out."""
    node = producers.get(name)
    if node is None or node.op_type not in MOVES or node.domain:
        return None
    return codes_of(node.inputs[0], graph, producers)


def _ends(dtype: np.dtype[Any]) -> tuple[int, int]:
    if dtype.name in _RANGES:
        return _RANGES[dtype.name]
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)
