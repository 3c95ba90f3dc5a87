"""What the entropy coder computes, one code at a time: the definition of its loops in C."""

from __future__ import annotations

from collections.abc import Sequence

from quantlib.encoding.entropy import Table

__all__ = ["decode_segment", "encode_segment"]


def encode_segment(symbols: Sequence[int], table: Table) -> tuple[int, list[int]]:
    """The state after encoding `symbols` from the last to the first, less T, and the bits.

    A state x of T to 2 T - 1 gives off its lowest bits until it is from f to 2 f - 1, f being the
    frequency of the symbol; the new state is the symbol's state number x - f.
    """
    first, most, states = (array.tolist() for array in table.coder())
    size = 1 << table.log
    state, bits = size, []
    for symbol in reversed(symbols):
        frequency = int(table.frequencies[symbol])
        count = most[symbol] - (state >> most[symbol] < frequency)
        bits += [state >> place & 1 for place in range(count)]
        state = size + states[first[symbol] + (state >> count) - frequency]
    return state - size, bits


def decode_segment(state: int, bits: Sequence[int], count: int, table: Table) -> list[int]:
    """The `count` codes that were encoded; ValueError if the bits do not end with them."""
    codes, widths, bases = (array.tolist() for array in table.decoder())
    left, decoded = len(bits), []
    for _ in range(count):
        decoded.append(codes[state])
        left -= widths[state]
        if left < 0:
            raise ValueError("the bits end before the codes")
        taken = bits[left : left + widths[state]]
        state = bases[state] + sum(bit << place for place, bit in enumerate(taken))
    if left or state:
        raise ValueError("the bits do not end where the coder began")
    return decoded
