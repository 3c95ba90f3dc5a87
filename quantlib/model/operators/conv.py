"""Convolutions of floats: windows gathered into rows, multiplied by BLAS.

All work on channels-last data, ``(N, spatial, C)``: a pixel's channels then lie side by side, so
that gathering a window copies runs of ``k * C`` numbers. Other layouts are transposed in and out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from quantlib.model.graph import ModelError, Node
from quantlib.model.operators.elementwise import bounds_of, clamp
from quantlib.model.operators.registry import Array, Kernel, Known, is_real, operator
from quantlib.model.operators.windows import Windows, tap

GATHERED = 1 << 18  # numbers gathered at a time: a megabyte of float32, which stays in the cache


@operator("Conv", "quantlib.Conv")
def build_conv(node: Node, known: Known) -> Kernel | None:
    if not is_real(known) or known.dtype(0) is None:
        return None
    weights = known.constant(1)
    bounds, group = bounds_of(node), node.attributes.get("group", 1)
    last = node.attributes.get("layout") == "NHWC"
    prepared = None if weights is None else FloatConv(node, weights, group)

    def run(x: Array, w: Array, b: Array | None = None, out: Array | None = None) -> Array:
        convolution = prepared or FloatConv(node, w, group)
        if last:
            return convolution(x, b, bounds, out)
        y = convolution(np.ascontiguousarray(np.moveaxis(x, 1, -1)), b, bounds, None)
        return np.ascontiguousarray(np.moveaxis(y, -1, 1))

    return Kernel(run, takes_out=last)


class FloatConv:
    """A convolution with its weights laid out for the product."""

    def __init__(self, node: Node, w: Array, group: int) -> None:
        kernel = w.shape[2:]
        declared = node.attributes.get("kernel_shape")
        if declared and tuple(declared) != kernel:
            raise ModelError(f"{node.label()} has kernel_shape {declared}, its weights {kernel}")
        if group < 1 or w.shape[0] % group:
            raise ModelError(f"{node.label()} has group {group} for weights of shape {w.shape}")
        self._label = node.label()
        self.windows = Windows.of(node, kernel)
        self.group, self.out_channels, self.depth = group, w.shape[0], w.shape[1]
        rows = np.moveaxis(w, 1, -1).reshape(group, w.shape[0] // group, -1)
        # (group, taps * C / group, M / group)
        self.matrix = np.ascontiguousarray(rows.transpose(0, 2, 1))
        self.is_depthwise = self.depth == 1 and group > 1
        self.is_pointwise = math.prod(kernel) == 1 and group == 1

    def __call__(self, x: Array, bias: Array | None, bounds: Any, out: Array | None) -> Array:
        if x.shape[-1] != self.depth * self.group or x.ndim != len(self.windows.kernel) + 2:
            raise ModelError(
                f"{self._label} takes {self.depth * self.group} channels and "
                f"{len(self.windows.kernel)} spatial axes, not data of shape {x.shape}"
            )
        padded, _, count = self.windows.padded(x, 0)
        shape = (x.shape[0], *count, self.out_channels)
        y = np.empty(shape, x.dtype) if out is None else out
        if y.size == 0:
            return y
        if self.is_depthwise:
            self._depthwise(padded, count, bias, bounds, y)
        elif self.is_pointwise:
            self._pointwise(padded, count, bias, bounds, y)
        else:
            self._gathered(padded, count, bias, bounds, y)
        return y

    def _pointwise(
        self, x: Array, count: tuple[int, ...], bias: Array | None, bounds: Any, y: Array
    ) -> None:
        for axis, (stride, windows) in enumerate(zip(self.windows.strides, count, strict=True)):
            x = tap(x, axis + 1, 0, stride, windows)
        rows = x.reshape(-1, x.shape[-1])
        result = y.reshape(rows.shape[0], -1)
        np.matmul(rows, self.matrix[0], out=result)
        _finish(result, bias, bounds)

    def _gathered(
        self, x: Array, count: tuple[int, ...], bias: Array | None, bounds: Any, y: Array
    ) -> None:
        """Blocks of windows as rows of a matrix; blocks are cut along the first spatial axis."""
        windows = self.windows
        rank = len(windows.kernel)
        views = np.lib.stride_tricks.sliding_window_view(
            x, windows.reach, axis=tuple(range(1, rank + 1))
        )
        steps = tuple(slice(None, None, stride) for stride in windows.strides)
        taps = tuple(slice(None, None, dilation) for dilation in windows.dilations)
        views = views[(slice(None), *steps, slice(None), *taps)]
        views = views[(slice(None), *(slice(c) for c in count))]
        # (N, o..., C, k...) to (N, o..., k..., C)
        views = np.moveaxis(views, rank + 1, -1)
        line = math.prod(count[1:]) * math.prod(windows.kernel) * x.shape[-1]
        for images, rows in _blocks(x.shape[0], count[0], line, GATHERED):
            target = y[images, rows]
            self._multiply(views[images, rows], target.reshape(-1, self.out_channels))
            _finish(target, bias, bounds)

    def _multiply(self, part: Array, target: Array) -> None:
        rows = target.shape[0]
        if self.group == 1:
            np.matmul(part.reshape(rows, -1), self.matrix[0], out=target)
            return
        columns = part.reshape(rows, -1, self.group, self.depth).transpose(2, 0, 1, 3)
        products = np.matmul(columns.reshape(self.group, rows, -1), self.matrix)
        target.reshape(rows, self.group, -1)[...] = products.transpose(1, 0, 2)

    def _depthwise(
        self, x: Array, count: tuple[int, ...], bias: Array | None, bounds: Any, y: Array
    ) -> None:
        """One product for each tap of the kernel, over all windows at once."""
        per_tap = self.matrix[:, :, :].transpose(1, 0, 2).reshape(-1, self.out_channels)
        multiple = self.out_channels // self.group
        line = math.prod(y.shape[2:])
        for images, rows in _blocks(x.shape[0], count[0], line, GATHERED // 4):
            target = y[images, rows]
            self._add_taps(x[images], rows.start, target.shape[1:-1], per_tap, multiple, target)
            _finish(target, bias, bounds)

    def _add_taps(
        self, image: Array, start: int, counts: tuple[int, ...], per_tap: Array, multiple: int,
        target: Array,
    ) -> None:  # fmt: skip
        windows = self.windows
        product = np.empty_like(target)
        for index, place in enumerate(np.ndindex(*windows.kernel)):
            source = image
            for axis, offset in enumerate(place):
                first = offset * windows.dilations[axis]
                first += start * windows.strides[0] if axis == 0 else 0
                source = tap(source, axis + 1, first, windows.strides[axis], counts[axis])
            if multiple > 1:
                source = np.repeat(source, multiple, axis=-1)
            if index == 0:
                np.multiply(source, per_tap[index], out=target)
            else:
                np.multiply(source, per_tap[index], out=product)
                target += product


def _blocks(images: int, rows: int, line: int, budget: int) -> Iterator[tuple[slice, slice]]:
    """Images and rows to work on at a time: several small images, or some rows of a large one."""
    height = min(max(budget // max(line, 1), 1), max(rows, 1))
    several = max(budget // max(line * rows, 1), 1) if height >= rows else 1
    for image in range(0, images, several):
        for row in range(0, rows, height):
            yield slice(image, image + several), slice(row, row + height)


def _finish(y: Array, bias: Array | None, bounds: Any) -> None:
    if bias is not None:
        y += bias
    clamp(y, bounds)


Run = Callable[..., Array]


@operator("ConvTranspose")
def conv_transpose(node: Node, known: Known) -> Kernel | None:
    """Every input pixel's products, added where the windows lie: one addition for each tap."""
    if not is_real(known) or known.dtype(0) is None:
        return None
    group = node.attributes.get("group", 1)

    def run(x: Array, w: Array, b: Array | None = None) -> Array:
        rank = w.ndim - 2
        windows = Windows.of(node, w.shape[2:])
        extra = tuple(node.attributes.get("output_padding") or (0,) * rank)
        full = [
            (d - 1) * s + r
            for d, s, r in zip(x.shape[2:], windows.strides, windows.reach, strict=True)
        ]
        pads, wanted = _transposed_pads(node, windows, x.shape[2:], full, extra)
        channels = w.shape[1] * group
        canvas = [max(f, p + o) for f, p, o in zip(full, pads, wanted, strict=True)]
        y = np.zeros((x.shape[0], *canvas, channels), x.dtype)
        rows = np.moveaxis(x, 1, -1).reshape(-1, group, w.shape[0] // group).transpose(1, 0, 2)
        taps = w.reshape(group, w.shape[0] // group, w.shape[1], -1)
        for index, place in enumerate(np.ndindex(*w.shape[2:])):
            product = np.matmul(rows, taps[..., index]).transpose(1, 0, 2)
            target = y
            for axis, offset in enumerate(place):
                first = offset * windows.dilations[axis]
                target = tap(target, axis + 1, first, windows.strides[axis], x.shape[axis + 2])
            target += product.reshape(target.shape)
        inner = tuple(slice(p, p + o) for p, o in zip(pads, wanted, strict=True))
        y = y[(slice(None), *inner)]
        return np.ascontiguousarray(np.moveaxis(y if b is None else y + b, -1, 1))

    return Kernel(run)


def _transposed_pads(
    node: Node,
    windows: Windows,
    spatial: tuple[int, ...],
    full: list[int],
    extra: tuple[int, ...],
) -> tuple[list[int], list[int]]:
    """What is cut off before each axis, and the extents of the result."""
    rank = len(spatial)
    shape = node.attributes.get("output_shape")
    if not shape and windows.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        shape = [d * s for d, s in zip(spatial, windows.strides, strict=True)]
    if not shape:
        pads = (0,) * (2 * rank) if windows.auto_pad == "VALID" else windows.pads
        ends = zip(full, extra, pads[:rank], pads[rank:], strict=True)
        return list(pads[:rank]), [f + e - begin - end for f, e, begin, end in ends]
    wanted = list(shape)[-rank:]
    total = [max(f + e - o, 0) for f, e, o in zip(full, extra, wanted, strict=True)]
    if windows.auto_pad == "SAME_UPPER":
        return [t // 2 for t in total], wanted
    return [t - t // 2 for t in total], wanted
