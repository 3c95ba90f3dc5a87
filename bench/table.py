"""The table of figures in README.md, made from the newest committed results.

``python bench/table.py`` writes it between the markers; with ``--check`` it only says, by its exit
status, whether what stands there is that table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # last, so that an installed quantlib comes first

from quantlib.benchmark.report import duration, thread_count  # noqa: E402
from quantlib.benchmark.results import Key, all_rows, best_peer, loses, read  # noqa: E402

README = ROOT / "README.md"
RESULTS = ROOT / "bench" / "results"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

# Chosen before they were measured: suite, shape, operation. Of each suite, `worst_rows` adds the
# row in which quantlib does worst against its best peer.
ROWS = (
    ("matmul", "1024,1024,1024", "MatMulInteger int8"),
    ("matmul", "128,768,3072", "QLinearMatMul uint8"),
    ("conv", "1,64,56,56 -> 64 kernel=3 pad=1", "QLinearConv NHWC"),
    ("conv", "1,32,112,112 -> 32 kernel=3 pad=1 group=32", "QLinearConv NHWC"),
    ("elementwise", "4,000,000", "quantize"),
)

SHOWN_PACKAGES = {"numpy": "NumPy", "onnxruntime": "ONNX Runtime", "torch": "torch"}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    path = newest()
    if path is None:
        parser.error("bench/results holds no results")
    text = README.read_text(encoding="utf-8")
    wanted = with_table(text, render(read(path), path.name))
    if options.check:
        return int(wanted != text)
    README.write_text(wanted, encoding="utf-8")
    return 0


def newest() -> Path | None:
    """The committed results of the latest day."""
    dated = [(read(path)["machine"]["date"], path.name, path) for path in RESULTS.glob("*.json")]
    return max(dated)[2] if dated else None


def with_table(text: str, table: str) -> str:
    """`text` with `table` between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the text has no {BEGIN} with a {END} after it")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def render(results: Mapping[str, Any], file_name: str) -> str:
    """The table in Markdown, and what it was measured on: the first of the runs, one thread."""
    run = results["runs"][0]
    rows = {key: (case, row) for key, case, row in all_rows(run)}
    chosen = [key for key in ROWS if key in rows]
    chosen += [key for key in worst_rows(run) if key not in chosen]
    chosen.sort(key=list(rows).index)
    lines = [
        "| | quantlib | NumPy float32 | | fastest peer | |",
        "|:--|--:|--:|--:|:--|--:|",
        *(_line(key, *rows[key]) for key in chosen),
        "",
        *_below(results, file_name),
    ]
    return "\n".join(lines)


def worst_rows(run: Mapping[str, Any]) -> list[Key]:
    """Of each suite, the row with the smallest speedup over its best peer, or over NumPy."""

    def smallest(row: Mapping[str, Any]) -> float:
        best = best_peer(row)
        return float(row["over_numpy"] if best is None else min(best[1], row["over_numpy"]))

    worst: dict[str, tuple[float, Key]] = {}
    for key, _, row in all_rows(run):
        worst[key[0]] = min(worst.get(key[0], (float("inf"), key)), (smallest(row), key))
    return [key for _, key in worst.values()]


def _line(key: Key, case: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    def time_of(name: str) -> str:
        return duration(case["times"][name][0])

    best = best_peer(row)
    cells = [
        f"`{key[2]}` {key[1].replace('->', '→')}",
        time_of(key[2]),
        time_of("NumPy float32"),
        _speedup(row["over_numpy"]),
        "none installed" if best is None else f"{best[0]}, {time_of(best[0])}",
        "" if best is None else _speedup(best[1]),
    ]
    return "| " + " | ".join(cells) + " |"


def _speedup(ratio: float) -> str:
    """Bold where quantlib is the faster one, so that the others can be told at a glance."""
    return f"**{ratio:.2f}x**" if ratio >= 1 else f"{ratio:.2f}x"


def _below(results: Mapping[str, Any], file_name: str) -> Iterator[str]:
    machine, threads = results["machine"], thread_count(results["runs"][0]["threads"])
    versions = ", ".join(
        f"{shown} {machine['packages'][package]}"
        for package, shown in SHOWN_PACKAGES.items()
        if package in machine["packages"]
    )
    yield (
        f"{machine['cpu']} ({machine['isa']}), {threads}, {machine['date']}; "
        f"{versions}. The last column of each pair is how many times as fast quantlib is. The rows "
        "were chosen beforehand, and of each kind the one where quantlib does worst was added. Of "
        f"[all figures](bench/results/{file_name}), it is slower than NumPy or a peer in "
        f"{'; '.join(map(_lost, results['runs']))}. `quantlib bench` measures your machine, "
        "`python bench/run.py` with the peers."
    )


def _lost(run: Mapping[str, Any]) -> str:
    rows = [row for _, _, row in all_rows(run)]
    lost = f"{sum(map(loses, rows))} of {len(rows)} rows on {thread_count(run['threads'])}"
    if "busy" not in run:
        return lost
    busy = run["busy"]
    return f"{lost} ({_below_fair_share(run)} beside {busy['neighbours']} busy processes)"


def _below_fair_share(run: Mapping[str, Any]) -> str:
    """How many operations of quantlib kept less than 0.8 of a fair share of the processors."""
    kept = [
        case["busy"]["kept"][row["operation"]] / case["busy"]["fair_share"]
        for _, case, row in all_rows(run)
        if "busy" in case
    ]
    low = sum(share < 0.8 for share in kept)
    return f"below 0.8 of the fair share in {low} of {len(kept)}"


if __name__ == "__main__":
    sys.exit(main())
