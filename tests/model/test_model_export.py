"""Other forms of quantized models, and the comparison of models."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the witness")

import quantlib as ql  # noqa: E402

ort.set_default_logger_severity(4)
FOLDER = Path(__file__).parent / "networks"
NETWORKS = ("plain", "residual", "separable")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """As many images as there are digits, but of blots: no accuracy is measured here."""
    rng = np.random.default_rng(5)
    blots = rng.random((200, 1, 8, 8), np.float32)
    return blots * (blots > 0.5)


@pytest.fixture(scope="module")
def quantized(images: np.ndarray) -> dict[str, ql.model.Model]:
    samples = [[images[i : i + 20]] for i in range(0, 100, 20)]
    return {name: ql.model.quantize(FOLDER / f"{name}.onnx", samples) for name in NETWORKS}


# --- QOperator ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_qoperator(name: str, quantized: Any, images: np.ndarray, tmp_path: Path) -> None:
    """The same codes from integer operators, in quantlib and in ONNX Runtime."""
    model = quantized[name]
    path = tmp_path / "q.onnx"
    model.save(path, form="qoperator")
    proto = onnx.load(path)
    kinds = Counter(node.op_type for node in proto.graph.node)
    convolutions = {"plain": 3, "residual": 6, "separable": 7}[name]
    assert kinds["QLinearConv"] == convolutions
    assert kinds["Conv"] == 0
    assert kinds["QLinearAdd"] == (2 if name == "residual" else 0)
    assert all(node.domain in ("", "com.microsoft") for node in proto.graph.node)
    (scores,) = model.run([images])
    np.testing.assert_array_equal(ql.model.load(path).run([images])[0], scores)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    theirs = session.run(None, {"image": images})[0]
    # ONNX Runtime's QLinearAdd adds the zero points before it rounds: ties fall elsewhere.
    assert np.mean(theirs != scores) <= (0.1 if name == "residual" else 0.02)
    np.testing.assert_allclose(theirs, scores, atol=0.02 * np.abs(scores).max())


def test_form(quantized: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="form is 'best'"):
        quantized["plain"].save(tmp_path / "q.onnx", form="best")
    assert list(tmp_path.iterdir()) == []


def test_float_models_have_one_form(tmp_path: Path) -> None:
    model = ql.model.load(FOLDER / "plain.onnx")
    model.save(tmp_path / "a.onnx")
    model.save(tmp_path / "b.onnx", form="qoperator")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_file_that_cannot_be_written(quantized: Any, tmp_path: Path) -> None:
    """What was there stays, and nothing is left beside it."""
    with pytest.raises(OSError, match="missing"):
        quantized["plain"].save(tmp_path / "missing" / "q.onnx")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        quantized["plain"].save(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_an_interrupted_calibration_leaves_nothing(tmp_path: Path, images: np.ndarray) -> None:
    def samples() -> Any:
        yield [images[:10]]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ql.model.quantize(FOLDER / "plain.onnx", samples()).save(tmp_path / "q.onnx")
    assert list(tmp_path.iterdir()) == []


# --- comparison ---------------------------------------------------------------------------------


def test_compare(quantized: Any, images: np.ndarray) -> None:
    model = ql.model.load(FOLDER / "residual.onnx")
    feeds = [[images[i : i + 10]] for i in range(100, 200, 10)]
    found = ql.model.compare(model, quantized["residual"], feeds)
    assert found.samples == 10
    assert found.bytes[0] > 3 * found.bytes[1]
    assert len(found.layers) >= 8
    assert all(0.98 < layer.cosine <= 1 for layer in found.layers)
    (output,) = found.outputs
    x = np.concatenate([model.run(feed)[0] for feed in feeds]).astype(np.float64)
    y = np.concatenate([quantized["residual"].run(feed)[0] for feed in feeds])
    error = x - y
    assert output.cosine == pytest.approx((x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum()))
    assert output.sqnr == pytest.approx(10 * np.log10((x**2).sum() / (error**2).sum()))
    assert output.largest_error == pytest.approx(np.abs(error).max())
    worst = found.worst(3)
    assert len(worst) == 3
    assert worst[0].sqnr == min(layer.sqnr for layer in found.layers)
    assert json.loads(json.dumps(found.as_dict()))["samples"] == 10
    table = str(found).splitlines()
    assert len(table) == len(found.layers) + 3
    assert "10 samples" in table[-1]


def test_compare_a_model_with_itself(images: np.ndarray) -> None:
    model = ql.model.load(FOLDER / "plain.onnx")
    found = ql.model.compare(model, model, [[images[:2]]])
    assert all(layer.cosine == pytest.approx(1) for layer in found.layers)
    assert all(layer.sqnr == float("inf") for layer in found.layers)
    assert found.as_dict()["outputs"][0]["sqnr"] is None


def test_compare_what_does_not_compare(quantized: Any, images: np.ndarray) -> None:
    model = quantized["plain"]
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) {y = Relu(x)}'
    other = ql.model.load(onnx.parser.parse_model(text))
    with pytest.raises(ql.model.ModelError, match="other inputs"):
        ql.model.compare(model, other, [[images]])
    with pytest.raises(ql.model.ModelError, match="no samples"):
        ql.model.compare(model, model, [])
