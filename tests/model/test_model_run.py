"""Running models: every kernel against ONNX Runtime or onnx.reference, plans, memory, threads."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the witness")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import quantlib as ql  # noqa: E402
from quantlib.model.executor import MOST_LAYOUTS, Plan, optimize  # noqa: E402
from quantlib.model.operators import find_builder  # noqa: E402

ort.set_default_logger_severity(4)
RNG_SEED = 20180615


def built(
    nodes: list[Any],
    inputs: dict[str, Any],
    outputs: list[str],
    constants: dict[str, Any] | None = None,
    opset: int = 17,
) -> Any:
    """A model of nodes; `inputs` are examples, of which only type and rank are declared."""
    declared = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(x.dtype), [None] * x.ndim
        )
        for name, x in inputs.items()
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        declared,
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def witness(model: Any, feeds: dict[str, Any], *, optimized: bool = False) -> list[Any]:
    """What ONNX Runtime computes, node by node as the file says unless `optimized`."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def compare(model: Any, feeds: dict[str, Any], *, rtol: float = 1e-5, atol: float = 1e-5) -> Any:
    """quantlib's results, which are those of ONNX Runtime; run twice, for the planned memory."""
    expected = witness(model, feeds)
    loaded = ql.model.load(model)
    for _ in range(2):
        results = loaded.run(feeds)
        for result, wanted in zip(results, expected, strict=True):
            assert result.dtype == wanted.dtype
            assert result.shape == wanted.shape
            if wanted.dtype.kind == "f":
                np.testing.assert_allclose(result, wanted, rtol=rtol, atol=atol)
            else:
                np.testing.assert_array_equal(result, wanted)
    return results


@pytest.fixture
def normal(rng: np.random.Generator) -> Any:
    return lambda *shape: rng.standard_normal(shape).astype(np.float32)


# --- convolutions and pools ---------------------------------------------------------------------

