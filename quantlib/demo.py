"""The demo: a small convolutional network, in float32 and in int8, on handwritten digits.

``quantlib demo`` shows the whole way from a trained float network to an integer one: run it on
images it was trained on and look at every activation, choose a range for each (`calibrate`),
quantize the weights per output channel, run every layer in int8 on the C core, and compare with
float32 on images that the network has never seen. Nothing between the layers is a float.

The images are from *Optical Recognition of Handwritten Digits* by E. Alpaydin and C. Kaynak, UCI
Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49, licensed CC BY 4.0. They and
the trained weights are in ``quantlib/data``; ``examples/train_digits.py`` made that file.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.resources import files
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

import quantlib as ql

__all__ = [
    "CALIBRATORS",
    "NETWORK",
    "CalibratorResult",
    "ConvLayer",
    "DemoReport",
    "Digits",
    "FloatNetwork",
    "QuantizedNetwork",
    "ShownDigit",
    "as_json",
    "load_digits",
    "plain_text",
    "print_report",
    "run_demo",
]

FloatArray = npt.NDArray[np.float32]
PIXEL_MAX = 16  # the images count the set pixels of 4x4 blocks
CALIBRATORS = ("minmax", "percentile", "kl", "js", "mse")
SHOWN_DIGITS = 4
GREYS = " .:-=+*#%@"


@dataclass(frozen=True)
class ConvLayer:
    """A 3x3 convolution with padding 1, a bias and a ReLU."""

    name: str
    channels_in: int
    channels_out: int
    stride: int = 1
    group: int = 1

    @property
    def depthwise(self) -> bool:
        return self.group == self.channels_in == self.channels_out

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return self.channels_out, self.channels_in // self.group, 3, 3


# 8x8x1 -> 8x8x32 -> 4x4x64 -> 4x4x64 -> 2x2x64, then a dense layer from 256 to 10.
NETWORK = (
    ConvLayer("conv1", 1, 32),
    ConvLayer("conv2", 32, 64, stride=2),
    ConvLayer("conv3", 64, 64, group=64),
    ConvLayer("conv4", 64, 64, stride=2),
)
DENSE_SHAPE = (2 * 2 * 64, 10)


@dataclass(frozen=True, eq=False)
class Digits:
    """What ``quantlib/data/digits.npz`` holds.

    Attributes
    ----------
    weights : dict of str to ndarray of float32
        ``<layer>.weight`` and ``<layer>.bias`` for each layer of `NETWORK` and for ``dense``:
        ``[M, C/group, 3, 3]`` for a convolution, ``[K, N]`` for the dense layer.
    test_images, calibration_images : ndarray of uint8, shape (N, 8, 8)
        Grey values from 0 to 16. The network was trained on the calibration images; the test
        images took no part in training or in any choice made for it.
    test_labels, calibration_labels : ndarray of uint8, shape (N,)
        The digits, 0 to 9.
    test_rows, calibration_rows : ndarray of uint16, shape (N,)
        Where each image stands in ``sklearn.datasets.load_digits()``.
    """

    weights: dict[str, FloatArray]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.uint8]
    test_rows: npt.NDArray[np.uint16]
    calibration_images: npt.NDArray[np.uint8]
    calibration_labels: npt.NDArray[np.uint8]
    calibration_rows: npt.NDArray[np.uint16]


def load_digits() -> Digits:
    """The network and the images that ship with the package.

    >>> load_digits().test_images.shape
    (600, 8, 8)
    """
    with files("quantlib").joinpath("data/digits.npz").open("rb") as file:
        arrays = dict(np.load(file, allow_pickle=False))
    weights = {name: arrays.pop(name) for name in list(arrays) if "." in name}
    return Digits(weights=weights, **arrays)


def to_input(images: npt.NDArray[Any]) -> FloatArray:
    """Grey values of shape (N, 8, 8) as the network's input: NHWC, from 0 to 1."""
    return images.astype(np.float32)[..., np.newaxis] / np.float32(PIXEL_MAX)


# ---- float32 ------------------------------------------------------------------------------------


