"""Whole networks, float and int8, beside the peers: the nine `light` models of the onnx package,
the small trained networks of the tests, and an encoder of a transformer.

    python bench/networks.py [--threads N] [--json PATH] [NAME ...]

The package's models have constant weights; here they get seeded random ones, since with equal
weights nothing is tested. quantlib quantizes each one statically, the transformer dynamically (and,
as a second row, by row); the same file then runs on quantlib, ONNX Runtime and OpenVINO. Times are
medians of runs in turn.
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
from onnx import helper, numpy_helper

import quantlib as ql
from quantlib import model as models
from quantlib.benchmark import machine
from quantlib.benchmark.stopwatch import settle

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
TRAINED = Path(__file__).parents[1] / "tests" / "model" / "networks"
BATCHES = {"plain": 100, "residual": 100, "separable": 100}  # images; one for all others
SECONDS = 3.0  # that a network is measured for
UNCOUNTED, COUNTED = 2, 3  # runs of an engine before the next one's turn


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
    """The median milliseconds of each, run in turn, a few times each.

    Each waits until the threads of the one before sleep, which look for work for a while; and its
    first runs are not counted, which find the caches as the one before left them.
    """
    times: dict[str, list[float]] = {name: [] for name in runners}
    for run in runners.values():
        run()
        run()
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times["quantlib int8"]) < 5:
        for name, run in runners.items():
            settle()
            for turn in range(UNCOUNTED + COUNTED):
                start = time.perf_counter()
                run()
                if turn >= UNCOUNTED:
                    times[name].append(1e3 * (time.perf_counter() - start))
    return {name: round(statistics.median(values), 3) for name, values in times.items()}


def transformer(layers: int = 2, width: int = 768, heads: int = 12, seed: int = 0) -> Any:
    """An encoder with random weights, in the operators that PyTorch exports."""
    rng, nodes = np.random.default_rng(seed), []
    constants: dict[str, Any] = {
        "apart": np.array([0, 0, heads, width // heads]),
        "together": np.array([0, 0, width]),
        "root": np.float32(np.sqrt(width // heads)),
    }

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def linear(x: str, name: str, inputs: int, outputs: int) -> str:
        weights = rng.standard_normal((inputs, outputs), np.float32) / np.float32(np.sqrt(inputs))
        constants[f"{name}.weight"] = weights
        constants[f"{name}.bias"] = rng.standard_normal(outputs, np.float32) / 10
        product = node("MatMul", [x, f"{name}.weight"], f"{name}_product")
        return node("Add", [product, f"{name}.bias"], name)

    def norm(x: str, name: str) -> str:
        constants[f"{name}.scale"] = rng.uniform(0.5, 1.5, width).astype(np.float32)
        constants[f"{name}.shift"] = rng.standard_normal(width, np.float32) / 10
        return node("LayerNormalization", [x, f"{name}.scale", f"{name}.shift"], name)

    def head(x: str, name: str, order: list[int]) -> str:
        parts = node("Reshape", [linear(x, name, width, width), "apart"], f"{name}_heads")
        return node("Transpose", [parts], f"{name}_turned", perm=order)

    x = "x"
    for layer in range(layers):
        at = f"layer{layer}/"
        query, value = (head(x, at + kind, [0, 2, 1, 3]) for kind in ("query", "value"))
        key = head(x, at + "key", [0, 2, 3, 1])
        scores = node("Div", [node("MatMul", [query, key], at + "scores"), "root"], at + "scaled")
        weights = node("Softmax", [scores], at + "weights")
        mixed = node("MatMul", [weights, value], at + "mixed")
        turned = node("Transpose", [mixed], at + "mixed_turned", perm=[0, 2, 1, 3])
        joined = node("Reshape", [turned, "together"], at + "joined")
        x = norm(
            node("Add", [x, linear(joined, at + "out", width, width)], at + "sum"), at + "norm"
        )
        up = node("Gelu", [linear(x, at + "up", width, 4 * width)], at + "gelu")
        down = linear(up, at + "down", 4 * width, width)
        x = norm(node("Add", [x, down], at + "sum2"), at + "norm2")
    graph = helper.make_graph(
        nodes, "transformer", [helper.make_tensor_value_info("x", 1, ["n", "t", width])],
        [helper.make_tensor_value_info(x, 1, ["n", "t", width])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    opset = helper.make_opsetid("", 20)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9)


def network(name: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """A float model, what it is fed, and how it is quantized."""
    if name.startswith("transformer"):
        x = np.random.default_rng(1).standard_normal((1, 128, 768)).astype(np.float32)
        return transformer(), {"x": x}, {"mode": "dynamic", "per_row": name.endswith("by row")}
    trained = name in BATCHES
    path = TRAINED / f"{name}.onnx" if trained else FOLDER / f"light_{name}.onnx"
    proto = onnx.load(path) if trained else with_random_weights(path)
    (value,) = models.load(proto).inputs
    shape = [extent if isinstance(extent, int) else BATCHES[name] for extent in value.shape or ()]
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    return proto, {value.name: x}, {"calibration": [{value.name: x}], "method": "minmax"}


def bench(name: str, threads: int) -> dict[str, float]:
    proto, feeds, options = network(name)
    quantized = models.quantize(proto, **options)
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
                runners[f"{engine} {form}"] = make(data, feeds, threads)
            except ImportError:
                continue
    return measure(runners)


def main(arguments: list[str] | None = None) -> int:
    names = sorted(path.stem.removeprefix("light_") for path in FOLDER.glob("*.onnx"))
    names += ["transformer", "transformer by row", *BATCHES]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="adds to the rows of this file, if it exists")
    options = parser.parse_args(arguments)
    ql.set_num_threads(options.threads)
    results: dict[str, Any] = {"threads": options.threads, "ms": {}}
    if options.json and options.json.exists():
        results = json.loads(options.json.read_text())
        if results["threads"] != options.threads:
            parser.error(f"{options.json} has figures of {results['threads']} threads")
    results["machine"] = machine.describe(("onnx", "onnxruntime", "openvino"))
    for name in options.names or names:
        row = results["ms"][name] = bench(name, options.threads)
        print(name, "  ".join(f"{key} {ms:.2f}" for key, ms in row.items()), flush=True)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
