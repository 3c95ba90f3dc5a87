"""Results as tables for a terminal: with rich if it is installed, plain otherwise."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.results import best_peer, loses, summary

UNITS = {"matmul": "GOPS", "conv": "GOPS", "elementwise": "G/s"}
SHARES = {"matmul": "of limit", "conv": "of limit", "elementwise": "of copy"}
LOST = "◀ slower"


def print_report(results: Mapping[str, Any]) -> None:
    for line in heading(results):
        print(line)
    for suite, cases in results["suites"].items():
        print()
        _print_table(suite, header(suite), [line for case in cases for line in case_lines(case)])
        for line in summary_lines(cases):
            print(line)
    for note in results["notes"]:
        print(f"note: {note}")


def heading(results: Mapping[str, Any]) -> list[str]:
    machine, limits, settings = results["machine"], results["limits"], results["settings"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return [
        f"{machine['cpu']} ({machine['isa']}), {machine['cores']} cores, {machine['system']}",
        f"{packages}; {machine['blas']}; {machine['compiler']}; "
        f"commit {machine['commit']}, {machine['date']}",
        f"{settings['threads']} thread(s), {settings['rounds']} rounds"
        + (" (quick: too few to trust)" if settings["quick"] else ""),
        f"measured limits of a core: int8 {_limit(limits['int8_gops'], 'GOPS')}, "
        f"float32 {_limit(limits['float32_gflops'], 'GFLOPS')}, "
        f"copy {_limit(limits['copy_gbytes'], 'GB/s')}",
    ]


def _limit(value: float | None, unit: str) -> str:
    return "not measured" if value is None else f"{value:.4g} {unit}"


def header(suite: str) -> list[str]:
    speedups = ["x NumPy", "x best peer", "best peer"]
    return ["shape", "quantlib", "time", "spread", UNITS[suite], *speedups, SHARES[suite], ""]


def case_lines(case: Mapping[str, Any]) -> Iterator[list[str]]:
    """One line of cells for each operation; the shape stands before the first."""
    for index, row in enumerate(case["rows"]):
        median, first, third = case["times"][row["operation"]]
        best = best_peer(row)
        yield [
            "" if index else case["shape"],
            row["operation"],
            duration(median),
            f"±{50 * (third - first) / median:.0f} %",
            f"{row['rate']:.3g}",
            f"{row['over_numpy']:.2f}",
            "" if best is None else f"{best[1]:.2f}",
            "" if best is None else best[0],
            "" if row["share"] is None else f"{100 * row['share']:.0f} %",
            LOST if loses(row) else "",
        ]


def duration(microseconds: float) -> str:
    """
    >>> duration(3.214), duration(45210.0)
    ('3.21 µs', '45.2 ms')
    """
    if microseconds < 1000:
        return f"{microseconds:.3g} µs"
    return f"{microseconds / 1000:.3g} ms"


def summary_lines(cases: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for operation, figures in summary(cases).items():
        line = f"{operation}: geometric mean {figures['over_numpy']:.2f} x NumPy float32"
        if "over_best_peer" in figures:
            line += f", {figures['over_best_peer']:.2f} x the best peer"
        yield f"{line}; slower in {figures['lost']} of {figures['rows']}"


def _print_table(title: str, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    if importlib.util.find_spec("rich") is None:
        print(plain_table(title, columns, lines))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for column, right in zip(columns, _right_aligned(columns), strict=True):
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line, style="yellow" if line[-1] else None)
    widest = plain_table(title, columns, lines).partition("\n")[2].partition("\n")[0]
    Console(width=max(80, len(widest) + 4 * len(columns))).print(table)


def plain_table(title: str, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    cells = [columns, *lines]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    right = _right_aligned(columns)
    aligned = (
        "  ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        )
        for line in cells
    )
    return "\n".join([title, *(line.rstrip() for line in aligned)])


def _right_aligned(columns: Sequence[str]) -> list[bool]:
    return [column not in ("shape", "quantlib", "best peer", "") for column in columns]
