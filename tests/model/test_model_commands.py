"""The commands for models, as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")

from onnx import numpy_helper  # noqa: E402

import quantlib as ql  # noqa: E402
from quantlib import cli  # noqa: E402
from quantlib.model.graph import Value  # noqa: E402
from quantlib.model.samples import Samples  # noqa: E402

PLAIN = str(Path(__file__).parent / "networks" / "plain.onnx")


@pytest.fixture
def samples(tmp_path: Path, rng: np.random.Generator) -> str:
    path = tmp_path / "samples.npz"
    np.savez(path, image=rng.random((30, 1, 8, 8), np.float32))
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints; it must succeed."""
    assert cli.main(list(arguments)) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_from_a_float_model_to_a_compared_one(
    samples: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "q.onnx")
    text = said(capsys, "quantize", PLAIN, "-o", target, "--calibration", samples, "--batch", "10")
    assert "x smaller" in text
    text = said(capsys, "inspect", target, "--plan", "--nodes")
    assert "quantlib.QLinearConv" in text
    assert "input   image: float32 [n x 1 x 8 x 8]" in text
    assert "onnx.reference" not in text
    text = said(capsys, "compare", PLAIN, target, samples)
    assert "30 samples" in text
    report = json.loads(said(capsys, "compare", PLAIN, target, samples, "--json"))
    assert report["outputs"][0]["cosine"] > 0.99
    results = str(tmp_path / "results.npz")
    text = said(capsys, "run", target, samples, "--batch", "7", "-o", results)
    assert "scores: 5 x float32 [7, 10]" in text
    assert "5 runs" in text
    with np.load(results) as archive, np.load(samples) as given:
        np.testing.assert_array_equal(
            archive["scores"], ql.model.load(target).run([given["image"]])[0]
        )


