"""Weights of 1 to 16 bits and of mixed bits: what is quantized, how it is stored, what it costs."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the witness")

from onnx import helper, numpy_helper  # noqa: E402

import quantlib as ql  # noqa: E402
from quantlib import cli  # noqa: E402
from quantlib.model import ModelError, QuantConfig  # noqa: E402
from quantlib.model.quantization import prepare  # noqa: E402
from quantlib.model.quantization.weight_bits import Coder, find_weights  # noqa: E402
from trained_networks import FOLDER, NETWORKS  # noqa: E402

ort.set_default_logger_severity(4)

# --- configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"weight_bits": 17}, ValueError, "weight_bits is 17; it must be from 0 to 16"),
        ({"weight_bits": -1}, ValueError, "weight_bits is -1"),
        ({"weight_bits": 8.0}, TypeError, "weight_bits must be an int, not 8.0"),
        ({"weight_bits": True}, TypeError, "weight_bits must be an int, not True"),
        ({"weight_bits": 8, "mode": "dynamic"}, ValueError, "weight_bits is for mode"),
        ({"weight_bits": 8, "block_size": 32}, ValueError, "block_size is for weight_type"),
        ({"weight_bits": 3, "enable_encode": False}, ValueError, "leaves 4, 8 and 16"),
        ({"weight_bits": 0, "enable_encode": False}, ValueError, "leaves 4, 8 and 16"),
        ({"min_weight_size": -1}, ValueError, "min_weight_size is -1; it must be 0 or more"),
        ({"min_weight_channel": 1.5}, TypeError, "min_weight_channel must be an int"),
        ({"enable_encode": 1}, TypeError, "enable_encode must be a bool"),
        ({"weight_correction": 1}, TypeError, "weight_correction must be a bool or None"),
        ({"dequant_strategy": "ON"}, ValueError, "it may be 'load', 'on_the_fly'"),
        ({"max_segments": 0}, ValueError, "max_segments is 0; it must be from 1 to 65535"),
        ({"init_scale": 0}, ValueError, "init_scale is 0; it must be above 0 and below 1"),
        ({"init_scale": 1.0}, ValueError, "init_scale is 1.0"),
        ({"init_scale": "0.02"}, TypeError, "init_scale must be a number"),
        ({"init_scale": float("nan")}, ValueError, "init_scale is nan"),
        ({"auto_tune": None}, TypeError, "auto_tune must be a bool"),
        ({"max_iterations": 39}, ValueError, "max_iterations is 39; it must be from 40 to 65535"),
        ({"export_precision_mode": "FLOAT16"}, ValueError, "it may be 'QUANT', 'FLOAT32'"),
        ({"overrides": {"a": {"weight_bits": 99}}}, ValueError, "weight_bits is 99"),
    ],
)
def test_errors_say_what_is_allowed(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        QuantConfig(**{"mode": "weight_only", **options})


def test_correction_is_the_default_with_bits() -> None:
    assert not QuantConfig().corrects_weights
    assert QuantConfig(mode="weight_only", weight_bits=4).corrects_weights
    assert not QuantConfig(
        mode="weight_only", weight_bits=4, weight_correction=False
    ).corrects_weights
    assert QuantConfig(weight_correction=True).corrects_weights


# --- tuning -------------------------------------------------------------------------------------


def test_tuning_keeps_the_output(digits: Any) -> None:
    for name in NETWORKS:
        model, shown = ql.model.load(FOLDER / f"{name}.onnx"), []
        feed = {"image": digits[0][:20]}
        quantized = ql.model.quantize(
            model, [feed], mode="weight_only", weight_bits=0, auto_tune=True,
            progress=lambda done, total, shown=shown: shown.append((done, total)),
        )  # fmt: skip
        exact, found = (one.run(feed)[0].astype(np.float64) for one in (model, quantized))
        cosine = np.sum(exact * found) / np.linalg.norm(exact) / np.linalg.norm(found)
        assert 0.9949 < cosine < 0.9999
        assert shown == [(count, None) for count in range(1, len(shown) + 1)]
        assert len(shown) <= 75
        scale = float(quantized.graph.metadata["quantlib.init_scale"])
        assert 1 / scale == pytest.approx(round(1 / scale))
        assert ql.model.stored_weights(quantized).bits < 7
        saved = ql.model.load(quantized.to_onnx())
        assert saved.graph.metadata["quantlib.init_scale"] == repr(scale)


def test_tuning_without_a_sample() -> None:
    proto = model_with([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": normal(64, 32)},
                       {"x": ["n", 64]})  # fmt: skip
    options: dict[str, Any] = {"mode": "weight_only", "weight_bits": 0, "auto_tune": True}
    assert decoders(ql.model.quantize(proto, **options)).total() == 1
    gather = model_with(*CASES["Gather"][:3])
    with pytest.raises(ModelError, match="auto_tune needs a calibration sample"):
        ql.model.quantize(gather, **options)
    feed = {"ids": np.arange(20)}
    assert decoders(ql.model.quantize(gather, [feed], **options)).total() == 1
    assert decoders(ql.model.quantize(gather, lambda: iter([feed]), **options)).total() == 1


# --- networks -----------------------------------------------------------------------------------


def right(model: ql.model.Model, digits: Any) -> float:
    """Percent of the 500 held-out images that are recognised."""
    (scores,) = model.run([digits[0][-500:]])
    return 100 * float(np.mean(scores.argmax(1) == digits[1][-500:]))


@pytest.mark.parametrize("name", NETWORKS)
def test_bits_accuracy_and_bytes(name: str, digits: Any) -> None:
    """From 4 bits on within a point of the float network (5 images), from 5 within 0.4; the bytes
    grow with the bits; ``examples/weight_bits.py`` prints all."""
    model = ql.model.load(FOLDER / f"{name}.onnx")
    exact, sizes = right(model, digits), []
    for bits in (1, 2, 3, 4, 5, 6, 7, 8, 12, 16):
        quantized = ql.model.quantize(model, mode="weight_only", weight_bits=bits)
        sizes.append(len(quantized.to_onnx().SerializeToString()))
        if bits >= 4:
            assert right(quantized, digits) >= exact - (1.0 if bits == 4 else 0.4)
    assert sizes == sorted(sizes)
    assert sizes[-1] < 0.8 * len(model.to_onnx().SerializeToString())


@pytest.mark.parametrize("name", NETWORKS)
def test_mixed_bits_land_between_6_and_7(name: str, digits: Any) -> None:
    """With an init_scale of 0.02, the weights' error lies between those of 6 and of 7 bits (of the
    depthwise network, whose scales are of few weights, a little above), the network is as
    accurate, and the file no larger than with 7 bits."""
    model = ql.model.load(FOLDER / f"{name}.onnx")
    graph = prepare(model.graph)

    def quantized(**options: Any) -> ql.model.Model:
        return ql.model.quantize(model, mode="weight_only", **options)

    def error(bits: int) -> float:
        config = QuantConfig(mode="weight_only", weight_bits=bits, per_channel=bits > 0)
        coder, noise, all_ = Coder(graph), 0.0, 0.0
        for one in find_weights(graph, config):
            data = graph.constants[one.name].astype(np.float64)
            noise += float(np.sum((coder(one).reals() - data) ** 2))
            all_ += float(np.sum(data**2))
        return (noise / all_) ** 0.5

    assert error(7) < error(0) < (1.1 if name == "separable" else 1) * error(6)
    mixed, seven = quantized(weight_bits=0), quantized(weight_bits=7)
    assert abs(right(mixed, digits) - right(seven, digits)) <= 0.4
    size, of_seven = (len(one.to_onnx().SerializeToString()) for one in (mixed, seven))
    assert size <= of_seven
    assert 6 < ql.model.stored_weights(mixed).bits < 7


def test_a_larger_scale_takes_fewer_bytes() -> None:
    model = ql.model.load(FOLDER / "residual.onnx")
    sizes = [
        ql.model.stored_weights(
            ql.model.quantize(model, mode="weight_only", weight_bits=0, init_scale=scale)
        ).size
        for scale in (0.005, 0.01, 0.02, 0.05, 0.1, 0.3)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[-1]


@pytest.mark.parametrize("options", [{"weight_bits": 6}, {"weight_bits": 0}])
def test_a_transformer_encoder(options: dict[str, Any]) -> None:
    model = ql.model.load(FOLDER / "encoder.onnx")
    feed = {"ids": np.random.default_rng(0).integers(0, 50, (3, 11))}
    quantized = ql.model.quantize(model, [feed], mode="weight_only", **options)
    operators = {w.operator for w in ql.model.stored_weights(quantized).weights}
    assert "Gather" in operators
    exact, found = model.run(feed)[0], quantized.run(feed)[0]
    assert np.linalg.norm(exact - found) / np.linalg.norm(exact) < 0.05


def test_layers_can_be_ranked() -> None:
    """`sensitivity` and `max_loss` know weights of any bits."""
    model = ql.model.load(FOLDER / "plain.onnx")
    feeds = [{"image": np.random.default_rng(0).random((20, 1, 8, 8), np.float32)}]
    found = ql.model.sensitivity(model, mode="weight_only", weight_bits=2, feeds=feeds)
    assert len(found.layers) == 5
    kept = ql.model.quantize(model, mode="weight_only", weight_bits=2, max_loss=0.1, feeds=feeds)
    encodings = {w.encoding for w in ql.model.stored_weights(kept).weights}
    assert {"float32"} < encodings


@pytest.mark.parametrize("bits", [0, 5, 8])
def test_reports_know_the_parameters(bits: int, digits: Any, tmp_path: Path) -> None:
    """``quant_param.csv`` has a row for each channel, with the offset that the file holds."""
    model = ql.model.load(FOLDER / "plain.onnx")
    quantized = ql.model.quantize(model, mode="weight_only", weight_bits=bits)
    ql.model.write_report(tmp_path, model, quantized, [{"image": digits[0][:2]}])
    lines = (tmp_path / "quant_param.csv").read_text().splitlines()
    rows = list(csv.DictReader(lines))
    found = [row for row in rows if row["Dims"] == "32 24 3 3"]
    assert len(found) == (32 if bits else 1)
    graph = quantized.graph
    stored = next(
        w for w in ql.model.stored_weights(quantized).weights if w.shape == (32, 24, 3, 3)
    )
    base = stored.name.rpartition("_")[0]
    offsets = graph.constants[f"{base}_offset"].reshape(-1)
    np.testing.assert_allclose([float(row["CorrectionMean"]) for row in found], offsets, rtol=1e-7)
    scales = graph.constants[f"{base}_scale"].reshape(-1)
    np.testing.assert_allclose([float(row["Scale"]) for row in found], scales, rtol=1e-7)
    assert {row["CorrectionVar"] for row in found} == {"1"}
    if bits:
        assert {row["Bits"] for row in found} == {str(bits)}
    rules = {finding.rule for finding in ql.model.lint(quantized).findings}
    assert rules == (set() if bits == 8 else {"own-encoding"})


@pytest.mark.parametrize("kind", ["fixed", "mixed"])
@pytest.mark.parametrize("name", NETWORKS)
def test_configuration_files_as_they_stand(
    kind: str, name: str, digits: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of MindSpore Lite's documentation, on the command line. (`mixed` takes only weights of
    more than 5000 entries, of which one network has none.)"""
    path = FOLDER.parent / "configurations" / f"{kind}_bit_weight_quant.cfg"
    network, output = FOLDER / f"{name}.onnx", tmp_path / "q.onnx"
    arguments = ["quantize", str(network), "-o", str(output), "--config", str(path)]
    if (kind, name) == ("mixed", "separable"):
        assert cli.main(arguments) != 0
        assert "nothing is quantized" in capsys.readouterr().err
        return
    assert cli.main(arguments) == 0
    assert cli.main(["inspect", str(output), "--weights"]) == 0
    table = capsys.readouterr().out
    assert ("int8" if kind == "fixed" else "entropy") in table
    quantized = ql.model.load(output)
    assert str(ql.model.stored_weights(quantized)) in table
    assert abs(right(quantized, digits) - right(ql.model.load(network), digits)) <= 0.4
    large = [w for w in ql.model.stored_weights(quantized).weights if w.count > 5000]
    assert all(8 < w.bits < 9 if kind == "fixed" else 6 < w.bits < 7 for w in large)


