"""Many Python threads at once, processes that fork in the middle, and memory that stays level.

``stress.py`` has the calls that are made here, and makes a million of them when it is run.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import quantlib as ql
from quantlib.ops._remembered import Remembered

Array = np.ndarray[Any, Any]

SCRIPT = Path(__file__).with_name("stress.py")
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads the resident size from /proc")


@pytest.fixture(scope="module")
def stress() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stress", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stress"] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def jobs(stress: ModuleType) -> list[Any]:
    """Calls of every kind: prepared and not, small ones and ones that share their work."""
    return stress.make_jobs(2 * len(stress.KINDS), large=1)


@pytest.fixture(autouse=True)
def two_threads_or_more() -> Iterator[None]:
    """The pool is in use, whatever the number of processors."""
    before = ql.get_num_threads()
    ql.set_num_threads(max(before, 3))
    yield
    ql.set_num_threads(before)


# --- threads ------------------------------------------------------------------------------------


def test_the_calls_are_of_different_operations(stress: ModuleType, jobs: list[Any]) -> None:
    names = {job.name for job in jobs}
    assert len(names) >= len(stress.KINDS)  # some kinds are of two operations
    assert names <= {*ql.ops.__all__}


def test_a_wrong_bit_is_noticed(stress: ModuleType, jobs: list[Any]) -> None:
    wrong = stress.Job("wrong", jobs[0].call, bytes(len(jobs[0].wanted)))
    report = stress.run([wrong], 0, calls=8, threads=2, forks=1)
    assert report.wrong == ["wrong"] * 8
    assert report.children == [1]
    assert len(report.problems) == 9


def test_many_threads_get_the_same_bits(jobs: list[Any]) -> None:
    """Each thread makes every call again and again, in an order of its own."""
    errors: list[str] = []
    until = time.monotonic() + 2.0

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        while time.monotonic() < until and not errors:
            for index in random.permutation(len(jobs)):
                if not jobs[index].is_right():
                    errors.append(f"{jobs[index].name} in thread {seed}")

    _in_threads(work, 12)
    assert not errors


def test_threads_share_a_new_prepared_operation() -> None:
    """What a prepared operation keeps from call to call may be made by several threads at once."""
    random = np.random.default_rng(12)
    images = [
        random.integers(0, 256, (1, 4, 5 + i % 7, 6), np.uint8).view((np.uint8, np.int8)[i % 2])
        for i in range(28)
    ]
    w = random.integers(-128, 128, (5, 4, 3, 3), np.int8)
    for _ in range(20):
        layer = ql.QLinearConv(w, 0.01, x_scale=0.5, y_scale=3.0)
        wanted = [ql.reference.qlinear_conv(x, 0.5, None, w, 0.01, None, 3.0, None) for x in images]
        results: dict[tuple[int, int], Array] = {}
        barrier = threading.Barrier(6)

        def work(
            number: int, layer: Any = layer, results: Any = results, go: Any = barrier
        ) -> None:
            go.wait()
            for index in np.random.default_rng(number).permutation(len(images)):
                results[number, int(index)] = layer(images[index])

        _in_threads(work, 6)
        assert len(results) == 6 * len(images)
        for (_, index), result in results.items():
            np.testing.assert_array_equal(result, wanted[index])


def test_the_number_of_threads_may_change_while_others_compute(jobs: list[Any]) -> None:
    errors: list[str] = []
    until = time.monotonic() + 1.0

    def work(number: int) -> None:
        while time.monotonic() < until:
            if number == 0:
                ql.set_num_threads(1 + time.monotonic_ns() % 5)
            errors.extend(job.name for job in jobs if not job.is_right())

    _in_threads(work, 4)
    assert not errors


def _in_threads(work: Callable[[int], None], count: int) -> None:
    """Runs ``work(0)`` to ``work(count - 1)`` side by side, and passes on what they raise."""
    raised: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not raised, raised


# --- forks --------------------------------------------------------------------------------------


@FORKS
def test_a_forked_child_computes(stress: ModuleType, jobs: list[Any]) -> None:
    """The pool has run in the parent; the child has no workers, and starts its own."""
    for _ in range(5):
        assert all(job.is_right() for job in jobs)
        assert stress.answer_of_a_child(jobs) == 0


@FORKS
def test_a_fork_in_the_middle_of_other_threads_work(stress: ModuleType, jobs: list[Any]) -> None:
    """Threads of the parent compute at the moment of the fork, and go on afterwards."""
    stop = threading.Event()
    errors: list[str] = []

    def work(_: int) -> None:
        while not stop.is_set():
            errors.extend(job.name for job in jobs if not job.is_right())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        answers = [stress.answer_of_a_child(jobs) for _ in range(25)]
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert answers == [0] * 25
    assert not errors


@FORKS
def test_a_child_of_a_child_computes(stress: ModuleType, jobs: list[Any]) -> None:
    assert all(job.is_right() for job in jobs)
    assert stress.answer_of_a_child(jobs, generations=3) == 0


@FORKS
def test_a_fork_while_parameters_are_remembered() -> None:
    """A child keeps parameters like any process, whatever another thread was keeping just then."""
    remembered: Remembered[int] = Remembered(4)
    stop = threading.Event()

    def keep(number: int) -> None:
        remembered.keep(number, number)
        remembered.hold("kind", (number, None), number)

    def keep_on() -> None:
        number = 0
        while not stop.is_set():
            keep(number := number + 1)

    thread = threading.Thread(target=keep_on)
    thread.start()
    try:
        for _ in range(20):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of a fork among threads
                child = os.fork()
            if child == 0:
                signal.alarm(10)  # ends a child that waits
                keep(-1)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()


@FORKS
@LINUX
def test_stress() -> None:
    """40,000 calls from eight threads with forks in between: the million, in some seconds."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--calls", "40000", "--forks", "5", "--most-seconds", "120"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("40,000 calls,")
    assert "5 children" in done.stdout


# --- leaks --------------------------------------------------------------------------------------


@LINUX
def test_memory_stays_level(stress: ModuleType) -> None:
    """20,000 calls, results, errors and prepared operations included, leave nothing behind.

    A single leaked panel of a product would be 4 KiB a call: 80 MB in all.
    """
    small = stress.make_jobs(len(stress.KINDS))
    calls = [*(job.call for job in small), _prepare, _overflow, _refuse]
    _repeat(calls, 2_000)
    before = stress.resident_bytes()
    _repeat(calls, 20_000)
    assert stress.resident_bytes() - before < 4_000_000


def _prepare() -> None:
    product = ql.QLinearMatMul(np.ones((64, 48), np.int8), 1.0, a_scale=1.0)
    depthwise = ql.QLinearConv(np.ones((16, 1, 3), np.int8), 1.0, x_scale=1.0, group=16)
    product(np.ones((2, 64), np.uint8))
    depthwise(np.ones((1, 16, 3), np.uint8))


def _overflow() -> None:
    """An accumulator that does not fit: C returns early."""
    bias = np.full(48, 2**31 - 1, np.int32)
    with pytest.raises(OverflowError):
        ql.qlinear_matmul(_ONES, 1.0, 0, _ONES.T, 1.0, 0, None, None, bias=bias)


_ONES = np.ones((48, 64), np.uint8)


def _refuse() -> None:
    with pytest.raises(ValueError, match="columns"):
        ql.matmul_integer(_ONES, _ONES)


def _repeat(calls: list[Callable[[], Any]], count: int) -> None:
    for number in range(count):
        calls[number % len(calls)]()
    gc.collect()
