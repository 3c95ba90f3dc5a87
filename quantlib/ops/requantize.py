"""Accumulators to codes, in C."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array
from quantlib._arguments.output import requantize_arguments
from quantlib.ops._results import room, settle


def requantize(
    acc: npt.ArrayLike,
    multiplier: npt.ArrayLike,
    zero_point: npt.ArrayLike,
    *,
    axis: int = -1,
    out: Array | None = None,
) -> Array:
    call = requantize_arguments(acc, multiplier, zero_point, axis)
    data = _native.ready(call.data, np.int32)
    factor = _native.ready(call.multiplier, np.float32)
    codes = room(out, data.shape, call.qtype.dtype, data, factor)
    _native.requantize(data, codes, factor, int(call.zero_point), call.qtype, call.granularity)
    return settle(codes, out)
