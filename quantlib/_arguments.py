"""What an argument may be: the checks that a definition and its fast twin share.

Both layers call these functions before they compute, so both accept the same calls, raise the same
errors for the rest, and every message names the argument, what it was and what it may be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from quantlib.params import (
    QType,
    QuantParams,
    as_array,
    as_index,
    as_scale,
    as_zero_point,
    has_dtype,
)

Array = npt.NDArray[Any]
Activation = str | tuple[float, float] | None

INT32 = np.iinfo(np.int32)
LARGEST_EXTENT = 2**31 - 1  # of a padded axis, a stride, a dilation or a group
LAYOUTS = ("NCHW", "NHWC")
LARGEST_RESULT = 2**60 - 1  # elements of 8 bytes that NumPy can count
BYTE_TYPES = (np.dtype(np.int8), np.dtype(np.uint8))
CODE_TYPES = (*BYTE_TYPES, np.dtype(np.int16), np.dtype(np.uint16))
WHOLE = {dtype: QType(dtype.name) for dtype in CODE_TYPES}
FLOAT32: np.dtype[Any] = np.dtype(np.float32)
FLOAT64: np.dtype[Any] = np.dtype(np.float64)
REAL_TYPES = (np.dtype(np.float16), FLOAT32, FLOAT64)


# --- arrays -------------------------------------------------------------------------------------


def as_real(value: Any, name: str) -> Array:
    """`value` as float16, float32 or float64; bfloat16 becomes float32, integers float64."""
    array = as_array(value, name)
    if array.dtype in REAL_TYPES:
        return array
    if array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    if array.dtype.kind in "iu":
        return array.astype(np.float64)
    raise TypeError(f"{name} must be float16, float32 or float64, not {array.dtype}")


def as_bytes(value: Any, name: str) -> Array:
    """`value` as an int8 or uint8 array."""
    array = as_array(value, name)
    if array.dtype not in BYTE_TYPES:
        raise TypeError(f"{name} must be int8 or uint8, not {array.dtype}")
    return array


def as_codes(value: Any, name: str, *, also_int32: bool = False) -> tuple[Array, QType | None]:
    """`value` as stored codes and their type; int32 codes, which have no zero point, give None.

    The small integers of ml_dtypes become int8 or uint8.
    """
    array = as_array(value, name)
    if also_int32 and array.dtype == np.int32:
        return array, None
    small = _small_type(array.dtype)
    if small is not None:
        return array.astype(small.dtype), small
    if array.dtype not in CODE_TYPES:
        allowed = "int8, uint8, int16, uint16" + (", int32" if also_int32 else "")
        raise TypeError(
            f"{name} must be {allowed} or a small integer type of ml_dtypes, not {array.dtype} "
            "(floating-point codes such as float8 are not supported)"
        )
    return array, WHOLE[array.dtype]


def _small_type(dtype: np.dtype[Any]) -> QType | None:
    """The type that an ml_dtypes integer of 2 or 4 bits stores."""
    if dtype in WHOLE:  # asking a dtype for its name takes a microsecond
        return None
    return QType(dtype.name) if dtype.name in ("int2", "uint2", "int4", "uint4") else None


def check_out(out: Any, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """`out` if a result of `shape` and `dtype` can be written into it."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, not {type(out).__name__}")
    if out.dtype != dtype:
        raise TypeError(f"out must be {np.dtype(dtype)}, not {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}; the result has {shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    return out


def deliver(result: Array, out: Any) -> Array:
    """`result`, or `out` filled with it."""
    if out is None:
        return result
    check_out(out, result.shape, result.dtype)[...] = result
    return out  # type: ignore[no-any-return]


# --- real <-> codes -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Granularity:
    """How parameters are laid over data of shape ``(outer, length, inner)``.

    The parameter of element ``(o, l, i)`` is number 0 (per-tensor), ``l`` (per-channel) or
    ``(o * ceil(length / block) + l // block) * inner + i`` (blocked).
    """

    kind: Literal["per-tensor", "per-channel", "blocked"]
    axis: int
    outer: int
    length: int
    inner: int
    block: int

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """The parameters' shape as seen from ``(outer, length, inner)``."""
        if self.kind == "per-tensor":
            return (1, 1, 1)
        if self.kind == "per-channel":
            return (1, self.length, 1)
        return (self.outer, -(-self.length // self.block), self.inner)

    def spread(self, parameter: Array, shape: tuple[int, ...]) -> Array:
        """`parameter` so that it broadcasts against data of `shape`."""
        if self.kind == "per-tensor":
            return parameter.reshape(())
        if self.kind == "per-channel":
            return parameter.reshape((self.length,) + (1,) * (len(shape) - 1 - self.axis))
        repeated = np.repeat(parameter.reshape(self.parameter_shape), self.block, axis=1)
        return repeated[:, : self.length].reshape(shape)


def as_axis(axis: Any, rank: int, name: str = "axis") -> int:
    """`axis` as an index from 0 to ``rank - 1``."""
    index = as_index(axis, name)
    if not -rank <= index < rank:
        raise ValueError(f"{name} is {index}; data of {rank} dimensions has no such axis")
    return index % rank


def split_axis(shape: tuple[int, ...], axis: Any, block_size: Any) -> Granularity:
    """The granularity that `axis` and `block_size` ask for on data of `shape`; None is absent."""
    if axis is None:
        if block_size is not None:
            raise ValueError("block_size is given without axis, the axis to cut into blocks")
        return Granularity("per-tensor", 0, 1, 1, math.prod(shape), 1)
    index = as_axis(axis, len(shape))
    kind: Literal["per-channel", "blocked"] = "per-channel"
    block = 1
    if block_size is not None:
        kind, block = "blocked", as_index(block_size, "block_size")
        if block < 1:
            raise ValueError(f"block_size is {block}; it must be 1 or more")
        block = min(block, max(shape[index], 1))  # a longer block holds the same elements
    return Granularity(
        kind,
        index,
        math.prod(shape[:index]),
        shape[index],
        math.prod(shape[index + 1 :]),
        block,
    )


def granularity_of(
    shape: tuple[int, ...], scale: Array, axis: Any, block_size: Any, name: str
) -> Granularity:
    """The granularity of `scale` over data of `shape`, by the rules of ONNX's QuantizeLinear."""
    block = as_index(block_size, "block_size")
    if block < 0:
        raise ValueError(f"block_size is {block}; it must be 0 (no blocks) or more")
    if block == 0 and scale.size == 1 and scale.ndim <= 1:
        return split_axis(shape, None, None)
    if block == 0 and scale.ndim != 1:
        raise ValueError(
            f"{name} has shape {scale.shape}; it must be a scalar (per-tensor) or 1-D "
            "(per-channel) unless block_size is given"
        )
    granularity = split_axis(shape, as_index(axis, "axis"), block or None)
    check_parameter_shape(shape, scale, granularity, name)
    return granularity


def check_parameter_shape(
    shape: tuple[int, ...], scale: Array, granularity: Granularity, name: str
) -> None:
    """Raise unless `scale` has the shape that `granularity` needs on data of `shape`."""
    if granularity.kind == "per-channel":
        expected: tuple[int, ...] = (granularity.length,)
    elif granularity.kind == "blocked":
        blocks = -(-granularity.length // granularity.block)
        expected = (*shape[: granularity.axis], blocks, *shape[granularity.axis + 1 :])
    else:
        return
    if scale.shape != expected:
        raise ValueError(
            f"{name} has shape {scale.shape}; for data of shape {shape}, {granularity.kind} along "
            f"axis {granularity.axis}, it must be {expected}"
        )


@dataclass(frozen=True, slots=True)
class AffineArguments:
    """One checked call of quantize or dequantize."""

    data: Array
    scale: Array
    zero_point: Array
    qtype: QType
    granularity: Granularity
    storage: np.dtype[Any]  # the type of the codes that the caller sees
    result: np.dtype[Any]  # the type of the reals that the caller sees

    @property
    def working(self) -> np.dtype[Any]:
        """The precision of the division and the product: float64 for float64 scales."""
        return FLOAT64 if self.scale.dtype == FLOAT64 else FLOAT32


def quantize_arguments(x: Any, params: Any) -> AffineArguments:
    """The checked arguments of ``quantize(x, params)``."""
    _check_params(params)
    data = as_real(x, "x")
    return _with_params(data, params)


def dequantize_arguments(codes: Any, params: Any) -> AffineArguments:
    """The checked arguments of ``dequantize(codes, params)``."""
    _check_params(params)
    data, stored = as_codes(codes, "codes")
    if stored is None or data.dtype != params.qtype.dtype:
        raise TypeError(
            f"codes are {data.dtype}; {params.qtype.name} codes are stored as {params.qtype.dtype}"
        )
    return _with_params(data, params)


def _check_params(params: Any) -> None:
    if not isinstance(params, QuantParams):
        raise TypeError(f"params must be a QuantParams, not {type(params).__name__}")


def _with_params(data: Array, params: QuantParams) -> AffineArguments:
    granularity = split_axis(data.shape, params.axis, params.block_size)
    check_parameter_shape(data.shape, params.scale, granularity, "scale")
    return AffineArguments(
        data,
        params.scale,
        params.zero_point,
        params.qtype,
        granularity,
        params.qtype.dtype,
        params.scale.dtype,
    )


def quantize_linear_arguments(
    x: Any, y_scale: Any, y_zero_point: Any, axis: Any, block_size: Any, output_dtype: Any
) -> AffineArguments:
    """The checked arguments of ``quantize_linear``."""
    data = as_real(x, "x")
    scale = as_scale(y_scale, "y_scale")
    storage = np.dtype(np.uint8) if output_dtype is None else _dtype(output_dtype, "output_dtype")
    given = _own_dtype(y_zero_point, "y_zero_point")
    if given is not None:
        if output_dtype is not None and storage != given:
            raise ValueError(f"output_dtype is {storage}, but y_zero_point is {given}")
        storage = given
    small = _small_type(storage)
    if small is None and storage not in CODE_TYPES:
        name = "output_dtype" if given is None else "y_zero_point"
        raise TypeError(
            f"{name} must be int8, uint8, int16, uint16 or a small integer type of "
            f"ml_dtypes, not {storage} (floating-point codes such as float8 are not supported)"
        )
    qtype = small or QType(storage.name)
    granularity = granularity_of(data.shape, scale, axis, block_size, "y_scale")
    zero_point = _matching_zero_point(y_zero_point, "y_zero_point", qtype, scale, "y_scale")
    return AffineArguments(data, scale, zero_point, qtype, granularity, storage, scale.dtype)


def dequantize_linear_arguments(
    x: Any, x_scale: Any, x_zero_point: Any, axis: Any, block_size: Any, output_dtype: Any
) -> AffineArguments:
    """The checked arguments of ``dequantize_linear``; int32 codes carry ``QType("int16")`` and
    a zero point of 0, which is all that they may have."""
    data, qtype = as_codes(x, "x", also_int32=True)
    scale = as_scale(x_scale, "x_scale")
    result = scale.dtype if output_dtype is None else _dtype(output_dtype, "output_dtype")
    if result not in REAL_TYPES:
        raise TypeError(f"output_dtype must be float16, float32 or float64, not {result}")
    granularity = granularity_of(data.shape, scale, axis, block_size, "x_scale")
    given, owner = _own_dtype(x_zero_point, "x_zero_point"), as_array(x, "x").dtype
    if given is not None and given != owner:
        raise TypeError(f"x_zero_point is {given}; it must have the type of x, {owner}")
    if qtype is None:
        if x_zero_point is not None and np.any(_as_zeros(x_zero_point, "x_zero_point")):
            raise ValueError("x_zero_point must be 0 or None for int32 codes")
        x_zero_point, qtype = None, QType("int16")
    zero_point = _matching_zero_point(x_zero_point, "x_zero_point", qtype, scale, "x_scale")
    return AffineArguments(data, scale, zero_point, qtype, granularity, data.dtype, result)


def _dtype(value: Any, name: str) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(value)
    except (TypeError, ValueError, KeyError, SyntaxError):
        raise TypeError(f"{name} must be a dtype, not {value!r}") from None
    return dtype


def _own_dtype(value: Any, name: str) -> np.dtype[Any] | None:
    """The dtype that `value` brings along; None for Python numbers and sequences of them."""
    return as_array(value, name).dtype if has_dtype(value) else None


def _as_zeros(zero_point: Any, name: str) -> Array:
    """`zero_point` as an array of integers, which ought to be zeros."""
    array = as_array(zero_point, name)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must be integers, not {array.dtype}")
    return array


def _matching_zero_point(
    zero_point: Any, name: str, qtype: QType, scale: Array, scale_name: str
) -> Array:
    """`zero_point` in the shape of `scale`; None is 0."""
    if zero_point is None:
        return np.zeros(scale.shape, qtype.dtype)
    array = as_zero_point(zero_point, name, qtype)
    if array.shape != scale.shape and not (array.size == scale.size == 1):
        raise ValueError(
            f"{name} has shape {array.shape}; it must have the shape of {scale_name}, {scale.shape}"
        )
    return array.reshape(scale.shape)


def clip_arguments(x: Any, lower: Any, upper: Any) -> tuple[Array, Any, Any]:
    """The checked arguments of `clip`: data, and the bounds in its type."""
    data = as_real(x, "x")
    bounds = []
    for name, value in (("lower", lower), ("upper", upper)):
        bound = as_array(value, name)
        if bound.dtype.kind not in "iuf" or bound.ndim:
            raise TypeError(f"{name} must be a real number, not {value!r}")
        if np.isnan(bound):
            raise ValueError(f"{name} is NaN")
        with np.errstate(over="ignore"):
            bounds.append(data.dtype.type(bound))
    if bounds[0] > bounds[1]:
        raise ValueError(f"lower is {bounds[0]}, above upper, {bounds[1]}")
    return data, bounds[0], bounds[1]


def require_nonempty(x: Array) -> None:
    """Raise if there is no element to take the range of."""
    if x.size == 0:
        raise ValueError(f"x has shape {x.shape}: it holds no element to take the range of")


def require_finite(lo: Any, hi: Any) -> None:
    """Raise if the ends of the data are not finite."""
    if not np.isfinite(lo) or not np.isfinite(hi):
        raise ValueError("x must be finite in float32; it holds NaN or infinity")


def dynamic_range(lo: Any, hi: Any) -> tuple[np.float32, np.uint8]:
    """Scale and zero point of ONNX's DynamicQuantizeLinear for data from `lo` to `hi`.

    Float32 throughout, as the specification computes; a range that float32 cannot subtract is
    divided first, one so small that its scale would be subnormal gets 2**-126, and one of zeros 1.
    """
    low, high = np.float32(min(lo, 0)), np.float32(max(hi, 0))
    if low == high:
        return np.float32(1), np.uint8(0)
    with np.errstate(over="ignore", under="ignore"):
        scale = (high - low) / np.float32(255)
        if not np.isfinite(scale):
            scale = np.float32(float(high) / 255 - float(low) / 255)
    scale = max(scale, np.finfo(np.float32).tiny)
    return scale, np.uint8(np.clip(np.rint(-low / scale), 0, 255))


# --- outputs of integer products ----------------------------------------------------------------


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


# --- matrix products ----------------------------------------------------------------------------


def check_product(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    """Raise unless ``numpy.matmul`` is defined for these shapes."""
    for name, shape in (("a", a_shape), ("b", b_shape)):
        if not shape:
            raise ValueError(f"{name} is a scalar; a matrix product needs 1 dimension or more")
    k = b_shape[-2] if len(b_shape) > 1 else b_shape[0]
    if a_shape[-1] != k:
        raise ValueError(
            f"a has shape {a_shape} and b {b_shape}: {a_shape[-1]} columns do not meet {k} rows"
        )
    try:
        np.broadcast_shapes(a_shape[:-2], b_shape[:-2])
    except ValueError:
        raise ValueError(
            f"a has shape {a_shape} and b {b_shape}: their batch dimensions do not broadcast"
        ) from None


def per_row(value: Array, name: str, shape: tuple[int, ...]) -> Array:
    """A parameter of the left operand, of `shape`, so that it broadcasts against the product:
    a scalar, one entry a row ``(M,)``, or ``(..., M, 1)``."""
    if value.size == 1 and value.ndim <= 1:
        return value.reshape(())
    if len(shape) > 1 and value.shape == (shape[-2],):
        return value[:, np.newaxis]
    if value.ndim >= 2 and value.shape == (*shape[:-1], 1):
        return value
    rows = f" or ({shape[-2]},) or {(*shape[:-1], 1)}" if len(shape) > 1 else ""
    raise ValueError(f"{name} has shape {value.shape}; it must be a scalar{rows}")


def per_column(value: Array, name: str, shape: tuple[int, ...]) -> Array:
    """A parameter of the right operand, of `shape`, so that it broadcasts against the product:
    a scalar, one entry a column ``(N,)``, or ``(..., 1, N)``."""
    if value.size == 1 and value.ndim <= 1:
        return value.reshape(())
    if len(shape) > 1 and value.shape == (shape[-1],):
        return value
    if value.ndim >= 2 and value.shape == (*shape[:-2], 1, shape[-1]):
        return value
    columns = f" or ({shape[-1]},) or {(*shape[:-2], 1, shape[-1])}" if len(shape) > 1 else ""
    raise ValueError(f"{name} has shape {value.shape}; it must be a scalar{columns}")


def as_byte_zero_point(zero_point: Any, name: str, dtype: np.dtype[Any], owner: str) -> Array:
    """`zero_point` as int32; one that has a dtype must have that of `owner`. None is 0."""
    if zero_point is None:
        return np.zeros((), np.int32)
    given = _own_dtype(zero_point, name)
    if given is not None and given != dtype:
        raise TypeError(f"{name} is {given}; it must have the type of {owner}, {dtype}")
    return as_zero_point(zero_point, name, WHOLE[dtype]).astype(np.int32)


def matmul_zero_points(a: Array, b: Array, za: Any, zb: Any) -> tuple[Array, Array]:
    """Both zero points as int32, broadcasting against their operands' rows and columns."""
    check_product(a.shape, b.shape)
    left = as_byte_zero_point(za, "a_zero_point", a.dtype, "a")
    right = as_byte_zero_point(zb, "b_zero_point", b.dtype, "b")
    return (
        per_row(left, "a_zero_point", a.shape),
        per_column(right, "b_zero_point", b.shape),
    )


def check_scalars(**parameters: Any) -> None:
    """Raise unless each of the parameters of a prepared product is a scalar or None."""
    for name, value in parameters.items():
        if value is not None:
            per_tensor(as_array(value, name), name)


def no_rows(b: Array, a_zero_point: Any) -> Array:
    """An operand of no rows for `b`: a product with it checks all the other arguments."""
    if b.ndim == 0:
        raise ValueError("b is a scalar; a matrix product needs 1 dimension or more")
    dtype = _byte_type(a_zero_point, "a_zero_point")
    return np.zeros((0, b.shape[-2] if b.ndim > 1 else b.shape[0]), dtype)


def _byte_type(zero_point: Any, name: str) -> np.dtype[Any]:
    """The type that a zero point demands of its operand, int8 if it leaves that open."""
    if zero_point is None:
        return np.dtype(np.int8)
    array = as_array(zero_point, name)
    if has_dtype(zero_point):
        return array.dtype if array.dtype in BYTE_TYPES else np.dtype(np.int8)
    large = array.dtype.kind in "iu" and array.size and array.max() > 127
    return np.dtype(np.uint8 if large else np.int8)


def qlinear_matmul_output(
    a: Array,
    b_shape: tuple[int, ...],
    a_scale: Any,
    b_scale: Any,
    y_scale: Any,
    y_zero_point: Any,
    bias: Any,
    activation: Any,
) -> tuple[Output, Array]:
    """The output stage of ``qlinear_matmul``, and the bias to add before it."""
    product_shape = (*a.shape[:-1], 1) if a.ndim > 1 else a.shape
    rows = per_row(as_scale(a_scale, "a_scale"), "a_scale", product_shape)
    columns = per_column(as_scale(b_scale, "b_scale"), "b_scale", b_shape)
    worth = as_product_scale(rows, columns, "a_scale * b_scale")
    if y_scale is not None:
        y_scale = per_row(as_scale(y_scale, "y_scale"), "y_scale", product_shape)
        y_scale = y_scale.astype(np.float32)
        if y_zero_point is not None:
            shaped = per_row(as_array(y_zero_point, "y_zero_point"), "y_zero_point", product_shape)
            y_zero_point = _with_dtype_of(y_zero_point, shaped)
    output = output_of(worth, y_scale, y_zero_point, activation, a.dtype, "a_scale * b_scale")
    offset = as_bias(bias, "bias", b_shape[-1] if len(b_shape) > 1 else 1)
    if offset is None:
        offset = np.zeros((), np.int32)
    return output, offset if len(b_shape) > 1 else offset.reshape(())


# --- convolutions -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConvShape:
    """The extents of one convolution, checked; tuples have one entry for each spatial axis."""

    layout: Literal["NCHW", "NHWC"]
    batch: int
    channels: int
    spatial: tuple[int, ...]
    out_channels: int
    group: int
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads_begin: tuple[int, ...]
    pads_end: tuple[int, ...]
    out_spatial: tuple[int, ...]

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The result's shape, in `layout`."""
        if self.layout == "NHWC":
            return (self.batch, *self.out_spatial, self.out_channels)
        return (self.batch, self.out_channels, *self.out_spatial)

    @property
    def depth(self) -> int:
        """How many products one output sums: K of the equivalent matrix product."""
        return math.prod(self.kernel) * (self.channels // self.group)

    def per_channel(self, value: Array) -> Array:
        """A scalar or one entry for each output channel, to broadcast against the result."""
        if self.layout == "NCHW" and value.ndim == 1:
            return value.reshape((-1,) + (1,) * len(self.kernel))
        return value


def conv_shape(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    *,
    auto_pad: Any = "NOTSET",
    dilations: Any = None,
    group: Any = 1,
    kernel_shape: Any = None,
    pads: Any = None,
    strides: Any = None,
    layout: Any = "NCHW",
) -> ConvShape:
    """The extents of a convolution by the rules of ONNX's Conv; ValueError names what is wrong."""
    layout = _one_of(layout, "layout", *LAYOUTS)
    rank = len(w_shape) - 2
    if rank < 1:
        raise ValueError(
            f"w has shape {w_shape}; weights are (M, C / group, k1, ...), 3 dimensions or more"
        )
    if len(x_shape) != len(w_shape):
        raise ValueError(f"x has shape {x_shape}; w, of shape {w_shape}, needs as many dimensions")
    channels = x_shape[1] if layout == "NCHW" else x_shape[-1]
    spatial = x_shape[2:] if layout == "NCHW" else x_shape[1:-1]
    groups = _as_group(group)
    if channels % groups or w_shape[1] != channels // groups:
        raise ValueError(
            f"w has shape {w_shape}; with x of {channels} channels and group {groups}, "
            f"w.shape[1] must be {channels}/{groups}"
        )
    if w_shape[0] % groups:
        raise ValueError(f"group is {groups}; it must divide the {w_shape[0]} channels of w")
    kernel = w_shape[2:]
    if 0 in kernel:
        raise ValueError(f"w has shape {w_shape}; its kernel is empty")
    if kernel_shape is not None and _extents(kernel_shape, "kernel_shape", rank) != kernel:
        raise ValueError(f"kernel_shape is {tuple(kernel_shape)}; w has {kernel}")
    step = _extents(strides, "strides", rank)
    dilation = _extents(dilations, "dilations", rank)
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    begin, end = _pads(auto_pad, pads, spatial, reach, step)
    padded = tuple(b + s + e for b, s, e in zip(begin, spatial, end, strict=True))
    if max((*padded, *reach)) > LARGEST_EXTENT:
        raise ValueError(
            f"pads or dilations make an axis longer than {LARGEST_EXTENT}: {max((*padded, *reach))}"
        )
    if any(p < r for p, r in zip(padded, reach, strict=True)):
        raise ValueError(
            f"x has spatial shape {spatial}, padded {padded}; the kernel reaches over {reach}"
        )
    out = tuple((p - r) // s + 1 for p, r, s in zip(padded, reach, step, strict=True))
    if math.prod(max(extent, 1) for extent in (x_shape[0], w_shape[0], *out)) > LARGEST_RESULT:
        raise ValueError(f"pads make a result of spatial shape {out}, larger than any memory")
    return ConvShape(
        layout,
        x_shape[0],
        channels,
        spatial,
        w_shape[0],
        groups,
        kernel,
        step,
        dilation,
        begin,
        end,
        out,
    )


def _one_of(value: Any, name: str, *choices: str) -> Any:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it may be {' or '.join(map(repr, choices))}")
    return value


def _as_group(group: Any) -> int:
    groups = as_index(group, "group")
    if not 1 <= groups <= LARGEST_EXTENT:
        raise ValueError(f"group is {groups}; it must be 1 to {LARGEST_EXTENT}")
    return groups


def _extents(value: Any, name: str, rank: int) -> tuple[int, ...]:
    """`rank` integers from 1 to `LARGEST_EXTENT`; None is all ones."""
    if value is None:
        return (1,) * rank
    extents = _integers(value, name, rank)
    if any(not 1 <= extent <= LARGEST_EXTENT for extent in extents):
        raise ValueError(f"{name} is {extents}; entries must be 1 to {LARGEST_EXTENT}")
    return extents


def _as_sequence(value: Any, name: str) -> tuple[Any, ...]:
    """The entries of a sequence or a 1-D array."""
    text_or_bytes = (str, bytes, bytearray, memoryview)
    is_sequence = isinstance(value, Sequence) and not isinstance(value, text_or_bytes)
    if not is_sequence and not (isinstance(value, np.ndarray) and value.ndim == 1):
        raise TypeError(f"{name} must be a sequence of integers, not {type(value).__name__}")
    return tuple(value)


def _integers(value: Any, name: str, count: int) -> tuple[int, ...]:
    integers = tuple(as_index(entry, name) for entry in _as_sequence(value, name))
    if len(integers) != count:
        raise ValueError(f"{name} has {len(integers)} entries; it must have {count}")
    return integers


def _pads(
    auto_pad: Any,
    pads: Any,
    spatial: tuple[int, ...],
    reach: tuple[int, ...],
    strides: tuple[int, ...],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The padding before and after each spatial axis."""
    auto_pad = _one_of(auto_pad, "auto_pad", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    rank = len(spatial)
    explicit = (0,) * (2 * rank) if pads is None else _integers(pads, "pads", 2 * rank)
    if any(not 0 <= pad <= LARGEST_EXTENT for pad in explicit):
        raise ValueError(f"pads is {explicit}; entries must be 0 to {LARGEST_EXTENT}")
    if auto_pad == "NOTSET":
        return explicit[:rank], explicit[rank:]
    if any(explicit):
        raise ValueError(f"pads is given together with auto_pad {auto_pad!r}")
    if auto_pad == "VALID":
        return (0,) * rank, (0,) * rank
    totals = [
        max((-(-extent // stride) - 1) * stride + r - extent, 0)
        for extent, r, stride in zip(spatial, reach, strides, strict=True)
    ]
    small = tuple(total // 2 for total in totals)
    large = tuple(total - total // 2 for total in totals)
    return (small, large) if auto_pad == "SAME_UPPER" else (large, small)


def per_out_channel(value: Array, name: str, shape: ConvShape) -> Array:
    """A scalar, or one entry for each output channel."""
    if value.size == 1 and value.ndim <= 1:
        return value.reshape(())
    if value.shape != (shape.out_channels,):
        raise ValueError(
            f"{name} has shape {value.shape}; it must be a scalar or ({shape.out_channels},)"
        )
    return value


def per_tensor(value: Array, name: str) -> Array:
    """The one entry of a scalar parameter."""
    if value.size != 1 or value.ndim > 1:
        raise ValueError(f"{name} has shape {value.shape}; it must be a scalar")
    return value.reshape(())


def no_images(w: Array, x_zero_point: Any, dilations: Any, group: Any, layout: Any) -> Array:
    """No images, just large enough for `w`: a convolution of them checks the other arguments."""
    rank = w.ndim - 2
    if rank < 1:
        raise ValueError(
            f"w has shape {w.shape}; weights are (M, C / group, k1, ...), 3 dimensions or more"
        )
    layout = _one_of(layout, "layout", *LAYOUTS)
    dilation = _extents(dilations, "dilations", rank)
    spatial = tuple((k - 1) * d + 1 for k, d in zip(w.shape[2:], dilation, strict=True))
    channels = w.shape[1] * _as_group(group)
    shape = (0, *spatial, channels) if layout == "NHWC" else (0, channels, *spatial)
    dtype = _byte_type(x_zero_point, "x_zero_point")
    if math.prod(max(extent, 1) for extent in shape) > LARGEST_RESULT:
        raise ValueError(
            f"w has shape {w.shape}; with dilations {dilation} and group {group} "
            "it needs an input that is larger than any memory"
        )
    return np.zeros(shape, dtype)


def conv_zero_points(x: Array, w: Array, shape: ConvShape, zx: Any, zw: Any) -> tuple[Array, Array]:
    """The zero point of `x`, a scalar, and that of `w`, a scalar or ``(M,)``, as int32."""
    left = per_tensor(as_byte_zero_point(zx, "x_zero_point", x.dtype, "x"), "x_zero_point")
    right = as_byte_zero_point(zw, "w_zero_point", w.dtype, "w")
    return left, per_out_channel(right, "w_zero_point", shape)


def qlinear_conv_output(
    x: Array,
    shape: ConvShape,
    x_scale: Any,
    w_scale: Any,
    y_scale: Any,
    y_zero_point: Any,
    bias: Any,
    activation: Any,
) -> tuple[Output, Array]:
    """The output stage of ``qlinear_conv``, and the bias to add before it, both broadcasting
    against the result in its layout."""
    left = per_tensor(as_scale(x_scale, "x_scale"), "x_scale")
    right = per_out_channel(as_scale(w_scale, "w_scale"), "w_scale", shape)
    worth = shape.per_channel(as_product_scale(left, right, "x_scale * w_scale"))
    if y_scale is not None:
        y_scale = per_tensor(as_scale(y_scale, "y_scale"), "y_scale").astype(np.float32)
        if y_zero_point is not None:
            shaped = per_tensor(as_array(y_zero_point, "y_zero_point"), "y_zero_point")
            y_zero_point = _with_dtype_of(y_zero_point, shaped)
    output = output_of(worth, y_scale, y_zero_point, activation, x.dtype, "x_scale * w_scale")
    offset = as_bias(bias, "b", shape.out_channels)
    return output, np.zeros((), np.int32) if offset is None else shape.per_channel(offset)


def _with_dtype_of(given: Any, shaped: Array) -> Any:
    """`shaped`, or its list where `given` had no dtype, so that the difference is kept."""
    return shaped if has_dtype(given) else shaped.tolist()
