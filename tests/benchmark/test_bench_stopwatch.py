"""How long calls take, on a clock that the tests turn."""

from __future__ import annotations

import gc
import hashlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from bench_parts import Clock, part


def plan(**changes: Any) -> Any:
    defaults = {"rounds": 9, "sample_seconds": 1e-3, "warmup_seconds": 1e-2}
    return part("stopwatch").Plan(**{**defaults, **changes})


def test_what_takes_twice_as_long_is_half_as_fast() -> None:
    stopwatch, clock = part("stopwatch"), Clock()
    timings = stopwatch.measure(
        [clock.taking("quick", 3e-6), clock.taking("slow", 6e-6)], plan(), clock
    )
    assert stopwatch.speedup(timings["quick"], timings["slow"]) == pytest.approx(2.0)
    assert stopwatch.speedup(timings["slow"], timings["quick"]) == pytest.approx(0.5)
    assert timings["quick"].median == pytest.approx(3e-6)
    assert len(timings["quick"].seconds) == plan().rounds


def test_a_drifting_machine_does_not_decide() -> None:
    """Load that doubles from round to round cancels in the quotient of one round."""
    stopwatch, clock, calls = part("stopwatch"), Clock(), 0

    def load() -> float:
        nonlocal calls
        calls += 1
        return 2.0 ** ((calls - 1) // 4)  # two contenders, each called twice a round

    clock.load = load
    timings = stopwatch.measure([clock.taking("a", 1.0), clock.taking("b", 3.0)], plan(), clock)
    first, third = timings["a"].quartiles
    assert third > 8 * first
    assert stopwatch.speedup(timings["a"], timings["b"]) == pytest.approx(3.0)


def spinning(until: Callable[[], bool]) -> threading.Thread:
    """A thread that computes outside the interpreter's lock, until it is to end."""
    data, started = b"0" * 1_000_000, threading.Event()

    def spin() -> None:
        started.set()
        while not until():
            hashlib.sha256(data)

    thread = threading.Thread(target=spin)
    thread.start()
    started.wait()
    return thread


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what threads do")
def test_settling_waits_for_threads_that_compute() -> None:
    begin = time.perf_counter()
    thread = spinning(lambda: time.perf_counter() > begin + 0.1)
    part("stopwatch").settle(limit=30.0)
    assert 0.1 < time.perf_counter() - begin < 20
    thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what threads do")
def test_settling_gives_up_in_the_end() -> None:
    stop = threading.Event()
    thread, begin = spinning(stop.is_set), time.perf_counter()
    part("stopwatch").settle(limit=0.05)
    assert time.perf_counter() - begin >= 0.05
    stop.set()
    thread.join()


def test_settling_does_not_wait_for_threads_that_sleep() -> None:
    stop, begin = threading.Event(), time.perf_counter()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    part("stopwatch").settle(limit=20.0)
    assert time.perf_counter() - begin < 10
    stop.set()
    thread.join()


def test_a_sample_lasts_as_long_as_planned() -> None:
    clock = Clock()
    timings = part("stopwatch").measure(
        [clock.taking("short", 1e-6), clock.taking("long", 1.0)], plan(), clock
    )
    assert timings["short"].repetitions * 1e-6 >= plan().sample_seconds
    assert timings["short"].repetitions * 1e-6 < 4 * plan().sample_seconds
    assert timings["long"].repetitions == 1


def test_every_contender_runs_once_a_round_and_begins_in_turn() -> None:
    stopwatch, clock, order = part("stopwatch"), Clock(), []
    contenders = []
    for name in "abc":
        timed = clock.taking(name, 1.0)
        contenders.append(
            stopwatch.Contender(
                name, lambda name=name, timed=timed: (order.append(name), timed.call())
            )
        )
    stopwatch.measure(contenders, plan(rounds=4), clock)
    turns = "".join(order[6:])  # after two calls each to warm up
    assert turns == "aabbcc" + "bbccaa" + "ccaabb" + "aabbcc"  # the first of each is not counted


def test_contenders_are_warm_before_they_are_timed() -> None:
    stopwatch, clock = part("stopwatch"), Clock()
    clock.load = lambda: 100.0 if clock.now < 5e-3 else 1.0
    timings = stopwatch.measure([clock.taking("a", 1e-4)], plan(), clock)
    assert timings["a"].seconds == pytest.approx([1e-4] * plan().rounds)


def test_the_first_call_of_a_turn_does_not_count() -> None:
    """Caches cold after another contender: the first call takes ten times as long."""
    stopwatch, clock, last = part("stopwatch"), Clock(), [""]

    def cold_after_others(name: str) -> Any:
        def call() -> None:
            clock.now += 1.0 if last[0] == name else 10.0
            last[0] = name

        return stopwatch.Contender(name, call)

    timings = stopwatch.measure([cold_after_others("a"), cold_after_others("b")], plan(), clock)
    assert timings["a"].seconds == (1.0,) * plan().rounds


def test_quartiles_hold_half_of_the_samples() -> None:
    stopwatch = part("stopwatch")
    assert stopwatch.Timing((1.0, 2.0, 3.0, 4.0, 5.0), 1).quartiles == (2.0, 4.0)
    assert stopwatch.Timing((7.0,), 1).quartiles == (7.0, 7.0)


def test_two_contenders_of_one_name_are_refused() -> None:
    clock = Clock()
    with pytest.raises(ValueError, match="different names"):
        part("stopwatch").measure([clock.taking("a", 1.0), clock.taking("a", 1.0)], plan(), clock)


def test_garbage_is_not_collected_while_timing() -> None:
    stopwatch, clock, seen = part("stopwatch"), Clock(), []
    timed = clock.taking("a", 1.0)
    watching = stopwatch.Contender("a", lambda: (seen.append(gc.isenabled()), timed.call()))
    stopwatch.measure([watching], plan(), clock)
    assert seen
    assert not any(seen)
    assert gc.isenabled()
