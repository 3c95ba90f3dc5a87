"""What becomes of the accumulators of integer products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.affine import Granularity, granularity_of
from quantlib._arguments.arrays import BYTE_TYPES, WHOLE, Array, per_tensor
from quantlib.params import as_array, as_scale, as_zero_point, has_dtype

Activation = str | tuple[float, float] | None
INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, slots=True)
class Output:
    """What becomes of an exact accumulator.

    With a `dtype` of int8 or uint8, ``saturate(rint(f32(acc) * multiplier) + zero_point)``, kept
    between the codes `lower` and `upper`; with float32, ``f32(acc) * multiplier``, kept between
    the reals `lower` and `upper`.
    """

    dtype: np.dtype[Any]
    multiplier: npt.NDArray[np.float32]  # broadcasts against the accumulator
    zero_point: npt.NDArray[np.int32]  # likewise
    lower: npt.NDArray[Any]
    upper: npt.NDArray[Any]


def as_activation(activation: Any) -> tuple[float, float]:
    """The interval of reals that `activation` lets through."""
    if activation is None:
        return -math.inf, math.inf
    if isinstance(activation, str):
        named = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0)}
        if activation not in named:
            raise ValueError(
                f"activation is {activation!r}; it may be 'relu', 'relu6', a pair of bounds or None"
            )
        return named[activation]
    try:
        lower, upper = (float(bound) for bound in activation)
    except (TypeError, ValueError, OverflowError, NotImplementedError):
        raise TypeError(
            "activation must be 'relu', 'relu6', a pair (lower, upper) of reals or None, "
            f"not {type(activation).__name__}"
        ) from None
    if not lower <= upper:
        raise ValueError(f"activation is ({lower}, {upper}); lower must not exceed upper")
    return lower, upper


def output_of(
    product_scale: npt.NDArray[np.float32],
    y_scale: Any,
    y_zero_point: Any,
    activation: Any,
    default: np.dtype[Any],
    names: str,
) -> Output:
    """The `Output` for accumulators worth `product_scale` each.

    `y_scale` and `y_zero_point` have been brought into a shape that broadcasts against the
    accumulator; a zero point without a dtype takes `default`.
    """
    lower, upper = as_activation(activation)
    if y_scale is None:
        if y_zero_point is not None:
            raise ValueError("y_zero_point is given without y_scale; float32 output has neither")
        bounds = np.float32(lower), np.float32(upper)
        zero = np.zeros((), np.int32)
        return Output(
            np.dtype(np.float32),
            _finite(product_scale, names),
            zero,
            np.asarray(bounds[0]),
            np.asarray(bounds[1]),
        )
    with np.errstate(over="ignore", under="ignore"):
        multiplier = _finite(product_scale / y_scale, f"{names} / y_scale")
    dtype = np.dtype(getattr(y_zero_point, "dtype", default))
    if dtype not in BYTE_TYPES:
        raise TypeError(f"y_zero_point must be int8 or uint8, not {dtype}")
    qtype = WHOLE[dtype]
    zero_point = np.zeros((), np.int32)
    if y_zero_point is not None:
        zero_point = as_zero_point(y_zero_point, "y_zero_point", qtype).astype(np.int32)
    with np.errstate(over="ignore"):
        codes = [
            np.clip(
                np.rint(np.clip(np.float32(bound) / y_scale, -(2.0**20), 2.0**20)) + zero_point,
                qtype.qmin,
                qtype.qmax,
            ).astype(np.int32)
            for bound in (lower, upper)
        ]
    return Output(dtype, multiplier, zero_point, *codes)


def _finite(multiplier: Array, names: str) -> Array:
    if not np.all(np.isfinite(multiplier)):
        raise ValueError(f"{names} overflows float32")
    return multiplier


def as_product_scale(left: Array, right: Array, names: str) -> npt.NDArray[np.float32]:
    """``f32(left * right)``, the real worth of one unit of an accumulator."""
    with np.errstate(over="ignore", under="ignore"):
        return _finite(left.astype(np.float32) * right.astype(np.float32), names)


def as_bias(bias: Any, name: str, columns: int) -> npt.NDArray[np.int32] | None:
    """`bias` as int32 of shape ``(columns,)``; a scalar is used for every column."""
    if bias is None:
        return None
    array = as_array(bias, name)
    if array.dtype != np.int32:
        if has_dtype(bias) or array.dtype.kind not in "iu":
            raise TypeError(f"{name} must be int32, not {array.dtype}")
        if array.size and not (INT32.min <= array.min() and array.max() <= INT32.max):
            raise ValueError(
                f"{name} must fit int32; it holds {array.flat[np.abs(array).argmax()]}"
            )
        array = array.astype(np.int32)
    if array.ndim == 0:
        return np.full(columns, array, np.int32)
    if array.shape != (columns,):
        raise ValueError(f"{name} has shape {array.shape}; it must be a scalar or ({columns},)")
    return array


def requantize_arguments(
    acc: Any, multiplier: Any, zero_point: Any, axis: Any
) -> tuple[Array, Output, Granularity]:
    """The checked arguments of ``requantize``; the output broadcasts against the data."""
    data = as_array(acc, "acc")
    if data.dtype != np.int32:
        raise TypeError(f"acc must be int32, not {data.dtype}")
    factor = as_scale(multiplier, "multiplier")
    granularity = granularity_of(data.shape, factor, axis, 0, "multiplier")
    with np.errstate(over="ignore", under="ignore"):
        factor = _finite(factor.astype(np.float32), "multiplier")
    given = as_array(zero_point, "zero_point")
    if given.dtype not in BYTE_TYPES:
        raise TypeError(f"zero_point must be int8 or uint8, not {given.dtype}")
    limits = np.iinfo(given.dtype)
    output = Output(
        given.dtype,
        granularity.spread(factor, data.shape),
        per_tensor(given, "zero_point").astype(np.int32),
        np.asarray(limits.min, np.int32),
        np.asarray(limits.max, np.int32),
    )
    return data, output, granularity
