"""The arguments of resizing, and where each place of the result lies in the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.affine import as_axis
from quantlib._arguments.arrays import as_integers, as_sequence, one_of
from quantlib._arguments.conv import LARGEST_EXTENT, LARGEST_RESULT
from quantlib.params import as_array

MODES = ("nearest", "linear")
COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
MOST_AXES = 3
LARGEST_REMEMBERED = 4096  # an axis whose places are
Indices = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ResizeShape:
    """The data as (outer, extents, inner) with three resized axes; for each of those and for each
    place of the result along it, both neighbours and the weight of the second."""

    mode: str
    result: tuple[int, ...]
    outer: int
    inner: int
    extents: tuple[int, ...]
    out_extents: tuple[int, ...]
    first: tuple[Indices, ...]
    second: tuple[Indices, ...]
    weight: tuple[Reals, ...]


def resize_shape(
    x_shape: tuple[int, ...],
    *,
    scales: Any,
    sizes: Any,
    axes: Any,
    mode: Any,
    coordinate_transformation_mode: Any,
    nearest_mode: Any,
) -> ResizeShape:
    """The checked arguments of ``resize``, for an array of this shape."""
    mode, coordinates, nearest = _modes(mode, coordinate_transformation_mode, nearest_mode)
    factors, shape = _result(x_shape, scales, sizes, axes)
    resized = [axis for axis, factor in enumerate(factors) if factor != 1]
    begin, end = (resized[0], resized[-1] + 1) if resized else (0, 0)
    if end - begin > MOST_AXES:
        raise ValueError(
            f"{'scales' if sizes is None else 'sizes'} resizes axes {begin} to {end - 1}; "
            f"they may be {MOST_AXES} neighbours at most"
        )
    lead = MOST_AXES - (end - begin)
    places = [_kept(1)] * lead
    for axis in range(begin, end):
        extent, out, factor = x_shape[axis], shape[axis], factors[axis]
        if factor == 1:
            places.append(_kept(extent))
        else:
            make = _places if out <= LARGEST_REMEMBERED else _places.__wrapped__
            places.append(make(extent, out, factor, mode, coordinates, nearest))
    first, second, weight = zip(*places, strict=True)
    return ResizeShape(
        mode,
        shape,
        math.prod(shape[:begin]),
        math.prod(shape[end:]),
        (1,) * lead + x_shape[begin:end],
        (1,) * lead + shape[begin:end],
        first,
        second,
        weight,
    )


def check_resizing(
    *,
    scales: Any,
    sizes: Any,
    axes: Any,
    mode: Any,
    coordinate_transformation_mode: Any,
    nearest_mode: Any,
) -> None:
    """Raise if no array can be resized by these arguments, as far as that is seen without one."""
    _modes(mode, coordinate_transformation_mode, nearest_mode)
    _require_one(scales, sizes)
    if axes is not None:
        as_sequence(axes, "axes")
    if sizes is not None:
        as_integers(sizes, "sizes", len(as_sequence(sizes, "sizes")))
    else:
        _as_scales(scales, np.size(scales))


def _modes(mode: Any, coordinates: Any, nearest: Any) -> tuple[str, str, str]:
    return (
        one_of(mode, "mode", *MODES),
        one_of(coordinates, "coordinate_transformation_mode", *COORDINATES),
        one_of(nearest, "nearest_mode", *NEAREST),
    )


def _require_one(scales: Any, sizes: Any) -> None:
    if (scales is None) == (sizes is None):
        raise ValueError("either scales or sizes must be given, and not both")


def _result(
    shape: tuple[int, ...], scales: Any, sizes: Any, axes: Any
) -> tuple[list[float], tuple[int, ...]]:
    """The factor, a float32, and the extent of the result, of each axis."""
    _require_one(scales, sizes)
    places = list(range(len(shape)))
    if axes is not None:
        places = [as_axis(axis, len(shape), "axes") for axis in as_sequence(axes, "axes")]
        if len(set(places)) < len(places):
            raise ValueError(f"axes is {tuple(axes)}; each may be named once")
    factors, result = [1.0] * len(shape), list(shape)
    if scales is not None:
        for axis, factor in zip(places, _as_scales(scales, len(places)), strict=True):
            with np.errstate(over="ignore"):
                extent = float(factor * np.float32(shape[axis]))
            factors[axis], result[axis] = float(factor), int(min(extent, 2.0 * LARGEST_EXTENT))
    else:
        for axis, size in zip(places, as_integers(sizes, "sizes", len(places)), strict=True):
            if not (shape[axis] == size or (1 <= size <= LARGEST_EXTENT and shape[axis] > 0)):
                raise ValueError(
                    f"sizes has {size} for an axis of {shape[axis]}; it must be 1 to "
                    f"{LARGEST_EXTENT}, and nothing cannot be resized"
                )
            result[axis] = size
            if size != shape[axis]:
                factor = float(np.float32(size) / np.float32(shape[axis]))
                # float32 cannot tell very large sizes apart; they are resized all the same.
                factors[axis] = factor if factor != 1 else math.nextafter(1, 2)
    name = "scales" if sizes is None else "sizes"
    if max(result, default=0) > LARGEST_EXTENT:
        raise ValueError(f"{name} makes an axis longer than {LARGEST_EXTENT}: {max(result)}")
    if math.prod(max(extent, 1) for extent in result) > LARGEST_RESULT:
        raise ValueError(f"{name} makes a result of shape {result}, larger than any memory")
    return factors, tuple(result)


def _as_scales(scales: Any, count: int) -> Reals:
    array = as_array(scales, "scales")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"scales must be real numbers, not {array.dtype}")
    if array.shape != (count,):
        raise ValueError(f"scales has shape {array.shape}; it must be ({count},)")
    with np.errstate(over="ignore", under="ignore"):
        factors: Reals = array.astype(np.float32)
    if not np.all((factors > 0) & np.isfinite(factors)):
        raise ValueError(f"scales must be finite and greater than 0 in float32; it is {scales}")
    return factors


def _kept(extent: int) -> tuple[Indices, Indices, Reals]:
    """The places of an axis that stays as it is."""
    same = np.arange(extent, dtype=np.int64)
    return same, same, np.zeros(extent, np.float32)


@lru_cache(maxsize=256)
def _places(
    extent: int, out: int, factor: float, mode: str, coordinates: str, nearest: str
) -> tuple[Indices, Indices, Reals]:
    """Both neighbours of each place along an axis, and the weight of the second."""
    last = max(extent - 1, 0)
    at = _coordinates(extent, out, np.float32(factor), coordinates)
    weight = np.zeros(out, np.float32)
    if mode == "nearest":
        first = second = np.clip(_round(at, nearest).astype(np.int64), 0, last)
    else:
        inside = np.clip(at, 0, last)
        first = np.floor(inside).astype(np.int64)
        second = np.minimum(first + 1, last)
        weight = (inside - first.astype(np.float32)).astype(np.float32)
    for array in (first, second, weight):
        array.setflags(write=False)
    return first, second, weight


def _coordinates(extent: int, out: int, factor: np.float32, mode: str) -> Reals:
    """Where each place of the result lies in the data: ONNX's formulas, in float32."""
    one, half = np.float32(1), np.float32(0.5)
    x = np.arange(out, dtype=np.float32)
    if mode == "asymmetric":
        return x / factor
    if mode == "align_corners":
        if out == 1:
            return np.zeros(1, np.float32)
        return x * np.float32(extent - 1) / np.float32(out - 1)
    if mode == "pytorch_half_pixel" and out <= 1:
        return np.zeros(out, np.float32)
    at: Reals = (x + half) / factor - half
    if mode == "half_pixel_symmetric":
        adjustment = np.float32(out) / (factor * np.float32(max(extent, 1)))
        at = np.float32(extent) * half * (one - adjustment) + at
    return at


def _round(at: Reals, mode: str) -> Reals:
    """Coordinates as whole numbers."""
    if mode == "floor":
        return np.floor(at)
    if mode == "ceil":
        return np.ceil(at)
    down = np.floor(at)
    rest = at - down
    up = rest > 0.5 if mode == "round_prefer_floor" else rest >= 0.5
    return down + up.astype(np.float32)
