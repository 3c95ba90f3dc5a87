"""The machine that is measured on, idle and beside busy neighbours."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantlib as ql
from bench_parts import ROOT, Clock, part

# ---- the machine --------------------------------------------------------------------------------


def test_the_description_names_no_host_user_or_path() -> None:
    machine = part("machine")
    description = machine.describe()
    text = json.dumps({key: value for key, value in description.items() if key != "cpu"})
    assert platform.node() not in text.split('"')
    assert str(ROOT) not in text
    assert f"{Path.home()}/" not in text
    assert description["isa"] == ql.cpu.isa()
    assert description["packages"]["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        ("Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz", "intel-xeon-gold-6230-avx2-2026-01-02"),
        ("AMD EPYC 9R14", "amd-epyc-9r14-avx2-2026-01-02"),
    ],
)
def test_results_are_named_after_the_processor(cpu: str, expected: str) -> None:
    slug = part("machine").slug({"cpu": cpu, "isa": "avx2", "date": "2026-01-02"})
    assert slug == expected


def test_a_kernel_release_is_cut_to_its_numbers() -> None:
    assert part("machine")._numbers("6.1.0-13-someone") == "6.1.0"


@pytest.fixture
def small_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part("machine"), "COPY_BYTES", 2**20)


@pytest.mark.usefixtures("small_copy")
def test_without_a_compiler_limits_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = part("machine")
    monkeypatch.setenv("CC", "no-such-compiler")
    limits = machine.limits()
    assert limits["loops"] == {}
    assert machine.int8_limit(limits, ql.cpu.isa()) is None
    assert limits["copy_gbytes"] > 0


@pytest.mark.usefixtures("small_copy")
def test_the_limits_of_a_core_are_plausible(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upper bound: eight times what the widest units in sale do a cycle, at 8 GHz."""
    machine = part("machine")
    if machine.describe()["compiler"] == "none" or platform.machine() != "x86_64":
        pytest.skip("the limits are measured with a C compiler on x86-64")
    monkeypatch.setattr(machine, "ITERATIONS", 1000)
    limits = machine.limits()
    assert limits["loops"].keys() == limits["instructions"].keys()
    for isa in set(ql.cpu.available_isas()) - {"portable"}:
        assert 1 < machine.int8_limit(limits, isa) < 100_000
    floats = [rate for name, rate in limits["loops"].items() if name.startswith("float32")]
    assert all(1 < rate < 10_000 for rate in floats)


# ---- busy neighbours ----------------------------------------------------------------------------


def test_throughput_is_calls_over_elapsed_time() -> None:
    neighbours, clock = part("neighbours"), Clock()
    assert neighbours.throughput(clock.taking("a", 0.04).call, clock) == pytest.approx(25)
    assert neighbours.throughput(clock.taking("slow", 2.0).call, clock) == pytest.approx(0.5)


def test_shares_are_taken_in_turns() -> None:
    """`calm` keeps all, `torn` a quarter, whatever the machine does meanwhile."""
    neighbours, state = part("neighbours"), {"busy": False, "speed": 1.0}

    def switch(running: bool) -> None:
        state["busy"] = running
        state["speed"] *= 1.0 if running else 2.0

    meters = {
        "calm": lambda: state["speed"],
        "torn": lambda: state["speed"] / (4 if state["busy"] else 1),
    }
    assert neighbours.shares(meters, switch) == pytest.approx({"calm": 1.0, "torn": 0.25})
    assert not state["busy"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="neighbours are stopped by signals")
def test_neighbours_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours, started = part("neighbours"), []
    popen = subprocess.Popen

    def watched(command: list[str]) -> Any:
        started.append(popen(command))
        return started[-1]

    monkeypatch.setattr(neighbours.subprocess, "Popen", watched)
    with neighbours.started(2) as switch:
        switch(True)
        assert [process.poll() for process in started] == [None, None]
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2


@pytest.mark.parametrize("threads", [1, 3])
def test_the_yardstick_uses_the_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours, seen = part("neighbours"), set()

    def meter(call: Any) -> float:
        seen.add(threading.get_ident())
        call()
        time.sleep(0.05)  # so that no thread is over before the next is there
        return 2.0

    monkeypatch.setattr(neighbours, "throughput", meter)
    assert neighbours.hashing(threads) == 2.0 * threads
    assert len(seen) == threads
