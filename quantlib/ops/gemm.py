"""ONNX Runtime's QGemm, in C."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.affine import split_axis
from quantlib._arguments.arrays import FLOAT32, WHOLE, Array
from quantlib._arguments.gemm import Gemm, gemm_arguments
from quantlib._arguments.output import INT32
from quantlib.ops._results import room, settle
from quantlib.ops.matmul import _Finish, _Right

SURE_TO_FIT = INT32.max // 255**2  # products whose sum fits int32, whatever the codes


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
    call = gemm_arguments(
        (a, a_scale, a_zero_point),
        (b, b_scale, b_zero_point),
        c,
        (y_scale, y_zero_point),
        alpha,
        (transA, transB),
    )
    columns = call.b.shape[1]
    packed = _Right(call.b, call.b_zero_point, _native.Operand)
    by_column = call.c.size == 1 or call.c.shape in ((columns,), (1, columns))
    if by_column and call.a.shape[1] <= SURE_TO_FIT:
        finish = _Finish(call.output, call.c.reshape(-1), columns)
        return packed.multiply(call.a, call.a_zero_point, finish, out)
    acc = packed.multiply(call.a, call.a_zero_point, _Finish(None, None, columns), None)
    return _finish(acc, call, out)


def _finish(acc: Array, call: Gemm, out: Array | None) -> Array:
    """The output stage, with something else to add to each row, which that of products has not."""
    sums = acc.astype(np.int64) + call.c
    if sums.size and not (INT32.min <= sums.min() and sums.max() <= INT32.max):
        raise OverflowError("an accumulator does not fit int32")
    total = sums.astype(np.int32)
    y = room(out, total.shape, call.output.dtype, call.a)
    if call.output.dtype == FLOAT32:
        np.multiply(total.astype(FLOAT32), call.output.multiplier, out=y)
    else:
        factor = _native.ready(call.output.multiplier, FLOAT32)
        groups = split_axis(total.shape, -1 if factor.ndim else None, None)
        zero_point = int(call.output.zero_point)
        _native.requantize(total, y, factor, zero_point, WHOLE[y.dtype], groups)
    return settle(y, out)
