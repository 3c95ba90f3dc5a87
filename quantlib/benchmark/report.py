"""Results as tables for a terminal: with rich if it is installed, plain otherwise."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quantlib.benchmark.results import best_peer, loses

UNITS = {
    "matmul": "GOPS",
    "conv": "GOPS",
    "overhead": "GOPS",
    "elementwise": "G/s",
    "layers": "G/s",
}
SHARES = {"elementwise": "of copy", "layers": "of copy"}
LOST = "◀ slower"


def print_report(results: Mapping[str, Any]) -> None:
    for line in heading(results):
        print(line)
    for run in results["runs"]:
        for suite, cases in run["suites"].items():
            title = f"{suite}, {thread_count(run['threads'])}"
            columns = header(suite, cases)
            lines = [line for case in cases for line in case_lines(case, columns)]
            print()
            _print_table(title, *_without_empty_columns(columns, lines))
            for line in summary_lines(run["groups"][suite]):
                print(line)
        for line in neighbour_lines(run):
            print(line)
    for note in results["notes"]:
        print(f"note: {note}")


def heading(results: Mapping[str, Any]) -> list[str]:
    machine, limits, settings = results["machine"], results["limits"], results["settings"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    built = [machine["blas"], machine["compiler"]]
    built += [f"commit {machine['commit']}"] if "commit" in machine else []
    return [
        f"{machine['cpu']} ({machine['isa']}), {machine['cores']} cores, {machine['system']}",
        f"{packages}; {'; '.join(built)}, {machine['date']}",
        f"up to {settings['rounds']} rounds" + " (quick: too few to trust)" * settings["quick"],
        f"measured limits of a core: {limits_line(limits)}",
    ]


def limits_line(limits: Mapping[str, Any]) -> str:
    """In G operations a second, by type and instruction; and of a copy.

    >>> loops = {"int8_a": 180.0, "int8_b": 8150.0, "float32_a": 128.0}
    >>> instructions = {"int8_a": "vpmaddwd", "int8_b": "tdpbssd", "float32_a": "vfmadd"}
    >>> limits_line({"loops": loops, "instructions": instructions, "copy_gbytes": 25.0})
    'int8 180 (vpmaddwd), 8,150 (tdpbssd) GOPS; float32 128 (vfmadd) GOPS; copy 25 GB/s'
    """
    kinds: dict[str, list[str]] = {}
    for name, rate in limits["loops"].items():
        figure = f"{_thousands(rate)} ({limits['instructions'][name]})"
        kinds.setdefault(name.partition("_")[0], []).append(figure)
    parts = [f"{kind} {', '.join(figures)} GOPS" for kind, figures in kinds.items()]
    parts = parts or ["arithmetic not measured (no C compiler, or an unknown processor)"]
    return "; ".join([*parts, f"copy {_thousands(limits['copy_gbytes'])} GB/s"])


def _thousands(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def thread_count(count: int) -> str:
    """
    >>> thread_count(1), thread_count(2)
    ('1 thread', '2 threads')
    """
    return f"{count} thread{'s' * (count > 1)}"


def header(suite: str, cases: Sequence[Mapping[str, Any]]) -> list[str]:
    busy = ["of fair share", "best peer's share"]
    return [
        "shape",
        "quantlib",
        "time",
        "spread",
        UNITS[suite],
        "x NumPy",
        "x best peer",
        "best peer",
        SHARES.get(suite, "of limit"),
        *(busy if any("busy" in case for case in cases) else []),
        "",
    ]


def case_lines(case: Mapping[str, Any], columns: Sequence[str]) -> Iterator[list[str]]:
    """One line of cells for each operation; the shape stands before the first."""
    for index, row in enumerate(case["rows"]):
        median, first, third = case["times"][row["operation"]]
        best = best_peer(row)
        cells = {
            "shape": "" if index else case["shape"],
            "quantlib": row["operation"],
            "time": duration(median),
            "spread": f"±{50 * (third - first) / median:.0f} %",
            "x NumPy": f"{row['over_numpy']:.2f}",
            "x best peer": "" if best is None else f"{best[1]:.2f}",
            "best peer": "" if best is None else best[0],
            columns[4]: _thousands(row["rate"]),
            columns[8]: "" if row["share"] is None else f"{100 * row['share']:.0f} %",
            **_busy_cells(case, row["operation"], None if best is None else best[0]),
            "": LOST if loses(row) else "",
        }
        yield [cells[column] for column in columns]


def _busy_cells(case: Mapping[str, Any], operation: str, best: str | None) -> dict[str, str]:
    """What is kept beside busy processes."""
    if "busy" not in case:
        return {}
    kept, fair = case["busy"]["kept"], case["busy"]["fair_share"]
    return {
        "of fair share": f"{kept[operation] / fair:.2f}",
        "best peer's share": f"{kept[best] / fair:.2f}" if best in kept else "",
    }


def _without_empty_columns(
    columns: Sequence[str], lines: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Nobody measured against peers that are not installed."""
    kept = [index for index in range(len(columns)) if any(line[index] for line in lines)]
    return [columns[i] for i in kept], [[line[i] for i in kept] for line in lines]


def duration(microseconds: float) -> str:
    """
    >>> duration(3.214), duration(45210.0)
    ('3.21 µs', '45.2 ms')
    """
    if microseconds < 1000:
        return f"{microseconds:.3g} µs"
    return f"{microseconds / 1000:.3g} ms"


def summary_lines(groups: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for operation, figures in groups.items():
        line = f"{operation}: geometric mean {figures['over_numpy']:.2f} x NumPy float32"
        if "over_best_peer" in figures:
            line += f", {figures['over_best_peer']:.2f} x the best peer"
        yield f"{line}; slower in {figures['lost']} of {figures['rows']}"


def neighbour_lines(run: Mapping[str, Any]) -> Iterator[str]:
    """How each contender fares beside busy processes, over all cases."""
    if "busy" not in run:
        return
    busy, threads = run["busy"], thread_count(run["threads"])
    if not busy["of_fair_share"]:
        return
    yield ""
    yield (
        f"throughput beside {busy['neighbours']} busy processes, {threads}, as a share of the fair "
        f"share, which was {100 * busy['fair_share']:.0f} % of the throughput without them: median "
        "and least over the shapes"
    )
    for name, (median, least) in busy["of_fair_share"].items():
        yield f"  {name}: {median:.2f}, {least:.2f}"


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
        table.add_row(*line, style="yellow" if line[-1] == LOST else None)
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
