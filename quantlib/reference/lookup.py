"""Functions of one code at a time: a table of 256 codes says what becomes of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments import lookup as tables
from quantlib._arguments.arrays import Array, as_bytes, byte_type, deliver
from quantlib._arguments.lookup import (
    Conversion,
    Function,
    FunctionOrValues,
    all_values,
    conversion_of,
    lookup_arguments,
    table_of,
)
from quantlib._arguments.prepared import Prepared, own_arguments


def qlinear_lookup(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    function: Function,
    *,
    out: Array | None = None,
) -> Array:
    """Any function of one real, on quantized arrays.

    Parameters
    ----------
    x : array_like of int8 or uint8
        Codes of any shape.
    x_scale, x_zero_point : float, int or None
        Scale and zero point of `x`, the latter in its type; None is 0.
    y_scale : float
        The result's scale.
    y_zero_point : int or None
        The result's zero point; its dtype, int8 or uint8, is that of the result. An int without a
        dtype, or None for 0, takes the type of `x`.
    function : callable
        Takes a float64 array of 256 reals and returns as many: a NumPy ufunc, an expression of
        them, or ``np.vectorize(f)``.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        Codes of the shape of `x`: ``saturate(rint(f32(function(r)) / y_scale) + y_zero_point)``
        with ``r = f32(x_scale * (x - x_zero_point))``, divided in float32; the zero point where the
        function is NaN.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or `function` does not return 256 reals.
    ValueError
        If a scale is not finite and positive, or a zero point is outside its type.

    Notes
    -----
    The function is called once, for all 256 codes; then the codes are looked up. `QLinearLookup`
    keeps the table for many calls. With ``lambda x: x`` this is a change of scale and zero point.
    ONNX Runtime computes its contributed QLinearSigmoid and QLinearLeakyRelu by such tables,
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> reference.qlinear_lookup(np.int8([-4, 0, 3]), 0.5, 0, 0.25, np.uint8(0), np.square)
    array([16,  0,  9], dtype=uint8)
    """
    return _apply(function, lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point), out)


class QLinearLookup(Prepared):
    """`qlinear_lookup` with everything but `x` fixed: the table is made once.

    Parameters
    ----------
    function : callable or numpy.ndarray of float32, shape (2, 256)
        As in `qlinear_lookup`; or its values for the codes of int8, and of uint8, in the order of
        their bytes, which is what stands for it in a file.
    x_scale, x_zero_point, y_scale, y_zero_point
        As in `qlinear_lookup`; the zero points in the types that ``x`` and the result will have.

    Raises
    ------
    TypeError, ValueError
        As `qlinear_lookup`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``x`` of int8 or uint8 and ``out``, and returns what `qlinear_lookup` defines. It
    may be made from several threads.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again,
    with the values of the function and without the function.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> exponential = reference.QLinearLookup(np.exp, x_scale=0.02, y_scale=0.1)
    >>> exponential(np.int8([-128, 0, 100]))
    array([ 1, 10, 74], dtype=int8)
    """

    def __init__(
        self,
        function: FunctionOrValues,
        *,
        x_scale: npt.ArrayLike,
        x_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike,
        y_zero_point: npt.ArrayLike | None = None,
    ) -> None:
        self._function = function.copy() if isinstance(function, np.ndarray) else function
        self._given = own_arguments(
            x_scale=x_scale, x_zero_point=x_zero_point, y_scale=y_scale, y_zero_point=y_zero_point
        )
        dtype = byte_type(x_zero_point, "x_zero_point")
        table_of(function, conversion_of(dtype, **self._given))  # checks the arguments

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        data = as_bytes(x, "x")
        return _apply(self._function, (data, conversion_of(data.dtype, **self._given)), out)

    def _arguments(self) -> dict[str, Any]:
        return {"function": all_values(self._function, self._given), **self._given}


def qlinear_relu(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    out: Array | None = None,
) -> Array:
    """The rectifier of a quantized array: ``max(x, 0)``.

    Parameters
    ----------
    x, x_scale, x_zero_point, y_scale, y_zero_point
        As in `qlinear_lookup`.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        What `qlinear_lookup` gives for the function ``max(r, 0)``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a scale is not finite and positive.

    Notes
    -----
    Source: https://onnx.ai/onnx/operators/onnx__Relu.html.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> reference.qlinear_relu(np.int8([-3, 0, 3]), 0.5, 0, 0.25, np.uint8(0))
    array([0, 0, 6], dtype=uint8)
    """
    call = lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point)
    return _apply(tables.relu, call, out)


def qlinear_leaky_relu(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    alpha: float = 0.01,
    out: Array | None = None,
) -> Array:
    """The leaky rectifier of a quantized array: ``x``, or ``alpha * x`` where ``x`` is negative.

    Parameters
    ----------
    x, x_scale, x_zero_point, y_scale, y_zero_point
        As in `qlinear_lookup`.
    alpha : float
        The slope for negative reals, as float32.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        What `qlinear_lookup` gives for the function that is ``r`` where
        ``r >= 0`` and ``alpha * r`` elsewhere.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a scale is not finite and positive, or `alpha` not finite.

    Notes
    -----
    The operator is ONNX Runtime's QLinearLeakyRelu, with the same bits,
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> reference.qlinear_leaky_relu(np.int8([-8, 0, 8]), 1.0, 0, 1.0, 0, alpha=0.25)
    array([-2,  0,  8], dtype=int8)
    """
    call = lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point)
    return _apply(tables.leaky_relu(tables.as_alpha(alpha)), call, out)


def qlinear_clip(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    min: npt.ArrayLike | None = None,
    max: npt.ArrayLike | None = None,
    out: Array | None = None,
) -> Array:
    """A quantized array kept between two reals.

    Parameters
    ----------
    x, x_scale, x_zero_point, y_scale, y_zero_point
        As in `qlinear_lookup`.
    min, max : float, optional
        The bounds, as float32; None is no bound.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        What `qlinear_lookup` gives for the function ``min(max(r, lower), upper)``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a scale is not finite and positive, or a bound is NaN or out of order.

    Notes
    -----
    Source: https://onnx.ai/onnx/operators/onnx__Clip.html.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> reference.qlinear_clip(np.int8([-8, 5, 80]), 0.5, 0, 0.5, 0, min=0.0, max=6.0)
    array([ 0,  5, 12], dtype=int8)
    """
    call = lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point)
    return _apply(tables.clipped(*tables.as_bounds(min, max)), call, out)


def qlinear_sigmoid(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    out: Array | None = None,
) -> Array:
    """The logistic function of a quantized array: ``1 / (1 + exp(-x))``.

    Parameters
    ----------
    x, x_scale, x_zero_point, y_scale, y_zero_point
        As in `qlinear_lookup`.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        What `qlinear_lookup` gives for the function ``1 / (1 + exp(-r))``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a scale is not finite and positive.

    Notes
    -----
    The operator is ONNX Runtime's QLinearSigmoid,
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, which approximates
    the function in float32 and can be one code away; here it is computed in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> reference.qlinear_sigmoid(np.int8([-40, 0, 40]), 0.1, 0, 1 / 256, np.uint8(0))
    array([  5, 128, 251], dtype=uint8)
    """
    call = lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point)
    return _apply(tables.sigmoid, call, out)


def qlinear_tanh(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    out: Array | None = None,
) -> Array:
    """The hyperbolic tangent of a quantized array.

    Parameters
    ----------
    x, x_scale, x_zero_point, y_scale, y_zero_point
        As in `qlinear_lookup`.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        What `qlinear_lookup` gives for the function ``tanh(r)``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a scale is not finite and positive.

    Notes
    -----
    Source: https://onnx.ai/onnx/operators/onnx__Tanh.html, computed in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> reference.qlinear_tanh(np.int8([-20, 0, 5]), 0.1, 0, 1 / 128, 0)
    array([-123,    0,   59], dtype=int8)
    """
    call = lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point)
    return _apply(tables.tanh, call, out)


def qlinear_gelu(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    approximate: str = "none",
    out: Array | None = None,
) -> Array:
    """The Gaussian error linear unit of a quantized array.

    Parameters
    ----------
    x, x_scale, x_zero_point, y_scale, y_zero_point
        As in `qlinear_lookup`.
    approximate : {"none", "tanh"}
        The function itself, or its approximation by tanh.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        What `qlinear_lookup` gives for the function ``r * (1 + erf(r / sqrt(2))) / 2`` or
        ``r * (1 + tanh(sqrt(2 / pi) * (r + 0.044715 * r**3))) / 2``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a scale is not finite and positive, or `approximate` is none of these.

    Notes
    -----
    Source: https://onnx.ai/onnx/operators/onnx__Gelu.html, computed in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> reference.qlinear_gelu(np.int8([-30, 0, 30]), 0.1, 0, 0.02, 0)
    array([ 0,  0, 127], dtype=int8)
    """
    call = lookup_arguments(x, x_scale, x_zero_point, y_scale, y_zero_point)
    return _apply(tables.as_gelu(approximate), call, out)


def _apply(function: FunctionOrValues, call: tuple[Array, Conversion], out: Any) -> Array:
    data, conversion = call
    return deliver(_look_up(data, table_of(function, conversion)), out)


def _look_up(x: Array, table: Array) -> Array:
    """The entry of each code's byte."""
    return np.asarray(table[x.view(np.uint8)])
