"""The softmax of quantized arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array, as_bytes, byte_type, deliver
from quantlib._arguments.prepared import Prepared, own_arguments
from quantlib._arguments.softmax import softmax_axis, softmax_parameters
from quantlib.params import as_index
from quantlib.reference.elementwise import saturate


def qlinear_softmax(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    axis: int = -1,
    out: Array | None = None,
) -> Array:
    """The softmax of a quantized array along an axis, quantized again.

    Parameters
    ----------
    x : array_like of int8 or uint8
        Codes, 1 dimension or more.
    x_scale, x_zero_point : float, int or None
        Scale and zero point of `x`; the latter, in its type, makes no difference. None is 0.
    y_scale : float
        The result's scale; 1/256 with the lowest code as zero point covers 0 to 1.
    y_zero_point : int or None
        The result's zero point; its dtype, int8 or uint8, is that of the result. An int without a
        dtype, or None for 0, takes the type of `x`.
    axis : int
        Along which the results add up to 1; negative counts from the end.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        Codes of the shape of `x`: ``saturate(rint(f32(e * m)) + y_zero_point)`` with the integers
        ``e = rint(2**23 * exp(-x_scale * (max - x)))``, where ``max`` is the largest code along the
        axis, and ``m = f32(1 / f32(f32(s) * y_scale))``, where ``s`` is the exact sum of ``e``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `x` is a scalar, has no such axis, or a scale is not finite and positive.

    Notes
    -----
    The exponentials are computed in float64 and rounded to integers, so that their sum is exact in
    any order; a probability is off by at most 2**-24 and a rounding of float32. The operator is
    ONNX Runtime's QLinearSoftmax,
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, which rounds
    down instead of to the nearest: its result can be one code less.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> reference.qlinear_softmax(np.int8([10, 10, 3]), 0.5, 0, 1 / 256, np.uint8(0))
    array([126, 126,   4], dtype=uint8)
    """
    data = as_bytes(x, "x")
    by = softmax_parameters(data.dtype, x_scale, x_zero_point, y_scale, y_zero_point)
    index = softmax_axis(data, axis)
    codes = data.astype(np.int64)
    largest = codes.max(axis=index, keepdims=True, initial=-128)
    powers = by.exponentials[largest - codes]
    sums = powers.sum(axis=index, keepdims=True, dtype=np.int64)
    with np.errstate(over="ignore", under="ignore"):
        factor = np.float32(1) / (np.maximum(sums, 1).astype(np.float32) * by.target.scale)
        steps = powers.astype(np.float32) * factor
    return deliver(saturate(steps, by.target), out)


class QLinearSoftmax(Prepared):
    """`qlinear_softmax` with everything but `x` fixed.

    Parameters
    ----------
    x_scale, x_zero_point, y_scale, y_zero_point, axis
        As in `qlinear_softmax`; the zero point of ``x`` in the type that it will have.

    Raises
    ------
    TypeError, ValueError
        As `qlinear_softmax`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``x`` and ``out``, and returns what `qlinear_softmax` defines, with its errors. It
    may be made from several threads.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> softmax = reference.QLinearSoftmax(x_scale=0.5, y_scale=1 / 256, y_zero_point=np.uint8(0))
    >>> softmax(np.int8([10, 10, 3]))
    array([126, 126,   4], dtype=uint8)
    """

    def __init__(
        self,
        *,
        x_scale: npt.ArrayLike,
        x_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike,
        y_zero_point: npt.ArrayLike | None = None,
        axis: int = -1,
    ) -> None:
        self._given = own_arguments(
            x_scale=x_scale, x_zero_point=x_zero_point, y_scale=y_scale, y_zero_point=y_zero_point
        )
        self._axis = as_index(axis, "axis")
        softmax_parameters(byte_type(x_zero_point, "x_zero_point"), **self._given)

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        return qlinear_softmax(x, out=out, **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {**self._given, "axis": self._axis}
