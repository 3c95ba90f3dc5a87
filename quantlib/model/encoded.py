"""Weights that are stored as encoded codes, and the operator that a file names them by.

A node ``DecodeWeights`` of the domain ``quantlib.encoding`` stands where a float constant would.
``docs/encoding.md`` describes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quantlib import ops
from quantlib.encoding import Encoded, decode
from quantlib.model.graph import Array, ModelError, Node, Value
from quantlib.params import QType, QuantParams

__all__ = ["DOMAIN", "CodedWeights", "EncodedWeights", "is_decoder", "value_of_decoder"]

DOMAIN = "quantlib.encoding"
OPERATOR = "DecodeWeights"
VERSION = 1
MOST_ELEMENTS = 2**40


@dataclass(frozen=True, slots=True)
class CodedWeights:
    """Codes of weights, and what they are worth: ``scale * (code - zero_point) + offset``.

    The three have one entry, or one for each index along `axis`. `codes` are signed integers of
    `bits` bits. A factor that corrects the weights is part of the scale.
    """

    codes: Array
    bits: int
    scale: Array
    zero_point: Array
    offset: Array
    axis: int | None

    @property
    def params(self) -> QuantParams:
        """All but the offset."""
        return QuantParams(self.scale, self.zero_point, QType(f"int{self.bits}"), self.axis)

    def along(self, array: Array) -> Array:
        """An array with an entry for each channel, in a shape that broadcasts to the codes."""
        return _along(array, self.axis, self.codes.ndim)

    def reals(self) -> Array:
        """What the codes stand for, as float32."""
        reals = ops.dequantize(self.codes, self.params)
        if np.any(self.offset):
            reals += self.along(self.offset)
        return reals


def _along(array: Array, axis: int | None, rank: int) -> Array:
    if axis is None:
        return array.reshape(())
    return array.reshape([-1 if i == axis else 1 for i in range(rank)])


@dataclass(frozen=True, slots=True)
class EncodedWeights:
    """What a ``DecodeWeights`` node holds: as `CodedWeights`, with the codes as bytes."""

    encoded: Encoded
    scale: Array
    zero_point: Array
    offset: Array
    axis: int | None

    @classmethod
    def of(cls, node: Node, constant: Callable[[int], Array | None]) -> EncodedWeights:
        """What `node` holds, whose inputs `constant` gives; ModelError if it cannot be."""
        value_of_decoder(node)
        data, scale, zero, offset = (constant(index) for index in range(4))
        if data is None or scale is None or zero is None:
            raise ModelError(f"{node.label()} decodes what is no constant")
        if offset is None:
            offset = np.zeros_like(scale)
        shape, axis = tuple(node.attributes["shape"]), node.attributes.get("axis")
        if data.dtype != np.uint8 or data.ndim != 1:
            raise ModelError(f"{node.label()} decodes {data.dtype} of shape {data.shape}, no bytes")
        wanted = () if axis is None else (shape[axis],)
        for name, array in (("scale", scale), ("zero_point", zero), ("offset", offset)):
            whole = name == "zero_point"
            fits = array.dtype.kind == "i" if whole else array.dtype == np.float32
            if not fits or array.shape != wanted or not np.all(np.isfinite(array)):
                raise ModelError(
                    f"{node.label()} has a {name} of {array.dtype} and shape {array.shape}; it "
                    f"must be {'signed' if whole else 'finite'} and have shape {wanted}"
                )
        encoded = Encoded(node.attributes["encoding"], data, node.attributes["bits"], shape)
        return cls(encoded, scale, zero, offset, axis)

    def coded(self) -> CodedWeights:
        """The codes, decoded; ValueError if the data is damaged."""
        zero = _along(self.zero_point, self.axis, len(self.encoded.shape))
        codes = decode(self.encoded, zero)
        return CodedWeights(
            codes, self.encoded.bits, self.scale, self.zero_point, self.offset, self.axis
        )


def is_decoder(node: Node) -> bool:
    """Whether a node is a ``DecodeWeights``."""
    return node.domain == DOMAIN and node.op_type == OPERATOR


def value_of_decoder(node: Node) -> Value:
    """What a ``DecodeWeights`` node makes, by its attributes; ModelError if these cannot be."""
    if node.version != VERSION:
        raise ModelError(
            f"{node.label()} is of version {node.version}; this quantlib reads version {VERSION}"
        )
    bits, encoding = node.attributes.get("bits"), node.attributes.get("encoding")
    shape, axis = node.attributes.get("shape"), node.attributes.get("axis")
    if not isinstance(encoding, str) or not isinstance(bits, int) or not 1 <= bits <= 16:
        raise ModelError(f"{node.label()} says neither how its codes are encoded nor their bits")
    if not isinstance(shape, list) or not all(isinstance(d, int) and d >= 0 for d in shape):
        raise ModelError(f"{node.label()} has no shape")
    if math.prod(max(extent, 1) for extent in shape) > MOST_ELEMENTS:
        raise ModelError(f"{node.label()} has shape {shape}, larger than any memory")
    if axis is not None and not (isinstance(axis, int) and 0 <= axis < len(shape)):
        raise ModelError(f"{node.label()} has axis {axis} for shape {shape}")
    if len(node.outputs) != 1:
        raise ModelError(f"{node.label()} has {len(node.outputs)} outputs; it makes one")
    return Value(node.outputs[0], np.dtype(np.float32), tuple(shape))
