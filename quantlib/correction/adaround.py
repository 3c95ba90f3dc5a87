"""Weights rounded up or down by what that does to the outputs, not to the nearest code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array
from quantlib._arguments.correction import as_between, as_finite
from quantlib.params import QuantParams, as_index

__all__ = ["adaround", "as_layer", "row_errors"]

STRETCH, SHIFT = 1.2, -0.1  # of the sigmoid, so that it reaches 0 and 1
SHARPEST, SMOOTHEST = 20.0, 2.0  # the regularizer's exponent, from the first step to the last
WARM_UP = 0.2  # the share of the steps without regularizer
RATE, FIRST_DECAY, SECOND_DECAY, TINY = 1e-2, 0.9, 0.999, 1e-8  # of Adam


def adaround(
    w: npt.ArrayLike,
    x: npt.ArrayLike,
    params: QuantParams,
    *,
    steps: int = 1000,
    regularization: float = 0.2,
    progress: Callable[[int, int | None], None] | None = None,
) -> Array:
    """Codes of weights, each rounded up or down, that change the outputs least.

    Parameters
    ----------
    w : array_like of float, shape (outputs, inputs)
        The weights of a product ``x @ w.T``; those of a convolution reshaped to
        ``(outputs, channels * kernel)``.
    x : array_like of float, shape (samples, inputs)
        What the layer is given: rows of calibration data; for a convolution the patches that it
        multiplies.
    params : QuantParams
        The weights' parameters, per tensor or per channel along axis 0.
    steps : int
        How many steps of gradient descent, 0 or more.
    regularization : float
        The weight of the term that drives each decision to up or down, 0 or more.
    progress : callable, optional
        Called now and then with the steps done, and all.

    Returns
    -------
    numpy.ndarray of ``params.qtype.dtype``, shape (outputs, inputs)
        The codes. Each is that of the real just below or just above the weight, and no row has a
        greater error of its outputs than with the nearest codes.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a shape does not fit, a value is not finite, or a number out of its range.

    Notes
    -----
    With ``G = x.T @ x / samples``, a row that changes by d changes its outputs by ``d G d`` on
    average. The codes are ``clip(floor(w / s) + z + h(v))``, with a variable v for each weight and
    ``h(v) = clip(1.2 * sigmoid(v) - 0.1, 0, 1)``, which starts at the weight itself. What is
    minimized is ``d G d`` in units of the step, divided by the mean of G's diagonal, plus
    ``regularization * sum 1 - |2 * h(v) - 1|**b``, with b going from 20 to 2, by Adam. At the end
    h is rounded, and rows that came out worse than with the nearest codes get those.
    Source: M. Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", 2020,
    https://arxiv.org/abs/2004.10568, equations 21 to 24; the Gram matrix stands for the data.

    Examples
    --------
    >>> import numpy as np
    >>> import quantlib as ql
    >>> rng = np.random.default_rng(0)
    >>> x, w = rng.uniform(0, 1, (1000, 64)), rng.standard_normal((32, 64))
    >>> p = ql.calibrate(w, "minmax", "int4", symmetric=True, axis=0)
    >>> nearest, adapted = ql.quantize(w, p), ql.correction.adaround(w, x, p)
    >>> error = [np.mean((x @ (ql.dequantize(c, p) - w).T) ** 2) for c in (nearest, adapted)]
    >>> bool(error[1] < 0.35 * error[0])
    True
    """
    weights, gram = as_layer(w, x, params)
    count = as_index(steps, "steps")
    if count < 0:
        raise ValueError(f"steps is {count}; it must be 0 or more")
    pull = as_between(regularization, "regularization", 0.0, np.inf)
    scale = params.scale.astype(np.float64).reshape(-1, 1)
    zero = params.zero_point.astype(np.float64).reshape(-1, 1)
    limits = params.qtype.qmin - zero, params.qtype.qmax - zero
    position = weights / scale
    nearest = np.clip(np.rint(position), *limits)
    up = _descend(position, gram, limits, count, pull, progress)
    adapted = np.clip(np.floor(position) + (up >= 0.5), *limits)
    better = row_errors(adapted - position, gram) < row_errors(nearest - position, gram)
    chosen = np.where(better[:, np.newaxis], adapted, nearest)
    codes: Array = (chosen + zero).astype(params.qtype.dtype)
    return codes


def as_layer(w: npt.ArrayLike, x: npt.ArrayLike, params: QuantParams) -> tuple[Array, Array]:
    """The weights, and the Gram matrix of the data, whose diagonal has the mean 1."""
    weights, data = (as_finite(v, name).astype(np.float64) for v, name in ((w, "w"), (x, "x")))
    if weights.ndim != 2:
        raise ValueError(f"w has shape {weights.shape}; it must be 2-D")
    if data.ndim != 2 or data.shape[1] != weights.shape[1] or data.shape[0] == 0:
        raise ValueError(
            f"x has shape {data.shape}; it must be (samples, {weights.shape[1]}), with one or more"
        )
    if not isinstance(params, QuantParams):
        raise TypeError(f"params must be QuantParams, not {type(params).__name__}")
    along = params.axis is None or params.axis in (0, -2)
    if params.granularity == "blocked" or not along or params.scale.size not in (1, len(weights)):
        raise ValueError(
            f"params are {params.granularity} with axis {params.axis} and {params.scale.size} "
            f"scales; they must be per-tensor, or per-channel along axis 0 of {weights.shape}"
        )
    largest = np.abs(data).max(initial=0.0)
    data /= largest if largest > 0 else 1
    gram = data.T @ data
    diagonal = np.trace(gram) / max(len(gram), 1)
    return weights, gram / diagonal if diagonal > 0 else gram


def row_errors(change: Array, gram: Array) -> Array:
    """What the outputs of each row change by, as a sum of squares."""
    errors: Array = np.sum((change @ gram) * change, axis=1)
    return errors


def _descend(
    position: Array,
    gram: Array,
    limits: tuple[Array, Array],
    steps: int,
    pull: float,
    progress: Callable[[int, int | None], None] | None,
) -> Array:
    """How far up each weight goes, from 0 to 1, in units of its step."""
    floor = np.floor(position)
    start = np.clip((position - floor - SHIFT) / STRETCH, 1e-6, 1 - 1e-6)
    v = np.log(start / (1 - start))
    mean, square = np.zeros_like(v), np.zeros_like(v)
    warm_up = int(WARM_UP * steps)
    for step in range(1, steps + 1):
        sigmoid = 1 / (1 + np.exp(-v))
        stretched = STRETCH * sigmoid + SHIFT
        h = np.clip(stretched, 0, 1)
        level = floor + h
        inside = (limits[0] <= level) & (level <= limits[1])
        change = np.clip(level, *limits) - position
        slope = np.where(inside, 2 * (change @ gram), 0)
        if step > warm_up:
            done = (step - warm_up) / max(steps - warm_up, 1)
            power = SMOOTHEST + (SHARPEST - SMOOTHEST) * (1 + np.cos(np.pi * done)) / 2
            signed = 2 * h - 1
            slope -= pull * 2 * power * np.sign(signed) * np.abs(signed) ** (power - 1)
        slope *= np.where((stretched > 0) & (stretched < 1), STRETCH * sigmoid * (1 - sigmoid), 0)
        mean = FIRST_DECAY * mean + (1 - FIRST_DECAY) * slope
        square = SECOND_DECAY * square + (1 - SECOND_DECAY) * slope * slope
        moved = mean / (1 - FIRST_DECAY**step)
        v -= RATE * moved / (np.sqrt(square / (1 - SECOND_DECAY**step)) + TINY)
        if progress is not None and (step % 100 == 0 or step == steps):
            progress(step, steps)
    result: Array = np.clip(STRETCH / (1 + np.exp(-v)) + SHIFT, 0, 1)
    return result
