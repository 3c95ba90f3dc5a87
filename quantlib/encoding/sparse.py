"""Codes of which most are the zero point: the others, and how far apart they are."""

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
    as_shape,
    as_zero_points,
    code_dtype,
    require_codes,
    require_size,
    size_of,
)
from quantlib.encoding.counts import count_codes, index_width, places_of
from quantlib.encoding.fields import cut_bits, join_bits, pack_fields, unpack_fields
from quantlib.encoding.indexed import look_up, read_table, table_bits

__all__ = ["decode_sparse", "encode_sparse", "sparse_size"]

WIDTHS = range(2, 11)  # bits of a distance
HEADER = 8 + 32  # bits: the width of distances, and how many codes are listed


def sparse_size(listed: int, bits: int, distinct: int, width: int) -> int:
    """The bytes of so many listed codes, with distances of `width` bits.

    >>> sparse_size(100, 8, 16, 4)
    122
    """
    table = bits + bits * distinct
    return -(-(HEADER + table + (index_width(distinct) + width) * listed) // 8)


def encode_sparse(codes: npt.ArrayLike, bits: int, zero_point: npt.ArrayLike = 0) -> Array:
    """The codes that are not the zero point, and the distances between them.

    Parameters
    ----------
    codes : array_like of int
        From ``-2**(bits-1)`` to ``2**(bits-1) - 1``, of any shape; at least one.
    bits : int
        1 to 16.
    zero_point : array_like of int
        What is left out; an array broadcasts to the shape of `codes`.

    Returns
    -------
    numpy.ndarray of uint8
        Bits from the highest of each byte on, of each number its highest bit first: the width c of
        distances (8 bits), the number of listed codes (32 bits); the number of distinct codes and
        these, as in `encode_indexed`; the place of each listed code in that table; the distance of
        each from the one before it, less 1 (c bits each; the first counts from just before the
        beginning). Where a distance does not fit c bits, zero points are listed in between. c is
        that of 2 to 10 which takes the fewest bits.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of its range, or there are no codes.

    Notes
    -----
    Source: the layout of MindSpore Lite's sparsity encoding, https://www.mindspore.cn/lite.

    Examples
    --------
    >>> from quantlib.encoding import decode_sparse, encode_sparse
    >>> codes = [0] * 500 + [3] + [0] * 499 + [-2]
    >>> data = encode_sparse(codes, 4)
    >>> data.size, decode_sparse(data, 4, 1001).tolist() == codes
    (10, True)
    """
    width = as_bits(bits)
    array = require_codes(as_codes_of(codes, width))
    flat, gaps = array.reshape(-1), _gaps(array, zero_point)
    distinct = count_codes(flat, width).codes
    narrow, wide = index_width(distinct.size), best_width(gaps, index_width(distinct.size))
    distances = _with_fillers(gaps, wide)
    listed = flat[np.cumsum(distances + 1) - 1]
    header = np.array([wide, *len(listed).to_bytes(4, "big")], np.uint8)
    return join_bits(
        [
            (header, HEADER),
            table_bits(distinct, width),
            (pack_fields(places_of(listed, distinct, width), narrow, "msb"), narrow * listed.size),
            (pack_fields(distances, wide, "msb"), wide * listed.size),
        ]
    )


def decode_sparse(
    data: Any, bits: int, shape: npt.ArrayLike, zero_point: npt.ArrayLike = 0
) -> Array:
    """The codes that `encode_sparse` encoded.

    Parameters
    ----------
    data : bytes or numpy.ndarray of uint8
        What `encode_sparse` returned.
    bits : int
        1 to 16.
    shape : int or sequence of int
        The shape of the codes.
    zero_point : array_like of int
        As in `encode_sparse`.

    Returns
    -------
    numpy.ndarray of int8 or int16, of the given shape
        int16 from 9 bits on.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of its range, or `data` is damaged: cut short, too long, a table that
        does not ascend, a place beyond it, codes beyond the end.

    Examples
    --------
    >>> from quantlib.encoding import decode_sparse, encode_sparse
    >>> decode_sparse(encode_sparse([5, 5, 5, -1], 4, 5), 4, 4, 5)
    array([ 5,  5,  5, -1], dtype=int8)
    """
    width, packed = as_bits(bits), as_data(data)
    extents = as_shape([shape] if isinstance(shape, (int, np.integer)) else shape)
    count = as_count(size_of(extents), packed, "the size of shape")
    result = np.array(as_zero_points(zero_point, extents), code_dtype(width), order="C")
    if packed.size < 5:
        raise ValueError(f"data has {packed.size} bytes, too few for its header: it is damaged")
    wide, size = int(packed[0]), int.from_bytes(packed[1:5].tobytes(), "big")
    if wide not in WIDTHS or size > count:
        raise ValueError("data has a header that cannot be right: it is damaged")
    distinct = read_table(packed, HEADER, width)
    require_size(packed, sparse_size(size, width, distinct.size, wide))
    narrow, start = index_width(distinct.size), HEADER + width * (1 + distinct.size)
    places = unpack_fields(cut_bits(packed, start, narrow * size), narrow, size, "msb")
    cut = cut_bits(packed, start + narrow * size, wide * size)
    where = np.cumsum(unpack_fields(cut, wide, size, "msb").astype(np.int64) + 1) - 1
    if size and where[-1] >= count:
        raise ValueError(f"data has a code at place {where[-1]} of {count}: it is damaged")
    result.reshape(-1)[where] = look_up(distinct, places, width)
    return result


def _gaps(codes: Array, zero_point: npt.ArrayLike) -> Array:
    """How many zero points stand before each other code, since the one before."""
    others = np.flatnonzero(codes != as_zero_points(zero_point, codes.shape))
    return np.diff(others, prepend=-1) - 1


def best_width(gaps: Array, narrow: int) -> int:
    """The width of distances that takes the fewest bits."""
    return min(WIDTHS, key=lambda wide: count_listed(gaps, wide) * (wide + narrow))


def count_listed(gaps: Array, wide: int) -> int:
    """How many codes are listed, fillers included."""
    return gaps.size + int((gaps >> wide).sum())


def _with_fillers(gaps: Array, wide: int) -> Array:
    """The distances, less 1, with the fillers' before those that are too large."""
    steps = (gaps >> wide) + 1
    distances = np.full(int(steps.sum()), (1 << wide) - 1)
    distances[np.cumsum(steps) - 1] = gaps & ((1 << wide) - 1)
    return distances
