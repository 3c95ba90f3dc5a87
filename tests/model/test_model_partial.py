"""Ranking layers, leaving the worst in floats, and bits of each layer under a budget."""

from __future__ import annotations

import concurrent.futures
import itertools
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx", reason="models need onnx")

from onnx import parser  # noqa: E402

import quantlib as ql  # noqa: E402
from quantlib.model.quantization import partial, weights  # noqa: E402

FOLDER = Path(__file__).parent / "networks"
ROUGH = {"mode": "weight_only", "weight_type": "int4", "per_channel": False}
TWO = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 2] x) => (float[n, 1] y) <float[2, 2] v = {1.0, 0.3, -0.07, 5.0},
float[2, 1] w = {1.0, -0.5}> { [first] p = MatMul (x, v)  [last] y = MatMul (p, w) }"""
FEEDS = [[np.float32([[1, -2], [0.5, 4]])], [np.float32([[3, 1]])]]


@pytest.fixture
def two() -> ql.model.Model:
    proto = parser.parse_model(TWO)
    proto.graph.node[0].name, proto.graph.node[1].name = "a[0]", "b*"  # which are no patterns
    return ql.model.load(proto)


def accuracy(model: ql.model.Model, digits: Any, part: slice = slice(-500, None)) -> float:
    """Percent of held-out images that are recognised."""
    (scores,) = model.run({"image": digits[0][part]})
    return 100 * float(np.mean(scores.argmax(1) == digits[1][part]))


def weight_types(model: ql.model.Model) -> list[str]:
    """The type of each product's weights, in the order of computation."""
    producers = model.graph.producers()
    found = []
    for node in model.graph.nodes:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            maker = producers.get(node.inputs[1])
            source = maker.inputs[0] if maker else node.inputs[1]
            found.append(str(model.graph.dtype(source)))
    return found


# --- the ranking --------------------------------------------------------------------------------


def test_ranking_by_hand(two: ql.model.Model) -> None:
    """Each layer alone, its weights rounded by hand: scales are max|w| / 7."""
    found = ql.model.sensitivity(two, feeds=FEEDS, **ROUGH)
    v, w = np.float64([[1, 0.3], [-0.07, 5]]), np.float64([[1], [-0.5]])
    rounded = [np.rint(a / (np.abs(a).max() / 7)) * (np.abs(a).max() / 7) for a in (v, w)]
    x = np.concatenate([feed[0] for feed in FEEDS]).astype(np.float64)
    y = x @ v @ w
    expected = {
        "a[0]": np.linalg.norm(y - x @ rounded[0] @ w) / np.linalg.norm(y),
        "b*": np.linalg.norm(y - x @ v @ rounded[1]) / np.linalg.norm(y),
    }
    assert found.names() == sorted(expected, key=lambda name: -expected[name])
    for layer in found.layers:
        np.testing.assert_allclose(layer.loss, expected[layer.name], rtol=1e-5)
    cosine = ql.model.sensitivity(two, feeds=FEEDS, metric="cosine", **ROUGH)
    z = x @ rounded[0] @ w
    angle = (y * z).sum() / np.linalg.norm(y) / np.linalg.norm(z)
    (loss,) = [layer.loss for layer in cosine.layers if layer.name == "a[0]"]
    np.testing.assert_allclose(loss, 1 - angle, rtol=1e-3)


