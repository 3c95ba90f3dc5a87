"""Normalizations."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlib import _native
from quantlib.model.graph import Node
from quantlib.model.operators.registry import Array, Kernel, Known, is_real, operator


def _per_channel(x: Array, value: Array) -> Array:
    return value.reshape((-1,) + (1,) * (x.ndim - 2))


@operator("BatchNormalization", "quantlib.BatchNormalization")
def batch_normalization(node: Node, known: Known) -> Kernel | None:
    if not is_real(known) or node.attributes.get("training_mode", 0):
        return None
    if len([name for name in node.outputs if name]) > 1:
        return None
    epsilon = node.attributes.get("epsilon", 1e-5)
    last = node.attributes.get("layout") == "NHWC"

    def run(x: Array, scale: Array, bias: Array, mean: Array, variance: Array) -> Array:
        factor = scale / np.sqrt(variance + variance.dtype.type(epsilon))
        offset = bias - mean * factor
        if last:
            return x * factor + offset
        return x * _per_channel(x, factor) + _per_channel(x, offset)

    return Kernel(run)


@operator("InstanceNormalization")
def instance_normalization(node: Node, known: Known) -> Kernel | None:
    if not is_real(known):
        return None
    epsilon = node.attributes.get("epsilon", 1e-5)

    def run(x: Array, scale: Array, bias: Array) -> Array:
        y = _standardized(x, tuple(range(2, x.ndim)), epsilon)
        return y * _per_channel(x, scale) + _per_channel(x, bias)

    return Kernel(run)


@operator("GroupNormalization")
def group_normalization(node: Node, known: Known) -> Kernel | None:
    if not is_real(known) or node.version < 21:
        return None
    groups, epsilon = node.attributes["num_groups"], node.attributes.get("epsilon", 1e-5)

    def run(x: Array, scale: Array, bias: Array) -> Array:
        grouped = x.reshape(x.shape[0], groups, -1)
        y = _standardized(grouped, (2,), epsilon).reshape(x.shape)
        return y * _per_channel(x, scale) + _per_channel(x, bias)

    return Kernel(run)


@operator("LayerNormalization")
def layer_normalization(node: Node, known: Known) -> Kernel | None:
    if not is_real(known) or len([name for name in node.outputs if name]) > 1:
        return None
    first, epsilon = node.attributes.get("axis", -1), node.attributes.get("epsilon", 1e-5)

    def run(x: Array, scale: Array, bias: Array | None = None, out: Array | None = None) -> Array:
        axes = tuple(range(first % x.ndim, x.ndim))
        if _has_kernel(x, axes, scale, bias):
            y = np.empty(x.shape, np.float32) if out is None else out
            _native.layer_norm(_native.ready(x, y.dtype), scale, bias, epsilon, y)
            return y
        y = _standardized(x, axes, epsilon, out)
        y *= scale
        if bias is not None:
            y += bias
        return y

    return Kernel(run, takes_out=True)


def _has_kernel(x: Array, axes: tuple[int, ...], scale: Array, bias: Array | None) -> bool:
    """Whether rows of float32 are normalized by parameters that are rows, too."""
    extents = x.shape[axes[0] :]
    parameters = (scale,) if bias is None else (scale, bias)
    return x.dtype == np.float32 and all(
        array.shape == extents and array.dtype == np.float32 and array.flags.c_contiguous
        for array in parameters
    )


def _standardized(
    x: Array, axes: tuple[int, ...], epsilon: float, out: Array | None = None
) -> Array:
    """`x` less its mean, divided by its standard deviation."""
    y = np.subtract(x, np.mean(x, axis=axes, keepdims=True), out=out)
    if axes == (x.ndim - 1,):
        variance: Any = np.einsum("...i,...i->...", y, y)[..., None] / y.shape[-1]
    else:
        variance = np.mean(y * y, axis=axes, keepdims=True)
    y /= np.sqrt(variance + x.dtype.type(epsilon))
    return y


@operator("LRN", "quantlib.LRN")
def local_response_normalization(node: Node, known: Known) -> Kernel | None:
    if not is_real(known):
        return None
    size, factor, offset, beta = _window(node)
    native = _native.LocalNorm(size, factor, offset, beta) if factor >= 0 and offset > 0 else None

    def last(x: Array, out: Array | None = None) -> Array:
        if x.dtype == np.float32 and native is not None:
            y = np.empty(x.shape, np.float32) if out is None else out
            native.run(_native.ready(x, y.dtype), y)
            return y
        before = (size - 1) // 2
        squares = np.zeros((*x.shape[:-1], x.shape[-1] + size - 1), x.dtype)
        squares[..., before : before + x.shape[-1]] = x * x
        sums = sum(squares[..., shift : shift + x.shape[-1]] for shift in range(size))
        return np.divide(x, (offset + factor * sums) ** beta, out=out)

    if node.attributes.get("layout") == "NHWC":
        return Kernel(last, takes_out=True)
    return Kernel(lambda x: np.ascontiguousarray(np.moveaxis(last(np.moveaxis(x, 1, -1)), -1, 1)))


def _window(node: Node) -> tuple[int, float, float, float]:
    """A local normalization's window, the factor of its squares, what is added, and the power."""
    attributes, size = node.attributes, node.attributes["size"]
    factor = attributes.get("alpha", 1e-4) / size
    return size, factor, attributes.get("bias", 1.0), attributes.get("beta", 0.75)


@operator("quantlib.QLinearLRN")
def quantized_local_response_normalization(node: Node, known: Known) -> Kernel | None:
    """``Q(LRN(DQ(x)))``; all but x are constants."""
    native = _native.LocalNorm(*_window(node))
    x_scale, x_zero, y_scale, y_zero = (known.constant(index) for index in range(1, 5))
    x_by = float(x_scale), 0 if x_zero is None else int(x_zero)  # type: ignore[arg-type]
    y_by = float(y_scale), int(y_zero)  # type: ignore[arg-type]
    dtype = y_zero.dtype  # type: ignore[union-attr]

    def last(x: Array, out: Array | None = None) -> Array:
        y = np.empty(x.shape, dtype) if out is None else out
        native.run_codes(_native.ready(x, x.dtype), x_by, y, y_by)
        return y

    if node.attributes.get("layout") == "NHWC":
        return Kernel(
            lambda x, *_, out=None: last(x, out),
            takes_out=True,
            bind=lambda x, *_, out: native.bind_codes(x, x_by, out, y_by),
        )
    return Kernel(
        lambda x, *_: np.ascontiguousarray(np.moveaxis(last(np.moveaxis(x, 1, -1)), -1, 1))
    )
