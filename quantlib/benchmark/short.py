"""``quantlib bench``: int8 against NumPy float32 on this machine, in under a minute."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from quantlib.benchmark import elementwise, machine, products, results
from quantlib.benchmark.cases import Admission, Case, Race
from quantlib.benchmark.stopwatch import Plan, measure

# Tiny, to see what a call costs; one and some rows; squares; a feed-forward layer.
MATMUL_SHAPES = (
    (1, 16, 16),
    (1, 4096, 4096),
    (16, 4096, 4096),
    (64, 64, 64),
    (256, 256, 256),
    (1024, 1024, 1024),
    (128, 768, 3072),
)
ELEMENTWISE_SIZES = (100_000, 4_000_000)
OPERATIONS: tuple[elementwise.Operation, ...] = (
    elementwise.quantize,
    elementwise.dequantize,
    elementwise.min_max,
)
PLAN = Plan(rounds=15, case_seconds=1.5, settling=True)

Advance = Callable[[str], None]
MakeCase = Callable[[], Case]


def run(
    threads: int,
    plan: Plan = PLAN,
    shapes: Sequence[tuple[int, int, int]] = MATMUL_SHAPES,
    sizes: Sequence[int] = ELEMENTWISE_SIZES,
) -> dict[str, Any]:
    """Measures all cases, with a progress display on standard error.

    The process must have been started for so many threads: see `process.environment`.
    """
    todo = [*_matmul_cases(shapes), *_elementwise_cases(sizes)]
    suites: dict[str, list[Any]] = {}
    with _progress(len(todo) + 1) as advance:
        advance("limits of the machine")
        description, limits = machine.describe(), machine.limits()
        limit = machine.int8_limit(limits, description["isa"])
        for label, make in todo:
            advance(label)
            case = make()
            kept = results.of_case(case, measure(case.contenders, plan), limit, threads)
            suites.setdefault(case.suite, []).append(kept)
    return {
        "machine": description,
        "settings": {"rounds": plan.rounds, "quick": False},
        "limits": limits,
        "runs": [results.of_run(threads, suites)],
        "notes": [],
    }


def _matmul_cases(shapes: Sequence[tuple[int, int, int]]) -> Iterator[tuple[str, MakeCase]]:
    for extents in shapes:
        shape = products.MatmulShape(*extents)
        yield f"matmul {shape.label}", lambda shape=shape: _matmul_case(shape)  # type: ignore[misc]


def _matmul_case(shape: products.MatmulShape) -> Case:
    data, admission = products.Operands(shape), Admission()
    contenders = (
        products.integer(data, products.INT8, admission),
        products.integer_at_once(data, products.INT8, admission),
        products.quantized(data, products.UINT8, admission),
    )
    baseline = products.baseline(data, admission)
    races = tuple(Race(contender) for contender in contenders)
    return Case("matmul", shape.label, shape.operations, baseline, races)


def _elementwise_cases(sizes: Sequence[int]) -> Iterator[tuple[str, MakeCase]]:
    for size in sizes:
        data = elementwise.Data(elementwise.Layout((size,)))
        for operation in OPERATIONS:
            label = f"{operation.__name__} {data.layout.label}"
            yield (
                label,
                lambda data=data, operation=operation: elementwise.case(  # type: ignore[misc]
                    data, operation(data, Admission())
                ),
            )


@contextmanager
def _progress(total: int) -> Iterator[Advance]:
    """A function that says what is measured next: a bar if rich is installed and somebody looks."""
    if importlib.util.find_spec("rich") is None or not sys.stderr.isatty():
        yield lambda label: print(f"{label} ...", file=sys.stderr)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        shown = -1

        def advance(label: str) -> None:
            nonlocal shown
            shown += 1
            progress.update(task, completed=shown, description=label)

        yield advance
