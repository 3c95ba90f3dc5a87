"""Joining and padding quantized arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array, byte_type, deliver
from quantlib._arguments.concat import (
    check_padding,
    concat_arguments,
    concat_parameters,
    conversion,
    pad_arguments,
    triples,
)
from quantlib._arguments.prepared import Prepared, own_arguments, own_geometry
from quantlib._arguments.quantized import as_target, as_tensor_zero_point
from quantlib.params import as_index


def qlinear_concat(
    y_scale: npt.ArrayLike,
    y_zero_point: npt.ArrayLike | None,
    inputs: Sequence[tuple[Any, Any, Any]],
    *,
    axis: int,
    out: Array | None = None,
) -> Array:
    """Join quantized arrays of different scales and zero points along an axis.

    Parameters
    ----------
    y_scale : float
        The result's scale.
    y_zero_point : int or None
        The result's zero point; its dtype, int8 or uint8, is that of the result. An int without a
        dtype, or None for 0, takes the type of the first array.
    inputs : sequence of triples ``(x, x_scale, x_zero_point)``
        Codes of int8 or uint8, 1 dimension or more, of equal shape except along `axis`; their
        scale; their zero point, where None is 0.
    axis : int
        Along which to join; negative counts from the end.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        Codes that have the result's scale and zero point are copied. Others become
        ``saturate(rint(f32(x_scale * (x - x_zero_point)) / y_scale) + y_zero_point)``, divided in
        float32: dequantized and quantized.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `inputs` is empty, shapes do not fit, or a scale is not finite and positive.

    Notes
    -----
    The operator is ONNX Runtime's QLinearConcat, with the same bits,
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> a, b = np.uint8([1, 2]), np.int8([-3, 4])
    >>> reference.qlinear_concat(0.5, np.uint8(10), [(a, 0.5, 10), (b, 1.0, 0)], axis=0)
    array([ 1,  2,  4, 18], dtype=uint8)
    """
    sources, target, index, _ = concat_arguments(y_scale, y_zero_point, inputs, axis)
    parts = []
    for source in sources:
        table = conversion(source, target)
        parts.append(source.data if table is None else table[source.data.view(np.uint8)])
    return deliver(np.concatenate(parts, axis=index), out)


class QLinearConcat(Prepared):
    """`qlinear_concat` with everything but the arrays fixed.

    Parameters
    ----------
    x_scales : sequence of float
        The scale of each array, in the order in which they are joined.
    x_zero_points : sequence of int, optional
        Their zero points; None is 0 for all. A sequence that has a dtype, int8 or uint8, demands it
        of the arrays.
    y_scale, y_zero_point, axis
        As in `qlinear_concat`.

    Raises
    ------
    TypeError, ValueError
        As `qlinear_concat`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``inputs``, a sequence of as many arrays, and ``out``, and returns what
    `qlinear_concat` defines, with its errors. It may be made from several threads. What was derived
    from the shapes of the arrays is remembered.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> join = reference.QLinearConcat(
    ...     x_scales=[0.5, 1.0], x_zero_points=[10, 0], y_scale=0.5, y_zero_point=10, axis=0
    ... )
    >>> join([np.uint8([1, 2]), np.int8([-3, 4])])
    array([ 1,  2,  4, 18], dtype=uint8)
    """

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

    def __call__(self, inputs: Sequence[npt.ArrayLike], *, out: Array | None = None) -> Array:
        given = self._given
        joined = triples(inputs, self._parameters)
        target = given["y_scale"], given["y_zero_point"]
        return qlinear_concat(*target, joined, axis=given["axis"], out=out)

    def _arguments(self) -> dict[str, Any]:
        return self._given


def pad(
    x: npt.ArrayLike,
    pads: Sequence[int],
    x_zero_point: npt.ArrayLike | None = None,
    *,
    axes: Sequence[int] | None = None,
    out: Array | None = None,
) -> Array:
    """Pad a quantized array with the real 0, whose code is the zero point.

    Parameters
    ----------
    x : array_like of int8 or uint8
        Codes of any shape.
    pads : sequence of int
        How many elements to add before each axis, then how many after each; negative numbers take
        as many away.
    x_zero_point : int, optional
        The zero point, in the type of `x`; None is 0. Another constant can be given as well.
    axes : sequence of int, optional
        Which axes `pads` is about; by default all.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        Codes of the type of `x`.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `pads` has not two entries for each axis, takes away more than there is, or `axes` names
        one that `x` does not have, or one twice.

    Notes
    -----
    Source: https://onnx.ai/onnx/operators/onnx__Pad.html, mode "constant".

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> reference.pad(np.uint8([[1, 2], [3, 4]]), [0, 1, -1, 1], np.uint8(9))
    array([[9, 1, 2, 9]], dtype=uint8)
    """
    data, padding = pad_arguments(x, pads, x_zero_point, axes)
    result = np.full(padding.shape, padding.code, data.dtype)
    result[padding.place] = data[padding.kept]
    return deliver(result, out)


class Pad(Prepared):
    """`pad` with everything but `x` fixed.

    Parameters
    ----------
    pads, x_zero_point, axes
        As in `pad`; the zero point in the type that ``x`` will have.

    Raises
    ------
    TypeError, ValueError
        As `pad`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``x`` and ``out``, and returns what `pad` defines, with its errors. It may be made
    from several threads. What was derived from the shape of ``x`` is remembered.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> frame = reference.Pad([1, 1], 9, axes=[-1])
    >>> frame(np.uint8([[1, 2]]))
    array([[9, 1, 2, 9]], dtype=uint8)
    """

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

    def __call__(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        return pad(x, out=out, **self._given)

    def _arguments(self) -> dict[str, Any]:
        return self._given
