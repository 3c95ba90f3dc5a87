"""Resize and Upsample: each axis by itself, as a gather or as a small matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quantlib.model.graph import Node
from quantlib.model.operators.registry import Array, Kernel, Known, operator

_MODES = ("nearest", "linear", "cubic")
_COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
)


@operator("Upsample")
def upsample(node: Node, known: Known) -> Kernel | None:
    if node.attributes.get("mode", "nearest") != "nearest" or known.dtype(0) is None:
        return None
    fixed = node.attributes.get("scales")

    def run(x: Array, scales: Any = fixed) -> Array:
        for axis, scale in enumerate(scales):
            extent = math.floor(x.shape[axis] * float(scale))
            places = np.floor(np.arange(extent) / float(scale)).astype(np.intp)
            x = np.take(x, places, axis)
        return x

    return Kernel(run)


@operator("Resize")
def resize(node: Node, known: Known) -> Kernel | None:
    attributes = node.attributes
    mode = attributes.get("mode", "nearest")
    coordinates = attributes.get("coordinate_transformation_mode", "half_pixel")
    plain = (
        node.version >= 11
        and mode in _MODES
        and coordinates in _COORDINATES
        and not attributes.get("antialias", 0)
        and not attributes.get("exclude_outside", 0)
        and attributes.get("keep_aspect_ratio_policy", "stretch") == "stretch"
    )
    if not plain or (mode != "nearest" and known.dtype(0) not in (np.float32, np.float64)):
        return None
    rounding = attributes.get("nearest_mode", "round_prefer_floor")
    coefficient = attributes.get("cubic_coeff_a", -0.75)
    axes = attributes.get("axes")

    def run(x: Array, roi: Any = None, scales: Any = None, sizes: Any = None) -> Array:
        sizes = None if sizes is None or len(sizes) == 0 else sizes
        selected = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes]
        for index, axis in enumerate(selected):
            extent = x.shape[axis]
            if sizes is not None:
                out = int(sizes[index])
                scale = out / extent
            else:
                scale = float(scales[index])
                out = math.floor(extent * scale)
            if scale == 1 and out == extent:
                continue
            places = _positions(coordinates, out, extent, scale, sizes is not None)
            if mode == "nearest":
                x = np.take(x, _nearest(places, rounding, extent), axis)
            else:
                matrix = _weights(places, extent, mode, coefficient).astype(x.dtype)
                x = np.moveaxis(np.tensordot(x, matrix, (axis, 1)), -1, axis)
        return np.ascontiguousarray(x)

    return Kernel(run)


def _positions(mode: str, out: int, extent: int, scale: Any, by_size: bool) -> Array:
    """Where the output's elements lie, in units of the input's."""
    index = np.arange(out, dtype=np.float32)  # others round in float32, and places are floored
    scale = np.float32(scale)
    if mode == "align_corners":
        resized = out if by_size else extent * scale  # not rounded to whole elements
        return index * (extent - 1) / (resized - 1) if out > 1 else index * 0
    if mode == "asymmetric":
        return index / scale
    if mode == "pytorch_half_pixel" and out <= 1:
        return index * 0
    places = (index + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        adjusted = out / (extent * scale)
        center = extent / 2
        return center * (1 - adjusted) + (index + 0.5) / scale - 0.5
    return places


def _nearest(places: Array, rounding: str, extent: int) -> Array:
    if rounding == "floor":
        index = np.floor(places)
    elif rounding == "ceil":
        index = np.ceil(places)
    elif rounding == "round_prefer_ceil":
        index = np.floor(places + 0.5)
    else:
        index = np.ceil(places - 0.5)
    return np.clip(index, 0, extent - 1).astype(np.intp)


def _weights(places: Array, extent: int, mode: str, coefficient: float) -> Array:
    """The matrix (out, in) that interpolates; what lies outside repeats the edge."""
    base = np.floor(places)
    offsets = (0, 1) if mode == "linear" else (-1, 0, 1, 2)
    matrix = np.zeros((places.size, extent))
    for offset in offsets:
        distance = np.abs(places - (base + offset))
        weight = 1 - distance if mode == "linear" else _cubic(distance, coefficient)
        index = np.clip(base + offset, 0, extent - 1).astype(np.intp)
        np.add.at(matrix, (np.arange(places.size), index), weight)
    return matrix


def _cubic(t: Array, a: float) -> Array:
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))