# --- which weights ------------------------------------------------------------------------------


def model_with(
    nodes: list[Any], constants: dict[str, np.ndarray], inputs: dict[str, list[Any]],
    kind: int = onnx.TensorProto.FLOAT,
) -> Any:  # fmt: skip
    """A model whose outputs are those of all nodes."""
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(
            name, onnx.TensorProto.INT64 if name == "ids" else kind, shape)
         for name, shape in inputs.items()],
        [helper.make_tensor_value_info(node.output[0], kind, None) for node in nodes],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


CASES: dict[str, tuple[list[Any], dict[str, np.ndarray], dict[str, list[Any]], int]] = {
    "Conv": ([helper.make_node("Conv", ["x", "w"], ["y"])],
             {"w": normal(6, 3, 3, 3)}, {"x": [2, 3, 6, 6]}, 0),
    "depthwise Conv": ([helper.make_node("Conv", ["x", "w"], ["y"], group=4)],
                       {"w": normal(4, 1, 5, 5)}, {"x": [2, 4, 6, 6]}, 0),
    "ConvTranspose": ([helper.make_node("ConvTranspose", ["x", "w"], ["y"])],
                      {"w": normal(3, 5, 3, 3)}, {"x": [1, 3, 4, 4]}, 1),
    "depthwise ConvTranspose": (
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], group=3)],
        {"w": normal(3, 1, 5, 5)}, {"x": [1, 3, 4, 4]}, 0),
    "MatMul right": ([helper.make_node("MatMul", ["x", "w"], ["y"])],
                     {"w": normal(32, 5)}, {"x": ["n", 32]}, 1),
    "MatMul left": ([helper.make_node("MatMul", ["w", "x"], ["y"])],
                    {"w": normal(5, 32)}, {"x": [32, 4]}, 0),
    "MatMul batched": ([helper.make_node("MatMul", ["x", "w"], ["y"])],
                       {"w": normal(2, 24, 5)}, {"x": [2, 4, 24]}, 2),
    "Gemm": ([helper.make_node("Gemm", ["x", "w"], ["y"])],
             {"w": normal(32, 5)}, {"x": ["n", 32]}, 1),
    "Gemm transB": ([helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)],
                    {"w": normal(5, 32)}, {"x": ["n", 32]}, 0),
    "Gemm left transA": ([helper.make_node("Gemm", ["w", "x"], ["y"], transA=1)],
                         {"w": normal(32, 5)}, {"x": [32, 4]}, 1),
    "Gather": ([helper.make_node("Gather", ["w", "ids"], ["y"])],
               {"w": normal(20, 24)}, {"ids": ["n"]}, 0),
    "Gather of columns": ([helper.make_node("Gather", ["w", "ids"], ["y"], axis=-1)],
                          {"w": normal(24, 20)}, {"ids": ["n"]}, 1),
    "LSTM": ([helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=20)],
             {"w": normal(1, 80, 24), "r": normal(1, 80, 20, seed=1)}, {"x": [5, 2, 24]}, 1),
}  # fmt: skip


