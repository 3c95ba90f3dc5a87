"""Reading models: what is in a graph, and what is said about files that are broken or hostile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import quantlib as ql  # noqa: E402
from quantlib.model.graph import Graph, Node, sort_nodes  # noqa: E402
from quantlib.model.shapes import infer_values  # noqa: E402

FLOAT = TensorProto.FLOAT


def parsed(body: str, opset: int = 17) -> Any:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {body}')


@pytest.fixture
def network() -> Any:
    """A convolution, a product and their constants."""
    rng = np.random.default_rng(0)
    model = parsed(
        "g (float[n, 3, 8, 8] x) => (float[n, 5] y) {"
        " a = Conv <pads = [1, 1, 1, 1]> (x, w, b)  r = Relu (a)  p = GlobalAveragePool (r)"
        " f = Flatten (p)  y = Gemm (f, v) }"
    )
    for name, shape in (("w", (4, 3, 3, 3)), ("b", (4,)), ("v", (4, 5))):
        array = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def test_a_graph(network: Any) -> None:
    graph = ql.model.load(network).graph
    assert [node.op_type for node in graph.nodes] == [
        "Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"
    ]  # fmt: skip
    assert graph.nodes[0].attributes == {"pads": [1, 1, 1, 1]}
    assert graph.values["a"].shape == ("n", 4, 8, 8)
    assert graph.dtype("a") == np.float32
    assert set(graph.constants) == {"w", "b", "v"}
    assert not graph.constants["w"].flags.writeable


def test_from_bytes_and_from_files(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(network.SerializeToString())
    x = np.ones((2, 3, 8, 8), np.float32)
    results = [
        ql.model.load(source).run({"x": x})[0]
        for source in (network, network.SerializeToString(), path, str(path))
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_written_model_is_the_model(network: Any, tmp_path: Path) -> None:
    model = ql.model.load(network)
    model.save(tmp_path / "again.onnx")
    again = ql.model.load(tmp_path / "again.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "again.onnx"), full_check=True)
    x = np.ones((1, 3, 8, 8), np.float32)
    np.testing.assert_array_equal(model.run([x])[0], again.run([x])[0])
    assert [p.name for p in tmp_path.iterdir()] == ["again.onnx"]


@pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
def test_every_opset(opset: int) -> None:
    model = ql.model.load(parsed("g (float[2] x) => (float[2] y) { y = Tanh (x) }", opset))
    np.testing.assert_array_equal(model.run([np.zeros(2, np.float32)])[0], 0)


def test_nodes_may_stand_in_any_order(network: Any) -> None:
    nodes = list(network.graph.node)
    del network.graph.node[:]
    network.graph.node.extend(reversed(nodes))
    graph = ql.model.load(network).graph
    assert (graph.nodes[0].op_type, graph.nodes[-1].op_type) == ("Conv", "Gemm")


def test_functions_are_spelled_out() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "own" : 1]>'
        " g (float[2] x) => (float[2] y) { y = own.Twice (x) }"
        ' <domain: "own", opset_import: ["" : 17]> Twice (a) => (b) { b = Add (a, a) }'
    )
    loaded = ql.model.load(model)
    assert [node.kind for node in loaded.graph.nodes] == ["Add"]


# --- broken files -------------------------------------------------------------------------------


def refused(model: Any, message: str) -> None:
    with pytest.raises(ql.model.ModelError, match=message) as caught:
        ql.model.load(model)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_files_that_are_cut_short(network: Any, tmp_path: Path) -> None:
    """Whatever is missing at the end, the model is refused or, if nothing was lost, the same."""
    data = network.SerializeToString()
    path = tmp_path / "net.onnx"
    x = np.ones((1, 3, 8, 8), np.float32)
    expected = ql.model.load(network).run([x])[0]
    refusals = 0
    for length in {*range(0, len(data), 13), *range(len(data) - 12, len(data))}:
        path.write_bytes(data[:length])
        try:
            result = ql.model.load(path).run([x])[0]
        except ql.model.ModelError as error:
            refusals += 1
            text = str(error)
        else:
            np.testing.assert_array_equal(result, expected)
            continue
        assert text.startswith(str(path))
        assert "\n" not in text
    assert refusals > 60


def test_bytes_changed_at_random(network: Any) -> None:
    """A damaged file loads or is refused, nothing else."""
    data = bytearray(network.SerializeToString())
    rng = np.random.default_rng(1)
    for _ in range(600):
        damaged = data.copy()
        for place in rng.integers(0, 400, 3):
            damaged[place] = rng.integers(256)
        try:
            ql.model.load(bytes(damaged))
        except ql.model.ModelError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_no_model_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "text.onnx").write_text("this is no model")
    refused(tmp_path / "empty.onnx", r"empty\.onnx.*holds no graph")
    refused(tmp_path / "text.onnx", r"text\.onnx.*no ONNX file")
    with pytest.raises(FileNotFoundError):
        ql.model.load(tmp_path / "missing.onnx")
    with pytest.raises(TypeError, match="model must be a path"):
        ql.model.load(3)  # type: ignore[arg-type]


def test_cycles() -> None:
    body = "g (float[2] x) => (float[2] y) { a = Add (x, b)  b = Relu (a)  y = Neg (b) }"
    refused(parsed(body), "cyclic")


def test_values_that_nothing_makes() -> None:
    refused(parsed("g (float[2] x) => (float[2] y) { y = Add (x, z) }"), "'z', which nothing makes")
    refused(parsed("g (float[2] x) => (float[2] z) { y = Relu (x) }"), "output 'z'")


def test_values_made_twice() -> None:
    body = "g (float[2] x) => (float[2] y) { y = Relu (x)  y = Neg (x) }"
    refused(parsed(body), "'y' is made twice")


def contradictions() -> list[tuple[str, Callable[[Any], None], str]]:
    def graph(change: Callable[[Any], None]) -> Callable[[Any], None]:
        return lambda model: change(model.graph)

    def set_dims(dims: list[int]) -> Callable[[Any], None]:
        def change(graph: Any) -> None:
            del graph.initializer[0].dims[:]
            graph.initializer[0].dims.extend(dims)

        return graph_change(change)

    graph_change = graph
    return [
        ("shape", set_dims([4, 3, 3, 4]), "'w' has 432 bytes"),
        ("negative", set_dims([4, -3, 3, 3]), "'w' has shape"),
        ("absurd", set_dims([2**40, 2**20]), "larger than any memory"),
        ("type", graph(lambda g: setattr(g.initializer[0], "data_type", 99)), "type 99"),
        ("no type", graph(lambda g: setattr(g.initializer[0], "data_type", 0)), "element type"),
        ("twice", graph(lambda g: g.initializer.append(g.initializer[0])), "two constants"),
        (
            "declared",
            graph(lambda g: g.input.append(helper.make_tensor_value_info("w", FLOAT, [1, 2]))),
            "'w' is declared",
        ),
        (
            "absurd input",
            graph(lambda g: setattr(g.input[0].type.tensor_type.shape.dim[1], "dim_value", 2**50)),
            "larger than any memory",
        ),
        (
            "output type",
            graph(lambda g: setattr(g.output[0].type.tensor_type, "elem_type", TensorProto.INT64)),
            "contradict",
        ),
        (
            "output shape",
            graph(lambda g: setattr(g.output[0].type.tensor_type.shape.dim[1], "dim_value", 7)),
            "contradict",
        ),
        ("operator", graph(lambda g: setattr(g.node[1], "op_type", "Rleu")), "Rleu"),
        ("domain", graph(lambda g: setattr(g.node[1], "domain", "elsewhere")), "elsewhere"),
        (
            "attribute",
            graph(lambda g: g.node[1].attribute.append(helper.make_attribute("alpha", 1.0))),
            "alpha",
        ),
        ("inputs", graph(lambda g: g.node[1].input.append("x")), "Relu"),
        ("opset", lambda m: setattr(m.opset_import[0], "version", 999), "opset 999"),
        ("old", lambda m: setattr(m.opset_import[0], "version", 6), "opset 6"),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [pytest.param(change, message, id=name) for name, change, message in contradictions()],
)
def test_contradictions(network: Any, change: Any, message: str) -> None:
    change(network)
    refused(network, message)


def test_operators_that_nobody_knows() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "elsewhere" : 1]>'
        " g (float[2] x) => (float[2] y) { y = elsewhere.Magic (x) }"
    )
    with pytest.raises(ql.model.ModelError, match=r"Magic.*is unsupported"):
        ql.model.load(model).run([np.zeros(2, np.float32)])


# --- data in other files ------------------------------------------------------------------------


@pytest.fixture
def split(network: Any, tmp_path: Path) -> tuple[Any, Path]:
    """The network with the constant w in another file."""
    folder = tmp_path / "model"
    folder.mkdir()
    tensor = network.graph.initializer[0]
    (folder / "w.bin").write_bytes(b"skip" + tensor.raw_data)
    (tmp_path / "outside.bin").write_bytes(b"skip" + tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "w.bin"), ("offset", "4"), ("length", "432")):
        tensor.external_data.add(key=key, value=value)
    return network, folder


def written(model: Any, folder: Path) -> Path:
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return folder / "net.onnx"


def test_data_in_another_file(split: tuple[Any, Path]) -> None:
    model, folder = split
    loaded = ql.model.load(written(model, folder))
    assert loaded.graph.constants["w"].shape == (4, 3, 3, 3)
    assert np.abs(loaded.graph.constants["w"]).max() > 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("location", "../outside.bin", "outside of the model's folder"),
        ("location", "", "outside of the model's folder"),
        ("location", ".", "outside of the model's folder"),
        ("location", "link.bin", "outside of the model's folder"),
        ("location", "missing.bin", "no file here"),
        ("offset", "8", "ends beyond the end"),
        ("offset", "-4", "ends beyond the end"),
        ("offset", "four", "no whole number"),
        ("length", "431", "431 bytes"),
        ("length", "9999999999999", "9999999999999 bytes"),
    ],
)
def test_data_in_the_wrong_place(
    split: tuple[Any, Path], key: str, value: str, message: str
) -> None:
    model, folder = split
    (folder / "link.bin").symlink_to(folder.parent / "outside.bin")
    for entry in model.graph.initializer[0].external_data:
        if entry.key == key:
            entry.value = value
    refused(written(model, folder), message)


def test_data_at_an_absolute_place(split: tuple[Any, Path]) -> None:
    model, folder = split
    model.graph.initializer[0].external_data[0].value = str(folder / "w.bin")
    refused(written(model, folder), "outside of the model's folder")


def test_data_in_another_file_needs_a_folder(split: tuple[Any, Path]) -> None:
    refused(split[0], "load the model by path")


# --- the pieces ---------------------------------------------------------------------------------


def test_sorting_keeps_an_order_that_works() -> None:
    nodes = [Node("Relu", ["x"], ["a"]), Node("Relu", ["x"], ["b"]), Node("Add", ["b", "a"], ["c"])]
    assert sort_nodes(nodes, {"x"}) is nodes
    assert sort_nodes(nodes[::-1], {"x"})[-1] is nodes[2]


def test_sorting_long_chains() -> None:
    chain = [Node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(20_000)]
    assert sort_nodes(chain[::-1], {"v0"})[0] is chain[0]


def test_shapes_do_not_need_the_weights(network: Any) -> None:
    graph: Graph = ql.model.load(network).graph
    assert infer_values(graph)["f"].shape == ("n", 4)


def test_importing_quantlib_needs_no_onnx() -> None:
    script = (
        "import sys; sys.modules['onnx'] = None\n"
        "import quantlib\n"
        "assert 'quantlib.model' not in sys.modules\n"
        "try:\n    quantlib.model\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'quantlib.model needs onnx: pip install "quantlib-int8[onnx]"\n'
