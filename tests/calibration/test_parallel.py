"""Executors: the bits of one process from threads, processes, and a Dask cluster."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

import quantlib as ql
from quantlib.calibration import METHODS, parallel

BATCHES = [
    (np.random.default_rng(seed).standard_t(3, (size, 3)) * 2.0**seed).astype(np.float32)
    for seed, size in enumerate([400, 30, 20_000, 1, 0, 7, 400, 3000])
]


class Immediate(Executor):
    """The least that an executor is; notes how many tasks it was given."""

    def __init__(self) -> None:
        self.tasks = 0

    def submit(self, function: Any, /, *arguments: Any, **keywords: Any) -> Future[Any]:
        self.tasks += 1
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **keywords))
        except ValueError as error:
            future.set_exception(error)
        return future


@pytest.fixture(params=["immediate", "threads", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "immediate":
        yield Immediate()
    elif request.param == "threads":
        with ThreadPoolExecutor(3) as pool:
            yield pool
    else:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            yield pool


def check(executor: Executor) -> None:
    """Every method, per tensor and per channel, in few and in many tasks."""
    for axis in (None, 1):
        for method in METHODS:
            expected = ql.calibrate(BATCHES, method, axis=axis)
            assert ql.calibrate(BATCHES, method, axis=axis, executor=executor) == expected
            assert ql.calibrate(iter(BATCHES), method, axis=axis, executor=executor) == expected


def test_same_bits(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    check(executor)
    monkeypatch.setattr(parallel, "PART", 1000)
    monkeypatch.setattr(parallel, "WAITING", 2)
    check(executor)


def test_dask_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real local cluster of two worker processes."""
    distributed = pytest.importorskip(
        "distributed", reason="Dask is not installed: pip install --group witnesses"
    )
    monkeypatch.setattr(parallel, "PART", 1000)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        check(client.get_executor())


def test_errors_of_workers_are_those_of_the_caller(executor: Executor) -> None:
    dirty = [*BATCHES, np.full((2, 3), np.nan)]
    with pytest.raises(ValueError, match="x holds nan"):
        ql.calibrate(dirty, executor=executor)
    ignored = ql.calibrate(dirty, executor=executor, nonfinite="ignore")
    assert ignored == ql.calibrate(BATCHES)
    with pytest.raises(ValueError, match="different"):
        ql.calibrate([*BATCHES, np.ones((2, 4))], axis=1, executor=executor)


def test_batches_are_read_as_they_are_worked_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the iterable is, only some of it is on its way."""
    monkeypatch.setattr(parallel, "PART", 1)
    monkeypatch.setattr(parallel, "WAITING", 3)
    read, merged = 0, 0
    lock = threading.Lock()

    def batches() -> Iterator[np.ndarray]:
        nonlocal read
        for _ in range(50):
            with lock:
                read += 1
                assert read - merged <= 4
            yield np.ones(5)

    def progress(done: int, total: int | None) -> None:
        nonlocal merged
        with lock:
            merged = done

    with ThreadPoolExecutor(2) as pool:
        ql.calibrate(batches(), executor=pool, progress=progress)
    assert (read, merged) == (50, 50)


def test_small_batches_share_a_task() -> None:
    executor = Immediate()
    ql.calibrate([np.ones(1 << 18)] * 10, executor=executor)
    assert executor.tasks == 3


def test_progress() -> None:
    calls: list[tuple[int, int | None]] = []
    ql.calibrate(BATCHES, progress=lambda *call: calls.append(call))
    assert calls == [(done, 8) for done in range(1, 9)]
    calls.clear()
    ql.calibrate(iter(BATCHES), progress=lambda *call: calls.append(call))
    assert calls == [(done, None) for done in range(1, 9)]


@pytest.mark.parametrize("with_rich", [True, False])
def test_progress_on_the_terminal(
    with_rich: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if with_rich:
        pytest.importorskip("rich", reason="the bar is the extra `cli`")
    else:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    expected = ql.calibrate(BATCHES)
    assert ql.calibrate(BATCHES, progress=True) == expected
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "8 of 8" in captured.err or "8/8" in captured.err
