"""Quantizing models: what is quantized, how accurate it stays, and that others answer alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the witness")

from onnx import helper, numpy_helper  # noqa: E402

import quantlib as ql  # noqa: E402
from quantlib.model import QuantConfig  # noqa: E402
from quantlib.model.quantization import prepare  # noqa: E402
from quantlib.model.quantization.selection import select  # noqa: E402
from trained_networks import FOLDER, NETWORKS, accuracy, held_out, kinds, onnxruntime_says  # noqa: E402

ort.set_default_logger_severity(4)


# --- accuracy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("config", "loss", "share"),
    [
        (QuantConfig(), 0.5, 0.4),
        (QuantConfig(method="kl"), 0.5, 0.4),
        (QuantConfig(method="minmax", activation_type="int8"), 0.5, 0.4),
        (QuantConfig(bias_correction=True, weight_correction=True), 0.5, 0.4),
        (QuantConfig(per_channel=False), 0.5, 0.4),
        (QuantConfig(mode="dynamic"), 0.5, 1.0),
        (QuantConfig(mode="dynamic", per_row=True), 0.5, 1.0),
        (QuantConfig(weight_rounding="sum"), 0.5, 0.4),
        (QuantConfig(fuse_residuals=True, bias_correction=True), 0.5, 0.4),
        (QuantConfig(mode="weight_only"), 0.1, 0.3),
        (QuantConfig(mode="weight_only", weight_type="uint8"), 0.1, 0.3),
        (QuantConfig(mode="weight_only", weight_type="int4", block_size=32), 1.0, 0.25),
        (QuantConfig(mode="weight_only", weight_type="uint4", block_size=16), 1.0, 0.25),
    ],
    ids=lambda value: str(value)[11:70] if isinstance(value, QuantConfig) else "",
)
def test_accuracy_and_size(
    name: str, config: QuantConfig, loss: float, share: float, digits: Any, samples: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Held-out accuracy within `loss` points, constants within `share` of the bytes. (0.2 points
    are one image of 500.)"""
    model = ql.model.load(FOLDER / f"{name}.onnx")
    quantized = ql.model.quantize(model, samples, config)
    feeds = held_out(digits)
    (scores,) = quantized.run(feeds)
    assert accuracy(scores, digits) >= accuracy(model.run(feeds)[0], digits) - loss
    held = [
        sum(tensor.ByteSize() for tensor in one.to_onnx().graph.initializer)
        for one in (model, quantized)
    ]
    assert held[1] <= share * held[0] + 4000
    quantized.save(tmp_path / "q.onnx")
    np.testing.assert_array_equal(ql.model.load(tmp_path / "q.onnx").run(feeds)[0], scores)
    onnx.checker.check_model(onnx.load(tmp_path / "q.onnx"), full_check=True)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("mode", ["weight_only", "static"])
