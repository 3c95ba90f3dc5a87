"""The arguments of joining and padding quantized arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quantlib._arguments.affine import as_axis
from quantlib._arguments.arrays import (
    Array,
    as_byte_zero_point,
    as_bytes,
    as_integers,
    as_sequence,
    byte_type,
    per_tensor,
)
from quantlib._arguments.conv import LARGEST_EXTENT, LARGEST_RESULT
from quantlib._arguments.lookup import Conversion, identity, kept_table
from quantlib._arguments.quantized import (
    Source,
    Target,
    as_source,
    as_target,
    as_tensor_scale,
    as_tensor_zero_point,
)


def concat_arguments(
    y_scale: Any, y_zero_point: Any, inputs: Any, axis: Any
) -> tuple[list[Source], Target, int, tuple[int, ...]]:
    """The checked arguments of ``qlinear_concat``: operands, result's codes, axis and shape."""
    sources = _sources(inputs)
    first = sources[0].data
    target = as_target(y_scale, y_zero_point, first.dtype)
    if first.ndim == 0:
        raise ValueError("inputs are scalars; only arrays of 1 dimension or more can be joined")
    index = as_axis(axis, first.ndim)
    rest = first.shape[:index], first.shape[index + 1 :]
    for source in sources:
        shape = source.data.shape
        if source.data.ndim != first.ndim or (shape[:index], shape[index + 1 :]) != rest:
            raise ValueError(
                f"inputs have shapes {first.shape} and {shape}; "
                f"they must be equal except along axis {index}"
            )
    length = sum(source.data.shape[index] for source in sources)
    return sources, target, index, (*rest[0], length, *rest[1])


def _sources(inputs: Any) -> list[Source]:
    if not isinstance(inputs, Sequence) or isinstance(inputs, (str, bytes)):
        raise TypeError(
            "inputs must be a sequence of triples (x, x_scale, x_zero_point), "
            f"not {type(inputs).__name__}"
        )
    if not inputs:
        raise ValueError("inputs is empty; there must be 1 or more")
    sources = []
    for number, triple in enumerate(inputs):
        if not isinstance(triple, Sequence) or isinstance(triple, (str, bytes)) or len(triple) != 3:
            raise TypeError(
                f"inputs[{number}] must be a triple (x, x_scale, x_zero_point), "
                f"not {type(triple).__name__}"
            )
        try:
            sources.append(as_source("x", *triple))
        except (TypeError, ValueError) as error:
            raise type(error)(f"inputs[{number}]: {error}") from None
    return sources


def conversion(source: Source, target: Target) -> Array | None:
    """The table that brings codes of `source` to `target`; None where they stay as they are."""
    same = source.data.dtype == target.dtype
    if same and (source.scale, source.zero_point) == (target.scale, target.zero_point):
        return None
    parameters = source.data.dtype, source.scale, source.zero_point
    return kept_table(identity, Conversion(*parameters, target))


def concat_parameters(x_scales: Any, x_zero_points: Any) -> list[tuple[Any, Any]]:
    """The checked scale and zero point of each array that a prepared concatenation joins."""
    scales = as_sequence(x_scales, "x_scales")
    if not scales:
        raise ValueError("x_scales is empty; there must be 1 or more")
    for scale in scales:
        as_tensor_scale(scale, "x_scales")
    if x_zero_points is None:
        return [(scale, None) for scale in scales]
    zero_points = as_sequence(x_zero_points, "x_zero_points")
    for zero_point in zero_points:
        dtype = byte_type(zero_point, "x_zero_points")
        as_tensor_zero_point(zero_point, "x_zero_points", dtype, "x")
    if len(zero_points) != len(scales):
        raise ValueError(
            f"x_zero_points has {len(zero_points)} entries; x_scales has {len(scales)}"
        )
    return list(zip(scales, zero_points, strict=True))


def triples(inputs: Any, parameters: list[tuple[Any, Any]]) -> list[tuple[Any, Any, Any]]:
    """The arrays that a prepared concatenation joins, with their parameters."""
    if not isinstance(inputs, Sequence) or isinstance(inputs, (str, bytes)):
        raise TypeError(f"inputs must be a sequence of arrays, not {type(inputs).__name__}")
    if len(inputs) != len(parameters):
        raise ValueError(f"inputs are {len(inputs)}; there must be {len(parameters)}")
    return [(x, *pair) for x, pair in zip(inputs, parameters, strict=True)]


@dataclass(frozen=True, slots=True)
class Padding:
    """The shape of the result, its code where there are no data, and where the data are in both."""

    shape: tuple[int, ...]
    code: int
    kept: tuple[slice, ...]  # of the data
    place: tuple[slice, ...]  # of the result


def check_padding(pads: Any, axes: Any) -> None:
    """Raise if no array can be padded by these arguments, as far as that is seen without one."""
    as_integers(pads, "pads", len(as_sequence(pads, "pads")))
    if axes is not None:
        as_sequence(axes, "axes")


def pad_arguments(x: Any, pads: Any, x_zero_point: Any, axes: Any) -> tuple[Array, Padding]:
    """The checked arguments of ``pad``."""
    data = as_bytes(x, "x")
    zero = as_byte_zero_point(x_zero_point, "x_zero_point", data.dtype, "x")
    places = _axes(axes, data.ndim)
    amounts = as_integers(pads, "pads", 2 * len(places))
    if any(not -LARGEST_EXTENT <= amount <= LARGEST_EXTENT for amount in amounts):
        raise ValueError(f"pads is {amounts}; entries must be within {LARGEST_EXTENT} of 0")
    before, after = [0] * data.ndim, [0] * data.ndim
    for number, axis in enumerate(places):
        before[axis], after[axis] = amounts[number], amounts[number + len(places)]
    shape = tuple(map(sum, zip(before, data.shape, after, strict=True)))
    if min(shape, default=0) < 0:
        raise ValueError(f"pads is {amounts}; that leaves less than nothing of {data.shape}")
    if math.prod(max(extent, 1) for extent in shape) > LARGEST_RESULT:
        raise ValueError(f"pads make a result of shape {shape}, larger than any memory")
    first = [min(max(start, 0), n) for start, n in zip(before, shape, strict=True)]
    last = [
        max(low, min(start + extent, n))
        for low, start, extent, n in zip(first, before, data.shape, shape, strict=True)
    ]
    return data, Padding(
        shape,
        int(per_tensor(zero, "x_zero_point")),
        tuple(slice(a - s, b - s) for a, b, s in zip(first, last, before, strict=True)),
        tuple(slice(a, b) for a, b in zip(first, last, strict=True)),
    )


def _axes(axes: Any, rank: int) -> list[int]:
    """`axes` as indices from 0; None is all of them."""
    if axes is None:
        return list(range(rank))
    given = as_sequence(axes, "axes")
    places = [as_axis(axis, rank, "axes") for axis in given]
    if len(set(places)) < len(places):
        raise ValueError(f"axes is {given}; each may be named once")
    return places
