"""Reports: tables, errors split into parts, advice, the page, and differences between two."""

from __future__ import annotations

import csv
import json
import math
import shutil
import stat
import subprocess
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")

from onnx import helper, numpy_helper  # noqa: E402

import quantlib as ql  # noqa: E402
from quantlib import cli  # noqa: E402
from quantlib.model.reports.statistics import (  # noqa: E402
    PARTS,
    clipped_share,
    cosine,
    summarize_tensor,
)

FOLDER = Path(__file__).parent / "networks"
HEADER = (
    ",NodeName,NodeType,TensorName,InOutFlag,DataTypeFlag,TensorTypeFlag,Min,Q1,Median,Q3,Max,"
    "Mean,Var,Sparsity,Clip,CosineSimilarity,"
)
HOSTILE = "</td><script>document.title='owned'</script>\"'<img src=x onerror=alert(1)>&amp;"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def network(nodes: list[Any], constants: dict[str, Any], width: int = 4) -> ql.model.Model:
    """Float32 rows of `width` into `nodes`, of which the last makes the output y."""
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, ["n", width])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17)]
    return ql.model.load(helper.make_model(graph, opset_imports=opsets, ir_version=8))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def trained() -> tuple[ql.model.Model, ql.model.Model, list[dict[str, np.ndarray]]]:
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn has the images")
    images = (datasets.load_digits().images / 16).astype(np.float32)[:, None]
    samples = [{"image": images[i : i + 10]} for i in range(0, 30, 10)]
    model = ql.model.load(FOLDER / "separable.onnx")
    return model, ql.model.quantize(model, samples), samples