def test_kept_sums_make_outputs_more_exact(name: str, mode: str, digits: Any, samples: Any) -> None:
    """Of all three networks, on what is held out."""
    model = ql.model.load(FOLDER / f"{name}.onnx")
    feeds = held_out(digits)
    (wanted,) = model.run(feeds)
    errors = {}
    for rounding in ("nearest", "sum"):
        quantized = ql.model.quantize(model, samples, mode=mode, weight_rounding=rounding)
        errors[rounding] = np.sqrt(np.mean((quantized.run(feeds)[0] - wanted) ** 2))
    assert errors["sum"] < (0.85 if mode == "weight_only" else 0.95) * errors["nearest"]
    if mode == "weight_only":
        (y,) = ql.model.quantize(model, mode=mode).run(feeds)
        assert np.sqrt(np.mean((y - wanted) ** 2)) == errors["sum"]  # which is its default


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("types", ["uint8", "int8"])
def test_onnxruntime_answers_alike(name: str, types: str, digits: Any, samples: Any) -> None:
    """The codes are the same, but for a few ties in sums and pools, which ONNX Runtime adds in
    floats: at most 2 scores in 100 differ, and none by more than a code of some layer."""
    quantized = ql.model.quantize(FOLDER / f"{name}.onnx", samples, activation_type=types)
    feeds = held_out(digits)
    (scores,) = quantized.run(feeds)
    theirs = onnxruntime_says(quantized, feeds)
    assert np.mean(scores != theirs) <= 0.02
    np.testing.assert_allclose(scores, theirs, atol=0.02 * np.abs(scores).max())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "config",
    [
        QuantConfig(mode="dynamic", per_row=True),
        QuantConfig(mode="weight_only"),
        QuantConfig(mode="weight_only", weight_type="int4", block_size=32),
        QuantConfig(mode="weight_only", weight_type="uint4"),
    ],
    ids=["per row", "8 bits", "4 bits in blocks", "4 bits"],
)
def test_onnxruntime_answers_alike_in_floats(name: str, config: QuantConfig, digits: Any) -> None:
    quantized = ql.model.quantize(FOLDER / f"{name}.onnx", config=config)
    feeds = held_out(digits)
    theirs = onnxruntime_says(quantized, feeds)
    np.testing.assert_allclose(quantized.run(feeds)[0], theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_openvino_answers_alike(name: str, digits: Any, samples: Any, tmp_path: Path) -> None:
    """OpenVINO runs Q/DQ pairs in integers of its own making; told to use float32 between them, its
    scores are within a few codes."""
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed here")
    quantized = ql.model.quantize(FOLDER / f"{name}.onnx", samples)
    quantized.save(tmp_path / "q.onnx")
    core = openvino.Core()
    compiled = core.compile_model(tmp_path / "q.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    feeds = held_out(digits)
    theirs = compiled([feeds["image"]])[0]
    (scores,) = quantized.run(feeds)
    np.testing.assert_allclose(scores, theirs, atol=0.05 * np.abs(scores).max())
    assert abs(accuracy(scores, digits) - accuracy(theirs, digits)) <= 0.4


# --- what runs on integers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", {"quantlib.QLinearConv": 3, "quantlib.QLinearMatMul": 2}),
        ("residual", {"quantlib.QLinearConv": 6, "quantlib.QLinearAdd": 2}),
        ("separable", {"quantlib.QLinearConv": 7, "quantlib.Lookup": 3}),
    ],
)
def test_everything_runs_on_integers(name: str, expected: Any, samples: Any) -> None:
    found = kinds(ql.model.quantize(FOLDER / f"{name}.onnx", samples))
    assert {kind: found[kind] for kind in expected} == expected
    assert not {"Conv", "quantlib.Conv", "Gemm", "Add", "Relu", "DequantizeLinear"} & set(found)
    assert found["QuantizeLinear"] == 1


def test_residuals_are_fused_where_that_is_asked_for(samples: Any) -> None:
    """Of each sum, the operand that is computed last; a convolution may be the other one, too."""
    found = kinds(ql.model.quantize(FOLDER / "residual.onnx", samples, fuse_residuals=True))
    assert found["quantlib.QLinearAdd"] == found["Add"] == found["Conv"] == 0
    assert found["quantlib.QLinearConv"] == 6


def test_normalizations_behind_joined_data(rng: np.random.Generator) -> None:
    """Nothing can be folded into there; they become convolutions of one tap, and stay exact."""
    constants = {
        **{name: rng.standard_normal((4, 3, 1, 1)) for name in "ab"},
        "scale": rng.uniform(-2, 2, 8), "shift": rng.standard_normal(8),
        "mean": rng.standard_normal(8), "variance": rng.uniform(0.5, 2, 8),
        "c": rng.standard_normal((5, 8, 3, 3)) / 6,
    }  # fmt: skip
    norm = ["scale", "shift", "mean", "variance"]
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["p"]),
        helper.make_node("Conv", ["x", "b"], ["q"]),
        helper.make_node("Concat", ["p", "q"], ["j"], axis=1),
        helper.make_node("BatchNormalization", ["j", *norm], ["n"], name="norm"),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Conv", ["r", "c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, ["n", 3, 9, 9])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    samples = [{"x": rng.standard_normal((2, 3, 9, 9)).astype(np.float32)} for _ in range(4)]
    (wanted,) = ql.model.load(model).run(samples[0])
    quantized = ql.model.quantize(model, samples, method="minmax")
    found = kinds(quantized)
    assert found["quantlib.QLinearConv"] == 4
    assert not {"Relu", "BatchNormalization", "quantlib.BatchNormalization"} & set(found)
    (scores,) = quantized.run(samples[0])
    assert np.sqrt(np.mean((scores - wanted) ** 2)) < 0.03 * wanted.std()
    np.testing.assert_allclose(
        scores, onnxruntime_says(quantized, samples[0]), atol=0.02 * np.abs(wanted).max()
    )
    codes = next(a for name, a in quantized.graph.constants.items() if "factors_quantized" in name)
    assert set(np.abs(codes).ravel()) == {127}
    left = ql.model.quantize(model, samples, exclude=("norm",), method="minmax")
    assert kinds(left)["quantlib.BatchNormalization"] == 1


