"""The arguments of reals to codes and back."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from quantlib._arguments.arrays import (
    FLOAT32,
    FLOAT64,
    REAL_TYPES,
    WHOLE,
    Array,
    as_codes,
    as_dtype,
    as_real,
    own_dtype,
    small_type,
)
from quantlib.params import QType, QuantParams, as_array, as_index, as_scale, as_zero_point

UINT8: np.dtype[Any] = np.dtype(np.uint8)


class Granularity(NamedTuple):
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
        return _undivided(math.prod(shape))
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


@lru_cache(maxsize=256)
def _undivided(size: int) -> Granularity:
    """One parameter for all."""
    return Granularity("per-tensor", 0, 1, 1, size, 1)


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


class AffineParameters:
    """Checked scales and zero points, with what has been derived from them.

    Attributes
    ----------
    scale, zero_point, qtype
        As in `QuantParams`.
    working
        The precision of the division and the product: float64 for float64 scales.
    storage, result
        The types of the codes and of the reals that the caller sees.
    private
        Whether nobody else can reach the arrays.
    recent
        The shape of the last data that had these parameters, and their granularity on it.
    native
        What the kernels want, if they have been called.
    calls
        Operations on plain arrays, by name, if they have been called.
    """

    __slots__ = (
        "calls",
        "native",
        "private",
        "qtype",
        "recent",
        "result",
        "scale",
        "storage",
        "working",
        "zero_point",
    )

    def __init__(
        self, scale: Array, zero_point: Array, qtype: QType, *, private: bool = False
    ) -> None:
        self.scale = scale
        self.zero_point = zero_point
        self.qtype = qtype
        self.working = FLOAT64 if scale.dtype == FLOAT64 else FLOAT32
        self.storage, self.result = qtype.dtype, scale.dtype
        self.private = private
        self.recent: tuple[tuple[int, ...], Granularity] | None = None
        self.native: Any = None
        self.calls: dict[str, Any] = {}


# One checked call of quantize or dequantize: a plain tuple, because small calls are many.
AffineArguments = tuple[Array, AffineParameters, Granularity]


def quantize_arguments(x: Any, params: Any) -> AffineArguments:
    """The checked arguments of ``quantize(x, params)``."""
    if not isinstance(params, QuantParams):
        raise _not_params(params)
    return _with_params(as_real(x, "x"), params)


def dequantize_arguments(codes: Any, params: Any) -> AffineArguments:
    """The checked arguments of ``dequantize(codes, params)``."""
    if not isinstance(params, QuantParams):
        raise _not_params(params)
    if type(codes) is np.ndarray and codes.dtype is params.zero_point.dtype:
        return _with_params(codes, params)  # nearly always, so it had better be quick
    data, _ = as_codes(codes, "codes")
    if data.dtype != params.zero_point.dtype:
        raise TypeError(
            f"codes are {data.dtype}; {params.qtype.name} codes are stored as {params.qtype.dtype}"
        )
    return _with_params(data, params)


def _not_params(params: Any) -> TypeError:
    return TypeError(f"params must be a QuantParams, not {type(params).__name__}")


def _with_params(data: Array, params: QuantParams) -> AffineArguments:
    parameters: AffineParameters = params.__dict__.get("_affine") or _parameters_of(params)
    shape, recent = data.shape, parameters.recent
    if recent is None or recent[0] != shape:
        granularity = split_axis(shape, params.axis, params.block_size)
        check_parameter_shape(shape, params.scale, granularity, "scale")
        parameters.recent = recent = shape, granularity
    return data, parameters, recent[1]


def _parameters_of(params: QuantParams) -> AffineParameters:
    """What is derived from `params`, which never change, kept with them."""
    made = AffineParameters(params.scale, params.zero_point, params.qtype, private=True)
    params.__dict__["_affine"] = made
    return made


def quantize_linear_arguments(
    x: Any, y_scale: Any, y_zero_point: Any, axis: Any, block_size: Any, output_dtype: Any
) -> AffineArguments:
    """The checked arguments of ``quantize_linear``."""
    data = as_real(x, "x")
    scale = as_scale(y_scale, "y_scale")
    storage = UINT8 if output_dtype is None else as_dtype(output_dtype, "output_dtype")
    given = own_dtype(y_zero_point, "y_zero_point")
    if given is not None:
        if output_dtype is not None and storage != given:
            raise ValueError(f"output_dtype is {storage}, but y_zero_point is {given}")
        storage = given
    qtype = WHOLE.get(storage) or small_type(storage)
    if qtype is None:
        name = "output_dtype" if given is None else "y_zero_point"
        raise TypeError(
            f"{name} must be int8, uint8, int16, uint16 or a small integer type of "
            f"ml_dtypes, not {storage} (floating-point codes such as float8 are not supported)"
        )
    granularity = granularity_of(data.shape, scale, axis, block_size, "y_scale")
    zero_point = _matching_zero_point(y_zero_point, "y_zero_point", qtype, scale, "y_scale")
    parameters = AffineParameters(scale, zero_point, qtype)
    parameters.storage = storage
    return data, parameters, granularity


def dequantize_linear_arguments(
    x: Any, x_scale: Any, x_zero_point: Any, axis: Any, block_size: Any, output_dtype: Any
) -> AffineArguments:
    """The checked arguments of ``dequantize_linear``; int32 codes carry ``QType("int16")`` and
    a zero point of 0, which is all that they may have."""
    data, qtype = as_codes(x, "x", also_int32=True)
    scale = as_scale(x_scale, "x_scale")
    result = scale.dtype if output_dtype is None else as_dtype(output_dtype, "output_dtype")
    if result not in REAL_TYPES:
        raise TypeError(f"output_dtype must be float16, float32 or float64, not {result}")
    granularity = granularity_of(data.shape, scale, axis, block_size, "x_scale")
    given, owner = own_dtype(x_zero_point, "x_zero_point"), as_array(x, "x").dtype
    if given is not None and given != owner:
        raise TypeError(f"x_zero_point is {given}; it must have the type of x, {owner}")
    if qtype is None:
        if x_zero_point is not None and np.any(_as_zeros(x_zero_point, "x_zero_point")):
            raise ValueError("x_zero_point must be 0 or None for int32 codes")
        x_zero_point, qtype = None, QType("int16")
    zero_point = _matching_zero_point(x_zero_point, "x_zero_point", qtype, scale, "x_scale")
    parameters = AffineParameters(scale, zero_point, qtype)
    parameters.result = result
    return data, parameters, granularity


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
    if array.shape == scale.shape:
        return array
    if not array.size == scale.size == 1:
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


def require_finite(lo: Any, hi: Any, name: str = "x") -> None:
    """Raise if the ends of the data are not finite."""
    if not (np.all(np.isfinite(lo)) and np.all(np.isfinite(hi))):
        raise not_finite(name)


def not_finite(name: str) -> ValueError:
    return ValueError(f"{name} must be finite in float32; it holds NaN or infinity")


def dynamic_range(lo: Any, hi: Any) -> tuple[Array, Array]:
    """Scales and zero points of ONNX's DynamicQuantizeLinear for data from `lo` to `hi`.

    Float32 throughout, as the specification computes; a range that float32 cannot subtract is
    divided first, one so small that its scale would be subnormal gets 2**-126, and one of zeros 1.
    """
    low = np.minimum(lo, 0, dtype=np.float32)
    high = np.maximum(hi, 0, dtype=np.float32)
    with np.errstate(over="ignore", under="ignore"):
        scale = (high - low) / np.float32(255)
        divided_first = high.astype(np.float64) / 255 - low.astype(np.float64) / 255
    scale = np.where(np.isfinite(scale), scale, divided_first.astype(np.float32))
    scale = np.where(low == high, np.float32(1), np.maximum(scale, np.finfo(np.float32).tiny))
    return scale, np.asarray(np.clip(np.rint(-low / scale), 0, 255).astype(np.uint8))
