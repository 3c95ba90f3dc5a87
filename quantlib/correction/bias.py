"""Outputs whose mean quantization has moved."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array
from quantlib._arguments.correction import as_finite, as_pair, other_axes, require_values
from quantlib.params import as_array, as_scale

__all__ = ["bias_correction", "correct_bias"]

LARGEST_BIAS = 0.6 * np.iinfo(np.int32).max


def bias_correction(y: npt.ArrayLike, y_quantized: npt.ArrayLike, *, axis: int = 1) -> Array:
    """What to add to each channel's bias, so that its outputs keep their mean.

    Parameters
    ----------
    y : array_like of float
        Outputs of the float layer, finite.
    y_quantized : array_like of float
        Outputs of the quantized layer for the same inputs, as reals, of the same shape. For the
        formula of MindSpore Lite its inputs are the *float* network's, quantized.
    axis : int
        The channel axis.

    Returns
    -------
    numpy.ndarray of float64, shape (channels,)
        ``mean(y) - mean(y_quantized)`` over all other axes.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the shapes differ, a value is not finite, there are none, or `axis` is no axis of `y`.

    See Also
    --------
    correct_bias : adds it to an int32 bias.

    Notes
    -----
    Rounding weights moves the mean of the outputs by ``E[q(W) x] - E[W x]``, which adds up from
    layer to layer, and which a bias can undo. Source: M. Nagel et al., "Data-Free Quantization
    Through Weight Equalization and Bias Correction", 2019, https://arxiv.org/abs/1906.04721,
    section 4.2, in its empirical form. Averages of several batches of one size can be averaged.

    Examples
    --------
    >>> from quantlib.correction import bias_correction
    >>> bias_correction([[1.0, 5.0], [2.0, 5.0]], [[1.0, 4.5], [1.0, 4.5]])
    array([0.5, 0.5])
    """
    reals, codes = as_pair(y, y_quantized, ("y", "y_quantized"))
    axes = other_axes(reals.ndim, axis)
    require_values(reals, axes, "y")
    result: Array = reals.mean(axis=axes) - codes.mean(axis=axes)
    return result


def correct_bias(
    bias: npt.ArrayLike | None, correction: npt.ArrayLike, scale: npt.ArrayLike
) -> Array:
    """An int32 bias with a correction in reals added to it.

    Parameters
    ----------
    bias : array_like of int32, shape (channels,), or None
        The bias in units of `scale`; None is one of zeros.
    correction : array_like of float, shape (channels,)
        What `bias_correction` returned.
    scale : array_like of float, shape () or (channels,)
        The scale of the bias, ``x_scale * w_scale``.

    Returns
    -------
    numpy.ndarray of int32, shape (channels,)
        ``bias + rint(correction / scale)``, but the bias itself where that is beyond 0.6 times the
        largest int32.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the shapes do not fit, or a value is not finite.

    Notes
    -----
    The bound leaves room for the sum that the bias is added to. Source: MindSpore Lite,
    tools/converter/quantizer/bias_correction_strategy.cc, https://www.mindspore.cn/lite.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.correction import correct_bias
    >>> correct_bias(np.int32([100, -7]), [0.26, 1e9], 0.01)
    array([126,  -7], dtype=int32)
    """
    change = as_finite(correction, "correction").astype(np.float64)
    if change.ndim != 1:
        raise ValueError(f"correction has shape {change.shape}; it must be 1-D")
    step = as_scale(scale, "scale").astype(np.float64)
    if step.shape not in ((), change.shape):
        raise ValueError(
            f"scale has shape {step.shape}; it must be a scalar or have the shape of correction, "
            f"{change.shape}"
        )
    codes = np.zeros(change.shape, np.int32) if bias is None else as_array(bias, "bias")
    if codes.dtype != np.int32:
        raise TypeError(f"bias must be int32, not {codes.dtype}")
    if codes.shape != change.shape:
        raise ValueError(
            f"bias has shape {codes.shape}; it must have the shape of correction, {change.shape}"
        )
    corrected = codes + np.rint(change / step)
    return np.where(np.abs(corrected) <= LARGEST_BIAS, corrected, codes).astype(np.int32)