@pytest.mark.parametrize("per_channel", [True, False])
def test_transposed_convolutions(per_channel: bool, rng: np.random.Generator) -> None:
    """They work on integers, but for grouped ones (channels on two axes of the weights)."""
    constants = {
        "a": rng.standard_normal((8, 3, 3, 3)) / 5, "b": rng.standard_normal((8, 6, 4, 4)) / 8,
        "c": rng.standard_normal(6), "d": rng.standard_normal((6, 2, 2, 2)) / 3,
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["p"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["p"], ["q"]),
        helper.make_node("ConvTranspose", ["q", "b", "c"], ["r"], pads=[1, 1, 1, 1],
                         strides=[2, 2], output_padding=[1, 0]),
        helper.make_node("Relu", ["r"], ["s"]),
        helper.make_node("ConvTranspose", ["s", "d"], ["y"], strides=[2, 2], group=2),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, ["n", 3, 10, 10])],
        [helper.make_tensor_value_info("y", 1, None), helper.make_tensor_value_info("s", 1, None)],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    samples = [{"x": rng.standard_normal((2, 3, 10, 10)).astype(np.float32)} for _ in range(4)]
    float_ = ql.model.load(model)
    quantized = ql.model.quantize(model, samples, method="minmax", per_channel=per_channel)
    found = kinds(quantized)
    assert (found["quantlib.QLinearConvTranspose"], found["ConvTranspose"]) == (1, 1)
    wanted = onnxruntime_says(quantized, samples[0])
    for results, atol in ((float_.run(samples[0])[0], 0.05), (wanted, 0.01)):
        np.testing.assert_allclose(
            quantized.run(samples[0])[0], results, atol=atol * np.abs(wanted).max()
        )
    few = ql.model.quantize(model, mode="weight_only", per_channel=per_channel)
    np.testing.assert_allclose(
        few.run(samples[0])[0], onnxruntime_says(few, samples[0]), rtol=1e-4, atol=1e-4
    )
    codes = [a for a in few.graph.constants.values() if a.dtype == np.int8 and a.ndim == 4]
    assert len(codes) == 2


def test_excluded_nodes_stay_in_floats(samples: Any) -> None:
    model = ql.model.load(FOLDER / "plain.onnx")
    graph = prepare(model.graph)
    convolutions = [node.name for node in graph.nodes if node.op_type == "Conv"]
    for exclude in (convolutions[:1], [convolutions[0][:-2] + "*"]):
        found = kinds(ql.model.quantize(model, samples, exclude=tuple(exclude)))
        assert found["quantlib.Conv"] >= 1
        assert found["quantlib.QLinearConv"] <= 2
    found = kinds(ql.model.quantize(model, samples, operators=("Gemm",)))
    assert (found["quantlib.Conv"], found["quantlib.QLinearMatMul"]) == (3, 2)


def test_overrides(samples: Any) -> None:
    model = ql.model.load(FOLDER / "plain.onnx")
    (first, *_) = [node.name for node in prepare(model.graph).nodes if node.op_type == "Conv"]
    quantized = ql.model.quantize(model, samples, overrides={first: {"per_channel": False}})
    ranks = [
        quantized.graph.constants[node.inputs[1]].ndim
        for node in quantized.graph.nodes
        if node.op_type == "DequantizeLinear"
        and quantized.graph.dtype(node.inputs[0]) == np.int8
        and quantized.graph.rank(node.inputs[0]) == 4
    ]
    assert sorted(ranks) == [0, 1, 1]


