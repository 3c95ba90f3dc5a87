"""Parameters and codes as MindSpore Lite computes them.

They differ from `quantlib.QuantParams.from_range` and `quantlib.quantize` in three ways: ties round
away from zero, not to even; the zero point is added before rounding; and a range is never empty, so
that a channel of zeros has a scale of about 1e-10 and not 1. Source: MindSpore Lite,
src/common/quant_utils.cc, https://www.mindspore.cn/lite.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantlib.model.graph import Array

__all__ = ["lite_codes", "lite_params", "round_away"]

NARROWEST = 1e-10  # of a range
SMALLEST_SCALE = 1e-38


def round_away(x: npt.ArrayLike) -> Array:
    """`x` rounded to whole numbers, ties away from zero.

    >>> round_away([-2.5, -0.5, 0.49999999999999994, 1.5])
    array([-3., -1.,  0.,  2.])
    """
    reals = np.asarray(x, np.float64)
    whole = np.trunc(reals)
    # Adding 0.5 first would round the largest number below 0.5 up.
    rounded: Array = whole + np.where(np.abs(reals - whole) >= 0.5, np.copysign(1, reals), 0)
    return rounded


def lite_params(
    lo: npt.ArrayLike,
    hi: npt.ArrayLike,
    bits: int,
    *,
    symmetric: bool = False,
    narrow: bool = False,
) -> tuple[Array, Array]:
    """Scales (float64) and zero points (int64) of signed codes of `bits` bits for ranges.

    >>> lite_params(-1.0, 2.0, 4)
    (array(0.2), array(-3))
    """
    highest, lowest = (1 << (bits - 1)) - 1, -(1 << (bits - 1)) + int(narrow)
    levels = highest - lowest
    low = np.asarray(lo, np.float64)
    high = np.maximum(np.asarray(hi, np.float64), low + NARROWEST)
    if symmetric:
        scale = 2 * np.maximum(np.abs(low), np.abs(high)) / levels
        return np.asarray(scale), np.zeros(scale.shape, np.int64)
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    step = (high - low) / levels
    below = round_away(-low / step)
    low, high = -below * step, (levels - below) * step
    scale = np.asarray((high - low) / levels)
    return scale, np.asarray(round_away(lowest - low / scale), np.int64)


def lite_codes(x: Array, scale: Array, zero_point: Array, bits: int) -> Array:
    """``clip(round(x / scale + zero_point))``, as int8 or int16; all arrays broadcast.

    >>> lite_codes(np.array([-1.0, 0.0, 2.0]), np.array(3 / 255), np.array(-43), 8)
    array([-128,  -43,  127], dtype=int8)
    """
    limit = 1 << (bits - 1)
    usable = scale > SMALLEST_SCALE
    reals = x / np.where(usable, scale, 1) + zero_point
    codes = np.where(usable, np.clip(round_away(reals), -limit, limit - 1), 0)
    return codes.astype(np.int8 if bits <= 8 else np.int16)
