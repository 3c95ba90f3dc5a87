"""The picture of ``quantlib bench --plot``: speedups over NumPy float32. Needs matplotlib."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantlib.benchmark.report import thread_count
from quantlib.benchmark.results import all_rows

FORMATS = (".png", ".svg", ".pdf")


def check(path: Path) -> None:
    """Raises ValueError if no picture could be drawn into such a file."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError(
            'a picture needs matplotlib, which is not installed: pip install "quantlib-int8[plot]"'
        )
    if path.suffix not in FORMATS:
        raise ValueError(f"the picture is {str(path)!r}; it must end in {', '.join(FORMATS)}")


def write(results: Mapping[str, Any], path: Path) -> None:
    """A bar for each row: how many times as fast quantlib is as NumPy float32."""
    from matplotlib.figure import Figure

    (run,) = results["runs"]
    rows = [(key, row["over_numpy"]) for key, _, row in all_rows(run)]
    labels = [f"{operation}  {shape}" for (_, shape, operation), _ in rows]
    speedups = [speedup for _, speedup in rows]
    figure = Figure(figsize=(9, 1.2 + 0.24 * len(rows)), layout="constrained")
    axes = figure.subplots()
    colours = ["tab:blue" if speedup >= 1 else "tab:orange" for speedup in speedups]
    bars = axes.barh(labels, [speedup - 1 for speedup in speedups], left=1, color=colours)
    axes.bar_label(bars, [f"{speedup:.2f}x" for speedup in speedups], fontsize=8, padding=3)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(min(*speedups, 1) / 2, max(*speedups, 1) * 2)
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("times as fast as NumPy float32 (orange: slower)")
    machine, threads = results["machine"], thread_count(run["threads"])
    axes.set_title(
        f"quantlib on {machine['cpu']} ({machine['isa']}), {threads}",
        fontsize=10,
    )
    figure.savefig(path)