def test_moved_and_joined_data_has_one_scale(rng: np.random.Generator) -> None:
    constants = {name: rng.standard_normal((4, 4, 1, 1)).astype(np.float32) for name in "abc"}
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["p"]),
        helper.make_node("Conv", ["x", "b"], ["q"]),
        helper.make_node("MaxPool", ["q"], ["m"], kernel_shape=[1, 1]),
        helper.make_node("Concat", ["p", "m"], ["j"], axis=2),
        helper.make_node("Transpose", ["j"], ["t"], perm=[0, 1, 3, 2]),
        helper.make_node("Conv", ["t", "c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, [1, 4, 5, 5])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    samples = [[rng.standard_normal((1, 4, 5, 5)).astype(np.float32)] for _ in range(4)]
    quantized = ql.model.quantize(model, samples, method="minmax")
    found = kinds(quantized)
    assert found["quantlib.Lookup"] == 0
    assert found["Concat"] == 1
    selection = select(prepare(ql.model.load(model).graph), QuantConfig())
    assert {tuple(sorted(selection.sources[name])) for name in "pqmjt"} == {("p", "q")}


def test_shared_values_and_outputs_in_the_middle(rng: np.random.Generator) -> None:
    """A quantized value may also be an output, and be read by what stays in floats."""
    constants = {name: rng.standard_normal((6, 6)).astype(np.float32) for name in "abc"}
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["p"]),
        helper.make_node("Relu", ["p"], ["q"]),
        helper.make_node("MatMul", ["q", "b"], ["r"]),
        helper.make_node("MatMul", ["q", "c"], ["s"]),
        helper.make_node("Softmax", ["q"], ["z"]),
        helper.make_node("Add", ["r", "s"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, ["n", 6])],
        [helper.make_tensor_value_info(name, 1, ["n", 6]) for name in "yqzp"],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    samples = [[rng.standard_normal((9, 6)).astype(np.float32)] for _ in range(4)]
    quantized = ql.model.quantize(model, samples, method="minmax")
    for mine, float_ in zip(
        quantized.run(samples[0]), ql.model.load(model).run(samples[0]), strict=True
    ):
        assert np.abs(mine - float_).max() < 0.05 * np.abs(float_).max()
    session = ort.InferenceSession(quantized.to_onnx().SerializeToString())
    theirs = session.run(None, {"x": samples[0][0]})
    for mine, other in zip(quantized.run(samples[0]), theirs, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


def test_biases_that_do_not_fit() -> None:
    """A channel whose bias would need more than half of int32 gets a larger scale."""
    weights = np.float32([[1e-6, 0.5], [-2e-6, 0.25]])
    bias = np.float32([1000.0, 1.0])
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])], "g",
        [helper.make_tensor_value_info("x", 1, ["n", 2])],
        [helper.make_tensor_value_info("y", 1, ["n", 2])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.float32([[0.5, -1.0], [1.0, 0.25]])
    quantized = ql.model.quantize(model, [[x]], method="minmax")
    codes = next(a for a in quantized.graph.constants.values() if a.dtype == np.int32)
    assert np.abs(codes.astype(np.int64)).max() <= 2**30
    assert np.abs(codes.astype(np.int64)).max() > 2**29
    np.testing.assert_allclose(quantized.run([x])[0], x @ weights + bias, atol=0.01, rtol=1e-5)


# --- dynamic ------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_dynamic_products(per_row: bool, bias: bool, rng: np.random.Generator) -> None:
    """They run as one operator, of any batch and length, and as ONNX Runtime runs them."""
    constants = {"w": rng.standard_normal((32, 24)).astype(np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p" if bias else "y"])]
    if bias:
        constants["b"] = rng.standard_normal(24).astype(np.float32)
        nodes.append(helper.make_node("Add", ["p", "b"], ["y"]))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, ["n", "t", 32])],
        [helper.make_tensor_value_info("y", 1, ["n", "t", 24])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    quantized = ql.model.quantize(model, mode="dynamic", per_row=per_row)
    float_ = ql.model.load(model)
    spread = np.float32(10.0) ** rng.integers(-3, 3, (1, 50, 1))
    for shape in ((1, 1), (2, 7), (3, 50), (0, 4)):
        x = rng.standard_normal((*shape, 32)).astype(np.float32)
        if shape[1] == 50:
            x = (x * spread).astype(np.float32)
        (y,) = quantized.run([x])
        assert y.shape == (*shape, 24)
        if x.size == 0:
            continue
        exact = x @ constants["w"] + constants.get("b", 0)
        size = np.abs(x).max(axis=-1, keepdims=True) if per_row else np.abs(x).max()
        assert np.all(np.abs(y - exact) <= 0.25 * size)
        np.testing.assert_allclose(
            y, onnxruntime_says(quantized, {"x": x}), rtol=1e-4, atol=1e-5 * np.abs(y).max()
        )
        np.testing.assert_allclose(y, exact, atol=0.02 * np.abs(exact).max() + 0.02)
    assert kinds(float_).total() <= 2
    assert kinds(quantized)["quantlib.DynamicQuantizeMatMul"] == 1
    assert "Add" not in kinds(quantized) or not per_row


def test_rows_are_recognised_only_as_they_were_written(rng: np.random.Generator) -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="m")], "g",
        [helper.make_tensor_value_info("x", 1, ["n", 8])],
        [helper.make_tensor_value_info("y", 1, ["n", 4])],
        [numpy_helper.from_array(rng.standard_normal((8, 4)).astype(np.float32), "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    proto = ql.model.quantize(model, mode="dynamic", per_row=True).to_onnx()
    x = rng.standard_normal((3, 8)).astype(np.float32)
    for tensor in proto.graph.initializer:
        if tensor.name.endswith("levels"):
            tensor.CopyFrom(numpy_helper.from_array(np.float32(100), tensor.name))
    changed = ql.model.load(proto)
    assert kinds(changed)["quantlib.DynamicQuantizeMatMul"] == 0
    theirs = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(changed.run([x])[0], theirs, rtol=1e-5, atol=1e-5)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mode": "magic"}, ValueError, "mode is 'magic'"),
        ({"mode": 3}, TypeError, "mode must be a string"),
        ({"method": "best"}, ValueError, "method is 'best'"),
        ({"weight_type": "int4"}, ValueError, "weight_type is 'int4'"),
        ({"activation_type": "int16"}, ValueError, "activation_type is 'int16'"),
        ({"per_channel": 1}, TypeError, "per_channel must be a bool"),
        ({"block_size": 32}, ValueError, "block_size is for mode 'weight_only'"),
        ({"mode": "weight_only", "block_size": 1}, ValueError, "block_size is 1"),
        ({"mode": "weight_only", "block_size": 2.5}, TypeError, "block_size must be an int"),
        ({"per_row": True}, ValueError, "per_row is for mode 'dynamic'"),
        ({"mode": "dynamic", "bias_correction": True}, ValueError, "bias_correction is for"),
        ({"mode": "dynamic", "fuse_residuals": True}, ValueError, "fuse_residuals is for"),
        ({"fuse_residuals": 1}, TypeError, "fuse_residuals must be a bool"),
        ({"smooth": 2}, ValueError, "smooth is 2"),
        ({"smooth": "much"}, TypeError, "smooth must be a number"),
        ({"smooth_shift": True}, ValueError, "smooth_shift is for smooth"),
        ({"mode": "weight_only", "smooth": 0.5}, ValueError, "smooth is for mode"),
        ({"percentile": 0}, ValueError, "percentile is 0"),
        ({"exclude": "node"}, TypeError, "exclude must be a sequence"),
        ({"overrides": {"a": {"mode": "dynamic"}}}, ValueError, r"overrides\['a'\] has 'mode'"),
        ({"overrides": {"a": {"method": "x"}}}, ValueError, "method is 'x'"),
        ({"overrides": [1]}, TypeError, "overrides must be a mapping"),
        ({"exclude": ("nothing*",)}, ValueError, r"'nothing\*' is the name of no node"),
        ({"overrides": {"no": {}}}, ValueError, "'no' is the name of no node"),
        ({"operators": ("LSTM",)}, ValueError, "has 'LSTM', of which the model has none"),
        (
            {"mode": "weight_only", "weight_bits": 4, "weight_rounding": "sum"},
            ValueError,
            "weight_rounding is 'sum'",
        ),
        ({"speling": 1}, TypeError, "speling"),
    ],
    ids=str,
)
def test_wrong_options(options: Any, error: Any, message: str, samples: Any) -> None:
    with pytest.raises(error, match=message):
        ql.model.quantize(FOLDER / "plain.onnx", samples[:1], **options)


