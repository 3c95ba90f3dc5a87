"""Many Python threads at once, processes that fork in the middle, and memory that stays level."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantlib as ql

Array = np.ndarray[Any, Any]
Job = Callable[[], Array]

SECONDS_TO_ANSWER = 20.0  # of a forked child; it needs a few milliseconds
LINUX = sys.platform == "linux"


def _codes(random: Any, shape: tuple[int, ...], dtype: Any = np.uint8) -> Array:
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max + 1, shape).astype(dtype)


def _jobs() -> list[Job]:
    """Calls of every kind: prepared and not, small ones and ones that share their work."""
    return _small_jobs() + _large_jobs()


def _small_jobs() -> list[Job]:
    random = np.random.default_rng(11)
    a, b = _codes(random, (33, 65)), _codes(random, (65, 31), np.int8)
    x, w = _codes(random, (1, 8, 12, 12)), _codes(random, (16, 8, 3, 3), np.int8)
    reals = random.normal(size=(40, 300)).astype(np.float32)
    params = ql.QuantParams.from_range(*ql.min_max(reals, axis=0), axis=0)
    product = ql.MatMulInteger(b)
    scales = {"x_scale": 0.02, "x_zero_point": 9, "y_scale": 0.1, "y_zero_point": np.int8(3)}
    convolution = ql.QLinearConv(w, 0.01, **scales, pads=[1, 1, 1, 1])
    depthwise = ql.QLinearConv(_codes(random, (8, 1, 3, 3)), 0.01, **scales, group=8)
    return [
        lambda: product(a, np.uint8(3)),
        lambda: ql.matmul_integer(a, b, np.uint8(7), np.int8(-3)),
        lambda: ql.qlinear_matmul(a, 0.1, 5, b, 0.02, 0, 1.0, np.uint8(128)),
        lambda: convolution(x),
        lambda: depthwise(x),
        lambda: ql.conv_integer(x, w, strides=[2, 1]),
        lambda: ql.quantize(reals, params),
        lambda: ql.fake_quantize(reals, params),
        lambda: ql.dynamic_quantize_linear(reals)[0],
        lambda: ql.min_max(reals, axis=1)[1],
        lambda: ql.requantize(ql.matmul_integer(a, b), 0.01, np.uint8(100)),
    ]


def _large_jobs() -> list[Job]:
    random = np.random.default_rng(13)
    a, b = _codes(random, (384, 256)), _codes(random, (256, 320), np.int8)
    x, w = _codes(random, (1, 32, 32, 64)), _codes(random, (64, 64, 3, 3), np.int8)
    scales = {"a_scale": 0.02, "a_zero_point": 100, "y_scale": 0.5, "y_zero_point": np.uint8(99)}
    product = ql.QLinearMatMul(b, 0.01, **scales)
    convolution = ql.QLinearConv(w, 0.01, x_scale=0.02, y_scale=0.5, layout="NHWC")
    return [lambda: product(a), lambda: ql.matmul_integer(a, b), lambda: convolution(x)]


@pytest.fixture(autouse=True)
def two_threads_or_more() -> Iterator[None]:
    """The pool is in use, whatever the number of processors."""
    before = ql.get_num_threads()
    ql.set_num_threads(max(before, 3))
    yield
    ql.set_num_threads(before)


def test_many_threads_get_the_same_bits() -> None:
    """Each thread makes every call again and again, in an order of its own."""
    jobs = _jobs()
    wanted = [job() for job in jobs]
    errors: list[str] = []
    until = time.monotonic() + 2.5

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        while time.monotonic() < until and not errors:
            for index in random.permutation(len(jobs)):
                result = jobs[index]()
                if result.tobytes() != wanted[index].tobytes():
                    errors.append(f"job {index} in thread {seed}")

    _in_threads(work, 12)
    assert not errors


def test_threads_share_a_new_prepared_operation() -> None:
    """What a prepared operation keeps from call to call may be made by several threads at once."""
    random = np.random.default_rng(12)
    images = [_codes(random, (1, 4, 5 + i % 7, 6), (np.uint8, np.int8)[i % 2]) for i in range(28)]
    w = _codes(random, (5, 4, 3, 3), np.int8)
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


def test_the_number_of_threads_may_change_while_others_compute() -> None:
    jobs = _jobs()
    wanted = [job().tobytes() for job in jobs]
    errors: list[int] = []
    until = time.monotonic() + 1.0

    def work(number: int) -> None:
        while time.monotonic() < until:
            if number == 0:
                ql.set_num_threads(1 + time.monotonic_ns() % 5)
            errors.extend(i for i, job in enumerate(jobs) if job().tobytes() != wanted[i])

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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_computes() -> None:
    """The pool has run in the parent; the child has no workers, and starts its own."""
    jobs = _jobs()
    wanted = [job().tobytes() for job in jobs]
    for _ in range(5):
        assert _answer_of_a_child(jobs, wanted) == 0
        assert [job().tobytes() for job in jobs] == wanted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_in_the_middle_of_other_threads_work() -> None:
    """Threads of the parent compute at the moment of the fork, and go on afterwards."""
    jobs = _jobs()
    wanted = [job().tobytes() for job in jobs]
    stop = threading.Event()
    errors: list[int] = []

    def work(_: int) -> None:
        while not stop.is_set():
            errors.extend(i for i, job in enumerate(jobs) if job().tobytes() != wanted[i])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        answers = [_answer_of_a_child(jobs, wanted) for _ in range(25)]
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert answers == [0] * 25
    assert not errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_of_a_child_computes() -> None:
    jobs = _jobs()
    wanted = [job().tobytes() for job in jobs]
    assert _answer_of_a_child(jobs, wanted, generations=3) == 0


def _answer_of_a_child(jobs: list[Job], wanted: list[bytes], generations: int = 1) -> int:
    """0 if a forked child got the same bits; otherwise its exit status, or minus its signal."""
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork among threads, which is what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 3
        try:
            status = int(
                any(job().tobytes() != bits for job, bits in zip(jobs, wanted, strict=True))
            )
            if status == 0 and generations > 1:
                status = abs(_answer_of_a_child(jobs, wanted, generations - 1))
        finally:
            os._exit(status)
    until = time.monotonic() + SECONDS_TO_ANSWER
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


# --- leaks --------------------------------------------------------------------------------------


@pytest.mark.skipif(not LINUX, reason="reads the resident size from /proc")
def test_memory_stays_level() -> None:
    """20,000 calls, results, errors and prepared operations included, leave nothing behind.

    A single leaked panel of a product would be 4 KiB a call: 80 MB in all.
    """
    jobs = [*_small_jobs(), _prepare, _overflow, _refuse]
    _repeat(jobs, 2_000)
    before = _resident_bytes()
    _repeat(jobs, 20_000)
    assert _resident_bytes() - before < 4_000_000


def _prepare() -> Array:
    product = ql.QLinearMatMul(np.ones((64, 48), np.int8), 1.0, a_scale=1.0)
    depthwise = ql.QLinearConv(np.ones((16, 1, 3), np.int8), 1.0, x_scale=1.0, group=16)
    return (
        product(np.ones((2, 64), np.uint8))[:, :1] + depthwise(np.ones((1, 16, 3), np.uint8))[0, :1]
    )


def _overflow() -> Array:
    """An accumulator that does not fit: C returns early."""
    bias = np.full(48, 2**31 - 1, np.int32)
    with pytest.raises(OverflowError):
        ql.qlinear_matmul(_ONES, 1.0, 0, _ONES.T, 1.0, 0, None, None, bias=bias)
    return _ONES


_ONES = np.ones((48, 64), np.uint8)


def _refuse() -> Array:
    with pytest.raises(ValueError, match="columns"):
        ql.matmul_integer(_ONES, _ONES)
    return _ONES


def _repeat(jobs: list[Job], calls: int) -> None:
    for call in range(calls):
        jobs[call % len(jobs)]()
    gc.collect()


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
