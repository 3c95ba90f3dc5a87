"""Accumulators to outputs: the last step of every integer product and convolution."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array, deliver
from quantlib._arguments.output import Output, requantize_arguments


def requantize(
    acc: npt.ArrayLike,
    multiplier: npt.ArrayLike,
    zero_point: npt.ArrayLike,
    *,
    axis: int = -1,
    out: Array | None = None,
) -> Array:
    """int32 accumulators to 8-bit codes: ``saturate(rint(f32(acc) * multiplier) + zero_point)``.

    Parameters
    ----------
    acc : array_like of int32
        Accumulators of any shape.
    multiplier : array_like of float
        ``x_scale * w_scale / y_scale``, finite and positive, as float32: a scalar, or ``(C,)`` for
        an axis of C channels.
    zero_point : array_like of int8 or uint8
        A scalar; its dtype is that of the result.
    axis : int
        The channel axis of `acc`; not looked at when `multiplier` is a scalar.
    out : numpy.ndarray, optional
        Where to write the codes.

    Returns
    -------
    numpy.ndarray
        Codes of the shape of `acc` and the type of `zero_point`.

    Raises
    ------
    TypeError
        If `acc` is not int32 or `zero_point` not int8 or uint8.
    ValueError
        If a multiplier is not finite and positive, or the shapes do not fit.

    Notes
    -----
    `acc` is rounded to float32, multiplied, rounded half to even, moved by the zero point and
    saturated, in that order and with no step fused. This is what ONNX Runtime computes for
    QLinearMatMul and QLinearConv; ``docs/quantization.md`` compares it with the fixed-point rules
    of gemmlowp and TensorFlow Lite.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> reference.requantize(np.int32([-1000, 5, 100000]), 0.1, np.uint8(10))
    array([  0,  10, 255], dtype=uint8)
    """
    call = requantize_arguments(acc, multiplier, zero_point, axis)
    return deliver(finish(call.data, call.output), out)


def finish(acc: Array, output: Output, added: Array | None = None) -> Array:
    """Exact accumulators as `output` wants them; `added` is added before they are rounded."""
    with np.errstate(over="ignore", under="ignore"):
        real: Array = acc.astype(np.float32) * output.multiplier
        if output.bias is not None:
            real = real + output.bias
        if added is not None:
            real = real + added
    if output.dtype == np.float32:
        # A value that equals a bound becomes the bound, which decides the sign of a zero.
        real = np.where(real > output.lower, real, output.lower)
        return np.where(real < output.upper, real, output.upper)
    low = (output.lower - output.zero_point).astype(np.float32)
    high = (output.upper - output.zero_point).astype(np.float32)
    steps: Array = np.clip(np.rint(real), low, high)
    return np.asarray((steps.astype(np.int32) + output.zero_point).astype(output.dtype))


def exact_int32(acc: npt.NDArray[np.float64], what: str) -> npt.NDArray[np.int32]:
    """`acc`, integers held in float64, as int32; OverflowError if an entry does not fit."""
    limits = np.iinfo(np.int32)
    if acc.size and not (limits.min <= acc.min() and acc.max() <= limits.max):
        raise OverflowError(f"{what} does not fit int32")
    return acc.astype(np.int32)
