"""The demo's claims: its data, both networks, and what the report says of them."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from scipy.signal import correlate2d

import quantlib as ql
from quantlib import demo, reference

TRAINING_SCRIPT = Path(__file__).parents[1] / "examples" / "train_digits.py"


@pytest.fixture(scope="module")
def digits() -> demo.Digits:
    return demo.load_digits()


@pytest.fixture(scope="module")
def report() -> demo.DemoReport:
    return demo.run_demo(runs=3)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    pytest.importorskip("sklearn", reason="scikit-learn carries the images")
    spec = importlib.util.spec_from_file_location("train_digits", TRAINING_SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_digits"] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


# ---- the data -----------------------------------------------------------------------------------


def test_data_is_small() -> None:
    sizes = [len(file.read_bytes()) for file in files("quantlib").joinpath("data").iterdir()]
    assert 0 < sum(sizes) < 500_000


def test_there_are_enough_test_images(digits: demo.Digits) -> None:
    assert len(digits.test_images) >= 500
    assert set(digits.test_labels.tolist()) == set(range(10))
    assert len(digits.calibration_images) >= 128


@pytest.mark.parametrize("part", ["test", "calibration"])
def test_images_are_grey_values(digits: demo.Digits, part: str) -> None:
    images = getattr(digits, f"{part}_images")
    assert images.dtype == np.uint8
    assert images.shape == (len(getattr(digits, f"{part}_labels")), 8, 8)
    assert images.max() == demo.PIXEL_MAX


def test_no_test_image_is_a_calibration_image(digits: demo.Digits) -> None:
    assert not set(digits.test_rows.tolist()) & set(digits.calibration_rows.tolist())
    calibration = {image.tobytes() for image in digits.calibration_images}
    assert not any(image.tobytes() in calibration for image in digits.test_images)


@pytest.mark.parametrize("part", ["test", "calibration"])
def test_images_are_rows_of_the_data_set(digits: demo.Digits, part: str) -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn carries the images")
    source, rows = datasets.load_digits(), getattr(digits, f"{part}_rows")
    assert len(set(rows.tolist())) == len(rows)
    np.testing.assert_array_equal(getattr(digits, f"{part}_images"), source.images[rows])
    np.testing.assert_array_equal(getattr(digits, f"{part}_labels"), source.target[rows])


def test_weights_have_the_shapes_of_the_training_script(
    digits: demo.Digits, script: ModuleType
) -> None:
    trained = script.initial_parameters(np.random.default_rng(0))
    assert {name: w.shape for name, w in digits.weights.items()} == {
        name: w.shape for name, w in trained.items()
    }
    assert all(w.dtype == np.float32 for w in digits.weights.values())


def test_the_training_script_never_trains_on_a_test_image(
    digits: demo.Digits, script: ModuleType
) -> None:
    test, training = script.split(1797)
    np.testing.assert_array_equal(digits.test_rows, test)
    np.testing.assert_array_equal(digits.calibration_rows, training[: script.CALIBRATION])
    assert not set(test.tolist()) & set(training.tolist())


def test_training_follows_the_gradient(
    digits: demo.Digits, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each layer's gradient against a central difference of the loss along it."""
    monkeypatch.setattr(script, "DROPOUT", 0.0)
    images = digits.calibration_images[:8] / 16
    labels = digits.calibration_labels[:8]
    rng = np.random.default_rng(1)
    parameters = {  # biases other than 0, where empty corners of the images meet the ReLU's kink
        name: value if value.any() else rng.normal(size=value.shape) / 10
        for name, value in script.initial_parameters(rng).items()
    }

    def loss(name: str, step: np.ndarray) -> float:
        moved = parameters | {name: parameters[name] + step}
        x = images[..., np.newaxis]
        for layer in demo.NETWORK:
            x, _ = script.convolve(x, *script.layer_parameters(moved, layer.name), layer)
        logits = x.reshape(8, -1) @ moved["dense.weight"] + moved["dense.bias"]
        return -np.log(script.softmax(logits)[np.arange(8), labels]).mean()

    gradients = script.loss_gradients(parameters, images, labels, rng)
    for name, gradient in gradients.items():
        step = 1e-6 * gradient / np.linalg.norm(gradient)
        slope = (loss(name, step) - loss(name, -step)) / 2e-6
        assert slope == pytest.approx(np.linalg.norm(gradient), rel=1e-4), name


# ---- the networks -------------------------------------------------------------------------------


