"""What `lint` finds, by hand, by worst operands, and by what other run times do with it."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx", reason="models need onnx")

from onnx import helper, numpy_helper  # noqa: E402

import quantlib as ql  # noqa: E402
from quantlib import cli  # noqa: E402
from quantlib.model.graph import Node  # noqa: E402
from quantlib.model.lint import _look_at_pairs, _look_at_sums  # noqa: E402

FOLDER = Path(__file__).parent / "networks"


def rules(model: ql.model.Model, **options: Any) -> list[tuple[str, str]]:
    return [(one.level, one.rule) for one in ql.model.lint(model, **options).findings]


def built(nodes: list[Any], constants: dict[str, Any], shape: list[Any]) -> Any:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 21)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def coded(
    source: str, name: str, kind: Any = np.uint8, zero: int = 128, scale: float = 0.05
) -> Any:
    """The nodes and constants of a Q/DQ pair."""
    held = {f"{name}_s": np.float32(scale), f"{name}_z": np.array(zero, kind)}
    nodes = [
        helper.make_node("QuantizeLinear", [source, *held], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", *held], [name]),
    ]
    return nodes, held


def product(
    op: str = "Conv", *, axis: int | None = None, weight_zero: int = 0, weight_kind: Any = np.int8,
    operand_kind: Any = np.uint8, bias_units: float | None = None, coded_result: bool = True,
    block: int = 0, largest: int = 60,
) -> Any:  # fmt: skip
    """A product of 8 channels whose scales all differ."""
    rng = np.random.default_rng(0)
    shape = (8, 8, 3, 3) if op.startswith("Conv") else (8, 8)
    own = (1 if op == "ConvTranspose" else 0) if len(shape) == 4 else 1
    scale = rng.uniform(0.005, 0.02, (8 // block, 8) if block else 8).astype(np.float32)
    start, held = coded("x", "a", operand_kind)
    held |= {
        "w": rng.integers(-largest, largest + 1, shape).astype(weight_kind), "w_s": scale,
        "w_z": np.full(scale.shape, weight_zero).astype(weight_kind),
    }  # fmt: skip
    how = {"axis": 0, "block_size": block} if block else {"axis": own if axis is None else axis}
    nodes = [*start, helper.make_node("DequantizeLinear", ["w", "w_s", "w_z"], ["w_r"], **how)]
    inputs = ["a", "w_r"]
    if bias_units is not None:
        held |= {"b": rng.integers(-999, 999, 8).astype(np.int32)}
        held |= {"b_s": scale * np.float32(0.05 * bias_units)}
        nodes.append(helper.make_node("DequantizeLinear", ["b", "b_s"], ["b_r"], axis=0))
        inputs.append("b_r")
    nodes.append(helper.make_node(op, inputs, ["c"], name="it"))
    if coded_result:
        end, more = coded("c", "y", np.uint8, 128, 0.3)
        nodes, held = nodes + end, held | more
    else:
        nodes.append(helper.make_node("Identity", ["c"], ["y"]))
    return built(nodes, held, [1, 8, 9, 9] if len(shape) == 4 else [3, 8])


def moved(op: str, scale: float, **attributes: Any) -> Any:
    start, held = coded("x", "a")
    end, more = coded("m", "y", np.uint8, 128, scale)
    inputs = ["a", "shape"] if op == "Reshape" else ["a"]
    held["shape"] = np.array([1, 8, -1, 1])
    node = helper.make_node(op, inputs, ["m"], name="it", **attributes)
    return built([*start, node, *end], held | more, [1, 8, 9, 9])


MOVED = [
    ("MaxPool", {"kernel_shape": [2, 2]}),
    ("Reshape", {}),
    ("Transpose", {"perm": [0, 1, 3, 2]}),
]
CASES = [
    (product(), []),
    (product(bias_units=1), []),
    (product("MatMul"), []),
    (product("MatMul", coded_result=False), []),
    (product("Gemm"), []),
    (product(axis=1), ["scale-axis"]),
    (product("MatMul", axis=0), ["scale-axis"]),
    (product("Gemm", axis=0), ["scale-axis"]),
    (product("MatMul", block=4), ["blocked-scales"]),
    (product(bias_units=2), ["bias-scale"]),
    (product(coded_result=False), ["float-result"]),
    (product("ConvTranspose"), ["float-operator"]),
    (product(weight_zero=3), ["weight-zero-point"]),
    (product(weight_kind=np.int16), ["wide-codes"]),
    (product(operand_kind=np.uint16), ["wide-codes"]),
    *((moved(op, 0.05, **more), []) for op, more in MOVED),
    *((moved(op, 0.06, **more), ["rescaled-move"]) for op, more in MOVED),
]


@pytest.mark.parametrize(("proto", "expected"), CASES)
def test_forms(proto: Any, expected: list[str]) -> None:
    assert [rule for _, rule in rules(ql.model.load(proto))] == expected


# --- sums and pairs -----------------------------------------------------------------------------


def row_of(length: int, offset: float = 0.0) -> ql.model.Model:
    """Products of `length` codes of 0 to 255 with weights of 127."""
    start, held = coded("x", "a", np.uint8, 0)
    held |= {"w": np.full((length, 1), 127, np.int8), "w_s": np.float32(1)}
    held |= {"b": np.float32([offset])}
    nodes = [
        *start,
        helper.make_node("DequantizeLinear", ["w", "w_s"], ["w_r"]),
        helper.make_node("Gemm", ["a", "w_r", "b"], ["y"], name="it"),
    ]
    return ql.model.load(built(nodes, held, [1, length]))


def test_accumulator() -> None:
    """255 * 127 * 66312 is the first beyond int32."""
    assert 255 * 127 * 66311 <= 2**31 - 1 < 255 * 127 * 66312
    assert ("error", "accumulator") not in rules(row_of(66311))
    (error,) = ql.model.lint(row_of(66312)).errors
    assert (error.rule, error.node) == ("accumulator", "it")
    assert f"{255 * 127 * 66312:,}" in error.message
    with pytest.raises(OverflowError):
        row_of(66312).run([np.full((1, 66312), 255 * 0.05, np.float32)])
    assert ("error", "accumulator") in rules(row_of(66000, 0.05 * 2e7))  # the bias counts
    for name in ("x", "a"):
        assert ("error", "accumulator") not in rules(row_of(66312), ranges={name: (0, 254 * 0.05)})
    assert ("error", "accumulator") in rules(row_of(66312), ranges={"other": (0, 1)})


@given(
    st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=6),
    st.integers(-9000, 0), st.integers(0, 9000), st.integers(-(2**31), 2**31 - 1),
)  # fmt: skip
def test_sums_by_worst_operands(weights: list[int], low: int, high: int, bias: int) -> None:
    """Each operand at that end which makes the sum most extreme, in Python's integers."""
    most = sum(max(low * w, high * w) for w in weights) + bias
    least = sum(min(low * w, high * w) for w in weights) + bias
    found = list(
        _look_at_sums(Node("MatMul", [], ["y"]), np.array([weights]), (low, high), np.array([bias]))
    )
    assert bool(found) == (most > 2**31 - 1 or least < -(2**31))


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=7), st.integers(1, 255))
def test_pairs_by_worst_operands(weights: list[int], largest: int) -> None:
    """Every pair with every combination of the extreme operands."""
    padded = weights + [0] * (len(weights) % 2)
    beyond = 0
    for first, second in zip(padded[::2], padded[1::2], strict=True):
        sums = [a * first + b * second for a in (0, largest) for b in (0, largest)]
        beyond += any(one > 2**15 - 1 or one < -(2**15) for one in sums)
    codes = np.array(weights, np.int8)[:, None]
    found = list(_look_at_pairs(Node("MatMul", [], ["y"]), codes, largest))
    assert bool(found) == bool(beyond)
    if found:
        assert found[0].message.startswith(f"{beyond} of {len(padded) // 2} pairs")


