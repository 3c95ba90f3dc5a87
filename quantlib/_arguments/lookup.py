"""Functions of one code as tables of 256 codes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import BYTE_TYPES, Array, as_bytes, one_of
from quantlib._arguments.quantized import (
    Target,
    as_target,
    as_tensor_scale,
    as_tensor_zero_point,
)
from quantlib.params import as_array

Reals = npt.NDArray[np.float64]
Values = npt.NDArray[np.float32]
Function = Callable[[Reals], npt.ArrayLike]
FunctionOrValues = Function | Values


# --- the functions that have a name ---------------------------------------------------------------


def identity(x: Reals) -> Reals:
    return x


def relu(x: Reals) -> Reals:
    return np.maximum(x, 0.0)


def sigmoid(x: Reals) -> Reals:
    small = np.exp(-np.abs(x))  # at most 1, so that nothing overflows or cancels
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small))


def tanh(x: Reals) -> Reals:
    return np.asarray(np.tanh(x))


def gelu(x: Reals) -> Reals:
    tails: Reals = np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in x])
    return x * tails


def gelu_tanh(x: Reals) -> Reals:
    with np.errstate(over="ignore"):  # of a cube, whose tanh is 1 or -1
        return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


@lru_cache(maxsize=64)
def leaky_relu(alpha: float) -> Function:
    return lambda x: np.where(x >= 0, x, alpha * x)


@lru_cache(maxsize=64)
def clipped(lower: float, upper: float) -> Function:
    return lambda x: np.clip(x, lower, upper)


# --- arguments ------------------------------------------------------------------------------------


def as_alpha(alpha: Any) -> float:
    """The slope of a leaky ReLU, rounded to float32 as ONNX stores it."""
    return _as_real(alpha, "alpha", math.nan)


def as_bounds(lower: Any, upper: Any) -> tuple[float, float]:
    """The bounds of a clip, rounded to float32; None is no bound."""
    low = _as_real(lower, "min", -math.inf)
    high = _as_real(upper, "max", math.inf)
    if math.isnan(low) or math.isnan(high):
        raise ValueError(f"{'min' if math.isnan(low) else 'max'} is NaN")
    if low > high:
        raise ValueError(f"min is {low}, above max, {high}")
    return low, high


def _as_real(value: Any, name: str, missing: float) -> float:
    if value is None and not math.isnan(missing):
        return missing
    array = as_array(value, name)
    if array.dtype.kind not in "iuf" or array.ndim:
        raise TypeError(f"{name} must be a real number, not {value!r}")
    with np.errstate(over="ignore", under="ignore"):
        real = float(array.astype(np.float32))
    if math.isnan(missing) and not math.isfinite(real):
        raise ValueError(f"{name} must be finite in float32; it is {value}")
    return real


def as_gelu(approximate: Any) -> Function:
    return gelu if one_of(approximate, "approximate", "none", "tanh") == "none" else gelu_tanh


@dataclass(frozen=True, slots=True)
class Conversion:
    """What the codes of an operand stand for, and the codes that become of them."""

    dtype: np.dtype[Any]
    scale: np.float32
    zero_point: int
    target: Target


def conversion_of(
    dtype: np.dtype[Any], x_scale: Any, x_zero_point: Any, y_scale: Any, y_zero_point: Any
) -> Conversion:
    """The checked parameters of a function of codes of `dtype`."""
    return Conversion(
        dtype,
        as_tensor_scale(x_scale, "x_scale"),
        as_tensor_zero_point(x_zero_point, "x_zero_point", dtype, "x"),
        as_target(y_scale, y_zero_point, dtype),
    )


def lookup_arguments(
    x: Any, x_scale: Any, x_zero_point: Any, y_scale: Any, y_zero_point: Any
) -> tuple[Array, Conversion]:
    """The checked arguments of a function of codes."""
    data = as_bytes(x, "x")
    return data, conversion_of(data.dtype, x_scale, x_zero_point, y_scale, y_zero_point)


# --- tables ---------------------------------------------------------------------------------------


def table_of(function: Any, conversion: Conversion) -> Array:
    """The code of ``function(scale * (code - zero_point))`` for each code, by the code's byte.

    The real is rounded to float32 before the function sees it, as a float64, and after.
    """
    return _quantized(values_of(function, conversion), conversion.target)


def values_of(function: Any, conversion: Conversion) -> Values:
    """What the function gives for each code, by the code's byte, rounded to float32."""
    if isinstance(function, np.ndarray):
        known: Values = _known_values(function)[BYTE_TYPES.index(conversion.dtype)]
        return known
    if not callable(function):
        raise TypeError(f"function must be callable, not {type(function).__name__}")
    codes = np.arange(256, dtype=np.uint8).view(conversion.dtype)
    with np.errstate(over="ignore", under="ignore"):
        reals = conversion.scale * (codes.astype(np.float32) - np.float32(conversion.zero_point))
        values = as_array(function(reals.astype(np.float64)), "function(x)")
        if values.shape != codes.shape or values.dtype.kind not in "iuf":
            raise TypeError(
                f"function must return {len(codes)} reals for as many; "
                f"it returned {values.dtype} of shape {values.shape}"
            )
        rounded: Values = values.astype(np.float32)
        return rounded


def _known_values(values: Array) -> Values:
    if values.dtype != np.float32:
        raise TypeError(f"function must be float32 if it is an array, not {values.dtype}")
    if values.shape != (len(BYTE_TYPES), 256):
        raise ValueError(
            f"function has shape {values.shape}; an array of values has {(len(BYTE_TYPES), 256)}"
        )
    return values


def all_values(function: Any, parameters: dict[str, Any]) -> Values:
    """The values of a function for all codes of int8, and of uint8; NaN for a type that the zero
    point is not of. They stand for the function where it has to be kept."""
    values = np.full((len(BYTE_TYPES), 256), np.nan, np.float32)
    for row, dtype in zip(values, BYTE_TYPES, strict=True):
        try:
            conversion = conversion_of(dtype, **parameters)
        except (TypeError, ValueError):
            continue
        row[:] = values_of(function, conversion)
    return values


def _quantized(values: npt.NDArray[np.float32], target: Target) -> Array:
    """``saturate(rint(values / scale) + zero_point)``; the zero point for NaN."""
    steps = np.rint(values / target.scale)
    low, high = target.lower - target.zero_point, target.upper - target.zero_point
    steps = np.clip(np.where(np.isnan(steps), 0, steps), low, high)
    table: Array = (steps.astype(np.int32) + target.zero_point).astype(target.dtype)
    table.setflags(write=False)
    return table


@lru_cache(maxsize=256)
def kept_table(function: Function, conversion: Conversion) -> Array:
    """`table_of` a function that is the same object in every call: computed once."""
    return table_of(function, conversion)
