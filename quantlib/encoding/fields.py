"""Numbers of a few bits, one behind the other in bytes.

Eight numbers of `width` bits fill `width` bytes, and in every group of eight, a byte takes its bits
from the same few of them. So one loop over these places, with whole arrays of numbers, packs all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from quantlib._arguments.arrays import Array

__all__ = ["Order", "cut_bits", "join_bits", "pack_fields", "unpack_fields"]

Order = Literal["lsb", "msb"]
GROUPS = 8192  # of eight numbers at a time, which stay in the cache


def pack_fields(values: Array, width: int, order: Order) -> Array:
    """The lowest `width` bits of each of `values`, unsigned, from the first bit of the first byte
    on; "lsb" and "msb" say which bit of a number and of a byte is its first."""
    size = -(-values.size * width // 8)
    packed = np.zeros((-(-values.size // 8), width), np.uint8)
    for first in range(0, len(packed) if width else 0, GROUPS):
        group = np.zeros((len(packed[first : first + GROUPS]), 8), np.uint32)
        part = values[8 * first : 8 * (first + GROUPS)]
        group.reshape(-1)[: part.size] = part
        columns = np.ascontiguousarray(group.T)
        rows = np.zeros((width, len(group)), np.uint8)
        for number, byte, shift in _places(width, order):
            column = columns[number]
            rows[byte] |= (column << shift if shift >= 0 else column >> -shift).astype(np.uint8)
        packed[first : first + GROUPS] = rows.T
    return packed.reshape(-1)[:size]


def unpack_fields(data: Array, width: int, count: int, order: Order) -> Array:
    """The numbers that `pack_fields` packed, as uint32; `data` has the bytes that they take."""
    values = np.zeros(count, np.uint32)
    if width == 0:
        return values
    mask = np.uint32((1 << width) - 1)
    for first in range(0, -(-count // 8), GROUPS):
        part = data[first * width : (first + GROUPS) * width]
        group = np.zeros((-(-part.size // width), width), np.uint8)
        group.reshape(-1)[: part.size] = part
        rows = np.ascontiguousarray(group.T).astype(np.uint32)
        columns = np.zeros((8, len(group)), np.uint32)
        for number, byte, shift in _places(width, order):
            columns[number] |= rows[byte] >> shift if shift >= 0 else rows[byte] << -shift
        target = values[8 * first : 8 * (first + GROUPS)]
        target[:] = (columns.T & mask).reshape(-1)[: target.size]
    return values


def _places(width: int, order: Order) -> Iterator[tuple[int, int, int]]:
    """Of each of eight numbers, the bytes that hold it, and how far it is shifted left for them."""
    for number in range(8):
        start = number * width
        end = start + width - 1
        for byte in range(start // 8, end // 8 + 1):
            yield number, byte, start - 8 * byte if order == "lsb" else 8 * byte + 7 - end


def join_bits(parts: Sequence[tuple[Array, int]]) -> Array:
    """Bytes whose first bits are those of the parts in turn, most significant bit first; each part
    is so many bits, and zeros behind them."""
    total = sum(bits for _, bits in parts)
    joined, start = np.zeros(-(-total // 8) + 1, np.uint8), 0
    for part, bits in parts:
        byte, shift = divmod(start, 8)
        joined[byte : byte + part.size] |= part >> shift
        if shift:
            joined[byte + 1 : byte + 1 + part.size] |= part << (8 - shift)
        start += bits
    return joined[:-1]


def cut_bits(data: Array, start: int, bits: int) -> Array:
    """The bytes of a part that `join_bits` put at bit number `start`; what follows it may stand
    behind. `data` is long enough."""
    byte, shift = divmod(start, 8)
    size = -(-bits // 8)
    part = np.zeros(size + 1, np.uint8)
    found = data[byte : byte + size + 1]
    part[: found.size] = found
    return (part[:-1] << shift) | (part[1:] >> (8 - shift)) if shift else part[:-1]
