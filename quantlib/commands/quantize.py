"""``quantlib quantize``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

HELP = "make an int8 (or 4-bit) model of a float ONNX model"
DESCRIPTION = """\
Quantize an ONNX model. The result is an ONNX file of standard operators, which quantlib, ONNX
Runtime and OpenVINO run.

static (the default) needs samples of the inputs: 100 that look like real ones usually suffice.
dynamic quantizes matrix products while they run; take it for transformers, with --per-row.
weight-only stores weights in 8 or 4 bits and computes in floats.

    quantlib quantize net.onnx -o net.int8.onnx --calibration samples.npz
    quantlib quantize net.onnx -o net.int8.onnx --calibration folder --method kl --exclude '/head/*'
    quantlib quantize bert.onnx -o bert.int8.onnx --mode dynamic --per-row
    quantlib quantize net.onnx -o net.int4.onnx --mode weight-only --weight-type int4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.formatter_class = DESCRIPTION, argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", type=Path, help="the float model, an .onnx file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="where to write")
    parser.add_argument(
        "--calibration", type=Path, metavar="PATH",
        help="samples: an .npz with an array for each input, an .npy for a single input, or a "
        "folder of .npz, .npy or .pb files",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, default=1, help="samples in a run (default: 1)")
    parser.add_argument("--mode", choices=("static", "dynamic", "weight-only"), default="static")
    parser.add_argument("--form", choices=("qdq", "qoperator"), default="qdq",
                        help="how static quantization is written (default: qdq)")  # fmt: skip
    parser.add_argument("--method", help="how ranges are chosen: minmax, percentile, mse, kl, ... "
                        "(default: mse)")  # fmt: skip
    parser.add_argument("--percentile", type=float, help="for --method percentile")
    parser.add_argument("--activation-type", choices=("uint8", "int8"))
    parser.add_argument(
        "--weight-type", choices=("int8", "uint8", "int4", "uint4", "int16", "uint16")
    )
    parser.add_argument("--per-tensor", action="store_true", help="one scale for each weight")
    parser.add_argument("--block-size", type=int, help="weight-only: weights that share a scale")
    parser.add_argument("--per-row", action="store_true", help="dynamic: a range for each row")
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="NAME",
        help="leave a node in floats, by name or pattern; may be repeated",
    )  # fmt: skip
    parser.add_argument("--operators", help="quantize only these, such as Conv,Gemm")
    parser.add_argument("--bias-correction", action="store_true")
    parser.add_argument("--weight-correction", action="store_true")
    parser.add_argument("--equalize", action="store_true",
                        help="balance weights between convolutions, for --per-tensor")  # fmt: skip
    parser.add_argument("--smooth", type=float, metavar="SHARE",
                        help="move outliers into matrices, by 0 to 1")  # fmt: skip
    parser.add_argument(
        "--max-loss", type=float, metavar="LOSS",
        help="leave the worst layers in floats until the relative error of the outputs on the "
        "calibration samples is no more than this",
    )  # fmt: skip
    parser.add_argument(
        "--max-bytes", type=int, metavar="BYTES",
        help="weight-only: choose the bits of each layer for a file of this size",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run(options: argparse.Namespace) -> None:
    from quantlib import model as models
    from quantlib.model.samples import Samples

    source = models.load(options.model)
    if not options.output.resolve().parent.is_dir():
        raise FileNotFoundError(f"{options.output.parent}: no such folder")
    samples = None
    if options.calibration is not None:
        samples = Samples(options.calibration, source.inputs, options.batch)
    config = models.QuantConfig(**_fields(options))
    if config.mode == "static" and samples is None:
        raise ValueError("static quantization needs --calibration")
    progress = not options.quiet and sys.stderr.isatty()
    quantized = models.quantize(
        source, samples, config, progress=progress,
        max_loss=options.max_loss, max_bytes=options.max_bytes,
    )  # fmt: skip
    quantized.save(options.output, form=options.form)
    if quantized.partial is not None:
        print(quantized.partial)
    before, after = (path.stat().st_size for path in (options.model, options.output))
    print(f"{options.output}: {after:,} bytes, {before / after:.2f}x smaller")


def _fields(options: argparse.Namespace) -> dict[str, Any]:
    """What was said, as fields of `QuantConfig`."""
    fields: dict[str, Any] = {
        "mode": options.mode.replace("-", "_"),
        "exclude": tuple(options.exclude),
        "per_channel": not options.per_tensor,
        "per_row": options.per_row,
        "bias_correction": options.bias_correction,
        "weight_correction": options.weight_correction,
        "equalize": options.equalize,
    }
    for name in ("method", "percentile", "activation_type", "weight_type", "block_size",
                 "smooth"):  # fmt: skip
        if getattr(options, name) is not None:
            fields[name] = getattr(options, name)
    if options.operators:
        fields["operators"] = tuple(options.operators.split(","))
    return fields