@pytest.fixture(scope="module")
def written(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("report") / "made"
    return folder, ql.model.write_report(folder, *trained)


# --- definitions --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 17, 100])
def test_order_statistics(size: int, rng: np.random.Generator) -> None:
    values = rng.integers(-3, 4, size).astype(np.float32)
    ordered = sorted(float(value) for value in values)
    found = summarize_tensor(rng.permutation(values).reshape(1, -1))
    expected = [ordered[int(share * size)] for share in (0, 0.25, 0.5, 0.75)] + [ordered[-1]]
    assert [found.minimum, found.q1, found.median, found.q3, found.maximum] == expected
    mean = sum(ordered) / size
    assert found.mean == pytest.approx(mean)
    assert found.variance == pytest.approx(sum((v - mean) ** 2 for v in ordered) / size)
    assert found.sparsity == ordered.count(0.0) / size
    assert all(math.isnan(one) for one in (summarize_tensor(np.zeros(0)).q1,))


def test_clip_and_cosine_by_hand() -> None:
    assert clipped_share(np.float32([-3, -1, 0, 1, 5]), np.float32([-1, 1])) == 0.4
    assert cosine(np.float32([1, 0]), np.float32([3, 4])) == pytest.approx(0.6)
    assert cosine(np.zeros(2), np.full(2, 1e-9)) == 1.0  # energies below 2.2e-16
    assert cosine(np.zeros(2), np.ones(2)) == 0.0
    assert cosine(np.float32([np.nan, 1]), np.ones(2)) == 0.0


# --- the tables ---------------------------------------------------------------------------------


def test_rounds(written: Any, trained: Any) -> None:
    """Every figure of a tensor, recomputed from the models' own values."""
    folder, _ = written
    model, quantized, samples = trained
    assert sorted(path.name for path in folder.iterdir()) == [
        "output_summary.csv", "quant_param.csv", "report.html", "report.json",
        "round_0.csv", "round_1.csv", "round_2.csv",
    ]  # fmt: skip
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o444
    text = (folder / "round_1.csv").read_text().splitlines()
    assert text[0] == HEADER
    assert all(line.endswith(",") for line in text)
    rows = rows_of(folder / "round_1.csv")
    assert [line.split(",")[0] for line in text[1:]] == [str(i) for i in range(len(rows))]
    producers = quantized.graph.producers()
    checked = 0
    for origin, dequant in zip(rows[::2], rows[1::2], strict=True):
        assert (origin["DataTypeFlag"], dequant["DataTypeFlag"]) == ("Origin", "Dequant")
        if origin["InOutFlag"] != "Output" or origin["TensorName"] not in producers:
            continue
        name = origin["TensorName"]
        x, y = (one.run(samples[1], [name])[0] for one in (model, quantized))
        for row, values in ((origin, x), (dequant, y)):
            ordered = np.sort(values.reshape(-1))
            for share, column in ((0.25, "Q1"), (0.5, "Median"), (0.75, "Q3")):
                wanted = ordered[int(share * ordered.size)]
                assert float(row[column]) == pytest.approx(wanted, rel=1e-4, abs=1e-5)
            assert float(row["Min"]) == pytest.approx(ordered[0], rel=1e-4, abs=1e-5)
            assert float(row["Var"]) == pytest.approx(values.var(), rel=1e-4)
        assert (origin["Clip"], origin["CosineSimilarity"]) == ("0", "1")
        assert float(dequant["CosineSimilarity"]) == pytest.approx(
            float((x * y).sum() / np.linalg.norm(x) / np.linalg.norm(y)), abs=1e-5
        )
        checked += 1
    assert checked >= 8
    weights = [row for row in rows if row["TensorTypeFlag"] == "Weight"]
    assert {row["InOutFlag"] for row in weights} == {"Input"}


def test_parameters_and_outputs(written: Any, trained: Any) -> None:
    folder, report = written
    _, quantized, samples = trained
    rows = rows_of(folder / "quant_param.csv")
    assert list(rows[0])[:-1] == [
        "NodeName", "NodeType", "TensorName", "ElementsNum", "Dims", "Scale", "ZeroPoint", "Bits",
        "CorrectionVar", "CorrectionMean",
    ]  # fmt: skip
    image = [row for row in rows if row["TensorName"] == "image"]
    assert [(row["Dims"], row["ElementsNum"], row["Bits"]) for row in image] == [
        ("10 1 8 8", "640", "8")
    ]
    first = next(node for node in quantized.graph.nodes if node.op_type == "Conv")
    scales = quantized.graph.constants[quantized.graph.producers()[first.inputs[1]].inputs[1]]
    held = [row for row in rows if row["NodeName"] == first.name and row["Dims"] == "16 1 3 3"]
    assert [float(row["Scale"]) for row in held] == pytest.approx(list(scales), rel=1e-7)
    assert {row["Bits"] for row in rows} == {"8", "32"}
    summary = rows_of(folder / "output_summary.csv")
    assert [(row["Round"], row["TensorName"]) for row in summary] == [
        (str(i), "scores") for i in range(len(samples))
    ]
    assert [float(row["CosineSimilarity"]) for row in summary] == pytest.approx(
        report.outputs["scores"]
    )


def test_rewriting_leaves_nothing_old(trained: Any, tmp_path: Path) -> None:
    """Fewer rounds, and no parameters: an older report's files do not stay."""
    model, quantized, samples = trained
    ql.model.write_report(tmp_path, model, quantized, samples)
    (tmp_path / "round_notes.csv").write_text("mine")
    dynamic = ql.model.quantize(model, mode="dynamic")
    ql.model.write_report(tmp_path, model, dynamic, iter(samples[:1]))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"output_summary.csv", "report.html", "report.json", "round_0.csv",
                     "round_notes.csv"}  # fmt: skip


def test_what_cannot_be_reported(trained: Any, tmp_path: Path) -> None:
    model, quantized, samples = trained
    with pytest.raises(ql.model.ModelError, match="no samples"):
        ql.model.write_report(tmp_path, model, quantized, [])
    with pytest.raises(ql.model.ModelError, match="no node in common"):
        ql.model.write_report(tmp_path, model, model, samples)
    with pytest.raises(ql.model.ModelError, match="quantized already"):
        ql.model.write_report(tmp_path, quantized, model, samples)
    for text, message in (("{", "cut short"), ('{"version": 0}', "version"),
                          ('{"version": 1, "layers": []}', "not complete")):  # fmt: skip
        (tmp_path / "report.json").write_text(text)
        with pytest.raises(ql.model.ModelError, match=message):
            ql.model.read_report(tmp_path)
    with pytest.raises(ql.model.ModelError, match="no report"):
        ql.model.read_report(tmp_path / "nowhere")