def test_wrong_calibration(samples: Any) -> None:
    plain = FOLDER / "plain.onnx"
    for options in ({}, {"mode": "dynamic", "smooth": 0.5}):
        with pytest.raises(ql.model.ModelError, match="need calibration data"):
            ql.model.quantize(plain, **options)
    with pytest.raises(ql.model.ModelError, match="calibration is empty"):
        ql.model.quantize(plain, [], mode="dynamic", smooth=0.5)
    with pytest.raises(ql.model.ModelError, match="calibration is empty"):
        ql.model.quantize(plain, [])
    with pytest.raises(ql.model.ModelError, match="'image' is missing"):
        ql.model.quantize(plain, [{}])
    bad = np.full((1, 1, 8, 8), np.nan, np.float32)
    with pytest.raises(ql.model.ModelError, match=r"calibration: of '.*holds nan"):
        ql.model.quantize(plain, [[bad]])
    with pytest.raises(ValueError, match="calibration is an iterator"):
        ql.model.quantize(plain, iter(samples), bias_correction=True)
    with pytest.raises(ValueError, match="calibration is an iterator"):
        ql.model.quantize(plain, iter(samples), smooth=0.5)
    with pytest.raises(TypeError, match="calibration must be an iterable"):
        ql.model.quantize(plain, 3)  # type: ignore[arg-type]


