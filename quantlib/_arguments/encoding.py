"""The arguments of `quantlib.encoding`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quantlib._arguments.arrays import Array, as_integers, as_sequence
from quantlib.params import as_array, as_index

# What data may decode to, so that a few damaged bytes do not fill the memory: no encoding but those
# of nearly constant codes takes less than a byte for this many.
MOST_CODES_OF_A_BYTE = 4096
ALWAYS_ALLOWED = 2**26


def as_bits(value: Any, name: str = "bits") -> int:
    """A number of bits that a code may have."""
    bits = as_index(value, name)
    if not 1 <= bits <= 16:
        raise ValueError(f"{name} is {bits}; it must be from 1 to 16")
    return bits


def code_dtype(bits: int) -> np.dtype[Any]:
    """What holds codes of so many bits."""
    return np.dtype(np.int8 if bits <= 8 else np.int16)


def as_codes_of(value: Any, bits: int, name: str = "codes") -> Array:
    """`value` as contiguous signed codes of `bits` bits."""
    array = as_array(value, name)
    if array.dtype.kind not in "iu":
        if array.size or isinstance(value, np.ndarray):
            raise TypeError(f"{name} must be integers, not {array.dtype}")
        array = array.astype(np.int8)
    limit = 1 << (bits - 1)
    if array.size and not (int(array.min()) >= -limit and int(array.max()) < limit):
        raise ValueError(
            f"{name} must be from {-limit} to {limit - 1}, as {bits} bits hold; "
            f"they are from {array.min()} to {array.max()}"
        )
    return np.ascontiguousarray(array, code_dtype(bits)).reshape(array.shape)


def require_codes(codes: Array) -> Array:
    """`codes`, if there are any."""
    if codes.size == 0:
        raise ValueError(f"codes have shape {codes.shape}: there is nothing to encode")
    return codes


def as_data(value: Any, name: str = "data") -> Array:
    """Bytes, or an array of uint8, as a contiguous array of uint8."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return np.frombuffer(value, np.uint8)
    array = as_array(value, name)
    if array.dtype != np.uint8 or array.ndim != 1:
        raise TypeError(
            f"{name} must be bytes or a 1-D array of uint8, not {array.ndim}-D of {array.dtype}"
        )
    return np.ascontiguousarray(array)


def as_count(value: Any, data: Array, name: str = "count") -> int:
    """How many codes `data` holds, if that is believable."""
    count = as_index(value, name)
    if count < 0:
        raise ValueError(f"{name} is {count}; it must be 0 or more")
    most = max(ALWAYS_ALLOWED, MOST_CODES_OF_A_BYTE * data.size)
    if count > most:
        raise ValueError(f"{name} is {count}, which {data.size} bytes cannot hold")
    return count


def as_shape(value: Any, name: str = "shape") -> tuple[int, ...]:
    """Extents, 0 or more."""
    extents = as_integers(value, name, len(as_sequence(value, name)))
    if any(extent < 0 for extent in extents):
        raise ValueError(f"{name} is {extents}; extents are 0 or more")
    return extents


def as_zero_points(value: Any, shape: tuple[int, ...], name: str = "zero_point") -> Array:
    """Zero points that broadcast to codes of `shape`; only a view is made."""
    array = as_array(value, name)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, not {array.dtype}")
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"{name} has shape {array.shape}, which does not broadcast to {shape}"
        ) from None


def require_size(data: Array, size: int) -> None:
    """Raise unless there are as many bytes as there must be."""
    if data.size != size:
        raise ValueError(f"data has {data.size} bytes; these codes take {size}: it is damaged")


def size_of(shape: tuple[int, ...]) -> int:
    return math.prod(shape)
