"""``quantlib inspect``."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantlib.model import Model

HELP = "show what is in an ONNX model"
DESCRIPTION = """\
Show a model's inputs and outputs, its operators, and the size of its constants by type.

    quantlib inspect net.onnx
    quantlib inspect net.onnx --nodes      every node: name, operator, type and shape
    quantlib inspect net.onnx --plan       what quantlib makes of it, and what runs where
    quantlib inspect net.onnx --weights    how each weight is stored, and in how many bits
    quantlib inspect net.int8.onnx --lint  what could go wrong, here or in other run times

With --lint, the exit code is 1 if there is an error: something makes results wrong. Warnings are of
what is slow or risky elsewhere.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.formatter_class = DESCRIPTION, argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", type=Path, help="an .onnx file")
    parser.add_argument("--nodes", action="store_true", help="list the nodes")
    parser.add_argument("--plan", action="store_true", help="list the steps that run")
    parser.add_argument("--weights", action="store_true", help="list how weights are stored")
    parser.add_argument("--lint", action="store_true", help="look for what could go wrong")


def run(options: argparse.Namespace) -> int:
    from quantlib import model as models

    model = models.load(options.model)
    if options.lint:
        found = models.lint(model)
        print(found)
        return int(bool(found.errors))
    _print_summary(model, options.model)
    if options.nodes:
        _print_nodes(model)
    if options.plan:
        _print_plan(model)
    if options.weights:
        print(models.stored_weights(model))
    return 0


def _print_summary(model: Model, path: Path) -> None:
    graph = model.graph
    imports = ", ".join(f"{domain or 'ai.onnx'} {v}" for domain, v in graph.opsets.items())
    print(f"{path}: {path.stat().st_size:,} bytes, opset {imports}")
    for kind, values in (("input", graph.inputs), ("output", graph.outputs)):
        for value in values:
            print(f"{kind:8}{value}")
    operators = Counter(node.kind for node in graph.nodes)
    print(f"nodes   {len(graph.nodes)}")
    for name, count in operators.most_common():
        print(f"  {count:5} {name}")
    elements = sum(array.size for array in graph.constants.values())
    print(f"constants {len(graph.constants)}, {elements:,} elements")
    sizes: Counter[str] = Counter()
    for array in graph.constants.values():
        sizes[str(array.dtype)] += array.size
    for dtype, count in sizes.most_common():
        print(f"  {count:12,} {dtype}")


def _print_nodes(model: Model) -> None:
    graph = model.graph
    for node in graph.nodes:
        made = "; ".join(str(graph.values.get(name, name)) for name in node.outputs if name)
        print(f"{node.kind:24} {node.name:32} -> {made}")


def _print_plan(model: Model) -> None:
    for step in model.plan().steps:
        where = "onnx.reference" if step.is_fallback else "quantlib"
        print(f"{where:16} {step.node.kind:28} {step.node.name}")
