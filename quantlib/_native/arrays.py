"""Calls that hand C the addresses of arrays, which it reads itself.

A small product takes less time than it takes Python to ask its operands for their types and shapes
and to hand the answers over one by one. C therefore reads them where CPython keeps them, does what
is plainly in order, and declines the rest, for the checks in full to deal with. `id` is an address
in CPython only, and what lies there is NumPy's affair: it is compared with what arrays say of
themselves when this module is imported, and where they differ, every call is declined.

Nor does it take long to see that parameters of a call are those of one before: the same objects,
and of arrays, which may have changed, the same bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from quantlib._arguments.arrays import Array
from quantlib._native.library import CHARS, TYPES, check, ffi, lib

AddressCall = Callable[..., int]  # of the operands' addresses, in order; see `declined`

_HEAD = object.__basicsize__
_READ = 7 * tuple.__itemsize__  # bytes of an array behind its head: seven words


def _types() -> Any:
    """What tells arrays and their types from other objects, in C's terms."""
    addresses = [0] * (max(TYPES.values()) + 1)
    for dtype, index in TYPES.items():
        addresses[index] = id(dtype)
    fixed = _HEAD, tuple.__basicsize__, id(np.ndarray), addresses, id(tuple)
    return ffi.new("ql_array_types *", fixed)


def _examples() -> list[Array]:
    """Arrays that differ in all that is read."""
    codes = np.zeros((6, 5), np.int8)
    fixed = np.zeros((1, 2, 3, 4), np.float32)
    fixed.flags.writeable = False
    shifted = np.zeros(9, np.uint8)[1:].view(np.int32)
    return [codes, codes[::2, 1:4], codes.T, fixed, np.uint8(7) + np.zeros(0, np.uint8), shifted]


def _says(array: Array) -> tuple[Any, ...]:
    """What an array says of itself."""
    flags = array.flags
    return (
        (array.ctypes.data, 0 if array.base is None else id(array.base), id(array.dtype)),
        (array.ndim, flags.c_contiguous, flags.aligned, flags.writeable),
        (array.shape, array.strides),
    )


def _sees(array: Array) -> tuple[Any, ...] | None:
    """What C reads of it, in the same form."""
    seen = ffi.new("ql_array_seen *")
    if lib.ql_array_read(id(array), seen):
        return None
    places = slice(0, min(array.ndim, lib.QL_SEEN_AXES))
    return (
        (seen.data, seen.base, seen.dtype),
        (seen.rank, bool(seen.is_contiguous), bool(seen.is_aligned), bool(seen.is_writeable)),
        (tuple(seen.extents)[places], tuple(seen.strides)[places]),
    )


def _can_read() -> bool:
    """Whether C reads arrays as they are, and tells other objects from them."""
    if sys.implementation.name != "cpython" or np.ndarray.__basicsize__ < _HEAD + _READ:
        return False
    lib.ql_array_types_are(_types())
    others = None, 1, "text", np.float32(1), np.dtype(np.int8)
    return (
        all(_sees(array) == _says(array) for array in _examples())
        and all(lib.ql_array_read(id(other), ffi.new("ql_array_seen *")) for other in others)
        and _finds(others)
    )


def _finds(objects: tuple[Any, ...]) -> bool:
    """Whether C reads tuples as they are, and tells other objects from them."""
    struct = ffi.new("ql_parameters *", (len(objects), 0, list(map(id, objects))))
    tables = ffi.new("ql_parameters *[]", [struct])
    others = objects[1:], objects[::-1], list(objects), None
    return lib.ql_find_parameters(tables, 1, id(objects)) == 0 and all(
        lib.ql_find_parameters(tables, 1, id(other)) < 0 for other in others
    )


def _decline(*addresses: int) -> int:
    return lib.QL_DECLINED


def declined(status: int) -> None:
    """What to make of a call that was not done. Checking in full tells why: unless memory was
    short, for there may be some when it is asked again."""
    if status == lib.QL_NO_MEMORY:
        check(status)


CAN_READ = _can_read()


class Parameters:
    """The parameters of a call, to be found again by their very objects, as long as those hold what
    they hold now. Objects that never change are kept, so that no others take their addresses;
    arrays are not, for they belong to the caller: only what is in them matters."""

    __slots__ = ("_bytes", "_copies", "_unchanging", "struct")

    def __init__(self, objects: tuple[Any, ...]) -> None:
        """Of objects that are arrays or never change."""
        arrays = [entry for entry in objects if type(entry) is np.ndarray]
        self._unchanging = [entry for entry in objects if type(entry) is not np.ndarray]
        self._bytes = [array.tobytes() for array in arrays]
        self._copies = ffi.new("ql_array_copy[]", len(arrays))
        for copy, array, held in zip(self._copies, arrays, self._bytes, strict=True):
            copy.array, copy.type, copy.rank = id(array), TYPES[array.dtype], array.ndim
            copy.extents[0 : array.ndim] = array.shape
            copy.size, copy.bytes = array.nbytes, ffi.from_buffer(CHARS, held)
        fixed = len(objects), len(arrays), list(map(id, objects)), self._copies
        self.struct = ffi.new("ql_parameters *", fixed)

    @staticmethod
    def can_hold(objects: tuple[Any, ...]) -> bool:
        """Whether C can read the arrays among them, and there are not too many objects."""
        arrays = [entry for entry in objects if type(entry) is np.ndarray]
        fit = all(array.dtype in TYPES and array.ndim <= lib.QL_SEEN_AXES for array in arrays)
        return fit and len(objects) <= lib.QL_MOST_PARAMETERS


def finder(held: Sequence[Parameters]) -> Callable[[int], int]:
    """What tells which of these the tuple at an address has the objects of, or -1."""
    if not CAN_READ:
        return lambda address: -1
    structs = ffi.new("ql_parameters *[]", [parameters.struct for parameters in held])
    call = partial(lib.ql_find_parameters, structs, len(held))
    call.__dict__["kept"] = held
    return call


def by_address(function: Any, *arguments: Any, kept: Any = None) -> AddressCall:
    """A call of a function of C with its first arguments; `kept` is what they point into."""
    if not CAN_READ:
        return _decline
    call = partial(function, *arguments)
    call.__dict__["kept"] = kept
    return call
