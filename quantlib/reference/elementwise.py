"""Sums and products of quantized arrays, element by element."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array, deliver
from quantlib._arguments.elementwise import add_arguments, mul_arguments
from quantlib._arguments.output import Activation
from quantlib._arguments.quantized import Source, Target


def qlinear_add(
    a: npt.ArrayLike,
    a_scale: npt.ArrayLike,
    a_zero_point: npt.ArrayLike | None,
    b: npt.ArrayLike,
    b_scale: npt.ArrayLike,
    b_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    """The sum of two quantized arrays, quantized again.

    Parameters
    ----------
    a, b : array_like of int8 or uint8
        Codes of the operands, whose shapes broadcast; they need not have one type.
    a_scale, b_scale : float
        Their scales.
    a_zero_point, b_zero_point : int or None
        Their zero points, in their types; None is 0.
    y_scale : float
        The result's scale.
    y_zero_point : int or None
        The result's zero point; its dtype, int8 or uint8, is that of the result. An int without a
        dtype, or None for 0, takes the type of `a`.
    activation : {"relu", "relu6"} or (float, float), optional
        Keep the real result between two bounds.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        ``saturate(rint((a - a_zero_point) * m_a + (b - b_zero_point) * m_b) + y_zero_point)`` with
        ``m_a = f32(a_scale / y_scale)`` and ``m_b = f32(b_scale / y_scale)``, where both products
        and their sum are rounded to float32, kept between the codes of the activation's bounds.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the shapes do not broadcast, a scale is not finite and positive, or a quotient of scales
        overflows.

    Notes
    -----
    The operator is ONNX Runtime's QLinearAdd,
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md. ONNX Runtime adds
    the zero points in float32, some of them fused, before it rounds, so that its result can be one
    code away where the sum is close to a tie.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> a, b = np.uint8([10, 20, 255]), np.uint8([1, 2, 255])
    >>> reference.qlinear_add(a, 0.5, 0, b, 1.0, 0, 1.0, 0)
    array([  6,  12, 255], dtype=uint8)
    """
    call = add_arguments(
        (a, a_scale, a_zero_point),
        (b, b_scale, b_zero_point),
        (y_scale, y_zero_point, activation),
    )
    a_factor, b_factor = call.factors
    with np.errstate(under="ignore"):
        sums = _steps(call.a) * a_factor + _steps(call.b) * b_factor
    return deliver(saturate(sums, call.target), out)


def qlinear_mul(
    a: npt.ArrayLike,
    a_scale: npt.ArrayLike,
    a_zero_point: npt.ArrayLike | None,
    b: npt.ArrayLike,
    b_scale: npt.ArrayLike,
    b_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    """The product of two quantized arrays, element by element, quantized again.

    Parameters
    ----------
    a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point, activation, out
        As in `qlinear_add`.

    Returns
    -------
    numpy.ndarray
        ``saturate(rint(f32((a - a_zero_point) * (b - b_zero_point) * m)) + y_zero_point)`` with
        ``m = f32(f32(a_scale * b_scale) / y_scale)``, kept between the codes of the activation's
        bounds. The product of the integers is exact.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the shapes do not broadcast, a scale is not finite and positive, or
        ``a_scale * b_scale / y_scale`` overflows.

    Notes
    -----
    The operator is ONNX Runtime's QLinearMul,
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md. ONNX Runtime adds
    the zero point before it rounds, so that its result can be one code away where the product is
    close to a tie.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> a, b = np.int8([[3], [-4]]), np.int8([10, 20])
    >>> reference.qlinear_mul(a, 0.5, 0, b, 0.1, 0, 0.25, 0)
    array([[  6,  12],
           [ -8, -16]], dtype=int8)
    """
    call = mul_arguments(
        (a, a_scale, a_zero_point),
        (b, b_scale, b_zero_point),
        (y_scale, y_zero_point, activation),
    )
    (factor,) = call.factors
    with np.errstate(under="ignore"):
        products = (_steps(call.a) * _steps(call.b)) * factor
    return deliver(saturate(products, call.target), out)


def _steps(operand: Source) -> npt.NDArray[np.float32]:
    """Codes less their zero point, which float32 holds exactly, and so products of two."""
    return operand.data.astype(np.float32) - np.float32(operand.zero_point)


def saturate(steps: npt.NDArray[np.float32], target: Target) -> Array:
    """Steps from the zero point, not NaN, as codes: rounded half to even, then saturated."""
    low = np.float32(target.lower - target.zero_point)
    high = np.float32(target.upper - target.zero_point)
    kept: Array = np.clip(np.rint(steps), low, high)
    return np.asarray((kept.astype(np.int32) + target.zero_point).astype(target.dtype))
