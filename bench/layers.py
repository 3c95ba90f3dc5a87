"""The layers between products, codes in and out, against float32 in NumPy and ONNX Runtime.

The baseline computes the same on reals, as one writes it in NumPy, channels first; what it returns
is checked against the codes, dequantized. These layers do little with each byte, so `share`
compares the bytes that they read and write a second with those of a copy of bytes of that size.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bench import peers
from bench.conv import first, last
from bench.peers import Input
from bench.selection import Selection
from quantlib import ops, reference
from quantlib.benchmark.cases import BASELINE, Admission, Candidate, Case, Race, WrongResultError
from quantlib.benchmark.stopwatch import Contender

SCALE, ZERO_POINT = np.float32(0.03), np.uint8(120)
Y_SCALE, Y_ZERO_POINT = np.float32(0.04), np.uint8(110)
HALF_A_STEP = 0.51
CONTRIBUTED = "com.microsoft"


@dataclass(frozen=True)
class Layer:
    """One operation on arrays of these shapes: its arguments after each array, and its keywords;
    what computes the same on reals; and the peer's node, its domain and attributes."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    real: Callable[..., Any]
    node: str
    keywords: dict[str, Any] = field(default_factory=dict)
    domain: str = CONTRIBUTED
    attributes: dict[str, Any] | None = None  # where they are not the keywords
    y_scale: Any = Y_SCALE
    quantized: bool = True  # whether the operation has scales
    detail: str = ""
    steps: int = 1  # by which the peer's codes may differ
    prepared: str = ""  # the name of the operation with its parameters fixed

    @property
    def label(self) -> str:
        shapes = " ".join(",".join(map(str, shape)) for shape in self.shapes)
        return f"{self.name} {shapes}{self.detail}"


def _largest(x: Any, size: int, stride: int, pad: int) -> Any:
    around = ((0, 0), (0, 0), (pad, pad), (pad, pad))
    windows = sliding_window_view(np.pad(x, around, constant_values=-np.inf), (size, size), (2, 3))
    return windows[:, :, ::stride, ::stride].max(axis=(4, 5))


def _halves(x: Any) -> Any:
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


def _halves_last(x: Any) -> Any:
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def _softmax(x: Any) -> Any:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _doubled(x: Any) -> Any:
    return x.repeat(2, axis=2).repeat(2, axis=3)


def _doubled_last(x: Any) -> Any:
    return x.repeat(2, axis=1).repeat(2, axis=2)


IMAGE, FEW = (1, 64, 56, 56), (1, 2048, 7, 7)
IMAGE_LAST, FEW_LAST = (1, 56, 56, 64), (1, 7, 7, 2048)
POOL = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
HALVE = {"kernel_shape": [2, 2], "strides": [2, 2]}
DOUBLE = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
LAST = {"layout": "NHWC"}
PROBABILITY, HUNDREDTH = np.float32(1 / 255), np.float32(0.01)
LAYERS = (
    *(
        Layer("qlinear_add", (shape, shape), np.add, "QLinearAdd", prepared="QLinearAdd")
        for shape in ((1000,), IMAGE, (4_000_000,))
    ),
    *(
        Layer("qlinear_mul", (IMAGE, shape), np.multiply, "QLinearMul", prepared="QLinearMul")
        for shape in ((1, 64, 1, 1), IMAGE)
    ),
    Layer("qlinear_sigmoid", (IMAGE,), lambda x: 1 / (1 + np.exp(-x)), "QLinearSigmoid"),
    Layer("qlinear_leaky_relu", (IMAGE,), lambda x: np.maximum(x, 0.01 * x), "QLinearLeakyRelu"),
    *(
        Layer(
            "qlinear_softmax",
            (shape,),
            _softmax,
            "QLinearSoftmax",
            y_scale=PROBABILITY,
            attributes={"axis": -1, "opset": 13},
            prepared="QLinearSoftmax",
        )
        for shape in ((1, 1000), (1536, 128))
    ),
    Layer(
        "max_pool",
        ((1, 64, 112, 112),),
        partial(_largest, size=3, stride=2, pad=1),
        "MaxPool",
        POOL,
        domain="",
        quantized=False,
        detail=" kernel=3 stride=2",
        prepared="MaxPool",
    ),
    Layer(
        "max_pool",
        ((1, 112, 112, 64),),
        lambda x: last(_largest(first(x), size=3, stride=2, pad=1)),
        "NhwcMaxPool",
        {**POOL, **LAST},
        quantized=False,
        attributes=POOL,
        detail=" kernel=3 stride=2 NHWC",
        prepared="MaxPool",
    ),
    *(
        Layer(
            "qlinear_average_pool",
            (shape,),
            real,
            "QLinearAveragePool",
            {**HALVE, **layout},
            attributes={**HALVE, "channels_last": int(bool(layout))},
            detail=f" kernel=2{name}",
            prepared="QLinearAveragePool",
        )
        for shape, real, layout, name in (
            (IMAGE, _halves, {}, ""),
            (IMAGE_LAST, _halves_last, LAST, " NHWC"),
        )
    ),
    *(
        Layer(
            "qlinear_global_average_pool",
            (shape,),
            partial(np.mean, axis=axes, keepdims=True),
            "QLinearGlobalAveragePool",
            layout,
            y_scale=HUNDREDTH,
            attributes={"channels_last": int(bool(layout))},
            detail=name,
            prepared="QLinearGlobalAveragePool",
        )
        for shape, axes, layout, name in (
            (FEW, (2, 3), {}, ""),
            (FEW_LAST, (1, 2), LAST, " NHWC"),
        )
    ),
    *(
        Layer(
            "resize",
            (shape,),
            real,
            "Resize",
            {"scales": np.float32(scales), "mode": "nearest", **DOUBLE},
            domain="",
            attributes={"mode": "nearest", **DOUBLE},
            quantized=False,
            detail=f" doubled{name}",
            prepared="Resize",
        )
        for shape, real, scales, name in (
            ((1, 64, 40, 40), _doubled, [1, 1, 2, 2], ""),
            ((1, 40, 40, 64), _doubled_last, [1, 2, 2, 1], " NHWC"),
        )
    ),
)