def feed_of(model: Any, seed: int = 3) -> dict[str, np.ndarray]:
    rng, feed = np.random.default_rng(seed), {}
    for value in model.graph.input:
        shape = [d.dim_value or 3 for d in value.type.tensor_type.shape.dim]
        kind = value.type.tensor_type.elem_type
        if kind == onnx.TensorProto.INT64:
            feed[value.name] = rng.integers(0, 16, shape)
        else:
            dtype = np.float16 if kind == onnx.TensorProto.FLOAT16 else np.float32
            feed[value.name] = rng.standard_normal(shape).astype(dtype)
    return feed


def onnxruntime_says(model: ql.model.Model, feed: dict[str, Any]) -> list[np.ndarray]:
    session = ort.InferenceSession(
        model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)


def decoders(model: ql.model.Model) -> Counter[str]:
    """What decodes the weights in the file."""
    kinds = (node.attributes.get("encoding", node.kind) for node in model.graph.nodes
             if node.op_type in ("DecodeWeights", "DequantizeLinear"))  # fmt: skip
    return Counter(kinds)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bits", [0, 3, 4, 8, 11, 16])
def test_every_operator(name: str, bits: int, tmp_path: Path) -> None:
    """What is stored decodes to what FLOAT32 exports, which ONNX Runtime computes with alike."""
    nodes, constants, inputs, axis = CASES[name]
    proto = model_with(nodes, constants, inputs)
    feed = feed_of(proto)
    options: dict[str, Any] = {"mode": "weight_only", "weight_bits": bits}
    quantized = ql.model.quantize(proto, **options)
    assert sum(decoders(quantized).values()) == len(constants)
    (found,) = quantized.run(feed)
    floats = ql.model.quantize(proto, **options, export_precision_mode="FLOAT32")
    assert {node.op_type for node in floats.graph.nodes} == {nodes[0].op_type}
    np.testing.assert_array_equal(floats.run(feed)[0], found)
    np.testing.assert_allclose(onnxruntime_says(floats, feed)[0], found, rtol=1e-4, atol=1e-4)
    for number in range(len(constants)):
        (candidate,) = [
            one for one in find_weights(ql.model.load(proto).graph, QuantConfig(**options))
            if one.name == list(constants)[number]
        ]  # fmt: skip
        assert candidate.axis == (axis if bits else None)
    quantized.save(tmp_path / "q.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "q.onnx"), full_check=True)
    again = ql.model.load(tmp_path / "q.onnx")
    np.testing.assert_array_equal(again.run(feed)[0], found)
    again.save(tmp_path / "f.onnx", form="float32")
    (saved,) = ql.model.load(tmp_path / "f.onnx").run(feed)
    np.testing.assert_array_equal(saved, found)
    assert not decoders(ql.model.load(tmp_path / "f.onnx"))
    (exact,) = ql.model.load(proto).run(feed)
    error = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    assert error < {0: 0.08, 3: 0.6, 4: 0.3, 8: 0.02, 11: 0.003, 16: 1e-3}[bits]


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("name", CASES)
def test_standard_operators_run_elsewhere(name: str, bits: int) -> None:
    """With enable_encode=False the file is ONNX's alone, and ONNX Runtime answers alike."""
    proto = model_with(*CASES[name][:3])
    quantized = ql.model.quantize(proto, mode="weight_only", weight_bits=bits, enable_encode=False)
    assert set(decoders(quantized)) == {"DequantizeLinear"}
    assert set(quantized.graph.opsets) == {""}
    feed = feed_of(proto)
    theirs = onnxruntime_says(quantized, feed)
    np.testing.assert_allclose(quantized.run(feed)[0], theirs[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [0, 1, 2, 3, 5, 6, 7, 8, 12])
def test_on_the_fly_is_the_same(bits: int) -> None:
    proto = model_with(*CASES["MatMul right"][:3])
    feed = feed_of(proto)
    options: dict[str, Any] = {"mode": "weight_only", "weight_bits": bits}
    at_load, each_time = (
        ql.model.quantize(proto, **options, dequant_strategy=strategy)
        for strategy in ("load", "on_the_fly")
    )
    assert [step.node.op_type for step in at_load.plan().steps] == ["MatMul"]
    steps = [step.node.op_type for step in each_time.plan().steps]
    assert steps == ["DecodeWeights", "MatMul"]
    for _ in range(3):
        np.testing.assert_array_equal(each_time.run(feed)[0], at_load.run(feed)[0])
    again = ql.model.load(each_time.to_onnx())
    assert [step.node.op_type for step in again.plan().steps] == steps


def test_on_the_fly_of_every_operator() -> None:
    for nodes, constants, inputs, _ in CASES.values():
        proto = model_with(nodes, constants, inputs)
        feed = feed_of(proto)
        found = [
            ql.model.quantize(proto, mode="weight_only", weight_bits=5, dequant_strategy=s).run(
                feed
            )
            for s in ("load", "on_the_fly")
        ]
        np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5, atol=1e-6)


def test_few_bits_on_the_fly_are_entropy_coded() -> None:
    proto = model_with(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": normal(256, 64)}, {"x": ["n", 256]}
    )
    options: dict[str, Any] = {"mode": "weight_only", "dequant_strategy": "on_the_fly"}
    for bits, encoding in ((6, "entropy"), (8, "packed")):
        quantized = ql.model.quantize(proto, weight_bits=bits, max_segments=4, **options)
        assert decoders(quantized) == {encoding: 1}
    assert decoders(ql.model.quantize(proto, mode="weight_only", weight_bits=6)) == {"packed": 1}


def quantized_names(model: ql.model.Model) -> set[str]:
    return {weight.name.split("_")[0] for weight in ql.model.stored_weights(model).weights
            if not weight.encoding.startswith("float")}  # fmt: skip


def test_thresholds_are_strict_and_channels_are_of_convolutions() -> None:
    proto = model_with(
        [
            helper.make_node("Conv", ["x", "a"], ["y"]),
            helper.make_node("Conv", ["x", "b"], ["z"]),
            helper.make_node("ConvTranspose", ["x", "c"], ["t"]),
            helper.make_node("MatMul", ["x", "d"], ["u"]),
        ],
        {"a": normal(16, 4, 3, 3), "b": normal(17, 4, 3, 3), "c": normal(4, 16, 3, 3),
         "d": normal(40, 4)},
        {"x": [1, 4, 40, 40]},
    )  # fmt: skip

    def names(**options: Any) -> set[str]:
        quantized = ql.model.quantize(
            proto, mode="weight_only", weight_bits=8, enable_encode=False, **options
        )
        return quantized_names(quantized)

    assert names() == {"a", "b", "c", "d"}
    assert names(min_weight_channel=16) == {"b", "d"}
    assert names(min_weight_channel=15) == {"a", "b", "c", "d"}
    assert names(min_weight_size=160) == {"a", "b", "c"}
    assert names(min_weight_size=159) == {"a", "b", "c", "d"}
    assert names(min_weight_size=576) == {"b"}
    assert names(exclude=("MatMul_3",)) == {"a", "b", "c"}
    assert names(operators=("MatMul",)) == {"d"}
    with pytest.raises(ModelError, match="nothing is quantized"):
        names(min_weight_size=65535)


def test_small_channels_stay_in_floats() -> None:
    """10 weights of 8 bits in a channel are not worth a scale and a correction, 11 are."""
    proto = model_with(
        [helper.make_node("MatMul", ["x", "a"], ["y"]),
         helper.make_node("MatMul", ["z", "b"], ["t"])],
        {"a": normal(10, 8), "b": normal(11, 8)}, {"x": ["n", 10], "z": ["n", 11]},
    )  # fmt: skip
    options: dict[str, Any] = {"mode": "weight_only", "weight_bits": 8}
    assert quantized_names(ql.model.quantize(proto, **options)) == {"b"}
    assert quantized_names(ql.model.quantize(proto, **options, weight_correction=False)) == {
        "a",
        "b",
    }
    assert quantized_names(ql.model.quantize(proto, **options, per_channel=False)) == {"a", "b"}


def test_a_shared_constant_is_quantized_once() -> None:
    """Read by two convolutions, it keeps its channels; by two products, it has one scale."""
    shared = {"w": normal(8, 8, 3, 3)}
    two = [helper.make_node("Conv", ["x", "w"], ["y"]), helper.make_node("Conv", ["y", "w"], ["z"])]
    quantized = ql.model.quantize(
        model_with(two, shared, {"x": [1, 8, 9, 9]}), mode="weight_only", weight_bits=6
    )
    (decoder,) = [node for node in quantized.graph.nodes if node.op_type == "DecodeWeights"]
    assert decoder.attributes["axis"] == 0
    assert [node.inputs[1] for node in quantized.graph.nodes[1:]] == 2 * decoder.outputs
    two = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("MatMul", ["y", "w"], ["z"]),
    ]
    quantized = ql.model.quantize(
        model_with(two, {"w": normal(32, 32)}, {"x": [4, 32]}), mode="weight_only", weight_bits=6
    )
    (decoder,) = [node for node in quantized.graph.nodes if node.op_type == "DecodeWeights"]
    assert "axis" not in decoder.attributes
    assert len(decoder.inputs) == 3  # without an offset


