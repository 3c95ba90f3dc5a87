"""Models that others quantized, to the code: ONNX Runtime's, PyTorch's, and NNCF's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the witness")

from onnx import helper, numpy_helper  # noqa: E402
from onnxruntime import quantization  # noqa: E402

import quantlib as ql  # noqa: E402

ort.set_default_logger_severity(4)
U8, S8 = quantization.QuantType.QUInt8, quantization.QuantType.QInt8
X_SHAPE = (3, 12, 12)
NETWORKS = Path(__file__).parent / "networks"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """ONNX Runtime's quantizer gives its advice through the root logger."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Samples(quantization.CalibrationDataReader):
    """Calibration data as ONNX Runtime wants it."""

    def __init__(self, count: int = 8) -> None:
        rng = np.random.default_rng(7)
        self.samples = iter(
            [{"x": rng.standard_normal((2, *X_SHAPE)).astype(np.float32)} for _ in range(count)]
        )

    def get_next(self) -> Any:
        return next(self.samples, None)


@pytest.fixture
def network(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Convolutions of every kind, residual sum, pools, concatenation, activations, a product."""
    constants = {
        "w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 8, 3, 3), "w3": (8, 1, 3, 3), "b3": (8,),
        "w4": (6, 8, 1, 1), "v": (14, 5), "c": (5,),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["m", "w2"], ["d"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["d", "m"], ["e"]),
        helper.make_node("Relu", ["e"], ["f"]),
        helper.make_node("Conv", ["f", "w3", "b3"], ["g"], group=8, pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["g"], ["s"]),
        helper.make_node("Conv", ["f", "w4"], ["h"]),
        helper.make_node("Concat", ["s", "h"], ["k"], axis=1),
        helper.make_node("GlobalAveragePool", ["k"], ["p"]),
        helper.make_node("Flatten", ["p"], ["q"]),
        helper.make_node("Gemm", ["q", "v", "c"], ["y"]),
    ]
    tensors = []
    for name, shape in constants.items():
        spread = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.3
        array = (spread * rng.standard_normal(shape)).astype(np.float32)
        tensors.append(numpy_helper.from_array(array, name))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", 1, ["n", *X_SHAPE])],
        [helper.make_tensor_value_info("y", 1, ["n", 5])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def onnxruntime_says(model: Any, feeds: dict[str, Any], *, optimized: bool) -> list[Any]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def with_inner_codes(model: Any) -> Any:
    """`model` with every tensor of codes that its operators make as an output."""
    made = [name for node in model.graph.node for name in node.output]
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in made if name.endswith("_quantized")
    )
    return model


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("types", [(U8, S8), (S8, S8), (U8, U8)], ids=["u8s8", "s8s8", "u8u8"])
@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
def test_static(network: Path, form: str, types: Any, per_channel: bool) -> None:
    target = network.with_name("quantized.onnx")
    quantization.quantize_static(
        network, target, Samples(), quant_format=getattr(quantization.QuantFormat, form),
        per_channel=per_channel, activation_type=types[0], weight_type=types[1],
    )  # fmt: skip
    model = onnx.load(target)
    x = np.random.default_rng(3).standard_normal((3, *X_SHAPE)).astype(np.float32)
    loaded = ql.model.load(model)
    (y,) = loaded.run([x])
    kinds = [node.kind for node in loaded.plan().graph.nodes]
    assert kinds.count("quantlib.QLinearConv") == 4
    assert kinds.count("quantlib.QLinearMatMul") == 1
    assert not {"Conv", "quantlib.Conv", "Gemm", "quantlib.Gemm", "Add", "Relu"} & set(kinds)
    scale = np.abs(onnxruntime_says(model, {"x": x}, optimized=True)[0]).max() / 127
    for optimized in (False, True):
        (wanted,) = onnxruntime_says(model, {"x": x}, optimized=optimized)
        assert np.mean(y != wanted) <= 0.1  # a tie may fall to the other side
        np.testing.assert_allclose(y, wanted, atol=2 * scale)


@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
def test_codes_of_every_layer(network: Path, per_channel: bool) -> None:
    """The codes between the layers, as ONNX Runtime's integer operators compute them."""
    target = network.with_name("quantized.onnx")
    quantization.quantize_static(
        network, target, Samples(), quant_format=quantization.QuantFormat.QOperator,
        per_channel=per_channel, activation_type=U8, weight_type=S8,
    )  # fmt: skip
    model = with_inner_codes(onnx.load(target))
    names = [value.name for value in model.graph.output]
    assert len(names) >= 8
    x = np.random.default_rng(3).standard_normal((3, *X_SHAPE)).astype(np.float32)
    expected = onnxruntime_says(model, {"x": x}, optimized=False)
    results = ql.model.load(model).run([x])
    for name, result, wanted in zip(names, results, expected, strict=True):
        assert result.dtype == wanted.dtype, name
        difference = np.abs(result.astype(np.int64) - wanted.astype(np.int64))
        if wanted.dtype.kind == "f":
            continue
        # Pools in floats add in another order, and what follows a pool inherits its codes.
        exact = not any(part in name for part in ("p_", "q_", "y_", "s_", "k_"))
        assert difference.max() <= (0 if exact else 1), name
        assert np.mean((wanted != 0) & (wanted != 255)) > 0.2, f"{name} is saturated"


@pytest.mark.parametrize("weights", [U8, S8], ids=["u8", "s8"])
@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
def test_dynamic(network: Path, weights: Any, per_channel: bool) -> None:
    target = network.with_name("quantized.onnx")
    quantization.quantize_dynamic(
        network, target, weight_type=weights, per_channel=per_channel,
        op_types_to_quantize=["MatMul", "Gemm"],
    )  # fmt: skip
    model = onnx.load(target)
    x = np.random.default_rng(3).standard_normal((3, *X_SHAPE)).astype(np.float32)
    (wanted,) = onnxruntime_says(model, {"x": x}, optimized=False)
    np.testing.assert_allclose(ql.model.load(model).run([x])[0], wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "products", "oddity"),
    [
        ("torch_per_channel", (3, 2), "Cast"),
        ("torch_per_tensor", (3, 2), "Cast"),
        ("nncf", (6, 1), "Reshape"),
    ],
)
def test_what_other_quantizers_write(name: str, products: Any, oddity: str, digits: Any) -> None:
    """PyTorch casts codes to their own type between the pairs and writes parameters of a tensor as
    arrays of one element; NNCF reshapes between a pair and a product. All of it runs on integers;
    ONNX Runtime's integers are the same; where it computes in floats, a code may be next to it."""
    images = digits[0][-500:]
    model = onnx.load(NETWORKS / f"{name}.onnx")
    assert any(node.op_type == oddity for node in model.graph.node)
    loaded = ql.model.load(model)
    (scores,) = loaded.run([images])
    for optimized in (False, True):
        (wanted,) = onnxruntime_says(model, {"image": images}, optimized=optimized)
        if optimized:
            assert np.mean(np.isclose(scores, wanted, rtol=0, atol=1e-5)) >= 0.99
        np.testing.assert_allclose(scores, wanted, atol=0.02 * np.abs(wanted).max())
    assert np.mean(scores.argmax(1) == digits[1][-500:]) >= 0.96
    kinds = [node.kind for node in loaded.plan().graph.nodes]
    found = kinds.count("quantlib.QLinearConv"), kinds.count("quantlib.QLinearMatMul")
    assert found == products
    assert not {"Cast", "Conv", "quantlib.Conv", "Gemm", "Relu", "Add"} & set(kinds)


