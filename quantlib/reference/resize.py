"""Resizing of codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array, as_bytes, deliver
from quantlib._arguments.prepared import Prepared, own_arguments, own_geometry
from quantlib._arguments.resize import check_resizing, resize_shape


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
    """ONNX's Resize of codes: the nearest, or interpolated along up to three axes.

    Parameters
    ----------
    x : array_like of int8 or uint8
        Codes of any shape and layout.
    scales : array_like of float, optional
        By which to multiply the extent of each axis, as float32; the result is rounded down.
    sizes : sequence of int, optional
        The extents of the result, in place of `scales`.
    axes : sequence of int, optional
        Which axes `scales` or `sizes` is about; by default all. Those that change, and what lies
        between them, may be three axes at most.
    mode : {"nearest", "linear"}
        Take the nearest code, or interpolate between neighbours.
    coordinate_transformation_mode : str
        Where the places of the result lie in `x`: "half_pixel", "half_pixel_symmetric",
        "pytorch_half_pixel", "align_corners" or "asymmetric".
    nearest_mode : {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}
        How coordinates are rounded for the nearest code.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        Codes of the type of `x`, with its scale and zero point. Coordinates are computed in
        float32 by ONNX's formulas and kept inside `x`. Interpolated codes are
        ``rint((1 - w) * a + w * b)`` with ``w`` the fraction of the coordinate: along the first
        axis, then the second, then the third, every product and sum rounded to float32, and the
        result rounded half to even.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If not exactly one of `scales` and `sizes` is given, they do not fit `x`, too many axes
        change, or a mode is none of these.

    Notes
    -----
    Interpolation and the affine map of codes to reals commute: nothing has to be known of scale and
    zero point. Source: https://onnx.ai/onnx/operators/onnx__Resize.html. Nearest codes are ONNX
    Runtime's; its interpolation of integers rounds towards 0, so that it can be one code away.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> x = np.uint8([[10, 20, 30]])
    >>> reference.resize(x, sizes=(2, 6))
    array([[10, 10, 20, 20, 30, 30],
           [10, 10, 20, 20, 30, 30]], dtype=uint8)
    >>> reference.resize(x, sizes=(1, 6), mode="linear")
    array([[10, 12, 18, 22, 28, 30]], dtype=uint8)
    """
    data = as_bytes(x, "x")
    shape = resize_shape(
        data.shape,
        scales=scales,
        sizes=sizes,
        axes=axes,
        mode=mode,
        coordinate_transformation_mode=coordinate_transformation_mode,
        nearest_mode=nearest_mode,
    )
    values = data.reshape(shape.outer, *shape.extents, shape.inner)
    if shape.mode == "nearest":
        result = values[:, shape.first[0]][:, :, shape.first[1]][:, :, :, shape.first[2]]
        return deliver(result.reshape(shape.result), out)
    reals = values.astype(np.float32)
    for axis in range(3):
        weight = shape.weight[axis].reshape((-1,) + (1,) * (3 - axis))
        before = np.take(reals, shape.first[axis], axis=axis + 1)
        after = np.take(reals, shape.second[axis], axis=axis + 1)
        reals = (np.float32(1) - weight) * before + weight * after
    limits = np.iinfo(data.dtype)
    codes = np.clip(np.rint(reals), limits.min, limits.max).astype(data.dtype)
    return deliver(codes.reshape(shape.result), out)


class Resize(Prepared):
    """`resize` with everything but `x` fixed.

    Parameters
    ----------
    scales, sizes, axes, mode, coordinate_transformation_mode, nearest_mode
        As in `resize`.

    Raises
    ------
    TypeError, ValueError
        As `resize`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``x`` and ``out``, and returns what `resize` defines, with its errors. It may be
    made from several threads. What was derived from the shape of ``x`` is remembered.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> double = reference.Resize(scales=[2.0], axes=[-1])
    >>> double(np.uint8([[10, 20, 30]]))
    array([[10, 10, 20, 20, 30, 30]], dtype=uint8)
    """

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

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        return resize(x, out=out, **self._given)

    def _arguments(self) -> dict[str, Any]:
        return self._given
