"""What takes the errors of quantized models off: corrections, equalization, smoothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the witness")

from onnx import helper, numpy_helper  # noqa: E402

import quantlib as ql  # noqa: E402
from quantlib.model import QuantConfig  # noqa: E402
from quantlib.model.quantization import prepare  # noqa: E402

ort.set_default_logger_severity(4)


def test_bias_correction_takes_mean_errors_off(rng: np.random.Generator) -> None:
    constants = {
        "w": rng.standard_normal((6, 3, 3, 3)).astype(np.float32),
        "v": rng.standard_normal((5, 6)).astype(np.float32),
        "b": rng.standard_normal(5).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("GlobalAveragePool", ["a"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["x2", "v", "b"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", 1, ["n", 3, 6, 6]),
         helper.make_tensor_value_info("x2", 1, ["n", 6])],
        [helper.make_tensor_value_info("a", 1, None), helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    samples = [
        [rng.random((8, 3, 6, 6), np.float32), rng.random((8, 6), np.float32)] for _ in range(8)
    ]
    wanted = [ql.model.load(model).run(sample) for sample in samples]
    errors = []
    for correction in (False, True):
        quantized = ql.model.quantize(
            model, samples, method="minmax", per_channel=False, bias_correction=correction
        )
        results = [quantized.run(sample) for sample in samples]
        conv, gemm = (
            np.mean([y[i] - z[i] for y, z in zip(results, wanted, strict=True)], axis=(0, 1))
            for i in range(2)
        )
        errors.append(max(np.abs(conv.mean(axis=(1, 2))).max(), np.abs(gemm).max()))
    assert errors[1] < 0.05 * errors[0]


def unbalanced(rng: np.random.Generator) -> Any:
    """Convolution, depthwise convolution, convolution, whose channels differ a hundredfold."""
    spread = np.float32(10.0) ** rng.uniform(-1, 1, 8).astype(np.float32)
    constants = {
        "a": rng.standard_normal((8, 3, 3, 3)) * spread[:, None, None, None],
        "b": rng.standard_normal(8) * spread,
        "d": rng.standard_normal((8, 1, 3, 3)) / spread[:, None, None, None],
        "e": rng.standard_normal((4, 8, 1, 1)) * spread[:, None, None],
    }
    tensors = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in constants.items()]
    nodes = [
        helper.make_node("Conv", ["x", "a", "b"], ["p"]),
        helper.make_node("Relu", ["p"], ["q"]),
        helper.make_node("Conv", ["q", "d"], ["r"], group=8),
        helper.make_node("Conv", ["r", "e"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", 1, None)],
        tensors,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_equalization_changes_nothing_in_floats(rng: np.random.Generator) -> None:
    from quantlib.model.quantization.equalize import equalize

    model = ql.model.load(unbalanced(rng))
    graph = prepare(model.graph)
    before = dict(graph.constants)
    assert equalize(graph) == 2
    assert all(graph.constants[name] is array for name, array in before.items())
    x = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    (wanted,) = model.run([x])
    np.testing.assert_allclose(
        ql.model.Model(graph).run([x])[0], wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max()
    )
    spreads = []
    for table, names in ((before, "ade"), (graph.constants, [n.inputs[1] for n in graph.nodes
                                                             if n.op_type == "Conv"])):  # fmt: skip
        for name in names:
            axis = 1 if table[name].shape[0] == 4 else 0
            size = np.abs(table[name]).max(axis=tuple(i for i in range(4) if i != axis))
            spreads.append(size.max() / size.min())
    assert max(spreads[3:]) < 0.3 * max(spreads[:3])


def test_equalization_helps_one_scale_for_all(rng: np.random.Generator) -> None:
    model = unbalanced(rng)
    samples = [[rng.standard_normal((4, 3, 8, 8)).astype(np.float32)] for _ in range(4)]
    (wanted,) = ql.model.load(model).run(samples[0])
    errors = []
    for balanced in (False, True):
        quantized = ql.model.quantize(
            model, samples, method="minmax", per_channel=False, equalize=balanced
        )
        errors.append(np.sqrt(np.mean((quantized.run(samples[0])[0] - wanted) ** 2)))
    assert errors[1] < 0.7 * errors[0]


def test_weight_correction_keeps_the_spread(rng: np.random.Generator) -> None:
    weights = rng.laplace(size=(64, 8)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", 1, ["n", 64])],
        [helper.make_tensor_value_info("y", 1, ["n", 8])],
        [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    eye = np.eye(64, dtype=np.float32)
    spreads = []
    for correction in (False, True):
        options = {"mode": "weight_only", "weight_type": "int4", "weight_correction": correction}
        quantized = ql.model.quantize(model, **options)
        spreads.append(quantized.run([eye])[0].std(axis=0) / weights.std(axis=0))
    assert np.abs(spreads[1] - 1).max() < 1e-5
    assert np.abs(spreads[0] - 1).max() > 1e-3


def products_with_outliers(rng: np.random.Generator, kind: str) -> Any:
    """Two products that read one tensor with outlier channels, made as `kind` says."""
    outliers = np.where(rng.random(32) < 0.1, 60.0, 1.0)
    constants = {"gamma": outliers, "beta": 0.1 * outliers}
    constants |= {name: rng.standard_normal((32, 16)) / 6 for name in "ab"}
    constants["b"] = constants["b"].T  # of a Gemm with transB
    before = {
        "norm": [helper.make_node("LayerNormalization", ["x", "gamma", "beta"], ["h"])],
        "factors": [helper.make_node("Mul", ["gamma", "x"], ["g"]),
                    helper.make_node("Add", ["g", "beta"], ["h"])],
        "other reader": [helper.make_node("Mul", ["x", "gamma"], ["h"]),
                         helper.make_node("ReduceSum", ["h"], ["z"])],
        "nonlinear": [helper.make_node("Mul", ["x", "gamma"], ["g"]),
                      helper.make_node("Gelu", ["g"], ["h"])],
    }[kind]  # fmt: skip
    nodes = [
        *before,
        helper.make_node("MatMul", ["h", "a"], ["p"]),
        helper.make_node("Gemm", ["h", "b"], ["q"], transB=1),
        helper.make_node("Add", ["p", "q"], ["y"]),
    ]
    outputs = ["y", "z"] if kind == "other reader" else ["y"]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, ["n", 32])],
        [helper.make_tensor_value_info(name, 1, None) for name in outputs],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.mark.parametrize("kind", ["norm", "factors", "other reader", "nonlinear"])
def test_smoothing(kind: str, rng: np.random.Generator) -> None:
    """In floats nothing changes; in codes the error falls, most where channels differ most."""
    from quantlib.model.quantization.smooth import smooth

    model = ql.model.load(products_with_outliers(rng, kind))
    samples = [[rng.standard_normal((20, 32)).astype(np.float32)] for _ in range(5)]
    config = QuantConfig(method="minmax", smooth=0.5)
    graph = prepare(model.graph)
    before = dict(graph.constants)
    assert smooth(graph, config, samples, None, lambda *_: None) == 1
    assert all(graph.constants[name] is array for name, array in before.items())
    folded = kind in ("norm", "factors")
    assert len(graph.nodes) == len(model.graph.nodes) + (not folded)
    wanted = model.run(samples[0])
    for mine, exact in zip(ql.model.Model(graph).run(samples[0]), wanted, strict=True):
        np.testing.assert_allclose(mine, exact, rtol=1e-3, atol=1e-4 * np.abs(exact).max())
    for mode in ("static", "dynamic"):
        errors = []
        for share in (None, 0.5):
            quantized = ql.model.quantize(model, samples, config, mode=mode, smooth=share)
            errors.append(np.sqrt(np.mean((quantized.run(samples[0])[0] - wanted[0]) ** 2)))
        assert errors[1] < 0.6 * errors[0], mode


@pytest.mark.parametrize("kind", ["norm", "factors", "other reader", "nonlinear"])
def test_smoothing_with_a_shift(kind: str, rng: np.random.Generator) -> None:
    """Channels far from 0, to either side, are centred; what products make of that, their biases
    give back: that of a Gemm, and an Add behind a MatMul that has none."""
    from quantlib.model.quantization.smooth import smooth

    model = ql.model.load(products_with_outliers(rng, kind))
    aside = 6 * np.where(rng.random(32) < 0.5, 1, -1)
    samples = [[(rng.standard_normal((20, 32)) + aside).astype(np.float32)] for _ in range(5)]
    config = QuantConfig(method="minmax", smooth=0.5, smooth_shift=True)
    graph = prepare(model.graph)
    before = dict(graph.constants)
    assert smooth(graph, config, samples, None, lambda *_: None) == 1
    assert all(graph.constants[name] is array for name, array in before.items())
    folded = kind in ("norm", "factors")
    assert len(graph.nodes) == len(model.graph.nodes) + 1 + 2 * (not folded)
    smoothed = graph.nodes[[node.op_type for node in graph.nodes].index("MatMul")].inputs[0]
    values = np.concatenate([ql.model.Model(graph).run(feed, [smoothed])[0] for feed in samples])
    np.testing.assert_allclose(values.min(axis=0), -values.max(axis=0), rtol=1e-3, atol=1e-3)
    wanted = model.run(samples[0])
    for mine, exact in zip(ql.model.Model(graph).run(samples[0]), wanted, strict=True):
        np.testing.assert_allclose(mine, exact, rtol=1e-3, atol=1e-4 * np.abs(exact).max())
    for mode in ("static", "dynamic"):
        errors = []
        for shift in (False, True):
            quantized = ql.model.quantize(model, samples, config, mode=mode, smooth_shift=shift)
            errors.append(np.sqrt(np.mean((quantized.run(samples[0])[0] - wanted[0]) ** 2)))
        assert errors[1] < (1 if kind == "nonlinear" else 0.6) * errors[0], mode
