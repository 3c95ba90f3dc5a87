"""From timings to what is kept: a plain dictionary, the same in memory and in a JSON file.

``results["runs"]`` has an entry for each number of threads. In it, ``suites[suite]`` is a list of
cases. A case has a ``shape``, its ``work`` (operations, or elements), the ``times`` of all its
contenders in microseconds (median, first and third quartile), and ``rows``: one for each operation
of quantlib, with its ``rate`` in G a second, how many times as fast it is as NumPy float32 and as
each peer, and its ``share`` of the limit. ``groups`` holds the geometric means of each operation.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quantlib.benchmark.cases import Case, Race
from quantlib.benchmark.stopwatch import Timing, speedup

DIGITS = 4  # significant ones, more than the spread warrants
ALL = "all operations"
SLOWER = 0.97  # a smaller speedup over the fastest peer counts as a loss


def of_case(
    case: Case, timings: Mapping[str, Timing], limit: float | None, threads: int
) -> dict[str, Any]:
    """What is kept of a case; `limit` is what one core can do, in G operations a second."""
    return {
        "shape": case.shape,
        "work": case.work,
        "times": {name: _microseconds(timing) for name, timing in timings.items()},
        "rows": [_row(case, race, timings, limit, threads) for race in case.races],
    }


def _microseconds(timing: Timing) -> list[float]:
    return [rounded(1e6 * seconds) for seconds in (timing.median, *timing.quartiles)]


def _row(
    case: Case,
    race: Race,
    timings: Mapping[str, Timing],
    limit: float | None,
    threads: int,
) -> dict[str, Any]:
    mine = timings[race.ours.name]
    over_peers = {peer.name: rounded(speedup(mine, timings[peer.name])) for peer in race.peers}
    share = _share(case, mine, timings, limit, threads)
    return {
        "operation": race.ours.name,
        "rate": rounded(case.work / mine.median / 1e9),
        "over_numpy": rounded(speedup(mine, timings[case.baseline.name])),
        "over_peers": over_peers,
        "share": None if share is None else rounded(share),
    }


def _share(
    case: Case,
    mine: Timing,
    timings: Mapping[str, Timing],
    limit: float | None,
    threads: int,
) -> float | None:
    """Of the arithmetic limit of so many cores; element-wise, of the speed of a copy."""
    if case.copy is not None:
        return case.bytes_moved / case.copy_bytes * speedup(mine, timings[case.copy.name])
    return None if limit is None else case.work / mine.median / 1e9 / (limit * threads)


def rounded(value: float) -> float:
    """As many digits as are kept."""
    return float(f"{value:.{DIGITS}g}")


def of_run(
    threads: int, suites: Mapping[str, Sequence[Mapping[str, Any]]], **more: Any
) -> dict[str, Any]:
    """The cases of one number of threads, and what they come to."""
    groups = {suite: summary(cases) for suite, cases in suites.items()}
    return {"threads": threads, **more, "groups": groups, "suites": dict(suites)}


# --- reading rows ---------------------------------------------------------------------------------


def best_peer(row: Mapping[str, Any]) -> tuple[str, float] | None:
    """The fastest peer of a row, and quantlib's speedup over it; None if there was no peer."""
    over_peers: dict[str, float] = row["over_peers"]
    if not over_peers:
        return None
    name = min(over_peers, key=lambda peer: over_peers[peer])
    return name, over_peers[name]


def loses(row: Mapping[str, Any]) -> bool:
    """Whether NumPy or a peer is faster by more than the noise."""
    best = best_peer(row)
    return row["over_numpy"] < SLOWER or (best is not None and best[1] < SLOWER)


def summary(cases: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | int]]:
    """Of each operation of a suite, and of all: geometric means of the speedups, and how many rows
    are lost."""
    operations: dict[str, list[Mapping[str, Any]]] = {}
    for case in cases:
        for row in case["rows"]:
            operations.setdefault(row["operation"], []).append(row)
    if len(operations) > 1:
        operations[ALL] = [row for case in cases for row in case["rows"]]
    return {operation: _summary_of(rows) for operation, rows in operations.items()}


def _summary_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | int]:
    kept: dict[str, float | int] = {
        "rows": len(rows),
        "lost": sum(map(loses, rows)),
        "over_numpy": rounded(statistics.geometric_mean(row["over_numpy"] for row in rows)),
    }
    bests = [best[1] for row in rows if (best := best_peer(row)) is not None]
    if bests:
        kept["over_best_peer"] = rounded(statistics.geometric_mean(bests))
    return kept


Key = tuple[str, str, str]


def all_rows(run: Mapping[str, Any]) -> Iterator[tuple[Key, Mapping[str, Any], Mapping[str, Any]]]:
    """Suite, shape and operation of each row of a run, with its case and itself."""
    for suite, cases in run["suites"].items():
        for case in cases:
            for row in case["rows"]:
                yield (suite, case["shape"], row["operation"]), case, row


# --- files ----------------------------------------------------------------------------------------


def write(results: Mapping[str, Any], path: Path) -> None:
    """One line for each timing and row, so that versions compare well."""
    path.write_text(_compact(json.dumps(results, indent=1)) + "\n", encoding="utf-8")


def _compact(text: str) -> str:
    """Lists, and objects without objects inside, on one line."""
    lines: list[str] = []
    open_line: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.endswith(("[", "{")):
            lines += open_line
            open_line = [line]
        elif not open_line:
            lines.append(line)
        elif stripped.rstrip(",") in ("]", "}"):
            inside = " ".join(part.strip() for part in open_line[1:])
            lines.append(open_line[0] + inside + stripped)
            open_line = []
        else:
            open_line.append(line)
    return "\n".join(lines + open_line)


def read(path: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results