def test_calls_are_bound_once(network: Path, rng: np.random.Generator) -> None:
    """From the third run on; each run works on its own data."""

    def draw(count: int) -> Any:
        return rng.standard_normal((count, *X_SHAPE)).astype(np.float32)

    quantized = ql.model.quantize(network, [[draw(2)] for _ in range(3)])
    for count in (2, 5, 2, 2, 5, 5, 2):
        x = draw(count)
        (y,), (wanted,) = quantized.run([x]), ql.model.load(quantized.to_onnx()).run([x])
        np.testing.assert_array_equal(y, wanted)
    programs = [one for _, same in quantized.plan()._layouts.values() for one in same]
    assert len(programs) == 2
    for program in programs:
        left = {step.node.kind for bound, step, _ in program.calls if bound is None}
        assert left == {"QuantizeLinear", "quantlib.QLinearMatMul"}
        kinds = {step.node.kind for _, step, _ in program.calls}
        assert {"QLinearConv", "QLinearAdd", "MaxPoolOfCodes", "QLinearGlobalAveragePool",
                "Lookup", "Concat"} <= {kind.split(".")[-1] for kind in kinds}  # fmt: skip
        assert "Flatten" not in kinds  # a view, made once


def test_residual_sums_broadcast(rng: np.random.Generator) -> None:
    """A dequantized constant may be added, too, and has fewer dimensions."""
    constants = {
        "s": np.float32(0.05), "z": np.uint8(120), "c": rng.integers(0, 255, (4,)).astype(np.uint8),
        "t": np.float32(0.02), "u": np.float32(0.07),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["a"]),
        helper.make_node("DequantizeLinear", ["c", "t", "z"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["e"]),
        helper.make_node("Relu", ["e"], ["f"]),
        helper.make_node("QuantizeLinear", ["f", "u", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("q", onnx.TensorProto.UINT8, [2, 3, 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, [2, 3, 4])],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    q = rng.integers(0, 256, (2, 3, 4)).astype(np.uint8)
    loaded = ql.model.load(model)
    assert [node.kind for node in loaded.plan().graph.nodes] == ["quantlib.QLinearAdd"]
    (wanted,) = onnxruntime_says(model, {"q": q}, optimized=False)
    np.testing.assert_array_equal(loaded.run([q])[0], wanted)


def test_bytes_are_moved_where_they_can_be(rng: np.random.Generator) -> None:
    """Quantization comes before what moves data, to the same codes."""
    constants = {"s": np.float32(0.02), "z": np.uint8(120), "shape": np.int64([2, 4, -1])}
    nodes = [
        helper.make_node("Exp", ["x"], ["e"]),
        helper.make_node("MaxPool", ["e"], ["m"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Sin", ["x"], ["i"]),
        helper.make_node("Concat", ["m", "i"], ["c"], axis=1),
        helper.make_node("Transpose", ["c"], ["t"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["t", "shape"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, [2, 3, 8, 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, None)],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    loaded = ql.model.load(model)
    kinds = [node.kind for node in loaded.plan().graph.nodes]
    assert kinds == ["Exp", "QuantizeLinear", "MaxPool", "Sin", "QuantizeLinear", "Concat",
                     "Transpose", "Reshape"]  # fmt: skip
    x = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    (wanted,) = onnxruntime_says(model, {"x": x}, optimized=False)
    np.testing.assert_array_equal(loaded.run([x])[0], wanted)
    assert len(np.unique(wanted)) > 50


@pytest.mark.parametrize("turned", [False, True], ids=["channels last", "channels first"])
def test_local_response_normalization(turned: bool, rng: np.random.Generator) -> None:
    """Between codes it is one operator, in either layout, and in one step with its quantization."""
    constants = {
        "w": rng.integers(-127, 128, (24, 4, 1, 1)).astype(np.int8), "ws": np.float32(0.01),
        "s": np.float32(0.02), "z": np.uint8(100), "t": np.float32(0.015), "u": np.int8(-9),
        "zero": np.int8(0),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "zero"], ["v"]),
        helper.make_node("Conv", ["x", "v"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["d" if not turned else "q", "s", "z"], ["e"]),
        helper.make_node("LRN", ["e"], ["n"], size=3, alpha=2.0, bias=0.8),
        helper.make_node("QuantizeLinear", ["n", "t", "u"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes[4 * turned :], "g",
        [helper.make_tensor_value_info("q", onnx.TensorProto.UINT8, [2, 4, 5, 6])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.INT8, None)],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    q = rng.integers(0, 256, (2, 4, 5, 6)).astype(np.uint8)
    loaded = ql.model.load(model)
    found = [node.kind for node in loaded.plan().graph.nodes]
    assert "quantlib.QLinearLRN" in found
    assert not {"LRN", "DequantizeLinear", "QuantizeLinear"} & set(found)
    (y,), (wanted,) = loaded.run([q]), onnxruntime_says(model, {"q": q}, optimized=False)
    difference = np.abs(y.astype(int) - wanted)
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.01
    assert len(np.unique(wanted)) > 50


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("has_relu", [False, True])
def test_residuals_of_convolutions(
    group: int, is_first: bool, has_relu: bool, rng: np.random.Generator
) -> None:
    """A convolution's reals plus codes are rounded once; the scales make floats exact."""
    constants = {
        "w": rng.integers(-127, 128, (8, 4 // group, 3, 3)).astype(np.int8),
        "b": rng.integers(-900, 900, 8).astype(np.int32), "bs": np.float32(2**-11),
        "ws": np.float32(2**-6), "s": np.float32(2**-5), "z": np.uint8(100), "zero": np.int8(0),
        "rs": np.float32(2**-2), "rz": np.int8(-9), "ys": np.float32(2**-1), "yz": np.uint8(70),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "zero"], ["v"]),
        helper.make_node("DequantizeLinear", ["b", "bs"], ["c"]),
        helper.make_node("Conv", ["x", "v", "c"], ["d"], pads=[1, 1, 1, 1], group=group),
        helper.make_node("DequantizeLinear", ["r", "rs", "rz"], ["e"]),
        helper.make_node("Add", ["e", "d"] if is_first else ["d", "e"], ["f"]),
        helper.make_node("Relu" if has_relu else "Identity", ["f"], ["g"]),
        helper.make_node("QuantizeLinear", ["g", "ys", "yz"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("q", onnx.TensorProto.UINT8, ["n", 4, 7, 6]),
         helper.make_tensor_value_info("r", onnx.TensorProto.INT8, ["n", 8, 7, 6])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, None)],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    loaded = ql.model.load(model)
    found = [node.kind for node in loaded.plan().graph.nodes]
    assert sorted(found) == ["Transpose"] * 3 + ["quantlib.QLinearConv"]
    for count in (2, 1, 2, 2):
        feeds = {
            "q": rng.integers(0, 256, (count, 4, 7, 6)).astype(np.uint8),
            "r": rng.integers(-128, 128, (count, 8, 7, 6)).astype(np.int8),
        }
        (wanted,) = onnxruntime_says(model, feeds, optimized=False)
        np.testing.assert_array_equal(loaded.run(feeds)[0], wanted)
        assert len(np.unique(wanted)) > 50


@pytest.mark.parametrize("group", [2, 3, 4, 6])
@pytest.mark.parametrize("turned", [False, True], ids=["channels last", "channels first"])
def test_channel_shuffles(group: int, turned: bool, rng: np.random.Generator) -> None:
    """Three nodes become one that moves bytes, behind a convolution without turning them back."""
    channels = 120
    constants = {
        "w": rng.integers(-127, 128, (channels, 1, 1, 1)).astype(np.int8), "ws": np.float32(2**-7),
        "s": np.float32(2**-5), "z": np.uint8(100), "zero": np.int8(0),
        "split": np.array([0, group, -1, 5, 4]), "whole": np.array([-1, channels, 5, 4]),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "zero"], ["v"]),
        helper.make_node("Conv", ["x", "v"], ["c"], group=channels),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["d"]),
        helper.make_node("Reshape", ["d" if not turned else "q", "split"], ["e"]),
        helper.make_node("Transpose", ["e"], ["f"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["f", "whole"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes[4 * turned :], "g",
        [helper.make_tensor_value_info("q", onnx.TensorProto.UINT8, ["n", channels, 5, 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, None)],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    loaded = ql.model.load(model)
    found = [node.kind for node in loaded.plan().graph.nodes]
    assert "quantlib.ShuffleChannels" in found
    assert "Reshape" not in found
    assert found.count("Transpose") == (0 if turned else 2)
    for count in (3, 1, 3, 3):
        q = rng.integers(0, 256, (count, channels, 5, 4)).astype(np.uint8)
        (wanted,) = onnxruntime_says(model, {"q": q}, optimized=False)
        np.testing.assert_array_equal(loaded.run([q])[0], wanted)


def test_other_reshapes_are_no_shuffles(rng: np.random.Generator) -> None:
    """The result has other extents, or the transposition does more."""
    for whole, order in (([2, 12, 5, 4], [0, 2, 1, 4, 3]), ([2, 6, 10, 4], [0, 2, 1, 3, 4])):
        constants = {"split": np.array([2, 3, 4, 5, 4]), "whole": np.array(whole)}
        nodes = [
            helper.make_node("Reshape", ["x", "split"], ["a"]),
            helper.make_node("Transpose", ["a"], ["b"], perm=order),
            helper.make_node("Reshape", ["b", "whole"], ["y"]),
        ]
        graph = helper.make_graph(
            nodes, "g", [helper.make_tensor_value_info("x", 1, [2, 12, 5, 4])],
            [helper.make_tensor_value_info("y", 1, None)],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        x = rng.standard_normal((2, 12, 5, 4)).astype(np.float32)
        loaded = ql.model.load(model)
        assert len(loaded.plan().graph.nodes) == 3
        (wanted,) = onnxruntime_says(model, {"x": x}, optimized=False)
        np.testing.assert_array_equal(loaded.run([x])[0], wanted)


@pytest.mark.parametrize("kind", ["Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Relu", "Exp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_tables(kind: str, dtype: Any) -> None:
    """All 256 codes through an operator of one element."""
    codes = np.arange(256, dtype=np.uint8).view(dtype)
    zero = dtype(100)
    constants = {"s": np.float32(0.031), "z": zero, "t": np.float32(0.013)}
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["a"]),
        helper.make_node(kind, ["a"], ["b"]),
        helper.make_node("QuantizeLinear", ["b", "t", "z"], ["y"]),
    ]
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("q", element, [256])],
        [helper.make_tensor_value_info("y", element, [256])],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    loaded = ql.model.load(model)
    assert [node.kind for node in loaded.plan().graph.nodes] == ["quantlib.Lookup"]
    (wanted,) = onnxruntime_says(model, {"q": codes}, optimized=False)
    result = loaded.run([codes])[0]
    assert result.dtype == wanted.dtype
    difference = np.abs(result.astype(int) - wanted.astype(int))
    assert difference.max() <= 1  # the last bit of exp is each library's own
    assert np.mean(difference) < 0.01
