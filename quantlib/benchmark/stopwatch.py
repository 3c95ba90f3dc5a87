"""The stopwatch: contenders take turns, and are compared within a turn.

A machine that others use as well runs faster and slower from second to second, and a figure taken
now says little about one taken a minute ago. So all the contenders of a case run in one process,
each once a round, for many rounds; and who is faster is decided round by round, from two samples
that lie milliseconds apart, before the median over the rounds is taken.

The threads of many libraries look for more work for some milliseconds before they sleep, and keep
a processor busy that the next contender wants. So each waits until those of the one before sleep.
"""

from __future__ import annotations

import gc
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Clock = Callable[[], float]


@dataclass(frozen=True)
class Contender:
    """Something to time: a name and a call without arguments, whose result is for checking."""

    name: str
    call: Callable[[], Any]


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    rounds: int = 25
    sample_seconds: float = 2e-3
    """The least that one sample lasts: a faster call is repeated within it."""
    warmup_seconds: float = 10e-3
    case_seconds: float = float("inf")
    """There are fewer rounds than `rounds`, but `least_rounds`, if they would take longer."""
    least_rounds: int = 7
    settling: bool = False
    """Whether each sample waits until no other thread of the process computes."""


@dataclass(frozen=True)
class Timing:
    """Seconds per call, one entry a round; entry i of every contender is from the same round."""

    seconds: tuple[float, ...]
    repetitions: int

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third: half of the samples lie between them."""
        if len(self.seconds) == 1:
            return self.seconds[0], self.seconds[0]
        first, _, third = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return first, third


def measure(
    contenders: Sequence[Contender], plan: Plan, clock: Clock = time.perf_counter
) -> dict[str, Timing]:
    """The timing of each contender, by name."""
    names = [contender.name for contender in contenders]
    if len(set(names)) < len(names):
        raise ValueError(f"contenders must have different names, not {names}")
    wait = settle if plan.settling else _do_nothing
    with _no_garbage_collection():
        counts, once = [], []
        for contender in contenders:
            count, each = _warm_up(contender, plan, clock)
            counts.append(count)
            once.append((count + 1) * each)
        seconds: list[list[float]] = [[] for _ in contenders]
        for turn in range(_rounds(sum(once), plan)):
            for index in rotated(len(contenders), turn):
                wait()
                seconds[index].append(_sample(contenders[index], counts[index], clock))
    return {
        name: Timing(tuple(mine), count)
        for name, mine, count in zip(names, seconds, counts, strict=True)
    }


def settle(limit: float = 0.3, look: float = 1e-3) -> None:
    """Waits until the other threads of this process sleep, for at most `limit` seconds.

    Looks every `look` seconds. Where the system does not tell what threads do, as only Linux does,
    it does not wait.
    """
    end = time.perf_counter() + limit
    while _others_run() and time.perf_counter() < end:
        time.sleep(look)


def _others_run(folder: str = "/proc/self/task") -> bool:
    """Whether a thread beside the caller's has a processor or waits for one."""
    if not os.path.isdir(folder):
        return False
    others = set(os.listdir(folder)) - {str(threading.get_native_id())}
    return any(_state(f"{folder}/{thread}/stat") == "R" for thread in others)


def _state(path: str) -> str:
    """R for running or ready, from a file as in proc(5); "" of a thread that has ended."""
    try:
        with open(path) as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def speedup(of: Timing, over: Timing) -> float:
    """How many times as fast `of` is as `over`: the median of the rounds' quotients."""
    return statistics.median(
        theirs / mine for mine, theirs in zip(of.seconds, over.seconds, strict=True)
    )


def rotated(count: int, turn: int) -> Iterator[int]:
    """0 to `count` - 1, beginning one further each turn: nobody always runs first."""
    return ((turn + place) % count for place in range(count))


def _rounds(seconds: float, plan: Plan) -> int:
    """How many rounds there are, of so many seconds each."""
    if plan.rounds * seconds <= plan.case_seconds:
        return plan.rounds
    return max(int(plan.case_seconds / seconds), min(plan.least_rounds, plan.rounds))


def _warm_up(contender: Contender, plan: Plan, clock: Clock) -> tuple[int, float]:
    """Runs a contender until it is warm, and says how many calls one sample takes, and how long
    one call."""
    begin, count = clock(), 1
    while True:
        seconds = _sample(contender, count, clock)
        long_enough = seconds * count >= plan.sample_seconds
        if long_enough and clock() - begin >= plan.warmup_seconds:
            return count, seconds
        if not long_enough:
            count *= 2


def _sample(contender: Contender, repetitions: int, clock: Clock) -> float:
    """Seconds per call. The first call is not counted: it finds in the caches, and in the
    processor's clock, what the contender before it left there."""
    call = contender.call
    call()
    begin = clock()
    for _ in range(repetitions):
        call()
    return (clock() - begin) / repetitions


def _do_nothing() -> None:
    pass


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
