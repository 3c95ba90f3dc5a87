"""``quantlib quantize``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantlib.model import Configuration, Model, QuantConfig

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
    quantlib quantize net.onnx -o net.int8.onnx --config full_quant.cfg

A configuration file, in the format of MindSpore Lite's converter, says all of this in text, and
where images for calibration are. Flags that are given win over the file, and so does
--set key=value, which any key may be given with.
"""
_OWN = frozenset({"mode", "operators", "exclude"})  # flags that are spelt otherwise than fields


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.formatter_class = DESCRIPTION, argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", type=Path, help="the float model, an .onnx file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="where to write")
    parser.add_argument("--config", type=Path, metavar="FILE",
                        help="a configuration file; other flags win over it")  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
        help="a key of configuration files, such as calibrate_size=100, or with its section "
        "full_quant_param.per_channel=false; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--calibration", type=Path, metavar="PATH",
        help="samples: an .npz with an array for each input, an .npy for a single input, or a "
        "folder of .npz, .npy or .pb files",
    )  # fmt: skip
    parser.add_argument("--layout", choices=("NCHW", "NHWC"),
                        help="of the model's inputs, for images of --config")  # fmt: skip
    parser.add_argument("--batch", type=int, default=1, help="samples in a run (default: 1)")
    parser.add_argument("--form", choices=("qdq", "qoperator", "float32"), default="qdq",
                        help="how it is written: with Q/DQ pairs (qdq, the default), integer "
                        "operators, or weights as floats")  # fmt: skip
    parser.add_argument(
        "--max-loss", type=float, metavar="LOSS",
        help="leave the worst layers in floats until the relative error of the outputs on the "
        "calibration samples is no more than this",
    )  # fmt: skip
    parser.add_argument(
        "--max-bytes", type=int, metavar="BYTES",
        help="weight-only: choose the bits of each layer for a file of this size",
    )  # fmt: skip
    parser.add_argument("--annotate", action="store_true",
                        help="write parameters into nodes' metadata, for viewers")  # fmt: skip
    parser.add_argument(
        "--report", type=Path, metavar="FOLDER",
        help="write there where errors come from (debug_info_save_path in --config)",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    _add_fields(parser)


def _add_fields(parser: argparse.ArgumentParser) -> None:
    """The fields of `QuantConfig`. Those that are not given are no attributes of the options."""

    def add(target: Any, *flags: str, **told: Any) -> None:
        target.add_argument(*flags, default=argparse.SUPPRESS, **told)

    def add_switch(target: Any, flag: str, text: str | None = None) -> None:
        add(target, flag, action=argparse.BooleanOptionalAction, help=text)

    nodes = parser.add_argument_group("what is quantized")
    add(nodes, "--mode", choices=("static", "dynamic", "weight-only"))
    add(nodes, "--operators", metavar="TYPES", help="only these, such as Conv,Gemm")
    add(nodes, "--exclude", action="append", metavar="NAME",
        help="leave a node in floats, by name or pattern; may be repeated")  # fmt: skip
    add(nodes, "--target-device", choices=("CPU", "KIRIN", "NVGPU", "DSP", "ASCEND"),
        help="static: only the operators, and in the types, of such a device")  # fmt: skip
    add(nodes, "--min-weight-size", type=int, metavar="N", help="only weights of more entries")
    add(nodes, "--min-weight-channel", type=int, metavar="N",
        help="only convolutions of more output channels")  # fmt: skip

    activations = parser.add_argument_group("activations")
    add(activations, "--method", help="how ranges are chosen: minmax, percentile, mse, kl, ... "
        "(default: mse)")  # fmt: skip
    add(activations, "--percentile", type=float, help="for --method percentile")
    add(activations, "--variant", choices=("quantlib", "tensorrt", "mindspore_lite"),
        help="for --method kl")  # fmt: skip
    add(activations, "--activation-type", choices=("uint8", "int8"))
    add(activations, "--activation-bits", type=int, metavar="BITS", help="1 to 8")
    add_switch(activations, "--activation-symmetric")
    add_switch(activations, "--per-row", "dynamic: a range for each row")

    weights = parser.add_argument_group("weights")
    add(weights, "--weight-type", choices=("int8", "uint8", "int4", "uint4", "int16", "uint16"))
    add(weights, "--weight-bits", type=int, metavar="BITS",
        help="static: 1 to 8; weight-only: 1 to 16, or 0 for mixed bits")  # fmt: skip
    add_switch(weights, "--weight-symmetric")
    add(weights, "--weight-method", help="how ranges are chosen (default: minmax)")
    add(weights, "--per-tensor", action="store_false", dest="per_channel",
        help="one scale for each weight")  # fmt: skip
    add(weights, "--per-channel", action="store_true", help="one for each channel (default)")
    add(weights, "--block-size", type=int, help="weight-only: weights that share a scale")
    add(weights, "--weight-rounding", choices=("nearest", "gptq"),
        help="weight-only, with --weight-bits; gptq needs --calibration")  # fmt: skip
    add_switch(weights, "--enable-encode", "with --weight-bits: the smallest of the encodings")
    add(weights, "--dequant-strategy", choices=("load", "on_the_fly"),
        help="with --weight-bits: when weights are decoded")  # fmt: skip
    add(weights, "--max-segments", type=int, metavar="N", help="parts decoded at a time")
    add(weights, "--init-scale", type=float, metavar="ERROR",
        help="mixed bits: the relative error of weights (default: 0.02)")  # fmt: skip
    add_switch(weights, "--auto-tune", "mixed bits: search for it")
    add(weights, "--max-iterations", type=int, metavar="N", help="of that search")
    add(weights, "--export-precision-mode", choices=("QUANT", "FLOAT32"),
        help="with --weight-bits: write codes, or the floats that they decode to")  # fmt: skip

    repairs = parser.add_argument_group("what repairs errors")
    add_switch(repairs, "--bias-correction")
    add_switch(repairs, "--weight-correction")
    add_switch(repairs, "--equalize", "balance weights between convolutions, for --per-tensor")
    add(repairs, "--smooth", type=float, metavar="SHARE",
        help="move outliers into matrices, by 0 to 1")  # fmt: skip
    add_switch(repairs, "--smooth-shift", "with --smooth: centre channels, too")


def run(options: argparse.Namespace) -> None:
    from quantlib import model as models
    from quantlib.model.samples import random_feed

    given = None
    if options.config is not None or options.settings:
        given = models.read_config(options.config, options.settings)
    source = models.load(options.model)
    if not options.output.resolve().parent.is_dir():
        raise FileNotFoundError(f"{options.output.parent}: no such folder")
    config = _config(options, given)
    samples = _samples(options, given, source)
    if config.mode == "static" and samples is None:
        raise ValueError("static quantization needs --calibration, or calibrate_path in --config")
    progress = not options.quiet and sys.stderr.isatty()
    quantized = models.quantize(
        source, samples, config, progress=progress,
        max_loss=options.max_loss, max_bytes=options.max_bytes,
    )  # fmt: skip
    if options.annotate:
        quantized = models.annotate(quantized)
    quantized.save(options.output, form=options.form)
    if quantized.partial is not None:
        print(quantized.partial)
    folder = options.report or (given.common.debug_info_save_path if given else None)
    if folder:
        feeds = samples or [random_feed(source.inputs)]
        print(models.write_report(folder, source, quantized, feeds, progress=progress))
    before, after = (path.stat().st_size for path in (options.model, options.output))
    print(f"{options.output}: {after:,} bytes, {before / after:.2f}x smaller")


def _config(options: argparse.Namespace, given: Configuration | None) -> QuantConfig:
    """What the file says, where no flag says otherwise."""
    from dataclasses import fields, replace

    from quantlib.model import QuantConfig

    config = QuantConfig() if given is None else given.quant_config()
    said = vars(options)
    names = {entry.name for entry in fields(QuantConfig)} - _OWN
    changes = {name: value for name, value in said.items() if name in names}
    if "method" in changes:
        changes.setdefault("variant", "quantlib")  # that of the file belongs to its method
    if "mode" in said:
        changes["mode"] = options.mode.replace("-", "_")
    if "operators" in said:
        changes["operators"] = tuple(options.operators.split(","))
    if "exclude" in said:
        changes["exclude"] = (*config.exclude, *options.exclude)
    return replace(config, **changes)


def _samples(
    options: argparse.Namespace, given: Configuration | None, source: Model
) -> Iterable[Any] | None:
    """The calibration data that was named, on the command line or else in the file."""
    from quantlib.model import CalibrationData
    from quantlib.model.samples import Samples

    if options.calibration is not None:
        return Samples(options.calibration, source.inputs, options.batch)
    if given is not None and given.data.calibrate_path is not None:
        return CalibrationData(source, given.data, layout=options.layout)
    return None
