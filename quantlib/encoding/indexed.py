"""Few distinct codes: a table of them, and places in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array
from quantlib._arguments.encoding import (
    as_bits,
    as_codes_of,
    as_count,
    as_data,
    code_dtype,
    require_codes,
    require_size,
)
from quantlib.encoding.counts import count_codes, index_width, places_of
from quantlib.encoding.fields import cut_bits, join_bits, pack_fields, unpack_fields

__all__ = ["decode_indexed", "encode_indexed", "indexed_size", "read_table", "table_bits"]


def indexed_size(count: int, bits: int, distinct: int) -> int:
    """The bytes of `count` codes of which so many are distinct.

    >>> indexed_size(1000, 8, 16)
    517
    """
    return -(-(bits + bits * distinct + index_width(distinct) * count) // 8)


def encode_indexed(codes: npt.ArrayLike, bits: int) -> Array:
    """The distinct codes once, then for each code its place among them.

    Parameters
    ----------
    codes : array_like of int
        From ``-2**(bits-1)`` to ``2**(bits-1) - 1``, of any shape; at least one.
    bits : int
        1 to 16.

    Returns
    -------
    numpy.ndarray of uint8
        Bits from the highest of each byte on, of each number its highest bit first: the number U
        of distinct codes (`bits` bits; 0 stands for ``2**bits``); those codes plus
        ``2**(bits-1)``, ascending (`bits` bits each); the place of each code (``ceil(log2(U))``
        bits each); zeros to the end of the last byte.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `bits` or a code is out of its range, or there are no codes.

    Notes
    -----
    Source: the layout of MindSpore Lite's index encoding, https://www.mindspore.cn/lite.

    Examples
    --------
    >>> from quantlib.encoding import encode_indexed
    >>> encode_indexed([7, -8, -8, 7], 4)      # 0010|0000 1111|1001 and 4 bits of 0
    array([ 32, 249], dtype=uint8)
    """
    width = as_bits(bits)
    flat = require_codes(as_codes_of(codes, width)).reshape(-1)
    distinct = count_codes(flat, width).codes
    narrow = index_width(distinct.size)
    places = pack_fields(places_of(flat, distinct, width), narrow, "msb")
    return join_bits([table_bits(distinct, width), (places, narrow * flat.size)])


def decode_indexed(data: Any, bits: int, count: int) -> Array:
    """The codes that `encode_indexed` encoded.

    Parameters
    ----------
    data : bytes or numpy.ndarray of uint8
        What `encode_indexed` returned.
    bits : int
        1 to 16.
    count : int
        How many codes there are.

    Returns
    -------
    numpy.ndarray of int8 or int16, shape (count,)
        int16 from 9 bits on.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of its range, or `data` is damaged: cut short, too long, a table
        that does not ascend, a place beyond it.

    Examples
    --------
    >>> from quantlib.encoding import decode_indexed
    >>> decode_indexed(bytes([32, 249]), 4, 5)
    Traceback (most recent call last):
    ...
    ValueError: data has 2 bytes; these codes take 3: it is damaged
    >>> decode_indexed(bytes([32, 249]), 4, 4)
    array([ 7, -8, -8,  7], dtype=int8)
    """
    width, packed = as_bits(bits), as_data(data)
    number = as_count(count, packed)
    distinct = read_table(packed, 0, width)
    require_size(packed, indexed_size(number, width, distinct.size))
    narrow = index_width(distinct.size)
    start = width * (1 + distinct.size)
    places = unpack_fields(cut_bits(packed, start, narrow * number), narrow, number, "msb")
    return look_up(distinct, places, width)


def table_bits(distinct: Array, bits: int) -> tuple[Array, int]:
    """How many distinct codes there are, and these: bytes, and the number of bits."""
    numbers = np.concatenate([[distinct.size % (1 << bits)], distinct + (1 << (bits - 1))])
    return pack_fields(numbers.astype(np.uint32), bits, "msb"), bits * numbers.size


def read_table(data: Array, start: int, bits: int) -> Array:
    """The distinct codes that `table_bits` wrote at bit number `start`."""
    total = 8 * data.size - start
    if total < bits:
        raise ValueError(f"data has {data.size} bytes, too few for a table: it is damaged")
    size = int(unpack_fields(cut_bits(data, start, bits), bits, 1, "msb")[0]) or 1 << bits
    if bits * (1 + size) > total:
        raise ValueError(f"data has {data.size} bytes, too few for its table: it is damaged")
    fields = unpack_fields(cut_bits(data, start + bits, bits * size), bits, size, "msb")
    distinct = fields.astype(np.int64) - (1 << (bits - 1))
    if np.any(distinct[1:] <= distinct[:-1]):
        raise ValueError("data has a table that does not ascend: it is damaged")
    return distinct


def look_up(distinct: Array, places: Array, bits: int) -> Array:
    """The codes at places of a table."""
    if places.size and int(places.max()) >= distinct.size:
        raise ValueError(
            f"data has place {places.max()} of a table of {distinct.size}: it is damaged"
        )
    return distinct.astype(code_dtype(bits))[places]
