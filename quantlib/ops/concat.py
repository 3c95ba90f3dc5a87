"""Joining and padding quantized arrays, in C."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array, as_bytes, byte_type
from quantlib._arguments.concat import (
    Padding,
    check_padding,
    concat_arguments,
    concat_parameters,
    conversion,
    pad_arguments,
    triples,
)
from quantlib._arguments.prepared import Prepared, own_arguments, own_geometry
from quantlib._arguments.quantized import Source, Target, as_target, as_tensor_zero_point
from quantlib.ops._remembered import Remembered
from quantlib.ops._results import room, settle
from quantlib.params import as_index

MOST_SHAPES = 16  # that a prepared operation remembers


class _Joint:
    """How arrays of these shapes and types are joined."""

    def __init__(
        self, sources: list[Source], target: Target, index: int, shape: tuple[int, ...]
    ) -> None:
        self._shape, self._dtype = shape, target.dtype
        self._rows, self._columns = prod(shape[:index]), prod(shape[index:])
        self._tables = [conversion(source, target) for source in sources]
        self._widths = [prod(source.data.shape[index:]) for source in sources]

    def run(self, inputs: list[Array], out: Any) -> Array:
        y = room(out, self._shape, self._dtype, *inputs)
        columns = y.reshape(self._rows, self._columns)
        first = 0
        for x, table, width in zip(inputs, self._tables, self._widths, strict=True):
            data, part = _native.ready(x, x.dtype), columns[:, first : first + width]
            if table is None:
                part[...] = data.reshape(part.shape)
            else:
                _native.look_up(data, table, part, self._rows)
            first += width
        return settle(y, out)


def qlinear_concat(
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    inputs: Sequence[tuple[Any, Any, Any]],
    *,
    axis: int,
    out: Array | None = None,
) -> Array:
    sources, target, index, shape = concat_arguments(y_scale, y_zero_point, inputs, axis)
    return _Joint(sources, target, index, shape).run([source.data for source in sources], out)


class QLinearConcat(Prepared):
    def __init__(
        self,
        *,
        x_scales: npt.ArrayLike,
        x_zero_points: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike,
        y_zero_point: npt.ArrayLike | None = None,
        axis: int,
    ) -> None:
        self._given = own_arguments(
            x_scales=x_scales,
            x_zero_points=x_zero_points,
            y_scale=y_scale,
            y_zero_point=y_zero_point,
        )
        self._given["axis"] = as_index(axis, "axis")
        self._parameters = concat_parameters(self._given["x_scales"], self._given["x_zero_points"])
        as_target(y_scale, y_zero_point, byte_type(y_zero_point, "y_zero_point"))
        self._joints: Remembered[_Joint] = Remembered(MOST_SHAPES)

    def __call__(self, inputs: Sequence[npt.ArrayLike], *, out: Array | None = None) -> Array:
        joined = triples(inputs, self._parameters)
        arrays: list[Any] = list(inputs)
        if all(type(x) is np.ndarray for x in arrays):
            known = self._joints.get(_kind(arrays))
            if known is not None:
                return known.run(arrays, out)
        given = self._given
        y = given["y_scale"], given["y_zero_point"]
        sources, target, index, shape = concat_arguments(*y, joined, given["axis"])
        arrays = [source.data for source in sources]
        joint = _Joint(sources, target, index, shape)
        self._joints.keep(_kind(arrays), joint)
        return joint.run(arrays, out)

    def _arguments(self) -> dict[str, Any]:
        return self._given


def _kind(arrays: Sequence[Any]) -> tuple[Any, ...]:
    """What a joint depends on."""
    return tuple((x.shape, x.dtype) for x in arrays)


def pad(
    x: npt.ArrayLike,
    pads: Sequence[int],
    x_zero_point: npt.ArrayLike | None = None,
    *,
    axes: Sequence[int] | None = None,
    out: Array | None = None,
) -> Array:
    data, padding = pad_arguments(x, pads, x_zero_point, axes)
    return _pad(data, padding, out)


def _pad(x: Array, padding: Padding, out: Any) -> Array:
    y = room(out, padding.shape, x.dtype, x)
    y.fill(padding.code)
    y[padding.place] = x[padding.kept]
    return settle(y, out)


class Pad(Prepared):
    def __init__(
        self,
        pads: Sequence[int],
        x_zero_point: npt.ArrayLike | None = None,
        *,
        axes: Sequence[int] | None = None,
    ) -> None:
        self._given = own_arguments(x_zero_point=x_zero_point) | own_geometry(pads=pads, axes=axes)
        check_padding(self._given["pads"], self._given["axes"])
        dtype = byte_type(x_zero_point, "x_zero_point")
        as_tensor_zero_point(x_zero_point, "x_zero_point", dtype, "x")
        self._paddings: Remembered[Padding] = Remembered(MOST_SHAPES)

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        data = as_bytes(x, "x")
        key = data.shape, data.dtype
        padding = self._paddings.get(key)
        if padding is None:
            _, padding = pad_arguments(data, **self._given)
            self._paddings.keep(key, padding)
        return _pad(data, padding, out)

    def _arguments(self) -> dict[str, Any]:
        return self._given
