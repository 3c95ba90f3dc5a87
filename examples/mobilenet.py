"""A network of the shape of MobileNetV2 in int8: time for an image, against float32.

    OPENBLAS_NUM_THREADS=1 python examples/mobilenet.py     # 224x224, some seconds
    OPENBLAS_NUM_THREADS=1 python examples/mobilenet.py --size 96 --width 0.5

The weights are random, from a seed: what an image costs does not depend on what they know. The
float network, in NumPy, sees a few images; from what its activations were, each gets a range; and
the int8 network is built of quantlib's prepared operators, channels last, with not a float between
the image and the logits. With the packages onnx and onnxruntime installed, the same two networks
run in ONNX Runtime too. These two libraries use one thread unless ``--threads`` says more; NumPy's
BLAS takes its number from the environment.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import quantlib as ql

CLASSES = 1000
# Of each stage: by how much a block expands, its channels, how many blocks, the first one's stride.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@dataclass(frozen=True)
class Layer:
    """A convolution with bias, and with a ReLU6 unless it projects."""

    channels: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False
    bounded: bool = True

    @property
    def pad(self) -> int:
        return self.kernel // 2

    @property
    def group(self) -> int:
        return self.channels if self.depthwise else 1


@dataclass(frozen=True)
class Block:
    """Layers one after the other; the input is added to the result if it is `residual`."""

    layers: tuple[Layer, ...]
    residual: bool = False


def blocks(width: float = 1.0) -> list[Block]:
    """The network but for its classifier; `width` multiplies the channels."""

    def scaled(channels: int) -> int:
        return max(8, round(channels * width / 8) * 8)

    channels = scaled(32)
    network = [Block((Layer(3, channels, kernel=3, stride=2),))]
    for expansion, out, count, first_stride in STAGES:
        for number in range(count):
            stride, wide = (first_stride if number == 0 else 1), channels * expansion
            layers = [Layer(channels, wide)] if expansion > 1 else []
            layers.append(Layer(wide, wide, 3, stride, depthwise=True))
            layers.append(Layer(wide, scaled(out), bounded=False))
            network.append(Block(tuple(layers), residual=number > 0))
            channels = scaled(out)
    return [*network, Block((Layer(channels, scaled(1280)),))]


@dataclass(frozen=True)
class Weights:
    """Of each layer in order, then of the classifier, as ONNX has them."""

    convolutions: list[tuple[np.ndarray, np.ndarray]]
    dense: tuple[np.ndarray, np.ndarray]


def random_weights(network: list[Block], rng: np.random.Generator) -> Weights:
    """Such that activations keep their size from layer to layer."""
    convolutions = []
    for layer in (layer for block in network for layer in block.layers):
        shape = (layer.out_channels, layer.channels // layer.group, layer.kernel, layer.kernel)
        deviation = math.sqrt((2 if layer.bounded else 1) / math.prod(shape[1:]))
        weight = deviation * rng.standard_normal(shape, np.float32)
        convolutions.append((weight, rng.uniform(0, 0.2, len(weight)).astype(np.float32)))
    channels = network[-1].layers[-1].out_channels
    dense = rng.standard_normal((channels, CLASSES), np.float32) / np.float32(math.sqrt(channels))
    return Weights(convolutions, (dense, rng.normal(0, 0.1, CLASSES).astype(np.float32)))


# ---- float32 in NumPy ---------------------------------------------------------------------------


class FloatNetwork:
    """Convolutions as products of patches with weights; depthwise ones tap by tap."""

    def __init__(self, network: list[Block], weights: Weights) -> None:
        self._network, self._weights = network, weights
        self._kernels = [
            np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(-1, len(weight)))
            for weight, _ in weights.convolutions
        ]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The logits of images (N, H, W, 3)."""
        *_, logits = self.activations(x)
        return logits

    def activations(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """All that is quantized in the int8 network, in order, and then the logits."""
        yield x
        number = 0
        for block in self._network:
            before = x
            for layer in block.layers:
                x = self._convolve(x, layer, number)
                yield x
                number += 1
            if block.residual:
                x = x + before
                yield x
        x = x.mean(axis=(1, 2))
        yield x
        weight, bias = self._weights.dense
        yield x @ weight + bias

    def _convolve(self, x: np.ndarray, layer: Layer, number: int) -> np.ndarray:
        kernel, bias = self._kernels[number], self._weights.convolutions[number][1]
        if layer.kernel == 1:
            y = x @ kernel + bias
        else:
            around = ((0, 0), (layer.pad, layer.pad), (layer.pad, layer.pad), (0, 0))
            extents = (layer.kernel, layer.kernel)
            windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, around), extents, (1, 2))
            windows = windows[:, :: layer.stride, :: layer.stride]
            if layer.depthwise:
                taps = kernel.reshape(*extents, -1)
                y = sum(windows[..., i, j] * taps[i, j] for i, j in np.ndindex(extents)) + bias
            else:
                patches = windows.transpose(0, 1, 2, 4, 5, 3)
                y = patches.reshape(*patches.shape[:3], -1) @ kernel + bias
        return np.clip(y, 0, 6, out=y) if layer.bounded else y


