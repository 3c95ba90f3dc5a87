"""Reductions along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quantlib import _native
from quantlib.model.graph import Node
from quantlib.model.operators.registry import Array, Kernel, Known, is_real, operator

_REDUCTIONS: dict[str, Callable[..., Array]] = {
    "ReduceMax": np.max,
    "ReduceMean": np.mean,
    "ReduceMin": np.min,
    "ReduceSum": np.sum,
}


def axes_of(node: Node, known: Known, position: int = 1) -> tuple[int, ...] | None:
    """The axes that a node names by an attribute or a constant input; None if it names none."""
    axes: Any = node.attributes.get("axes")
    if axes is None and node.input(position):
        axes = known.constant(position)
    return None if axes is None else tuple(int(axis) for axis in np.asarray(axes).reshape(-1))


@operator(*_REDUCTIONS)
def reduction(node: Node, known: Known) -> Kernel | None:
    if not is_real_data(known) or not known.is_constant(1):
        return None
    axes = axes_of(node, known) or None
    if axes is None and node.attributes.get("noop_with_empty_axes", 0):
        return Kernel(lambda x, *_: x)
    keep = bool(node.attributes.get("keepdims", 1))
    function = _REDUCTIONS[node.op_type]

    def run(x: Array, *_: Any) -> Array:
        if x.size == 0:
            return _of_nothing(node.op_type, x, axes, keep)
        return np.asarray(function(x, axis=axes, keepdims=keep))

    return Kernel(run)


def _of_nothing(kind: str, x: Array, axes: tuple[int, ...] | None, keep: bool) -> Array:
    """The result over no elements: the operation's neutral element."""
    start = {"ReduceMax": -np.inf, "ReduceMin": np.inf}.get(kind, 0.0)
    if kind == "ReduceMean":
        with np.errstate(all="ignore"):
            return np.asarray(np.sum(x, axis=axes, keepdims=keep) / x.dtype.type(0))
    return np.asarray(np.sum(x, axis=axes, keepdims=keep, initial=start), x.dtype)


def is_real_data(known: Known) -> bool:
    """Whether the first input is float32 or float64."""
    return known.dtype(0) in (np.float32, np.float64)


@operator("Softmax", "LogSoftmax")
def softmax(node: Node, known: Known) -> Kernel | None:
    if not is_real(known):
        return None
    logarithmic = node.op_type == "LogSoftmax"
    if node.version >= 13:
        axis = node.attributes.get("axis", -1)
        return Kernel(lambda x, out=None: soften(x, axis, logarithmic, out), takes_out=True)
    first = node.attributes.get("axis", 1)

    def run(x: Array) -> Array:
        """Before opset 13, all axes from `first` on are one."""
        split = first % x.ndim if x.ndim else 0
        flat = x.reshape(int(np.prod(x.shape[:split])), -1) if x.size else x
        return soften(flat, -1, logarithmic, None).reshape(x.shape)

    return Kernel(run)


def soften(x: Array, axis: int, logarithmic: bool, out: Array | None) -> Array:
    """Softmax along `axis`, or its logarithm."""
    if x.size == 0:
        return x.copy() if out is None else out
    if x.dtype == np.float32 and not logarithmic and axis % x.ndim == x.ndim - 1:
        y = np.empty(x.shape, np.float32) if out is None else out
        _native.real_softmax(_native.ready(x, y.dtype), y)
        return y
    y = np.subtract(x, np.max(x, axis=axis, keepdims=True), out=out)
    if logarithmic:
        y -= np.log(np.sum(np.exp(y), axis=axis, keepdims=True))
        return y
    np.exp(y, out=y)
    y /= np.sum(y, axis=axis, keepdims=True)
    return y