def patches(x: npt.NDArray[Any], stride: int) -> npt.NDArray[Any]:
    """The 3x3 neighbourhoods of an NHWC array padded with zeros: a view (N, H', W', 3, 3, C).

    >>> patches(np.ones((1, 2, 2, 1)), stride=1)[0, 0, 0, :, :, 0]
    array([[0., 0., 0.],
           [0., 1., 1.],
           [0., 1., 1.]])
    """
    n, height, width, channels = x.shape
    padded = np.zeros((n, height + 2, width + 2, channels), x.dtype)
    padded[:, 1:-1, 1:-1] = x
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)


class FloatNetwork:
    """The network in float32 NumPy, the baseline of the demo: im2col, then one BLAS product.

    Parameters
    ----------
    weights : dict of str to ndarray
        As in `Digits`.

    Examples
    --------
    >>> digits = load_digits()
    >>> network = FloatNetwork(digits.weights)
    >>> network(to_input(digits.test_images[:2])).shape
    (2, 10)
    """

    def __init__(self, weights: dict[str, FloatArray]) -> None:
        # The layers' weights in the order that each product reads them, made once.
        self._kernels = {
            layer.name: np.ascontiguousarray(
                weights[f"{layer.name}.weight"].transpose(2, 3, 1, 0)
            ).reshape((3, 3, -1) if layer.depthwise else (-1, layer.channels_out))
            for layer in NETWORK
        }
        self._weights = weights

    def __call__(self, x: FloatArray) -> FloatArray:
        """The logits, of shape (N, 10), of a batch made by `to_input`."""
        return deque(self.activations(x), maxlen=1).pop()

    def activations(self, x: FloatArray) -> Iterator[FloatArray]:
        """The input, then the output of each layer, the logits last."""
        yield x
        for layer in NETWORK:
            x = self._convolve(x, layer)
            yield x
        yield x.reshape(len(x), -1) @ self._weights["dense.weight"] + self._weights["dense.bias"]

    def _convolve(self, x: FloatArray, layer: ConvLayer) -> FloatArray:
        y: FloatArray
        columns, kernel = patches(x, layer.stride), self._kernels[layer.name]
        if layer.depthwise:
            y = np.einsum("nhwijc,ijc->nhwc", columns, kernel)
        else:
            pixels = columns.shape[:3]
            y = (columns.reshape(-1, len(kernel)) @ kernel).reshape(*pixels, -1)
        y += self._weights[f"{layer.name}.bias"]
        np.maximum(y, 0, out=y)
        return y


# ---- int8 ---------------------------------------------------------------------------------------


class QuantizedNetwork:
    """The network in int8: uint8 activations per tensor, int8 weights per output channel.

    Parameters
    ----------
    weights : dict of str to ndarray
        The float32 weights, as in `Digits`.
    ranges : sequence of QuantParams
        For the input and for the output of every convolution, all uint8.
    operators : module
        Where `quantize`, `QLinearConv` and `QLinearMatMul` come from: ``quantlib``, or
        ``quantlib.reference`` for the definitions.
    """

    def __init__(
        self,
        weights: dict[str, FloatArray],
        ranges: Sequence[ql.QuantParams],
        operators: ModuleType = ql,
    ) -> None:
        self._quantize, self._input = operators.quantize, ranges[0]
        self._convolutions = [
            operators.QLinearConv(**_conv_arguments(weights, layer, before, after))
            for layer, before, after in zip(NETWORK, ranges[:-1], ranges[1:], strict=True)
        ]
        self._dense = operators.QLinearMatMul(**_dense_arguments(weights, ranges[-1]))

    def __call__(self, x: FloatArray) -> FloatArray:
        """The logits, of shape (N, 10), of a batch made by `to_input`."""
        codes = self._quantize(x, self._input)
        for convolution in self._convolutions:
            codes = convolution(codes)
        logits: FloatArray = self._dense(codes.reshape(len(codes), -1))
        return logits


def calibrate_activations(
    activations: Sequence[FloatArray], method: str
) -> tuple[ql.QuantParams, ...]:
    """One range for each activation, chosen by `method`."""
    return tuple(ql.calibrate(values, method=method, qtype="uint8") for values in activations)


