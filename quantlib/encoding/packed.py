"""Codes of few bits without gaps between them."""

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
    require_size,
)
from quantlib.encoding.fields import pack_fields, unpack_fields

__all__ = ["decode_packed", "encode_packed", "packed_size"]


def packed_size(count: int, bits: int) -> int:
    """The bytes of `count` packed codes.

    >>> packed_size(5, 3), packed_size(3, 10), packed_size(1000, 8)
    (2, 4, 1000)
    """
    word = 1 if bits <= 8 else 2
    return -(-count * bits // (8 * word)) * word


def encode_packed(codes: npt.ArrayLike, bits: int) -> Array:
    """Codes in words, the lowest bit of each first.

    Parameters
    ----------
    codes : array_like of int
        From ``-2**(bits-1)`` to ``2**(bits-1) - 1``, of any shape.
    bits : int
        1 to 16.

    Returns
    -------
    numpy.ndarray of uint8
        Of 8 and of 16 bits, the codes in two's complement, little-endian. Otherwise ``code +
        2**(bits-1)``, unsigned, its lowest bit first, into words of 8 bits, or of 16 from 9 bits
        on, which are filled from their lowest bit and stored little-endian; zeros fill the last.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `bits` or a code is out of its range.

    Notes
    -----
    Source: the word layout of MindSpore Lite's bit packing, https://www.mindspore.cn/lite.

    Examples
    --------
    >>> from quantlib.encoding import encode_packed
    >>> encode_packed([-4, -1, 0, 3, 1], 3)          # 0, 3, 4, 7, 5: 11|100|011|000 and 1|011|1
    array([24, 95], dtype=uint8)
    """
    width = as_bits(bits)
    flat = as_codes_of(codes, width).reshape(-1)
    if width in (8, 16):
        return flat.astype(flat.dtype.newbyteorder("<")).view(np.uint8)
    shifted = flat.astype(np.int32) + (1 << (width - 1))
    packed = np.zeros(packed_size(flat.size, width), np.uint8)
    data = pack_fields(shifted.astype(np.uint32), width, "lsb")
    packed[: data.size] = data
    return packed


def decode_packed(data: Any, bits: int, count: int) -> Array:
    """The codes that `encode_packed` packed.

    Parameters
    ----------
    data : bytes or numpy.ndarray of uint8
        What `encode_packed` returned.
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
        If an argument is out of its range, or `data` has another length than the codes take.

    Examples
    --------
    >>> from quantlib.encoding import decode_packed
    >>> decode_packed(bytes([24, 95]), 3, 5)
    array([-4, -1,  0,  3,  1], dtype=int8)
    """
    width, packed = as_bits(bits), as_data(data)
    number = as_count(count, packed)
    require_size(packed, packed_size(number, width))
    if width in (8, 16):
        return packed.view(code_dtype(width).newbyteorder("<")).astype(code_dtype(width))
    fields = unpack_fields(packed[: -(-number * width // 8)], width, number, "lsb")
    return (fields.astype(np.int32) - (1 << (width - 1))).astype(code_dtype(width))
