"""Reals to codes and back, and ranges: quantlib, and NumPy as one writes it, temporaries included.

What these operations do for each element is little, so the measure is memory: `share` compares the
bytes that they read and write a second with those of a float32 copy of the same number of elements,
timed in the same turns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from quantlib import ops, reference
from quantlib.benchmark.cases import BASELINE, Admission, Case, Race
from quantlib.benchmark.stopwatch import Contender
from quantlib.ops._results import room
from quantlib.params import QuantParams

SCALE, ZERO_POINT = 0.03125, 3  # a power of two: torch multiplies by 1 / scale, the others divide
FLOAT, CODE, ACCUMULATOR = 4, 1, 4  # bytes
MULTIPLIER = 0.003
HISTOGRAM_BINS, LARGEST_HISTOGRAM = 2048, 10_000_000


@dataclass(frozen=True)
class Layout:
    """The shape of the data, and how the parameters lie over it: one for all, one for each entry of
    `axis`, or one for each `block` of entries along it."""

    shape: tuple[int, ...]
    axis: int | None = None
    block: int = 0

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def label(self) -> str:
        if self.axis is None:
            return f"{self.size:,}"
        block = f" block={self.block}" if self.block else ""
        return ",".join(map(str, self.shape)) + f" axis={self.axis}{block}"

    @property
    def parameters(self) -> tuple[int, ...]:
        """The shape of the parameters."""
        if self.axis is None:
            return ()
        if not self.block:
            return self.shape[self.axis : self.axis + 1]
        return (*self.shape[: self.axis], self._blocks, *self.shape[self.axis + 1 :])

    @property
    def _blocks(self) -> int:
        assert self.axis is not None
        return self.shape[self.axis] // self.block

    def split(self, x: Any) -> Any:
        """`x` such that what `expand` returns broadcasts against it."""
        if not self.block or self.axis is None:
            return x
        return x.reshape(
            *self.parameters[: self.axis + 1], self.block, *self.shape[self.axis + 1 :]
        )

    def expand(self, parameter: Any) -> Any:
        """A parameter with an axis of extent 1 wherever it does not vary."""
        if self.axis is None:
            return parameter
        if self.block:
            return np.expand_dims(parameter, self.axis + 1)
        return parameter.reshape(-1, *(1,) * (len(self.shape) - self.axis - 1))

    @property
    def reduced_axes(self) -> tuple[int, ...] | None:
        """Those of `split` that a range is taken over; None is all."""
        if self.axis is None:
            return None
        if self.block:
            return (self.axis + 1,)
        return tuple(axis for axis in range(len(self.shape)) if axis != self.axis)


@dataclass(frozen=True)
class Data:
    """The data of one layout."""

    layout: Layout

    @cached_property
    def x(self) -> Any:
        return self._random.standard_normal(self.layout.shape, np.float32)

    @cached_property
    def codes(self) -> Any:
        return self._random.integers(-128, 128, self.layout.shape, np.int8)

    @cached_property
    def acc(self) -> Any:
        return self._random.integers(-(2**15), 2**15, self.layout.shape, np.int32)

    @cached_property
    def params(self) -> QuantParams:
        layout = self.layout
        if layout.axis is None:
            return QuantParams(SCALE, ZERO_POINT, "int8")
        halvings = self._random.integers(0, 2, layout.parameters)
        scale = np.float32(SCALE * 2.0**-halvings)
        zero_point = self._random.integers(-3, 4, layout.parameters)
        return QuantParams(
            scale, zero_point, "int8", axis=layout.axis, block_size=layout.block or None
        )

    @property
    def _random(self) -> np.random.Generator:
        return np.random.default_rng(self.layout.size)


@dataclass(frozen=True)
class Entry:
    """An operation on some data: quantlib, NumPy, the right result, and the bytes an element that
    it reads and writes."""

    ours: Contender
    baseline: Contender
    expected: Any
    moved: int


def case(data: Data, entry: Entry, rivals: tuple[Contender, ...] = ()) -> Case:
    size, source = data.layout.size, data.x
    target = np.empty_like(source)
    return Case(
        suite="elementwise",
        shape=data.layout.label,
        work=size,
        baseline=entry.baseline,
        races=(Race(entry.ours, rivals),),
        bytes_moved=entry.moved * size,
        copy=Contender("NumPy copy", lambda: np.copyto(target, source)),
        copy_bytes=2 * FLOAT * size,
    )


def _entry(
    name: str,
    ours: Callable[[], Any],
    in_numpy: Callable[[], Any],
    expected: Any,
    moved: int,
    admission: Admission,
) -> Entry:
    return Entry(
        admission.required(name, ours, expected),
        admission.required(BASELINE, in_numpy, expected),
        expected,
        moved,
    )


def quantize(data: Data, admission: Admission) -> Entry:
    layout, params = data.layout, data.params
    scale, zero_point = (layout.expand(each) for each in (params.scale, params.zero_point))
    x, parts, y = data.x, layout.split(data.x), room(None, layout.shape, np.dtype(np.int8))

    def in_numpy() -> Any:
        codes = np.clip(np.rint(parts / scale) + zero_point, -128, 127).astype(np.int8)
        return codes.reshape(layout.shape)

    return _entry(
        "quantize",
        lambda: ops.quantize(x, params, out=y),
        in_numpy,
        reference.quantize(x, params),
        FLOAT + CODE,
        admission,
    )


def dequantize(data: Data, admission: Admission) -> Entry:
    layout, params = data.layout, data.params
    scale, zero_point = layout.expand(params.scale), layout.expand(np.float32(params.zero_point))
    codes, parts, x = (
        data.codes,
        layout.split(data.codes),
        room(None, layout.shape, np.dtype(np.float32)),
    )

    def in_numpy() -> Any:
        return ((parts.astype(np.float32) - zero_point) * scale).reshape(layout.shape)

    return _entry(
        "dequantize",
        lambda: ops.dequantize(codes, params, out=x),
        in_numpy,
        reference.dequantize(codes, params),
        CODE + FLOAT,
        admission,
    )


def fake_quantize(data: Data, admission: Admission) -> Entry:
    layout, params = data.layout, data.params
    scale, zero_point = (layout.expand(each) for each in (params.scale, params.zero_point))
    x, parts, y = data.x, layout.split(data.x), room(None, layout.shape, np.dtype(np.float32))
    offset = zero_point.astype(np.float32)
    lower, upper = -128 - offset, 127 - offset

    def in_numpy() -> Any:
        return (np.clip(np.rint(parts / scale), lower, upper) * scale).reshape(layout.shape)

    return _entry(
        "fake_quantize",
        lambda: ops.fake_quantize(x, params, out=y),
        in_numpy,
        reference.fake_quantize(x, params),
        2 * FLOAT,
        admission,
    )


def min_max(data: Data, admission: Admission) -> Entry:
    layout, x, parts = data.layout, data.x, data.layout.split(data.x)
    axes, groups = layout.reduced_axes, {"axis": layout.axis, "block_size": layout.block or None}
    return _entry(
        "min_max",
        lambda: ops.min_max(x, **groups),
        lambda: (parts.min(axis=axes), parts.max(axis=axes)),
        reference.min_max(x, **groups),
        FLOAT,
        admission,
    )


def requantize(data: Data, admission: Admission) -> Entry:
    layout, acc, y = data.layout, data.acc, room(None, data.layout.shape, np.dtype(np.int8))
    zero_point = np.int8(ZERO_POINT)
    multiplier = np.full(layout.parameters, MULTIPLIER, np.float32)
    axis = -1 if layout.axis is None else layout.axis
    factors = layout.expand(multiplier)

    def in_numpy() -> Any:
        scaled = np.rint(acc.astype(np.float32) * factors)
        return np.clip(scaled + ZERO_POINT, -128, 127).astype(np.int8)

    return _entry(
        "requantize",
        lambda: ops.requantize(acc, multiplier, zero_point, axis=axis, out=y),
        in_numpy,
        reference.requantize(acc, multiplier, zero_point, axis=axis),
        ACCUMULATOR + CODE,
        admission,
    )


def summarize(data: Data, admission: Admission) -> Entry:
    """A histogram, and more, against NumPy's histogram of the bins that the literature takes."""
    x = data.x
    expected, _ = np.histogram(x, HISTOGRAM_BINS)
    return Entry(
        admission.required("summarize", lambda: ops.summarize(x), reference.summarize(x)),
        admission.required(BASELINE, lambda: np.histogram(x, HISTOGRAM_BINS)[0], expected),
        expected,
        FLOAT,
    )


Operation = Callable[[Data, Admission], Entry]


def operations(layout: Layout) -> list[Operation]:
    """Those that have this granularity: `requantize` has no blocks, and NumPy's histogram no axis.
    Of data that no cache holds, a histogram takes NumPy seconds, and says nothing new."""
    every: list[Operation] = [quantize, dequantize, fake_quantize, min_max]
    every += [] if layout.block else [requantize]
    every += [summarize] if layout.axis is None and layout.size <= LARGEST_HISTOGRAM else []
    return every
