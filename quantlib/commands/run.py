"""``quantlib run``."""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

HELP = "run an ONNX model on samples"
DESCRIPTION = """\
Run an ONNX model and show what comes out, or write it to a file.

    quantlib run net.onnx samples.npz
    quantlib run net.onnx samples.npz -o results.npz
    quantlib run net.int8.onnx samples.npz --repeat 100
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.formatter_class = DESCRIPTION, argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", type=Path, help="an .onnx file")
    parser.add_argument("samples", type=Path, help="an .npz, .npy or .pb file, or a folder of them")
    parser.add_argument("-o", "--output", type=Path, help="write the outputs there, as an .npz")
    parser.add_argument("--batch", type=int, default=1, help="samples in a run (default: 1)")
    parser.add_argument("--repeat", type=int, default=1, help="run each sample this often")
    parser.add_argument("--threads", type=int, help="that a call may use")


def run(options: argparse.Namespace) -> None:
    import numpy as np

    import quantlib as ql
    from quantlib import model as models
    from quantlib.model.samples import Samples

    if options.threads is not None:
        ql.set_num_threads(options.threads)
    if options.repeat < 1:
        raise ValueError(f"--repeat is {options.repeat}; it must be 1 or more")
    model = models.load(options.model)
    names = [value.name for value in model.outputs]
    results: dict[str, list[object]] = {name: [] for name in names}
    times = []
    for feed in Samples(options.samples, model.inputs, options.batch):
        for _ in range(options.repeat):
            start = time.perf_counter()
            values = model.run(feed)
            times.append(1e3 * (time.perf_counter() - start))
        for name, value in zip(names, values, strict=True):
            results[name].append(value)
    for name in names:
        first = np.asarray(results[name][0])
        print(f"{name}: {len(results[name])} x {first.dtype} {list(first.shape)}")
        print(np.array2string(first, threshold=20, precision=6))
    if options.output is not None:
        joined = {name: np.concatenate([np.atleast_1d(np.asarray(v)) for v in values])
                  for name, values in results.items()}  # fmt: skip
        np.savez(options.output, **joined)  # type: ignore[arg-type]
    print(f"{len(times)} runs, median {statistics.median(times):.3f} ms")
