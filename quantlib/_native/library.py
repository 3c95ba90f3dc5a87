"""The compiled module, and how arrays are handed to it: pointers, types, statuses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from quantlib._arguments.arrays import Array

try:
    from quantlib._quantlib import ffi, lib
except ImportError as error:
    raise ImportError(
        "quantlib has no compiled module here. If this is the source folder, Python found it "
        "instead of the installed package: run `pip install .` in it and start Python in another "
        "folder, or run `pip install --no-build-isolation -e .` to work on quantlib itself."
    ) from error

__all__ = [
    "CHARS",
    "FLOATS",
    "INT32S",
    "INT64S",
    "KINDS",
    "TYPES",
    "Bound",
    "address",
    "address_of",
    "bound",
    "check",
    "ffi",
    "float32s",
    "from_buffer",
    "int32s",
    "is_signed",
    "lib",
    "own",
    "pointer_to",
    "ready",
]

TYPES = {
    np.dtype(np.float32): lib.QL_FLOAT32,
    np.dtype(np.float64): lib.QL_FLOAT64,
    np.dtype(np.int8): lib.QL_INT8,
    np.dtype(np.uint8): lib.QL_UINT8,
    np.dtype(np.int16): lib.QL_INT16,
    np.dtype(np.uint16): lib.QL_UINT16,
    np.dtype(np.int32): lib.QL_INT32,
}
KINDS = {
    "per-tensor": lib.QL_PER_TENSOR,
    "per-channel": lib.QL_PER_CHANNEL,
    "blocked": lib.QL_BLOCKED,
}


def check(status: int) -> None:
    """Raise what a status means."""
    if status == 0:
        return
    if status == lib.QL_NO_MEMORY:
        raise MemoryError("quantlib could not allocate its working memory")
    if status == lib.QL_OVERFLOW:
        raise OverflowError("an accumulator does not fit int32")


from_buffer = ffi.from_buffer
CHARS, INT32S, INT64S, FLOATS = (
    ffi.typeof(name) for name in ("char[]", "int32_t[]", "int64_t[]", "float[]")
)


def pointer_to(array: Array) -> Any:
    """Any type's pointer, for parameters that are ``void *``."""
    return ffi.from_buffer(CHARS, array)


_ADDRESS = ffi.typeof("uintptr_t")


def address(array: Array) -> int:
    """Where the elements of a contiguous array begin; ``ctypes.data`` takes three times as long."""
    return int(ffi.cast(_ADDRESS, from_buffer(CHARS, array)))


def is_signed(array: Array) -> bool:
    """Whether codes are int8 and not uint8. Comparing dtypes takes three times as long."""
    return array.dtype.kind == "i"


Bound = Callable[[], int]


def bound(function: Any, *arguments: Any, kept: Any = None) -> Bound:
    """A call with all of its arguments, for arrays that stay where they are; its status is for
    `check`. `kept` is what the arguments point into, besides arrays."""
    call = partial(function, *arguments)
    call.__dict__["kept"] = kept
    return call


def address_of(array: Array) -> Any:
    """The same for an array that need not be contiguous."""
    return pointer_to(array) if array.flags.c_contiguous else ffi.cast("void *", array.ctypes.data)


def int32s(array: Array) -> Any:
    """The pointer to an array of int32."""
    return ffi.from_buffer(INT32S, array)


def float32s(array: Array) -> Any:
    """The pointer to an array of float32."""
    return ffi.from_buffer(FLOATS, array)


def ready(array: Array, dtype: Any) -> Array:
    """`array` itself if C can read it as contiguous `dtype`, otherwise a copy that it can."""
    flags = array.flags
    same = array.dtype is dtype or array.dtype == dtype
    if same and flags.c_contiguous and flags.aligned:
        return array
    if array.dtype != np.float64:  # no other type has reals that overflow a type of the kernels
        return np.array(array, dtype=dtype, order="C")
    with np.errstate(over="ignore"):
        return np.array(array, dtype=dtype, order="C")


def own(array: Array, dtype: Any) -> Array:
    """A contiguous copy that nobody else writes to."""
    return np.array(array, dtype=dtype, order="C")
