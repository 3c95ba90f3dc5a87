"""How far an approximation is from what it stands for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array
from quantlib._arguments.correction import as_pair, other_axes

__all__ = ["cosine_similarity", "relative_error", "sqnr"]


def sqnr(x: npt.ArrayLike, approximation: npt.ArrayLike, *, axis: int | None = None) -> Array:
    """Signal-to-quantization-noise ratio in decibels, ``10 * log10(sum x**2 / sum (x - y)**2)``.

    Parameters
    ----------
    x : array_like of float or int
        What is meant, finite.
    approximation : array_like of float or int
        What stands for it, y in the formula, of the same shape.
    axis : int, optional
        The channel axis: every index along it is measured by itself.

    Returns
    -------
    numpy.ndarray of float64
        Shape ``()``, or ``(channels,)`` with `axis`. Infinity where both are equal, -infinity
        where only x is 0. 6.02 dB are one bit.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the shapes differ, a value is not finite, or `axis` is no axis of `x`.

    Notes
    -----
    The figure of merit of quantizers since W. R. Bennett, "Spectra of quantized signals", 1948,
    https://doi.org/10.1002/j.1538-7305.1948.tb01340.x.

    Examples
    --------
    >>> from quantlib.correction import sqnr
    >>> sqnr([1.0, 2.0, 2.0], [1.0, 2.0, 2.3]).round(6)
    np.float64(20.0)
    """
    signal, noise, _ = _sums(x, approximation, axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * np.log10(signal / noise)
    result: Array = np.where(noise == 0, np.inf, ratio)[()]
    return result


def relative_error(
    x: npt.ArrayLike, approximation: npt.ArrayLike, *, axis: int | None = None
) -> Array:
    """Length of the error relative to the length of the signal, ``norm(x - y) / norm(x)``.

    Parameters
    ----------
    x, approximation, axis
        As for `sqnr`.

    Returns
    -------
    numpy.ndarray of float64
        Shape ``()``, or ``(channels,)`` with `axis`; 0 where both are equal, infinity where only x
        is 0.

    Raises
    ------
    TypeError, ValueError
        As `sqnr` does.

    Examples
    --------
    >>> from quantlib.correction import relative_error
    >>> relative_error([3.0, 4.0], [3.0, 4.5]).round(6)
    np.float64(0.1)
    """
    signal, noise, _ = _sums(x, approximation, axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(noise) / np.sqrt(signal)
    result: Array = np.where(noise == 0, 0.0, ratio)[()]
    return result


def cosine_similarity(
    x: npt.ArrayLike, approximation: npt.ArrayLike, *, axis: int | None = None
) -> Array:
    """Cosine of the angle between both, ``sum x * y / (norm(x) * norm(y))``.

    Parameters
    ----------
    x, approximation, axis
        As for `sqnr`.

    Returns
    -------
    numpy.ndarray of float64
        Shape ``()``, or ``(channels,)`` with `axis`; from -1 to 1. 1 where both are 0, and 0 where
        only one of them is.

    Raises
    ------
    TypeError, ValueError
        As `sqnr` does.

    Notes
    -----
    It does not see an error of the scale: a measure of direction, which is what embeddings are
    compared by.

    Examples
    --------
    >>> from quantlib.correction import cosine_similarity
    >>> cosine_similarity([1.0, 0.0], [3.0, 4.0])
    np.float64(0.6)
    """
    signal, _, (product, other) = _sums(x, approximation, axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = product / (np.sqrt(signal) * np.sqrt(other))
    both_zero = (signal == 0) & (other == 0)
    result = np.where((signal == 0) | (other == 0), np.where(both_zero, 1.0, 0.0), cosine)
    clipped: Array = np.clip(result, -1, 1)[()]
    return clipped


def _sums(
    x: npt.ArrayLike, approximation: npt.ArrayLike, axis: int | None
) -> tuple[Array, Array, tuple[Array, Array]]:
    """Sums of ``x**2``, ``(x - y)**2``, and of ``x * y`` and ``y**2``.

    Both are first divided by the largest magnitude, so that no square overflows or vanishes.
    """
    a, b = as_pair(x, approximation, ("x", "approximation"))
    axes = other_axes(a.ndim, axis)
    largest = np.maximum(np.abs(a), np.abs(b)).max(axis=axes, keepdims=True, initial=0.0)
    scale = np.where(largest > 0, largest, 1)
    a, b = a / scale, b / scale
    return (
        np.sum(a * a, axis=axes),
        np.sum((a - b) ** 2, axis=axes),
        (np.sum(a * b, axis=axes), np.sum(b * b, axis=axes)),
    )
