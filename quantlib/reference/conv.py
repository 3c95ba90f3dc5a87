"""Integer convolutions and their quantized form, in any number of spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array, as_bytes, deliver
from quantlib._arguments.conv import (
    ConvShape,
    conv_shape,
    conv_zero_points,
    no_images,
    no_residual,
    qlinear_conv_output,
    residual_of,
)
from quantlib._arguments.output import Activation
from quantlib._arguments.prepared import Prepared, own_arguments, own_geometry
from quantlib.reference.requantize import exact_int32, finish


def conv_integer(
    x: npt.ArrayLike,
    w: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None = None,
    w_zero_point: npt.ArrayLike | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """ONNX's ConvInteger: an exact int32 convolution of codes less their zero points.

    Parameters
    ----------
    x : array_like of int8 or uint8, shape (N, C, D1, ...)
        Codes of the input; ``(N, D1, ..., C)`` when `layout` is "NHWC".
    w : array_like of int8 or uint8, shape (M, C / group, k1, ...)
        Codes of the weights, in this order for both layouts.
    x_zero_point : array_like of int, optional
        A scalar in the type of `x`; padding stands for the real 0, so it has this code.
    w_zero_point : array_like of int, optional
        In the type of `w`: a scalar, or one entry for each output channel ``(M,)``.
    auto_pad : {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"}
        How to pad when `pads` is not given.
    dilations, strides : sequence of int, optional
        One for each spatial axis; 1 by default.
    group : int
        In how many groups the channels are split; as many as channels is depthwise.
    kernel_shape : sequence of int, optional
        Must equal ``w.shape[2:]``, which it is taken from by default.
    pads : sequence of int, optional
        Padding before every spatial axis, then after every spatial axis; 0 by default.
    layout : {"NCHW", "NHWC"}
        Where the channels of `x` and of the result stand.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray of int32
        ``(N, M, o1, ...)``, or ``(N, o1, ..., M)`` when `layout` is "NHWC", with
        ``o = floor((D + pads - dilation * (k - 1) - 1) / stride) + 1``.

    Raises
    ------
    TypeError
        If an operand is not int8 or uint8, or a zero point has another type than its operand.
    ValueError
        If shapes or attributes do not fit each other.
    OverflowError
        If an entry does not fit int32. Nothing wraps.

    Notes
    -----
    Source: https://onnx.ai/onnx/operators/onnx__ConvInteger.html.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> x = np.arange(2, 11, dtype=np.uint8).reshape(1, 1, 3, 3)
    >>> reference.conv_integer(x, np.ones((1, 1, 2, 2), np.uint8), np.uint8(1))[0, 0]
    array([[12, 16],
           [24, 28]], dtype=int32)
    """
    data, weights = as_bytes(x, "x"), as_bytes(w, "w")
    shape = conv_shape(
        data.shape,
        weights.shape,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
        layout=layout,
    )
    zx, zw = conv_zero_points(data, weights, shape, x_zero_point, w_zero_point)
    return deliver(exact_int32(_sums(data, weights, zx, zw, shape), "an entry of the result"), out)


def qlinear_conv(
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
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    layout: str = "NCHW",
    residual: npt.ArrayLike | None = None,
    residual_scale: npt.ArrayLike | None = None,
    residual_zero_point: npt.ArrayLike | None = None,
    activation: Activation = None,
    out: Array | None = None,
) -> Array:
    """ONNX's QLinearConv: a convolution of quantized operands, quantized again.

    Parameters
    ----------
    x, x_zero_point, w, w_zero_point
        As in `conv_integer`.
    x_scale : array_like of float
        A scalar.
    w_scale : array_like of float
        A scalar, or one entry for each output channel ``(M,)``.
    y_scale : array_like of float or None
        A scalar. None asks for float32 results.
    y_zero_point : array_like of int or None
        A scalar; its dtype, int8 or uint8, is that of the result. An int without a dtype, or None
        for 0, takes the type of `x`.
    b : array_like of int32 or float32, optional
        A scalar or ``(M,)``. int32 is in units of ``x_scale * w_scale`` and added to the
        accumulators; float32, for float32 results only, is added to them.
    auto_pad, dilations, group, kernel_shape, pads, strides, layout
        As in `conv_integer`.
    residual : array_like of int8 or uint8, optional
        Codes to be added to the result, of its shape.
    residual_scale, residual_zero_point : array_like, optional
        Scalars that say what those stand for; the zero point in the type of `residual`, None is 0.
    activation : {"relu", "relu6"} or (float, float), optional
        Keep the real result, a residual included, between two bounds.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        Of the shape that `conv_integer` gives:
        ``saturate(rint(f32(acc) * m) + y_zero_point)`` with the exact accumulator ``acc`` of
        `conv_integer` plus bias and ``m = f32(f32(x_scale * w_scale) / y_scale)``, kept between
        the codes of the activation's bounds; or, without `y_scale`,
        ``f32(acc) * f32(x_scale * w_scale)``, to which a float32 bias is added, kept between the
        bounds. Each of these is one float32 operation; none are fused.

        With a residual, ``(residual - residual_zero_point) * f32(residual_scale / y_scale)`` is
        added to ``f32(acc) * m`` before that is rounded; without `y_scale`,
        ``(residual - residual_zero_point) * residual_scale`` before the activation. `qlinear_add`
        of a result and the residual rounds twice instead, and so can be one code away.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes or attributes do not fit each other, a scale is not finite and positive, the
        scales' product overflows, or a residual is given without a scale, or a scale without one.
    OverflowError
        If an accumulator does not fit int32. Nothing wraps.

    Notes
    -----
    Scales of float16 and float64 are rounded to float32. Source:
    https://onnx.ai/onnx/operators/onnx__QLinearConv.html; the rounding is ONNX Runtime's, see
    `requantize`.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> x, w = np.uint8([[[3, 5, 7]]]), np.int8([[[1, -1]]])
    >>> reference.qlinear_conv(x, 1.0, 3, w, 0.5, 0, 0.25, np.int8(0), pads=(1, 0))
    array([[[ 0, -4, -4]]], dtype=int8)
    """
    data, weights = as_bytes(x, "x"), as_bytes(w, "w")
    shape = conv_shape(
        data.shape,
        weights.shape,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
        layout=layout,
    )
    zx, zw = conv_zero_points(data, weights, shape, x_zero_point, w_zero_point)
    output, bias = qlinear_conv_output(
        data, shape, x_scale, w_scale, y_scale, y_zero_point, b, activation
    )
    term = residual_of(residual, residual_scale, residual_zero_point, y_scale, shape.out_shape)
    added = None if term is None else (term.codes - term.zero_point).astype("f4") * term.factor
    acc = exact_int32(_sums(data, weights, zx, zw, shape) + bias, "an accumulator of the result")
    return deliver(finish(acc, output, added), out)


class ConvInteger(Prepared):
    """`conv_integer` with everything but `x` and its zero point fixed.

    The fast class packs `w` once, for the instruction set in use; later changes of the arguments do
    not show.

    Parameters
    ----------
    w : array_like of int8 or uint8, shape (M, C / group, k1, ...)
        Codes of the weights, in this order for both layouts.
    w_zero_point : array_like of int, optional
        In the type of `w`: a scalar, or one entry for each output channel ``(M,)``.
    auto_pad, dilations, group, kernel_shape, pads, strides, layout
        As in `conv_integer`.

    Raises
    ------
    TypeError, ValueError
        As `conv_integer`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``x``, ``x_zero_point`` and ``out``, and returns what `conv_integer` defines, with
    its errors. It may be made from several threads. Source:
    https://onnx.ai/onnx/operators/onnx__ConvInteger.html.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again,
    packed for the processor there.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> layer = reference.ConvInteger(np.int8([[[1, 10]]]), strides=[2])
    >>> layer(np.uint8([[[2, 3, 4, 5]]]), 1)
    array([[[21, 43]]], dtype=int32)
    """

    def __init__(
        self,
        w: npt.ArrayLike,
        w_zero_point: npt.ArrayLike | None = None,
        *,
        auto_pad: str = "NOTSET",
        dilations: Sequence[int] | None = None,
        group: int = 1,
        kernel_shape: Sequence[int] | None = None,
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
            pads=pads,
            strides=strides,
            layout=layout,
        )
        self._given = own_arguments(w_zero_point=w_zero_point)
        self._w = weights.copy()
        self(no_images(weights, None, self._geometry))  # checks the arguments

    def __call__(
        self,
        x: npt.ArrayLike,
        x_zero_point: npt.ArrayLike | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        return conv_integer(x, x_zero_point=x_zero_point, out=out, **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {"w": self._w, **self._given, **self._geometry}


class QLinearConv(Prepared):
    """`qlinear_conv` with everything but `x` fixed.

    The fast class packs `w` once, for the instruction set in use; later changes of the arguments do
    not show. With `layout` "NHWC" nothing has to be transposed.

    Parameters
    ----------
    w : array_like of int8 or uint8, shape (M, C / group, k1, ...)
        Codes of the weights, in this order for both layouts.
    w_scale, w_zero_point : array_like
        A scalar or ``(M,)``; the zero point in the type of `w`, None is 0.
    x_scale, x_zero_point : array_like
        Scalars, the zero point in the type that ``x`` will have; None is 0.
    y_scale, y_zero_point : array_like, optional
        Scalars. Without `y_scale` results are float32; otherwise they have the type of
        `y_zero_point`, or that of ``x`` if it brings none.
    b : array_like of int32 or float32, optional
        A scalar or ``(M,)``: int32 in units of ``x_scale * w_scale``, or float32 where results are.
    residual_scale, residual_zero_point : array_like, optional
        Scalars. With `residual_scale`, calls take a residual, and the zero point has its type.
    activation : {"relu", "relu6"} or (float, float), optional
        Keep the real result between two bounds.
    auto_pad, dilations, group, kernel_shape, pads, strides, layout
        As in `conv_integer`.

    Raises
    ------
    TypeError, ValueError
        As `qlinear_conv`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``x`` of int8 or uint8, shape ``(N, C, D1, ...)`` or ``(N, D1, ..., C)``, then
    ``residual``, if there is a scale for one, and ``out``, and returns what `qlinear_conv` defines,
    with its errors. It may be made from several
    threads. Source: https://onnx.ai/onnx/operators/onnx__QLinearConv.html.

    Besides its input, its result and the packed weights a call of the fast class needs memory for
    a block of rows and a few lines, less than 1 MiB for each thread in layers of usual networks;
    there is no matrix of patches. Depthwise convolutions with channels first copy input and result.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again,
    packed for the processor there.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> layer = reference.QLinearConv(np.int8([[[1, -1]]]), 0.5, x_scale=1.0, x_zero_point=3)
    >>> layer(np.uint8([[[3, 5, 7]]]))
    array([[[-1., -1.]]], dtype=float32)
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
        residual_scale: npt.ArrayLike | None = None,
        residual_zero_point: npt.ArrayLike | None = None,
        activation: Activation = None,
        auto_pad: str = "NOTSET",
        dilations: Sequence[int] | None = None,
        group: int = 1,
        kernel_shape: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
        layout: str = "NCHW",
    ) -> None:
        weights = as_bytes(w, "w")
        geometry = own_geometry(
            auto_pad=auto_pad,
            dilations=dilations,
            group=group,
            kernel_shape=kernel_shape,
            pads=pads,
            strides=strides,
            layout=layout,
        )
        parameters = own_arguments(
            w_scale=w_scale,
            w_zero_point=w_zero_point,
            x_scale=x_scale,
            x_zero_point=x_zero_point,
            y_scale=y_scale,
            y_zero_point=y_zero_point,
            b=b,
            residual_scale=residual_scale,
            residual_zero_point=residual_zero_point,
            activation=activation,
        )
        self._given = {"w": weights.copy(), **parameters, **geometry}
        self._check(no_images(weights, parameters["x_zero_point"], geometry), geometry)

    def __call__(
        self,
        x: npt.ArrayLike,
        residual: npt.ArrayLike | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        return qlinear_conv(x, residual=residual, out=out, **self._given)

    def _check(self, example: Array, geometry: dict[str, Any]) -> None:
        """Whatever is wrong with the arguments shows in a convolution of no images."""
        given = self._given
        out_shape = conv_shape(example.shape, given["w"].shape, **geometry).out_shape
        scale, zero_point = given["residual_scale"], given["residual_zero_point"]
        self(example, no_residual(scale, zero_point, out_shape))

    def _arguments(self) -> dict[str, Any]:
        return self._given


def _sums(x: Array, w: Array, zx: Array, zw: Array, shape: ConvShape) -> npt.NDArray[np.float64]:
    """The exact sums: one matrix product for each tap of the kernel, added up.

    Float64 holds every integer up to 2**53, so neither the order nor the grouping matters.
    """
    rank = len(shape.kernel)
    data = np.moveaxis(x, -1, 1) if shape.layout == "NHWC" else x
    margins = [(0, 0), (0, 0), *zip(shape.pads_begin, shape.pads_end, strict=True)]
    data = np.pad(data.astype(np.float64) - zx, margins)
    weights = w.astype(np.float64) - zw.reshape((-1,) + (1,) * (w.ndim - 1))
    weights = weights.reshape(shape.group, -1, *w.shape[1:]) if w.size else weights
    pixels = int(np.prod(shape.out_spatial))
    per_group = shape.channels // shape.group, shape.out_channels // shape.group
    sums = np.zeros((shape.batch, shape.group, per_group[1], pixels))
    for tap in np.ndindex(*shape.kernel) if w.size else ():
        window = tuple(
            slice(t * d, t * d + (o - 1) * s + 1, s)
            for t, d, o, s in zip(
                tap, shape.dilations, shape.out_spatial, shape.strides, strict=True
            )
        )
        columns = data[:, :, *window].reshape(shape.batch, shape.group, per_group[0], pixels)
        sums += weights[:, :, :, *tap] @ columns
    result = sums.reshape(shape.batch, shape.out_channels, *shape.out_spatial)
    return np.moveaxis(result, 1, rank + 1) if shape.layout == "NHWC" else result
