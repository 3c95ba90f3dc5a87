"""Operators that move, select or name data without computing."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from quantlib import _native
from quantlib.model.graph import Node
from quantlib.model.operators.reduction import axes_of
from quantlib.model.operators.registry import Array, Kernel, Known, operator

INT64 = np.dtype(np.int64)


@operator("Constant")
def constant(node: Node, known: Known) -> Kernel | None:
    for name, kind in (("value_float", np.float32), ("value_floats", np.float32),
                       ("value_int", np.int64), ("value_ints", np.int64)):  # fmt: skip
        if name in node.attributes:
            return _always(np.array(node.attributes[name], kind))
    tensor = node.attributes.get("value")
    return _always(tensor) if isinstance(tensor, np.ndarray) else None


def _always(value: Array) -> Kernel:
    return Kernel(lambda: value)


@operator("Shape")
def shape(node: Node, known: Known) -> Kernel | None:
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    return Kernel(lambda x: np.array(x.shape[slice(start, end)], INT64))


@operator("Size")
def size(node: Node, known: Known) -> Kernel | None:
    return Kernel(lambda x: np.array(x.size, INT64))


@operator("Reshape")
def reshape(node: Node, known: Known) -> Kernel | None:
    allow_zero = bool(node.attributes.get("allowzero", 0))

    def run(x: Array, wanted: Array) -> Array:
        extents = [int(extent) for extent in wanted]
        if not allow_zero:
            extents = [x.shape[i] if extent == 0 else extent for i, extent in enumerate(extents)]
        return x.reshape(extents)

    return Kernel(run, is_view=True)


@operator("Flatten")
def flatten(node: Node, known: Known) -> Kernel | None:
    axis = node.attributes.get("axis", 1)

    def run(x: Array) -> Array:
        split = axis + x.ndim if axis < 0 else axis
        return x.reshape(int(np.prod(x.shape[:split], dtype=np.int64)),
                         int(np.prod(x.shape[split:], dtype=np.int64)))  # fmt: skip

    return Kernel(run, is_view=True)


@operator("Transpose")
def transpose(node: Node, known: Known) -> Kernel | None:
    order = node.attributes.get("perm")
    axes, rank = tuple(order or ()), len(order or ())
    turns = rank >= 3 and axes in (
        (0, *range(2, rank), 1),
        (0, rank - 1, *range(1, rank - 1)),
    )

    def run(x: Array, out: Array | None = None) -> Array:
        if turns and x.itemsize in (1, 4) and x.size and x.flags.c_contiguous:
            if out is None and not _moves(x, axes):
                return x.transpose(order)
            return _turned(x, axes, out)
        y = x.transpose(order)
        if out is None:
            return np.ascontiguousarray(y)  # itself if only axes of extent 1 have moved
        np.copyto(out, y)
        return out

    def bind(x: Array, out: Array) -> Any:
        if turns and x.itemsize in (1, 4):
            return _native.bind_transpose(*_as_matrices(x, axes, out))
        return partial(np.copyto, out, x.transpose(order))

    return Kernel(run, takes_out=True, bind=bind, is_view=True)


def _moves(x: Array, order: tuple[int, ...]) -> bool:
    """Whether elements lie in another order behind a transposition."""
    long = [axis for axis in order if x.shape[axis] != 1]
    return long != sorted(long)


def _turned(x: Array, order: tuple[int, ...], out: Array | None) -> Array:
    """Channels first to channels last, or back: for each image, a matrix is transposed."""
    y = np.empty([x.shape[axis] for axis in order], x.dtype) if out is None else out
    _native.transpose(*_as_matrices(x, order, y))
    return y


def _as_matrices(x: Array, order: tuple[int, ...], y: Array) -> tuple[Array, Array]:
    to_last = order[-1] == 1
    rows = x.shape[1] if to_last else math.prod(x.shape[1:-1])
    columns = math.prod(x.shape[2:]) if to_last else x.shape[-1]
    return x.reshape(-1, rows, columns), y.reshape(-1, columns, rows)


@operator("quantlib.ShuffleChannels")
def shuffle_channels(node: Node, known: Known) -> Kernel | None:
    """Channel ``i`` of each of the groups, then channel ``i + 1`` of each."""
    group, last = node.attributes["group"], node.attributes.get("layout") == "NHWC"

    def matrices(x: Array, y: Array) -> tuple[Array, Array]:
        channels = x.shape[-1] // group
        return x.reshape(-1, group, channels), y.reshape(-1, channels, group)

    def run(x: Array, out: Array | None = None) -> Array:
        y = np.empty(x.shape, x.dtype) if out is None else out
        if last:
            _native.transpose(*matrices(_native.ready(x, x.dtype), y))
        else:
            parts = (x.shape[0], group, x.shape[1] // group, *x.shape[2:])
            source = x.reshape(parts).swapaxes(1, 2)
            y[...] = source.reshape(x.shape)
        return y

    def bind(x: Array, out: Array) -> Any:
        return _native.bind_transpose(*matrices(x, out)) if last else None

    return Kernel(run, takes_out=True, bind=bind)


@operator("Squeeze")
def squeeze(node: Node, known: Known) -> Kernel | None:
    if not known.is_constant(1):
        return None
    axes = axes_of(node, known)
    return Kernel(lambda x, *_: np.squeeze(x, axes), is_view=True)


@operator("Unsqueeze")
def unsqueeze(node: Node, known: Known) -> Kernel | None:
    if not known.is_constant(1):
        return None
    axes = axes_of(node, known)
    if axes is None:
        return None
    return Kernel(lambda x, *_: np.expand_dims(x, axes), is_view=True)


@operator("Concat")
def concat(node: Node, known: Known) -> Kernel | None:
    axis = node.attributes["axis"]

    def bind(*xs: Array, out: Array) -> Any:
        calls = _native.bind_join(xs, out, axis % out.ndim)

        def run() -> None:
            for call in calls:
                call()

        return run

    return Kernel(
        lambda *xs, out=None: np.concatenate(xs, axis, out=out), takes_out=True, bind=bind
    )


@operator("Split")
def split(node: Node, known: Known) -> Kernel | None:
    axis, pieces = node.attributes.get("axis", 0), len(node.outputs)
    given: Any = node.attributes.get("split")
    if pieces == 1:
        return Kernel(lambda x, *_: x)

    def run(x: Array, sizes: Array | None = None) -> tuple[Array, ...]:
        parts = given if sizes is None else sizes
        if parts is None:
            length = -(-x.shape[axis] // pieces)
            ends = [length * index for index in range(1, pieces)]
        else:
            ends = [int(end) for end in np.cumsum(parts)[:-1]]
        return tuple(np.split(x, ends, axis))

    return Kernel(run, is_view=True)


@operator("Slice")
def slice_(node: Node, known: Known) -> Kernel | None:
    if node.version < 10:
        a = node.attributes
        starts, ends = a["starts"], a["ends"]
        fixed = starts, ends, a.get("axes", range(len(starts))), [1] * len(starts)
        return Kernel(lambda x: x[_slices(x, *fixed)])

    def run(x: Array, starts: Array, ends: Array, axes: Any = None, steps: Any = None) -> Array:
        axes = range(len(starts)) if axes is None else axes
        steps = [1] * len(starts) if steps is None else steps
        return x[_slices(x, starts, ends, axes, steps)]

    return Kernel(run, is_view=True)


def _slices(x: Array, starts: Any, ends: Any, axes: Any, steps: Any) -> tuple[slice, ...]:
    places = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        begin, stop, stride = int(start), int(end), int(step)
        length = x.shape[axis]
        if stride < 0 and stop < -length:
            places[axis] = slice(begin, None, stride)  # to the first element, which has no "before"
        else:
            places[axis] = slice(begin, stop, stride)
    return tuple(places)


@operator("Gather")
def gather(node: Node, known: Known) -> Kernel | None:
    axis = node.attributes.get("axis", 0)
    return Kernel(lambda x, indices: np.take(x, indices, axis))


@operator("Expand")
def expand(node: Node, known: Known) -> Kernel | None:
    def run(x: Array, wanted: Array) -> Array:
        target = np.broadcast_shapes(x.shape, tuple(int(extent) for extent in wanted))
        return np.broadcast_to(x, target).copy()

    return Kernel(run)


@operator("ConstantOfShape")
def constant_of_shape(node: Node, known: Known) -> Kernel | None:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    return Kernel(lambda wanted: np.full(tuple(int(extent) for extent in wanted), value[0]))


@operator("Range")
def range_(node: Node, known: Known) -> Kernel | None:
    dtype = known.dtype(0)
    if dtype is None or dtype.kind != "i":
        return None
    return Kernel(lambda *ends: np.arange(*(end.reshape(-1)[0] for end in ends), dtype=dtype))


@operator("Tile")
def tile(node: Node, known: Known) -> Kernel | None:
    return Kernel(lambda x, repeats: np.tile(x, tuple(int(count) for count in repeats)))


@operator("Pad", "quantlib.Pad")
def pad(node: Node, known: Known) -> Kernel | None:
    if node.attributes.get("mode", "constant") != "constant":
        return None
    if node.version < 11 and not node.domain:
        attributes = node.attributes
        dtype = known.dtype(0)
        if dtype is None:
            return None
        fixed, value = np.array(attributes["pads"]), dtype.type(attributes.get("value", 0))
        return Kernel(lambda x: pad_constant(x, fixed, value, None))

    def run(x: Array, pads: Array, value: Any = None, axes: Any = None) -> Array:
        return pad_constant(x, pads, x.dtype.type(0) if value is None else value, axes)

    return Kernel(run)


def pad_constant(x: Array, pads: Any, value: Any, axes: Any) -> Array:
    """`x` with a border of `value`; negative pads cut off."""
    axes = range(x.ndim) if axes is None else [int(axis) % x.ndim for axis in axes]
    count = len(pads) // 2
    begin, end = [0] * x.ndim, [0] * x.ndim
    for index, axis in enumerate(axes):
        begin[axis], end[axis] = int(pads[index]), int(pads[index + count])
    extents = [b + d + e for b, d, e in zip(begin, x.shape, end, strict=True)]
    y = np.empty(extents, x.dtype)
    y[...] = value
    inner, outer = [], []
    for b, e, padded, extent in zip(begin, end, extents, x.shape, strict=True):
        inner.append(slice(max(b, 0), padded - max(e, 0)))
        outer.append(slice(max(-b, 0), extent - max(-e, 0)))
    y[tuple(inner)] = x[tuple(outer)]
    return y


@operator("DepthToSpace")
def depth_to_space(node: Node, known: Known) -> Kernel | None:
    block, mode = node.attributes["blocksize"], node.attributes.get("mode", "DCR")

    def run(x: Array) -> Array:
        n, c, h, w = x.shape
        depth = c // block**2
        if mode == "DCR":
            y = x.reshape(n, block, block, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
        else:
            y = x.reshape(n, depth, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
        return y.reshape(n, depth, h * block, w * block)

    return Kernel(run)


@operator("SpaceToDepth")
def space_to_depth(node: Node, known: Known) -> Kernel | None:
    block = node.attributes["blocksize"]

    def run(x: Array) -> Array:
        n, c, h, w = x.shape
        y = x.reshape(n, c, h // block, block, w // block, block).transpose(0, 3, 5, 1, 2, 4)
        return y.reshape(n, c * block**2, h // block, w // block)

    return Kernel(run)
