"""The arithmetic in Python integers and fractions: what judges `quantlib.reference`.

Nothing here uses NumPy's arithmetic or floats' rounding. A float is the rational number that it
is; every rounding that the definitions ask for is written out. It is slow, and meant for small
cases.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib.params import QType

__all__ = [
    "conv",
    "dequantize",
    "dynamic_range",
    "matmul",
    "quantize",
    "requantize",
    "round_to",
]


def round_to(value: Fraction | int, dtype: npt.DTypeLike) -> Fraction:
    """The number of a floating-point type nearest to `value`, ties to the even significand.

    Parameters
    ----------
    value : Fraction or int
        Any rational number.
    dtype : dtype
        float16, float32 or float64.

    Returns
    -------
    Fraction
        Exactly the float.

    Raises
    ------
    OverflowError
        If the result would be infinite.

    Examples
    --------
    >>> from quantlib.testing import exact
    >>> exact.round_to(2**24 + 1, "float32")
    Fraction(16777216, 1)
    """
    info = np.finfo(np.dtype(dtype))
    size = abs(Fraction(value))
    if size == 0:
        return Fraction(0)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1  # now 2**exponent <= size < 2**(exponent + 1)
    unit = Fraction(2) ** (max(exponent, int(info.minexp)) - int(info.nmant))
    rounded = round(size / unit) * unit  # round() of a Fraction is half to even
    if rounded >= Fraction(2) ** (int(info.maxexp)):
        raise OverflowError(f"{value} is beyond {info.dtype}")
    return rounded if value > 0 else -rounded


def quantize(
    x: float, scale: float, zero_point: int, qtype: Any = "int8", dtype: npt.DTypeLike = np.float32
) -> int:
    """One code: ``saturate(rint(x / scale) + zero_point)``, the division rounded to `dtype`.

    Parameters
    ----------
    x, scale : float
        Floats of `dtype`.
    zero_point : int
        The code of 0.0.
    qtype : QType or str or numpy.dtype
        The codes' type.
    dtype : dtype
        The precision of the division.

    Returns
    -------
    int
        A code of `qtype`; the zero point for NaN.

    Examples
    --------
    >>> from quantlib.testing import exact
    >>> [exact.quantize(x, 0.5, 10, "uint8") for x in (-0.25, 0.25, 0.75, 1e30)]
    [10, 10, 12, 255]
    """
    target = QType.of(qtype)
    if math.isnan(x):
        return int(zero_point)
    if math.isinf(x):
        return target.qmax if x > 0 else target.qmin
    try:
        steps = round(round_to(Fraction(float(x)) / Fraction(float(scale)), dtype))
    except OverflowError:  # an infinite quotient
        return target.qmax if x > 0 else target.qmin
    return min(max(steps + int(zero_point), target.qmin), target.qmax)


def dynamic_range(lo: float, hi: float) -> tuple[Fraction, int]:
    """Scale and zero point of ONNX's DynamicQuantizeLinear for data from `lo` to `hi`.

    Parameters
    ----------
    lo, hi : float
        Finite float32.

    Returns
    -------
    tuple of Fraction and int
        The float32 ``f32(hi - lo) / 255`` of the range widened to hold 0, and the code of 0.0.

    Raises
    ------
    OverflowError
        If float32 does not hold ``hi - lo``.

    Examples
    --------
    >>> from quantlib.testing import exact
    >>> exact.dynamic_range(-100.0, 155.0), exact.dynamic_range(0.0, 0.0)
    ((Fraction(1, 1), 100), (Fraction(1, 1), 0))
    """
    low, high = min(Fraction(float(lo)), Fraction(0)), max(Fraction(float(hi)), Fraction(0))
    if low == high:
        return Fraction(1), 0
    scale = round_to(round_to(high - low, np.float32) / 255, np.float32)
    scale = max(scale, Fraction(2) ** -126)
    return scale, min(round(round_to(-low / scale, np.float32)), 255)


def dequantize(
    code: int, scale: float, zero_point: int, dtype: npt.DTypeLike = np.float32
) -> Fraction:
    """One real: ``scale * (code - zero_point)``, rounded to `dtype` once.

    Examples
    --------
    >>> from quantlib.testing import exact
    >>> exact.dequantize(-3, 0.25, 1)
    Fraction(-1, 1)
    """
    return round_to(Fraction(float(scale)) * (int(code) - int(zero_point)), dtype)


def requantize(acc: int, multiplier: float, zero_point: int, qtype: Any = "int8") -> int:
    """One code: ``saturate(rint(f32(f32(acc) * multiplier)) + zero_point)``.

    Parameters
    ----------
    acc : int
        An accumulator.
    multiplier : float
        A float32.
    zero_point : int
        The code of 0.0.
    qtype : QType or str or numpy.dtype
        The codes' type.

    Returns
    -------
    int
        A code of `qtype`.

    Examples
    --------
    >>> from quantlib.testing import exact
    >>> [exact.requantize(acc, 0.5, -1) for acc in (1, 3, 5, 10**9)]
    [-1, 1, 1, 127]
    """
    target = QType.of(qtype)
    try:
        real = round_to(round_to(int(acc), np.float32) * Fraction(float(multiplier)), np.float32)
    except OverflowError:
        return target.qmax if acc > 0 else target.qmin
    return min(max(round(real) + int(zero_point), target.qmin), target.qmax)


def matmul(
    a: Sequence[Sequence[int]],
    b: Sequence[Sequence[int]],
    a_zero_point: int = 0,
    b_zero_point: int = 0,
) -> list[list[int]]:
    """The product of two matrices of integers, less their zero points.

    Examples
    --------
    >>> from quantlib.testing import exact
    >>> exact.matmul([[11, 7, 3]], [[1, 4], [2, 5], [3, 6]], 12)
    [[-38, -83]]
    """
    columns = range(len(b[0]) if len(b) else 0)
    return [
        [
            sum(
                (int(left) - int(a_zero_point)) * (int(right[j]) - int(b_zero_point))
                for left, right in zip(row, b, strict=True)
            )
            for j in columns
        ]
        for row in a
    ]


def conv(
    x: npt.NDArray[Any],
    w: npt.NDArray[Any],
    x_zero_point: int = 0,
    w_zero_point: Sequence[int] | int = 0,
    *,
    pads: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    group: int = 1,
) -> dict[tuple[int, ...], int]:
    """A convolution, term by term: ``x`` is (N, C, D1, ...), ``w`` is (M, C / group, k1, ...).

    Returns
    -------
    dict of tuple to int
        Every entry of the result by its index (n, m, o1, ...).

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.testing import exact
    >>> x, w = np.uint8([[[1, 2, 3]]]), np.int8([[[1, -1]]])
    >>> exact.conv(x, w, pads=(1, 0), strides=(1,), dilations=(1,))
    {(0, 0, 0): -1, (0, 0, 1): -1, (0, 0, 2): -1}
    """
    rank, spatial, kernel = w.ndim - 2, x.shape[2:], w.shape[2:]
    outputs = [
        (spatial[i] + pads[i] + pads[rank + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i]
        + 1
        for i in range(rank)
    ]
    result = {}
    for n, m, *place in itertools.product(*map(range, (x.shape[0], w.shape[0], *outputs))):
        first = m // (w.shape[0] // group) * w.shape[1]
        zero = w_zero_point if isinstance(w_zero_point, int) else w_zero_point[m]
        total = 0
        for c, *tap in itertools.product(*map(range, w.shape[1:])):
            at = [place[i] * strides[i] + tap[i] * dilations[i] - pads[i] for i in range(rank)]
            if all(0 <= at[i] < spatial[i] for i in range(rank)):
                code, weight = int(x[n, first + c, *at]), int(w[m, c, *tap])
                total += (code - int(x_zero_point)) * (weight - int(zero))
        result[(n, m, *place)] = total
    return result