def test_a_node_that_is_left_out_keeps_its_floats() -> None:
    two = [helper.make_node("MatMul", ["x", "w"], ["y"], name="first"),
           helper.make_node("MatMul", ["y", "w"], ["z"], name="second")]  # fmt: skip
    proto = model_with(two, {"w": normal(32, 32)}, {"x": [4, 32]})
    quantized = ql.model.quantize(proto, mode="weight_only", weight_bits=6, exclude=("second",))
    assert [node.inputs[1] for node in quantized.graph.nodes[1:]] == ["w_decoded", "w"]


def test_half_precision() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    for bits in (5, 8):
        proto = model_with(nodes, {"w": normal(64, 5).astype(np.float16)}, {"x": ["n", 64]},
                           onnx.TensorProto.FLOAT16)  # fmt: skip
        quantized = ql.model.quantize(proto, mode="weight_only", weight_bits=bits)
        onnx.checker.check_model(quantized.to_onnx(), full_check=True)
        feed = feed_of(proto)
        (found,), (exact,) = quantized.run(feed), ql.model.load(proto).run(feed)
        assert found.dtype == np.float16
        assert np.linalg.norm(found - exact) / np.linalg.norm(exact) < {5: 0.1, 8: 0.01}[bits]


def test_bits_by_node() -> None:
    two = [helper.make_node("MatMul", ["x", "a"], ["y"], name="first"),
           helper.make_node("MatMul", ["y", "b"], ["z"], name="second")]  # fmt: skip
    proto = model_with(two, {"a": normal(64, 64), "b": normal(64, 64)}, {"x": [4, 64]})
    quantized = ql.model.quantize(
        proto, mode="weight_only", weight_bits=5, overrides={"second": {"weight_bits": 3}}
    )
    bits = [node.attributes.get("bits") for node in quantized.graph.nodes]
    assert bits[:2] == [5, 3]
    beside = ql.model.quantize(proto, mode="weight_only", overrides={"second": {"weight_bits": 3}})
    assert decoders(beside) == {"packed": 1, "DequantizeLinear": 1}