def test_float_network_is_a_plain_convolutional_network(digits: demo.Digits) -> None:
    x = digits.test_images[0].astype(np.float64)[np.newaxis] / 16
    for layer in demo.NETWORK:
        weight, bias = (digits.weights[f"{layer.name}.{kind}"] for kind in ("weight", "bias"))
        inputs = [[m] if layer.depthwise else range(len(x)) for m in range(layer.channels_out)]
        sums = [
            sum(correlate2d(x[c], weight[m, k], "same") for k, c in enumerate(inputs[m]))
            for m in range(layer.channels_out)
        ]
        stride = layer.stride
        x = np.maximum(np.array(sums)[:, ::stride, ::stride] + bias[:, None, None], 0)
    flat = x.transpose(1, 2, 0).ravel()
    logits = flat @ digits.weights["dense.weight"] + digits.weights["dense.bias"]
    result = demo.FloatNetwork(digits.weights)(demo.to_input(digits.test_images[:1]))
    np.testing.assert_allclose(result[0], logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", demo.CALIBRATORS)
def test_int8_network_has_the_bits_of_the_definition(digits: demo.Digits, method: str) -> None:
    network, images = demo.FloatNetwork(digits.weights), demo.to_input(digits.test_images[:50])
    fast = demo.quantize_network(network, digits, [method])[method]
    slow = demo.quantize_network(network, digits, [method], operators=reference)[method]
    np.testing.assert_array_equal(fast(images), slow(images))


def test_every_layer_reads_codes(digits: demo.Digits) -> None:
    seen: list[np.dtype] = []

    def watched(operator: type) -> object:
        def prepare(**arguments: object) -> object:
            layer = operator(**arguments)
            return lambda x: (seen.append(x.dtype), layer(x))[1]

        return prepare

    operators = SimpleNamespace(
        quantize=ql.quantize,
        QLinearConv=watched(ql.QLinearConv),
        QLinearMatMul=watched(ql.QLinearMatMul),
    )
    float_network = demo.FloatNetwork(digits.weights)
    networks = demo.quantize_network(float_network, digits, ["minmax"], operators)
    networks["minmax"](demo.to_input(digits.test_images[:2]))
    assert seen == [np.uint8] * (len(demo.NETWORK) + 1)


def test_weights_are_quantized_per_output_channel(digits: demo.Digits) -> None:
    weight = digits.weights["conv2.weight"]
    params = demo.weight_params(weight, axis=0)
    assert params.scale.shape == (64,)
    assert np.all(params.zero_point == 0)
    codes = ql.quantize(weight, params)
    assert np.all(np.abs(codes.astype(int)).max(axis=(1, 2, 3)) == 127)


def test_bias_is_in_units_of_the_accumulator() -> None:
    before = ql.QuantParams(0.5, 3, "uint8")
    weights = ql.QuantParams([0.25, 0.5], 0, "int8", axis=0)
    bias = demo.quantized_bias(np.float32([1.0, -1.0]), before, weights)
    assert bias.dtype == np.int32
    assert bias.tolist() == [8, -4]


# ---- the report ---------------------------------------------------------------------------------


def test_float_accuracy(report: demo.DemoReport) -> None:
    assert report.float32_accuracy >= 0.975


@pytest.mark.parametrize("method", demo.CALIBRATORS)
def test_int8_keeps_the_accuracy(report: demo.DemoReport, method: str) -> None:
    result = next(result for result in report.int8 if result.method == method)
    assert abs(result.points) <= 0.5
    assert result.points == pytest.approx(100 * (result.accuracy - report.float32_accuracy))
    assert result.agreement >= 0.99
    assert 0 < result.logit_error < 0.05


def test_report_counts_the_bytes(report: demo.DemoReport) -> None:
    weights, channels = 288 + 18432 + 576 + 36864 + 2560, 32 + 64 + 64 + 64 + 10
    assert report.weight_bytes_float32 == 4 * (weights + channels)
    assert report.weight_bytes_int8 == weights + channels * (4 + 4)


def test_report_describes_the_run(report: demo.DemoReport, digits: demo.Digits) -> None:
    assert report.isa == ql.cpu.isa()
    assert report.threads == ql.get_num_threads()
    assert report.test_images == len(digits.test_images)
    assert report.calibration_images == len(digits.calibration_images)
    assert [result.method for result in report.int8] == list(demo.CALIBRATORS)
    assert report.float32_seconds > 0
    assert report.int8_seconds > 0


def test_timed_functions_take_turns() -> None:
    calls: list[str] = []
    functions = [lambda x: calls.append("a"), lambda x: calls.append("b")]
    assert len(demo.best_seconds(functions, np.zeros(1, np.float32), runs=3)) == 2
    assert "".join(calls) == "ab" + 3 * "ab"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": []}, "methods is empty"),
        ({"methods": ["median"]}, "median"),
        ({"batch": 0}, "batch is 0"),
        ({"batch": 601}, "batch is 601"),
        ({"runs": 0}, "runs is 0"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        demo.run_demo(**arguments)


# ---- printing -----------------------------------------------------------------------------------


def facts(report: demo.DemoReport) -> list[str]:
    """What every form of the printed report must hold."""
    percentages = [report.float32_accuracy, *(result.accuracy for result in report.int8)]
    return [
        report.version,
        report.isa,
        f"{report.weight_bytes_float32:,}",
        f"{report.weight_bytes_int8:,}",
        *(result.method for result in report.int8),
        *(f"{percentage:.2%}" for percentage in percentages),
    ]


def test_plain_text(report: demo.DemoReport) -> None:
    text = demo.plain_text(report)
    assert all(fact in text for fact in facts(report))
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()


def test_plain_text_says_which_is_faster(report: demo.DemoReport) -> None:
    slower = replace(report, float32_seconds=0.001, int8_seconds=0.002)
    assert "1.00 ms in float32 NumPy, 2.00 ms in int8" in demo.plain_text(slower)
    assert "int8 is 2.0 times as slow as float32" in demo.plain_text(slower)
    faster = replace(report, float32_seconds=0.003, int8_seconds=0.002)
    assert "int8 is 1.5 times as fast as float32" in demo.plain_text(faster)


def test_print_without_rich(
    report: demo.DemoReport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    demo.print_report(report)
    assert capsys.readouterr().out == demo.plain_text(report) + "\n"


def test_print_with_rich(report: demo.DemoReport, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich", reason="the extra `cli`")
    demo.print_report(report)
    text = capsys.readouterr().out
    assert all(fact in text for fact in facts(report))


def test_json(report: demo.DemoReport) -> None:
    assert json.loads(demo.as_json(report)) == json.loads(json.dumps(asdict(report)))
