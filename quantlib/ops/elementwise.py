"""Sums and products of quantized arrays, element by element, in C."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.arrays import Array, as_bytes
from quantlib._arguments.elementwise import (
    Blend,
    add_blend,
    blended_shape,
    mul_blend,
    operand_types,
)
from quantlib._arguments.output import Activation
from quantlib._arguments.prepared import Prepared, own_arguments
from quantlib.ops._remembered import Remembered, key_of
from quantlib.ops._results import contiguous, empty, room, settle

Known = tuple[_native.Blending, _native.AddressCall]  # and the same for plain arrays of one shape

_BLENDINGS: Remembered[Known] = Remembered()


def qlinear_add(
    a: npt.ArrayLike,
    a_scale: npt.ArrayLike,
    a_zero_point: npt.ArrayLike | None,
    b: npt.ArrayLike,
    b_scale: npt.ArrayLike,
    b_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    parameters = a_scale, a_zero_point, b_scale, b_zero_point, y_scale, y_zero_point, activation
    return _blend_once(add_blend, a, b, parameters, out)


def qlinear_mul(
    a: npt.ArrayLike,
    a_scale: npt.ArrayLike,
    a_zero_point: npt.ArrayLike | None,
    b: npt.ArrayLike,
    b_scale: npt.ArrayLike,
    b_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    parameters = a_scale, a_zero_point, b_scale, b_zero_point, y_scale, y_zero_point, activation
    return _blend_once(mul_blend, a, b, parameters, out)


class _Blended:
    """What sums and products with fixed parameters have in common."""

    _given: dict[str, Any]
    _blendings: dict[Any, Known]
    _blend_of: Any

    def _prepare(self, given: dict[str, Any]) -> None:
        self._given = given
        self._blendings = {}
        self._blending(*operand_types(self._given))

    def _blending(self, a_type: np.dtype[Any], b_type: np.dtype[Any]) -> Known:
        """What becomes of operands of these types, kept."""
        made = self._blendings.get((a_type, b_type))
        if made is None:
            blend = type(self)._blend_of(a_type, b_type, **self._given)
            made = self._blendings[a_type, b_type] = _known(a_type, b_type, blend)
        return made

    def _bind(self, a: Array, b: Array, out: Array) -> _native.Bound:
        """A call that has been made before, on contiguous arrays that stay where they are."""
        walk = _straight(a.size) if a.shape == b.shape else _walk(a.shape, b.shape, out.shape)
        return self._blending(a.dtype, b.dtype)[0].bind(walk, a, b, out)

    def _arguments(self) -> dict[str, Any]:
        return self._given


class QLinearAdd(_Blended, Prepared):
    _blend_of = staticmethod(add_blend)

    def __init__(
        self,
        *,
        a_scale: npt.ArrayLike,
        a_zero_point: npt.ArrayLike | None = None,
        b_scale: npt.ArrayLike,
        b_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike,
        y_zero_point: npt.ArrayLike | None = None,
        activation: Activation = None,
    ) -> None:
        self._prepare(
            own_arguments(
                a_scale=a_scale,
                a_zero_point=a_zero_point,
                b_scale=b_scale,
                b_zero_point=b_zero_point,
                y_scale=y_scale,
                y_zero_point=y_zero_point,
                activation=activation,
            )
        )

    def __call__(self, a: npt.ArrayLike, b: npt.ArrayLike, *, out: Array | None = None) -> Array:
        left, right = as_bytes(a, "a"), as_bytes(b, "b")
        return _blend(self._blending(left.dtype, right.dtype), left, right, out)


class QLinearMul(_Blended, Prepared):
    _blend_of = staticmethod(mul_blend)

    def __init__(
        self,
        *,
        a_scale: npt.ArrayLike,
        a_zero_point: npt.ArrayLike | None = None,
        b_scale: npt.ArrayLike,
        b_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike,
        y_zero_point: npt.ArrayLike | None = None,
        activation: Activation = None,
    ) -> None:
        self._prepare(
            own_arguments(
                a_scale=a_scale,
                a_zero_point=a_zero_point,
                b_scale=b_scale,
                b_zero_point=b_zero_point,
                y_scale=y_scale,
                y_zero_point=y_zero_point,
                activation=activation,
            )
        )

    def __call__(self, a: npt.ArrayLike, b: npt.ArrayLike, *, out: Array | None = None) -> Array:
        left, right = as_bytes(a, "a"), as_bytes(b, "b")
        return _blend(self._blending(left.dtype, right.dtype), left, right, out)


def _blend_once(blend_of: Any, a: Any, b: Any, parameters: tuple[Any, ...], out: Any) -> Array:
    """With parameters that may be those of the call before."""
    left, right = as_bytes(a, "a"), as_bytes(b, "b")
    types = left.dtype, right.dtype
    kind = blend_of, types
    known = _BLENDINGS.again(kind, parameters)
    if known is not None:
        return _blend(known, left, right, out)
    values = key_of(*parameters)
    key = None if values is None else (kind, values)
    known = _BLENDINGS.get(key)
    if known is not None:
        _BLENDINGS.hold(kind, parameters, known)
    else:
        known = _known(*types, blend_of(*types, *parameters))
        _BLENDINGS.keep(key, known)
    return _blend(known, left, right, out)


def _known(a_type: np.dtype[Any], b_type: np.dtype[Any], blend: Blend) -> Known:
    blending = _native.Blending(a_type, b_type, blend)
    return blending, blending.by_address()


def _blend(known: Known, a: Array, b: Array, out: Any) -> Array:
    blending, call = known
    y = empty(a.shape, blending.dtype) if out is None else out
    status = call(id(a), id(b), id(y))
    if not status:
        return y
    _native.declined(status)
    left, right, shape = contiguous(a), contiguous(b), a.shape
    if shape == b.shape:
        walk = _straight(a.size)
    else:
        shape = blended_shape(a, b)
        walk = _walk(a.shape, b.shape, shape)
    y = room(out, shape, blending.dtype, left, right)
    blending.run(walk, left, right, y)
    return settle(y, out)


@lru_cache(maxsize=256)
def _straight(count: int) -> _native.Walk:
    """Element by element."""
    return _native.Walk([(count, 1, 1)])


@lru_cache(maxsize=256)
def _walk(a: tuple[int, ...], b: tuple[int, ...], shape: tuple[int, ...]) -> _native.Walk:
    """The way through operands of these shapes, which are contiguous; neighbours that both step
    through evenly are one axis. A step is 0 where an operand is repeated."""
    axes: list[tuple[int, int, int]] = []
    for extent, left, right in zip(
        shape, _steps(a, len(shape)), _steps(b, len(shape)), strict=True
    ):
        if extent == 1:
            continue
        if axes and axes[-1][1:] == (left * extent, right * extent):
            axes[-1] = (axes[-1][0] * extent, left, right)
        else:
            axes.append((extent, left, right))
    return _native.Walk(axes or [(1, 1, 1)])


def _steps(shape: tuple[int, ...], rank: int) -> list[int]:
    """How far apart the neighbours along each of `rank` axes are."""
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    steps = [0 if extent == 1 else step for extent, step in zip(shape, steps, strict=True)]
    return [0] * (rank - len(shape)) + steps
