"""Integer matrix products and their quantized forms.

The sums are formed in float64, where integers up to 2**53 are exact in any order; an entry is at
most ``K * 255 * 255``, so that holds for every K below 1.3e11.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array, as_bytes, as_flag, as_float32, deliver
from quantlib._arguments.matmul import (
    check_scalars,
    dynamic_matmul_output,
    matmul_zero_points,
    no_rows,
    qlinear_matmul_output,
    with_scale,
)
from quantlib._arguments.output import Activation, Output
from quantlib._arguments.prepared import Prepared, own_arguments
from quantlib.reference.affine import dynamic_codes
from quantlib.reference.requantize import exact_int32, finish


def matmul_integer(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    a_zero_point: npt.ArrayLike | None = None,
    b_zero_point: npt.ArrayLike | None = None,
    *,
    out: Array | None = None,
) -> Array:
    """ONNX's MatMulInteger: ``(a - a_zero_point) @ (b - b_zero_point)``, exact in int32.

    Parameters
    ----------
    a : array_like of int8 or uint8, shape (..., M, K)
        Left operand; dimensions as `numpy.matmul` takes them, 1-D included.
    b : array_like of int8 or uint8, shape (..., K, N)
        Right operand; its type need not be that of `a`.
    a_zero_point : array_like of int, optional
        In the type of `a`: a scalar, one entry a row ``(M,)``, or ``(..., M, 1)``.
    b_zero_point : array_like of int, optional
        In the type of `b`: a scalar, one entry a column ``(N,)``, or ``(..., 1, N)``.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray of int32, shape (..., M, N)
        Zeros where K is 0.

    Raises
    ------
    TypeError
        If an operand is not int8 or uint8, or a zero point has another type than its operand.
    ValueError
        If the shapes do not fit.
    OverflowError
        If an entry does not fit int32, which needs a K above 33,025. Nothing wraps.

    Notes
    -----
    Source: https://onnx.ai/onnx/operators/onnx__MatMulInteger.html.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> a = np.uint8([[11, 7, 3], [10, 6, 2]])
    >>> b = np.int8([[1, 4], [2, 5], [3, -6]])
    >>> reference.matmul_integer(a, b, np.uint8(12))
    array([[-38, 25],
           [-44, 22]], dtype=int32)
    """
    left, right = as_bytes(a, "a"), as_bytes(b, "b")
    za, zb = matmul_zero_points(left, right, a_zero_point, b_zero_point)
    return deliver(exact_int32(_sums(left, right, za, zb), "an entry of the product"), out)


def qlinear_matmul(
    a: npt.ArrayLike,
    a_scale: npt.ArrayLike,
    a_zero_point: npt.ArrayLike | None,
    b: npt.ArrayLike,
    b_scale: npt.ArrayLike,
    b_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike | None,
    y_zero_point: npt.ArrayLike | None,
    *,
    bias: npt.ArrayLike | None = None,
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    """ONNX's QLinearMatMul: a matrix product of quantized operands, quantized again.

    Parameters
    ----------
    a : array_like of int8 or uint8, shape (..., M, K)
        Codes of the left operand.
    a_scale : array_like of float
        A scalar, ``(M,)`` or ``(..., M, 1)``.
    a_zero_point : array_like of int or None
        In the shapes that `a_scale` may have and the type of `a`; None is 0.
    b : array_like of int8 or uint8, shape (..., K, N)
        Codes of the right operand.
    b_scale : array_like of float
        A scalar, ``(N,)`` or ``(..., 1, N)``.
    b_zero_point : array_like of int or None
        In the shapes that `b_scale` may have and the type of `b`; None is 0.
    y_scale : array_like of float or None
        A scalar, ``(M,)`` or ``(..., M, 1)``. None asks for float32 results.
    y_zero_point : array_like of int or None
        In the shapes that `y_scale` may have; its dtype, int8 or uint8, is that of the result. An
        int without a dtype, or None for 0, takes the type of `a`.
    bias : array_like of int32 or float32, optional
        A scalar or ``(N,)``. int32 is in units of ``a_scale * b_scale`` and added to the
        accumulators; float32, for float32 results only, is added to them.
    activation : {"relu", "relu6"} or (float, float), optional
        Keep the real result between two bounds.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray, shape (..., M, N)
        ``saturate(rint(f32(acc) * m) + y_zero_point)`` with the exact accumulator ``acc`` of
        `matmul_integer` plus bias and ``m = f32(f32(a_scale * b_scale) / y_scale)``, kept between
        the codes of the activation's bounds; or, without `y_scale`,
        ``f32(acc) * f32(a_scale * b_scale)``, to which a float32 bias is added, kept between the
        bounds. Each of these is one float32 operation; none are fused.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, a scale is not finite and positive, or their product overflows.
    OverflowError
        If an accumulator does not fit int32. Nothing wraps.

    Notes
    -----
    Scales of float16 and float64 are rounded to float32. Source:
    https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html; the rounding is ONNX Runtime's, see
    `requantize`.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> a, b = np.uint8([[130, 126]]), np.int8([[10, 20], [30, -40]])
    >>> reference.qlinear_matmul(a, 0.5, 128, b, 0.1, 0, 1.0, np.int8(0))
    array([[-2,  6]], dtype=int8)
    """
    left, right = as_bytes(a, "a"), as_bytes(b, "b")
    za, zb = matmul_zero_points(left, right, a_zero_point, b_zero_point)
    output, offset = qlinear_matmul_output(
        left, right.shape, a_scale, b_scale, y_scale, y_zero_point, bias, activation
    )
    return deliver(_finished(left, right, za, zb, offset, output), out)


def dynamic_quantize_matmul(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    b_scale: npt.ArrayLike,
    b_zero_point: npt.ArrayLike | None = None,
    *,
    bias: npt.ArrayLike | None = None,
    per_row: bool = False,
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    """ONNX Runtime's DynamicQuantizeMatMul: reals times quantized weights, in integers.

    `a` is quantized to uint8 by its own range, as `dynamic_quantize_linear` does, and the product
    of the codes is scaled back to float32.

    Parameters
    ----------
    a : array_like of float, shape (..., M, K)
        Finite reals; float16, float64 and integers are converted to float32.
    b : array_like of int8 or uint8, shape (..., K, N)
        Codes of the right operand.
    b_scale : array_like of float
        A scalar, ``(N,)`` or ``(..., 1, N)``.
    b_zero_point : array_like of int, optional
        In the shapes that `b_scale` may have and the type of `b`; None is 0.
    bias : array_like of float, optional
        A scalar or ``(N,)``, added to the results.
    per_row : bool
        Quantize each row of `a` by a range of its own ("per token"), instead of all of `a` by one.
    activation : {"relu", "relu6"} or (float, float), optional
        Keep the result between two bounds.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray of float32, shape (..., M, N)
        ``f32(acc) * f32(a_scale * b_scale) + bias``, kept between the bounds, with the exact
        product ``acc`` of `matmul_integer` and the codes, scale and zero point of `a` that
        `dynamic_quantize_linear` gives. Each of these is one float32 operation; none are fused.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, `a` holds NaN or an infinity (in float32), a scale is not finite and
        positive, `bias` is not finite, or the scales' product overflows.
    OverflowError
        If an accumulator does not fit int32. Nothing wraps.

    Notes
    -----
    A range is widened to hold 0. Where K is 0 the results are those of ``acc = 0``. Source:
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, which knows ranges
    of the whole `a` only.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> a, b = np.float32([[-64.0, 63.5], [0.0, 0.16]]), np.int8([[2], [3]])
    >>> reference.dynamic_quantize_matmul(a, b, 0.25)
    array([[15.625],
           [ 0.   ]], dtype=float32)
    >>> reference.dynamic_quantize_matmul(a, b, 0.25, per_row=True)
    array([[15.625],
           [ 0.12 ]], dtype=float32)
    """
    left, right, by_row = as_float32(a, "a"), as_bytes(b, "b"), as_flag(per_row, "per_row")
    zb, output = dynamic_matmul_output(left, right, b_scale, b_zero_point, bias, activation)
    codes, scale, za = dynamic_codes(left, "a", -1 if by_row and left.ndim > 1 else None)
    return deliver(_finished(codes, right, za, zb, 0, with_scale(output, scale)), out)


class MatMulInteger(Prepared):
    """`matmul_integer` with its right operand fixed: ``MatMulInteger(b, zb)(a, za)``.

    The fast class packs `b` once, for the instruction set in use; later changes of `b` do not show.

    Parameters
    ----------
    b : array_like of int8 or uint8, shape (..., K, N)
        Right operand.
    b_zero_point : array_like of int, optional
        In the type of `b`: a scalar, one entry a column ``(N,)``, or ``(..., 1, N)``. None is 0.

    Raises
    ------
    TypeError, ValueError
        As `matmul_integer`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``a`` of int8 or uint8, shape ``(..., M, K)``, its zero point and ``out``, and
    returns ``(a - a_zero_point) @ (b - b_zero_point)`` as int32 of shape ``(..., M, N)``, with the
    errors of `matmul_integer`. It may be made from several threads. Source:
    https://onnx.ai/onnx/operators/onnx__MatMulInteger.html.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again,
    packed for the processor there.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> product = reference.MatMulInteger(np.int8([[1, 2], [3, 4]]))
    >>> product(np.uint8([[1, 1]]))
    array([[4, 6]], dtype=int32)
    """

    def __init__(self, b: npt.ArrayLike, b_zero_point: npt.ArrayLike | None = None) -> None:
        self._given = {"b": as_bytes(b, "b").copy(), **own_arguments(b_zero_point=b_zero_point)}
        self(no_rows(self._given["b"], None))  # checks the arguments

    def __call__(
        self,
        a: npt.ArrayLike,
        a_zero_point: npt.ArrayLike | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        return matmul_integer(a, a_zero_point=a_zero_point, out=out, **self._given)

    def _arguments(self) -> dict[str, Any]:
        return self._given


class QLinearMatMul(Prepared):
    """`qlinear_matmul` with everything but `a` fixed.

    The fast class packs `b` once, for the instruction set in use; later changes of the arguments do
    not show.

    Parameters
    ----------
    b : array_like of int8 or uint8, shape (..., K, N)
        Codes of the right operand.
    b_scale, b_zero_point : array_like
        A scalar, ``(N,)`` or ``(..., 1, N)``; the zero point in the type of `b`, None is 0.
    a_scale, a_zero_point : array_like
        Scalars, the zero point in the type that ``a`` will have; None is 0.
    y_scale, y_zero_point : array_like, optional
        Scalars. Without `y_scale` results are float32; otherwise they have the type of
        `y_zero_point`, or that of ``a`` if it brings none.
    bias : array_like of int32 or float32, optional
        A scalar or ``(N,)``: int32 in units of ``a_scale * b_scale``, or float32 where results are.
    activation : {"relu", "relu6"} or (float, float), optional
        Keep the real result between two bounds.

    Raises
    ------
    TypeError, ValueError
        As `qlinear_matmul`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``a`` of int8 or uint8, shape ``(..., M, K)``, and ``out``, and returns what
    `qlinear_matmul` defines, of shape ``(..., M, N)``, with its errors. It may be made from
    several threads. Source: https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again,
    packed for the processor there.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> layer = reference.QLinearMatMul(np.int8([[10], [30]]), 0.1, a_scale=0.5, a_zero_point=128)
    >>> layer(np.uint8([[130, 126]]))
    array([[-2.]], dtype=float32)
    """

    def __init__(
        self,
        b: npt.ArrayLike,
        b_scale: npt.ArrayLike,
        b_zero_point: npt.ArrayLike | None = None,
        *,
        a_scale: npt.ArrayLike,
        a_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike | None = None,
        y_zero_point: npt.ArrayLike | None = None,
        bias: npt.ArrayLike | None = None,
        activation: Activation = None,
    ) -> None:
        right = as_bytes(b, "b")
        self._given = own_arguments(
            b_scale=b_scale,
            b_zero_point=b_zero_point,
            a_scale=a_scale,
            a_zero_point=a_zero_point,
            y_scale=y_scale,
            y_zero_point=y_zero_point,
            bias=bias,
            activation=activation,
        )
        check_scalars(self._given, "a_scale", "a_zero_point", "y_scale", "y_zero_point")
        self._given["b"] = right.copy()
        self(no_rows(right, self._given["a_zero_point"]))  # checks the arguments

    def __call__(self, a: npt.ArrayLike, *, out: Array | None = None) -> Array:
        return qlinear_matmul(a, out=out, **self._given)

    def _arguments(self) -> dict[str, Any]:
        return self._given


class DynamicQuantizeMatMul(Prepared):
    """`dynamic_quantize_matmul` with everything but `a` fixed.

    The fast class packs `b` once, for the instruction set in use; later changes of the arguments do
    not show.

    Parameters
    ----------
    b : array_like of int8 or uint8, shape (..., K, N)
        Codes of the right operand.
    b_scale, b_zero_point : array_like
        A scalar, ``(N,)`` or ``(..., 1, N)``; the zero point in the type of `b`, None is 0.
    bias : array_like of float, optional
        A scalar or ``(N,)``, added to the results.
    per_row : bool
        Quantize each row of ``a`` by a range of its own ("per token"), instead of all of ``a`` by
        one.
    activation : {"relu", "relu6"} or (float, float), optional
        Keep the result between two bounds.

    Raises
    ------
    TypeError, ValueError
        As `dynamic_quantize_matmul`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``a`` of real numbers, shape ``(..., M, K)``, and ``out``, and returns what
    `dynamic_quantize_matmul` defines, float32 of shape ``(..., M, N)``, with its errors. It may be
    made from several threads. Source:
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again,
    packed for the processor there.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> layer = reference.DynamicQuantizeMatMul(np.int8([[2], [3]]), 0.25, bias=[-10.0])
    >>> layer(np.float32([[-64.0, 63.5]]))
    array([[5.625]], dtype=float32)
    """

    def __init__(
        self,
        b: npt.ArrayLike,
        b_scale: npt.ArrayLike,
        b_zero_point: npt.ArrayLike | None = None,
        *,
        bias: npt.ArrayLike | None = None,
        per_row: bool = False,
        activation: Activation = None,
    ) -> None:
        right = as_bytes(b, "b")
        flag = as_flag(per_row, "per_row")
        parameters = own_arguments(
            b_scale=b_scale, b_zero_point=b_zero_point, bias=bias, activation=activation
        )
        self._given = {"b": right.copy(), **parameters, "per_row": flag}
        self(no_rows(right, None))  # checks the arguments

    def __call__(self, a: npt.ArrayLike, *, out: Array | None = None) -> Array:
        return dynamic_quantize_matmul(a, out=out, **self._given)

    def _arguments(self) -> dict[str, Any]:
        return self._given


def _finished(a: Array, b: Array, za: Array, zb: Array, bias: Array | int, output: Output) -> Array:
    """The exact product plus bias, finished."""
    # A vector is a matrix of one row, or of one column, that the result leaves out again.
    rows = a if a.ndim > 1 else a[np.newaxis]
    columns = b if b.ndim > 1 else b[:, np.newaxis]
    acc = exact_int32(_sums(rows, columns, za, zb) + bias, "an accumulator of the product")
    result = finish(acc, output)
    result = result if a.ndim > 1 else result[..., 0, :]
    return result if b.ndim > 1 else result[..., 0]


def _sums(a: Array, b: Array, za: Array, zb: Array) -> npt.NDArray[np.float64]:
    """The exact product of the codes less their zero points."""
    left, right = a.astype(np.float64) - za, b.astype(np.float64) - zb
    product: npt.NDArray[np.float64] = np.asarray(left @ right)
    return product
