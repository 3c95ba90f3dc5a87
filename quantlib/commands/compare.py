"""``quantlib compare``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HELP = "compare a float model with its quantized form, layer by layer"
DESCRIPTION = """\
Compare two ONNX models on samples: for each layer that both have, and for each output, the cosine
between the values, the signal-to-quantization-noise ratio in decibels, and the largest error; then
sizes and times. Layers with a low ratio are those to leave in floats (quantize --exclude).

    quantlib compare net.onnx net.int8.onnx samples.npz
    quantlib compare net.onnx net.int8.onnx samples.npz --json > report.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.formatter_class = DESCRIPTION, argparse.RawDescriptionHelpFormatter
    parser.add_argument("float_model", type=Path, help="the float model, an .onnx file")
    parser.add_argument("quantized_model", type=Path, help="its quantized form")
    parser.add_argument("samples", type=Path, help="an .npz, .npy or .pb file, or a folder of them")
    parser.add_argument("--batch", type=int, default=1, help="samples in a run (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run(options: argparse.Namespace) -> None:
    from quantlib import model as models
    from quantlib.model.samples import Samples

    first, second = models.load(options.float_model), models.load(options.quantized_model)
    samples = Samples(options.samples, first.inputs, options.batch)
    progress = not options.quiet and sys.stderr.isatty()
    found = models.compare(first, second, samples, progress=progress)
    print(json.dumps(found.as_dict(), indent=1) if options.json else found)