def test_calibrated_once_and_each_weight_once(
    samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, searched = 0, []
    quantized = weights.quantize_weights

    def counted(node: Any, array: Any, config: Any) -> Any:
        searched.append(node.name)
        return quantized(node, array, config)

    def generator() -> Any:
        nonlocal read
        read += 1
        yield from samples[:2]

    monkeypatch.setattr(weights, "quantize_weights", counted)
    found = ql.model.sensitivity(FOLDER / "plain.onnx", generator, feeds=samples[:1])
    assert read == 1
    assert sorted(searched) == sorted(found.names())
    assert len(found.layers) == 5


def test_static_ranking_is_that_of_models_with_one_layer(samples: Any) -> None:
    """What was calibrated together is what a model with one quantized layer is calibrated with."""
    model = ql.model.load(FOLDER / "residual.onnx")
    found = ql.model.sensitivity(model, samples[:4], method="minmax")
    wanted = np.concatenate([model.run(feed)[0] for feed in samples[:4]]).astype(np.float64)
    for layer in (found.layers[0], found.layers[-1]):
        others = tuple(name for name in found.names() if name != layer.name)
        alone = ql.model.quantize(model, samples[:4], method="minmax", exclude=others)
        got = np.concatenate([alone.run(feed)[0] for feed in samples[:4]]).astype(np.float64)
        loss = np.linalg.norm(wanted - got) / np.linalg.norm(wanted)
        np.testing.assert_allclose(layer.loss, loss, rtol=1e-9)


def test_executor_changes_nothing(two: ql.model.Model) -> None:
    plain = ql.model.sensitivity(two, feeds=FEEDS, **ROUGH)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert ql.model.sensitivity(two, feeds=FEEDS, executor=pool, **ROUGH) == plain
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        assert ql.model.sensitivity(two, feeds=FEEDS, executor=pool, **ROUGH) == plain


def test_progress_and_dictionary(two: ql.model.Model) -> None:
    told: list[Any] = []
    found = ql.model.sensitivity(
        two, feeds=FEEDS, progress=lambda done, total: told.append((done, total)), **ROUGH
    )
    assert told == [(1, 2), (2, 2)]
    assert found.as_dict()["layers"][0]["name"] == found.names()[0]
    assert [line.split()[0] for line in str(found).splitlines()] == ["layer", *found.names()]


def test_rich_shows_names_with_brackets(two: ql.model.Model) -> None:
    console = pytest.importorskip("rich.console", reason="rich is not installed")
    shown = console.Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with shown.file:
        shown.print(ql.model.sensitivity(two, feeds=FEEDS, **ROUGH))
        text = shown.export_text()
    assert "a[0]" in text
    assert "b*" in text


# --- a promised loss ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["residual", "separable"])
def test_brought_back_within_a_point(name: str, digits: Any, samples: Any) -> None:
    """At 4 bits and one scale a tensor, more than a point is lost on held-out images. Kept to an
    error that was measured on other images, less than a point is."""
    model = ql.model.load(FOLDER / f"{name}.onnx")
    right = accuracy(model, digits)
    assert accuracy(ql.model.quantize(model, **ROUGH), digits) < right - 1
    kept = ql.model.quantize(model, feeds=samples, max_loss=0.1, **ROUGH)
    assert accuracy(kept, digits) >= right - 1
    assert kept.partial is not None
    assert 0 < len(kept.partial.left) < len(kept.partial.types)
    assert kept.partial.loss <= 0.1
    assert kept.partial.types == dict(
        zip(kept.partial.types, weight_types(kept), strict=True)
    )  # fmt: skip
    assert kept.partial.bytes == len(kept.to_onnx().SerializeToString())
    again = ql.model.quantize(model, exclude=kept.partial.left, **ROUGH)
    assert again.to_onnx() == kept.to_onnx()
    loss = partial.Loss(model, samples, "relative_error", None)
    assert loss(again) == kept.partial.loss
    for left in kept.partial.left:  # none of them could be quantized, too
        fewer = tuple(other for other in kept.partial.left if other != left)
        assert loss(ql.model.quantize(model, exclude=fewer, **ROUGH)) > 0.1


def test_promised_points(digits: Any) -> None:
    """The loss may be any score: here the points lost on one half of the held-out images."""
    model = ql.model.load(FOLDER / "separable.onnx")
    half = slice(-500, -250)
    kept = ql.model.quantize(
        model, max_loss=1, evaluate=lambda one: accuracy(one, digits, half), **ROUGH
    )
    assert accuracy(kept, digits, half) >= accuracy(model, digits, half) - 1
    assert kept.partial is not None
    assert kept.partial.sensitivity.measure == "score"
    assert len(kept.partial.left) == 1
    assert accuracy(ql.model.quantize(model, **ROUGH), digits, half) < (
        accuracy(model, digits, half) - 1
    )


def test_static_quantization_leaves_layers(samples: Any) -> None:
    model = ql.model.load(FOLDER / "separable.onnx")
    everything = ql.model.quantize(model, samples, max_loss=0.5)
    assert everything.partial is not None
    assert everything.partial.left == ()
    assert everything.to_onnx() == ql.model.quantize(model, samples).to_onnx()
    limit = 0.9 * everything.partial.loss
    kept = ql.model.quantize(model, samples, max_loss=limit)
    assert kept.partial is not None
    assert kept.partial.left
    assert kept.partial.loss <= limit
    restored = pickle.loads(pickle.dumps(kept))
    assert restored.partial == kept.partial
    assert str(restored.partial).splitlines()[-1].startswith("loss 0.0")


@pytest.mark.parametrize(("bits", "kind"), [(3, "3 bits"), (0, "mixed bits")])
def test_encoded_weights_keep_to_a_loss(bits: int, kind: str, samples: Any) -> None:
    model = ql.model.load(FOLDER / "separable.onnx")
    kept = ql.model.quantize(
        model, feeds=samples[:3], max_loss=0.04, mode="weight_only", weight_bits=bits
    )
    assert kept.partial is not None
    assert set(kept.partial.types.values()) == {"float32", kind}
    assert kept.partial.loss <= 0.04


def test_impossible_promises(two: ql.model.Model) -> None:
    with pytest.raises(ql.model.ModelError, match=r"no layer can be quantized .* loses 0\.0"):
        ql.model.quantize(two, feeds=FEEDS, max_loss=1e-3, **ROUGH)
    with pytest.raises(ql.model.ModelError, match="max_bytes is 100; the model needs about"):
        ql.model.quantize(two, feeds=FEEDS, max_bytes=100, **ROUGH)
    with pytest.raises(ql.model.ModelError, match="in floats the model has only"):
        ql.model.quantize(two, feeds=FEEDS, max_bytes=10**6, **ROUGH)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_loss": -1.0}, ValueError, "max_loss"),
        ({"max_loss": math.nan}, ValueError, "max_loss"),
        ({"max_loss": "1"}, ValueError, "max_loss"),
        ({"max_bytes": 0}, ValueError, "max_bytes"),
        ({"max_bytes": 1.5}, ValueError, "max_bytes"),
        ({"max_bytes": 9, "mode": "dynamic", "weight_type": "int8"}, ValueError, "weight_only"),
        ({"max_bytes": 9, "max_loss": 1.0}, ValueError, "both"),
        ({"max_loss": 1.0, "metric": "mse"}, ValueError, "metric"),
        ({"max_loss": 1.0, "evaluate": 3}, TypeError, "evaluate"),
        ({"max_loss": 1.0, "feeds": None}, ValueError, "feeds or evaluate"),
        ({"max_loss": 1.0, "feeds": []}, ValueError, "no feeds"),
        ({"max_loss": 1.0, "feeds": 3}, TypeError, "feeds must be an iterable"),
        ({"max_loss": 1.0, "feeds": iter(FEEDS)}, ValueError, "feeds is an iterator"),
    ],
)
def test_wrong_arguments(
    options: dict[str, Any], error: type[Exception], message: str, two: ql.model.Model
) -> None:
    with pytest.raises(error, match=message):
        ql.model.quantize(two, **{"feeds": FEEDS, **ROUGH, **options})


