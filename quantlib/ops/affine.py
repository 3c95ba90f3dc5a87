"""Reals to codes and back, in C."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.affine import (
    AffineArguments,
    AffineParameters,
    Granularity,
    clip_arguments,
    dequantize_arguments,
    dequantize_linear_arguments,
    not_finite,
    quantize_arguments,
    quantize_linear_arguments,
    require_nonempty,
    split_axis,
)
from quantlib._arguments.arrays import FLOAT32, INT32, Array, as_codes, as_real, deliver
from quantlib.ops._remembered import Remembered, key_of
from quantlib.ops._results import empty, room, settle
from quantlib.params import QType, QuantParams

UINT8 = QType("uint8")


def quantize(x: npt.ArrayLike, params: QuantParams, *, out: Array | None = None) -> Array:
    if (y := _plainly("quantize", x, _made(params), out)) is not None:
        return y
    return _to_codes(quantize_arguments(x, params), out)


def dequantize(codes: npt.ArrayLike, params: QuantParams, *, out: Array | None = None) -> Array:
    if (y := _plainly("dequantize", codes, _made(params), out)) is not None:
        return y
    return _to_reals(dequantize_arguments(codes, params), out)


def fake_quantize(x: npt.ArrayLike, params: QuantParams, *, out: Array | None = None) -> Array:
    if (y := _plainly("fake_quantize", x, _made(params), out)) is not None:
        return y
    data, p, groups = quantize_arguments(x, params)
    data = _native.ready(data, p.working)
    if p.result == p.working:
        reals = room(out, data.shape, p.result, data)
        _native.fake_quantize(data, reals, p, groups)
        return settle(reals, out)
    reals = np.empty(data.shape, p.working)
    _native.fake_quantize(data, reals, p, groups)
    return deliver(_narrow(reals, p), out)


def clip(x: npt.ArrayLike, lower: float, upper: float, *, out: Array | None = None) -> Array:
    data, low, high = clip_arguments(x, lower, upper)
    return deliver(np.clip(data, low, high), out)


def min_max(
    x: npt.ArrayLike, *, axis: int | None = None, block_size: int | None = None
) -> tuple[Array, Array]:
    if axis is None and block_size is None and type(x) is np.ndarray:
        lo, hi = np.empty((), x.dtype), np.empty((), x.dtype)
        status = _native.min_max_by_address(id(x), id(lo), id(hi))
        if not status:
            return lo, hi
        _native.declined(status)
    data = as_real(x, "x")
    groups = split_axis(data.shape, axis, block_size)
    require_nonempty(data)
    working = data.dtype if data.dtype != np.float16 else FLOAT32
    if groups.kind == "per-tensor":
        shape: tuple[int, ...] = ()
    elif groups.kind == "per-channel":
        shape = (groups.length,)
    else:
        blocks = groups.parameter_shape[1]
        shape = (*data.shape[: groups.axis], blocks, *data.shape[groups.axis + 1 :])
    lo, hi = np.empty(shape, working), np.empty(shape, working)
    _native.min_max(_native.ready(data, working), lo, hi, groups)
    return (lo, hi) if working is data.dtype else (lo.astype(data.dtype), hi.astype(data.dtype))


def quantize_linear(
    x: npt.ArrayLike,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: npt.DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    data = as_real(x, "x")
    parameters = y_scale, y_zero_point, axis, block_size, output_dtype
    known = made, groups = _known(quantize_linear_arguments, data, data.shape, parameters)
    if groups.kind == "per-tensor" and (y := _plainly("quantize", data, made, out)) is not None:
        return y
    return _to_codes((data, *known), out)


def dequantize_linear(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: npt.DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    data, qtype = as_codes(x, "x", also_int32=True)
    parameters = x_scale, x_zero_point, axis, block_size, output_dtype
    kind = data.shape, None if qtype is None else qtype.name
    known = made, groups = _known(dequantize_linear_arguments, x, kind, parameters)
    if groups.kind == "per-tensor" and (y := _plainly("dequantize", data, made, out)) is not None:
        return y
    return _to_reals((data, *known), out)


def dynamic_quantize_linear(x: npt.ArrayLike) -> tuple[Array, Array, Array]:
    data = _native.ready(as_real(x, "x"), FLOAT32)
    groups = split_axis(data.shape, None, None)
    ends = np.zeros((1, 2), FLOAT32)
    if data.size:
        _native.min_max(data, ends[0, :1], ends[0, 1:], groups)
    scale, zero_point = np.empty((), FLOAT32), np.empty((), INT32)
    if not _native.dynamic_range(ends, scale, zero_point):  # that of all is that of the ends
        raise not_finite("x")
    zero_point = zero_point.astype(np.uint8)
    codes = np.empty(data.shape, np.uint8)
    _native.quantize(data, codes, AffineParameters(scale, zero_point, UINT8), groups)
    return codes, scale, zero_point


_KNOWN: Remembered[tuple[AffineParameters, Granularity]] = Remembered()


def _known(
    arguments: Any, x: Any, kind: Any, parameters: tuple[Any, ...]
) -> tuple[AffineParameters, Granularity]:
    """What the `arguments` of an operation make of the parameters for data `x`, which matter only
    by their `kind`: remembered."""
    kind = arguments, kind
    known = _KNOWN.again(kind, parameters)
    if known is not None:
        return known
    values = key_of(*parameters)
    key = None if values is None else (kind, values)
    known = _KNOWN.get(key)
    if known is not None:
        _KNOWN.hold(kind, parameters, known)
    else:
        _, made, granularity = arguments(x, *parameters)
        known = made, granularity
        if key is not None:
            made.scale, made.private = made.scale.copy(), True
            _KNOWN.keep(key, known)
    return known


def _made(params: Any) -> AffineParameters | None:
    """What one parameter for all was made into by a call before."""
    if type(params) is not QuantParams or params.axis is not None:
        return None
    return params.__dict__.get("_affine")


def _plainly(name: str, x: Any, made: AffineParameters | None, out: Any) -> Array | None:
    """An operation on an array that C reads where it is, with one parameter for all, or None if it
    has to be asked for in another way."""
    if type(x) is not np.ndarray or made is None:
        return None
    entry = made.calls.get(name)
    if entry is None:
        dtype = made.storage if name == "quantize" else made.result
        plain = made.storage == made.zero_point.dtype and made.result == made.working
        call = _native.affine_by_address(name, made) if plain else None
        entry = made.calls[name] = call, dtype
    call, dtype = entry
    if call is None:
        return None
    y = empty(x.shape, dtype) if out is None else out
    status = call(id(x), id(y))
    if status:
        _native.declined(status)
        return None
    return y


def _to_codes(call: AffineArguments, out: Array | None) -> Array:
    data, p, groups = call
    data = _native.ready(data, p.working)
    if p.storage == p.zero_point.dtype:
        codes = _room(out, p.storage, data, p)
        _native.quantize(data, codes, p, groups)
        return codes if out is codes or out is None else settle(codes, out)
    codes = np.empty(data.shape, p.zero_point.dtype)
    _native.quantize(data, codes, p, groups)
    return deliver(codes.astype(p.storage), out)


def _to_reals(call: AffineArguments, out: Array | None) -> Array:
    data, p, groups = call
    data = _native.ready(data, data.dtype)
    if p.result == p.working:
        reals = _room(out, p.result, data, p)
        _native.dequantize(data, reals, p, groups)
        return reals if out is reals or out is None else settle(reals, out)
    reals = np.empty(data.shape, p.working)
    _native.dequantize(data, reals, p, groups)
    return deliver(_narrow(reals, p), out)


def _room(out: Any, dtype: np.dtype[Any], data: Array, parameters: AffineParameters) -> Array:
    """Room for the result, which may not overlap what is read; zero points are always copies."""
    if parameters.private:
        return room(out, data.shape, dtype, data)
    return room(out, data.shape, dtype, data, parameters.scale)


def _narrow(reals: Array, parameters: AffineParameters) -> Array:
    """Reals of the working precision in the type that the caller sees."""
    with np.errstate(over="ignore", under="ignore"):
        return reals.astype(parameters.result)
