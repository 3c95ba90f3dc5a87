"""ONNX Runtime's QGemm."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array, as_bytes, deliver
from quantlib._arguments.gemm import fewest_rows, gemm_arguments
from quantlib._arguments.prepared import Prepared, own_arguments, own_geometry
from quantlib.reference.requantize import exact_int32, finish


def qgemm(
    a: npt.ArrayLike,
    a_scale: npt.ArrayLike,
    a_zero_point: npt.ArrayLike | None,
    b: npt.ArrayLike,
    b_scale: npt.ArrayLike,
    b_zero_point: npt.ArrayLike | None,
    c: npt.ArrayLike | None = None,
    y_scale: npt.ArrayLike | None = None,
    y_zero_point: npt.ArrayLike | None = None,
    *,
    alpha: float = 1.0,
    transA: bool = False,
    transB: bool = False,
    out: Array | None = None,
) -> Array:
    """ONNX Runtime's QGemm: ``alpha * a @ b + c`` of quantized matrices.

    Parameters
    ----------
    a : array_like of int8 or uint8, shape (M, K)
        Codes of the left operand; (K, M) with `transA`.
    a_scale, a_zero_point : float, int or None
        Scalars; the zero point in the type of `a`, None is 0.
    b : array_like of int8 or uint8, shape (K, N)
        Codes of the right operand; (N, K) with `transB`.
    b_scale, b_zero_point : array_like
        A scalar or ``(N,)``; the zero point in the type of `b`, None is 0.
    c : array_like of int32, optional
        In units of ``alpha * a_scale * b_scale``, of a shape that broadcasts to (M, N).
    y_scale : float, optional
        The result's scale. None asks for float32 results.
    y_zero_point : int, optional
        A scalar; its dtype, int8 or uint8, is that of the result. An int without a dtype, or None
        for 0, takes the type of `a`.
    alpha : float
        Finite and greater than 0.
    transA, transB : bool
        Whether the operands are transposed.
    out : numpy.ndarray, optional
        Where to write the result.

    Returns
    -------
    numpy.ndarray, shape (M, N)
        ``saturate(rint(f32(acc) * m) + y_zero_point)`` with the exact accumulator
        ``acc = (a - a_zero_point) @ (b - b_zero_point) + c`` and
        ``m = f32(f32(f32(alpha * a_scale) * b_scale) / y_scale)``; or, without `y_scale`,
        ``f32(acc) * f32(f32(alpha * a_scale) * b_scale)``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, a scale or `alpha` is not finite and positive, or their product
        overflows.
    OverflowError
        If an entry of the product, or its sum with `c`, does not fit int32. Nothing wraps.

    Notes
    -----
    The bits are those of ONNX Runtime's QGemm,
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md. To multiply by one
    `b` many times, prepare ``QLinearMatMul`` with ``a_scale=np.float32(alpha) * a_scale``.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> a, b = np.uint8([[130, 126]]), np.int8([[10, 30], [20, -40]])
    >>> reference.qgemm(a, 0.5, 128, b, 0.1, 0, [2, 4], 1.0, np.int8(0), transB=True)
    array([[-2,  6]], dtype=int8)
    """
    call = gemm_arguments(
        (a, a_scale, a_zero_point),
        (b, b_scale, b_zero_point),
        c,
        (y_scale, y_zero_point),
        alpha,
        (transA, transB),
    )
    left = call.a.astype(np.float64) - call.a_zero_point
    right = call.b.astype(np.float64) - call.b_zero_point
    product = exact_int32(np.asarray(left @ right), "an accumulator")
    acc = exact_int32(product.astype(np.float64) + call.c, "an accumulator")
    return deliver(finish(acc, call.output), out)


class QGemm(Prepared):
    """`qgemm` with everything but `a` fixed.

    The fast class packs `b` once, for the instruction set in use; later changes of the arguments do
    not show.

    Parameters
    ----------
    b, b_scale, b_zero_point, c
        As in `qgemm`.
    a_scale, a_zero_point : float, int or None
        Scalars; the zero point in the type that ``a`` will have, None is 0.
    y_scale, y_zero_point, alpha, transA, transB
        As in `qgemm`.

    Raises
    ------
    TypeError, ValueError
        As `qgemm`, for these arguments when they are given here.

    Notes
    -----
    A call takes ``a`` and ``out``, and returns what `qgemm` defines, with its errors. It may be
    made from several threads.

    It can be pickled; ``save(path)`` keeps it in a file, from which ``load(path)`` makes it again,
    packed for the processor there.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib import reference
    >>> b = np.int8([[10, 30], [20, -40]])
    >>> gemm = reference.QGemm(
    ...     b, 0.1, c=[2, 4], a_scale=0.5, a_zero_point=128, y_scale=1.0, y_zero_point=np.int8(0),
    ...     transB=True,
    ... )
    >>> gemm(np.uint8([[130, 126]]))
    array([[-2,  6]], dtype=int8)
    """

    def __init__(
        self,
        b: npt.ArrayLike,
        b_scale: npt.ArrayLike,
        b_zero_point: npt.ArrayLike | None = None,
        c: npt.ArrayLike | None = None,
        *,
        a_scale: npt.ArrayLike,
        a_zero_point: npt.ArrayLike | None = None,
        y_scale: npt.ArrayLike | None = None,
        y_zero_point: npt.ArrayLike | None = None,
        alpha: float = 1.0,
        transA: bool = False,
        transB: bool = False,
    ) -> None:
        right = as_bytes(b, "b")
        self._given = own_arguments(
            b_scale=b_scale,
            b_zero_point=b_zero_point,
            c=c,
            a_scale=a_scale,
            a_zero_point=a_zero_point,
            y_scale=y_scale,
            y_zero_point=y_zero_point,
            alpha=alpha,
        ) | own_geometry(transA=transA, transB=transB)
        self._b = right.copy()
        self(fewest_rows(right, self._given))  # checks the arguments

    def __call__(self, a: npt.ArrayLike, *, out: Array | None = None) -> Array:
        return qgemm(a, out=out, **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {"b": self._b, **self._given}
