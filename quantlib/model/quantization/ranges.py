"""Calibration: what tensors hold, from any number of feeds, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

from quantlib.calibration.histogram import Histogram, histogram_of, merge
from quantlib.model.graph import ModelError
from quantlib.model.model import Model

__all__ = ["Feeds", "Progress", "observe", "stream"]

Feeds = Iterable[Mapping[str, Any] | Sequence[Any]]
Progress = Callable[[str, int], None]  # what is done, how often it has been done
WAITING = 4  # feeds that an executor may hold for each result that is awaited


def observe(
    model: Model,
    names: Sequence[str],
    feeds: Feeds,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> dict[str, Histogram]:
    """The histograms of values of a model over all feeds; in any order, they are the same."""
    found: dict[str, Histogram] = {}
    count = 0
    for part in stream(_histograms, (model, tuple(names)), feeds, executor):
        for name, histogram in part.items():
            found[name] = merge(found[name], histogram) if name in found else histogram
        count += 1
        if progress is not None:
            progress("calibrating", count)
    if not count:
        raise ModelError("calibration is empty; static quantization needs samples")
    return found


def stream(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    feeds: Feeds,
    executor: Executor | None,
) -> Iterator[Any]:
    """``function(*arguments, feed)`` for each feed, on an executor if there is one.

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


def _histograms(model: Model, names: tuple[str, ...], feed: Any) -> dict[str, Histogram]:
    values = model.run(feed, names)
    found = {}
    for name, value in zip(names, values, strict=True):
        if not np.all(np.isfinite(value)):
            raise ModelError(f"{name!r} is not finite for a calibration sample")
        found[name] = histogram_of(value)
    return found
