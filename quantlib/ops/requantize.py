"""Accumulators to codes, in C."""

from __future__ import annotations

import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.affine import Granularity
from quantlib._arguments.arrays import FLOAT32, INT32, Array
from quantlib._arguments.output import RequantizeArguments, requantize_arguments
from quantlib.ops._remembered import Remembered, key_of
from quantlib.ops._results import room, settle
from quantlib.params import QType, as_array


def requantize(
    acc: npt.ArrayLike,
    multiplier: npt.ArrayLike,
    zero_point: npt.ArrayLike,
    *,
    axis: int = -1,
    out: Array | None = None,
) -> Array:
    data = as_array(acc, "acc")
    values = key_of(multiplier, zero_point, axis)
    key = None if values is None else (data.shape, data.dtype, values)
    known = _KNOWN.get(key)
    if known is None:
        known = _parameters(requantize_arguments(data, multiplier, zero_point, axis))
        _KNOWN.keep(key, known)
    data, (factor, zero, qtype, granularity) = _native.ready(data, INT32), known
    codes = room(out, data.shape, qtype.dtype, data)
    _native.requantize(data, codes, factor, zero, qtype, granularity)
    return settle(codes, out)


_KNOWN: Remembered[tuple[Array, int, QType, Granularity]] = Remembered()


def _parameters(call: RequantizeArguments) -> tuple[Array, int, QType, Granularity]:
    """What follows from the parameters, in arrays that nobody else can reach."""
    factor = _native.own(call.multiplier, FLOAT32)
    return factor, int(call.zero_point), call.qtype, call.granularity
