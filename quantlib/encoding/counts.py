"""How often each code occurs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantlib._arguments.arrays import Array

__all__ = ["Counts", "count_codes", "index_width", "places_of"]


@dataclass(frozen=True, slots=True)
class Counts:
    """The codes that occur, ascending, and how often each does."""

    codes: Array
    counts: Array


def count_codes(codes: Array, bits: int) -> Counts:
    """The counts of codes of `bits` bits."""
    lowest = -(1 << (bits - 1))
    table = np.bincount(codes.reshape(-1).astype(np.int64) - lowest, minlength=1 << bits)
    present = np.flatnonzero(table)
    return Counts(present + lowest, table[present])


def places_of(codes: Array, distinct: Array, bits: int) -> Array:
    """Of each code its place among the `distinct` ones, as uint16."""
    lowest = -(1 << (bits - 1))
    table = np.zeros(1 << bits, np.uint16)
    table[distinct - lowest] = np.arange(distinct.size)
    places: Array = table[codes.reshape(-1).astype(np.int32) - lowest]
    return places


def index_width(distinct: int) -> int:
    """The bits that tell so many codes apart, ``ceil(log2(distinct))``."""
    return (distinct - 1).bit_length()
