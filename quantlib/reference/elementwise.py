"""Sums and products of quantized arrays, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array, as_bytes, deliver
from quantlib._arguments.elementwise import (
    Blend,
    add_blend,
    blended_shape,
    mul_blend,
    no_operands,
)
from quantlib._arguments.output import Activation
from quantlib._arguments.prepared import Prepared, own_arguments
from quantlib._arguments.quantized import Target


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
    parameters = a_scale, a_zero_point, b_scale, b_zero_point, y_scale, y_zero_point, activation
    left, right, blend = _operands(add_blend, a, b, parameters)
    a_factor, b_factor = blend.factors
    with np.errstate(under="ignore"):
        sums = left * a_factor + right * b_factor
    return deliver(saturate(sums, blend.target), out)


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
    parameters = a_scale, a_zero_point, b_scale, b_zero_point, y_scale, y_zero_point, activation
    left, right, blend = _operands(mul_blend, a, b, parameters)
    (factor,) = blend.factors
    with np.errstate(under="ignore"):
        products = (left * right) * factor
    return deliver(saturate(products, blend.target), out)


class QLinearAdd(Prepared):
    """`qlinear_add` with everything but `a` and `b` fixed.

    Parameters
    ----------
    a_scale, b_scale, y_scale : float
        The scales of both operands and of the result.
    a_zero_point, b_zero_point : int or None
        Zero points, in the types that ``a`` and ``b`` will have; None is 0.
    y_zero_point : int or None
        The result's zero point; its dtype, int8 or uint8, is that of the result. An int without a
        dtype, or None for 0, takes the type of ``a``.
    activation : {"relu", "relu6"} or (float, float), optional
        Keep the real result between two bounds.

    Raises
    ------
    TypeError, ValueError
        As `qlinear_add`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``a``, ``b`` and ``out``, and returns what `qlinear_add` defines, with its errors.
    It may be made from several threads.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> add = reference.QLinearAdd(a_scale=0.5, b_scale=1.0, y_scale=1.0)
    >>> add(np.uint8([10, 20, 255]), np.uint8([1, 2, 255]))
    array([  6,  12, 255], dtype=uint8)
    """

    def __init__(
        self,
        *,
        a_scale: npt.ArrayLike,
        a_zero_point: npt.ArrayLike | None = None,
        b_scale: npt.ArrayLike,
        b_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike,
        y_zero_point: npt.ArrayLike | None = None,
        activation: Activation = None,
    ) -> None:
        self._given = own_arguments(
            a_scale=a_scale,
            a_zero_point=a_zero_point,
            b_scale=b_scale,
            b_zero_point=b_zero_point,
            y_scale=y_scale,
            y_zero_point=y_zero_point,
            activation=activation,
        )
        self(*no_operands(self._given))  # checks the arguments

    def __call__(self, a: npt.ArrayLike, b: npt.ArrayLike, *, out: Array | None = None) -> Array:
        return qlinear_add(a=a, b=b, out=out, **self._given)

    def _arguments(self) -> dict[str, Any]:
        return self._given


class QLinearMul(Prepared):
    """`qlinear_mul` with everything but `a` and `b` fixed.

    Parameters
    ----------
    a_scale, a_zero_point, b_scale, b_zero_point, y_scale, y_zero_point, activation
        As in `QLinearAdd`.

    Raises
    ------
    TypeError, ValueError
        As `qlinear_mul`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``a``, ``b`` and ``out``, and returns what `qlinear_mul` defines, with its errors.
    It may be made from several threads.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> multiply = reference.QLinearMul(a_scale=0.5, b_scale=0.1, y_scale=0.25)
    >>> multiply(np.int8([3, -4]), np.int8(10))
    array([ 6, -8], dtype=int8)
    """

    def __init__(
        self,
        *,
        a_scale: npt.ArrayLike,
        a_zero_point: npt.ArrayLike | None = None,
        b_scale: npt.ArrayLike,
        b_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike,
        y_zero_point: npt.ArrayLike | None = None,
        activation: Activation = None,
    ) -> None:
        self._given = own_arguments(
            a_scale=a_scale,
            a_zero_point=a_zero_point,
            b_scale=b_scale,
            b_zero_point=b_zero_point,
            y_scale=y_scale,
            y_zero_point=y_zero_point,
            activation=activation,
        )
        self(*no_operands(self._given))  # checks the arguments

    def __call__(self, a: npt.ArrayLike, b: npt.ArrayLike, *, out: Array | None = None) -> Array:
        return qlinear_mul(a=a, b=b, out=out, **self._given)

    def _arguments(self) -> dict[str, Any]:
        return self._given


def _operands(
    blend_of: Any, a: Any, b: Any, parameters: tuple[Any, ...]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], Blend]:
    """Codes less their zero points, which float32 holds exactly, and so products of two."""
    left, right = as_bytes(a, "a"), as_bytes(b, "b")
    blend: Blend = blend_of(left.dtype, right.dtype, *parameters)
    blended_shape(left, right)
    return (
        left.astype(np.float32) - np.float32(blend.a_zero_point),
        right.astype(np.float32) - np.float32(blend.b_zero_point),
        blend,
    )


def saturate(steps: npt.NDArray[np.float32], target: Target) -> Array:
    """Steps from the zero point, not NaN, as codes: rounded half to even, then saturated."""
    low = np.float32(target.lower - target.zero_point)
    high = np.float32(target.upper - target.zero_point)
    kept: Array = np.clip(np.rint(steps), low, high)
    return np.asarray((kept.astype(np.int32) + target.zero_point).astype(target.dtype))
