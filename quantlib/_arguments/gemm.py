"""The arguments of ONNX Runtime's QGemm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import (
    Array,
    as_byte_zero_point,
    as_bytes,
    as_switch,
    byte_type,
    per_tensor,
)
from quantlib._arguments.matmul import check_product, per_column
from quantlib._arguments.output import INT32, Output, output_of
from quantlib._arguments.quantized import as_tensor_scale
from quantlib.params import as_array, as_scale, has_dtype


@dataclass(frozen=True, slots=True)
class Gemm:
    """Both operands as they are multiplied, (M, K) and (K, N), and what becomes of the product."""

    a: Array
    a_zero_point: Array
    b: Array
    b_zero_point: Array
    c: npt.NDArray[np.int32]  # to add to the product, against which it broadcasts
    output: Output


def gemm_arguments(
    a: tuple[Any, Any, Any],
    b: tuple[Any, Any, Any],
    c: Any,
    y: tuple[Any, Any],
    alpha: Any,
    transposed: tuple[Any, Any],
) -> Gemm:
    """The checked arguments of ``qgemm``."""
    left = _matrix(a[0], "a", transposed[0], "transA")
    right = _matrix(b[0], "b", transposed[1], "transB")
    check_product(left.shape, right.shape)
    za = as_byte_zero_point(a[2], "a_zero_point", left.dtype, "a")
    zb = as_byte_zero_point(b[2], "b_zero_point", right.dtype, "b")
    with np.errstate(over="ignore", under="ignore"):
        rows = np.asarray(as_tensor_scale(alpha, "alpha") * as_tensor_scale(a[1], "a_scale"))
    columns = per_column(as_scale(b[1], "b_scale"), "b_scale", right.shape)
    y_scale, y_zero_point = y
    if y_scale is not None:
        y_scale = np.asarray(as_tensor_scale(y_scale, "y_scale"))
        if y_zero_point is not None:
            per_tensor(as_array(y_zero_point, "y_zero_point"), "y_zero_point")
    names = "alpha * a_scale * b_scale"
    output = output_of(rows, columns, y_scale, y_zero_point, None, None, left.dtype, names)
    return Gemm(
        left,
        per_tensor(za, "a_zero_point"),
        right,
        per_column(zb, "b_zero_point", right.shape),
        _addend(c, (left.shape[0], right.shape[1])),
        output,
    )


def _matrix(value: Any, name: str, transposed: Any, flag: str) -> Array:
    matrix = as_bytes(value, name)
    if matrix.ndim != 2:
        raise ValueError(f"{name} has shape {matrix.shape}; it must have 2 dimensions")
    return matrix.T if as_switch(transposed, flag) else matrix


def _addend(c: Any, shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    """`c` as int32; it must broadcast to `shape`."""
    if c is None:
        return np.zeros((), np.int32)
    array = as_array(c, "c")
    if array.dtype != np.int32:
        if has_dtype(c) or array.dtype.kind not in "iu":
            raise TypeError(f"c must be int32, not {array.dtype}")
        if array.size and not (INT32.min <= array.min() and array.max() <= INT32.max):
            raise ValueError(f"c must fit int32; it holds {array.flat[np.abs(array).argmax()]}")
        array = array.astype(np.int32)
    try:
        np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"c has shape {array.shape}; it must broadcast to {shape}") from None
    return array


def fewest_rows(b: Array, given: dict[str, Any]) -> Array:
    """A left operand of as few rows as `c` allows: a product with it checks the other arguments.
    It takes no memory."""
    c = given["c"]
    rows = np.shape(c)[0] if c is not None and np.ndim(c) == 2 else 1
    depth = _matrix(b, "b", given["transB"], "transB").shape[0]
    shape = (depth, rows) if as_switch(given["transA"], "transA") else (rows, depth)
    zero = np.zeros((), byte_type(given["a_zero_point"], "a_zero_point"))
    return np.broadcast_to(zero, shape)
