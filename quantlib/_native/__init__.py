"""The only door to C: arrays to pointers, statuses to exceptions.

The functions here expect what the callers in ``quantlib.ops`` have checked: right types and
shapes, contiguous and aligned arrays. They compute into arrays that are handed to them.
"""

from __future__ import annotations

from quantlib._native.arrays import AddressCall, Parameters, declined, finder
from quantlib._native.convolutions import Filter, conv_extents
from quantlib._native.entropy import entropy_decode, entropy_encode
from quantlib._native.floats import LocalNorm, activate, layer_norm, real_softmax
from quantlib._native.layers import Blending, Pooling, Resizing, Walk, look_up, softmax
from quantlib._native.library import Bound, address, check, own, ready
from quantlib._native.machine import (
    MOST_THREADS,
    current_isa,
    isa_names,
    num_threads,
    select_isa,
    select_num_threads,
)
from quantlib._native.movement import bind_join, bind_transpose, transpose
from quantlib._native.products import (
    Matrix,
    Operand,
    Stage,
    column_zero_points,
    dynamic_range,
    integers_by_address,
    once_by_address,
)
from quantlib._native.reals import (
    affine_by_address,
    dequantize,
    fake_quantize,
    min_max,
    min_max_by_address,
    quantize,
    requantize,
)
from quantlib._native.summaries import summarize, tails

__all__ = [
    "MOST_THREADS",
    "AddressCall",
    "Blending",
    "Bound",
    "Filter",
    "LocalNorm",
    "Matrix",
    "Operand",
    "Parameters",
    "Pooling",
    "Resizing",
    "Stage",
    "Walk",
    "activate",
    "address",
    "affine_by_address",
    "bind_join",
    "bind_transpose",
    "check",
    "column_zero_points",
    "conv_extents",
    "current_isa",
    "declined",
    "dequantize",
    "dynamic_range",
    "entropy_decode",
    "entropy_encode",
    "fake_quantize",
    "finder",
    "integers_by_address",
    "isa_names",
    "layer_norm",
    "look_up",
    "min_max",
    "min_max_by_address",
    "num_threads",
    "once_by_address",
    "own",
    "quantize",
    "ready",
    "real_softmax",
    "requantize",
    "select_isa",
    "select_num_threads",
    "softmax",
    "summarize",
    "tails",
    "transpose",
]