def test_what_is_not_finite_is_refused() -> None:
    weights = normal(32, 8)
    weights[3, 3] = np.inf
    proto = model_with([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weights},
                       {"x": ["n", 32]})  # fmt: skip
    with pytest.raises(ModelError, match="'w' are not finite"):
        ql.model.quantize(proto, mode="weight_only", weight_bits=8)


def test_twice_is_refused() -> None:
    quantized = ql.model.quantize(
        model_with(*CASES["MatMul right"][:3]), mode="weight_only", weight_bits=5
    )
    with pytest.raises(ModelError, match="quantized already"):
        ql.model.quantize(quantized, mode="weight_only", weight_bits=5)


# --- the container ------------------------------------------------------------------------------


def encoded_model() -> Any:
    return ql.model.quantize(
        model_with(*CASES["MatMul right"][:3]), mode="weight_only", weight_bits=5
    ).to_onnx()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: attribute(m, "bits", 17), "neither how its codes are encoded nor their bits"),
        (lambda m: attribute(m, "bits", 4), "has 100 bytes; these codes take 80: it is damaged"),
        (lambda m: attribute(m, "encoding", "zip"), "encoding is 'zip'"),
        (lambda m: attribute(m, "encoding", 3), "neither how"),
        (lambda m: attribute(m, "encoding", "entropy"), "it is damaged"),
        (lambda m: attribute(m, "shape", [32, 6]), "contradict each other"),
        (lambda m: attribute(m, "shape", [-32, 5]), "has no shape"),
        (lambda m: attribute(m, "shape", [1 << 30, 1 << 30]), "larger than any memory"),
        (lambda m: attribute(m, "shape", "x"), "has no shape"),
        (lambda m: attribute(m, "axis", 2), "has axis 2 for shape"),
        (lambda m: attribute(m, "axis", 0), "scale of float32 and shape"),
        (lambda m: constant(m, 0, np.zeros(99, np.uint8)), "has 99 bytes"),
        (lambda m: constant(m, 0, np.zeros(100, np.int8)), "no bytes"),
        (lambda m: constant(m, 1, np.full(5, np.nan, np.float32)), "has a scale"),
        (lambda m: constant(m, 1, np.zeros(5, np.float32)), "scale"),
        (lambda m: constant(m, 1, np.ones(5, np.float64)), "has a scale of float64"),
        (lambda m: constant(m, 2, np.full(5, 99, np.int8)), "zero_point"),
        (lambda m: constant(m, 2, np.zeros(4, np.int8)), "has a zero_point of int8"),
        (lambda m: constant(m, 3, np.zeros((5, 1), np.float32)), "has a offset|has an offset"),
        (lambda m: version(m, 2), "is of version 2; this quantlib reads version 1"),
        (lambda m: m.graph.node[0].output.append("more"), "outputs; it makes one"),
    ],
)
def test_broken_files_are_refused(change: Any, message: str) -> None:
    proto = encoded_model()
    change(proto)
    with pytest.raises(ModelError, match=message):
        ql.model.load(proto.SerializeToString()).run({"x": np.zeros((2, 32), np.float32)})


