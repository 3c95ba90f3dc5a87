"""Weights rounded one input after the other, each error made up for by the inputs that are left."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array
from quantlib._arguments.correction import as_between
from quantlib.correction.adaround import as_layer, row_errors
from quantlib.params import QuantParams

__all__ = ["gptq", "gptq_of_gram"]

BLOCK = 128  # inputs whose errors are handed on together


def gptq(
    w: npt.ArrayLike,
    x: npt.ArrayLike,
    params: QuantParams,
    *,
    damping: float = 0.01,
    largest_first: bool = False,
) -> Array:
    """Codes of weights that change the outputs little, found without gradients.

    Parameters
    ----------
    w : array_like of float, shape (outputs, inputs)
        The weights of a product ``x @ w.T``; those of a convolution reshaped to
        ``(outputs, channels * kernel)``.
    x : array_like of float, shape (samples, inputs)
        What the layer is given: rows of calibration data.
    params : QuantParams
        The weights' parameters, per tensor or per channel along axis 0.
    damping : float
        What is added to the diagonal of the Gram matrix, in units of its mean; above 0. More lets
        weights differ less from the nearest codes.
    largest_first : bool
        Begin with the inputs of the largest squares, instead of the first.

    Returns
    -------
    numpy.ndarray of ``params.qtype.dtype``, shape (outputs, inputs)
        The codes. No row has a greater error of its outputs on `x` than with the nearest codes.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a shape does not fit, a value is not finite, or a number out of its range.

    See Also
    --------
    adaround : searches for longer, and moves no weight by more than a step.

    Notes
    -----
    With ``H = x.T @ x + damping * mean(diag) * I``, a row that changes by d changes its outputs by
    about ``d H d``. Input j is rounded to the nearest code; the error ``e_j`` this leaves is made
    up for as well as the inputs after j can, which is ``w_k -= e_j * C_jk / C_jj`` with C the
    inverse of the part of H from j on. Row j of the upper Cholesky factor of the inverse of H is
    that row of C, over the square root of ``C_jj``. Source: E. Frantar et al., "GPTQ: Accurate
    Post-Training Quantization for Generative Pre-trained Transformers", 2022,
    https://arxiv.org/abs/2210.17323.

    Examples
    --------
    >>> import numpy as np
    >>> import quantlib as ql
    >>> rng = np.random.default_rng(0)
    >>> x, w = rng.uniform(0, 1, (1000, 64)), rng.standard_normal((32, 64))
    >>> p = ql.calibrate(w, "minmax", "int4", symmetric=True, axis=0)
    >>> nearest, adapted = ql.quantize(w, p), ql.correction.gptq(w, x, p)
    >>> error = [np.mean((x @ (ql.dequantize(c, p) - w).T) ** 2) for c in (nearest, adapted)]
    >>> bool(error[1] < 0.35 * error[0])
    True
    """
    weights, gram = as_layer(w, x, params)
    share = as_between(damping, "damping", np.finfo(np.float64).tiny, np.finfo(np.float64).max)
    if not isinstance(largest_first, (bool, np.bool_)):
        raise TypeError(f"largest_first must be a bool, not {type(largest_first).__name__}")
    return gptq_of_gram(weights, gram, params, damping=share, largest_first=bool(largest_first))


def gptq_of_gram(
    weights: Array,
    gram: Array,
    params: QuantParams,
    *,
    damping: float = 0.01,
    largest_first: bool = False,
) -> Array:
    """`gptq` of data whose Gram matrix ``x.T @ x`` is known, both in float64."""
    scale = params.scale.astype(np.float64).reshape(-1, 1)
    zero = params.zero_point.astype(np.float64).reshape(-1, 1)
    limits = params.qtype.qmin - zero, params.qtype.qmax - zero
    position = weights / scale
    diagonal = np.diag(gram)
    order = np.argsort(-diagonal, kind="stable") if largest_first else np.arange(len(gram))
    damped = gram[np.ix_(order, order)].copy()
    mean = float(diagonal.mean()) if len(gram) else 0.0
    damped[np.diag_indices_from(damped)] += damping * mean if mean > 0 else 1.0
    inverse = np.linalg.inv(damped)
    factor = np.linalg.cholesky((inverse + inverse.T) / 2).T
    adapted = np.empty_like(position)
    adapted[:, order] = _walk(position[:, order], factor, limits)
    nearest = np.clip(np.rint(position), *limits)
    better = row_errors(adapted - position, gram) < row_errors(nearest - position, gram)
    codes: Array = np.where(better[:, np.newaxis], adapted, nearest) + zero
    return codes.astype(params.qtype.dtype)


def _walk(position: Array, factor: Array, limits: tuple[Array, Array]) -> Array:
    """The nearest codes, column by column, of what the columns before have left.

    Within a block errors are handed on at once, to the columns behind it together.
    """
    left, count = position.copy(), position.shape[1]
    for start in range(0, count, BLOCK):
        end = min(start + BLOCK, count)
        errors = np.empty((len(left), end - start))
        for column in range(start, end):
            rounded = np.clip(np.rint(left[:, [column]]), *limits)[:, 0]
            error = (left[:, column] - rounded) / factor[column, column]
            left[:, column] = rounded
            left[:, column + 1 : end] -= np.outer(error, factor[column, column + 1 : end])
            errors[:, column - start] = error
        left[:, end:] -= errors @ factor[start:end, end:]
    return left
