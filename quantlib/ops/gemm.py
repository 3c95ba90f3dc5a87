"""ONNX Runtime's QGemm, in C."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib import _native
from quantlib._arguments.affine import split_axis
from quantlib._arguments.arrays import FLOAT32, WHOLE, Array, as_bytes, as_switch
from quantlib._arguments.gemm import Gemm, fewest_rows, gemm_arguments
from quantlib._arguments.output import INT32
from quantlib._arguments.prepared import Prepared, own_arguments, own_geometry
from quantlib.ops._remembered import Remembered
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
    packed = _Right(call.b, call.b_zero_point, _native.Operand)
    return _multiply(packed, call.a, call, _stage(call), out)


class QGemm(Prepared):
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
        self._b_shape, self._b_type = right.shape, right.dtype
        self._calls: Remembered[tuple[Gemm, _Finish]] = Remembered()
        call, _ = self._call(fewest_rows(right, self._given))
        b = right.T if as_switch(transB, "transB") else right
        self._right = _Right(b, call.b_zero_point)

    def __call__(self, a: npt.ArrayLike, *, out: Array | None = None) -> Array:
        left = as_bytes(a, "a")
        call, stage = self._calls.get((left.shape, left.dtype)) or self._call(left)
        left = left.T if self._given["transA"] else left
        return _multiply(self._right, left, call, stage, out)

    def _call(self, a: Array) -> tuple[Gemm, _Finish]:
        """What is the same for all left operands of this shape and type, remembered."""
        given = self._given
        left = np.broadcast_to(np.zeros((), a.dtype), a.shape)  # without memory
        right = np.broadcast_to(np.zeros((), self._b_type), self._b_shape)
        call = gemm_arguments(
            (left, given["a_scale"], given["a_zero_point"]),
            (right, given["b_scale"], given["b_zero_point"]),
            given["c"],
            (given["y_scale"], given["y_zero_point"]),
            given["alpha"],
            (given["transA"], given["transB"]),
        )
        entry = call, _stage(call)
        self._calls.keep((a.shape, a.dtype), entry)
        return entry

    def _arguments(self) -> dict[str, Any]:
        b = self._right.unpacked()
        return {"b": np.ascontiguousarray(b.T) if self._given["transB"] else b, **self._given}


def _stage(call: Gemm) -> _Finish:
    """The output stage of the product: the whole one, or sums where `c` has to be added to each
    row, or where the sum could fit int32 only with it."""
    columns = call.b.shape[1]
    by_column = call.c.size == 1 or call.c.shape in ((columns,), (1, columns))
    if by_column and call.a.shape[1] <= SURE_TO_FIT:
        return _Finish(call.output, call.c.reshape(-1), columns)
    return _Finish(None, None, columns)


def _multiply(right: _Right, a: Array, call: Gemm, stage: _Finish, out: Any) -> Array:
    if stage.output is not None:
        return right.multiply(a, call.a_zero_point, stage, out)
    acc = right.multiply(a, call.a_zero_point, stage, None)
    return _finish(acc, a, call, out)


def _finish(acc: Array, a: Array, call: Gemm, out: Array | None) -> Array:
    """The output stage, with something else to add to each row, which that of products has not."""
    sums = acc.astype(np.int64) + call.c
    if sums.size and not (INT32.min <= sums.min() and sums.max() <= INT32.max):
        raise OverflowError("an accumulator does not fit int32")
    total = sums.astype(np.int32)
    y = room(out, total.shape, call.output.dtype, a)
    if call.output.dtype == FLOAT32:
        np.multiply(total.astype(FLOAT32), call.output.multiplier, out=y)
    else:
        factor = _native.ready(call.output.multiplier, FLOAT32)
        groups = split_axis(total.shape, -1 if factor.ndim else None, None)
        zero_point = int(call.output.zero_point)
        _native.requantize(total, y, factor, zero_point, WHOLE[y.dtype], groups)
    return settle(y, out)
