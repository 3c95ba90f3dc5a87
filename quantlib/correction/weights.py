"""Weights whose mean and spread quantization has moved."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array
from quantlib._arguments.correction import as_pair, other_axes, require_values

__all__ = ["weight_correction"]

FORMS = ("mindspore_lite", "book")
SMALLEST_DEVIATION = 2.0**-52
LARGEST_FACTOR = 10.0


def weight_correction(
    w: npt.ArrayLike,
    dequantized: npt.ArrayLike,
    *,
    axis: int | None = 0,
    form: Literal["mindspore_lite", "book"] = "mindspore_lite",
) -> tuple[Array, Array]:
    """The factor and the offset that restore mean and variance of quantized weights.

    ``factor * dequantized + offset`` is what to use instead of `dequantized`.

    Parameters
    ----------
    w : array_like of float
        The weights, finite.
    dequantized : array_like of float
        What their codes stand for, of the same shape.
    axis : int, optional
        The channel axis: every channel is corrected by itself. None corrects all by one pair.
    form : {"mindspore_lite", "book"}
        Which of both definitions; they differ in the mean that results.

    Returns
    -------
    factor, offset : numpy.ndarray of float64
        With length 1 along all axes but `axis`, so that they broadcast against the weights.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the shapes differ, a value is not finite, there are none, `axis` is no axis of `w`, or
        `form` is unknown.

    Notes
    -----
    With E the mean and std the standard deviation over a channel, and q for `dequantized`:

    * "mindspore_lite": ``factor = std(w) / std(q)``, ``offset = E(w) - factor * E(q)``. The result
      has the mean and the standard deviation of w. The factor is 1 where a standard deviation is
      below 2**-52, or the quotient not below 10. Source: MindSpore Lite,
      tools/converter/quantizer, https://www.mindspore.cn/lite, whose "variance correction" is this
      quotient of deviations.
    * "book": ``z * (q + u)`` with ``u = E(w) - E(q)`` and ``z = norm(w - E(w)) / norm(q - E(q))``;
      hence ``factor = z`` and ``offset = z * u``. The result has the standard deviation of w, and
      the mean ``z * E(w)``. Source: the textbook "AI Systems" (openmlsys), chapter on model
      compression, after R. Banner et al., "Post training 4-bit quantization of convolutional
      networks for rapid-deployment", 2019, https://arxiv.org/abs/1810.05723. Where a norm is 0,
      z is 1.

    The correction costs nothing at run time if it is merged into the scale and the bias. It is
    worth most at few bits.

    Examples
    --------
    >>> import numpy as np
    >>> import quantlib as ql
    >>> w = np.random.default_rng(0).standard_normal((4, 100))
    >>> p = ql.calibrate(w, "minmax", "int2", axis=0)
    >>> q = ql.fake_quantize(w, p)
    >>> factor, offset = ql.correction.weight_correction(w, q)
    >>> corrected = factor * q + offset
    >>> np.allclose(corrected.mean(axis=1), w.mean(axis=1))
    True
    >>> np.allclose(corrected.std(axis=1), w.std(axis=1))
    True
    """
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; it may be {' or '.join(map(repr, FORMS))}")
    reals, codes = as_pair(w, dequantized, ("w", "dequantized"))
    axes = other_axes(reals.ndim, axis)
    require_values(reals, axes, "w")
    mean, mean_codes = (array.mean(axis=axes, keepdims=True) for array in (reals, codes))
    spread, spread_codes = (array.std(axis=axes, keepdims=True) for array in (reals, codes))
    usable = (spread > 0) & (spread_codes > 0)
    if form == "mindspore_lite":
        usable = (spread > SMALLEST_DEVIATION) & (spread_codes > SMALLEST_DEVIATION)
    factor = np.where(usable, spread, 1) / np.where(usable, spread_codes, 1)
    if form == "book":
        return factor, factor * (mean - mean_codes)
    factor = np.where(factor < LARGEST_FACTOR, factor, 1)
    return factor, mean - factor * mean_codes
