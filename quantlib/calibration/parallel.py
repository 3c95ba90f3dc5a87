"""Observing all batches of an iterable, on this thread or by any executor."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future

from quantlib._arguments.arrays import Array
from quantlib.calibration.observer import Observed, Observer, describe
from quantlib.calibration.progress import Progress

__all__ = ["observe"]

PART = 1 << 20  # values that make a task worth sending
WAITING = 2 * (os.cpu_count() or 1) + 2  # tasks that are on their way at a time


def observe(
    observer: Observer,
    batches: Iterable[Array],
    total: int | None,
    executor: Executor | None,
    progress: Progress,
) -> None:
    """Update an observer with all batches, to the same bits with an executor and without.

    Batches are sent in groups, of which only some are on their way at a time, so that a long
    iterable is read no faster than it is worked off. What comes back is merged in their order.
    """
    done = 0
    for observed in _all_observed(batches, executor, observer.axis, observer.nonfinite):
        observer.add(observed)
        done += len(observed[2])
        progress(done, total)


def _all_observed(
    batches: Iterable[Array], executor: Executor | None, axis: int | None, nonfinite: str
) -> Iterator[Observed]:
    if executor is None:
        for batch in batches:
            yield describe(batch, axis, nonfinite)
        return
    waiting: deque[Future[Observed]] = deque()
    try:
        for part in _parts(batches):
            waiting.append(executor.submit(_describe_part, part, axis, nonfinite))
            if len(waiting) >= WAITING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _parts(batches: Iterable[Array]) -> Iterator[list[Array]]:
    """Groups of batches, each of `PART` values or more, but for the last."""
    part: list[Array] = []
    for batch in batches:
        part.append(batch)
        if sum(each.size for each in part) >= PART:
            yield part
            part = []
    if part:
        yield part


def _describe_part(part: list[Array], axis: int | None, nonfinite: str) -> Observed:
    """What a worker does: statistics are merged at once, what depends on batches is kept apart."""
    gathered = Observer(axis, nonfinite=nonfinite)
    batches = []
    for batch in part:
        observed = describe(batch, axis, nonfinite)
        gathered.add(observed)
        batches += observed[2]
    dimensions, statistics, _ = gathered.observed
    return dimensions, statistics, batches
