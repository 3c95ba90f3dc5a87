"""Measures quantlib against NumPy float32 and the installed peers: ``python bench/run.py``.

The installed quantlib is measured, or, where none is installed, the one that this file's source
tree holds. Each number of threads gets a process of its own, because BLAS and OpenMP read theirs
when they are loaded.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# Not the folder of this file is to be imported from, but the tree around it, last, so that an
# installed quantlib comes first.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
sys.path.append(str(HERE.parent))

from bench import conv, elementwise, layers, matmul, neighbours  # noqa: E402
from bench.selection import QUICK_WORK, Selection  # noqa: E402
from bench.shapes import FILES, TARGETS  # noqa: E402
from quantlib.benchmark import machine, process, report, results, stopwatch  # noqa: E402
from quantlib.benchmark.cases import Admission, Case  # noqa: E402

SUITES = {
    "overhead": matmul.overhead_cases,
    "matmul": matmul.cases,
    "conv": conv.cases,
    "elementwise": elementwise.cases,
    "layers": layers.cases,
}
BUSY_SUITES = ("overhead", "matmul", "elementwise")
PEERS = ("scipy", "onnxruntime", "torch")
PLAN = stopwatch.Plan(case_seconds=4.0, settling=True)
QUICK_PLAN = stopwatch.Plan(rounds=5, sample_seconds=5e-4, settling=True)


def main() -> int:
    options = parse(sys.argv[1:])
    (first, *others) = options.threads
    if not others and process.is_set_for(first):
        figures = measured(first, options)
    else:
        figures = merged([in_a_process(threads, options) for threads in options.threads])
    if options.json is not None:
        results.write(figures, options.json)
    if not options.silent:
        report.print_report(figures)
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="TEXT",
        help='cases with one of these texts in their name: "matmul", "conv 1,64", "axis="',
    )
    parser.add_argument(
        "--shapes",
        nargs="+",
        default=[TARGETS],
        choices=FILES,
        metavar="FILE",
        help=f"of the products and convolutions: {', '.join(FILES)}",
    )
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1], metavar="N", help="of every engine"
    )
    parser.add_argument(
        "--busy", action="store_true", help="also beside two processes that are busy"
    )
    parser.add_argument("--quick", action="store_true", help="small shapes, few rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument("--silent", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        for threads in options.threads:
            process.check(threads)
        if options.json is not None:
            process.check_target(options.json)
    except ValueError as error:
        parser.error(str(error))
    return options


def in_a_process(threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """The results of one number of threads."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "results.json"
        command = [sys.executable, str(HERE / "run.py"), f"--threads={threads}", "--silent"]
        command += [f"--json={target}"] + ["--busy"] * options.busy + ["--quick"] * options.quick
        command += ["--only", *options.only] if options.only else []
        command += ["--shapes", *options.shapes]
        done = subprocess.run(command, env=process.environment(threads), check=False)
        if done.returncode != 0:
            raise SystemExit(done.returncode)  # it has said why
        return results.read(target)


def merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """One result of several: the runs one after the other, the highest of the limits."""
    whole = parts[0]
    for part in parts[1:]:
        whole["runs"] += part["runs"]
        whole["notes"] += [note for note in part["notes"] if note not in whole["notes"]]
        for name, rate in part["limits"]["loops"].items():
            whole["limits"]["loops"][name] = max(rate, whole["limits"]["loops"][name])
    return whole


def measured(threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """Runs the suites in this process, with a line on standard error for each case."""
    plan = QUICK_PLAN if options.quick else PLAN
    selection = Selection(options.only, QUICK_WORK if options.quick else {}, options.shapes)
    admission = Admission()
    description = {**machine.describe(PEERS), "commit": commit()}
    limits = machine.limits()
    limit = machine.int8_limit(limits, description["isa"])
    suites: dict[str, list[Any]] = {}
    with neighbours.started() if options.busy else nullcontext() as switch:
        for suite, cases in SUITES.items():
            for case in cases(threads, selection, admission):
                print(f"{threads} thread(s), {label(case)} ...", file=sys.stderr)
                timings = stopwatch.measure(case.contenders, plan)
                kept = results.of_case(case, timings, limit, threads)
                if switch is not None and suite in BUSY_SUITES and "axis=" not in case.shape:
                    kept["busy"] = neighbours.measure(case, kept, threads, switch)
                suites.setdefault(suite, []).append(kept)
    busy = {"busy": neighbours.summary(suites)} if options.busy else {}
    return {
        "machine": description,
        "settings": {"rounds": plan.rounds, "quick": options.quick},
        "limits": limits,
        "runs": [results.of_run(threads, suites, **busy)],
        "notes": list(dict.fromkeys(admission.notes)),
    }


def label(case: Case) -> str:
    name = f" {case.races[0].ours.name}" if len(case.races) == 1 else ""
    return f"{case.suite} {case.shape}{name}"


def commit() -> str:
    """The commit of the source tree around this file, with a + if the code differs from it."""
    head = _output("rev-parse", "--short=12", "HEAD")
    changed = _output("status", "--short", "csrc", "quantlib")
    return head + "+" * bool(changed) if head else "unknown"


def _output(*arguments: str) -> str:
    """What git says; nothing if it fails."""
    command = ["git", "-C", str(HERE.parent), *arguments]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