CONVOLUTIONS = [
    ((2, 3, 9, 8), (4, 3, 3, 3), {}),
    ((1, 3, 9, 8), (4, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
    ((1, 3, 9, 8), (4, 3, 3, 3), {"pads": [0, 1, 2, 0], "strides": [2, 1]}),
    ((1, 3, 9, 11), (4, 3, 3, 2), {"dilations": [2, 3], "pads": [1, 2, 3, 4]}),
    ((2, 6, 7, 7), (6, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1]}),
    ((2, 6, 7, 7), (6, 1, 5, 5), {"group": 6, "strides": [2, 2], "dilations": [1, 1]}),
    ((1, 6, 7, 7), (12, 1, 3, 3), {"group": 6, "strides": [2, 2]}),
    ((1, 6, 7, 7), (8, 3, 3, 3), {"group": 2}),
    ((2, 5, 6, 7), (3, 5, 1, 1), {}),
    ((2, 5, 6, 7), (3, 5, 1, 1), {"strides": [2, 3]}),
    ((2, 5, 6, 7), (3, 5, 1, 1), {"pads": [1, 0, 0, 2]}),
    ((2, 3, 11), (4, 3, 3), {"pads": [1, 2], "strides": [2]}),
    ((1, 2, 5, 6, 4), (3, 2, 2, 3, 2), {"pads": [1, 0, 0, 1, 1, 1]}),
    ((1, 3, 9, 8), (4, 3, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((1, 3, 9, 8), (4, 3, 4, 3), {"auto_pad": "SAME_LOWER"}),
    ((1, 3, 9, 8), (4, 3, 4, 3), {"auto_pad": "VALID", "strides": [3, 1]}),
    ((0, 3, 9, 8), (4, 3, 3, 3), {}),
    ((1, 64, 70, 70), (8, 64, 3, 3), {"pads": [1, 1, 1, 1]}),  # several blocks of windows
    ((1, 200, 90, 50), (200, 1, 3, 3), {"group": 200}),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "attributes"), CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("has_bias", [False, True])
def test_conv(normal: Any, x_shape: Any, w_shape: Any, attributes: Any, has_bias: bool) -> None:
    x = normal(*x_shape)
    constants = {"w": normal(*w_shape)}
    if has_bias:
        constants["b"] = normal(w_shape[0])
    node = helper.make_node("Conv", ["x", *constants], ["y"], **attributes)
    if 0 in x_shape:  # ONNX Runtime takes no empty batch
        (y,) = ql.model.load(built([node], {"x": x}, ["y"], constants)).run([x])
        assert y.shape == (0, 4, 7, 6)
        return
    compare(built([node], {"x": x}, ["y"], constants), {"x": x}, rtol=1e-4, atol=1e-4)


def test_conv_of_weights_that_come_at_run_time(normal: Any) -> None:
    feeds = {"x": normal(1, 3, 6, 6), "w": normal(4, 3, 3, 3)}
    compare(built([helper.make_node("Conv", ["x", "w"], ["y"])], feeds, ["y"]), feeds, atol=1e-4)


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "attributes"),
    [
        ((1, 3, 5, 4), (3, 2, 3, 3), {}),
        ((2, 3, 5, 4), (3, 2, 3, 2), {"strides": [2, 3], "pads": [1, 0, 0, 1]}),
        ((1, 4, 5, 4), (4, 2, 3, 3), {"group": 2, "strides": [2, 2], "output_padding": [1, 0]}),
        ((1, 4, 5, 4), (4, 1, 3, 3), {"group": 4, "dilations": [2, 1]}),
        ((1, 2, 7), (2, 3, 4), {"strides": [3]}),
        ((1, 3, 5, 4), (3, 2, 3, 3), {"strides": [3, 2], "output_shape": [14, 9]}),
        ((1, 3, 5, 4), (3, 2, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ],
    ids=str,
)
def test_conv_transpose(normal: Any, x_shape: Any, w_shape: Any, attributes: Any) -> None:
    x, w = normal(*x_shape), normal(*w_shape)
    b = normal(w_shape[1] * attributes.get("group", 1))
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], **attributes)
    compare(built([node], {"x": x}, ["y"], {"w": w, "b": b}), {"x": x}, atol=1e-4)


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [2, 2]},
        {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
        {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"kernel_shape": [1, 1], "strides": [2, 2]},
    ],
    ids=str,
)
def test_pools(normal: Any, kind: str, attributes: Any) -> None:
    x = normal(2, 3, 9, 8)
    compare(built([helper.make_node(kind, ["x"], ["y"], **attributes)], {"x": x}, ["y"]), {"x": x})


def test_average_pool_counts_declared_pads(normal: Any) -> None:
    x = normal(1, 2, 7, 7)
    for ceil in (0, 1):
        node = helper.make_node(
            "AveragePool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
            count_include_pad=1, ceil_mode=ceil,
        )  # fmt: skip
        compare(built([node], {"x": x}, ["y"], opset=19), {"x": x})


def test_max_pool_dilated_and_of_codes(normal: Any, rng: np.random.Generator) -> None:
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 2], dilations=[2, 3])
    x = normal(1, 2, 9, 8)
    compare(built([node], {"x": x}, ["y"]), {"x": x})
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 2], pads=[1, 1, 1, 0])
    for dtype in (np.int8, np.uint8):
        codes = rng.integers(0, 100, (1, 2, 9, 8)).astype(dtype)
        compare(built([node], {"x": codes}, ["y"]), {"x": codes})


# --- the other operators ------------------------------------------------------------------------

UNARY = [
    "Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sin", "Softplus",
    "Softsign", "Tanh", "Mish", "Softmax", "LogSoftmax", "Celu", "GlobalAveragePool",
    "GlobalMaxPool", "Flatten", "Transpose", "Shape", "Size",
]  # fmt: skip


