"""The arguments of the softmax, and its exponentials as integers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.affine import as_axis
from quantlib._arguments.arrays import Array
from quantlib._arguments.quantized import (
    Target,
    as_target,
    as_tensor_scale,
    as_tensor_zero_point,
)

ONE = 2**23  # the exponential of 0; float32 holds every smaller integer


@dataclass(frozen=True, slots=True)
class Softmax:
    """``rint(2**23 * exp(-x_scale * d))`` for the distances d of two codes, and the result's."""

    exponentials: npt.NDArray[np.int32]
    target: Target


def softmax_parameters(
    x_type: np.dtype[Any], x_scale: Any, x_zero_point: Any, y_scale: Any, y_zero_point: Any
) -> Softmax:
    """The checked parameters of ``qlinear_softmax``, for codes of this type."""
    scale = as_tensor_scale(x_scale, "x_scale")
    as_tensor_zero_point(x_zero_point, "x_zero_point", x_type, "x")
    return Softmax(_exponentials(scale), as_target(y_scale, y_zero_point, x_type))


def softmax_axis(x: Array, axis: Any) -> int:
    """The axis, counted from 0."""
    if x.ndim == 0:
        raise ValueError("x is a scalar; a softmax needs 1 dimension or more")
    return as_axis(axis, x.ndim)


@lru_cache(maxsize=64)
def _exponentials(scale: np.float32) -> npt.NDArray[np.int32]:
    """For the distances 0 to 255."""
    with np.errstate(under="ignore", over="ignore"):
        powers = ONE * np.exp(-float(scale) * np.arange(256))
    table: npt.NDArray[np.int32] = np.rint(powers).astype(np.int32)
    table.setflags(write=False)
    return table
