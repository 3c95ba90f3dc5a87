"""Measures quantlib against NumPy float32 and the installed peers: ``python bench/run.py``.

The installed quantlib is measured, or, where none is installed, the one that this file's source
tree holds.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Any

SUITES = ("matmul", "conv", "elementwise")
# What the engines read when they are loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "QUANTLIB_NUM_THREADS",
)
# The most operations or elements of a case when it has to be quick.
QUICK_WORK = {"matmul": 10**9, "conv": 3 * 10**8, "elementwise": 4_000_000}


def main() -> int:
    options = parse(sys.argv[1:])
    prepare_process(options.threads)
    results = measured(options)
    report().print_report(results)
    if options.json is not None:
        importlib.import_module("bench.results").write(results, options.json)
        print(f"\nwritten to {options.json}")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--suite",
        default=",".join(SUITES),
        help="which, with commas between (default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=1, help="of every engine (default: 1)")
    parser.add_argument("--quick", action="store_true", help="small shapes, few rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args(arguments)
    options.suites = options.suite.split(",")
    unknown = sorted(set(options.suites) - set(SUITES))
    if unknown:
        parser.error(f"--suite has no {', '.join(unknown)}; there are {', '.join(SUITES)}")
    if options.threads < 1:
        parser.error("--threads must be 1 or more")
    return options


def prepare_process(threads: int) -> None:
    """Before NumPy is imported: thread counts, and where to import from."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    sys.path.append(str(here.parent))  # last, so that an installed quantlib comes first


def report() -> Any:
    return importlib.import_module("bench.report")


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the suites, with a line on standard error for each case."""
    from bench import cases, harness, machine, results

    plan = harness.Plan(rounds=5, sample_seconds=5e-4) if options.quick else harness.Plan()
    admission = cases.Admission()
    description = machine.describe()
    limits = machine.limits(description)
    suites: dict[str, list[Any]] = {}
    for suite in options.suites:
        most_work = QUICK_WORK[suite] if options.quick else sys.maxsize
        module = importlib.import_module(f"bench.{suite}")
        suites[suite] = []
        for case in module.cases(options.threads, most_work, admission):
            print(f"{suite} {case.shape} ...", file=sys.stderr)
            timings = harness.measure(case.contenders, plan)
            suites[suite].append(results.of_case(case, timings, limits, options.threads))
    return {
        "machine": description,
        "settings": {"threads": options.threads, "rounds": plan.rounds, "quick": options.quick},
        "limits": {name: value and float(f"{value:.4g}") for name, value in limits.items()},
        "suites": suites,
        "notes": list(dict.fromkeys(admission.notes)),
    }


if __name__ == "__main__":
    sys.exit(main())