def test_pairs_of_convolutions_are_neighbouring_channels() -> None:
    """Products of one position are summed over channels; depthwise convolutions have no pairs."""
    codes = np.zeros((1, 2, 1, 2), np.int8)
    codes[0, :, 0, 0] = 100
    node = Node("Conv", [], ["y"])
    assert [one.message.split(" pairs")[0] for one in _look_at_pairs(node, codes, 255)] == [
        "1 of 2"
    ]
    assert not list(_look_at_pairs(node, np.moveaxis(codes, 1, 3), 255))
    assert not list(_look_at_pairs(node, np.full((4, 1, 3, 3), 127, np.int8), 255))


def test_biases_that_are_cut_off() -> None:
    model = row_of(4, 0.05 * 2**31)
    assert ("error", "bias-clipped") in rules(model)
    assert ("error", "bias-clipped") not in rules(row_of(4, 0.05 * 2**30))
    proto = product(bias_units=1)
    (bias,) = [one for one in proto.graph.initializer if one.name == "b"]
    codes = numpy_helper.to_array(bias).copy()
    codes[2] = 2**31 - 1
    bias.CopyFrom(numpy_helper.from_array(codes, "b"))
    errors = ql.model.lint(ql.model.load(proto)).errors
    assert [one.rule for one in errors] == ["bias-clipped", "accumulator"]
    assert "channel 2" in errors[0].message