def _conv_arguments(
    weights: dict[str, FloatArray],
    layer: ConvLayer,
    before: ql.QuantParams,
    after: ql.QuantParams,
) -> dict[str, Any]:
    """What `QLinearConv` needs for a layer between two quantized activations."""
    params = weight_params(weights[f"{layer.name}.weight"], axis=0)
    return {
        "w": ql.quantize(weights[f"{layer.name}.weight"], params),
        "w_scale": params.scale,
        "w_zero_point": params.zero_point,
        "x_scale": before.scale,
        "x_zero_point": before.zero_point,
        "y_scale": after.scale,
        "y_zero_point": after.zero_point,
        "b": quantized_bias(weights[f"{layer.name}.bias"], before, params),
        "activation": "relu",
        "pads": (1, 1, 1, 1),
        "strides": (layer.stride, layer.stride),
        "dilations": (1, 1),
        "group": layer.group,
        "layout": "NHWC",
    }


def _dense_arguments(weights: dict[str, FloatArray], before: ql.QuantParams) -> dict[str, Any]:
    """What `QLinearMatMul` needs for the last layer; without `y_scale` its result is float32."""
    params = weight_params(weights["dense.weight"], axis=1)
    return {
        "b": ql.quantize(weights["dense.weight"], params),
        "b_scale": params.scale,
        "b_zero_point": params.zero_point,
        "a_scale": before.scale,
        "a_zero_point": before.zero_point,
        "y_scale": None,
        "y_zero_point": None,
        "bias": quantized_bias(weights["dense.bias"], before, params),
    }


def weight_params(weight: FloatArray, axis: int) -> ql.QuantParams:
    """Symmetric int8 from -127 to 127 with a scale for each output channel, along `axis`."""
    largest = np.abs(weight).max(axis=tuple(i for i in range(weight.ndim) if i != axis))
    return ql.QuantParams.from_range(
        -largest, largest, "int8", symmetric=True, narrow=True, axis=axis
    )


def quantized_bias(
    bias: FloatArray, before: ql.QuantParams, params: ql.QuantParams
) -> npt.NDArray[np.int32]:
    """The bias in units of the accumulator, ``x_scale * w_scale``."""
    unit = before.scale.astype(np.float64) * params.scale
    codes: npt.NDArray[np.int32] = np.rint(bias / unit).astype(np.int32)
    return codes


# ---- the demo -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class CalibratorResult:
    """What one calibration method made of the network.

    Attributes
    ----------
    method : str
        As `quantlib.calibrate` names it.
    accuracy : float
        Share of the test images that the int8 network gets right.
    points : float
        Percentage points above (or, negative, below) the float32 network.
    agreement : float
        Share of the test images on which both networks give the same answer, right or wrong.
    logit_error : float
        Root mean square difference between both networks' logits, as a share of the float32
        logits' own root mean square. It tells calibrators apart that agree on every answer.
    """

    method: str
    accuracy: float
    points: float
    agreement: float
    logit_error: float


@dataclass(frozen=True)
class ShownDigit:
    """A test image with its label and the answers of both networks."""

    pixels: tuple[tuple[int, ...], ...]
    label: int
    float32: int
    int8: int


@dataclass(frozen=True)
class DemoReport:
    """All that `run_demo` measured; shares are from 0 to 1, times the best of `runs`.

    `weight_bytes_int8` counts the biases (int32) and the scales (float32) too.
    """

    version: str
    isa: str
    threads: int
    test_images: int
    calibration_images: int
    float32_accuracy: float
    int8: tuple[CalibratorResult, ...]
    weight_bytes_float32: int
    weight_bytes_int8: int
    batch: int
    runs: int
    float32_seconds: float
    int8_seconds: float
    digits: tuple[ShownDigit, ...]


