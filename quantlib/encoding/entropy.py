"""Entropy coding: frequent codes take less than rare ones, and fractions of a bit.

The coder is tANS, the tabled form of J. Duda's asymmetric numeral systems ("Asymmetric numeral
systems: entropy coding combining speed of Huffman coding with compression rate of arithmetic
coding", 2013, https://arxiv.org/abs/1311.2540), as finite state entropy coders use it. A state from
T to 2 T - 1 holds what fractions of bits have gathered. ``docs/encoding.md`` tells how it works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array
from quantlib._arguments.encoding import (
    as_bits,
    as_codes_of,
    as_count,
    as_data,
    code_dtype,
    require_codes,
)
from quantlib.encoding.counts import count_codes, places_of
from quantlib.encoding.varint import pack_varints, unpack_varints
from quantlib.params import as_index

__all__ = ["Table", "decode_entropy", "encode_entropy", "scaled_frequencies", "spread_symbols"]

LARGEST_LOG = 16
MOST_SYMBOLS = 65534
MOST_SEGMENTS = 65535
SPARE = 8  # bytes behind the bits, which the decoder may read and ignores


def encode_entropy(codes: npt.ArrayLike, bits: int, max_segments: int = 1) -> Array:
    """Codes in about as many bits as their entropy.

    Parameters
    ----------
    codes : array_like of int
        From ``-2**(bits-1)`` to ``2**(bits-1) - 1``, of any shape; at least one.
    bits : int
        1 to 16.
    max_segments : int
        Parts that can be decoded at the same time, 1 to 65535. Each takes a few bytes.

    Returns
    -------
    numpy.ndarray of uint8
        Numbers in groups of 7 bits, lowest first, of which all but the last have the highest bit
        set: the number U of distinct codes; log2 of T; the number of segments; the lowest code,
        plus ``2**(bits-1)``; the U - 1 steps from each distinct code to the next; the U
        frequencies, whose sum is T; of each segment the state, less T, at which decoding starts,
        and its number of bits. Then the bits of each segment, from the lowest of each byte on; the
        decoder reads them from the last to the first.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of its range, there are no codes, or more than 65534 distinct ones.

    Notes
    -----
    With n codes, of which ``count[s]`` are s: ``T = 2**min(16, U.bit_length() + 4)``, frequencies
    ``max(1, floor(0.5 + count * T / n))``, of which the largest takes the difference to T. Symbols
    are spread over the table in steps of ``T/2 + T/8 + 3``. Sources: J. Duda, 2013,
    https://arxiv.org/abs/1311.2540; frequencies and spread as in MindSpore Lite's coder,
    https://www.mindspore.cn/lite.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.encoding import decode_entropy, encode_entropy
    >>> codes = np.rint(2 * np.random.default_rng(0).standard_normal(10_000)).astype(np.int8)
    >>> data = encode_entropy(codes, 8)
    >>> data.size, bool((decode_entropy(data, 8, codes.size) == codes).all())
    (3871, True)
    """
    width = as_bits(bits)
    flat = require_codes(as_codes_of(codes, width)).reshape(-1)
    segments = as_index(max_segments, "max_segments")
    if not 1 <= segments <= MOST_SEGMENTS:
        raise ValueError(f"max_segments is {segments}; it must be from 1 to {MOST_SEGMENTS}")
    found = count_codes(flat, width)
    if found.codes.size > MOST_SYMBOLS:
        raise ValueError(f"codes have {found.codes.size} distinct values; at most {MOST_SYMBOLS}")
    table = Table.of_counts(found.codes, found.counts)
    places = places_of(flat, found.codes, width)
    length = segment_length(flat.size, segments)
    coder = (table.frequencies, *table.coder(), table.log)
    parts = [
        _native.entropy_encode(places[start : start + length], *coder)
        for start in range(0, flat.size, length)
    ]
    header = [table.codes.size, table.log, len(parts), int(table.codes[0]) + (1 << (width - 1))]
    ends = [number for state, size, _ in parts for number in (state, size)]
    numbers = np.concatenate([header, np.diff(table.codes), table.frequencies, ends])
    return np.concatenate([pack_varints(numbers), *(part for _, _, part in parts)])


def decode_entropy(data: Any, bits: int, count: int) -> Array:
    """The codes that `encode_entropy` encoded.

    Parameters
    ----------
    data : bytes or numpy.ndarray of uint8
        What `encode_entropy` returned.
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
        If an argument is out of its range, or `data` is damaged: cut short, too long, codes of more
        bits, frequencies of another sum, bits that do not end where the coder began.

    Notes
    -----
    Segments are decoded on as many threads as there are. That a decoder ends in the state in which
    the coder began, with all bits read, finds nearly all damage; it is no checksum.

    Examples
    --------
    >>> from quantlib.encoding import decode_entropy, encode_entropy
    >>> data = encode_entropy([0, 0, 0, 1, 0, 0, -1, 0], 2)
    >>> decode_entropy(data, 2, 8)
    array([ 0,  0,  0,  1,  0,  0, -1,  0], dtype=int8)
    """
    width, packed = as_bits(bits), as_data(data)
    number = as_count(count, packed)
    table, states, sizes, start = _read_header(packed, width)
    length = segment_length(number, states.size) if number else 0
    if number == 0 or -(-number // length) != states.size:
        raise ValueError(f"data has {states.size} segments, not of {number} codes: it is damaged")
    ends = np.cumsum(-(-sizes // 8))
    if start + int(ends[-1]) != packed.size:
        raise ValueError(
            f"data has {packed.size} bytes; these codes take {start + ends[-1]}: it is damaged"
        )
    stream = np.concatenate([packed[start:], np.zeros(SPARE, np.uint8)])
    starts = ends - -(-sizes // 8)
    codes = np.empty(number, np.int16)
    if not _native.entropy_decode(stream, starts, sizes, states, length, table.decoder(), codes):
        raise ValueError("data does not end where its coder began: it is damaged")
    return codes.astype(code_dtype(width), copy=False)


def segment_length(count: int, segments: int) -> int:
    """The codes of a segment but the last, which may have fewer."""
    return -(-count // segments)


# --- the table ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    """What the coder and the decoder look up.

    Attributes
    ----------
    codes : numpy.ndarray of int64
        The distinct codes, ascending; symbol s stands for ``codes[s]``.
    frequencies : numpy.ndarray of uint32
        Of each symbol the number of its states; they add up to T.
    symbols : numpy.ndarray of uint16, shape (T,)
        The symbol of each state, counted from 0 for state T.
    log : int
        log2 of T.
    """

    codes: Array
    frequencies: Array
    symbols: Array
    log: int

    @classmethod
    def of_counts(cls, codes: Array, counts: Array) -> Table:
        """The table of codes that occur so often."""
        log = min(LARGEST_LOG, codes.size.bit_length() + 4)
        return cls.of_frequencies(codes, scaled_frequencies(counts, 1 << log), log)

    @classmethod
    def of_frequencies(cls, codes: Array, frequencies: Array, log: int) -> Table:
        """The table of codes with so many states each."""
        return cls(codes, frequencies.astype(np.uint32), spread_symbols(frequencies, log), log)

    def coder(self) -> tuple[Array, Array, Array]:
        """Of each symbol where its states begin in the third array, and the most bits that it
        takes; and the states of all symbols, ascending for each."""
        first = np.cumsum(self.frequencies, dtype=np.int64) - self.frequencies
        exponents = np.frexp(self.frequencies.astype(np.float64))[1] - 1  # floor(log2(f)), exactly
        states = np.argsort(self.symbols, kind="stable")
        return (
            first.astype(np.uint32),
            (self.log - exponents).astype(np.uint8),
            states.astype(np.uint16),
        )

    def decoder(self) -> tuple[Array, Array, Array]:
        """Of each state: the code, how many bits are read, and to which state these are added."""
        first, _, order = self.coder()
        rank = np.empty(self.symbols.size, np.int64)
        rank[order] = np.arange(order.size)
        before = self.frequencies[self.symbols] + rank - first[self.symbols]  # from f to 2 f - 1
        bits = self.log + 1 - np.frexp(before.astype(np.float64))[1]
        base = (before << bits) - self.symbols.size
        return (
            self.codes[self.symbols].astype(np.int16),
            bits.astype(np.uint8),
            base.astype(np.uint16),
        )


def scaled_frequencies(counts: Array, total: int) -> Array:
    """Whole numbers above 0, about in proportion to `counts`, whose sum is `total`.

    >>> scaled_frequencies(np.array([90, 9, 1]), 32)
    array([28,  3,  1])
    """
    counts = counts.astype(np.int64)
    ratio = total / int(counts.sum())
    frequencies = np.maximum(1, np.floor(0.5 + counts * ratio).astype(np.int64))
    excess = int(frequencies.sum()) - total
    for symbol in np.argsort(-frequencies, kind="stable"):
        # The most frequent takes all of it, unless nothing would be left.
        taken = min(excess, int(frequencies[symbol]) - 1)
        frequencies[symbol] -= taken
        excess -= taken
        if excess == 0:
            break
    return frequencies


def spread_symbols(frequencies: Array, log: int) -> Array:
    """The symbol of each state: each has as many as its frequency, scattered over the table.

    >>> spread_symbols(np.array([20, 8, 4]), 5).tolist()[:12]
    [0, 0, 0, 1, 2, 0, 0, 0, 1, 2, 0, 0]
    """
    size = 1 << log
    step = (size >> 1) + (size >> 3) + 3  # odd, so that every place is met once
    symbols = np.empty(size, np.uint16)
    places = np.arange(size, dtype=np.int64) * step & (size - 1)
    symbols[places] = np.repeat(np.arange(frequencies.size), frequencies.astype(np.int64))
    return symbols


# --- the header ---------------------------------------------------------------------------------


def _read_header(data: Array, bits: int) -> tuple[Table, Array, Array, int]:
    """The table, the state and the number of bits of each segment, and where the bits begin."""
    (size, log, segments, lowest), start = unpack_varints(data, 0, 4)
    limit = 1 << bits
    expected = min(LARGEST_LOG, int(size).bit_length() + 4)
    if not 1 <= size <= min(limit, MOST_SYMBOLS) or log != expected or lowest >= limit:
        raise ValueError("data has a header that cannot be right: it is damaged")
    if not 1 <= segments <= MOST_SEGMENTS:
        raise ValueError(f"data has {segments} segments: it is damaged")
    steps, start = unpack_varints(data, start, int(size) - 1)
    frequencies, start = unpack_varints(data, start, int(size))
    ends, start = unpack_varints(data, start, 2 * int(segments))
    codes = np.cumsum(np.concatenate([[lowest], steps])) - (limit >> 1)
    if np.any(steps < 1) or codes[-1] >= limit >> 1:
        raise ValueError(f"data has codes of more than {bits} bits: it is damaged")
    states, sizes = ends[::2], ends[1::2]
    if np.any(frequencies < 1) or int(frequencies.sum()) != 1 << log or np.any(states >= 1 << log):
        raise ValueError("data has frequencies or states that cannot be right: it is damaged")
    return Table.of_frequencies(codes, frequencies, int(log)), states, sizes, start
