"""The arguments of integer convolutions, and their extents."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from quantlib._arguments.arrays import (
    Array,
    as_byte_zero_point,
    as_bytes,
    as_integers,
    byte_type,
    one_of,
    per_tensor,
    with_dtype_of,
)
from quantlib._arguments.output import Output, Reals, as_bias, output_of
from quantlib.params import as_array, as_index, as_scale

LARGEST_EXTENT = 2**31 - 1  # of a padded axis, a stride, a dilation or a group
LAYOUTS = ("NCHW", "NHWC")
LARGEST_RESULT = 2**60 - 1  # elements of 8 bytes that NumPy can count


@dataclass(frozen=True, slots=True)
class ConvShape:
    """The extents of one convolution, checked; tuples have one entry for each spatial axis."""

    layout: Literal["NCHW", "NHWC"]
    batch: int
    channels: int
    spatial: tuple[int, ...]
    out_channels: int
    group: int
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads_begin: tuple[int, ...]
    pads_end: tuple[int, ...]
    out_spatial: tuple[int, ...]

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The result's shape, in `layout`."""
        if self.layout == "NHWC":
            return (self.batch, *self.out_spatial, self.out_channels)
        return (self.batch, self.out_channels, *self.out_spatial)

    @property
    def depth(self) -> int:
        """How many products one output sums: K of the equivalent matrix product."""
        return math.prod(self.kernel) * (self.channels // self.group)

    def per_channel(self, value: Array) -> Array:
        """A scalar or one entry for each output channel, to broadcast against the result."""
        if self.layout == "NCHW" and value.ndim == 1:
            return value.reshape((-1,) + (1,) * len(self.kernel))
        return value


def conv_shape(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    *,
    auto_pad: Any = "NOTSET",
    dilations: Any = None,
    group: Any = 1,
    kernel_shape: Any = None,
    pads: Any = None,
    strides: Any = None,
    layout: Any = "NCHW",
) -> ConvShape:
    """The extents of a convolution by the rules of ONNX's Conv; ValueError names what is wrong."""
    layout = one_of(layout, "layout", *LAYOUTS)
    rank = len(w_shape) - 2
    if rank < 1:
        raise ValueError(
            f"w has shape {w_shape}; weights are (M, C / group, k1, ...), 3 dimensions or more"
        )
    if len(x_shape) != len(w_shape):
        raise ValueError(f"x has shape {x_shape}; w, of shape {w_shape}, needs as many dimensions")
    channels = x_shape[1] if layout == "NCHW" else x_shape[-1]
    spatial = x_shape[2:] if layout == "NCHW" else x_shape[1:-1]
    groups = as_group(group)
    if channels % groups or w_shape[1] != channels // groups:
        raise ValueError(
            f"w has shape {w_shape}; with x of {channels} channels and group {groups}, "
            f"w.shape[1] must be {channels}/{groups}"
        )
    if w_shape[0] % groups:
        raise ValueError(f"group is {groups}; it must divide the {w_shape[0]} channels of w")
    kernel = w_shape[2:]
    if 0 in kernel:
        raise ValueError(f"w has shape {w_shape}; its kernel is empty")
    if kernel_shape is not None and as_extents(kernel_shape, "kernel_shape", rank) != kernel:
        raise ValueError(f"kernel_shape is {tuple(kernel_shape)}; w has {kernel}")
    step = as_extents(strides, "strides", rank)
    dilation = as_extents(dilations, "dilations", rank)
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    begin, end = as_pads(auto_pad, pads, spatial, reach, step)
    padded = tuple(b + s + e for b, s, e in zip(begin, spatial, end, strict=True))
    if max((*padded, *reach)) > LARGEST_EXTENT:
        raise ValueError(
            f"pads or dilations make an axis longer than {LARGEST_EXTENT}: {max((*padded, *reach))}"
        )
    if any(p < r for p, r in zip(padded, reach, strict=True)):
        raise ValueError(
            f"x has spatial shape {spatial}, padded {padded}; the kernel reaches over {reach}"
        )
    out = tuple((p - r) // s + 1 for p, r, s in zip(padded, reach, step, strict=True))
    if math.prod(max(extent, 1) for extent in (x_shape[0], w_shape[0], *out)) > LARGEST_RESULT:
        raise ValueError(f"pads make a result of spatial shape {out}, larger than any memory")
    return ConvShape(
        layout,
        x_shape[0],
        channels,
        spatial,
        w_shape[0],
        groups,
        kernel,
        step,
        dilation,
        begin,
        end,
        out,
    )


def as_group(group: Any) -> int:
    groups = as_index(group, "group")
    if not 1 <= groups <= LARGEST_EXTENT:
        raise ValueError(f"group is {groups}; it must be 1 to {LARGEST_EXTENT}")
    return groups


def as_extents(value: Any, name: str, rank: int) -> tuple[int, ...]:
    """`rank` integers from 1 to `LARGEST_EXTENT`; None is all ones."""
    if value is None:
        return (1,) * rank
    extents = as_integers(value, name, rank)
    if any(not 1 <= extent <= LARGEST_EXTENT for extent in extents):
        raise ValueError(f"{name} is {extents}; entries must be 1 to {LARGEST_EXTENT}")
    return extents


def as_pads(
    auto_pad: Any,
    pads: Any,
    spatial: tuple[int, ...],
    reach: tuple[int, ...],
    strides: tuple[int, ...],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The padding before and after each spatial axis."""
    auto_pad = one_of(auto_pad, "auto_pad", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    rank = len(spatial)
    explicit = (0,) * (2 * rank) if pads is None else as_integers(pads, "pads", 2 * rank)
    if any(not 0 <= pad <= LARGEST_EXTENT for pad in explicit):
        raise ValueError(f"pads is {explicit}; entries must be 0 to {LARGEST_EXTENT}")
    if auto_pad == "NOTSET":
        return explicit[:rank], explicit[rank:]
    if any(explicit):
        raise ValueError(f"pads is given together with auto_pad {auto_pad!r}")
    if auto_pad == "VALID":
        return (0,) * rank, (0,) * rank
    totals = [
        max((-(-extent // stride) - 1) * stride + r - extent, 0)
        for extent, r, stride in zip(spatial, reach, strides, strict=True)
    ]
    small = tuple(total // 2 for total in totals)
    large = tuple(total - total // 2 for total in totals)
    return (small, large) if auto_pad == "SAME_UPPER" else (large, small)


def per_out_channel(value: Array, name: str, shape: ConvShape) -> Array:
    """A scalar, or one entry for each output channel."""
    if value.size == 1 and value.ndim <= 1:
        return value.reshape(())
    if value.shape != (shape.out_channels,):
        raise ValueError(
            f"{name} has shape {value.shape}; it must be a scalar or ({shape.out_channels},)"
        )
    return value


def no_images(w: Array, x_zero_point: Any, geometry: dict[str, Any]) -> Array:
    """No images, just large enough for `w`: a convolution of them checks the other arguments."""
    rank = w.ndim - 2
    if rank < 1:
        raise ValueError(
            f"w has shape {w.shape}; weights are (M, C / group, k1, ...), 3 dimensions or more"
        )
    layout = one_of(geometry["layout"], "layout", *LAYOUTS)
    dilation = as_extents(geometry["dilations"], "dilations", rank)
    spatial = tuple((k - 1) * d + 1 for k, d in zip(w.shape[2:], dilation, strict=True))
    channels = w.shape[1] * as_group(geometry["group"])
    shape = (0, *spatial, channels) if layout == "NHWC" else (0, channels, *spatial)
    dtype = byte_type(x_zero_point, "x_zero_point")
    if math.prod(max(extent, 1) for extent in shape) > LARGEST_RESULT:
        raise ValueError(
            f"w has shape {w.shape}; with dilations {dilation} and group {geometry['group']} "
            "it needs an input that is larger than any memory"
        )
    return np.zeros(shape, dtype)


def conv_zero_points(x: Array, w: Array, shape: ConvShape, zx: Any, zw: Any) -> tuple[Array, Array]:
    """The zero point of `x`, a scalar, and that of `w`, a scalar or ``(M,)``, as int32."""
    left = per_tensor(as_byte_zero_point(zx, "x_zero_point", x.dtype, "x"), "x_zero_point")
    right = as_byte_zero_point(zw, "w_zero_point", w.dtype, "w")
    return left, per_out_channel(right, "w_zero_point", shape)


def qlinear_conv_output(
    x: Array,
    shape: ConvShape,
    x_scale: Any,
    w_scale: Any,
    y_scale: Any,
    y_zero_point: Any,
    bias: Any,
    activation: Any,
) -> tuple[Output, Array]:
    """The output stage of ``qlinear_conv``, and the bias to add before it, both broadcasting
    against the result in its layout."""
    left = per_tensor(as_scale(x_scale, "x_scale"), "x_scale")
    right = per_out_channel(as_scale(w_scale, "w_scale"), "w_scale", shape)
    if y_scale is not None:
        y_scale = per_tensor(as_scale(y_scale, "y_scale"), "y_scale")
        if y_zero_point is not None:
            shaped = per_tensor(as_array(y_zero_point, "y_zero_point"), "y_zero_point")
            y_zero_point = with_dtype_of(y_zero_point, shaped)
    offset, real = as_bias(bias, "b", shape.out_channels, to_real=y_scale is None)
    output = output_of(
        left,
        shape.per_channel(right),
        y_scale,
        y_zero_point,
        activation,
        None if real is None else shape.per_channel(real),
        x.dtype,
        "x_scale * w_scale",
    )
    return output, np.zeros((), np.int32) if offset is None else shape.per_channel(offset)


class Residual(NamedTuple):
    """Codes that are added to the results of a convolution, ``(codes - zero_point) * factor``: in
    steps of quantized results, or in reals where results are."""

    codes: Array
    zero_point: Array
    factor: Reals


def residual_of(
    residual: Any, scale: Any, zero_point: Any, y_scale: Any, out_shape: tuple[int, ...]
) -> Residual | None:
    """The checked residual of ``qlinear_conv``, if it has one; `y_scale` has been checked."""
    given = {"residual": residual, "residual_zero_point": zero_point}
    if scale is None:
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"{name} is given without residual_scale")
        return None
    if residual is None:
        raise ValueError("residual_scale is given without residual")
    codes = as_bytes(residual, "residual")
    if codes.shape != out_shape:
        raise ValueError(
            f"residual has shape {codes.shape}; it must have that of the result, {out_shape}"
        )
    zero = as_byte_zero_point(zero_point, "residual_zero_point", codes.dtype, "residual")
    with np.errstate(over="ignore", under="ignore"):
        factor = per_tensor(as_scale(scale, "residual_scale"), "residual_scale").astype(np.float32)
        names = "residual_scale"
        if y_scale is not None:
            divisor = per_tensor(as_scale(y_scale, "y_scale"), "y_scale").astype(np.float32)
            factor, names = factor / divisor, "residual_scale / y_scale"
        if not np.isfinite(factor * np.float32(255)):
            raise ValueError(f"{names} times 255 overflows float32")
    return Residual(codes, per_tensor(zero, "residual_zero_point"), factor)


def no_residual(scale: Any, zero_point: Any, out_shape: tuple[int, ...]) -> Array | None:
    """What `no_images` is for the input: codes that the other arguments can be checked with."""
    return (
        None if scale is None else np.zeros(out_shape, byte_type(zero_point, "residual_zero_point"))
    )
