"""Ranges that differ from channel to channel, made equal before quantization."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array
from quantlib._arguments.correction import as_between, as_finite

__all__ = ["cross_layer_equalization", "equalization_scales", "smooth_quant_scales"]


def equalization_scales(*ranges: npt.ArrayLike) -> list[Array]:
    """The factors between consecutive layers that make their ranges equal, channel by channel.

    Parameters
    ----------
    *ranges : array_like of float, shape (channels,)
        The largest magnitude of each channel's weights, of two or more layers in a row: of the
        first by output channels, of the last by input channels, of those between them by their own,
        of which they have one for each (depthwise layers).

    Returns
    -------
    list of numpy.ndarray of float64, shape (channels,)
        One fewer than there are layers. What the layer before produces is to be divided by it, and
        the weights of the layer after are to be multiplied with it.

    Raises
    ------
    TypeError
        If a range is not an array of reals.
    ValueError
        If there are fewer than two, their shapes differ or are not 1-D, or one is negative or not
        finite.

    Notes
    -----
    With ``c`` the geometric mean of the ranges ``r1, ..., rn`` of a channel,
    ``s_k = (r1 / c) * ... * (rk / c)`` makes all of them c. For two layers that is
    ``s = sqrt(r1 / r2)``. Where a range is 0, or a scale is not a positive number, the channel
    stays as it is. Source: M. Nagel et al., "Data-Free Quantization Through Weight Equalization
    and Bias Correction", 2019, https://arxiv.org/abs/1906.04721, section 4.1.

    Examples
    --------
    >>> from quantlib.correction import equalization_scales
    >>> equalization_scales([8.0, 1.0], [2.0, 4.0])
    [array([2. , 0.5])]
    """
    if len(ranges) < 2:
        raise ValueError(f"ranges holds {len(ranges)} layers; it takes two to equalize")
    reals = [_as_range(value, "ranges") for value in ranges]
    if len({array.shape for array in reals}) > 1:
        shapes = ", ".join(str(array.shape) for array in reals)
        raise ValueError(f"ranges have shapes {shapes}; they must be the same")
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.log(np.array(reals))
        steps = np.cumsum(logarithms - logarithms.mean(axis=0), axis=0)[:-1]
        scales = np.exp(steps)
    usable = np.all(np.isfinite(scales) & (scales > 0), axis=0)
    return [np.where(usable, scale, 1.0) for scale in scales]


def cross_layer_equalization(
    weights: Sequence[npt.ArrayLike], biases: Sequence[npt.ArrayLike | None] | None = None
) -> tuple[list[Array], list[Array | None]]:
    """Weights and biases of consecutive layers whose channels have equal ranges.

    Parameters
    ----------
    weights : sequence of array_like of float
        Of two or more layers, with nothing between them but ReLU (or another function with
        ``f(s * x) = s * f(x)`` for positive s), and no other user of what they hand on. The first
        has C output channels on axis 0, the last C input channels on axis 1; those between them
        are depthwise, of shape ``(C, 1, ...)``.
    biases : sequence of array_like of float or None, optional
        The bias of each layer, or None.

    Returns
    -------
    weights : list of numpy.ndarray
        In the types they had. The layers together compute what they did, up to rounding.
    biases : list of numpy.ndarray or None
        The same; that of the last layer is unchanged.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the shapes do not fit together, or a value is not finite.

    See Also
    --------
    equalization_scales : the formula, and its source.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.correction import cross_layer_equalization
    >>> (w1, w2), (b1, b2) = cross_layer_equalization(
    ...     [np.float32([[8.0, 4.0], [1.0, 0.5]]), np.float32([[2.0, 4.0]])],
    ...     [np.float32([2.0, 2.0]), None],
    ... )
    >>> w1.tolist(), b1.tolist(), w2.tolist()
    ([[4.0, 2.0], [2.0, 1.0]], [1.0, 4.0], [[4.0, 2.0]])
    """
    layers = [as_finite(w, "weights") for w in weights]
    offsets: list[Array | None] = [None] * len(layers)
    if biases is not None:
        offsets = [None if bias is None else as_finite(bias, "biases") for bias in biases]
    _check_chain(layers, offsets)
    last = len(layers) - 1
    axes = [1 if index == last else 0 for index in range(len(layers))]
    ranges = [_largest(w, axis) for w, axis in zip(layers, axes, strict=True)]
    scales = equalization_scales(*ranges)
    for index, scale in enumerate(scales):
        layers[index] = _scaled(layers[index], 1 / scale, 0)
        bias = offsets[index]
        if bias is not None:
            offsets[index] = _scaled(bias, 1 / scale, 0)
        layers[index + 1] = _scaled(layers[index + 1], scale, axes[index + 1])
    return layers, offsets


def smooth_quant_scales(
    x_range: npt.ArrayLike,
    w_range: npt.ArrayLike,
    alpha: float = 0.5,
    *,
    lowest: float = 1e-5,
    highest: float = 1e5,
) -> Array:
    """The factors that move the difficulty of quantization from activations to weights.

    Activations are to be divided by them, channel by channel, and the weights' input channels
    multiplied: the product stays the same.

    Parameters
    ----------
    x_range : array_like of float, shape (channels,)
        The largest magnitude of each channel of the activations, over the calibration data.
    w_range : array_like of float, shape (channels,)
        The largest magnitude of each input channel of the weights.
    alpha : float
        How much is moved, from 0 (the weights become equal) to 1 (the activations do).
    lowest, highest : float
        What the scales are clipped to, above 0. MindSpore Lite's bounds are 1e-5 and 100.

    Returns
    -------
    numpy.ndarray of float64, shape (channels,)
        ``clip(x_range**alpha / w_range**(1 - alpha), lowest, highest)``, and 1 where a range is 0.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the shapes differ or are not 1-D, a range is negative or not finite, or a number out of
        its range.

    Notes
    -----
    Source: G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for
    Large Language Models", 2022, https://arxiv.org/abs/2211.10438, equation 4.

    Examples
    --------
    >>> from quantlib.correction import smooth_quant_scales
    >>> smooth_quant_scales([100.0, 1.0, 0.0], [1.0, 4.0, 1.0])
    array([10. ,  0.5,  1. ])
    """
    x, w = _as_range(x_range, "x_range"), _as_range(w_range, "w_range")
    if x.shape != w.shape:
        raise ValueError(f"w_range has shape {w.shape}; it must have that of x_range, {x.shape}")
    share = as_between(alpha, "alpha", 0.0, 1.0)
    low = as_between(lowest, "lowest", np.finfo(np.float64).tiny, np.finfo(np.float64).max)
    high = as_between(highest, "highest", low, np.finfo(np.float64).max)
    usable = (x > 0) & (w > 0)
    logarithm = share * np.log(np.where(usable, x, 1)) - (1 - share) * np.log(
        np.where(usable, w, 1)
    )
    with np.errstate(over="ignore"):
        scales: Array = np.where(usable, np.clip(np.exp(logarithm), low, high), 1.0)
    return scales


def _as_range(value: npt.ArrayLike, name: str) -> Array:
    array = as_finite(value, name).astype(np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; it must be 1-D")
    if np.any(array < 0):
        raise ValueError(f"{name} must be 0 or more; it holds {array.min()}")
    return array


def _check_chain(layers: list[Array], offsets: list[Array | None]) -> None:
    if len(layers) < 2:
        raise ValueError(f"weights holds {len(layers)} layers; it takes two to equalize")
    if len(offsets) != len(layers):
        raise ValueError(f"biases holds {len(offsets)} entries; there are {len(layers)} weights")
    channels = layers[0].shape[0] if layers[0].ndim else 0
    last = len(layers) - 1
    for index, (w, bias) in enumerate(zip(layers, offsets, strict=True)):
        if w.ndim < 2:
            raise ValueError(f"weights of layer {index} have shape {w.shape}; they must be 2-D")
        found = w.shape[1] if index == last else w.shape[0]
        if found != channels or (0 < index < last and w.shape[1] != 1):
            raise ValueError(
                f"weights of layer {index} have shape {w.shape}, which does not continue the "
                f"{channels} channels of the first"
            )
        if bias is not None and bias.shape != (w.shape[0],):
            raise ValueError(f"biases of layer {index} have shape {bias.shape}, not {w.shape[:1]}")


def _largest(w: Array, axis: int) -> Array:
    others = tuple(index for index in range(w.ndim) if index != axis)
    largest: Array = np.abs(w.astype(np.float64)).max(axis=others, initial=0.0)
    return largest


def _scaled(array: Array, scale: Array, axis: int) -> Array:
    shape = [1] * array.ndim
    shape[axis] = scale.size
    product: Array = (array.astype(np.float64) * scale.reshape(shape)).astype(array.dtype)
    return product