def cases(threads: int, selection: Selection, admission: Admission) -> Iterator[Case]:
    for layer in LAYERS:
        work = max(int(np.prod(shape)) for shape in layer.shapes)
        if selection.takes("layers", layer.label, work):
            yield _case(layer, threads, admission)


def _case(layer: Layer, threads: int, admission: Admission) -> Case:
    random = np.random.default_rng(7)
    codes = [random.integers(0, 256, shape, np.uint8) for shape in layer.shapes]
    reals = [SCALE * (x.astype(np.float32) - np.float32(ZERO_POINT)) for x in codes]
    arguments = _arguments(layer, codes)
    expected = getattr(reference, layer.name)(*arguments, **layer.keywords)
    y = np.empty(expected.shape, expected.dtype)
    rivals = admission.peers(_candidates(layer, codes, expected, threads))
    races = [
        Race(admission.required(name, call, expected), rivals)
        for name, call in _ours(layer, codes, arguments, y).items()
    ]
    _check_real(layer, layer.real(*reals), expected)
    moved = sum(x.size for x in codes) + expected.size
    source = np.zeros(moved // 2, np.uint8)
    target = np.empty_like(source)
    return Case(
        suite="layers",
        shape=layer.label.partition(" ")[2],
        work=expected.size,
        baseline=Contender(BASELINE, lambda: layer.real(*reals)),
        races=tuple(races),
        bytes_moved=moved,
        copy=Contender("NumPy copy", lambda: np.copyto(target, source)),
        copy_bytes=2 * source.size,
    )


def _ours(layer: Layer, codes: list[Any], arguments: list[Any], y: Any) -> dict[str, Any]:
    """The calls of quantlib, by what they are named in the tables: the operation prepared, as the
    peers are, where it can be, and by itself."""
    operation = getattr(ops, layer.name)
    by_itself = partial(operation, *arguments, **layer.keywords, out=y)
    if not layer.prepared:
        return {layer.name: by_itself}
    names = [
        parameter.name
        for parameter in inspect.signature(operation).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    is_code = {id(x) for x in codes}
    fixed = {
        name: value
        for name, value in zip(names, arguments, strict=False)
        if id(value) not in is_code
    }
    made = getattr(ops, layer.prepared)(**fixed, **layer.keywords)
    return {
        layer.prepared: partial(made, *codes, out=y),
        f"{layer.name}, not prepared": by_itself,
    }


def _arguments(layer: Layer, codes: list[Any]) -> list[Any]:
    """The operands as the operation and the node take them."""
    if not layer.quantized:
        return codes
    operands = [part for x in codes for part in (x, SCALE, ZERO_POINT)]
    return [*operands, layer.y_scale, Y_ZERO_POINT]


def _check_real(layer: Layer, real: Any, expected: Any) -> None:
    """The baseline is right if its reals, quantized, are the codes, but for rounding."""
    scale, zero = (layer.y_scale, Y_ZERO_POINT) if layer.quantized else (SCALE, ZERO_POINT)
    codes = np.clip(real / scale + np.float32(zero), 0, 255)
    if np.abs(codes - expected).max() > HALF_A_STEP:
        raise WrongResultError(f"{BASELINE} is wrong in {layer.label}")


def _candidates(layer: Layer, codes: list[Any], expected: Any, threads: int) -> Iterator[Candidate]:
    if not peers.installed("onnx", "onnxruntime"):
        return
    fed = {id(x) for x in codes}
    inputs = [Input(part, id(part) not in fed) for part in _arguments(layer, codes)]
    if layer.node == "Resize":
        inputs += [Input(np.float32([])), Input(layer.keywords["scales"])]
    attributes = layer.keywords if layer.attributes is None else layer.attributes
    yield Candidate(
        f"ONNX Runtime {layer.node}",
        lambda: peers.onnx_call(
            layer.node,
            inputs,
            np.empty(expected.shape, expected.dtype),
            threads=threads,
            domain=layer.domain,
            **attributes,
        ),
        expected,
        steps=layer.steps,
    )
