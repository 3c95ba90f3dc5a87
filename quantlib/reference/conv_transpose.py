"""Transposed convolutions in quantized form, in one to three spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array, as_bytes, deliver
from quantlib._arguments.conv import ConvShape, conv_zero_points, qlinear_conv_output
from quantlib._arguments.conv_transpose import conv_transpose_shape, smallest_images
from quantlib._arguments.output import Activation
from quantlib._arguments.prepared import Prepared, own_arguments, own_geometry
from quantlib.reference.requantize import exact_int32, finish


def qlinear_conv_transpose(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    w: npt.ArrayLike,
    w_scale: npt.ArrayLike,
    w_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike | None,
    y_zero_point: npt.ArrayLike | None,
    b: npt.ArrayLike | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    layout: str = "NCHW",
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    """ONNX's ConvTranspose of quantized operands, quantized again.

    Parameters
    ----------
    x : array_like of int8 or uint8, shape (N, C, D1, ...)
        Codes of the input; ``(N, D1, ..., C)`` when `layout` is "NHWC".
    x_scale, x_zero_point : array_like
        Scalars; the zero point in the type of `x`, None is 0.
    w : array_like of int8 or uint8, shape (C, M / group, k1, ...)
        Codes of the weights, in this order for both layouts.
    w_scale, w_zero_point : array_like
        A scalar, or one entry for each output channel ``(M,)``; the zero point in the type of `w`,
        None is 0.
    y_scale : array_like of float or None
        A scalar. None asks for float32 results.
    y_zero_point : array_like of int or None
        A scalar; its dtype, int8 or uint8, is that of the result. An int without a dtype, or None
        for 0, takes the type of `x`.
    b : array_like of int32 or float32, optional
        A scalar or ``(M,)``, as in `qlinear_conv`.
    auto_pad : {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"}
        "SAME" gives the result ``stride`` times the extents of `x`; of an odd number to be cut
        off, "SAME_UPPER" takes the odd one from the end.
    dilations, strides : sequence of int, optional
        One for each spatial axis; 1 by default.
    group : int
        In how many groups the channels are split.
    kernel_shape : sequence of int, optional
        Must equal ``w.shape[2:]``, which it is taken from by default.
    output_padding : sequence of int, optional
        What to add at the end of each spatial axis of the result; 0 by default.
    output_shape : sequence of int, optional
        The spatial extents of the result, from which `pads` follow.
    pads : sequence of int, optional
        What to cut off before every spatial axis of the result, then after every one.
    layout : {"NCHW", "NHWC"}
        Where the channels of `x` and of the result stand.
    activation : {"relu", "relu6"} or (float, float), optional
        Keep the real result between two bounds.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        ``(N, M, o1, ...)``, or ``(N, o1, ..., M)`` when `layout` is "NHWC", with
        ``o = stride * (D - 1) + output_padding + dilation * (k - 1) + 1 - pads``. The accumulator
        is the exact sum of ``(x[i] - x_zero_point) * (w[t] - w_zero_point)`` over all pixels and
        taps with ``i * stride + t * dilation - pads_begin = o``, plus bias; the result is that of
        `qlinear_conv` for this accumulator.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes or attributes do not fit each other, a scale is not finite and positive, or the
        scales' product overflows.
    OverflowError
        If an accumulator does not fit int32. Nothing wraps.

    Notes
    -----
    Source: https://onnx.ai/onnx/operators/onnx__ConvTranspose.html, rounded as
    https://onnx.ai/onnx/operators/onnx__QLinearConv.html; there is no such operator for quantized
    operands.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> x, w = np.uint8([[[4, 5]]]), np.int8([[[1, 2, 3]]])
    >>> reference.qlinear_conv_transpose(x, 1.0, 3, w, 1.0, 0, 1.0, np.int8(0), strides=[2])
    array([[[1, 2, 5, 4, 6]]], dtype=int8)
    """
    data, weights = as_bytes(x, "x"), as_bytes(w, "w")
    shape = conv_transpose_shape(
        data.shape,
        weights.shape,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        output_padding=output_padding,
        output_shape=output_shape,
        pads=pads,
        strides=strides,
        layout=layout,
    )
    zx, zw = conv_zero_points(data, weights, shape, x_zero_point, w_zero_point)
    output, bias = qlinear_conv_output(
        data, shape, x_scale, w_scale, y_scale, y_zero_point, b, activation
    )
    acc = exact_int32(_sums(data, weights, zx, zw, shape) + bias, "an accumulator of the result")
    return deliver(finish(acc, output), out)


class QLinearConvTranspose(Prepared):
    """`qlinear_conv_transpose` with everything but `x` fixed.

    The fast class packs `w` once, for the instruction set in use; later changes of the arguments do
    not show.

    Parameters
    ----------
    w : array_like of int8 or uint8, shape (C, M / group, k1, ...)
        Codes of the weights, in this order for both layouts.
    w_scale, w_zero_point : array_like
        A scalar or ``(M,)``; the zero point in the type of `w`, None is 0.
    x_scale, x_zero_point : array_like
        Scalars, the zero point in the type that ``x`` will have; None is 0.
    y_scale, y_zero_point, b, activation
        As in `QLinearConv`.
    auto_pad, dilations, group, kernel_shape, output_padding, output_shape, pads, strides, layout
        As in `qlinear_conv_transpose`.

    Raises
    ------
    TypeError, ValueError
        As `qlinear_conv_transpose`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``x`` of int8 or uint8, shape ``(N, C, D1, ...)`` or ``(N, D1, ..., C)``, and
    ``out``, and returns what `qlinear_conv_transpose` defines, with its errors. It may be made from
    several threads.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again,
    packed for the processor there.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> w = np.int8([[[1, 2, 3]]])
    >>> layer = reference.QLinearConvTranspose(w, 1.0, x_scale=1.0, x_zero_point=3, strides=[2])
    >>> layer(np.uint8([[[4, 5]]]))
    array([[[1., 2., 5., 4., 6.]]], dtype=float32)
    """

    def __init__(
        self,
        w: npt.ArrayLike,
        w_scale: npt.ArrayLike,
        w_zero_point: npt.ArrayLike | None = None,
        *,
        x_scale: npt.ArrayLike,
        x_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike | None = None,
        y_zero_point: npt.ArrayLike | None = None,
        b: npt.ArrayLike | None = None,
        activation: Activation = None,
        auto_pad: str = "NOTSET",
        dilations: Sequence[int] | None = None,
        group: int = 1,
        kernel_shape: Sequence[int] | None = None,
        output_padding: Sequence[int] | None = None,
        output_shape: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
        layout: str = "NCHW",
    ) -> None:
        weights = as_bytes(w, "w")
        self._geometry = own_geometry(
            auto_pad=auto_pad,
            dilations=dilations,
            group=group,
            kernel_shape=kernel_shape,
            output_padding=output_padding,
            output_shape=output_shape,
            pads=pads,
            strides=strides,
            layout=layout,
        )
        self._given = own_arguments(
            w_scale=w_scale,
            w_zero_point=w_zero_point,
            x_scale=x_scale,
            x_zero_point=x_zero_point,
            y_scale=y_scale,
            y_zero_point=y_zero_point,
            b=b,
            activation=activation,
        )
        self._w = weights.copy()
        self(smallest_images(weights, x_zero_point, self._geometry))  # checks the arguments

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        return qlinear_conv_transpose(x, out=out, **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {"w": self._w, **self._given, **self._geometry}


def _sums(x: Array, w: Array, zx: Array, zw: Array, shape: ConvShape) -> npt.NDArray[np.float64]:
    """The exact sums: for each tap of the kernel, one product, scattered over the result.

    Float64 holds every integer up to 2**53, so the order does not matter.
    """
    data = np.moveaxis(x, -1, 1) if shape.layout == "NHWC" else x
    data = data.reshape(shape.batch, shape.group, shape.channels // shape.group, *shape.spatial)
    steps = data.astype(np.float64) - zx
    out = shape.out_channels // shape.group
    zeros = np.broadcast_to(zw, (shape.out_channels,)).reshape(shape.group, 1, out)
    taps = w.reshape(shape.group, -1, out, *shape.kernel) if w.size else w
    sums = np.zeros((shape.batch, shape.group, out, *shape.out_spatial))
    for tap in np.ndindex(*shape.kernel) if w.size else ():
        weights = taps[:, :, :, *tap].astype(np.float64) - zeros
        target, source = _overlap(shape, tap)
        sums[:, :, :, *target] += np.einsum("gcm,ngc...->ngm...", weights, steps[:, :, :, *source])
    result = sums.reshape(shape.batch, shape.out_channels, *shape.out_spatial)
    return np.moveaxis(result, 1, -1) if shape.layout == "NHWC" else result


def _overlap(shape: ConvShape, tap: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Which places of the result a tap reaches, and from which pixels."""
    target, source = [], []
    for axis, t in enumerate(tap):
        stride = shape.strides[axis]
        first = t * shape.dilations[axis] - shape.pads_begin[axis]  # where pixel 0 goes
        begin = max(0, -(first // stride))
        end = min(shape.spatial[axis], -((first - shape.out_spatial[axis]) // stride))
        end = max(begin, end)
        source.append(slice(begin, end))
        start = first + begin * stride
        reached = slice(start, start + (end - begin) * stride, stride)
        target.append(reached if end > begin else slice(0, 0))
    return tuple(target), tuple(source)
