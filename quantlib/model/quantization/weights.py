"""Weights to codes: which axis has scales, and the constants that a graph then holds."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from quantlib import ops
from quantlib.calibration.api import calibrate
from quantlib.correction import keep_sums, weight_correction
from quantlib.model.graph import Array, Graph, Namer, Node
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.selection import CONVOLUTIONS
from quantlib.params import QuantParams

__all__ = ["WeightCache", "Weights", "dequantized_constant", "output_axis", "quantize_weights"]


@dataclass(frozen=True, slots=True)
class Weights:
    """Codes of a weight, and what they are worth."""

    codes: Array
    params: QuantParams

    def reals(self) -> Array:
        """What the codes stand for."""
        return ops.dequantize(self.codes, self.params)


def output_axis(node: Node, weights: Array) -> int:
    """The axis of a weight along which the node's output channels lie."""
    if node.op_type in CONVOLUTIONS:
        return 0 if node.op_type == "Conv" else 1
    if node.op_type == "Gemm":
        return 0 if node.attributes.get("transB", 0) else 1
    return weights.ndim - 1


def quantize_weights(node: Node, weights: Array, config: QuantConfig) -> Weights:
    """The codes of a node's weights."""
    qtype, symmetric = config.weight, config.are_weights_symmetric
    axis = output_axis(node, weights)
    data = weights.astype(np.float32, copy=False)
    channels = axis if config.per_channel else None
    if config.block_size is not None and node.op_type not in CONVOLUTIONS and weights.ndim == 2:
        params = _of_extremes(data, 1 - axis, config, config.block_size)
    elif config.weight_method == "minmax":  # which needs no histogram for each channel
        params = _of_extremes(data, channels, config)
    else:
        params = calibrate(data, config.weight_method, qtype, symmetric, channels)
    if config.keeps_sums and params.block_size is None:
        codes = keep_sums(data, params, axis=axis)
    else:
        codes = ops.quantize(data, params)
    if config.corrects_weights:
        params = _corrected(data, codes, params)
    return Weights(codes, params)


# What a configuration says about numbers, and not about which nodes they are for.
_NUMBERS = [
    entry.name
    for entry in fields(QuantConfig)
    if entry.name not in ("exclude", "operators", "overrides")
]


class WeightCache:
    """`quantize_weights` that finds each weight's ranges once, however often it is asked.

    It may only be used on the weights of one graph, which it takes to be the same array if they
    have the same address.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Weights] = {}

    def __call__(self, node: Node, weights: Array, config: QuantConfig) -> Weights:
        how = tuple(getattr(config, name) for name in _NUMBERS)
        key = (id(weights), node.op_type, output_axis(node, weights), *how)
        if key not in self._known:
            self._known[key] = quantize_weights(node, weights, config)
        return self._known[key]


def _of_extremes(
    data: Array, axis: int | None, config: QuantConfig, block_size: int | None = None
) -> QuantParams:
    """A scale that holds all values: of the tensor, of a channel, or of a block along the axis."""
    size = None if block_size is None or axis is None else min(block_size, data.shape[axis])
    lo, hi = ops.min_max(data, axis=axis, block_size=size)
    symmetric = config.are_weights_symmetric
    return QuantParams.from_range(lo, hi, config.weight, symmetric, axis=axis, block_size=size)


def _corrected(data: Array, codes: Array, params: QuantParams) -> QuantParams:
    """Scales for which the reals of each channel have the standard deviation of the weights.

    What would also restore their mean is left out: scales have no room for an offset.
    """
    if params.block_size is not None:
        return params
    factor, _ = weight_correction(data, ops.dequantize(codes, params), axis=params.axis)
    scale = (params.scale * factor.reshape(params.scale.shape)).astype(np.float32)
    return QuantParams(scale, params.zero_point, params.qtype, params.axis)


def dequantized_constant(
    graph: Graph, name: str, weights: Weights, namer: Namer, *, packed: bool = True
) -> tuple[Node, str]:
    """Codes, scale and zero point as constants, and the DequantizeLinear that reads them.

    Unless `packed`, each code has a byte: integer operators read nothing smaller.
    """
    import ml_dtypes

    params = weights.params
    narrow = {"int4": ml_dtypes.int4, "uint4": ml_dtypes.uint4} if packed else {}
    dtype = np.dtype(narrow.get(params.qtype.name, params.qtype.dtype))
    base = name.removesuffix("_folded")
    names = [namer(f"{base}_{part}") for part in ("quantized", "scale", "zero_point")]
    arrays = (weights.codes, params.scale, params.zero_point)
    types = (dtype, np.dtype(np.float32), dtype)
    for constant, array, kind in zip(names, arrays, types, strict=True):
        graph.constants[constant] = np.asarray(array).astype(kind)
    output = namer(f"{base}_dequantized")
    attributes = {} if params.axis is None else {"axis": params.axis % weights.codes.ndim}
    if params.block_size is not None:
        attributes["block_size"] = params.block_size
    node = Node("DequantizeLinear", names, [output], attributes, namer(f"{output}_node"), "",
                graph.opset)  # fmt: skip
    return node, output
