"""The parts of ``bench`` and ``quantlib.benchmark``, a clock that tests turn, made figures."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"


def _make_importable() -> None:
    """Lets ``bench`` be imported without putting the source tree on the path, where its
    ``quantlib`` would stand before the installed one."""
    spec = importlib.util.spec_from_file_location(
        "bench", BENCH / "__init__.py", submodule_search_locations=[str(BENCH)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench"] = module
    spec.loader.exec_module(module)


_make_importable()

MEASURING = {"cases", "machine", "process", "products", "report", "results", "short", "stopwatch"}


def part(name: str) -> ModuleType:
    """A module of ``quantlib.benchmark``, or of ``bench`` around it."""
    package = "quantlib.benchmark" if name in MEASURING else "bench"
    return importlib.import_module(f"{package}.{name}")


class Clock:
    """Time that passes only when a contender says so. `load` multiplies what it takes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.load: Callable[[], float] = lambda: 1.0

    def __call__(self) -> float:
        return self.now

    def taking(self, name: str, seconds: float) -> Any:
        def call() -> None:
            self.now += seconds * self.load()

        return part("stopwatch").Contender(name, call)


# ---- made figures -------------------------------------------------------------------------------


def timing(*seconds: float) -> Any:
    return part("stopwatch").Timing(seconds, 1)


def idle(name: str) -> Any:
    return part("stopwatch").Contender(name, lambda: None)


def made_case(**changes: Any) -> Any:
    cases = part("cases")
    races = (cases.Race(idle("op"), (idle("slow peer"), idle("fast peer"))),)
    named = {"suite": "matmul", "shape": "1,2,3", "work": 8_000_000, "races": races}
    return cases.Case(**{**named, "baseline": idle("NumPy float32"), **changes})


TIMES = {"op": 2e-3, "NumPy float32": 8e-3, "slow peer": 3e-3, "fast peer": 1e-3}
LIMIT = 16.0
LIMITS = {
    "loops": {"int8_portable": 16.0, "float32_portable": 4.0},
    "instructions": {"int8_portable": "mul", "float32_portable": "fmul"},
    "copy_gbytes": 10.0,
}


def made_result(limit: float | None = LIMIT, threads: int = 1) -> dict[str, Any]:
    timings = {name: timing(seconds, seconds) for name, seconds in TIMES.items()}
    return part("results").of_case(made_case(), timings, limit, threads)


def made_results(cases: list[Any]) -> dict[str, Any]:
    return {
        "machine": {
            "date": "2026-01-02",
            "cpu": "Some CPU",
            "cores": 2,
            "isa": "portable",
            "system": "Linux 1.2",
            "blas": "blas 1",
            "compiler": "gcc 1.2.3",
            "commit": "abc",
            "packages": {"numpy": "2.0"},
        },
        "settings": {"rounds": 3, "quick": False},
        "limits": copy.deepcopy(LIMITS),
        "runs": [part("results").of_run(1, {"matmul": cases})],
        "notes": ["a peer left out: because"],
    }
