"""The arguments of integer matrix products."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from quantlib._arguments.arrays import (
    FLOAT32,
    Array,
    as_byte_zero_point,
    byte_type,
    per_tensor,
    with_dtype_of,
)
from quantlib._arguments.output import (
    Output,
    as_bias,
    as_real_bias,
    check_multiplier,
    output_of,
)
from quantlib.params import as_array, as_scale


def check_product(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    """Raise unless ``numpy.matmul`` is defined for these shapes."""
    if len(a_shape) == len(b_shape) == 2 and a_shape[1] == b_shape[0]:
        return
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
    if value.ndim == 0:
        return value
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
    if value.ndim == 0:
        return value
    if value.size == 1 and value.ndim <= 1:
        return value.reshape(())
    if len(shape) > 1 and value.shape == (shape[-1],):
        return value
    if value.ndim >= 2 and value.shape == (*shape[:-2], 1, shape[-1]):
        return value
    columns = f" or ({shape[-1]},) or {(*shape[:-2], 1, shape[-1])}" if len(shape) > 1 else ""
    raise ValueError(f"{name} has shape {value.shape}; it must be a scalar{columns}")


def matmul_zero_points(a: Array, b: Array, za: Any, zb: Any) -> tuple[Array, Array]:
    """Both zero points as int32, broadcasting against their operands' rows and columns."""
    check_product(a.shape, b.shape)
    left = as_byte_zero_point(za, "a_zero_point", a.dtype, "a")
    right = as_byte_zero_point(zb, "b_zero_point", b.dtype, "b")
    return (
        per_row(left, "a_zero_point", a.shape),
        per_column(right, "b_zero_point", b.shape),
    )


def check_scalars(parameters: dict[str, Any], *names: str) -> None:
    """Raise unless each of these parameters of a prepared product is a scalar or None."""
    for name in names:
        if parameters[name] is not None:
            per_tensor(as_array(parameters[name], name), name)


def no_rows(b: Array, a_zero_point: Any) -> Array:
    """An operand of no rows for `b`: a product with it checks all the other arguments."""
    if b.ndim == 0:
        raise ValueError("b is a scalar; a matrix product needs 1 dimension or more")
    dtype = byte_type(a_zero_point, "a_zero_point")
    return np.zeros((0, b.shape[-2] if b.ndim > 1 else b.shape[0]), dtype)


def dynamic_matmul_output(
    a: Array, b: Array, b_scale: Any, b_zero_point: Any, bias: Any, activation: Any
) -> tuple[Array, Output]:
    """The zero point of `b`, and the output stage of ``dynamic_quantize_matmul`` before the scale
    of `a`, which becomes its row factor, is known."""
    check_product(a.shape, b.shape)
    zero_point = as_byte_zero_point(b_zero_point, "b_zero_point", b.dtype, "b")
    zero_point = per_column(zero_point, "b_zero_point", b.shape)
    columns = per_column(as_scale(b_scale, "b_scale"), "b_scale", b.shape)
    real = as_real_bias(bias, "bias", b.shape[-1] if b.ndim > 1 else 1)
    one = np.ones((), np.float32)
    output = output_of(one, columns, None, None, activation, real, FLOAT32, "b_scale")
    return zero_point, output


def with_scale(output: Output, a_scale: Array) -> Output:
    """`output` for an operand whose scale has become known; ValueError if the product of the
    scales overflows."""
    check_multiplier(a_scale, output.column_factor, None, "the scale of a, times b_scale,")
    return replace(output, row_factor=a_scale)


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
    if y_scale is not None:
        y_scale = per_row(as_scale(y_scale, "y_scale"), "y_scale", product_shape)
        if y_zero_point is not None:
            shaped = per_row(as_array(y_zero_point, "y_zero_point"), "y_zero_point", product_shape)
            y_zero_point = with_dtype_of(y_zero_point, shaped)
    n = b_shape[-1] if len(b_shape) > 1 else 1
    offset, real = as_bias(bias, "bias", n, to_real=y_scale is None)
    output = output_of(
        rows, columns, y_scale, y_zero_point, activation, real, a.dtype, "a_scale * b_scale"
    )
    return output, np.zeros((), np.int32) if offset is None else offset