def attribute(proto: Any, name: str, value: Any) -> None:
    node = proto.graph.node[0]
    kept = [entry for entry in node.attribute if entry.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def constant(proto: Any, place: int, array: np.ndarray) -> None:
    name = proto.graph.node[0].input[place]
    (tensor,) = [entry for entry in proto.graph.initializer if entry.name == name]
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def version(proto: Any, number: int) -> None:
    (entry,) = [entry for entry in proto.opset_import if entry.domain]
    entry.version = number


@pytest.mark.parametrize("bits", [0, 5])
def test_damaged_weights_never_crash(bits: int) -> None:
    """The bytes of the weights changed at random: an answer, or ModelError."""
    quantized = ql.model.quantize(
        model_with([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": normal(64, 32)},
                   {"x": ["n", 64]}), mode="weight_only", weight_bits=bits,
    )  # fmt: skip
    proto, rng = quantized.to_onnx(), np.random.default_rng(0)
    assert decoders(quantized) == {"entropy" if bits == 0 else "packed": 1}
    name = proto.graph.node[0].input[0]
    data = quantized.graph.constants[name]
    refused = 0
    for _ in range(60):
        changed = data.copy()
        changed[rng.integers(0, min(100, data.size), 3)] = rng.integers(0, 256, 3)
        constant(proto, 0, changed)
        model = ql.model.load(proto.SerializeToString())
        try:
            (found,) = model.run({"x": np.zeros((2, 64), np.float32)})
        except ModelError:
            refused += 1
        else:
            assert found.shape == (2, 32)
    assert refused >= 50 * (bits == 0)


def test_inputs_of_a_decoder_must_be_constants() -> None:
    proto = encoded_model()
    proto.graph.input.append(helper.make_tensor_value_info("late", onnx.TensorProto.UINT8, [100]))
    proto.graph.node[0].input[0] = "late"
    with pytest.raises(ModelError, match="decodes what is no constant"):
        ql.model.load(proto).plan()


def test_what_is_stored() -> None:
    two = [helper.make_node("MatMul", ["x", "a"], ["y"], name="first"),
           helper.make_node("MatMul", ["y", "b"], ["z"], name="second")]  # fmt: skip
    proto = model_with(two, {"a": normal(64, 64), "b": normal(64, 64)}, {"x": [4, 64]})
    floats = ql.model.stored_weights(ql.model.load(proto))
    assert [(w.name, w.encoding, w.bits) for w in floats.weights] == [
        ("a", "float32", 32), ("b", "float32", 32),
    ]  # fmt: skip
    quantized = ql.model.quantize(
        proto, mode="weight_only", weight_bits=4,
        overrides={"second": {"weight_bits": 0, "init_scale": 0.05}},
    )  # fmt: skip
    found = ql.model.stored_weights(quantized)
    first, second = found.weights
    assert (first.encoding, first.size) == ("int4", 64 * 64 // 2 + 64 * (4 + 0.5 + 4))
    assert (second.encoding, second.operator) == ("entropy", "MatMul")
    assert 4 < second.bits < 5.5
    assert second.bits != round(second.bits)
    assert found.size == first.size + second.size
    assert str(found).splitlines()[0].split() == [
        "weight", "operator", "shape", "encoding", "bytes", "bits",
    ]  # fmt: skip
    with pytest.raises(TypeError, match="model must be a Model"):
        ql.model.stored_weights(proto)
