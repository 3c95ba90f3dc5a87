"""Memory of a run: which results may lie in the same place, found out from one run.

The shapes of all results follow from the shapes of the inputs. The first run with inputs of some
shapes notes how large each result is and from which step to which step it is needed; views of a
result count as uses of it. From this a layout is made: the largest results first, each at the
lowest place where nothing lies that is needed at the same time. Later runs with the same shapes
write into one block of memory by that layout. A run borrows the block, so that runs at the same
time have one each. What a run returns never lies in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Arena", "Layout", "Recorder"]

Array = npt.NDArray[Any]
ALIGNMENT = 64


@dataclass(slots=True)
class _Result:
    """An array that a step made: its type, and the steps between which it is needed."""

    step: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    size: int
    last: int
    planned: bool
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each step's result lies, as far as it lies in the block; and the block's size."""

    places: tuple[tuple[int, tuple[int, ...], np.dtype[Any]] | None, ...]
    size: int


class Arena:
    """A block of memory, cut up by a layout: an array for each step, or None."""

    def __init__(self, layout: Layout) -> None:
        memory = np.empty(layout.size + ALIGNMENT, np.uint8)
        first = -memory.ctypes.data % ALIGNMENT
        self.arrays: list[Array | None] = []
        for place in layout.places:
            if place is None:
                self.arrays.append(None)
                continue
            offset, shape, dtype = place
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            start = first + offset
            self.arrays.append(memory[start : start + size].view(dtype).reshape(shape))


class Recorder:
    """Notes what a run makes."""

    def __init__(self, outputs: Sequence[int], values: Sequence[Any]) -> None:
        self._outputs = set(outputs)
        self._results: list[_Result] = []
        self._roots: dict[int, list[_Result]] = {}  # the results that a slot's array may lie in

    def note(
        self,
        step: int,
        takes_out: bool,
        inputs: Sequence[int],
        outputs: Sequence[int],
        values: Sequence[Any],
    ) -> None:
        """One step has run."""
        read = [root for slot in inputs for root in self._roots.get(slot, ())]
        for root in read:
            root.last = step
        for slot in outputs:
            array = values[slot]
            if not isinstance(array, np.ndarray) or array.dtype.hasobject:
                self._pin(read)  # a sequence may hold any of its inputs
                self._roots[slot] = read
                continue
            shared = any(
                isinstance(values[other], np.ndarray) and np.may_share_memory(array, values[other])
                for other in inputs
            )
            roots = list(read) if shared else []
            if takes_out and not shared and array.size and array.ndim and array.flags.c_contiguous:
                result = _Result(step, array.shape, array.dtype, array.nbytes, step, True)
                self._results.append(result)
                roots = [result]
            self._roots[slot] = roots
            if slot in self._outputs:
                self._pin(roots)

    @staticmethod
    def _pin(results: list[_Result]) -> None:
        """Results that leave the run are not planned: they get memory of their own."""
        for result in results:
            result.planned = False

    def layout(self, steps: int) -> Layout:
        """Places for all planned results, greedily from the largest."""
        placed: list[_Result] = []
        planned = [result for result in self._results if result.planned]
        for result in sorted(planned, key=lambda result: -result.size):
            result.offset = _lowest(result, placed)
            placed.append(result)
        places: list[Any] = [None] * steps
        for result in placed:
            places[result.step] = result.offset, result.shape, result.dtype
        size = max((result.offset + result.size for result in placed), default=0)
        return Layout(tuple(places), size)


def _lowest(result: _Result, placed: list[_Result]) -> int:
    """The lowest offset where `result` meets nothing that is needed at the same time."""
    others = sorted(
        (other for other in placed if other.step <= result.last and result.step <= other.last),
        key=lambda other: other.offset,
    )
    offset = 0
    for other in others:
        if offset + result.size <= other.offset:
            break
        end = other.offset + other.size
        offset = max(offset, -(-end // ALIGNMENT) * ALIGNMENT)
    return offset
