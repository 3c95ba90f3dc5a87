"""Weights of matrix products that are rounded for what they multiply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")

from onnx import numpy_helper  # noqa: E402

import quantlib as ql  # noqa: E402

PLAIN = Path(__file__).parent / "networks" / "plain.onnx"
TEXT = """<ir_version: 8, opset_import: ["" : 21]>
g (float[n, 24] x) => (float[n, 8] y, float[n, 5] z) {
    [first] h = MatMul (x, a)
    p = Relu (h)
    [second] y = Gemm <transB = 1> (p, b)
    [shared] q = MatMul (p, c)
    [again] r = MatMul (q, d)
    z = Neg (r)
}"""
SHAPES = {"a": (24, 16), "b": (8, 16), "c": (16, 16), "d": (16, 5)}


@pytest.fixture
def model(rng: np.random.Generator) -> ql.model.Model:
    proto = onnx.parser.parse_model(TEXT)
    for name, shape in SHAPES.items():
        values = rng.standard_normal(shape).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(values, name))
    return ql.model.load(proto)


@pytest.fixture
def feeds(rng: np.random.Generator) -> list[list[np.ndarray]]:
    """All positive, so that errors add up."""
    return [[rng.uniform(0, 1, (50, 24)).astype(np.float32)] for _ in range(6)]


def decoded(quantized: ql.model.Model) -> dict[str, np.ndarray]:
    return {name.split("_")[0]: array for name, array in quantized.graph.constants.items()
            if name.endswith("_decoded")}  # fmt: skip


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_codes_are_those_of_the_array_function(
    bits: int, per_channel: bool, model: ql.model.Model, feeds: Any
) -> None:
    options: dict[str, Any] = {
        "mode": "weight_only", "weight_bits": bits, "per_channel": per_channel,
        "weight_correction": False, "export_precision_mode": "FLOAT32",
    }  # fmt: skip
    nearest = decoded(ql.model.quantize(model, **options))
    found = decoded(ql.model.quantize(model, feeds, weight_rounding="gptq", **options))
    inputs = {"a": "x", "b": "p", "c": "p", "d": "q"}
    assert found.keys() == inputs.keys() == nearest.keys()
    moved = 0
    for name, data in inputs.items():
        x = np.concatenate([model.run(feed, [data])[0] for feed in feeds]).astype(np.float64)
        w = model.graph.constants[name].astype(np.float64)
        w, plain, mine = (a if name == "b" else a.T for a in (w, nearest[name], found[name]))
        # the codes are multiples of the step away from each other
        ends = [np.minimum(w.min(axis=1), 0), np.maximum(w.max(axis=1), 0)]
        if not per_channel:
            ends = [np.full(len(w), ends[0].min()), np.full(len(w), ends[1].max())]
        step = (ends[1] - ends[0]) / (2**bits - 1)
        zero = np.rint(-(2 ** (bits - 1)) - ends[0] / step)
        params = ql.QuantParams(step.astype(np.float32), zero.astype(int), f"int{bits}", 0)
        wanted = ql.dequantize(ql.correction.gptq(w, x, params), params)
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)
        errors = [np.linalg.norm(x @ (other - w).T) for other in (mine, plain)]
        assert errors[0] <= errors[1] * 1.0001
        moved += int(np.any(mine != plain))
    assert moved == len(inputs)


def test_outputs_get_better(model: ql.model.Model, feeds: Any) -> None:
    options: dict[str, Any] = {"mode": "weight_only", "weight_bits": 4, "weight_correction": False}
    (wanted, _), errors = model.run(feeds[0]), []
    for rounding in ("nearest", "gptq"):
        quantized = ql.model.quantize(model, feeds, weight_rounding=rounding, **options)
        errors.append(np.linalg.norm(quantized.run(feeds[0])[0] - wanted))
    assert errors[1] < 0.7 * errors[0]


def test_a_network(rng: np.random.Generator) -> None:
    """Convolutions are rounded to the nearest codes, and corrected as ever."""
    samples = [{"image": rng.random((10, 1, 8, 8), np.float32)} for _ in range(4)]
    options: dict[str, Any] = {"mode": "weight_only", "weight_bits": 3,
                               "export_precision_mode": "FLOAT32"}  # fmt: skip
    plain = decoded(ql.model.quantize(PLAIN, **options))
    found = decoded(ql.model.quantize(PLAIN, iter(samples), weight_rounding="gptq", **options))
    by_product = {name: array.ndim == 2 for name, array in plain.items()}
    assert sum(by_product.values()) >= 1
    for name, is_product in by_product.items():
        assert np.array_equal(found[name], plain[name]) != is_product


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_bits": 0}, "weight_rounding is 'gptq', which is for"),
        ({"weight_bits": None}, "weight_rounding is 'gptq', which is for"),
        ({"mode": "static"}, "weight_rounding is 'gptq', which is for"),
        (
            {"weight_rounding": "best"},
            "weight_rounding is 'best'; it may be 'nearest', 'sum', 'gptq'",
        ),
    ],
    ids=str,
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    whole = {"mode": "weight_only", "weight_bits": 4, "weight_rounding": "gptq", **options}
    with pytest.raises(ValueError, match=message):
        ql.model.QuantConfig(**whole)


def test_wrong_calibration(model: ql.model.Model) -> None:
    options: dict[str, Any] = {"mode": "weight_only", "weight_bits": 4, "weight_rounding": "gptq"}
    with pytest.raises(ql.model.ModelError, match="GPTQ need calibration data"):
        ql.model.quantize(model, **options)
    with pytest.raises(ql.model.ModelError, match="calibration is empty; GPTQ needs samples"):
        ql.model.quantize(model, [], **options)
    with pytest.raises(ql.model.ModelError, match="not finite"):
        ql.model.quantize(model, [[np.full((1, 24), np.inf, np.float32)]], **options)
