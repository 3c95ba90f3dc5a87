"""Codes and reals that only change their places."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quantlib._arguments.arrays import Array
from quantlib._native.library import Bound, bound, ffi, lib, pointer_to


def transpose(x: Array, y: Array) -> None:
    """``y[n, j, i] = x[n, i, j]`` for contiguous 3-D arrays of 1-byte or 4-byte elements."""
    lib.ql_transpose(pointer_to(x), pointer_to(y), *x.shape, x.itemsize)


def bind_transpose(x: Array, y: Array) -> Bound:
    """The same with all of its arguments."""
    return bound(lib.ql_transpose, pointer_to(x), pointer_to(y), *x.shape, x.itemsize)


def bind_join(parts: Sequence[Array], y: Array, axis: int) -> list[Bound]:
    """Calls that put contiguous arrays side by side along an axis of `y`, contiguous, too."""
    calls, first = [], 0
    row = math.prod(y.shape[axis:]) * y.itemsize
    target = ffi.cast("char *", pointer_to(y))
    for part in parts:
        size = math.prod(part.shape[axis:]) * y.itemsize
        rows = part.nbytes // size if size else 0
        arguments = (pointer_to(part), size, target + first, row, rows, size)
        calls.append(bound(lib.ql_copy_rows, *arguments, kept=y))
        first += size
    return calls