# ---- int8 in quantlib ---------------------------------------------------------------------------


def ranges_of(network: FloatNetwork, images: np.ndarray) -> list[ql.QuantParams]:
    """Scale and zero point of each activation, from the smallest and the largest seen."""
    *activations, _ = network.activations(images)
    return [ql.calibrate(values, method="minmax", qtype="uint8") for values in activations]


def int8_weight(weight: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric codes and the scale of each output channel, which are along `axis`."""
    largest = np.abs(weight).max(axis=tuple(i for i in range(weight.ndim) if i != axis))
    params = ql.QuantParams.from_range(
        -largest, largest, "int8", symmetric=True, narrow=True, axis=axis
    )
    return ql.quantize(weight, params), params.scale


def int8_bias(bias: np.ndarray, x_scale: np.ndarray, w_scale: np.ndarray) -> np.ndarray:
    """In units of the accumulators."""
    return np.rint(bias / (x_scale.astype(np.float64) * w_scale)).astype(np.int32)


def named(letter: str, params: ql.QuantParams) -> dict[str, Any]:
    """Scale and zero point as the arguments of an operand of that letter."""
    return {f"{letter}_scale": params.scale, f"{letter}_zero_point": params.zero_point}


class Int8Network:
    """Prepared operators, channels last."""

    def __init__(
        self, network: list[Block], weights: Weights, ranges: list[ql.QuantParams]
    ) -> None:
        following, pairs = iter(ranges), iter(weights.convolutions)
        self._input = params = next(following)
        self._blocks = []
        for block in network:
            before, convolutions = params, []
            for layer in block.layers:
                after = next(following)
                convolutions.append(self._convolution(layer, *next(pairs), params, after))
                params = after
            add = None
            if block.residual:
                after = next(following)
                add = ql.QLinearAdd(**named("a", params), **named("b", before), **named("y", after))
                params = after
            self._blocks.append((convolutions, add))
        after = next(following)
        self._pool = ql.QLinearGlobalAveragePool(
            **named("x", params), **named("y", after), layout="NHWC"
        )
        weight, bias = weights.dense
        codes, scale = int8_weight(weight, axis=1)
        self._dense = ql.QLinearMatMul(
            codes, scale, **named("a", after), bias=int8_bias(bias, after.scale, scale)
        )

    @staticmethod
    def _convolution(
        layer: Layer,
        weight: np.ndarray,
        bias: np.ndarray,
        before: ql.QuantParams,
        after: ql.QuantParams,
    ) -> ql.QLinearConv:
        codes, scale = int8_weight(weight, axis=0)
        return ql.QLinearConv(
            codes,
            scale,
            **named("x", before),
            **named("y", after),
            b=int8_bias(bias, before.scale, scale),
            activation="relu6" if layer.bounded else None,
            pads=[layer.pad] * 4,
            strides=[layer.stride] * 2,
            group=layer.group,
            layout="NHWC",
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """The logits of images (N, H, W, 3)."""
        x = ql.quantize(images, self._input)
        for convolutions, add in self._blocks:
            before = x
            for convolve in convolutions:
                x = convolve(x)
            if add is not None:
                x = add(x, before)
        return self._dense(self._pool(x).reshape(len(x), -1))


# ---- both in ONNX Runtime -----------------------------------------------------------------------

CONTRIBUTED = "com.microsoft"


class Graph:
    """An ONNX model in the making."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, *inputs: Any, domain: str = "", **attributes: Any) -> str:
        """Adds a node; what is no name of a value becomes a constant."""
        from onnx import helper

        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [name], domain=domain, **attributes))
        return name

    def session(self, image_shape: tuple[int, ...], result: str, threads: int) -> Any:
        import onnxruntime
        from onnx import TensorProto, helper

        graph = helper.make_graph(
            self.nodes,
            "mobilenet",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, image_shape)],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, (image_shape[0], CLASSES))],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIBUTED, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def geometry(layer: Layer) -> dict[str, Any]:
    return {"pads": [layer.pad] * 4, "strides": [layer.stride] * 2, "group": layer.group}


