"""Quantized arrays of one scale and zero point: the arguments of the layers between products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlib._arguments.arrays import (
    BYTE_TYPES,
    WHOLE,
    Array,
    as_byte_zero_point,
    as_bytes,
    own_dtype,
    per_tensor,
)
from quantlib._arguments.output import as_activation, code_bounds
from quantlib.params import as_scale

LIMITS = {dtype: (WHOLE[dtype].qmin, WHOLE[dtype].qmax) for dtype in BYTE_TYPES}


@dataclass(frozen=True, slots=True)
class Source:
    """Codes, and the reals that they stand for: ``scale * (data - zero_point)``."""

    data: Array
    scale: np.float32
    zero_point: int


@dataclass(frozen=True, slots=True)
class Target:
    """The codes that reals become: ``saturate(rint(real / scale) + zero_point)``, kept between the
    codes `lower` and `upper`."""

    dtype: np.dtype[Any]
    scale: np.float32
    zero_point: int
    lower: int
    upper: int


def as_tensor_scale(scale: Any, name: str) -> np.float32:
    """One scale, rounded to float32."""
    if type(scale) not in (float, np.float32):
        array = per_tensor(as_scale(scale, name), name)
        scale = array.item()
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.float32(scale)
    if not 0 < rounded < math.inf:
        raise ValueError(f"{name} must be finite and greater than 0 in float32; it is {scale}")
    return rounded


def as_tensor_zero_point(zero_point: Any, name: str, dtype: np.dtype[Any], owner: str) -> int:
    """One zero point; one that has a dtype must have that of `owner`. None is 0."""
    if zero_point is None:
        return 0
    if type(zero_point) is dtype.type:
        return int(zero_point)
    return int(per_tensor(as_byte_zero_point(zero_point, name, dtype, owner), name))


def as_source(name: str, x: Any, scale: Any, zero_point: Any) -> Source:
    """The quantized operand `name`."""
    data = as_bytes(x, name)
    return Source(
        data,
        as_tensor_scale(scale, f"{name}_scale"),
        as_tensor_zero_point(zero_point, f"{name}_zero_point", data.dtype, name),
    )


def as_target(
    y_scale: Any, y_zero_point: Any, default: np.dtype[Any], activation: Any = None
) -> Target:
    """What the results are; a zero point without a dtype takes `default`."""
    scale = as_tensor_scale(y_scale, "y_scale")
    dtype = own_dtype(y_zero_point, "y_zero_point") or default
    if dtype not in BYTE_TYPES:
        raise TypeError(f"y_zero_point must be int8 or uint8, not {dtype}")
    zero = as_tensor_zero_point(y_zero_point, "y_zero_point", dtype, "y")
    if activation is None:
        return Target(dtype, scale, zero, *LIMITS[dtype])
    bounds = code_bounds(as_activation(activation), scale, np.int32(zero), WHOLE[dtype])
    return Target(dtype, scale, zero, *map(int, bounds))


def ratio(numerator: np.float32, denominator: np.float32, names: str) -> np.float32:
    """``f32(numerator / denominator)``, small enough that no sum of two codes' reals overflows."""
    with np.errstate(over="ignore", under="ignore"):
        quotient = np.float32(numerator / denominator)
    if not float(quotient) * 512 * 256 < float(np.finfo(np.float32).max):
        raise ValueError(f"{names} overflows float32")
    return quotient
