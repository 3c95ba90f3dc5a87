"""Calibration: what tensors hold, from any number of feeds, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import Executor, Future
from typing import Any

from quantlib.calibration.observer import Observed, Observer, describe
from quantlib.calibration.progress import Progress
from quantlib.model.graph import ModelError
from quantlib.model.model import Model

__all__ = ["Feeds", "length_of", "observe", "stream"]

Feeds = Iterable[Mapping[str, Any] | Sequence[Any]]
WAITING = 8  # feeds that are on their way at a time


def observe(
    model: Model,
    names: Sequence[str],
    feeds: Feeds,
    executor: Executor | None,
    progress: Progress,
) -> dict[str, Observer]:
    """Observers of values of a model over all feeds."""
    observers = {name: Observer() for name in names}
    total, done = length_of(feeds), 0
    for found in stream(_observed, (model, tuple(names)), feeds, executor):
        done += 1
        for name, part in zip(names, found, strict=True):
            observers[name].add(part)
        progress(done, total)
    if not done:
        raise ModelError("calibration is empty; static quantization needs samples")
    return observers


def length_of(feeds: Feeds) -> int | None:
    """How many feeds there are, if they say so."""
    return len(feeds) if isinstance(feeds, Sized) else None


def stream(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    feeds: Iterable[Any],
    executor: Executor | None,
) -> Iterator[Any]:
    """``function(*arguments, feed)`` for each feed in order, on an executor if there is one.

    Only a few feeds are under way at a time, however many there are.
    """
    if executor is None:
        for feed in feeds:
            yield function(*arguments, feed)
        return
    waiting: deque[Future[Any]] = deque()
    try:
        for feed in feeds:
            waiting.append(executor.submit(function, *arguments, feed))
            if len(waiting) >= WAITING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _observed(model: Model, names: tuple[str, ...], feed: Any) -> list[Observed]:
    found = []
    for name, value in zip(names, model.run(feed, names), strict=True):
        try:
            found.append(describe(value, None, "raise"))
        except ValueError as error:
            raise ModelError(f"calibration: of {name!r}, {error}") from None
    return found
