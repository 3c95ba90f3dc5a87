"""Static quantization to 1 to 8 bits, bias correction, and the profiles of devices."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the witness")

import quantlib as ql  # noqa: E402
from quantlib.model import QuantConfig  # noqa: E402
from quantlib.model.quantization.targets import TARGETS  # noqa: E402

ort.set_default_logger_severity(4)
FOLDER = Path(__file__).parent / "networks"


def samples(digits: Any) -> list[dict[str, np.ndarray]]:
    return [{"image": digits[0][i : i + 50]} for i in range(0, 400, 50)]


def onnxruntime_says(model: ql.model.Model, feeds: dict[str, Any], as_it_is: bool = False) -> Any:
    options = ort.SessionOptions()
    if as_it_is:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.to_onnx().SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def model_of(text: str) -> ql.model.Model:
    return ql.model.load(onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]>' + text))


def constants(model: ql.model.Model) -> dict[str, np.ndarray]:
    return model.graph.constants


def readers(model: ql.model.Model, op_type: str) -> list[Any]:
    return [node for node in model.graph.nodes if node.op_type == op_type]


def parameters(
    model: ql.model.Model, value: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | str]:
    """Scale, zero point, and codes (or their name) of a dequantized value."""
    (node,) = [n for n in readers(model, "DequantizeLinear") if n.outputs[0] == value]
    held = constants(model)
    codes = held.get(node.inputs[0], node.inputs[0])
    zero = held[node.inputs[2]] if node.input(2) else np.zeros((), codes.dtype)
    return held[node.inputs[1]], zero, codes


# --- networks -------------------------------------------------------------------------------------

# What few bits may cost on 500 held-out images, in points. These networks have 16 to 64 channels
# and no room to spare; what is held here is that nothing is lost that need not be.
LOSS = {
    "plain": {8: 0.5, 6: 0.5, 4: 1.0, 3: 3.0},
    "residual": {4: 1.5, 3: 5.0},
    "separable": {6: 1.0, 4: 5.0},
}


@pytest.mark.parametrize("per_channel", [True, False], ids=["per_channel", "per_layer"])
@pytest.mark.parametrize(
    ("name", "bits"), [(name, bits) for name, losses in LOSS.items() for bits in losses]
)
def test_accuracy_and_onnxruntime(name: str, bits: int, per_channel: bool, digits: Any) -> None:
    """Held-out accuracy; every tensor's codes fit the bits; ONNX Runtime returns the same scores.

    (Where sums and pools are ties, it may be a code off: see `test_onnxruntime_answers_alike`.)
    """
    model = ql.model.load(FOLDER / f"{name}.onnx")
    quantized = ql.model.quantize(
        model, samples(digits), activation_type="int8", activation_bits=bits, weight_bits=bits,
        per_channel=per_channel, weight_symmetric=per_channel, equalize=not per_channel,
        bias_correction=True,
    )  # fmt: skip
    feeds = {"image": digits[0][-500:]}
    (scores,), (wanted,) = quantized.run(feeds), model.run(feeds)
    labels = digits[1][-500:]
    lost = np.mean(wanted.argmax(1) == labels) - np.mean(scores.argmax(1) == labels)
    assert 100 * lost <= LOSS[name][bits]
    (theirs,) = onnxruntime_says(quantized, feeds)
    assert np.mean(theirs != scores) < 0.03
    assert np.array_equal(theirs.argmax(1), scores.argmax(1))
    onnx.checker.check_model(quantized.to_onnx(), full_check=True)

    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    names = [node.inputs[0] for node in readers(quantized, "DequantizeLinear")]
    seen = [codes for n, codes in constants(quantized).items() if n in names and codes.dtype == "b"]
    running = [n for n in names if n not in constants(quantized)]
    seen += quantized.run(feeds, running)
    assert all(codes.dtype == np.int8 for codes in seen)
    assert (min(c.min() for c in seen), max(c.max() for c in seen)) == (low, high)
    # Everything still runs on integers, from the first layer to the last.
    kinds = Counter(node.kind for node in quantized.plan().graph.nodes)
    assert not {"Conv", "Gemm", "DequantizeLinear", "Add", "Relu", "MaxPool"} & set(kinds)


def test_one_bit_runs(digits: Any) -> None:
    """It learns nothing of 10 classes, and says so in numbers."""
    quantized = ql.model.quantize(
        FOLDER / "plain.onnx", samples(digits), activation_bits=1, weight_bits=1
    )
    feeds = {"image": digits[0][-50:]}
    (scores,), (theirs,) = quantized.run(feeds), onnxruntime_says(quantized, feeds)
    np.testing.assert_array_equal(scores, theirs)
    assert np.all(np.isfinite(scores))


# --- parameters -----------------------------------------------------------------------------------

GEMM = """
g (float[n, 3] x) => (float[n, 2] y) <float[3, 2] w = {1, -0.5, 0.25, 0.75, -0.5, 0.125}> {
    y = Gemm (x, w)
}"""
W = np.float32([[1, -0.5], [0.25, 0.75], [-0.5, 0.125]])


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_parameters_by_hand(bits: int, kind: str) -> None:
    feeds = [[np.float32([[-1, 0.5, 2]])], [np.float32([[0, 1, -0.25]])]]
    signed = kind == "int8"
    low = -(2 ** (bits - 1)) if signed else 0
    high = low + 2**bits - 1
    quantized = ql.model.quantize(
        model_of(GEMM), feeds, method="minmax", activation_type=kind, activation_bits=bits,
        weight_bits=bits, per_channel=False, weight_symmetric=False,
    )  # fmt: skip
    (gemm,) = readers(quantized, "Gemm")
    scale, zero, _ = parameters(quantized, gemm.inputs[0])
    assert scale == np.float32(3 / (high - low))
    assert zero == round(low + 1 / (3 / (high - low)))
    assert zero.dtype == kind
    # one scale for the weights, asymmetric, with all codes
    scale, zero, codes = parameters(quantized, gemm.inputs[1])
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    step = 1.5 / (high - low)
    assert scale == np.float32(step)
    assert zero == round(low + 0.5 / step)
    assert codes.dtype == np.int8
    wanted = np.clip(np.rint(W / np.float32(step)) + zero, low, high)
    np.testing.assert_array_equal(codes, wanted)
    if bits == 1:
        return  # which has no symmetric codes: 0 and one other
    # a scale for each channel, symmetric, without the lowest code
    quantized = ql.model.quantize(model_of(GEMM), feeds, weight_bits=bits, activation_bits=bits)
    (gemm,) = readers(quantized, "Gemm")
    scale, zero, codes = parameters(quantized, gemm.inputs[1])
    np.testing.assert_array_equal(scale, np.float32([1 / high, 0.75 / high]))
    assert not zero.any()
    assert codes.dtype == np.int8
    np.testing.assert_array_equal(codes, np.rint(W / scale))
    assert np.abs(codes).max() == high


@pytest.mark.parametrize(
    ("low", "high", "bits", "scale", "zero"),
    [
        (-1, 2, 8, 3 / 255, -43), (-1, 2, 4, 0.2, -3), (0.5, 3, 8, 3 / 255, -128),
        (-2, -1, 8, 2 / 255, 127), (-1, 1, 1, 2, 0),
    ],
)  # fmt: skip
def test_ranges(low: float, high: float, bits: int, scale: float, zero: int) -> None:
    """Of activations that lie between `low` and `high`."""
    feeds = [[np.float32([[low, high, (low + high) / 2]])]]
    quantized = ql.model.quantize(
        model_of(GEMM), feeds, method="minmax", activation_type="int8", activation_bits=bits
    )
    (gemm,) = readers(quantized, "Gemm")
    found = parameters(quantized, gemm.inputs[0])
    assert found[0] == np.float32(scale)
    assert found[1] == zero
    x = np.float32([[low, 0, high]])
    (codes,) = quantized.run([x], [found[2]])
    clipped = np.clip(
        np.rint(x / np.float32(scale)) + zero, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    )
    np.testing.assert_array_equal(codes, clipped)


@pytest.mark.parametrize(
    ("method", "variant"), [("kl", "mindspore_lite"), ("kl", "tensorrt"), ("removal_outlier", None)]
)
@pytest.mark.parametrize("bits", [8, 4])
def test_methods_and_variants(method: str, variant: str | None, bits: int, rng: Any) -> None:
    """As `quantlib.calibrate` has them, on the same batches."""
    batches = [rng.laplace(0, 1, (2000, 3)).astype(np.float32) for _ in range(3)]
    keywords = {} if variant is None else {"variant": variant}
    quantized = ql.model.quantize(
        model_of(GEMM), [[x] for x in batches], method=method, activation_type="int8",
        activation_bits=bits, **keywords,
    )  # fmt: skip
    wanted = ql.calibrate(batches, method, f"int{bits}", **keywords)
    assert wanted != ql.calibrate(batches, "minmax", f"int{bits}")
    (gemm,) = readers(quantized, "Gemm")
    scale, zero, _ = parameters(quantized, gemm.inputs[0])
    assert (scale, zero) == (wanted.scale, wanted.zero_point)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"activation_bits": 0}, ValueError, "activation_bits is 0; it must be from 1 to 8"),
        ({"activation_bits": 9}, ValueError, "activation_bits is 9"),
        ({"activation_bits": 4.0}, TypeError, "activation_bits must be an int"),
        ({"weight_bits": 0}, ValueError, "weight_bits is 0; it must be from 1 to 8"),
        ({"weight_bits": 9}, ValueError, "weight_bits is 9"),
        ({"mode": "dynamic", "weight_bits": 4}, ValueError, "weight_bits is for mode"),
        ({"weight_symmetric": 1}, TypeError, "weight_symmetric must be a bool or None"),
        ({"weight_symmetric": True, "weight_bits": 1}, ValueError, "needs 2 bits"),
        ({"activation_symmetric": True, "activation_bits": 1}, ValueError, "needs 2 bits"),
        ({"variant": "tensorrt"}, ValueError, "which only method 'kl' has"),
        ({"variant": "best", "method": "kl"}, ValueError, "variant is 'best'"),
        ({"target_device": "TPU"}, ValueError, "target_device is 'TPU'; it may be 'CPU', 'KIRIN'"),
        ({"target_device": 3}, TypeError, "target_device must be a string"),
        ({"target_device": "CPU", "mode": "dynamic"}, ValueError, "target_device is for mode"),
        ({"overrides": {"x": {"weight_bits": 9}}}, ValueError, "weight_bits is 9"),
    ],
    ids=str,
)
def test_wrong_bits(options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        QuantConfig(**options)


def test_bits_of_single_nodes() -> None:
    text = """g (float[n, 2] x) => (float[n, 2] y) <float[2, 2] w = {1, -0.5, 0.25, 0.75}> {
        [first] a = MatMul (x, w)
        [last] y = MatMul (a, w)
    }"""
    overrides = {"last": {"weight_bits": 3, "activation_bits": 5}}
    feeds = [[np.float32([[1, 2], [-3, 4]])]]
    quantized = ql.model.quantize(model_of(text), feeds, overrides=overrides, weight_bits=8)
    held = [parameters(quantized, node.inputs[1])[2] for node in readers(quantized, "MatMul")]
    assert [np.abs(codes).max() for codes in held] == [127, 3]


# --- bias correction ------------------------------------------------------------------------------

CONV = """
g (float[n, 2, 4, 4] x) => (float[n, 3, 4, 4] y) <float[3, 2, 1, 1] w = {1, -0.52, 0.26, 0.77, 0.1,
0.9}%s> { y = Conv (x, w%s) }"""


def channel_errors(quantized: ql.model.Model, model: ql.model.Model, feeds: Any) -> np.ndarray:
    """The mean error of each channel: of one layer, whose input is quantized."""
    pairs = [(model.run(feed)[0], quantized.run(feed)[0]) for feed in feeds]
    reals, others = (np.concatenate(part).astype(np.float64) for part in zip(*pairs, strict=True))
    return np.asarray((reals - others).mean(axis=(0, 2, 3)))


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "none"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_correction_takes_the_mean_error_away(bias: bool, per_channel: bool, rng: Any) -> None:
    """To half a unit of the bias; a convolution without a bias gets one."""
    parts = (", float[3] b = {0.5, -1, 0.125}", ", b") if bias else ("", "")
    model = model_of(CONV % parts)
    feeds = [[rng.random((3, 2, 4, 4), np.float32)] for _ in range(4)]
    keywords = {"activation_bits": 3, "weight_bits": 3, "per_channel": per_channel}
    before = ql.model.quantize(model, feeds, **keywords)
    after = ql.model.quantize(model, feeds, bias_correction=True, **keywords)
    (conv,) = readers(after, "Conv")
    unit, _, codes = parameters(after, conv.inputs[2])
    assert codes.dtype == np.int32
    assert np.abs(channel_errors(before, model, feeds)).max() > unit.max()
    assert np.all(np.abs(channel_errors(after, model, feeds)) <= 0.501 * unit)
    if bias:
        (conv,) = readers(before, "Conv")
        plain = parameters(before, conv.inputs[2])[2]
        change = np.rint(channel_errors(before, model, feeds) / unit)
        np.testing.assert_allclose(codes, plain + change, atol=1)


def test_correction_leaves_room_for_the_sum(rng: Any) -> None:
    """A bias beyond 0.6 times the largest int32 is not corrected; a scale is enlarged before that
    for one beyond half of it, so that none is."""
    model = model_of(CONV % (", float[3] b = {3e8, -2e9, 0.125}", ", b"))
    feeds = [[rng.random((3, 2, 4, 4), np.float32)] for _ in range(2)]
    quantized = ql.model.quantize(model, feeds, bias_correction=True)
    (conv,) = readers(quantized, "Conv")
    unit, _, codes = parameters(quantized, conv.inputs[2])
    np.testing.assert_allclose(
        codes * unit.astype(np.float64), [3e8, -2e9, 0.125], rtol=1e-6, atol=0.1
    )
    assert np.abs(codes).max() <= 0.6 * 2**31
    scale, _, _ = parameters(quantized, conv.inputs[1])
    assert scale[0] > 1 / 127
    assert scale[1] > 0.77 / 127
    assert scale[2] == np.float32(0.9 / np.float32(127))


# --- devices --------------------------------------------------------------------------------------

MIXED = """
g (float[n, 4, 6, 6] x) => (float[n, 3] y) <int64[2] flat = {-1, 8}> {
    [conv] a = Conv <pads = [1, 1, 1, 1]> (x, w)
    [relu] b = Relu (a)
    [sum] c = Add (b, x)
    [pool] d = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c)
    [conv2] e = Conv (d, w2)
    [tanh] f = Tanh (e)
    [conv3] h = Conv (f, w3)
    [mean] i = GlobalAveragePool (h)
    [reshape] j = Reshape (i, flat)
    [gemm] k = Gemm (j, m)
    [matmul] y = MatMul (k, o)
}"""
SHAPES = {"w": (4, 4, 3, 3), "w2": (8, 4, 1, 1), "w3": (8, 8, 1, 1), "m": (8, 5), "o": (5, 3)}


@pytest.fixture(scope="module")
def mixed() -> ql.model.Model:
    rng = np.random.default_rng(5)
    made = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]>' + MIXED)
    for name, shape in SHAPES.items():
        values = rng.standard_normal(shape).astype(np.float32) + 0.3
        made.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return ql.model.load(made)


@pytest.fixture(scope="module")
def mixed_feeds() -> list[list[np.ndarray]]:
    rng = np.random.default_rng(6)
    return [[rng.standard_normal((2, 4, 6, 6)).astype(np.float32) + 0.2] for _ in range(3)]


def works_on_codes(model: ql.model.Model) -> set[str]:
    """The nodes that read a dequantized value."""
    made = {node.outputs[0] for node in readers(model, "DequantizeLinear")}
    return {
        node.name for node in model.graph.nodes
        if node.inputs and node.inputs[0] in made and node.op_type != "QuantizeLinear"
    }  # fmt: skip


PRODUCTS = {"conv", "conv2", "conv3", "gemm", "matmul"}
EVERYTHING = PRODUCTS | {"relu", "sum", "pool", "tanh", "mean", "reshape"}
# What each device computes in integers, of which type its activations are, whether their zero point
# is the middle, which weights have a scale for each channel, and whether biases are corrected.
DEVICES = {
    "CPU": (PRODUCTS | {"tanh"}, "int8", False, PRODUCTS, True),
    "KIRIN": (PRODUCTS - {"matmul"} | {"tanh"}, "uint8", False, {"conv", "conv2", "conv3"}, False),
    "NVGPU": (PRODUCTS | {"tanh"}, "int8", True, set(), False),
    "DSP": (EVERYTHING, "int8", False, {"conv", "conv2", "conv3"}, True),
    "ASCEND": (PRODUCTS, "int8", False, PRODUCTS, True),
}


@pytest.mark.parametrize("per_channel", [True, False], ids=["per_channel", "per_layer"])
@pytest.mark.parametrize("device", DEVICES)
def test_devices(device: str, per_channel: bool, mixed: Any, mixed_feeds: Any) -> None:
    """The convolution before a ReLU computes it, so that it reads no codes of its own."""
    working, kind, symmetric, by_channel, corrected = DEVICES[device]
    config = QuantConfig(
        target_device=device, per_channel=per_channel, bias_correction=True,
        activation_type="uint8" if kind == "int8" else "int8",  # which the device decides
    )  # fmt: skip
    assert config.bias_correction == corrected
    quantized = ql.model.quantize(mixed, mixed_feeds, config)
    assert works_on_codes(quantized) == working - {"relu"}
    zeros = [constants(quantized)[n.inputs[2]] for n in readers(quantized, "QuantizeLinear")]
    assert {str(zero.dtype) for zero in zeros} == {kind}
    assert all(zero == 0 for zero in zeros) == symmetric
    held = constants(quantized)
    for node in quantized.graph.nodes:
        if node.name not in PRODUCTS:
            continue
        if device == "NVGPU" or node.name not in working:
            assert held[node.inputs[1]].dtype == np.float32
            continue
        scale, zero, codes = parameters(quantized, node.inputs[1])
        is_by_channel = per_channel and node.name in by_channel
        assert bool(scale.ndim) == is_by_channel
        is_symmetric = is_by_channel or device == "ASCEND"
        assert (not np.any(zero)) == is_symmetric
        lowest = -127 if is_symmetric else -128
        assert codes.min() >= lowest
        assert codes.dtype == np.int8
        if not is_symmetric:
            assert (codes.min(), codes.max()) == (-128, 127)
        assert bool(node.input(2)) == (corrected and node.op_type != "MatMul")
    feeds = {"x": mixed_feeds[0][0]}
    (found,), (wanted,) = quantized.run(feeds), mixed.run(feeds)
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
    # Weights that are left to the run time ONNX Runtime quantizes, too, unless it is told not to.
    (theirs,) = onnxruntime_says(quantized, feeds, as_it_is=device == "NVGPU")
    np.testing.assert_allclose(found, theirs, rtol=1e-5, atol=2e-2)


def test_every_device_is_tested() -> None:
    assert set(DEVICES) == set(TARGETS)


def test_operators_and_exclusions_hold_for_devices(mixed: Any, mixed_feeds: Any) -> None:
    quantized = ql.model.quantize(
        mixed, mixed_feeds, target_device="CPU", operators=("Conv", "Gemm"), exclude=("conv2",)
    )
    assert works_on_codes(quantized) == {"conv", "conv3", "gemm"}


@pytest.mark.parametrize(
    ("size", "channels", "working"),
    [
        (0, 0, PRODUCTS),
        (15, 0, {"conv", "conv2", "conv3", "gemm"}), (14, 0, PRODUCTS),
        (32, 0, {"conv", "conv3", "gemm"}), (40, 0, {"conv", "conv3"}), (64, 0, {"conv"}),
        (0, 4, PRODUCTS - {"conv"}), (0, 3, PRODUCTS), (0, 8, {"gemm", "matmul"}),
    ],
)  # fmt: skip
def test_small_weights_stay(
    size: int, channels: int, working: set[str], mixed: Any, mixed_feeds: Any
) -> None:
    """Both tests are strict; channels are those of convolutions."""
    quantized = ql.model.quantize(
        mixed, mixed_feeds, target_device="ASCEND", min_weight_size=size,
        min_weight_channel=channels,
    )  # fmt: skip
    assert works_on_codes(quantized) == working
