"""Pooling of quantized images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array, as_bytes, byte_type, deliver, one_of
from quantlib._arguments.conv import LAYOUTS
from quantlib._arguments.pool import (
    Averaging,
    PoolShape,
    average_factor,
    average_pool_shape,
    averaging,
    global_average_pool_shape,
    pool_shape,
    smallest_images,
)
from quantlib._arguments.prepared import Prepared, own_arguments, own_geometry
from quantlib.reference.elementwise import saturate


def max_pool(
    x: npt.ArrayLike,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """ONNX's MaxPool of codes: the largest in each window.

    Parameters
    ----------
    x : array_like of int8 or uint8, shape (N, C, D1, ...)
        Codes of images of 1 to 3 spatial axes; ``(N, D1, ..., C)`` when `layout` is "NHWC".
    kernel_shape : sequence of int
        The window's extent along each spatial axis.
    auto_pad : {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"}
        How to pad when `pads` is not given.
    ceil_mode : bool
        Whether a last window that reaches over the end of the padding counts; one that would begin
        in the padding at the end does not.
    dilations, strides : sequence of int, optional
        One for each spatial axis; 1 by default.
    pads : sequence of int, optional
        Padding before every spatial axis, then after every spatial axis; 0 by default.
    layout : {"NCHW", "NHWC"}
        Where the channels of `x` and of the result stand.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        Codes of the type of `x`, with its scale and zero point, of shape ``(N, C, o1, ...)``, or
        ``(N, o1, ..., C)`` when `layout` is "NHWC", with
        ``o = floor((D + pads - dilation * (k - 1) - 1) / stride) + 1``, or its ceiling. Padding is
        never the largest; a window of nothing else has the lowest code of the type.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes or attributes do not fit each other.

    Notes
    -----
    The order of codes is that of the reals: nothing has to be known of scale and zero point.
    Source: https://onnx.ai/onnx/operators/onnx__MaxPool.html; there are no indices.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> x = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    >>> reference.max_pool(x, kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 0, 0))[0, 0]
    array([[ 5,  7],
           [13, 15]], dtype=uint8)
    """
    data = as_bytes(x, "x")
    shape = pool_shape(
        data.shape,
        kernel_shape=kernel_shape,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
        dilations=dilations,
        pads=pads,
        strides=strides,
        layout=layout,
    )
    images = _channels_first(data, shape)
    largest = np.full(
        (shape.batch, shape.channels, *shape.out_spatial), np.iinfo(data.dtype).min, data.dtype
    )
    for codes, inside in _taps(images, shape):
        largest = np.where(inside, np.maximum(largest, codes), largest)
    return deliver(_in_layout(largest, shape), out)


def qlinear_average_pool(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """The averages of windows of quantized images, quantized again.

    Parameters
    ----------
    x : array_like of int8 or uint8, shape (N, C, D1, ...)
        Codes of images of 1 to 3 spatial axes; ``(N, D1, ..., C)`` when `layout` is "NHWC".
    x_scale, x_zero_point : float, int or None
        Scale and zero point of `x`, the latter in its type; None is 0.
    y_scale : float
        The result's scale.
    y_zero_point : int or None
        The result's zero point; its dtype, int8 or uint8, is that of the result. An int without a
        dtype, or None for 0, takes the type of `x`.
    kernel_shape, auto_pad, ceil_mode, dilations, pads, strides, layout
        As in `max_pool`.
    count_include_pad : bool
        Whether padding counts as zeros, or not at all. What a window has beyond the padding, where
        `ceil_mode` lets it, never counts.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        Codes of the shape that `max_pool` gives:
        ``saturate(rint(f32(sum) * m) + y_zero_point)`` with the exact sum of the window's
        ``x - x_zero_point`` and ``m = f32(x_scale / f32(y_scale * count))``. The average of nothing
        is 0.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes or attributes do not fit each other, a scale is not finite and positive, their
        quotient overflows, or a window has more than 8,421,504 elements.

    Notes
    -----
    The operator is ONNX Runtime's QLinearAveragePool,
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, which averages
    float32 numbers, so that its result can be one code away where the average is close to a tie;
    with both `ceil_mode` and `count_include_pad` it also counts what is beyond the padding, which
    ONNX's AveragePool, the model here, does not.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> x = np.uint8([[[10, 20, 30, 50]]])
    >>> reference.qlinear_average_pool(x, 0.5, 10, 0.25, np.uint8(5), kernel_shape=[2], strides=[2])
    array([[[15, 65]]], dtype=uint8)
    """
    data = as_bytes(x, "x")
    by = averaging(data.dtype, x_scale, x_zero_point, y_scale, y_zero_point, count_include_pad)
    shape = average_pool_shape(
        data.shape,
        kernel_shape=kernel_shape,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
        dilations=dilations,
        pads=pads,
        strides=strides,
        layout=layout,
    )
    images = _channels_first(_steps(data, by), shape)
    sums = np.zeros((shape.batch, shape.channels, *shape.out_spatial), np.int64)
    count = np.zeros(shape.out_spatial, np.int64)
    for steps, inside in _taps(images, shape):
        sums += np.where(inside, steps, 0)
        count += inside
    if by.include_pad:
        count = _padded_count(shape)
    return deliver(_in_layout(_averages(sums, count, by), shape), out)


def qlinear_global_average_pool(
    x: npt.ArrayLike,
    x_scale: npt.ArrayLike,
    x_zero_point: npt.ArrayLike | None,
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """The average of each channel of quantized images, quantized again.

    Parameters
    ----------
    x : array_like of int8 or uint8, shape (N, C, D1, ...)
        Codes of images; ``(N, D1, ..., C)`` when `layout` is "NHWC".
    x_scale, x_zero_point, y_scale, y_zero_point
        As in `qlinear_average_pool`.
    layout : {"NCHW", "NHWC"}
        Where the channels of `x` and of the result stand.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        What `qlinear_average_pool` gives for one window over each image: the spatial axes of the
        result have extent 1.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `x` has fewer than 3 dimensions, a scale is not finite and positive, their quotient
        overflows, or an image has more than 8,421,504 pixels.

    Notes
    -----
    The operator is ONNX Runtime's QLinearGlobalAveragePool, with the same bits,
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> x = np.uint8([[[[10, 20], [30, 40]]]])
    >>> reference.qlinear_global_average_pool(x, 0.5, 10, 0.25, np.uint8(0))
    array([[[[30]]]], dtype=uint8)
    """
    data = as_bytes(x, "x")
    by = averaging(data.dtype, x_scale, x_zero_point, y_scale, y_zero_point)
    shape = global_average_pool_shape(data.shape, layout)
    rank = data.ndim
    spatial = tuple(range(2, rank)) if shape.layout == "NCHW" else tuple(range(1, rank - 1))
    sums = np.sum(_steps(data, by), axis=spatial, keepdims=True)
    return deliver(_averages(sums, np.asarray(shape.spatial[0]), by), out)


class MaxPool(Prepared):
    """`max_pool` with everything but `x` fixed.

    Parameters
    ----------
    kernel_shape, auto_pad, ceil_mode, dilations, pads, strides, layout
        As in `max_pool`.

    Raises
    ------
    TypeError, ValueError
        As `max_pool`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``x`` and ``out``, and returns what `max_pool` defines, with its
    errors. It may be made from several threads. What was derived from the shape of ``x`` is
    remembered.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> pool = reference.MaxPool(kernel_shape=[2], strides=[2])
    >>> pool(np.uint8([[[1, 5, 3, 2]]]))
    array([[[5, 3]]], dtype=uint8)
    """

    def __init__(
        self,
        *,
        kernel_shape: Sequence[int],
        auto_pad: str = "NOTSET",
        ceil_mode: bool = False,
        dilations: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
        layout: str = "NCHW",
    ) -> None:
        self._given = own_geometry(
            kernel_shape=kernel_shape,
            auto_pad=auto_pad,
            ceil_mode=ceil_mode,
            dilations=dilations,
            pads=pads,
            strides=strides,
            layout=layout,
        )
        pool_shape(smallest_images(kernel_shape, dilations, layout), **self._given)

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        return max_pool(x, out=out, **self._given)

    def _arguments(self) -> dict[str, Any]:
        return self._given


class QLinearAveragePool(Prepared):
    """`qlinear_average_pool` with everything but `x` fixed.

    Parameters
    ----------
    x_scale, x_zero_point, y_scale, y_zero_point
        As in `qlinear_average_pool`; the zero point of ``x`` in the type that it will have.
    kernel_shape, auto_pad, ceil_mode, count_include_pad, dilations, pads, strides, layout
        As in `qlinear_average_pool`.

    Raises
    ------
    TypeError, ValueError
        As `qlinear_average_pool`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``x`` and ``out``, and returns what `qlinear_average_pool` defines, with its
    errors. It may be made from several threads. What was derived from the shape of ``x`` is
    remembered.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> pool = reference.QLinearAveragePool(
    ...     x_scale=0.5, x_zero_point=10, y_scale=0.25, kernel_shape=[2], strides=[2]
    ... )
    >>> pool(np.uint8([[[10, 20, 30, 50]]]))
    array([[[10, 60]]], dtype=uint8)
    """

    def __init__(
        self,
        *,
        x_scale: npt.ArrayLike,
        x_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike,
        y_zero_point: npt.ArrayLike | None = None,
        kernel_shape: Sequence[int],
        auto_pad: str = "NOTSET",
        ceil_mode: bool = False,
        count_include_pad: bool = False,
        dilations: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
        layout: str = "NCHW",
    ) -> None:
        self._parameters = own_arguments(
            x_scale=x_scale, x_zero_point=x_zero_point, y_scale=y_scale, y_zero_point=y_zero_point
        )
        self._parameters |= own_geometry(count_include_pad=count_include_pad)
        self._geometry = own_geometry(
            kernel_shape=kernel_shape,
            auto_pad=auto_pad,
            ceil_mode=ceil_mode,
            dilations=dilations,
            pads=pads,
            strides=strides,
            layout=layout,
        )
        averaging(byte_type(x_zero_point, "x_zero_point"), **self._parameters)
        average_pool_shape(smallest_images(kernel_shape, dilations, layout), **self._geometry)

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        return qlinear_average_pool(x, out=out, **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {**self._parameters, **self._geometry}


class QLinearGlobalAveragePool(Prepared):
    """`qlinear_global_average_pool` with everything but `x` fixed.

    Parameters
    ----------
    x_scale, x_zero_point, y_scale, y_zero_point, layout
        As in `qlinear_global_average_pool`; the zero point of ``x`` in the type that it will have.

    Raises
    ------
    TypeError, ValueError
        As `qlinear_global_average_pool`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``x`` and ``out``, and returns what `qlinear_global_average_pool` defines, with its
    errors. It may be made from several threads. What was derived from the shape of ``x`` is
    remembered.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> pool = reference.QLinearGlobalAveragePool(x_scale=0.5, x_zero_point=10, y_scale=0.25)
    >>> pool(np.uint8([[[[10, 20], [30, 40]]]]))
    array([[[[30]]]], dtype=uint8)
    """

    def __init__(
        self,
        *,
        x_scale: npt.ArrayLike,
        x_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike,
        y_zero_point: npt.ArrayLike | None = None,
        layout: str = "NCHW",
    ) -> None:
        self._parameters = own_arguments(
            x_scale=x_scale, x_zero_point=x_zero_point, y_scale=y_scale, y_zero_point=y_zero_point
        )
        self._layout = one_of(layout, "layout", *LAYOUTS)
        averaging(byte_type(x_zero_point, "x_zero_point"), **self._parameters)

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        return qlinear_global_average_pool(x, out=out, **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {**self._parameters, "layout": self._layout}


def _steps(x: Array, by: Averaging) -> npt.NDArray[np.int64]:
    return x.astype(np.int64) - by.x_zero_point


def _averages(sums: npt.NDArray[np.int64], count: npt.NDArray[np.int64], by: Averaging) -> Array:
    with np.errstate(under="ignore"):
        return saturate(sums.astype(np.float32) * average_factor(by, count), by.target)


def _taps(images: Array, shape: PoolShape) -> Iterator[tuple[Array, npt.NDArray[np.bool_]]]:
    """For each tap of the window: its elements for all windows, and which of them are inside the
    image; the others are any elements."""
    for tap in np.ndindex(*shape.kernel):
        places, inside = [], np.ones((), np.bool_)
        for axis, (t, extent) in enumerate(zip(tap, shape.spatial, strict=True)):
            at = _positions(shape, axis) + t * shape.dilations[axis]
            places.append(np.clip(at, 0, max(extent - 1, 0)))
            inside = inside[..., np.newaxis] & (at >= 0) & (at < extent)
        if np.any(inside):
            yield images[:, :, *np.ix_(*places)], inside


def _padded_count(shape: PoolShape) -> npt.NDArray[np.int64]:
    """How many taps of each window are inside the image or its padding."""
    count = np.ones((), np.int64)
    for axis, taps in enumerate(shape.kernel):
        room = shape.spatial[axis] + shape.pads_end[axis] - _positions(shape, axis)
        fitting = np.minimum(-(-room // shape.dilations[axis]), taps)
        count = count[..., np.newaxis] * fitting
    return count


def _positions(shape: PoolShape, axis: int) -> npt.NDArray[np.int64]:
    """Where the windows begin along a spatial axis."""
    first = np.arange(shape.out_spatial[axis], dtype=np.int64) * shape.strides[axis]
    return first - shape.pads_begin[axis]


def _channels_first(x: Array, shape: PoolShape) -> Array:
    return np.moveaxis(x, -1, 1) if shape.layout == "NHWC" else x


def _in_layout(x: Array, shape: PoolShape) -> Array:
    return np.moveaxis(x, 1, -1) if shape.layout == "NHWC" else x