@pytest.mark.parametrize("kind", UNARY)
def test_operators_of_one_input(normal: Any, kind: str) -> None:
    x = 3 * normal(2, 3, 4, 5)
    compare(built([helper.make_node(kind, ["x"], ["y"])], {"x": x}, ["y"], opset=18), {"x": x})


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu", "Less", "Pow"])
@pytest.mark.parametrize("shape", [(2, 3, 4), (4,), (3, 1), (), (1, 1, 1)])
def test_operators_of_two_inputs(normal: Any, kind: str, shape: tuple[int, ...]) -> None:
    feeds = {"a": np.abs(normal(2, 3, 4)), "b": normal(*shape)}
    compare(built([helper.make_node(kind, ["a", "b"], ["y"])], feeds, ["y"]), feeds)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (None, 0.5), (0.0, None), (None, None)])
def test_clip(normal: Any, bounds: Any) -> None:
    constants = {
        name: np.float32(bound)
        for name, bound in zip("lh", bounds, strict=True)
        if bound is not None
    }
    names = ["x", *(name if name in constants else "" for name in "lh")]
    x = 2 * normal(3, 4)
    compare(built([helper.make_node("Clip", names, ["y"])], {"x": x}, ["y"], constants), {"x": x})


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(normal: Any, approximate: str) -> None:
    x = 3 * normal(5, 7)
    node = helper.make_node("Gelu", ["x"], ["y"], approximate=approximate)
    compare(built([node], {"x": x}, ["y"], opset=20), {"x": x})


@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("axes", [[1], [-1, 0], [2, 3], None])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions(normal: Any, kind: str, axes: Any, keepdims: int) -> None:
    x = normal(2, 3, 4, 5)
    for opset in (13, 18):
        as_input = opset == 18 or kind == "ReduceSum"
        attributes: dict[str, Any] = {"keepdims": keepdims}
        constants: dict[str, Any] = {}
        if axes is not None and as_input:
            constants["axes"] = np.array(axes)
        elif axes is not None:
            attributes["axes"] = axes
        node = helper.make_node(kind, ["x", *constants], ["y"], **attributes)
        compare(built([node], {"x": x}, ["y"], constants, opset), {"x": x})


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_softmax(normal: Any, kind: str, axis: int, opset: int) -> None:
    x = 50 * normal(3, 4, 5)
    node = helper.make_node(kind, ["x"], ["y"], axis=axis)
    compare(built([node], {"x": x}, ["y"], opset=opset), {"x": x}, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "attributes", "shapes", "opset"),
    [
        ("BatchNormalization", {"epsilon": 1e-3}, [(3,)] * 4, 15),
        ("InstanceNormalization", {}, [(3,)] * 2, 17),
        ("LayerNormalization", {}, [(5,), (5,)], 17),
        ("LayerNormalization", {"axis": 2, "epsilon": 0.1}, [(4, 5), (4, 5)], 17),
        ("LayerNormalization", {}, [(5,)], 17),
        ("GroupNormalization", {"num_groups": 3}, [(3,), (3,)], 21),
        ("LRN", {"size": 3}, [], 17),
        ("LRN", {"size": 5, "alpha": 0.5, "beta": 0.3, "bias": 2.0}, [], 17),
    ],
    ids=str,
)
def test_normalizations(normal: Any, kind: str, attributes: Any, shapes: Any, opset: int) -> None:
    x = normal(2, 3, 4, 5)
    constants = {f"c{i}": np.abs(normal(*shape)) for i, shape in enumerate(shapes)}
    node = helper.make_node(kind, ["x", *constants], ["y"], **attributes)
    compare(built([node], {"x": x}, ["y"], constants, opset), {"x": x}, atol=1e-4)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    "coordinates", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
)
@pytest.mark.parametrize("scales", [(2.0, 3.0), (0.5, 1.5), (1.0, 0.4)])
def test_resize(normal: Any, mode: str, coordinates: str, scales: Any) -> None:
    x = normal(1, 2, 6, 8)
    if coordinates == "align_corners" and scales == (1.0, 0.4):
        # ONNX's cases take the extent before it is rounded, ONNX Runtime the one after.
        scales = (1.0, 0.5)
    for rounding in ("floor", "round_prefer_ceil") if mode == "nearest" else ("floor",):
        node = helper.make_node(
            "Resize", ["x", "", "s"], ["y"], mode=mode, nearest_mode=rounding,
            coordinate_transformation_mode=coordinates,
        )  # fmt: skip
        constants = {"s": np.float32([1, 1, *scales])}
        compare(built([node], {"x": x}, ["y"], constants), {"x": x}, atol=1e-4)