# --- where errors come from ---------------------------------------------------------------------


def test_parts_by_hand(tmp_path: Path) -> None:
    """Two products: the first has clipping, the second inherits; all parts by NumPy alone."""
    rng = np.random.default_rng(3)
    constants = {"v": rng.standard_normal((4, 4)), "w": rng.standard_normal((4, 3))}
    model = network(
        [helper.make_node("MatMul", ["x", "v"], ["p"], name="first"),
         helper.make_node("MatMul", ["p", "w"], ["y"], name="second")],
        constants,
    )  # fmt: skip
    feeds = [{"x": rng.standard_normal((9, 4)).astype(np.float32)} for _ in range(2)]
    narrow = [{"x": 0.5 * feeds[0]["x"]}]
    quantized = ql.model.quantize(model, narrow, method="minmax", per_channel=False)
    report = ql.model.write_report(tmp_path, model, quantized, feeds)
    graph = quantized.graph
    makers = graph.producers()

    def decoded(node: Any) -> np.ndarray:
        maker = makers[node.inputs[1]]
        codes, scale = (graph.constants[name].astype(np.float64) for name in maker.inputs[:2])
        return codes * scale

    def through(values: np.ndarray, reader: Any) -> tuple[np.ndarray, np.ndarray]:
        maker = makers[reader.inputs[0]]
        scale, zero = (graph.constants[name].astype(np.float64) for name in maker.inputs[1:])
        kept = np.clip(values, (0 - zero) * scale, (255 - zero) * scale)
        return kept, (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale

    first, second = (node for node in graph.nodes if node.op_type == "MatMul")
    x = np.concatenate([feed["x"] for feed in feeds]).astype(np.float64)
    v, w = (np.float32(constants[name]).astype(np.float64) for name in "vw")
    _, operand = through(x, first)
    inherited, raw = operand @ v, operand @ decoded(first)
    kept, final = through(raw, second)
    p = x @ v
    expected = dict(zip(PARTS, (inherited - p, raw - inherited, kept - raw, final - kept),
                        strict=True))  # fmt: skip
    one, two = report.layers
    assert one.error == pytest.approx(np.linalg.norm(final - p) / np.linalg.norm(p), rel=1e-5)
    for part, error in expected.items():
        assert one.parts[part] == pytest.approx(
            np.linalg.norm(error) / np.linalg.norm(p), rel=1e-3, abs=1e-6
        )
    assert one.parts["clipping"] > one.parts["rounding"] > 0
    for found, axis in ((one.channels, 0), (one.samples, 1)):
        share = np.linalg.norm(expected["clipping"], axis=axis) / np.linalg.norm(p, axis=axis)
        np.testing.assert_allclose([row[3] for row in found], share, rtol=1e-3, atol=1e-6)
    y, end = p @ w, final @ decoded(second)
    assert two.parts["inherited"] == pytest.approx(
        np.linalg.norm(final @ w - y) / np.linalg.norm(y), rel=1e-4
    )
    assert two.parts["weights"] == pytest.approx(
        np.linalg.norm(end - final @ w) / np.linalg.norm(y), rel=1e-3
    )
    assert (two.parts["clipping"], two.parts["rounding"]) == (0, 0)
    assert two.largest_part == "inherited"


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({"mode": "dynamic"}, ["only"]),
        ({"mode": "dynamic", "per_row": True}, ["only"]),
        ({"mode": "weight_only", "weight_type": "int4"}, ["only"]),
        ({"mode": "weight_only", "weight_type": "int4", "block_size": 2}, ["only"]),
        ({"mode": "weight_only", "weight_type": "int16"}, ["only"]),
    ],
)
def test_other_modes(options: Any, layers: Any, tmp_path: Path) -> None:
    """Whatever replaces a product: all of its error is its own, from weights and operands."""
    rng = np.random.default_rng(5)
    model = network(
        [helper.make_node("MatMul", ["x", "w"], ["p"], name="only"),
         helper.make_node("Softmax", ["p"], ["y"], name="float")],
        {"w": rng.standard_normal((4, 6))},
    )  # fmt: skip
    feeds = [[rng.standard_normal((5, 4)).astype(np.float32)]]
    report = ql.model.write_report(tmp_path, model, ql.model.quantize(model, **options), feeds)
    quantized = [layer for layer in report.layers if layer.is_quantized]
    assert [layer.name for layer in quantized] == layers
    assert quantized[0].parts["inherited"] == pytest.approx(0, abs=1e-6)
    assert quantized[0].parts["weights"] == pytest.approx(quantized[0].error, rel=1e-5)
    assert quantized[0].error > 0
    assert (tmp_path / "quant_param.csv").exists() == (options["mode"] == "weight_only")