def run_demo(
    methods: Sequence[str] = CALIBRATORS, *, batch: int = 64, runs: int = 51
) -> DemoReport:
    """Calibrate, quantize, run and compare; nothing is printed.

    Parameters
    ----------
    methods : sequence of str
        Calibration methods, one or more.
    batch : int
        Images in a timed batch, from 1 to the 600 there are.
    runs : int
        How many times each network is timed, in turn.

    Returns
    -------
    DemoReport

    Raises
    ------
    ValueError
        If an argument is out of its range, or a method is unknown.

    Examples
    --------
    >>> report = run_demo(["minmax"], runs=1)
    >>> report.test_images, report.float32_accuracy > 0.975
    (600, True)
    """
    digits = load_digits()
    if not methods:
        raise ValueError("methods is empty; it must name one calibration method or more")
    if not 1 <= batch <= len(digits.test_images):
        raise ValueError(f"batch is {batch}; it must be 1 to {len(digits.test_images)}")
    if runs < 1:
        raise ValueError(f"runs is {runs}; it must be 1 or more")

    float_network, images = FloatNetwork(digits.weights), to_input(digits.test_images)
    quantized_networks = quantize_network(float_network, digits, methods)
    float_logits = float_network(images)
    int8_logits = {method: network(images) for method, network in quantized_networks.items()}
    # Every calibrator gives the same layers with other scales, so one of them is timed for all.
    timed = float_network, quantized_networks[methods[0]]
    float_seconds, int8_seconds = best_seconds(timed, images[:batch], runs)
    return DemoReport(
        version=metadata.version("quantlib-int8"),
        isa=ql.cpu.isa(),
        threads=ql.get_num_threads(),
        test_images=len(images),
        calibration_images=len(digits.calibration_images),
        float32_accuracy=_accuracy(float_logits, digits.test_labels),
        int8=tuple(
            _compare(method, logits, float_logits, digits.test_labels)
            for method, logits in int8_logits.items()
        ),
        weight_bytes_float32=sum(array.nbytes for array in digits.weights.values()),
        weight_bytes_int8=quantized_bytes(digits.weights),
        batch=batch,
        runs=runs,
        float32_seconds=float_seconds,
        int8_seconds=int8_seconds,
        digits=_shown_digits(digits, float_logits, int8_logits[methods[0]]),
    )


def quantize_network(
    network: FloatNetwork, digits: Digits, methods: Sequence[str], operators: ModuleType = ql
) -> dict[str, QuantizedNetwork]:
    """The int8 network that each calibration method leads to."""
    *activations, _ = network.activations(to_input(digits.calibration_images))
    return {
        method: QuantizedNetwork(
            digits.weights, calibrate_activations(activations, method), operators
        )
        for method in methods
    }


def quantized_bytes(weights: dict[str, FloatArray]) -> int:
    """Bytes of the int8 network: a weight is one, and each channel has a bias and a scale."""
    codes = sum(array.size for name, array in weights.items() if name.endswith(".weight"))
    channels = sum(array.size for name, array in weights.items() if name.endswith(".bias"))
    return codes + channels * (np.dtype(np.int32).itemsize + np.dtype(np.float32).itemsize)


def best_seconds(
    functions: Sequence[Callable[[FloatArray], Any]], x: FloatArray, runs: int
) -> list[float]:
    """The shortest time of each function; they take turns, so that what slows the machine down
    for a while slows them all.

    Not the median: beside one busy process, threads of a BLAS that wait for each other make a
    call up to 20 times as long, and int8 would seem to gain by it.
    """
    seconds: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function(x)  # the first call finds memory and threads
    for _ in range(runs):
        for function, taken in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function(x)
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in seconds]


def _compare(
    method: str, logits: FloatArray, float_logits: FloatArray, labels: npt.NDArray[np.uint8]
) -> CalibratorResult:
    accuracy = _accuracy(logits, labels)
    return CalibratorResult(
        method=method,
        accuracy=accuracy,
        points=100 * (accuracy - _accuracy(float_logits, labels)),
        agreement=_accuracy(logits, float_logits.argmax(axis=1)),
        logit_error=float(np.linalg.norm(logits - float_logits) / np.linalg.norm(float_logits)),
    )


def _accuracy(logits: FloatArray, answers: npt.NDArray[Any]) -> float:
    """The share of images whose largest logit is that of the answer."""
    return float(np.mean(logits.argmax(axis=1) == answers))


def _shown_digits(
    digits: Digits, float_logits: FloatArray, int8_logits: FloatArray
) -> tuple[ShownDigit, ...]:
    """The first image of each of the first `SHOWN_DIGITS` digits to appear."""
    first_rows = np.sort(np.unique(digits.test_labels, return_index=True)[1])
    return tuple(
        ShownDigit(
            pixels=tuple(tuple(row) for row in digits.test_images[i].tolist()),
            label=int(digits.test_labels[i]),
            float32=int(float_logits[i].argmax()),
            int8=int(int8_logits[i].argmax()),
        )
        for i in first_rows[:SHOWN_DIGITS]
    )


