"""The arguments of the softmax, and its exponentials as integers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.affine import as_axis
from quantlib._arguments.quantized import Source, Target, as_source, as_target

ONE = 2**23  # the exponential of 0; float32 holds every smaller integer


def softmax_arguments(
    x: tuple[Any, ...], y_scale: Any, y_zero_point: Any, axis: Any
) -> tuple[Source, Target, int]:
    """The checked arguments of ``qlinear_softmax``; the axis counts from 0."""
    source = as_source("x", *x)
    target = as_target(y_scale, y_zero_point, source.data.dtype)
    if source.data.ndim == 0:
        raise ValueError("x is a scalar; a softmax needs 1 dimension or more")
    return source, target, as_axis(axis, source.data.ndim)


@lru_cache(maxsize=64)
def exponentials(scale: np.float32) -> npt.NDArray[np.int32]:
    """``rint(2**23 * exp(-scale * d))`` for the distances 0 to 255 between two codes."""
    with np.errstate(under="ignore", over="ignore"):
        powers = ONE * np.exp(-float(scale) * np.arange(256))
    table: npt.NDArray[np.int32] = np.rint(powers).astype(np.int32)
    table.setflags(write=False)
    return table