@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((4,), (4, 5)), ((4,), (4,))],
)
def test_matmul(normal: Any, a: Any, b: Any) -> None:
    feeds = {"a": normal(*a), "b": normal(*b)}
    compare(built([helper.make_node("MatMul", ["a", "b"], ["y"])], feeds, ["y"]), feeds)


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("factors", [(1.0, 1.0), (0.5, 2.0), (1.0, 0.0)])
def test_gemm(normal: Any, trans_a: int, trans_b: int, factors: Any) -> None:
    feeds = {
        "a": normal(*((4, 3) if trans_a else (3, 4))),
        "b": normal(*((5, 4) if trans_b else (4, 5))),
        "c": normal(5),
    }
    node = helper.make_node("Gemm", ["a", "b", "c"], ["y"], transA=trans_a, transB=trans_b,
                            alpha=factors[0], beta=factors[1])  # fmt: skip
    compare(built([node], feeds, ["y"]), feeds)


def test_moving_data(normal: Any) -> None:
    x = normal(2, 12, 4, 6)
    constants = {
        "shape": np.array([0, 3, -1]),
        "starts": np.array([0, -1]),
        "ends": np.array([2**40, -(2**40)]),
        "axes": np.array([1, 2]),
        "steps": np.array([5, -2]),
        "pads": np.array([0, 1, 2, 0, 0, 0, 1, 3]),
        "value": np.float32(7),
        "index": np.array([[0, -1], [2, 5]]),
        "repeats": np.array([1, 2, 1, 3]),
        "one": np.array([1]),
        "sizes": np.array([5, 7]),
    }
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["a"]),
        helper.make_node("Slice", ["x", "starts", "ends", "axes", "steps"], ["b"]),
        helper.make_node("Pad", ["x", "pads", "value"], ["c"]),
        helper.make_node("Gather", ["x", "index"], ["e"], axis=1),
        helper.make_node("Tile", ["x", "repeats"], ["f"]),
        helper.make_node("Unsqueeze", ["x", "one"], ["g"]),
        helper.make_node("Split", ["x", "sizes"], ["h", "i"], axis=1),
        helper.make_node("Concat", ["h", "x", "i"], ["j"], axis=1),
        helper.make_node("DepthToSpace", ["x"], ["k"], blocksize=2),
        helper.make_node("DepthToSpace", ["x"], ["l"], blocksize=2, mode="CRD"),
        helper.make_node("SpaceToDepth", ["x"], ["m"], blocksize=2),
        helper.make_node("Transpose", ["x"], ["n"], perm=[3, 0, 2, 1]),
        helper.make_node("Squeeze", ["g", "one"], ["o"]),
        helper.make_node("Cast", ["x"], ["p"], to=TensorProto.DOUBLE),
        helper.make_node("Where", ["q", "x", "o"], ["r"]),
        helper.make_node("Greater", ["x", "value"], ["q"]),
    ]
    nodes[-2:] = nodes[-2:][::-1]
    outputs = list("abcefghijklmnopqr")
    compare(built(nodes, {"x": x}, outputs, constants), {"x": x})


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 3, 224, 2), (2, 3, 7), (2, 3, 4, 5, 6)])
def test_turning_channels(dtype: Any, shape: tuple[int, ...]) -> None:
    """First to last and back, which have a kernel, and another order, which has none."""
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    rank = len(shape)
    for order in (
        [0, *range(2, rank), 1],
        [0, rank - 1, *range(1, rank - 1)],
        list(range(rank))[::-1],
    ):
        node = helper.make_node("Transpose", ["x"], ["y"], perm=order)
        loaded = ql.model.load(built([node], {"x": x}, ["y"]))
        for source in (x, np.asfortranarray(x)):
            np.testing.assert_array_equal(loaded.run([source])[0], x.transpose(order))


