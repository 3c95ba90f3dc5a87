"""Entropy coding."""

from __future__ import annotations

import numpy as np

from quantlib._arguments.arrays import Array
from quantlib._native.library import INT64S, ffi, lib, pointer_to, ready


def entropy_encode(
    symbols: Array, frequency: Array, first: Array, most_bits: Array, states: Array, log: int
) -> tuple[int, int, Array]:
    """The last state of coding `symbols`, contiguous uint16; the number of bits; and these."""
    arrays = {
        "frequency": ("uint32_t[]", frequency),
        "first": ("uint32_t[]", first),
        "most_bits": ("uint8_t[]", most_bits),
        "states": ("uint16_t[]", states),
    }
    pointers = {name: ffi.from_buffer(*pair) for name, pair in arrays.items()}
    coder = ffi.new("ql_entropy_coder *", {"log": log, **pointers})
    most = int(np.bincount(symbols, minlength=most_bits.size) @ most_bits.astype(np.int64))
    bits, state = np.empty(most // 8 + 1, np.uint8), ffi.new("uint32_t *")
    count = lib.ql_entropy_encode(
        ffi.from_buffer("uint16_t[]", symbols),
        symbols.size,
        coder,
        ffi.from_buffer("uint8_t[]", bits),
        state,
    )
    return state[0], count, bits[: -(-count // 8)].copy()


def entropy_decode(
    data: Array,
    start: Array,
    bits: Array,
    state: Array,
    length: int,
    steps: tuple[Array, Array, Array],
    codes: Array,
) -> bool:
    """Fill `codes`, int16, from segments of `length`; whether their bits end with them.

    `data` has four spare bytes; `start`, `bits` and `state` are int64; `steps` are the code, the
    number of bits and the base of each state.
    """
    table = np.empty((steps[0].size, 3), np.uint16)  # as ql_entropy_step has them
    table[:, 0], table[:, 1], table[:, 2] = steps[0].view(np.uint16), steps[2], steps[1]
    places = [ready(array, np.int64) for array in (start, bits, state)]
    status = lib.ql_entropy_decode(
        ffi.from_buffer("uint8_t[]", data),
        *[ffi.from_buffer(INT64S, array) for array in places],
        len(places[0]),
        length,
        ffi.cast("ql_entropy_step *", pointer_to(table)),
        ffi.from_buffer("int16_t[]", codes),
        codes.size,
    )
    return status == 0
