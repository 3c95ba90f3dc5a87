"""Resizing of codes, in C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array, as_bytes
from quantlib._arguments.prepared import Prepared, own_arguments, own_geometry
from quantlib._arguments.resize import check_resizing, resize_shape
from quantlib.ops._remembered import Remembered, key_of
from quantlib.ops._results import contiguous, room, settle

MOST_SHAPES = 16  # that a prepared resizing remembers


class _Plan:
    """The resizing of arrays of one shape and type."""

    def __init__(self, x: Array, **parameters: Any) -> None:
        shape = resize_shape(x.shape, **parameters)
        self._result = shape.result
        self._resizing = _native.Resizing(shape, x.dtype)

    def run(self, x: Array, out: Any) -> Array:
        codes = contiguous(x)
        y = room(out, self._result, x.dtype, codes)
        self._resizing.run(codes, y)
        return settle(y, out)


_PLANS: Remembered[_Plan] = Remembered(MOST_SHAPES)


def resize(
    x: npt.ArrayLike,
    *,
    scales: npt.ArrayLike | None = None,
    sizes: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    out: Array | None = None,
) -> Array:
    data = as_bytes(x, "x")
    values = key_of(scales, sizes, axes, mode, coordinate_transformation_mode, nearest_mode)
    key = None if values is None else (data.shape, data.dtype, values)
    plan = _PLANS.get(key)
    if plan is None:
        plan = _Plan(
            data,
            scales=scales,
            sizes=sizes,
            axes=axes,
            mode=mode,
            coordinate_transformation_mode=coordinate_transformation_mode,
            nearest_mode=nearest_mode,
        )
        _PLANS.keep(key, plan)
    return plan.run(data, out)


class Resize(Prepared):
    def __init__(
        self,
        *,
        scales: npt.ArrayLike | None = None,
        sizes: Sequence[int] | None = None,
        axes: Sequence[int] | None = None,
        mode: str = "nearest",
        coordinate_transformation_mode: str = "half_pixel",
        nearest_mode: str = "round_prefer_floor",
    ) -> None:
        self._given = own_arguments(scales=scales) | own_geometry(
            sizes=sizes,
            axes=axes,
            mode=mode,
            coordinate_transformation_mode=coordinate_transformation_mode,
            nearest_mode=nearest_mode,
        )
        check_resizing(**self._given)
        self._plans: Remembered[_Plan] = Remembered(MOST_SHAPES)

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        data = as_bytes(x, "x")
        key = data.shape, data.dtype
        plan = self._plans.get(key)
        if plan is None:
            plan = _Plan(data, **self._given)
            self._plans.keep(key, plan)
        return plan.run(data, out)

    def _arguments(self) -> dict[str, Any]:
        return self._given