def test_every_builder_is_for_an_operator_of_onnx() -> None:
    """A misspelt registration would never be found."""
    from quantlib.model.operators.registry import _BUILDERS

    schemas = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    assert {kind for kind in _BUILDERS if "." not in kind} <= schemas
    assert find_builder("Conv") is not None


# --- plans --------------------------------------------------------------------------------------


def residual(normal: Any) -> Any:
    """Convolution, normalization, residual sum, pool, product: what networks are made of."""
    constants = {
        "w1": normal(8, 3, 3, 3), "w2": normal(8, 8, 3, 3), "w3": normal(8, 1, 3, 3),
        "v": normal(8, 5), "c": normal(5), "factor": normal(8, 1, 1), "add": normal(1, 8, 1, 1),
    } | {f"n{i}": np.abs(normal(8)) + 0.5 for i in range(8)}  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "n0", "n1", "n2", "n3"], ["b"]),
        helper.make_node("Relu", ["b"], ["c1"]),
        helper.make_node("Conv", ["c1", "w2"], ["d"], pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["d", "factor"], ["d2"]),
        helper.make_node("Add", ["add", "d2"], ["d3"]),
        helper.make_node("Add", ["d3", "c1"], ["e"]),
        helper.make_node("Relu", ["e"], ["f"]),
        helper.make_node("Conv", ["f", "w3"], ["g"], group=8, strides=[2, 2]),
        helper.make_node("Sigmoid", ["g"], ["s"]),
        helper.make_node("Mul", ["g", "s"], ["h"]),
        helper.make_node("Concat", ["h", "g"], ["k"], axis=1),
        helper.make_node("Split", ["k"], ["k1", "k2"], axis=1),
        helper.make_node("BatchNormalization", ["k1", "n4", "n5", "n6", "n7"], ["l"]),
        helper.make_node("GlobalAveragePool", ["l"], ["p"]),
        helper.make_node("Flatten", ["p"], ["q"]),
        helper.make_node("MatMul", ["q", "v"], ["r"]),
        helper.make_node("Add", ["r", "c"], ["y"]),
    ]
    return built(nodes, {"x": normal(1, 3, 9, 9)}, ["y", "k2"], constants, 13)


def test_a_residual_network(normal: Any) -> None:
    model = residual(normal)
    for batch in (1, 3):
        x = normal(batch, 3, 9, 9)
        compare(model, {"x": x}, atol=1e-3, rtol=1e-4)


def test_what_the_passes_leave(normal: Any) -> None:
    model = residual(normal)
    graph = optimize(ql.model.load(model).graph)
    kinds = [node.kind for node in graph.nodes]
    assert "BatchNormalization" not in kinds  # the one behind Split has no convolution before it
    assert kinds.count("quantlib.BatchNormalization") == 1
    assert "Relu" not in kinds
    assert kinds.count("quantlib.MatMul") == 1
    assert kinds.count("Transpose") <= 3  # in, out by k2, out by the pool
    assert all(
        node.attributes.get("layout") == "NHWC" for node in graph.nodes if "Conv" in node.kind
    )


def test_the_passes_change_no_model(normal: Any) -> None:
    loaded = ql.model.load(residual(normal))
    before = [(node.kind, tuple(node.inputs), dict(node.attributes)) for node in loaded.graph.nodes]
    constants = dict(loaded.graph.constants)
    loaded.run([normal(1, 3, 9, 9)])
    after = [(node.kind, tuple(node.inputs), dict(node.attributes)) for node in loaded.graph.nodes]
    assert after == before
    assert loaded.graph.constants == constants