@pytest.mark.parametrize(
    "options",
    [
        ["--method", "percentile", "--percentile", "99.9", "--activation-type", "int8"],
        [
            "--form",
            "qoperator",
            "--per-tensor",
            "--bias-correction",
            "--weight-correction",
            "--equalize",
        ],
        ["--operators", "Conv,Relu,MaxPool", "--exclude", "node_Conv_51"],
        ["--mode", "dynamic", "--per-row"],
        ["--mode", "weight-only", "--weight-type", "uint4", "--block-size", "16"],
    ],
    ids=lambda options: options[1],
)
def test_options(
    options: list[str], samples: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "q.onnx")
    said(capsys, "quantize", PLAIN, "-o", target, "--calibration", samples, *options)
    with np.load(samples) as given:
        (wanted,) = ql.model.load(PLAIN).run([given["image"]])
        (scores,) = ql.model.load(target).run([given["image"]])
    assert np.abs(scores - wanted).max() < 0.35 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "missing.onnx"], "missing.onnx"),
        (["quantize", "{model}", "-o", "{folder}/q.onnx"], "needs --calibration"),
        (["quantize", "{model}", "-o", "{folder}/q.onnx", "--calibration", "no.npz"], "no.npz"),
        (["quantize", "{model}", "-o", "{folder}/x/q.onnx", "--calibration", "{samples}"], "/x"),
        (
            ["quantize", "{model}", "-o", "{folder}/q.onnx", "--calibration", "{samples}",
             "--method", "best"],
            "method is 'best'",
        ),
        (
            ["quantize", "{model}", "-o", "{folder}/q.onnx", "--calibration", "{samples}",
             "--exclude", "nothing"],
            "'nothing' is the name of no node",
        ),
        (
            ["quantize", "{model}", "-o", "{folder}/q.onnx", "--config", "{samples}.cfg"],
            "No such file or directory",
        ),
        (
            ["quantize", "{model}", "-o", "{folder}/q.onnx", "--set", "bit_num=8"],
            "[common_quant_param] quant_type is missing",
        ),
        (
            ["quantize", "{model}", "-o", "{folder}/q.onnx", "--set", "quant_type=FULL_QUANT"],
            "needs --calibration, or calibrate_path in --config",
        ),
        (["run", "{model}", "{folder}"], "no .npy, .npz, .pb file"),
        (["run", "{samples}", "{samples}"], "no ONNX file"),
        (["run", "{model}", "{model}"], "samples are"),
        (["run", "{model}", "{samples}", "--repeat", "0"], "--repeat is 0"),
        (["run", "{model}", "{samples}", "--threads", "0"], "0"),
        (["compare", "{model}", "{model}", "{samples}", "--batch", "0"], "batch is 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_errors_are_told_in_one_line(
    arguments: list[str], message: str, samples: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    places = {"model": PLAIN, "samples": samples, "folder": str(tmp_path / "empty")}
    assert cli.main([argument.format(**places) for argument in arguments]) == 2
    text = capsys.readouterr().err
    assert text.startswith("quantlib: ")
    assert message in text
    assert text.count("\n") == 1
    assert list((tmp_path / "empty").iterdir()) == []


def test_configuration_files_and_flags(
    samples: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Flags win over settings, and settings over the file."""
    config = tmp_path / "full.cfg"
    config.write_text(
        "[common_quant_param]\nquant_type=FULL_QUANT\nbit_num=3\nskip_quant_node=node_linear\n"
        "[full_quant_param]\nactivation_quant_method=KL\nbias_correction=true\n"
    )
    target = str(tmp_path / "q.onnx")
    arguments = [
        "quantize", PLAIN, "-o", target, "--calibration", samples, "--config", str(config),
        "--set", "bit_num=5", "--set", "full_quant_param.per_channel=false",
        "--set", "smooth_alpha=0", "--per-channel", "--no-bias-correction", "--exclude",
        "*Reshape*", "--method", "minmax", "--weight-bits", "6", "--no-equalize",
    ]  # fmt: skip
    said(capsys, *arguments)
    feeds = Samples(Path(samples), ql.model.load(PLAIN).inputs)
    wanted = ql.model.quantize(
        PLAIN, feeds, target_device="CPU", method="minmax", activation_bits=5, weight_bits=6,
        exclude=("node_linear", "*Reshape*"),
    )  # fmt: skip
    assert ql.model.load(target).to_onnx() == wanted.to_onnx()


@pytest.mark.parametrize("given", [True, False], ids=["samples", "none"])
@pytest.mark.parametrize("flag", [True, False], ids=["flag", "file"])
def test_reports_of_what_was_quantized(
    given: bool, flag: bool, samples: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A round for each sample, or one of random numbers if there are none."""
    target, folder = str(tmp_path / "q.onnx"), tmp_path / "reports"
    data = ["--calibration", samples, "--batch", "10"] if given else []
    where = ["--report", str(folder)] if flag else ["--set", f"debug_info_save_path={folder}"]
    kind = "FULL_QUANT" if given else "DYNAMIC_QUANT"
    text = said(
        capsys, "quantize", PLAIN, "-o", target, "--set", f"quant_type={kind}", *data, *where
    )
    assert "node_linear" in text
    names = {path.name for path in folder.iterdir()}
    assert {f"round_{i}.csv" for i in range(3 if given else 1)} <= names
    assert "round_3.csv" not in names


@pytest.mark.parametrize("command", ["quantize", "run", "compare", "inspect"])
def test_help_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.main([command, "--help"])
    assert exit_info.value.code == 0
    assert f"\n    quantlib {command} " in capsys.readouterr().out


def test_without_onnx() -> None:
    script = (
        "import sys; sys.modules['onnx'] = None\n"
        "from quantlib import cli\n"
        "sys.exit(cli.main(['inspect', 'net.onnx']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        'quantlib: quantlib.model needs onnx: pip install "quantlib-int8[onnx]"\n'
    )


# --- samples ------------------------------------------------------------------------------------


def value(name: str, *shape: int | str | None) -> Value:
    return Value(name, np.dtype(np.float32), shape)


def shapes(samples: Samples) -> list[Any]:
    found = [{name: array.shape for name, array in feed.items()} for feed in samples]
    assert len(samples) == len(found)
    return found


def test_samples_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    np.savez(path, x=np.zeros((5, 2)), z=np.zeros((5, 3)))
    inputs = [value("x", "n", 2), value("z", "n", 3)]
    assert shapes(Samples(path, inputs)) == [{"x": (1, 2), "z": (1, 3)}] * 5
    assert shapes(Samples(path, inputs, 4))[1] == {"x": (1, 2), "z": (1, 3)}
    fixed = [value("x", 1, 2), value("z", 1, 3)]
    assert shapes(Samples(path, fixed, 4)) == [{"x": (1, 2), "z": (1, 3)}] * 5
    whole = [value("x", 5, 2), value("z", "n", 3)]
    assert shapes(Samples(path, whole)) == [{"x": (5, 2), "z": (5, 3)}]


def test_samples_of_arrays_and_tensors(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.zeros((3, 2)))
    assert shapes(Samples(tmp_path / "s.npy", [value("x", "n", 2)])) == [{"x": (1, 2)}] * 3
    tensor = numpy_helper.from_array(np.zeros((1, 2), np.float32))
    (tmp_path / "t.pb").write_bytes(tensor.SerializeToString())
    assert shapes(Samples(tmp_path / "t.pb", [value("x", "n", 2)])) == [{"x": (1, 2)}]


def test_samples_of_folders(tmp_path: Path) -> None:
    for index in range(3):
        np.savez(tmp_path / f"s{index}.npz", x=np.full((1, 2), index))
    (tmp_path / "notes.txt").write_text("no sample")
    samples = Samples(tmp_path, [value("x", "n", 2)])
    assert [int(feed["x"][0, 0]) for feed in samples] == [0, 1, 2]
    other = tmp_path / "onnx"
    for index in range(2):
        (other / f"test_data_set_{index}").mkdir(parents=True)
        for place in range(2):
            tensor = numpy_helper.from_array(np.full(2, place, np.float32))
            path = other / f"test_data_set_{index}" / f"input_{place}.pb"
            path.write_bytes(tensor.SerializeToString())
    feeds = list(Samples(other, [value("x", 2), value("z", 2)]))
    assert len(feeds) == 2
    assert (feeds[0]["x"][0], feeds[0]["z"][0]) == (0, 1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.npz", {"y": np.zeros((2, 2))}, "no array is called 'x'; it holds 'y'"),
        ("s.npz", b"damaged", r"s\.npz"),
        ("s.npy", b"damaged", r"s\.npy"),
        ("s.pb", b"damaged", r"s\.pb: no ONNX tensor"),
        ("s.txt", b"", "samples are"),
    ],
)
def test_samples_that_are_none(tmp_path: Path, name: str, content: Any, message: str) -> None:
    path = tmp_path / name
    if isinstance(content, dict):
        np.savez(path, **content)
    else:
        path.write_bytes(content)
    with pytest.raises(ql.model.ModelError, match=message):
        list(Samples(path, [value("x", "n", 2)]))


def test_samples_that_do_not_fit_each_other(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=np.zeros((5, 2)), z=np.zeros((4, 3)))
    with pytest.raises(ql.model.ModelError, match="different numbers"):
        Samples(tmp_path / "s.npz", [value("x", "n", 2), value("z", "m", 3)])
    np.save(tmp_path / "s.npy", np.zeros((5, 2)))
    with pytest.raises(ql.model.ModelError, match="has 2 inputs"):
        Samples(tmp_path / "s.npy", [value("x", "n", 2), value("z", "m", 3)])
