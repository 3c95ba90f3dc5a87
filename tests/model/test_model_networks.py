"""Whole networks: light models of the onnx package, with seeded random weights.

All of them but VGG-19, every layer of which another one has, and whose weights take as long as
those of several others."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the witness")

import quantlib as ql  # noqa: E402

ort.set_default_logger_severity(4)
BENCH = Path(__file__).resolve().parents[2] / "bench"

NETWORKS = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet",
            "squeezenet", "zfnet512")  # fmt: skip
NOT_INTEGER = {"Conv", "quantlib.Conv", "Gemm", "quantlib.Gemm", "MatMul", "Add", "Relu"}


@pytest.fixture(scope="module")
def networks() -> Any:
    """The benchmark that makes them, without putting the source tree on the path."""
    spec = importlib.util.spec_from_file_location("networks", BENCH / "networks.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def onnxruntime_says(model: Any, feeds: dict[str, Any]) -> Any:
    return ort.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


def closeness(x: Any, y: Any) -> float:
    """The cosine of what two results have beyond their means."""
    a, b = (np.ravel(v).astype(np.float64) - np.mean(v) for v in (x, y))
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.mark.parametrize("name", NETWORKS)
def test_light_networks(name: str, networks: Any) -> None:
    """Each one loads, runs, quantizes and runs on integers, and ONNX Runtime answers alike: floats
    to their tolerance, codes to the ties that it rounds otherwise."""
    proto = networks.with_random_weights(networks.FOLDER / f"light_{name}.onnx", widest=256)
    model = ql.model.load(proto)
    (value,) = model.inputs
    shape = [extent if isinstance(extent, int) else 1 for extent in value.shape or ()]
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    (y,) = model.run([x])
    np.testing.assert_allclose(
        y, onnxruntime_says(proto, {value.name: x}), rtol=1e-3, atol=1e-4 * np.abs(y).max()
    )
    quantized = ql.model.quantize(model, [[x]], method="minmax")
    (codes,) = quantized.run([x])
    assert closeness(codes, y) > 0.97
    theirs = onnxruntime_says(quantized.to_onnx(), {value.name: x})
    assert closeness(codes, theirs) > 0.999
    assert np.abs(codes - theirs).max() < 0.05 * np.abs(y).max()
    kinds = {node.kind for node in quantized.plan().graph.nodes}
    assert not kinds & NOT_INTEGER