def test_inner_values(normal: Any) -> None:
    """Any value can be asked for, and then is not fused away."""
    model = residual(normal)
    x = normal(1, 3, 9, 9)
    loaded = ql.model.load(model)
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    del extended.graph.output[:]
    names = [name for node in model.graph.node for name in node.output]
    extended.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    expected = witness(onnx.shape_inference.infer_shapes(extended), {"x": x})
    for name, result, wanted in zip(names, loaded.run([x], names), expected, strict=True):
        np.testing.assert_allclose(result, wanted, rtol=1e-3, atol=1e-3, err_msg=name)
    with pytest.raises(ql.model.ModelError, match="computes no 'zz'"):
        loaded.run([x], ["zz"])


def test_results_stay_what_they_are(normal: Any) -> None:
    """No later run writes into arrays that were returned."""
    loaded = ql.model.load(residual(normal))
    inputs = [normal(2, 3, 9, 9) for _ in range(4)]
    results = [loaded.run([x]) for x in inputs]
    copies = [[y.copy() for y in ys] for ys in results]
    for x in inputs:
        loaded.run([x])
    for ys, kept in zip(results, copies, strict=True):
        for y, copy in zip(ys, kept, strict=True):
            np.testing.assert_array_equal(y, copy)


def test_outputs_that_are_inputs_constants_or_views(normal: Any) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node("Exp", ["b"], ["c"]),
        helper.make_node("Identity", ["x"], ["d"]),
        helper.make_node("Identity", ["k"], ["e"]),
    ]
    x = normal(40, 50)
    model = built(nodes, {"x": x}, ["b", "c", "d", "e"], {"k": normal(3)})
    first, second = (ql.model.load(model).run([x]) for _ in range(2))
    compare(model, {"x": x})
    np.testing.assert_array_equal(first[0], second[0])


def test_memory_is_reused(normal: Any) -> None:
    """A chain of results needs room for two of them, however long it is."""
    nodes = [helper.make_node("Exp", ["x"], ["v0"])] + [
        helper.make_node("Tanh", [f"v{i}"], [f"v{i + 1}"]) for i in range(20)
    ]
    x = normal(100, 1000)
    loaded = ql.model.load(built(nodes, {"x": x}, ["v20"]))
    loaded.run([x])
    loaded.run([x])
    ((layout, _),) = loaded.plan()._layouts.values()
    assert layout.size <= 2 * x.nbytes + 128
    compare(built(nodes, {"x": x}, ["v20"]), {"x": x})


def test_no_result_lies_where_another_is_needed(normal: Any) -> None:
    """Long-lived values beside short-lived ones, with views in between."""
    nodes = [helper.make_node("Exp", ["x"], ["v0"]), helper.make_node("Neg", ["x"], ["n"])]
    for i in range(12):
        nodes += [
            helper.make_node("Tanh", [f"v{i}"], [f"t{i}"]),
            helper.make_node("Transpose", [f"t{i}"], [f"r{i}"], perm=[1, 0]),
            helper.make_node("Reshape", [f"r{i}", "shape"], [f"s{i}"]),
            helper.make_node("Add", [f"s{i}", f"v{max(i - 3, 0)}"], [f"a{i}"]),
            helper.make_node("Sub", [f"a{i}", "n"], [f"v{i + 1}"]),
        ]
    x = normal(60, 70)
    model = built(nodes, {"x": x}, ["v12", "s5"], {"shape": np.array([60, 70])})
    compare(model, {"x": x}, atol=1e-4)


def test_shapes_may_change_from_run_to_run(normal: Any) -> None:
    loaded = ql.model.load(residual(normal))
    for size in (9, 7, 12, 9, 30, 7) * 5:
        x = normal(1 + size % 3, 3, size, size)
        fresh = ql.model.load(loaded.to_onnx()).run([x])
        for y, wanted in zip(loaded.run([x]), fresh, strict=True):
            np.testing.assert_array_equal(y, wanted)


