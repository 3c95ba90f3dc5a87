"""``quantlib compare``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HELP = "compare a float model with its quantized form, layer by layer"
DESCRIPTION = """\
Compare two ONNX models on samples: for each layer that both have, and for each output, the cosine
between the values, the signal-to-quantization-noise ratio in decibels, and the largest error; then
sizes and times. Layers with a low ratio are those to leave in floats (quantize --exclude).

    quantlib compare net.onnx net.int8.onnx samples.npz
    quantlib compare net.onnx net.int8.onnx samples.npz --json > figures.json
    quantlib compare net.onnx net.int8.onnx samples.npz --report folder
    quantlib compare --diff folder other_folder

A report is a folder with a page (report.html), tables of what every tensor holds, where the errors
come from, and which nodes to leave in floats. --diff compares two of them.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.formatter_class = DESCRIPTION, argparse.RawDescriptionHelpFormatter
    for name, text in (
        ("float_model", "the float model, an .onnx file"),
        ("quantized_model", "its quantized form"),
        ("samples", "an .npz, .npy or .pb file, or a folder of them"),
    ):
        parser.add_argument(name, type=Path, nargs="?", help=text)
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write a report there")
    parser.add_argument(
        "--diff", type=Path, nargs=2, metavar="FOLDER", help="compare two reports instead"
    )
    parser.add_argument("--batch", type=int, default=1, help="samples in a run (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run(options: argparse.Namespace) -> None:
    from quantlib import model as models
    from quantlib.model.samples import Samples

    given = (options.float_model, options.quantized_model, options.samples)
    if options.diff is not None:
        if any(given) or options.report is not None:
            raise ValueError("--diff takes two folders, and nothing else")
        _print(models.diff_reports(*options.diff), options.json)
        return
    if not all(given):
        raise ValueError("a float model, a quantized model and samples are needed, or --diff")
    first, second = models.load(options.float_model), models.load(options.quantized_model)
    samples = Samples(options.samples, first.inputs, options.batch)
    progress = not options.quiet and sys.stderr.isatty()
    if options.report is not None:
        report = models.write_report(options.report, first, second, samples, progress=progress)
        _print(report, options.json)
    else:
        _print(models.compare(first, second, samples, progress=progress), options.json)


def _print(found: Any, as_json: bool) -> None:
    print(json.dumps(found.as_dict(), indent=1) if as_json else found)