def test_fewer_bits_than_bytes(trained: Any, tmp_path: Path) -> None:
    """Codes of 4 bits in bytes: the table says 4, and what is beyond them counts as clipping."""
    model, _, samples = trained
    quantized = ql.model.quantize(
        model, samples, activation_bits=4, weight_bits=4, method="percentile", percentile=90
    )
    report = ql.model.write_report(tmp_path, model, quantized, samples)
    rows = rows_of(tmp_path / "quant_param.csv")
    assert {row["Bits"] for row in rows} == {"4", "32"}
    image = report.tensors["image"]
    scale = next(float(row["Scale"]) for row in rows if row["TensorName"] == "image")
    assert image.low == 0
    assert image.high == pytest.approx(15 * scale)
    relu = next(layer for layer in report.layers if layer.operator == "Relu")
    assert relu.parts["clipping"] > relu.parts["rounding"] > 0
    assert relu.clip > 0.02


# --- metadata -----------------------------------------------------------------------------------


def test_metadata(trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Written, read again, and of no consequence for what is computed."""
    model, quantized, samples = trained
    ql.model.annotate(quantized).save(tmp_path / "q.onnx")
    assert not any(node.metadata for node in quantized.graph.nodes)
    proto = onnx.load(tmp_path / "q.onnx")
    onnx.checker.check_model(proto, full_check=True)
    told = {
        node.name: {entry.key: entry.value for entry in node.metadata_props}
        for node in proto.graph.node
    }
    convolutions = [node for node in proto.graph.node if node.op_type == "Conv"]
    first = told[convolutions[0].name]
    assert first["quantlib.weights"].startswith("int8, 8 bits, -")
    assert "16 scales along axis 0" in first["quantlib.weights"]
    assert first["quantlib.operand"].startswith("uint8, 8 bits, 0 to ")
    assert first["quantlib.bias"].startswith("int32, 32 bits, ")
    for node in proto.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert "scale" in told[node.name]["quantlib.codes"]
    assert {entry.key: entry.value for entry in proto.metadata_props} == {
        "quantlib.float_layers": "[]"
    }
    again = ql.model.load(tmp_path / "q.onnx")
    assert again.graph.nodes[0].metadata
    np.testing.assert_array_equal(again.run(samples[0])[0], quantized.run(samples[0])[0])
    ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed here")
    session = ort.InferenceSession(tmp_path / "q.onnx")
    assert np.abs(session.run(None, samples[0])[0] - again.run(samples[0])[0]).max() < 1
    model.save(tmp_path / "net.onnx")
    partly = ["quantize", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "p.onnx"), "--annotate"]
    name = convolutions[1].name
    assert cli.main([*partly, "--mode", "weight-only", "--exclude", name]) == 0
    held = {entry.key: entry.value for entry in onnx.load(tmp_path / "p.onnx").metadata_props}
    assert json.loads(held["quantlib.float_layers"]) == [name]


# --- advice -------------------------------------------------------------------------------------


def test_advice_names_the_nodes(tmp_path: Path) -> None:
    """One network with a fault of each kind: a merge of unequal ranges, values cut off, and a layer
    that has lost its direction; and the nodes after these only inherit."""
    rng = np.random.default_rng(1)
    wide = np.eye(4) * [100, 100, 100, 100]
    model = network(
        [helper.make_node("MatMul", ["x", "a"], ["p"], name="wide"),
         helper.make_node("MatMul", ["x", "b"], ["q"], name="narrow"),
         helper.make_node("Concat", ["p", "q"], ["c"], name="merge", axis=1),
         helper.make_node("MatMul", ["c", "d"], ["y"], name="last")],
        {"a": wide, "b": np.eye(4), "d": np.vstack([np.zeros((4, 4)), np.eye(4)])},
    )  # fmt: skip
    feeds = [[rng.standard_normal((200, 4)).astype(np.float32)]]
    quantized = ql.model.quantize(model, feeds, method="minmax")
    report = ql.model.write_report(tmp_path, model, quantized, feeds)
    merge = [one for one in report.advice if one.rule == "ranges"]
    assert [one.node for one in merge] == ["merge"]
    assert merge[0].value == pytest.approx(100, rel=0.3)
    lost = {one.node: one for one in report.advice if one.rule == "cosine"}
    assert set(lost) == {"narrow", "last"}
    assert lost["narrow"].skip
    assert not lost["last"].skip  # it only inherits
    assert report.skip == ["narrow", "merge"]
    assert "Nodes to leave in floats: narrow, merge" in str(report)
    loud = [[3 * feeds[0][0]]]
    clipped = ql.model.write_report(tmp_path, model, quantized, loud)
    assert {one.node for one in clipped.advice if one.rule == "clip"} == {"wide", "merge"}
    quiet = ql.model.write_report(
        tmp_path, model, quantized, feeds, low_cosine=0, range_ratio=1e9, high_clip=1
    )
    assert quiet.advice == []


# --- differences --------------------------------------------------------------------------------


def test_diff(trained: Any, written: Any, tmp_path: Path) -> None:
    model, _, samples = trained
    folder, report = written
    worse = ql.model.quantize(
        model, mode="weight_only", weight_type="int4", per_channel=False, operators=("Conv",)
    )
    ql.model.write_report(tmp_path, model, worse, samples)
    found = ql.model.diff_reports(folder, tmp_path)
    changes = [after.error - before.error for before, after in found.layers]
    assert changes == sorted(changes, reverse=True)
    assert found.newly
    assert not found.no_longer
    assert found.outputs["scores"][0] > found.outputs["scores"][1]
    assert ql.model.read_report(folder) == report
    same = ql.model.diff_reports(report, folder)
    assert all(before == after for before, after in same.layers)
    json.dumps(found.as_dict(), allow_nan=False)
    other = network([helper.make_node("MatMul", ["x", "w"], ["y"], name="n")], {"w": np.eye(4)})
    feeds = [[np.float32([[1, 2, 3, 4]])]]
    stranger = ql.model.write_report(
        tmp_path, other, ql.model.quantize(other, mode="weight_only"), feeds
    )
    with pytest.raises(ql.model.ModelError, match="no layer in common"):
        ql.model.diff_reports(report, stranger)


def test_command_line(trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, quantized, samples = trained
    model.save(tmp_path / "net.onnx")
    quantized.save(tmp_path / "q.onnx")
    np.savez(tmp_path / "samples.npz", image=samples[0]["image"])
    files = [str(tmp_path / name) for name in ("net.onnx", "q.onnx", "samples.npz")]
    folder = str(tmp_path / "report")
    assert cli.main(["compare", *files, "--batch", "5", "--report", folder]) == 0
    assert "Nodes to leave in floats: none" in capsys.readouterr().out
    assert (tmp_path / "report" / "round_1.csv").exists()
    assert cli.main(["compare", "--diff", folder, folder]) == 0
    assert "+0.00%" in capsys.readouterr().out
    assert cli.main(["compare", "--diff", folder, folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["newly"] == []
    for wrong, message in (
        (["compare", *files[:2]], "are needed"),
        (["compare", *files, "--diff", folder, folder], "nothing else"),
        (["compare", "--diff", folder, str(tmp_path)], "no report"),
    ):
        assert cli.main(wrong) == 2
        assert message in capsys.readouterr().err


# --- the page -----------------------------------------------------------------------------------


class Page(HTMLParser):
    """The elements of a page, and those that were not closed in order."""

    VOID = ("meta", "line", "path")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(one == tag for one, _ in self.elements)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report of a model whose names are markup."""
    rng = np.random.default_rng(2)
    model = network(
        [helper.make_node("MatMul", ["x", "v"], [HOSTILE], name=HOSTILE),
         helper.make_node("MatMul", [HOSTILE, "w"], ["y"], name="b")],
        {"v": rng.standard_normal((4, 4)), "w": rng.standard_normal((4, 3))},
    )  # fmt: skip
    feeds = [[rng.standard_normal((9, 4)).astype(np.float32)]]
    quantized = ql.model.quantize(model, feeds)
    folder = tmp_path_factory.mktemp("hostile")
    ql.model.write_report(folder, model, quantized, feeds, low_cosine=1.0)
    return folder


def test_page_is_well_formed(written: Any) -> None:
    folder, report = written
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    layers = [one for one in report.layers if one.is_quantized]
    assert page.count("details") == len(layers)
    assert page.count("tr") == 2 + len(layers) + len(report.outputs)
    assert "http" not in text.replace('http-equiv="Content', "")  # nothing is fetched
    assert not any("src" in attributes or "href" in attributes for _, attributes in page.elements)
    cuts = [one for one in page.elements if one[1].get("class") == "cut"]
    assert len(cuts) >= 2 * 8
    for layer in layers:
        assert layer.name in page.words


def test_names_are_no_markup(hostile: Path) -> None:
    page = Page((hostile / "report.html").read_text(encoding="utf-8"))
    assert page.count("script") == 1
    assert page.count("img") == 0
    assert HOSTILE in page.words
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    rows = rows_of(hostile / "round_0.csv")
    assert {row["NodeName"] for row in rows} == {HOSTILE, "b"}


def rendered(page: Path, width: int) -> str:
    """What a browser makes of a page."""
    assert BROWSER is not None
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900",
         f"--user-data-dir={page.parent / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout


needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")


@needs_browser
def test_browser_runs_no_script_from_names(hostile: Path) -> None:
    page = Page(rendered(hostile / "report.html", 1280))
    assert "Quantization report" in page.words
    assert "owned" not in page.words
    assert page.count("img") == 0


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_browser_sorts_and_fits(width: int, written: Any, tmp_path: Path) -> None:
    """Clicks on the column of errors turn the rows; the page is no wider than its window. (A frame
    is the window, because Chromium's own is at least 500 wide.)"""
    folder, report = written
    text = (folder / "report.html").read_text(encoding="utf-8")
    start, end = text.index('<meta http-equiv="Content-Security'), text.index("<title>")
    probe = """<script>
      const button = [...document.querySelectorAll("th button")].find(b => b.innerText == "error");
      button.click(); button.click();
      for (const one of document.querySelectorAll("details")) one.open = true;
      const order = [...document.querySelectorAll("td.name[data-value]")].map(one => one.innerText);
      parent.document.body.append(JSON.stringify({
        order, wide: document.documentElement.scrollWidth, window: window.innerWidth}));
    </script>"""
    inner = text[:start] + text[end:].replace("</body>", probe + "</body>")
    outer = tmp_path / "page.html"
    outer.write_text(
        f'<!DOCTYPE html><body><iframe style="width:{width}px;height:900px;border:0"'
        f' srcdoc="{escape(inner)}"></iframe></body>', "utf-8"
    )  # fmt: skip
    words = Page(rendered(outer, 1400)).words
    said = json.loads(next(word for word in words if word.startswith('{"order"')))
    errors = {one.name: one.error for one in report.layers if one.is_quantized}
    assert said["order"] == sorted(errors, key=errors.__getitem__)
    assert said["window"] == width
    assert said["wide"] <= width
