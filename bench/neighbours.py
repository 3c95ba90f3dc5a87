"""How much of its throughput a contender keeps while other processes are busy.

The neighbours are processes that spin, and are stopped for one half of each turn. What counts is
calls over elapsed time in a window of many time slices: a median of short samples would miss those
in which the contender did not run at all.

The fair share is measured in the same turns, because other users of the machine have theirs too: it
is what a program keeps that hashes in as many threads, of which none waits for another. On two
otherwise idle processors that is 2/3 with one thread, and 1/2 with two. A contender falls below it
if each of its calls waits for the last of its threads.
"""

from __future__ import annotations

import hashlib
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from quantlib.benchmark.cases import Case
from quantlib.benchmark.results import best_peer, rounded

COUNT = 2
TURNS = 3
WINDOW = 0.1  # seconds
SETTLE = 0.1  # for the scheduler to find every process its place

Switch = Callable[[bool], None]
"""Lets the neighbours run, or stops them."""
Meter = Callable[[], float]
"""Measures a throughput."""
FAIR = ""  # the name of no contender


@contextmanager
def started(count: int = COUNT) -> Iterator[Switch]:
    """Starts the neighbours, stopped, and ends them."""
    spin = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(spin) for _ in range(count)]

    def switch(running: bool) -> None:
        for process in processes:
            process.send_signal(signal.SIGCONT if running else signal.SIGSTOP)
        time.sleep(SETTLE)

    try:
        switch(False)
        yield switch
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(case: Case, idle: Mapping[str, Any], threads: int, switch: Switch) -> dict[str, Any]:
    """The share of its idle throughput that each contender keeps: quantlib's operations, NumPy and
    the fastest peer of each row of `idle`, the results of the case."""
    names = {case.baseline.name}
    for row in idle["rows"]:
        best = best_peer(row)
        names |= {row["operation"], *([best[0]] if best else [])}
    meters: dict[str, Meter] = {FAIR: lambda: hashing(threads)}
    for contender in case.contenders:
        if contender.name in names:
            meters[contender.name] = lambda call=contender.call: throughput(call)
    kept = {name: rounded(share) for name, share in shares(meters, switch).items()}
    return {"fair_share": kept.pop(FAIR), "kept": kept}


def shares(meters: Mapping[str, Meter], switch: Switch) -> dict[str, float]:
    """What each keeps: throughput beside the neighbours over throughput without, in turns."""
    quotients: dict[str, list[float]] = {name: [] for name in meters}
    for _ in range(TURNS):
        switch(False)
        alone = {name: meter() for name, meter in meters.items()}
        switch(True)
        for name, meter in meters.items():
            quotients[name].append(meter() / alone[name])
    switch(False)
    return {name: statistics.median(values) for name, values in quotients.items()}


def throughput(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Calls a second over a window; whole calls, at least one."""
    begin, count = clock(), 0
    while (elapsed := clock() - begin) < WINDOW:
        call()
        count += 1
    return count / elapsed


def hashing(threads: int) -> float:
    """Blocks hashed a second by so many threads, this one included. They do not hold the
    interpreter's lock meanwhile."""
    block, rates = bytes(2**16), []

    def work() -> None:
        rates.append(throughput(lambda: hashlib.sha256(block).digest()))

    others = [threading.Thread(target=work) for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()
    return sum(rates)


def summary(suites: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Of each contender: the median and the least over all cases of what it keeps, as a share of
    the fair share."""
    shares: dict[str, list[float]] = {}
    fair: list[float] = []
    for cases in suites.values():
        for case in cases:
            if "busy" in case:
                fair.append(case["busy"]["fair_share"])
                for name, share in case["busy"]["kept"].items():
                    shares.setdefault(name, []).append(share / fair[-1])
    return {
        "neighbours": COUNT,
        "fair_share": rounded(statistics.median(fair)) if fair else None,
        "of_fair_share": {
            name: [rounded(statistics.median(each)), rounded(min(each))]
            for name, each in shares.items()
        },
    }
