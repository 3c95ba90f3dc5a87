"""Reals to codes and back: ``real = scale * (code - zero_point)``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.affine import (
    AffineArguments,
    clip_arguments,
    dequantize_arguments,
    dequantize_linear_arguments,
    dynamic_range,
    quantize_arguments,
    quantize_linear_arguments,
    require_finite,
    require_nonempty,
    split_axis,
)
from quantlib._arguments.arrays import Array, as_float32, as_real, deliver
from quantlib.params import QuantParams


def quantize(x: npt.ArrayLike, params: QuantParams, *, out: Array | None = None) -> Array:
    """Reals to codes: ``saturate(rint(x / scale) + zero_point)``.

    Parameters
    ----------
    x : array_like of float
        Data of any shape. It is first converted to the precision of the division: float64 when
        ``params.scale`` is float64, otherwise float32 (float16 data and scales convert exactly).
    params : QuantParams
        Per-tensor, per-channel or blocked parameters that fit the shape of `x`.
    out : numpy.ndarray, optional
        Where to write the codes.

    Returns
    -------
    numpy.ndarray
        Codes of the shape of `x`, of type ``params.qtype.dtype``.

    Raises
    ------
    TypeError
        If `x` is not numeric, `params` not a `QuantParams`, or `out` of another type.
    ValueError
        If the shapes do not fit.

    Notes
    -----
    ``rint`` rounds half to even, and the zero point is added after it. Saturation happens among
    floats, so that values beyond any integer, infinities included, become ``qmin`` or ``qmax``.
    NaN becomes the zero point. Source: ONNX QuantizeLinear,
    https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html.

    Examples
    --------
    >>> from quantlib import QuantParams, reference
    >>> p = QuantParams(0.5, 1, "int8")
    >>> reference.quantize([-1e9, -0.75, 0.0, 0.25, 0.75, float("inf"), float("nan")], p)
    array([-128,   -1,    1,    1,    3,  127,    1], dtype=int8)
    """
    return deliver(_to_codes(quantize_arguments(x, params)), out)


def dequantize(codes: npt.ArrayLike, params: QuantParams, *, out: Array | None = None) -> Array:
    """Codes to reals: ``scale * (codes - zero_point)``.

    Parameters
    ----------
    codes : array_like of int
        Codes of any shape, stored as ``params.qtype.dtype`` (or as a small integer type of
        ml_dtypes).
    params : QuantParams
        Per-tensor, per-channel or blocked parameters that fit the shape of `codes`.
    out : numpy.ndarray, optional
        Where to write the reals.

    Returns
    -------
    numpy.ndarray
        Reals of the shape of `codes`, of the type of ``params.scale``. The difference is exact,
        the product rounded once (float16 results: in float32, then to float16).

    Raises
    ------
    TypeError
        If `codes` do not have the type that `params` names, or `out` has another type.
    ValueError
        If the shapes do not fit.

    Notes
    -----
    Source: ONNX DequantizeLinear, https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import QuantParams, reference
    >>> reference.dequantize(np.array([-128, 1, 3], np.int8), QuantParams(0.5, 1, "int8"))
    array([-64.5,   0. ,   1. ], dtype=float32)
    """
    return deliver(_to_reals(dequantize_arguments(codes, params)), out)


def fake_quantize(x: npt.ArrayLike, params: QuantParams, *, out: Array | None = None) -> Array:
    """What quantization does to `x`, in reals: ``dequantize(quantize(x, params), params)``.

    Parameters
    ----------
    x : array_like of float
        Data of any shape.
    params : QuantParams
        As in `quantize`.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        The nearest representable reals, of the shape of `x` and the type of ``params.scale``.

    Raises
    ------
    TypeError, ValueError
        As `quantize` and `dequantize`.

    Examples
    --------
    >>> from quantlib import QuantParams, reference
    >>> reference.fake_quantize([0.1, 0.4, 100.0], QuantParams(0.25, 0, "int8"))
    array([ 0.  ,  0.5 , 31.75], dtype=float32)
    """
    return deliver(dequantize(quantize(x, params), params), out)


def clip(x: npt.ArrayLike, lower: float, upper: float, *, out: Array | None = None) -> Array:
    """`x` kept between two reals: ``min(max(x, lower), upper)``.

    Parameters
    ----------
    x : array_like of float
        Data of any shape.
    lower, upper : float
        The bounds, ``lower <= upper``; infinities are allowed. They are rounded to the type of
        `x`.
    out : numpy.ndarray, optional
        Where to write the result; `x` itself is allowed.

    Returns
    -------
    numpy.ndarray
        Of the shape and type of `x`. NaN stays NaN, and a value equal to a bound stays as it is.

    Raises
    ------
    TypeError
        If `x` or a bound is not numeric.
    ValueError
        If a bound is NaN or `lower` exceeds `upper`.

    Notes
    -----
    Source: ONNX Clip, https://onnx.ai/onnx/operators/onnx__Clip.html.

    Examples
    --------
    >>> from quantlib import reference
    >>> reference.clip([-2.0, 0.5, 9.0], 0.0, 6.0)
    array([0. , 0.5, 6. ])
    """
    data, low, high = clip_arguments(x, lower, upper)
    return deliver(np.where(data < low, low, np.where(data > high, high, data)), out)


def min_max(
    x: npt.ArrayLike, *, axis: int | None = None, block_size: int | None = None
) -> tuple[Array, Array]:
    """The smallest and the largest value of each group that shares quantization parameters.

    Parameters
    ----------
    x : array_like of float
        Data of any shape; every group must hold an element.
    axis : int, optional
        None: one pair for the tensor. Otherwise one pair for each index along this axis.
    block_size : int, optional
        With `axis`: one pair for each block of this length along it, the last one possibly
        shorter.

    Returns
    -------
    lo, hi : numpy.ndarray
        Of the type of `x`, shaped as the scales would be: ``()``, ``(C,)``, or the shape of `x`
        with ``ceil(D / block_size)`` along `axis`. A group that holds NaN gives ``numpy.nan``;
        a zero is +0.0.

    Raises
    ------
    TypeError
        If `x` is not numeric or `axis` or `block_size` not an integer.
    ValueError
        If `x` has no such axis, or a group is empty.

    Examples
    --------
    >>> from quantlib import reference
    >>> reference.min_max([[1.0, -2.0], [3.0, 5.0]], axis=0)
    (array([-2.,  3.]), array([1., 5.]))
    """
    data = as_real(x, "x")
    groups = split_axis(data.shape, axis, block_size)
    require_nonempty(data)
    cube = data.reshape(groups.outer, groups.length, groups.inner)
    if groups.kind == "per-tensor":
        return _ends(data, None, ())
    if groups.kind == "per-channel":
        return _ends(cube, (0, 2), (groups.length,))
    blocks = -(-groups.length // groups.block)
    filler = np.repeat(cube[:, -1:], blocks * groups.block - groups.length, axis=1)
    cube = np.concatenate([cube, filler], axis=1)
    shape = (*data.shape[: groups.axis], blocks, *data.shape[groups.axis + 1 :])
    return _ends(cube.reshape(groups.outer, blocks, groups.block, groups.inner), 2, shape)


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
    """ONNX's QuantizeLinear on arrays: ``saturate(rint(x / y_scale) + y_zero_point)``.

    Parameters
    ----------
    x : array_like of float
        Data of any shape.
    y_scale : array_like of float
        Finite and positive: a scalar, ``(C,)`` for an axis of C channels, or with `block_size`
        the shape of `x` but ``ceil(D / block_size)`` along `axis`. A float64 scale makes the
        division float64; otherwise it is float32.
    y_zero_point : array_like of int, optional
        In the shape of `y_scale`; its dtype (int8, uint8, int16, uint16, or int4, uint4, int2,
        uint2 of ml_dtypes) is the type of the codes. None is 0.
    axis : int
        Channel or block axis; not looked at when `y_scale` is a scalar.
    block_size : int
        0 for none, else the length of a block; the last one may be shorter.
    output_dtype : dtype, optional
        The type of the codes when `y_zero_point` does not say it; uint8 by default.
    out : numpy.ndarray, optional
        Where to write the codes.

    Returns
    -------
    numpy.ndarray
        Codes of the shape of `x`.

    Raises
    ------
    TypeError
        If a type is not one of those above; float8 and float4 codes are not supported.
    ValueError
        If a scale is not finite and positive, or shapes, `axis` and `block_size` do not fit.

    Notes
    -----
    Source: https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html. See `quantize` for NaN,
    infinities and rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> reference.quantize_linear([[0.0, 3.0], [-1.0, 1000.0]], [1.0, 4.0], np.uint8([1, 2]))
    array([[  1,   3],
           [  0, 252]], dtype=uint8)
    """
    call = quantize_linear_arguments(x, y_scale, y_zero_point, axis, block_size, output_dtype)
    return deliver(_to_codes(call), out)


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
    """ONNX's DequantizeLinear on arrays: ``x_scale * (x - x_zero_point)``.

    Parameters
    ----------
    x : array_like of int
        Codes of any shape: int8, uint8, int16, uint16, int32, or a small type of ml_dtypes.
    x_scale : array_like of float
        As ``y_scale`` of `quantize_linear`.
    x_zero_point : array_like of int, optional
        In the shape of `x_scale` and the type of `x`; None is 0, and so it must be for int32.
    axis, block_size : int
        As in `quantize_linear`.
    output_dtype : dtype, optional
        float16, float32 or float64; the type of `x_scale` by default.
    out : numpy.ndarray, optional
        Where to write the reals.

    Returns
    -------
    numpy.ndarray
        Reals of the shape of `x`.

    Raises
    ------
    TypeError
        If a type is not one of those above; float8 and float4 codes are not supported.
    ValueError
        If a scale is not finite and positive, or shapes, `axis` and `block_size` do not fit.

    Notes
    -----
    Source: https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html. The difference is exact;
    int32 codes are rounded to the precision of the product, float64 for float64 scales and
    float32 otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> reference.dequantize_linear(np.uint8([0, 3, 128, 255]), 2.0, np.uint8(128))
    array([-256., -250.,    0.,  254.], dtype=float32)
    """
    call = dequantize_linear_arguments(x, x_scale, x_zero_point, axis, block_size, output_dtype)
    return deliver(_to_reals(call), out)


def dynamic_quantize_linear(x: npt.ArrayLike) -> tuple[Array, Array, Array]:
    """ONNX's DynamicQuantizeLinear: uint8 codes by the range of `x` itself, widened to hold 0.

    Parameters
    ----------
    x : array_like of float
        Finite data of any shape; float16 and float64 are converted to float32.

    Returns
    -------
    y : numpy.ndarray
        uint8 codes of the shape of `x`.
    y_scale : numpy.ndarray
        float32 scalar, ``(max(x, 0) - min(x, 0)) / 255``; 1 where that is 0, at least 2**-126.
    y_zero_point : numpy.ndarray
        uint8 scalar, ``saturate(rint(0 - min(x, 0) / y_scale))``.

    Raises
    ------
    TypeError
        If `x` is not numeric.
    ValueError
        If `x` holds NaN or an infinity, or a float64 beyond float32.

    Notes
    -----
    Source: https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html. An empty `x` has
    scale 1 and zero point 0.

    Examples
    --------
    >>> from quantlib import reference
    >>> y, scale, zero_point = reference.dynamic_quantize_linear([-1.0, 0.0, 1.55])
    >>> y, scale, zero_point
    (array([  0, 100, 255], dtype=uint8), array(0.01, dtype=float32), array(100, dtype=uint8))
    """
    return dynamic_codes(as_float32(x, "x"), "x", None)


def dynamic_codes(x: Array, name: str, axis: int | None) -> tuple[Array, Array, Array]:
    """uint8 codes of `x` by its range, or by its ranges along `axis`, and the parameters."""
    keep = axis is not None
    with np.errstate(invalid="ignore"):
        lo, hi = (end(x, axis=axis, keepdims=keep, initial=0) for end in (np.min, np.max))
    require_finite(lo, hi, name)
    scale, zero_point = dynamic_range(lo, hi)
    with np.errstate(under="ignore"):
        codes = np.clip(np.rint(x / scale) + zero_point, 0, 255)
    return codes.astype(np.uint8), scale, zero_point


def _to_codes(call: AffineArguments) -> Array:
    """``saturate(rint(x / scale) + zero_point)``, saturated among floats."""
    data, p, groups = call
    scale = groups.spread(p.scale.astype(p.working), data.shape)
    zero_point = groups.spread(p.zero_point.astype(np.int32), data.shape)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        steps = np.rint(data.astype(p.working) / scale)
    steps = np.where(np.isnan(steps), p.working.type(0), steps)
    steps = np.clip(
        steps,
        (p.qtype.qmin - zero_point).astype(p.working),
        (p.qtype.qmax - zero_point).astype(p.working),
    )
    return (steps.astype(np.int32) + zero_point).astype(p.qtype.dtype).astype(p.storage, copy=False)


def _to_reals(call: AffineArguments) -> Array:
    """``scale * (code - zero_point)``, the difference exact."""
    data, p, groups = call
    scale = groups.spread(p.scale.astype(p.working), data.shape)
    zero_point = groups.spread(p.zero_point.astype(np.int32), data.shape)
    with np.errstate(over="ignore", under="ignore"):
        reals = (data.astype(np.int32) - zero_point).astype(p.working) * scale
        return reals.astype(p.result)


def _ends(data: Array, axes: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Minimum and maximum over `axes`; adding 0 turns -0.0 into +0.0, whichever came first, and
    any NaN becomes the one that ``numpy.nan`` is."""
    zero, nan = data.dtype.type(0), data.dtype.type(np.nan)
    with np.errstate(invalid="ignore"):
        lo, hi = np.min(data, axis=axes) + zero, np.max(data, axis=axes) + zero
    lo, hi = np.where(np.isnan(lo), nan, lo), np.where(np.isnan(hi), nan, hi)
    return lo.reshape(shape), hi.reshape(shape)