# ---- printing -----------------------------------------------------------------------------------


HEADINGS = ("", "accuracy", "against float32", "same answers", "logits off by")


def print_report(report: DemoReport) -> None:
    """Print `report` with rich where it is installed, else as `plain_text`."""
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(plain_text(report))
        return
    console = Console(highlight=False)
    console.print(f"\n[bold]{_title(report)}[/bold]\n{_subtitle(report)}\n")
    console.print(_drawing(report.digits), markup=False)
    table = Table(*HEADINGS, box=box.SIMPLE, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in _rows(report):
        table.add_row(*row)
    console.print(table)
    facts = Table.grid(padding=(0, 2))
    for label, text in _facts(report):
        facts.add_row(f"[bold]{label}[/bold]", text)
    console.print(facts)


def as_json(report: DemoReport) -> str:
    """`report` as a JSON object with its fields."""
    return json.dumps(asdict(report), indent=2)


def plain_text(report: DemoReport) -> str:
    """`report` as a text of lines of at most 80 characters."""
    rows = [HEADINGS, *_rows(report)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    table = [
        "   ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
    table.insert(1, "-" * (sum(widths) + 3 * (len(widths) - 1)))
    return "\n".join(
        [
            f"\n{_title(report)}",
            f"{_subtitle(report)}\n",
            f"{_drawing(report.digits)}\n",
            *table,
            "",
            *(f"{label:8}{text}" for label, text in _facts(report)),
        ]
    )


def _title(report: DemoReport) -> str:
    return f"quantlib {report.version}: handwritten digits, a small network in float32 and in int8"


def _subtitle(report: DemoReport) -> str:
    return (
        f"{report.test_images} images it was not trained on; "
        f"ranges calibrated on {report.calibration_images} that it was"
    )


def _rows(report: DemoReport) -> list[tuple[str, ...]]:
    """The table: float32, then each calibrator."""
    rows: list[tuple[str, ...]] = [("float32", f"{report.float32_accuracy:.2%}", "", "", "")]
    for result in report.int8:
        same = round(result.agreement * report.test_images)
        rows.append(
            (
                f"int8, {result.method}",
                f"{result.accuracy:.2%}",
                f"{result.points:+.2f} points",
                f"{same} of {report.test_images}",
                f"{result.logit_error:.2%}",
            )
        )
    return rows


def _facts(report: DemoReport) -> list[tuple[str, str]]:
    smaller = report.weight_bytes_float32 / report.weight_bytes_int8
    faster = report.float32_seconds / report.int8_seconds
    pace = f"{faster:.1f} times as fast" if faster >= 1 else f"{1 / faster:.1f} times as slow"
    return [
        (
            "weights",
            f"{report.weight_bytes_float32:,} bytes in float32, {report.weight_bytes_int8:,} "
            f"in int8: {smaller:.1f} times smaller",
        ),
        (
            "time",
            f"{report.batch} images, best of {report.runs} runs: "
            f"{1e3 * report.float32_seconds:.2f} ms in float32 NumPy, "
            f"{1e3 * report.int8_seconds:.2f} ms in int8",
        ),
        ("speed", f"int8 is {pace} as float32"),
        ("ran on", f"{report.isa}, up to {report.threads} thread{'s' * (report.threads > 1)}"),
    ]


def _drawing(digits: Sequence[ShownDigit]) -> str:
    """The digits side by side, with what they are and what they were taken for below."""
    shades = [
        "   ".join("".join(2 * _grey(pixel) for pixel in digit.pixels[row]) for digit in digits)
        for row in range(8)
    ]
    answers = "   ".join(f"{f'a {digit.label}; int8 says {digit.int8}':^16}" for digit in digits)
    return "\n".join(line.rstrip() for line in [*shades, answers])


def _grey(pixel: int) -> str:
    return GREYS[pixel * (len(GREYS) - 1) // PIXEL_MAX]