def float_graph(network: list[Block], weights: Weights) -> tuple[Graph, str]:
    graph, pairs, x = Graph(), iter(weights.convolutions), "x"
    for block in network:
        before = x
        for layer in block.layers:
            x = graph.node("Conv", x, *next(pairs), **geometry(layer))
            if layer.bounded:
                x = graph.node("Clip", x, np.float32(0), np.float32(6))
        x = graph.node("Add", x, before) if block.residual else x
    x = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    return graph, graph.node("Gemm", x, *weights.dense)


def int8_graph(
    network: list[Block], weights: Weights, ranges: list[ql.QuantParams]
) -> tuple[Graph, str]:
    """With the bounds of ReLU6 in the ranges themselves, which begin at 0 and end at 6 or below."""
    graph, pairs = Graph(), iter(weights.convolutions)
    following = ((params.scale, params.zero_point) for params in ranges)
    params = next(following)
    x = graph.node("QuantizeLinear", "x", *params)
    for block in network:
        before, before_params = x, params
        for layer in block.layers:
            (weight, bias), after = next(pairs), next(following)
            codes, scale = int8_weight(weight, axis=0)
            bias = int8_bias(bias, params[0], scale)
            operands = codes, scale, np.zeros(len(codes), np.int8), *after, bias
            x = graph.node("QLinearConv", x, *params, *operands, **geometry(layer))
            params = after
        if block.residual:
            after = next(following)
            pair = x, *params, before, *before_params, *after
            x, params = graph.node("QLinearAdd", *pair, domain=CONTRIBUTED), after
    after = next(following)
    x = graph.node(
        "QLinearGlobalAveragePool", x, *params, *after, domain=CONTRIBUTED, channels_last=0
    )
    weight, bias = weights.dense
    codes, scale = int8_weight(weight, axis=1)
    bias = int8_bias(bias, after[0], scale)
    zeros = np.zeros(len(scale), np.int8)
    x = graph.node("Flatten", x)
    operands = x, *after, codes, scale, zeros, bias
    return graph, graph.node("QGemm", *operands, domain=CONTRIBUTED)


def peers(
    network: list[Block],
    weights: Weights,
    ranges: list[ql.QuantParams],
    image: np.ndarray,
    threads: int,
) -> dict[str, Callable[[], np.ndarray]]:
    """Calls of both networks in ONNX Runtime, if it is installed, with the channels first."""
    if not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
        return {}
    made = {
        "float32, ONNX Runtime": float_graph(network, weights),
        "int8, ONNX Runtime": int8_graph(network, weights, ranges),
    }
    feed = {"x": np.ascontiguousarray(np.moveaxis(image, -1, 1))}

    def runner(session: Any) -> Callable[[], np.ndarray]:
        return lambda: session.run(None, feed)[0]

    return {
        name: runner(graph.session(feed["x"].shape, result, threads))
        for name, (graph, result) in made.items()
    }


# ---- the comparison -----------------------------------------------------------------------------


def milliseconds(call: Callable[[], Any], runs: int) -> float:
    """The median, after one that is not counted."""
    times = []
    for _ in range(runs + 1):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(times[1:]))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=224, help="of an image's sides")
    parser.add_argument("--width", type=float, default=1.0, help="what multiplies the channels")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    ql.set_num_threads(options.threads)

    rng, network = np.random.default_rng(0), blocks(options.width)
    weights = random_weights(network, rng)
    float_network = FloatNetwork(network, weights)
    size = options.size
    images = rng.uniform(-1, 1, (4, size, size, 3)).astype(np.float32)
    ranges = ranges_of(float_network, images)
    int8_network = Int8Network(network, weights, ranges)
    image = images[:1]
    engines = {
        "float32, NumPy": partial(float_network, image),
        "int8, quantlib": partial(int8_network, image),
        **peers(network, weights, ranges, image, options.threads),
    }
    count = sum(weight.size for weight, _ in weights.convolutions) + weights.dense[0].size
    print(f"{count:,} weights, images of {size}x{size}, threads: {options.threads}")
    wanted = engines["float32, NumPy"]()
    times = {name: milliseconds(call, options.runs) for name, call in engines.items()}
    for name, call in engines.items():
        alike = np.corrcoef(wanted.ravel(), call().ravel())[0, 1]
        faster = times["float32, NumPy"] / times[name]
        print(
            f"{name}: {times[name]:.2f} ms an image, {faster:.1f} times as fast as NumPy; "
            f"logits correlate {alike:.4f} with its"
        )


if __name__ == "__main__":
    main()
