"""The arguments of `quantlib.correction`."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlib._arguments.affine import as_axis
from quantlib._arguments.arrays import FLOAT64, Array, as_real


def as_finite(value: Any, name: str) -> Array:
    """`value` as reals without NaN and infinity, in their own type."""
    array = as_real(value, name)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite; it holds {array[~np.isfinite(array)].flat[0]}")
    return array


def as_pair(first: Any, second: Any, names: tuple[str, str]) -> tuple[Array, Array]:
    """Two arrays of one shape, as float64."""
    a, b = as_finite(first, names[0]), as_finite(second, names[1])
    if a.shape != b.shape:
        raise ValueError(
            f"{names[1]} has shape {b.shape}; it must have the shape of {names[0]}, {a.shape}"
        )
    return a.astype(FLOAT64), b.astype(FLOAT64)


def other_axes(rank: int, axis: Any) -> tuple[int, ...]:
    """All axes but `axis`; all if it is None."""
    kept = None if axis is None else as_axis(axis, rank)
    return tuple(index for index in range(rank) if index != kept)


def require_values(array: Array, axes: tuple[int, ...], name: str) -> None:
    """Raise if there is nothing to average over."""
    if any(array.shape[index] == 0 for index in axes) or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}: it holds no value to average")


def as_between(value: Any, name: str, low: float, high: float) -> float:
    """A number from `low` to `high`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; it must be from {low:g} to {high:g}")
    return float(value)