def test_command_line(samples: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from quantlib import cli

    np.savez(tmp_path / "samples.npz", image=samples[0]["image"])
    arguments = ["quantize", str(FOLDER / "separable.onnx"), "-o", str(tmp_path / "q.onnx")]
    arguments += ["--calibration", str(tmp_path / "samples.npz"), "--batch", "20"]
    arguments += ["--mode", "weight-only", "--weight-type", "int4", "--per-tensor"]
    assert cli.main([*arguments, "--max-loss", "0.1"]) == 0
    shown = capsys.readouterr().out
    assert " float32 " in shown
    assert " int4 " in shown
    assert cli.main([*arguments, "--max-bytes", "15000"]) == 0
    assert (tmp_path / "q.onnx").stat().st_size <= 15000
    assert cli.main([*arguments, "--max-bytes", "150"]) == 2
    assert "max_bytes is 150" in capsys.readouterr().err


# --- a budget of bytes --------------------------------------------------------------------------


def test_bits_under_a_budget(samples: Any) -> None:
    """The budget is kept, more room never loses more than a uniform width that fits, and narrow
    layers are those that lose little."""
    model = ql.model.load(FOLDER / "residual.onnx")
    options = {"mode": "weight_only", "per_channel": False}
    loss = partial.Loss(model, samples[:2], "relative_error", None)
    for kind in ("int4", "int8"):
        uniform = ql.model.quantize(model, weight_type=kind, **options)
        size = len(uniform.to_onnx().SerializeToString())
        mixed = ql.model.quantize(model, feeds=samples[:2], max_bytes=size + 2000, **options)
        assert mixed.partial is not None
        assert mixed.partial.bytes == len(mixed.to_onnx().SerializeToString()) <= size + 2000
        assert mixed.partial.loss < loss(uniform)
        assert list(mixed.partial.types.values()) == weight_types(mixed)
        assert len(set(mixed.partial.types.values())) > 1
        onnx.checker.check_model(mixed.to_onnx(), full_check=True)


def test_every_width_in_onnxruntime(digits: Any) -> None:
    """Weights of 4, 8 and 16 bits and floats in one file, which ONNX Runtime answers alike."""
    ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the witness")
    model = ql.model.load(FOLDER / "plain.onnx")
    names = ql.model.sensitivity(
        model, feeds=[{"image": digits[0][:8]}], mode="weight_only"
    ).names()  # fmt: skip
    kinds = dict(zip(names, ("int4", "int8", "int16", "uint16"), strict=False))
    mixed = ql.model.quantize(
        model, mode="weight_only", exclude=names[4:],
        overrides={name: {"weight_type": kind} for name, kind in kinds.items()},
    )  # fmt: skip
    assert sorted(weight_types(mixed)) == sorted([*kinds.values(), "float32"])
    session = ort.InferenceSession(mixed.to_onnx().SerializeToString())
    feed = {"image": digits[0][-50:]}
    np.testing.assert_allclose(mixed.run(feed)[0], session.run(None, feed)[0], atol=1e-3)


OPTION = st.tuples(st.integers(-20, 20), st.integers(0, 9).map(float))
OPTIONS = st.lists(st.lists(OPTION, min_size=1, max_size=4), min_size=1, max_size=4)


@given(OPTIONS, st.integers(-60, 60))
def test_choice_is_the_best(options: Any, room: int) -> None:
    """Against all combinations."""
    every = [
        (sum(error for _, error in picked), sum(size for size, _ in picked))
        for picked in itertools.product(*options)
    ]
    best = min((error for error, size in every if size <= room), default=None)
    picks = partial.choose(options, room)
    if best is None:
        assert picks is None
        return
    assert picks is not None
    chosen = [layer[pick] for layer, pick in zip(options, picks, strict=True)]
    assert sum(size for size, _ in chosen) <= room
    assert sum(error for _, error in chosen) == best


def test_choice_of_many_layers_is_nearly_the_best() -> None:
    """Where only some of the sums are kept, the room is, and the loss is close to the bound that
    choosing by error per byte gives."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1000, 100_000, 60)
    errors = rng.exponential(1, 60)
    options = [
        [(int(size), error), (int(2 * size), error / 256), (int(4 * size), error / 65536)]
        for size, error in zip(sizes, errors, strict=True)
    ]
    room = int(1.5 * sizes.sum())
    picks = partial.choose(options, room)
    assert picks is not None
    assert sum(layer[pick][0] for layer, pick in zip(options, picks, strict=True)) <= room
    lost = sum(layer[pick][1] for layer, pick in zip(options, picks, strict=True))
    gains = sorted(
        (
            (error * 255 / 256 / size, size, error)
            for size, error in zip(sizes, errors, strict=True)
        ),
        reverse=True,
    )
    bound, rest = errors.sum(), room - sizes.sum()
    for _, size, error in gains:
        share = min(1, rest / size)
        bound -= share * error * 255 / 256
        rest -= share * size
        if rest <= 0:
            break
    assert lost <= bound + 0.02 * errors.sum()
