"""What becomes of the accumulators of integer products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quantlib._arguments.affine import Granularity, granularity_of
from quantlib._arguments.arrays import BYTE_TYPES, FLOAT32, WHOLE, Array, per_tensor
from quantlib.params import QType, as_array, as_scale, as_zero_point, has_dtype

Activation = str | tuple[float, float] | None
INT32 = np.iinfo(np.int32)
Reals = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Output:
    """What becomes of an exact accumulator.

    With a `dtype` of int8 or uint8, ``saturate(rint(f32(acc) * multiplier) + zero_point)``, kept
    between the codes `lower` and `upper`; with float32, ``f32(acc) * multiplier + bias``, kept
    between the reals `lower` and `upper`. All broadcast against the accumulator.
    """

    dtype: np.dtype[Any]
    row_factor: Reals  # the scale of the left operand
    column_factor: Reals  # that of the right one
    divisor: Reals | None  # that of the result, if it has one
    zero_point: npt.NDArray[np.int32]
    lower: npt.NDArray[Any]
    upper: npt.NDArray[Any]
    bias: Reals | None = None

    @property
    def multiplier(self) -> Reals:
        """``f32(f32(row_factor * column_factor) / divisor)``."""
        with np.errstate(over="ignore", under="ignore"):
            worth: Reals = self.row_factor * self.column_factor
            return worth if self.divisor is None else worth / self.divisor


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
    row_scale: Array,
    column_scale: Array,
    y_scale: Array | None,
    y_zero_point: Any,
    activation: Any,
    bias: Reals | None,
    default: np.dtype[Any],
    names: str,
) -> Output:
    """The `Output` for accumulators worth ``row_scale * column_scale`` each, called `names`.

    Scales and `y_zero_point` have been brought into shapes that broadcast against the accumulator;
    a zero point without a dtype takes `default`.
    """
    lower, upper = as_activation(activation)
    with np.errstate(over="ignore", under="ignore"):
        rows, columns = row_scale.astype(np.float32), column_scale.astype(np.float32)
        divisor = None if y_scale is None else y_scale.astype(np.float32)
    check_multiplier(rows, columns, divisor, names)
    if divisor is None:
        if y_zero_point is not None:
            raise ValueError("y_zero_point is given without y_scale; float32 output has neither")
        bounds = np.asarray(np.float32(lower)), np.asarray(np.float32(upper))
        zero = np.zeros((), np.int32)
        return Output(FLOAT32, rows, columns, None, zero, *bounds, bias)
    dtype = np.dtype(getattr(y_zero_point, "dtype", default))
    if dtype not in BYTE_TYPES:
        raise TypeError(f"y_zero_point must be int8 or uint8, not {dtype}")
    qtype = WHOLE[dtype]
    zero_point = np.zeros((), np.int32)
    if y_zero_point is not None:
        zero_point = as_zero_point(y_zero_point, "y_zero_point", qtype).astype(np.int32)
    low, high = code_bounds((lower, upper), divisor, zero_point, qtype)
    return Output(dtype, rows, columns, divisor, zero_point, low, high)


def code_bounds(
    bounds: tuple[float, float], divisor: Any, zero_point: Any, qtype: QType
) -> list[npt.NDArray[np.int32]]:
    """The codes of the reals `bounds`."""
    with np.errstate(over="ignore"):
        return [
            np.clip(
                np.rint(np.clip(np.float32(bound) / divisor, -(2.0**20), 2.0**20)) + zero_point,
                qtype.qmin,
                qtype.qmax,
            ).astype(np.int32)
            for bound in bounds
        ]


def check_multiplier(rows: Reals, columns: Reals, divisor: Reals | None, names: str) -> None:
    """Raise if a multiplier overflows. The largest column of each row shows it: multipliers of
    all rows and columns would be a matrix as large as the result."""
    largest = columns.max(axis=-1, keepdims=True, initial=0) if columns.ndim else columns
    with np.errstate(over="ignore", under="ignore"):
        worth = _finite(rows * largest, names)
        if divisor is not None:
            _finite(worth / divisor, f"{names} / y_scale")


def _finite(values: Array, names: str) -> Array:
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{names} overflows float32")
    return values


def as_bias(
    bias: Any, name: str, columns: int, *, to_real: bool
) -> tuple[npt.NDArray[np.int32] | None, Reals | None]:
    """`bias` of shape ``(columns,)``, a scalar being used for every column: int32 to be added to
    accumulators, or float32 to be added to results, which must then be real (`to_real`)."""
    if bias is None:
        return None, None
    array = as_array(bias, name)
    if array.shape not in ((), (columns,)):
        raise ValueError(f"{name} has shape {array.shape}; it must be a scalar or ({columns},)")
    if array.dtype.kind == "f":
        if not to_real:
            raise TypeError(
                f"{name} must be int32 where results are quantized, not {array.dtype}: a float32 "
                "bias is added to float32 results, which a y_scale of None gives"
            )
        return None, as_real_bias(bias, name, columns)
    return np.broadcast_to(_as_int32_bias(bias, array, name), (columns,)), None


def _as_int32_bias(bias: Any, array: Array, name: str) -> npt.NDArray[np.int32]:
    if array.dtype == np.int32:
        return array
    if has_dtype(bias) or array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be int32 or float32, not {array.dtype}")
    if array.size and not (INT32.min <= array.min() and array.max() <= INT32.max):
        raise ValueError(f"{name} must fit int32; it holds {array.flat[np.abs(array).argmax()]}")
    return array.astype(np.int32)


def as_real_bias(bias: Any, name: str, columns: int) -> Reals | None:
    """`bias` as float32 of shape ``(columns,)``; a scalar is used for every column."""
    if bias is None:
        return None
    array = as_array(bias, name)
    if array.dtype.kind != "f" and (has_dtype(bias) or array.dtype.kind not in "iu"):
        raise TypeError(f"{name} must be float32, not {array.dtype}")
    if array.shape not in ((), (columns,)):
        raise ValueError(f"{name} has shape {array.shape}; it must be a scalar or ({columns},)")
    with np.errstate(over="ignore"):
        real = array.astype(np.float32)
    if not np.all(np.isfinite(real)):
        raise ValueError(f"{name} must be finite; it holds {real[~np.isfinite(real)].flat[0]}")
    return np.broadcast_to(real, (columns,))


class RequantizeArguments(NamedTuple):
    """One checked call of requantize."""

    data: Array
    multiplier: Reals
    zero_point: Array
    qtype: QType
    granularity: Granularity

    @property
    def output(self) -> Output:
        """As an `Output` that broadcasts against the data."""
        return Output(
            self.qtype.dtype,
            np.ones((), np.float32),
            self.granularity.spread(self.multiplier, self.data.shape),
            None,
            self.zero_point.astype(np.int32),
            np.asarray(self.qtype.qmin, np.int32),
            np.asarray(self.qtype.qmax, np.int32),
        )


def requantize_arguments(
    acc: Any, multiplier: Any, zero_point: Any, axis: Any
) -> RequantizeArguments:
    """The checked arguments of ``requantize``."""
    data = as_array(acc, "acc")
    if data.dtype != np.int32:
        raise TypeError(f"acc must be int32, not {data.dtype}")
    factor = as_scale(multiplier, "multiplier")
    granularity = granularity_of(data.shape, factor, axis, 0, "multiplier")
    if factor.dtype != FLOAT32:
        with np.errstate(over="ignore", under="ignore"):
            factor = _finite(factor.astype(np.float32), "multiplier")
    given = as_array(zero_point, "zero_point")
    if given.dtype not in BYTE_TYPES:
        raise TypeError(f"zero_point must be int8 or uint8, not {given.dtype}")
    return RequantizeArguments(
        data, factor, per_tensor(given, "zero_point"), WHOLE[given.dtype], granularity
    )