def test_shapes_that_depend_on_data_are_no_fixed_views(normal: Any) -> None:
    nodes = [
        helper.make_node("Exp", ["x"], ["e"]),
        helper.make_node("Add", ["k", "nothing"], ["wanted"]),
        helper.make_node("Reshape", ["e", "wanted"], ["r"]),
        helper.make_node("Softmax", ["r"], ["y"], axis=-1),
    ]
    x, shapes = normal(6, 20), [np.array(shape) for shape in ((6, 20), (12, 10), (3, 40), (40, 3))]
    model = built(nodes, {"x": x, "k": shapes[0]}, ["y"], {"nothing": np.int64([0, 0])})
    loaded = ql.model.load(model)
    for shape in shapes * 2:
        (y,), (wanted,) = (
            run({"x": x, "k": shape}) for run in (loaded.run, lambda f: witness(model, f))
        )
        np.testing.assert_allclose(y, wanted, atol=1e-6)


def test_many_threads(normal: Any) -> None:
    loaded = ql.model.load(residual(normal))
    inputs = [normal(1 + i % 2, 3, 9, 9) for i in range(8)]
    expected = [ql.model.load(loaded.to_onnx()).run([x]) for x in inputs]
    wrong: list[int] = []

    def work(start: int) -> None:
        for i in range(40):
            index = (start + i) % len(inputs)
            results = loaded.run([inputs[index]])
            if any(not np.array_equal(y, z) for y, z in zip(results, expected[index], strict=True)):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_blocks_of_few_shapes_are_kept(normal: Any) -> None:
    """However many shapes come, memory is kept for the last ones only."""
    loaded = ql.model.load(residual(normal))
    for count in range(1, 41):
        x = normal(count, 3, 9, 9)
        for _ in range(2):  # the first run makes a layout, the second one a block of memory
            loaded.run([x])
    layouts = loaded.plan()._layouts
    assert 0 < len(layouts) <= MOST_LAYOUTS
    assert sum(len(programs) for _, programs in layouts.values()) == len(layouts)


def test_steps_are_few(normal: Any) -> None:
    assert len(Plan(ql.model.load(residual(normal)).graph).steps) <= 16


# --- what is fed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "'x' is missing"),
        ({"x": np.zeros((2, 2), np.float32), "z": 1}, "no input 'z'"),
        ({"x": np.zeros((2, 2))}, "must be float32, not float64"),
        ({"x": np.zeros(2, np.float32)}, r"has shape \(2,\)"),
        ({"x": np.zeros((2, 3), np.float32)}, r"has shape \(2, 3\)"),
        ([], "1 inputs, not 0"),
    ],
)
def test_wrong_feeds(feeds: Any, message: str) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]>'
        " g (float[n, 2] x) => (float[n, 2] y) { y = Relu (x) }"
    )
    with pytest.raises(ql.model.ModelError, match=message) as caught:
        ql.model.load(model).run(feeds)
    assert "\n" not in str(caught.value)


def test_symbols_stand_for_one_number() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]>'
        " g (float[n] a, float[n] b) => (float[n] y) { y = Add (a, b) }"
    )
    with pytest.raises(ql.model.ModelError, match="'n' is 1 in 'b' but 2 before"):
        ql.model.load(model).run([np.zeros(2, np.float32), np.zeros(1, np.float32)])


def test_operators_that_fail_are_named(normal: Any) -> None:
    feeds = {"a": normal(2, 3), "b": normal(4, 5)}
    node = helper.make_node("MatMul", ["a", "b"], ["y"], name="product")
    with pytest.raises(ql.model.ModelError, match="MatMul node 'product' failed"):
        ql.model.load(built([node], feeds, ["y"])).run(feeds)


def test_erf_is_accurate() -> None:
    """In float32, against the exact function, far beyond where it is 1."""
    from scipy import special

    from quantlib.model.operators.elementwise import erf

    x = np.concatenate([np.linspace(-6, 6, 200_001), [-1e30, 1e30, -np.inf, np.inf, -0.0, 1e-30]])
    with np.errstate(all="ignore"):  # as in a run
        y = erf(x.astype(np.float32))
    assert np.abs(y - special.erf(x.astype(np.float32).astype(np.float64))).max() < 1e-6
    assert np.isnan(erf(np.float32([np.nan]))[0])
    np.testing.assert_array_equal(erf(x), special.erf(x))
