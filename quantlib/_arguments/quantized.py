"""Quantized arrays of one scale and zero point: the arguments of the layers between products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
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

SURE = 1e-37, 1e38  # between these, float32 neither overflows nor becomes subnormal
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
    kind = type(scale)
    if kind is np.float32 and 0 < scale < math.inf:
        return scale  # type: ignore[no-any-return]
    if kind is float and SURE[0] < scale < SURE[1]:
        return np.float32(scale)
    array = per_tensor(as_scale(scale, name), name)
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.float32(array.item())
    if not 0 < rounded < math.inf:
        raise ValueError(f"{name} must be finite and greater than 0 in float32; it is {scale}")
    return rounded


def as_tensor_zero_point(zero_point: Any, name: str, dtype: np.dtype[Any], owner: str) -> int:
    """One zero point; one that has a dtype must have that of `owner`. None is 0."""
    if zero_point is None:
        return 0
    kind = type(zero_point)
    if kind is int:
        low, high = LIMITS[dtype]
        if low <= zero_point <= high:
            return int(zero_point)
    elif kind is dtype.type:
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
    dtype = default
    if y_zero_point is not None and type(y_zero_point) is not int:
        dtype = own_dtype(y_zero_point, "y_zero_point") or default
    if dtype not in BYTE_TYPES:
        raise TypeError(f"y_zero_point must be int8 or uint8, not {dtype}")
    zero = as_tensor_zero_point(y_zero_point, "y_zero_point", dtype, "y")
    if activation is None:
        return Target(dtype, scale, zero, *LIMITS[dtype])
    reals = as_activation(activation)
    return Target(dtype, scale, zero, *_code_bounds(*reals, float(scale), zero, dtype))


@lru_cache(maxsize=256)
def _code_bounds(
    lower: float, upper: float, scale: float, zero_point: int, dtype: np.dtype[Any]
) -> tuple[int, int]:
    """The codes of two reals."""
    low, high = code_bounds((lower, upper), np.float32(scale), np.int32(zero_point), WHOLE[dtype])
    return int(low), int(high)


def ratio(numerator: np.float32, denominator: np.float32, names: str) -> np.float32:
    """``f32(numerator / denominator)``, small enough that no sum of two codes' reals overflows."""
    # float64 holds so many more digits that rounding the quotient twice is rounding it once.
    quotient = float(numerator) / float(denominator)
    if SURE[0] < quotient < 1e30:
        return np.float32(quotient)
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.float32(numerator / denominator)
    if not float(rounded) * 512 * 256 < float(np.finfo(np.float32).max):
        raise ValueError(f"{names} overflows float32")
    return rounded
