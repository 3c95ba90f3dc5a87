"""Resizing images, with OpenCV's conventions.

An output pixel i of an axis with n input and m output pixels lies at ``(i + 0.5) * n / m - 0.5``:
pixels are areas whose centres are half a pixel from the edges. What lies beyond an edge is the
pixel at the edge. Shrinking does not average ("no antialias"). Sources: OpenCV,
https://docs.opencv.org/4.x/da/d54/group__imgproc__transform.html; R. G. Keys, "Cubic convolution
interpolation for digital image processing", 1981, https://doi.org/10.1109/TASSP.1981.1163711.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantlib.model.graph import Array

__all__ = ["METHODS", "resize"]

A = -0.75  # Keys' free parameter, the slope at 1


def resize(image: Array, height: int, width: int, method: str) -> Array:
    """An image of another size.

    Parameters
    ----------
    image : numpy.ndarray of float32, shape (height, width, channels)
        What to resize.
    height, width : int
        The new size. The ratio of the two is not kept.
    method : {"LINEAR", "NEAREST", "CUBIC"}
        Between two pixels, the nearest one (that at ``floor(i * n / m)``), or between four.

    Returns
    -------
    numpy.ndarray of float32, shape (height, width, channels)

    Examples
    --------
    >>> ramp = np.float32([[[0], [10]]])
    >>> resize(ramp, 1, 4, "LINEAR")[0, :, 0].tolist()
    [0.0, 2.5, 7.5, 10.0]
    >>> resize(ramp, 1, 4, "NEAREST")[0, :, 0].tolist()
    [0.0, 0.0, 10.0, 10.0]
    >>> resize(ramp, 1, 4, "CUBIC")[0, :, 0].tolist()
    [-1.0546875, 2.265625, 7.734375, 11.0546875]
    """
    wide = _along(image, 1, width, METHODS[method])
    return _along(wide, 0, height, METHODS[method])


Taps = tuple[Array, Array]  # the input pixels of each output pixel and their weights, (m, taps)


def _along(image: Array, axis: int, size: int, taps_of: Callable[[int, int], Taps]) -> Array:
    pixels, weights = taps_of(image.shape[axis], size)
    pixels = np.clip(pixels, 0, image.shape[axis] - 1)
    shape = [1, 1, 1]
    shape[axis] = size
    total = np.take(image, pixels[:, 0], axis) * weights[:, 0].reshape(shape)
    for tap in range(1, pixels.shape[1]):
        total += np.take(image, pixels[:, tap], axis) * weights[:, tap].reshape(shape)
    return total


def _nearest(before: int, after: int) -> Taps:
    pixels = np.floor(np.arange(after) * (before / after)).astype(np.intp)
    return pixels[:, np.newaxis], np.ones((after, 1), np.float32)


def _places(before: int, after: int) -> tuple[Array, Array]:
    """The input pixel at or before each output pixel, and how far behind it that is."""
    places = (np.arange(after) + 0.5) * (before / after) - 0.5
    first = np.floor(places)
    return first.astype(np.intp), places - first


def _linear(before: int, after: int) -> Taps:
    first, rest = _places(before, after)
    pixels = first[:, np.newaxis] + np.arange(2)
    return pixels, np.stack([1 - rest, rest], axis=1).astype(np.float32)


def _cubic(before: int, after: int) -> Taps:
    first, rest = _places(before, after)
    pixels = first[:, np.newaxis] + np.arange(-1, 3)
    near, far = _cubic_near(np.stack([rest, 1 - rest])), _cubic_far(np.stack([rest, 1 - rest]))
    weights = np.stack([far[0], near[0], near[1], far[1]], axis=1)
    return pixels, weights.astype(np.float32)


def _cubic_near(distance: Array) -> Array:
    """The weight of a pixel up to 1 away."""
    weight: Array = ((A + 2) * distance - (A + 3)) * distance**2 + 1
    return weight


def _cubic_far(distance: Array) -> Array:
    """The weight of a pixel 1 further away than `distance`, which is up to 1."""
    away = 1 + distance
    weight: Array = ((A * away - 5 * A) * away + 8 * A) * away - 4 * A
    return weight


METHODS: dict[str, Callable[[int, int], Taps]] = {
    "LINEAR": _linear,
    "NEAREST": _nearest,
    "CUBIC": _cubic,
}
