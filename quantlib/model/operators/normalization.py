"""Normalizations."""

from __future__ import annotations

from typing import Any

import numpy as np

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
        y = _standardized(x, axes, epsilon, out)
        y *= scale
        if bias is not None:
            y += bias
        return y

    return Kernel(run, takes_out=True)


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


@operator("LRN")
def local_response_normalization(node: Node, known: Known) -> Kernel | None:
    if not is_real(known):
        return None
    attributes, size = node.attributes, node.attributes["size"]
    alpha, beta = attributes.get("alpha", 1e-4), attributes.get("beta", 0.75)
    offset = attributes.get("bias", 1.0)

    def run(x: Array) -> Array:
        kind, before = x.dtype.type, (size - 1) // 2
        squares = np.zeros((x.shape[0], x.shape[1] + size - 1, *x.shape[2:]), x.dtype)
        squares[:, before : before + x.shape[1]] = x * x
        sums = squares[:, : x.shape[1]].copy()
        for shift in range(1, size):
            sums += squares[:, shift : shift + x.shape[1]]
        sums *= kind(alpha / size)
        sums += kind(offset)
        if beta != 0.75:
            return x / sums ** kind(beta)
        root = np.sqrt(sums, out=sums)  # two roots take a tenth of the time of a power
        root *= np.sqrt(root)
        return np.divide(x, root, out=root)

    return Kernel(run)
