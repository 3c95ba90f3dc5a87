"""Where the windows of convolutions and pools lie: ONNX's rules of padding, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlib.model.graph import ModelError, Node
from quantlib.model.operators.registry import Array

__all__ = ["Windows", "pad_spatial", "tap"]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows along the spatial axes, as a node's attributes describe them."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]  # before each axis, then after each
    auto_pad: str
    ceil_mode: bool

    @classmethod
    def of(cls, node: Node, kernel: tuple[int, ...]) -> Windows:
        attributes, rank = node.attributes, len(kernel)
        windows = cls(
            kernel,
            tuple(attributes.get("strides") or (1,) * rank),
            tuple(attributes.get("dilations") or (1,) * rank),
            tuple(attributes.get("pads") or (0,) * (2 * rank)),
            attributes.get("auto_pad", "NOTSET"),
            bool(attributes.get("ceil_mode", 0)),
        )
        lengths = len(windows.strides), len(windows.dilations), len(windows.pads)
        if lengths != (rank, rank, 2 * rank):
            raise ModelError(
                f"{node.label()} has strides, dilations and pads for {lengths} axes, "
                f"its kernel has {rank}"
            )
        if min((*windows.strides, *windows.dilations, *kernel)) < 1:
            raise ModelError(f"{node.label()} has a stride, dilation or kernel below 1")
        return windows

    @property
    def reach(self) -> tuple[int, ...]:
        """How far a window extends."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def place(self, spatial: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The pads, before each axis then after each, and the number of windows on each axis."""
        rank = len(self.kernel)
        begin, end = list(self.pads[:rank]), list(self.pads[rank:])
        count = []
        for axis, (extent, reach, stride) in enumerate(
            zip(spatial, self.reach, self.strides, strict=True)
        ):
            if self.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
                windows = -(-extent // stride)
                total = max((windows - 1) * stride + reach - extent, 0)
                small, large = total // 2, total - total // 2
                upper = self.auto_pad == "SAME_UPPER"
                begin[axis], end[axis] = (small, large) if upper else (large, small)
            else:
                if self.auto_pad == "VALID":
                    begin[axis] = end[axis] = 0
                windows = self._count(extent, begin[axis], end[axis], reach, stride)
            count.append(windows)
        if min(count) < 0:
            raise ModelError(f"a window of {self.reach} is larger than its input of {spatial}")
        return (*begin, *end), tuple(count)

    def _count(self, extent: int, begin: int, end: int, reach: int, stride: int) -> int:
        room = extent + begin + end - reach
        if not self.ceil_mode:
            return room // stride + 1 if room >= 0 else -1
        windows = -(-room // stride) + 1
        # A window must not begin in the padding behind the data.
        return windows - 1 if (windows - 1) * stride >= extent + begin else windows

    def padded(
        self, x: Array, value: Any, last: bool = True
    ) -> tuple[Array, tuple[int, ...], tuple[int, ...]]:
        """`x`, (N, ..., C), with a border that every window fits into; pads and numbers."""
        spatial = x.shape[1:-1] if last else x.shape[2:]
        pads, count = self.place(spatial)
        rank = len(spatial)
        needed = [(c - 1) * s + r for c, s, r in zip(count, self.strides, self.reach, strict=True)]
        ends = [max(n - d - b, 0) for n, d, b in zip(needed, spatial, pads[:rank], strict=True)]
        return pad_spatial(x, pads[:rank], tuple(ends), value), pads, count


def pad_spatial(x: Array, begin: tuple[int, ...], end: tuple[int, ...], value: Any) -> Array:
    """`x`, (N, ..., C), with a border around its spatial axes; itself if the border is empty."""
    if not any(begin) and not any(end):
        return x
    extents = [b + d + e for b, d, e in zip(begin, x.shape[1:-1], end, strict=True)]
    y = np.empty((x.shape[0], *extents, x.shape[-1]), x.dtype)
    y[...] = value
    inner = tuple(slice(b, b + d) for b, d in zip(begin, x.shape[1:-1], strict=True))
    y[(slice(None), *inner)] = x
    return y


def tap(x: Array, axis: int, offset: int, stride: int, count: int) -> Array:
    """The elements of `x` at one place of the windows along one axis."""
    places = [slice(None)] * x.ndim
    places[axis] = slice(offset, offset + (count - 1) * stride + 1, stride)
    return x[tuple(places)]