def test_models_that_cannot_be_quantized(samples: Any) -> None:
    once = ql.model.quantize(FOLDER / "plain.onnx", samples[:1])
    with pytest.raises(ql.model.ModelError, match="quantized already"):
        ql.model.quantize(once, samples[:1])
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) {y = Relu(x)}'
    for mode in ("static", "dynamic", "weight_only"):
        with pytest.raises(ql.model.ModelError, match="nothing is quantized"):
            ql.model.quantize(onnx.parser.parse_model(text), [[np.zeros(2, np.float32)]], mode=mode)


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 21])
def test_older_opsets_are_brought_to_newer(opset: int, rng: np.random.Generator) -> None:
    weights = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Clip", ["a"], ["b"], min=0.0, max=6.0)
        if opset < 11
        else helper.make_node("Clip", ["a", "low", "high"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["y"]),
    ]
    constants = {"w": weights, "v": rng.standard_normal((2, 4, 1, 1)).astype(np.float32)}
    if opset >= 11:
        constants |= {"low": np.float32(0), "high": np.float32(6)}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, [1, 3, 6, 6])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    x = rng.standard_normal((1, 3, 6, 6)).astype(np.float32)
    quantized = ql.model.quantize(model, [[x]], method="minmax")
    assert quantized.graph.opset == max(opset, 13)
    assert kinds(quantized)["quantlib.QLinearConv"] == 2
    (wanted,) = ql.model.load(model).run([x])
    np.testing.assert_allclose(quantized.run([x])[0], wanted, atol=0.05 * np.abs(wanted).max())
    four = ql.model.quantize(model, mode="weight_only", weight_type="int4")
    assert four.graph.opset == 21
    np.testing.assert_allclose(
        four.run([x])[0], onnxruntime_says(four, {"x": x}), rtol=1e-4, atol=1e-4
    )


# --- transformers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (QuantConfig(mode="dynamic"), 0.03),
        (QuantConfig(mode="dynamic", per_row=True), 0.02),
        (QuantConfig(), 0.05),
        (QuantConfig(smooth=0.5), 0.05),
        (QuantConfig(mode="weight_only"), 0.02),
    ],
    ids=["dynamic", "per row", "static", "smooth", "weight only"],
)
def test_a_transformer_encoder(config: QuantConfig, error: float) -> None:
    """Batches and lengths vary from call to call; ONNX Runtime answers alike."""
    rng = np.random.default_rng(2)
    model = ql.model.load(FOLDER / "encoder.onnx")
    samples = [[rng.integers(0, 50, (2, length))] for length in range(4, 40, 3)]
    quantized = ql.model.quantize(model, samples, config)
    session = ort.InferenceSession(quantized.to_onnx().SerializeToString())
    exact = ort.InferenceSession(str(FOLDER / "encoder.onnx"))
    for shape in ((1, 1), (3, 17), (1, 40), (2, 5), (3, 17)):
        ids = rng.integers(0, 50, shape)
        (wanted,) = exact.run(None, {"ids": ids})
        np.testing.assert_allclose(model.run([ids])[0], wanted, atol=1e-4)
        (scores,) = quantized.run([ids])
        assert scores.shape == (*shape, 7)
        assert np.sqrt(np.mean((scores - wanted) ** 2)) < error * np.abs(wanted).max()
        theirs = session.run(None, {"ids": ids})[0]
        np.testing.assert_allclose(scores, theirs, atol=0.02 * np.abs(wanted).max())
    if config.mode == "dynamic":
        assert kinds(quantized)["quantlib.DynamicQuantizeMatMul"] == 7
