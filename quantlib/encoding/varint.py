"""Whole numbers in groups of 7 bits, lowest first ("LEB128")."""

from __future__ import annotations

import numpy as np

from quantlib._arguments.arrays import Array

__all__ = ["pack_varints", "unpack_varints"]

LONGEST = 6  # bytes of a number: 42 bits


def pack_varints(numbers: Array) -> Array:
    """Each number in as few bytes as it takes; all but its last byte have the highest bit set.

    >>> pack_varints(np.array([5, 300]))
    array([  5, 172,   2], dtype=uint8)
    """
    values = np.asarray(numbers, np.int64)[:, None] >> 7 * np.arange(LONGEST)
    length = np.maximum(1, np.count_nonzero(values, axis=1))[:, None]
    place = np.arange(LONGEST)
    digits = (values & 127) | np.where(place < length - 1, 128, 0)
    packed: Array = digits[place < length].astype(np.uint8)
    return packed


def unpack_varints(data: Array, start: int, count: int) -> tuple[Array, int]:
    """`count` numbers from byte `start` on, as int64, and where they end.

    >>> unpack_varints(np.array([5, 172, 2, 9], np.uint8), 0, 2)
    (array([  5, 300]), 3)
    """
    window = data[start : start + LONGEST * count]
    last = np.flatnonzero(window < 128)[:count]
    lengths = np.diff(last, prepend=-1)
    if last.size < count or np.any(lengths > LONGEST):
        raise ValueError(f"data has {data.size} bytes, too few for its header: it is damaged")
    size = int(last[-1]) + 1 if count else 0
    groups = window[:size].astype(np.int64) & 127
    place = np.arange(size) - np.repeat(last + 1 - lengths, lengths)
    total = np.concatenate([[0], np.cumsum(groups << 7 * place)])
    ends = total[last + 1]
    return np.diff(ends, prepend=0), start + size