def test_trained_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same findings for Q/DQ pairs and QOperator form, none in floats, and exit codes."""
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn has the images")
    images = (datasets.load_digits().images[:40] / 16).astype(np.float32)[:, None]
    model = ql.model.load(FOLDER / "separable.onnx")
    quantized = ql.model.quantize(model, [{"image": images}])
    found = ql.model.lint(quantized)
    assert {(one.level, one.rule) for one in found.findings} == {("warning", "saturation")}
    assert not found.errors
    quantized.save(tmp_path / "q.onnx", form="qoperator")
    assert ql.model.lint(ql.model.load(tmp_path / "q.onnx")) == found
    assert not ql.model.lint(model)
    assert str(ql.model.lint(model)) == "nothing found"
    dynamic = ql.model.lint(ql.model.quantize(model, mode="dynamic"))
    assert [one.rule for one in dynamic.findings] == ["saturation"]
    assert found.as_dict()["findings"][0]["rule"] == "saturation"
    assert cli.main(["inspect", str(tmp_path / "q.onnx"), "--lint"]) == 0
    assert "vpmaddubsw" in capsys.readouterr().out
    onnx.save(product(axis=1), tmp_path / "wrong.onnx")
    assert cli.main(["inspect", str(tmp_path / "wrong.onnx"), "--lint"]) == 1
    assert "scale-axis" in capsys.readouterr().out


def test_wrong_ranges() -> None:
    with pytest.raises(ValueError, match="least and the largest"):
        ql.model.lint(row_of(2), {"x": (1, 0)})


# --- what other run times do ----------------------------------------------------------------------


def in_onnxruntime(ort: Any, proto: Any) -> tuple[Counter[str], float]:
    """The operators that run, and how far results are from those without any optimization."""
    options = [ort.SessionOptions() for _ in range(2)]
    path = Path(tempfile.mkdtemp()) / "optimized.onnx"
    options[0].optimized_model_filepath = str(path)
    options[0].graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options[1].graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    shape = [one.dim_value for one in proto.graph.input[0].type.tensor_type.shape.dim]
    x = 3 * np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    results = [
        ort.InferenceSession(proto.SerializeToString(), one).run(None, {"x": x})[0]
        for one in options
    ]
    error = np.abs(results[0] - results[1]).max() / np.abs(results[1]).max()
    return Counter(node.op_type for node in onnx.load(path).graph.node), float(error)


@pytest.mark.parametrize(("proto", "expected"), CASES)
def test_onnxruntime_does_what_is_said(proto: Any, expected: list[str]) -> None:
    """Errors are errors, floats are floats, and what has no finding runs on integers."""
    ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed here")
    ort.set_default_logger_severity(4)
    if expected and not ort.__version__.startswith("1.31."):
        pytest.skip(f"findings are of ONNX Runtime 1.31; this is {ort.__version__}")
    if expected == ["blocked-scales"]:
        with pytest.raises(Exception, match="QLinearMatMul"):
            in_onnxruntime(ort, proto)
        return
    kinds, error = in_onnxruntime(ort, proto)
    integers = ("QLinearConv", "QLinearMatMul", "QGemm", "MatMulIntegerToFloat")
    if expected == ["scale-axis"]:
        assert error > 0.1
    elif expected in ([], ["weight-zero-point"]):
        assert error < 0.02
        assert any(kinds[kind] for kind in integers) or kinds["QuantizeLinear"] <= 1
    else:
        assert not any(kinds[kind] for kind in integers)
        assert kinds["QuantizeLinear"] == (1 if expected == ["float-result"] else 2)


def test_openvino_does_what_is_said() -> None:
    """Weights with a zero point make a convolution of floats."""
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed here")
    if not openvino.__version__.startswith("2026.4"):
        pytest.skip(f"findings are of OpenVINO 2026.4; this is {openvino.__version__}")
    core, found = openvino.Core(), []
    for proto in (product(), product(weight_zero=3), product("ConvTranspose")):
        model = core.read_model(proto.SerializeToString())
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        for operation in compiled.get_runtime_model().get_ops():
            told = operation.get_rt_info()
            if told["layerType"].value in ("Convolution", "Deconvolution"):
                found.append(told["runtimePrecision"].value)
    assert found == ["u8", "f32", "f32"]
