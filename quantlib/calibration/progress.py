"""Progress of long work: by a function of the caller, or on the terminal."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Progress", "reporting"]

Progress = Callable[[int, int | None], None]  # takes what is done, and of how much if that is known


@contextmanager
def reporting(progress: bool | Progress, work: str) -> Iterator[Progress]:
    """The function to report to: the caller's; with True a bar, or a line without rich; or none."""
    if callable(progress):
        yield progress
    elif progress is not True:
        if progress is not False:
            raise TypeError(f"progress must be a bool or callable, not {type(progress).__name__}")
        yield _nothing
    elif importlib.util.find_spec("rich") is None:
        yield _Line(work).show
        print(file=sys.stderr)
    else:
        with _bar(work) as show:
            yield show


def _nothing(done: int, total: int | None) -> None:
    pass


class _Line:
    """A line that is written over, on the standard error stream."""

    def __init__(self, work: str) -> None:
        self._work = work

    def show(self, done: int, total: int | None) -> None:
        share = "" if total is None else f" of {total}"
        print(f"\r{self._work}: {done}{share}", end="", file=sys.stderr, flush=True)


@contextmanager
def _bar(work: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Bar(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(work, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
