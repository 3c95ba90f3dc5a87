"""Convolutions, quantized in and out: int8 against float32, layer by layer.

Activations are uint8 with a zero point, weights int8 with a scale for each output channel. The
baseline is float32 in NumPy, written as one would: patches with `sliding_window_view` and one
matrix product; for depthwise layers, where that is slow, a sum over the taps. Channels are last
there, as in quantlib's fast layout; the peers take NCHW unless their name says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bench import peers, shapes
from bench.peers import Input
from bench.selection import Selection
from bench.shapes import ConvShape
from quantlib import ops, reference
from quantlib.benchmark.cases import BASELINE, Admission, Candidate, Case, Race
from quantlib.benchmark.stopwatch import Contender

X_SCALE, X_ZERO_POINT, Y_ZERO_POINT = np.float32(0.02), np.uint8(121), np.uint8(117)
STEPS_OF_DEVIATION = 40.0


def last(x: Any) -> Any:
    """NCHW to NHWC."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def first(x: Any) -> Any:
    """NHWC to NCHW."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


@dataclass(frozen=True)
class Layer:
    """The data of one shape, NCHW."""

    shape: ConvShape

    @cached_property
    def _random(self) -> np.random.Generator:
        return np.random.default_rng(self.shape.operations)

    @cached_property
    def x(self) -> Any:
        s = self.shape
        return self._random.integers(0, 256, (s.batch, s.channels, s.height, s.width), np.uint8)

    @cached_property
    def w(self) -> Any:
        s = self.shape
        extents = (s.out_channels, s.channels // s.group, s.kernel, s.kernel)
        return self._random.integers(-127, 128, extents, np.int8)

    @cached_property
    def w_scale(self) -> Any:
        return self._random.uniform(0.004, 0.006, self.shape.out_channels).astype(np.float32)

    @cached_property
    def bias(self) -> Any:
        return self._random.integers(-1000, 1000, self.shape.out_channels, np.int32)

    @cached_property
    def y_scale(self) -> np.float32:
        """Such that few results saturate."""
        products = self.shape.channels // self.shape.group * self.shape.kernel**2
        return np.float32(X_SCALE * 0.005 * 74 * 74 * np.sqrt(products) / STEPS_OF_DEVIATION)

    @cached_property
    def real_x(self) -> Any:
        return (self.x.astype(np.float32) - np.float32(X_ZERO_POINT)) * X_SCALE

    @cached_property
    def real_w(self) -> Any:
        return self.w.astype(np.float32) * self.w_scale[:, np.newaxis, np.newaxis, np.newaxis]

    @property
    def operands(self) -> tuple[Any, ...]:
        """As the definition and the ONNX operator take them, after the input."""
        no_offset = np.zeros(self.shape.out_channels, np.int8)
        quantized_w = self.w, self.w_scale, no_offset
        return X_SCALE, X_ZERO_POINT, *quantized_w, self.y_scale, Y_ZERO_POINT, self.bias

    @property
    def geometry(self) -> dict[str, Any]:
        s = self.shape
        return {"pads": [s.pad] * 4, "strides": [s.stride] * 2, "group": s.group}

    def result(self, dtype: Any, layout: str = "NCHW") -> Any:
        s = self.shape
        if layout == "NCHW":
            return np.empty((s.batch, s.out_channels, *s.out_extent), dtype)
        return np.empty((s.batch, *s.out_extent, s.out_channels), dtype)


def cases(threads: int, selection: Selection, admission: Admission) -> Iterator[Case]:
    for shape in shapes.conv_shapes(selection.files):
        if selection.takes("conv", shape.label, shape.operations):
            yield _case(Layer(shape), threads, admission)


def _case(layer: Layer, threads: int, admission: Admission) -> Case:
    expected = reference.qlinear_conv(layer.x, *layer.operands, **layer.geometry)
    real = real_result(layer)
    rivals = (
        *_onnx_peers(layer, threads, admission, expected, real),
        *_torch_peers(layer, threads, admission, expected, real),
    )
    races = (
        Race(_ours(layer, "NHWC", last(layer.x), last(expected), admission), rivals),
        Race(_ours(layer, "NCHW", layer.x, expected, admission), rivals),
    )
    shape = layer.shape
    return Case("conv", shape.label, shape.operations, _baseline(layer, real, admission), races)


def _ours(layer: Layer, layout: str, x: Any, expected: Any, admission: Admission) -> Contender:
    op = ops.QLinearConv(
        layer.w,
        layer.w_scale,
        x_scale=X_SCALE,
        x_zero_point=X_ZERO_POINT,
        y_scale=layer.y_scale,
        y_zero_point=Y_ZERO_POINT,
        b=layer.bias,
        layout=layout,
        **layer.geometry,
    )
    y = layer.result(np.uint8, layout)
    return admission.required(f"QLinearConv {layout}", lambda: op(x, out=y), expected)


# --- float32 in NumPy -----------------------------------------------------------------------------


def real_result(layer: Layer) -> Any:
    """What the float32 convolution is, NCHW: the exact sums of codes, in reals."""
    sums = reference.conv_integer(layer.x, layer.w, X_ZERO_POINT, **layer.geometry)
    scale = np.float64(X_SCALE) * layer.w_scale[:, np.newaxis, np.newaxis]
    return (sums * scale).astype(np.float32)


def _baseline(layer: Layer, real: Any, admission: Admission) -> Contender:
    return admission.required(BASELINE, float_convolution(layer), last(real))


def float_convolution(layer: Layer) -> Any:
    """A call without arguments that convolves `real_x` with `real_w`, NHWC."""
    x = last(layer.real_x)
    if layer.shape.depthwise:
        return _by_taps(layer, x)
    return _by_patches(layer, x) if layer.shape.group == 1 else _by_patches_of_groups(layer, x)


def _windows(shape: ConvShape, x: Any) -> Any:
    """The patch under each output pixel, a view: (N, H', W', C, kernel, kernel)."""
    pad = shape.pad
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0))) if pad else x
    extents = (shape.kernel, shape.kernel)
    windows = np.lib.stride_tricks.sliding_window_view(padded, extents, axis=(1, 2))
    return windows[:, :: shape.stride, :: shape.stride]


def _by_patches(layer: Layer, x: Any) -> Any:
    s = layer.shape
    weights = np.ascontiguousarray(layer.real_w.transpose(2, 3, 1, 0).reshape(-1, s.out_channels))

    def call() -> Any:
        windows = _windows(s, x)
        patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, len(weights))
        return (patches @ weights).reshape(*windows.shape[:3], s.out_channels)

    return call


def _by_patches_of_groups(layer: Layer, x: Any) -> Any:
    """One product for each group, as a batch."""
    s = layer.shape
    channels, out_channels = s.channels // s.group, s.out_channels // s.group
    weights = layer.real_w.reshape(s.group, out_channels, channels, s.kernel, s.kernel)
    weights = weights.transpose(0, 3, 4, 2, 1).reshape(s.group, -1, out_channels)
    weights = np.ascontiguousarray(weights)

    def call() -> Any:
        windows = _windows(s, x)
        pixels = windows.shape[:3]
        grouped = windows.reshape(*pixels, s.group, channels, s.kernel, s.kernel)
        patches = grouped.transpose(3, 0, 1, 2, 5, 6, 4).reshape(s.group, -1, weights.shape[1])
        products = (patches @ weights).reshape(s.group, *pixels, out_channels)
        return products.transpose(1, 2, 3, 0, 4).reshape(*pixels, s.out_channels)

    return call


def _by_taps(layer: Layer, x: Any) -> Any:
    s = layer.shape
    taps = np.ascontiguousarray(layer.real_w[:, 0].transpose(1, 2, 0))
    product = layer.result(np.float32, "NHWC")

    def call() -> Any:
        windows = _windows(s, x)
        y = np.zeros_like(product)
        for row in range(s.kernel):
            for column in range(s.kernel):
                np.multiply(windows[..., row, column], taps[row, column], out=product)
                y += product
        return y

    return call


# --- peers ----------------------------------------------------------------------------------------


def _onnx_peers(
    layer: Layer, threads: int, admission: Admission, expected: Any, real: Any
) -> tuple[Contender, ...]:
    if not peers.installed("onnx", "onnxruntime"):
        return ()

    def quantized(x: Any, layout: str, **more: Any) -> Any:
        inputs = [Input(x, constant=False), *map(Input, layer.operands)]
        output = layer.result(np.uint8, layout)
        return peers.onnx_call(
            "QLinearConv", inputs, output, threads=threads, **more, **layer.geometry
        )

    def channels_last() -> Any:
        return quantized(last(layer.x), "NHWC", domain="com.microsoft", channels_last=1)

    def float32() -> Any:
        inputs = [Input(layer.real_x, constant=False), Input(layer.real_w)]
        output = layer.result(np.float32)
        return peers.onnx_call("Conv", inputs, output, threads=threads, **layer.geometry)

    return admission.peers(
        [
            Candidate("ONNX Runtime QLinearConv", lambda: quantized(layer.x, "NCHW"), expected),
            Candidate("ONNX Runtime QLinearConv NHWC", channels_last, last(expected)),
            Candidate("ONNX Runtime float32", float32, real),
        ]
    )


def _torch_peers(
    layer: Layer, threads: int, admission: Admission, expected: Any, real: Any
) -> tuple[Contender, ...]:
    if not peers.installed("torch"):
        return ()

    def float32() -> Any:
        return peers.torch_conv_call(layer.real_x, layer.real_w, layer.shape, threads=threads)

    def quantized(engine: str) -> Candidate:
        def call() -> Any:
            return peers.torch_quantized_conv_call(
                engine, layer.x, layer.operands, layer.shape, threads=threads
            )

        name = f"torch quantized conv {engine}"
        return Candidate(name, call, expected, steps=1, read=peers.torch_codes)

    engines = map(quantized, peers.TORCH_ENGINES)
    return admission.peers([*engines, Candidate("torch float32", float32, real)])
