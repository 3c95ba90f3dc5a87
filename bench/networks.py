"""Whole networks: the nine `light` models of the onnx package, float and int8, beside the peers.

    python bench/networks.py [--threads N] [--json PATH] [NAME ...]

The package's models have constant weights; here they get seeded random ones, since with equal
weights nothing is tested. quantlib quantizes each one statically; the same file then runs on
quantlib, ONNX Runtime and OpenVINO. Times are medians of interleaved runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

import quantlib as ql
from quantlib import model as models

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
SECONDS = 1.5  # that a network is measured for


def with_random_weights(path: Path, seed: int = 0, widest: int | None = None) -> Any:
    """A light model with its constants drawn at random, of a size that keeps values in range.

    The hidden layers of 4096 that AlexNet, VGG and ZFNet end with get `widest` instead: they are
    nine tenths of these networks' weights and next to nothing of their time.
    """
    model, rng = onnx.load(path), np.random.default_rng(seed)
    graph = model.graph
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept, made = [], {}
    for node in graph.node:
        if node.op_type == "ConstantOfShape" and node.input[0] in shapes:
            made[node.output[0]] = shapes[node.input[0]].tolist()
        else:
            kept.append(node)
    used = {name: (node.op_type, place) for node in kept for place, name in enumerate(node.input)}
    for name, shape in made.items():
        extents = [widest if widest and extent == 4096 else extent for extent in shape]
        array = _random(rng, *used.get(name, ("", 0)), extents).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(array, name))
    del graph.node[:]
    graph.node.extend(kept)
    read = {name for node in kept for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in read]
    inputs = [entry for entry in graph.input if entry.name in read - {t.name for t in constants}]
    del graph.initializer[:], graph.input[:]
    graph.initializer.extend(constants)
    graph.input.extend(inputs)
    model.ir_version = 8
    return model


def _random(rng: np.random.Generator, operator: str, place: int, shape: list[int]) -> Any:
    if operator == "BatchNormalization" and place in (1, 4):  # scale and variance
        return rng.uniform(0.5, 1.5, shape)
    if operator == "Unsqueeze":  # factors per channel
        return rng.uniform(0.7, 1.3, shape)
    if len(shape) < 2:
        return rng.normal(0, 0.1, shape)
    fan_in = int(np.prod(shape[1:]))
    return rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / fan_in))


def onnxruntime_runner(model: bytes, feeds: dict[str, Any], threads: int) -> Callable[[], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)


def openvino_runner(model: bytes, feeds: dict[str, Any], threads: int) -> Callable[[], Any]:
    import openvino

    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model)
        compiled = core.compile_model(path, "CPU", options)
    request, values = compiled.create_infer_request(), list(feeds.values())
    return lambda: request.infer(values)


def openvino_compiles(model: bytes) -> bool:
    """Whether it does, tried in another process: with some models, OpenVINO ends its process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model)
        script = "import sys, openvino; openvino.Core().compile_model(sys.argv[1], 'CPU')"
        command = [sys.executable, "-c", script, str(path)]
        return subprocess.run(command, capture_output=True).returncode == 0


def quantlib_runner(model: bytes, feeds: dict[str, Any], threads: int) -> Callable[[], Any]:
    loaded = models.load(model)
    return lambda: loaded.run(feeds)


RUNNERS = {
    "quantlib": quantlib_runner,
    "onnxruntime": onnxruntime_runner,
    "openvino": openvino_runner,
}


def measure(runners: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The median milliseconds of each, run in turn."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    for run in runners.values():
        run()
        run()
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times["quantlib int8"]) < 5:
        for name, run in runners.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: round(statistics.median(values), 3) for name, values in times.items()}


def bench(name: str, threads: int) -> dict[str, float]:
    proto = with_random_weights(FOLDER / f"light_{name}.onnx")
    loaded = models.load(proto)
    rng = np.random.default_rng(1)
    (value,) = loaded.inputs
    shape = [extent if isinstance(extent, int) else 1 for extent in value.shape or ()]
    samples = [{value.name: rng.standard_normal(shape).astype(np.float32)} for _ in range(2)]
    quantized = models.quantize(loaded, samples, method="minmax")
    forms = {
        "float": proto.SerializeToString(),
        "int8": quantized.to_onnx().SerializeToString(),
    }
    runners = {}
    for engine, make in RUNNERS.items():
        for form, data in forms.items():
            if engine == "openvino" and not openvino_compiles(data):
                print(f"{name}: openvino cannot load the {form} model", file=sys.stderr)
                continue
            try:
                runners[f"{engine} {form}"] = make(data, samples[0], threads)
            except ImportError:
                continue
    return measure(runners)


def main(arguments: list[str] | None = None) -> int:
    names = sorted(path.stem.removeprefix("light_") for path in FOLDER.glob("*.onnx"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    ql.set_num_threads(options.threads)
    rows = {}
    for name in options.names or names:
        rows[name] = bench(name, options.threads)
        print(name, "  ".join(f"{key} {ms:.2f}" for key, ms in rows[name].items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"threads": options.threads, "ms": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
