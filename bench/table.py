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

from bench.report import duration  # noqa: E402
from bench.results import best_peer, loses, newest, read  # noqa: E402

README = ROOT / "README.md"
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

Key = tuple[str, str, str]


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


def with_table(text: str, table: str) -> str:
    """`text` with `table` between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the text has no {BEGIN} with a {END} after it")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def render(results: Mapping[str, Any], file_name: str) -> str:
    """The table in Markdown, and what it was measured on."""
    rows = {key: (case, row) for key, case, row in _all_rows(results)}
    chosen = [key for key in ROWS if key in rows]
    chosen += [key for key in worst_rows(results) if key not in chosen]
    chosen.sort(key=list(rows).index)
    lines = [
        "| | quantlib | NumPy float32 | | fastest peer | |",
        "|:--|--:|--:|--:|:--|--:|",
        *(_line(key, *rows[key]) for key in chosen),
        "",
        *_below(results, file_name, [row for _, row in rows.values()]),
    ]
    return "\n".join(lines)


def worst_rows(results: Mapping[str, Any]) -> list[Key]:
    """Of each suite, the row with the smallest speedup over its best peer, or over NumPy."""

    def smallest(row: Mapping[str, Any]) -> float:
        best = best_peer(row)
        return float(row["over_numpy"] if best is None else min(best[1], row["over_numpy"]))

    worst: dict[str, tuple[float, Key]] = {}
    for key, _, row in _all_rows(results):
        worst[key[0]] = min(worst.get(key[0], (float("inf"), key)), (smallest(row), key))
    return [key for _, key in worst.values()]


def _all_rows(
    results: Mapping[str, Any],
) -> Iterator[tuple[Key, Mapping[str, Any], Mapping[str, Any]]]:
    for suite, cases in results["suites"].items():
        for case in cases:
            for row in case["rows"]:
                yield (suite, case["shape"], row["operation"]), case, row


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


def _below(
    results: Mapping[str, Any], file_name: str, rows: list[Mapping[str, Any]]
) -> Iterator[str]:
    machine, threads = results["machine"], results["settings"]["threads"]
    versions = ", ".join(
        f"{shown} {machine['packages'][package]}"
        for package, shown in SHOWN_PACKAGES.items()
        if package in machine["packages"]
    )
    yield (
        f"{machine['cpu']} ({machine['isa']}), {threads} thread{'s' * (threads > 1)}, "
        f"{machine['date']}; {versions}. The last column of each pair is how many times as fast "
        "quantlib is. The rows were chosen beforehand, and of each kind the one where quantlib "
        f"does worst was added: it is slower than NumPy or a peer in {sum(map(loses, rows))} of "
        f"the {len(rows)} rows of [all figures](bench/results/{file_name}). "
        "`python bench/run.py` measures yours."
    )


if __name__ == "__main__":
    sys.exit(main())
