"""Pools, of floats and of codes: the axes of a window are reduced one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlib.model.graph import Node
from quantlib.model.operators.registry import Array, Kernel, Known, is_real, operator
from quantlib.model.operators.windows import Windows, pad_spatial, tap


def _channels_last(node: Node, function: Any) -> Kernel:
    """`function` of channels-last data as a kernel of the node's layout."""
    if node.attributes.get("layout") == "NHWC":
        return Kernel(function)

    def run(x: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(function(np.moveaxis(x, 1, -1)), -1, 1))

    return Kernel(run)


def _reduce(x: Array, windows: Windows, count: tuple[int, ...], function: Any) -> Array:
    """`function`, np.maximum or np.add, over the windows of padded data."""
    for axis, (kernel, stride, dilation, number) in enumerate(
        zip(windows.kernel, windows.strides, windows.dilations, count, strict=True), start=1
    ):
        result = tap(x, axis, 0, stride, number)
        for offset in range(1, kernel):
            part = tap(x, axis, offset * dilation, stride, number)
            result = function(result, part, out=result if offset > 1 else None)
        x = result
    return x


@operator("MaxPool", "quantlib.MaxPool")
def max_pool(node: Node, known: Known) -> Kernel | None:
    dtype = known.dtype(0)
    if dtype is None or dtype.kind not in "iuf" or dtype.itemsize == 2:
        return None
    if len([name for name in node.outputs if name]) > 1:
        return None
    windows = Windows.of(node, tuple(node.attributes["kernel_shape"]))
    lowest = -np.inf if dtype.kind == "f" else np.iinfo(dtype).min

    def run(x: Array) -> Array:
        padded, _, count = windows.padded(x, lowest)
        y = _reduce(padded, windows, count, np.maximum)
        return np.ascontiguousarray(y)

    return _channels_last(node, run)


@operator("AveragePool", "quantlib.AveragePool")
def average_pool(node: Node, known: Known) -> Kernel | None:
    if not is_real(known) or known.dtype(0) is None:
        return None
    windows = Windows.of(node, tuple(node.attributes["kernel_shape"]))
    include_pads = bool(node.attributes.get("count_include_pad", 0))

    def run(x: Array) -> Array:
        padded, pads, count = windows.padded(x, 0)
        sums = _reduce(padded, windows, count, np.add)
        return np.divide(sums, _sizes(x, windows, pads, count, padded.shape, include_pads))

    return _channels_last(node, run)


def _sizes(
    x: Array,
    windows: Windows,
    pads: tuple[int, ...],
    count: tuple[int, ...],
    padded: tuple[int, ...],
    include_pads: bool,
) -> Array:
    """How many elements each window averages over: of the data, or of data and declared pads."""
    rank = len(count)
    spatial = x.shape[1:-1]
    ones = np.ones((1, *spatial, 1), x.dtype)
    if include_pads:
        ones = pad_spatial(ones, pads[:rank], pads[rank:], 1)
        ends = [max(p - o, 0) for p, o in zip(padded[1:-1], ones.shape[1:-1], strict=True)]
        ones = pad_spatial(ones, (0,) * rank, tuple(ends), 0)
    else:
        ends = [
            max(p - d - b, 0) for p, d, b in zip(padded[1:-1], spatial, pads[:rank], strict=True)
        ]
        ones = pad_spatial(ones, pads[:rank], tuple(ends), 0)
    return np.maximum(_reduce(ones, windows, count, np.add), 1)


@operator("GlobalAveragePool", "quantlib.GlobalAveragePool")
def global_average_pool(node: Node, known: Known) -> Kernel | None:
    if not is_real(known):
        return None
    last = node.attributes.get("layout") == "NHWC"

    def run(x: Array) -> Array:
        axes = tuple(range(1, x.ndim - 1)) if last else tuple(range(2, x.ndim))
        return np.asarray(np.mean(x, axis=axes, keepdims=True))

    return Kernel(run)


@operator("GlobalMaxPool", "quantlib.GlobalMaxPool")
def global_max_pool(node: Node, known: Known) -> Kernel | None:
    last = node.attributes.get("layout") == "NHWC"

    def run(x: Array) -> Array:
        axes = tuple(range(1, x.ndim - 1)) if last else tuple(range(2, x.ndim))
        return np.asarray(np.max(x, axis=axes, keepdims=True))

    return Kernel(run)
