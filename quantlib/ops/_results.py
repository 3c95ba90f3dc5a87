"""Where results go: a new array, or the caller's ``out``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quantlib import _native
from quantlib._arguments.arrays import Array, check_out

ALIGNMENT = 64  # a cache line, and the widest store: one that straddles two lines costs two
SMALL = 64 * 1024  # bytes, below which aligning takes longer than it saves


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """A new array; one that takes a while to fill begins at a cache line."""
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    return np.ndarray(shape, dtype, memory, -_native.address(memory) % ALIGNMENT)


def room(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], *inputs: Array) -> Array:
    """The array for C to fill: `out` if it is contiguous and apart from the inputs, or a new one.

    `settle` brings a new one to `out`.
    """
    if out is None:
        return empty(shape, dtype)
    fits = type(out) is np.ndarray and out.dtype is dtype and out.shape == shape
    if not (fits and out.flags.carray):  # the checks in full, which tell what is wrong
        check_out(out, shape, dtype)
        if not out.flags.carray:
            return empty(shape, dtype)
    for array in inputs:
        base = array.base
        owner = array if base is None else base
        if (
            out.base is None
            and out is not owner
            and (base is None or (type(base) is np.ndarray and base.base is None))
        ):
            continue  # different owners have different memory, which is soon found out
        if np.may_share_memory(out, array):
            return empty(shape, dtype)
    return out  # type: ignore[no-any-return]


def settle(result: Array, out: Any) -> Array:
    """`result`, written to `out` if that was given and is not where it is already."""
    if out is None or out is result:
        return result
    out[...] = result
    return out  # type: ignore[no-any-return]


def contiguous(codes: Array) -> Array:
    """Codes of one byte as C reads them, or a copy: alignment is no question for them."""
    return codes if codes.flags.c_contiguous else codes.copy()
