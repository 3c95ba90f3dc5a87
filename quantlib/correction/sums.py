"""Weights rounded so that the sum of each channel stays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantlib import ops
from quantlib._arguments.affine import as_axis
from quantlib._arguments.arrays import Array
from quantlib._arguments.correction import as_finite
from quantlib.params import QuantParams

__all__ = ["keep_sums"]


def keep_sums(w: npt.ArrayLike, params: QuantParams, *, axis: int = 0) -> Array:
    """Codes of weights with the least error of each channel's sum.

    Parameters
    ----------
    w : array_like of float
        The weights, finite.
    params : QuantParams
        Their parameters, per tensor or per channel along `axis`.
    axis : int
        The axis of the output channels.

    Returns
    -------
    numpy.ndarray of ``params.qtype.dtype``
        The codes, in the shape of `w`: each is the nearest one, or the next on the other side.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a value is not finite, `axis` is no axis of `w`, or `params` are blocked or of another
        axis.

    See Also
    --------
    gptq, adaround : look at data.

    Notes
    -----
    What follows a ReLU has a mean above 0, and what a channel loses then is about the mean times
    the sum of its weights' errors. The nearest codes leave a sum of about ``sqrt(n / 12)`` steps
    for n weights. Let s be that sum, in steps: of the weights that were rounded away from its sign,
    those that had the most left take the other code, ``rint(|s|)`` of them. Then \\|s\\| is half a
    step at most, unless codes end. No weight is off by a step or more. Source: the last of the
    three stages of C. Guo et al., "SQuant: On-the-Fly Data-Free Quantization via Diagonal Hessian
    Approximation", 2022, https://arxiv.org/abs/2202.07471.

    Examples
    --------
    >>> import numpy as np
    >>> import quantlib as ql
    >>> p = ql.QuantParams(1.0, 0, "int8")
    >>> w = [[0.4, 0.4, 0.3, 2.0]]
    >>> ql.quantize(w, p), ql.correction.keep_sums(w, p)
    (array([[0, 0, 0, 2]], dtype=int8), array([[1, 0, 0, 2]], dtype=int8))
    """
    weights = as_finite(w, "w")
    if not isinstance(params, QuantParams):
        raise TypeError(f"params must be a QuantParams, not {type(params).__name__}")
    channel = as_axis(axis, weights.ndim)
    if params.block_size is not None or (
        params.axis is not None and as_axis(params.axis, weights.ndim) != channel
    ):
        raise ValueError(
            f"params have axis {params.axis} and block_size {params.block_size}; they must have "
            f"one scale, or one for each channel along axis {axis}"
        )
    nearest = ops.quantize(weights, params)
    if weights.size == 0:
        return nearest
    codes = _rows(nearest, channel).astype(np.int64)
    scale = params.scale.astype(np.float64).reshape(-1, 1)
    zero = params.zero_point.astype(np.int64).reshape(-1, 1)
    left = _rows(weights, channel).astype(np.float64) / scale - (codes - zero)
    codes += _steps(codes, left, params)
    moved = np.moveaxis(nearest, channel, 0).shape
    return np.ascontiguousarray(np.moveaxis(codes.reshape(moved), 0, channel).astype(nearest.dtype))


def _rows(array: Array, axis: int) -> Array:
    """A row for each channel."""
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


def _steps(codes: Array, left: Array, params: QuantParams) -> Array:
    """What is added to each code, where `left` is what it leaves of its weight."""
    sums = left.sum(axis=1, keepdims=True)
    sign = np.sign(sums).astype(np.int64)
    next_codes = codes + sign
    room = (next_codes >= params.qtype.qmin) & (next_codes <= params.qtype.qmax)
    gain = np.where(room, left * sign, -1.0)
    rank = np.argsort(np.argsort(-gain, axis=1, kind="stable"), axis=1, kind="stable")
    steps: Array = np.where((rank < np.rint(np.abs(sums))) & (gain > 0), sign, 0)
    return steps
