"""The words that all the other modules speak: `QType` (which integers) and `QuantParams` (which
reals they stand for).

This module computes no codes; `quantlib.reference.affine` defines how they are computed.
The derivation behind `QuantParams.from_range` is in ``docs/quantization.md``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["QType", "QuantParams"]

_QTYPE_NAME = re.compile(r"(u?)int([1-9]|1[0-6])")
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)  # a smaller one would be subnormal or 0


@dataclass(frozen=True, slots=True)
class QType:
    """A quantized integer type: 1 to 16 bits, signed or unsigned, full or narrow range.

    Parameters
    ----------
    name : str
        ``"int1"`` to ``"int16"`` or ``"uint1"`` to ``"uint16"``. `QType.of` also takes NumPy
        dtypes, the small integer types of ml_dtypes, and `QType` itself.
    narrow : bool
        Leave out the lowest code, so that a signed type is symmetric about 0
        (int8: -127 to 127) and an unsigned one about its midpoint (uint8: 1 to 255).

    Attributes
    ----------
    bits : int
        Number of bits, 1 to 16.
    signed : bool
        Whether codes may be negative.
    qmin, qmax : int
        Lowest and highest code: ``-2**(bits-1)`` and ``2**(bits-1) - 1`` when signed, ``0`` and
        ``2**bits - 1`` when not; `narrow` adds 1 to `qmin`.
    dtype : numpy.dtype
        The NumPy type that stores the codes: int8 or uint8 up to 8 bits, int16 or uint16 above.

    Raises
    ------
    TypeError
        If `name` is not a string or `narrow` not a bool.
    ValueError
        If `name` is not one of the names above, or `narrow` leaves a 1-bit type a single code.

    Examples
    --------
    >>> from quantlib import QType
    >>> t = QType("int4")
    >>> t.qmin, t.qmax, t.dtype
    (-8, 7, dtype('int8'))
    >>> QType("int4", narrow=True).qmin
    -7
    """

    name: str
    narrow: bool = False
    # What the name says. Fields and not properties that look it up, because every call needs some.
    bits: int = field(init=False, repr=False, compare=False)
    signed: bool = field(init=False, repr=False, compare=False)
    qmin: int = field(init=False, repr=False, compare=False)
    qmax: int = field(init=False, repr=False, compare=False)
    dtype: np.dtype[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(
                f"name must be a string such as 'int8', not {type(self.name).__name__}; "
                "QType.of() also takes dtypes"
            )
        if not isinstance(self.narrow, (bool, np.bool_)):
            raise TypeError(f"narrow must be a bool, not {type(self.narrow).__name__}")
        if not _QTYPE_NAME.fullmatch(self.name):
            raise ValueError(
                f"name is {self.name!r}; quantized types are 'int1' to 'int16' and "
                "'uint1' to 'uint16'"
            )
        signed = not self.name.startswith("u")
        bits = int(self.name[self.name.index("t") + 1 :])
        if self.narrow and bits == 1:
            raise ValueError(f"narrow leaves {self.name} a single code; it needs 2 bits or more")
        lowest = (-(1 << (bits - 1)) if signed else 0) + int(self.narrow)
        self._set("bits", bits)
        self._set("signed", signed)
        self._set("qmin", lowest)
        self._set("qmax", (1 << (bits - int(signed))) - 1)
        self._set("dtype", np.dtype(f"{'' if signed else 'u'}int{8 if bits <= 8 else 16}"))

    def _set(self, fact: str, value: Any) -> None:
        object.__setattr__(self, fact, value)

    @classmethod
    def of(cls, qtype: Any, *, narrow: bool | None = None) -> QType:
        """`qtype` as a `QType`; a name, a `QType`, a NumPy dtype or a small ml_dtypes type.

        `narrow` replaces the range of `qtype` when it is not None.

        >>> QType.of(np.uint8)
        QType(name='uint8', narrow=False)
        """
        if isinstance(qtype, QType):
            return qtype if narrow is None else cls(qtype.name, narrow)
        if not isinstance(qtype, str):
            try:
                qtype = np.dtype(qtype).name
            except TypeError:
                raise TypeError(
                    f"qtype must be a name such as 'int8', a QType or an integer dtype, "
                    f"not {type(qtype).__name__}"
                ) from None
        if not _QTYPE_NAME.fullmatch(qtype):
            raise ValueError(
                f"qtype is {qtype!r}; quantized types are 'int1' to 'int16' and "
                "'uint1' to 'uint16' (floating-point types such as float8 are not supported)"
            )
        return cls(qtype, bool(narrow))

    @property
    def midpoint(self) -> int:
        """The zero point of symmetric quantization: 0 when signed, ``2**(bits-1)`` when not."""
        return 0 if self.signed else 1 << (self.bits - 1)


@dataclass(frozen=True, eq=False, init=False)
class QuantParams:
    """Which real each code stands for: ``real = scale * (code - zero_point)``.

    Frozen and validated: an instance that exists is one that can be used.

    Parameters
    ----------
    scale : array_like of float
        The real distance between neighbouring codes, finite and greater than 0.

        * per-tensor: a scalar;
        * per-channel: shape ``(C,)``, one entry for each index along `axis`;
        * blocked: the shape of the data, except ``ceil(D / block_size)`` along `axis`.

        float16, float32 and float64 are kept; Python numbers and integers become float32.
    zero_point : array_like of int
        The code that stands for 0.0, within the range of `qtype`; a scalar is used for every
        scale.
    qtype : QType or str or numpy.dtype
        The codes' type.
    axis : int, optional
        The channel axis, or the axis that is cut into blocks; negative counts from the end.
    block_size : int, optional
        Length of a block along `axis`; the last block may be shorter.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a scale is not finite or not positive, a zero point is outside `qtype`, or the shapes
        do not fit `axis` and `block_size`.

    Notes
    -----
    The formula is ONNX's ``DequantizeLinear`` (https://onnx.ai/onnx/operators/), the field's
    convention; ``docs/quantization.md`` derives it from the one requirement that 0.0 be exact.

    Examples
    --------
    >>> import quantlib as ql
    >>> p = ql.QuantParams(0.5, 10, "uint8")
    >>> ql.quantize([-1.0, 0.0, 1.0], p)
    array([ 8, 10, 12], dtype=uint8)
    """

    scale: npt.NDArray[Any]
    zero_point: npt.NDArray[Any]
    qtype: QType
    axis: int | None
    block_size: int | None

    def __init__(
        self,
        scale: npt.ArrayLike,
        zero_point: npt.ArrayLike,
        qtype: Any,
        axis: int | None = None,
        block_size: int | None = None,
    ) -> None:
        target = QType.of(qtype)
        scales = as_scale(scale, "scale")
        zero_points = as_zero_point(zero_point, "zero_point", target)
        if axis is not None:
            axis = as_index(axis, "axis")
        if block_size is not None:
            block_size = as_index(block_size, "block_size")
            if block_size < 1:
                raise ValueError(f"block_size is {block_size}; it must be 1 or more")
            if axis is None:
                raise ValueError("block_size is given without axis, the axis to cut into blocks")
        scales = _shaped_scale(scales, axis, block_size)
        if zero_points.size == 1:
            zero_points = np.full(scales.shape, zero_points.reshape(()), zero_points.dtype)
        if zero_points.shape != scales.shape:
            raise ValueError(
                f"zero_point has shape {zero_points.shape}; it must be a scalar or have "
                f"the shape of scale, {scales.shape}"
            )
        for name, value in (
            ("scale", _frozen(scales)),
            ("zero_point", _frozen(zero_points)),
            ("qtype", target),
            ("axis", axis),
            ("block_size", block_size),
        ):
            object.__setattr__(self, name, value)

    @property
    def granularity(self) -> Literal["per-tensor", "per-channel", "blocked"]:
        """How many scales there are: ``"per-tensor"``, ``"per-channel"`` or ``"blocked"``."""
        if self.axis is None:
            return "per-tensor"
        return "per-channel" if self.block_size is None else "blocked"

    @property
    def symmetric(self) -> bool:
        """Whether every zero point is the midpoint of the type (0 when signed)."""
        return bool(np.all(self.zero_point == self.qtype.midpoint))

    @classmethod
    def from_range(
        cls,
        lo: npt.ArrayLike,
        hi: npt.ArrayLike,
        qtype: Any = "int8",
        symmetric: bool = False,
        narrow: bool | None = None,
        axis: int | None = None,
        block_size: int | None = None,
    ) -> QuantParams:
        """The parameters that spread the codes of `qtype` over the reals from `lo` to `hi`.

        Parameters
        ----------
        lo, hi : array_like of float
            The ranges, finite, ``lo <= hi``: scalars, or arrays shaped as `QuantParams.scale`.
        qtype : QType or str or numpy.dtype
            The codes' type.
        symmetric : bool
            Centre the range on 0: the zero point is 0 (signed) or ``2**(bits-1)`` (unsigned).
        narrow : bool, optional
            Leave out the lowest code; None keeps the range of `qtype`.
        axis, block_size : int, optional
            As in `QuantParams`.

        Returns
        -------
        QuantParams
            With float32 scales.

        Raises
        ------
        TypeError
            If an argument has the wrong type.
        ValueError
            If a range is not finite, is empty (``lo > hi``) or too wide for a float32 scale, or if
            `symmetric` is asked of a 1-bit type, which has no code above its midpoint.

        Notes
        -----
        Asymmetric: the range is first widened to contain 0; then
        ``scale = (hi - lo) / (qmax - qmin)`` and ``zero_point = rint(qmin - lo / scale)``, so that
        0.0 has a code of its own. Symmetric: ``scale = max(|lo|, |hi|) / (qmax - midpoint)``.
        Computed in float64 and rounded to float32 once. A range of zeros has scale 1. A scale
        below the smallest normal float32, 2**-126, is raised to it.
        Source: B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", 2018, https://doi.org/10.1109/CVPR.2018.00286.

        Examples
        --------
        >>> from quantlib import QuantParams
        >>> p = QuantParams.from_range(-1.0, 2.0, "int8")
        >>> round(float(p.scale) * 255, 6), int(p.zero_point)
        (3.0, -43)
        """
        target = QType.of(qtype, narrow=narrow)
        low, high = _as_bounds(lo, hi)
        if symmetric:
            levels = target.qmax - target.midpoint
            if levels == 0:
                raise ValueError(f"symmetric needs 2 bits or more; qtype is {target.name}")
            span = np.maximum(np.abs(low), np.abs(high))
        else:
            low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
            levels = target.qmax - target.qmin
            with np.errstate(over="ignore"):  # an infinite span is refused below
                span = high - low
        step = span / levels
        if np.any(step > np.finfo(np.float32).max):
            raise ValueError("lo and hi span a range too wide for a float32 scale")
        scale = np.where(span == 0, 1.0, np.maximum(step, SMALLEST_SCALE)).astype(np.float32)
        if symmetric:
            zero_point = np.full(scale.shape, target.midpoint)
        else:
            zero_point = np.clip(
                np.rint(target.qmin - low / scale.astype(np.float64)), target.qmin, target.qmax
            ).astype(np.int64)
        return cls(scale, zero_point, target, axis, block_size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QuantParams):
            return NotImplemented
        return (
            (self.qtype, self.axis, self.block_size) == (other.qtype, other.axis, other.block_size)
            and self.scale.dtype == other.scale.dtype
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )

    def __hash__(self) -> int:
        return hash(
            (
                self.qtype,
                self.axis,
                self.block_size,
                self.scale.shape,
                self.scale.tobytes(),
                self.zero_point.tobytes(),
            )
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return QuantParams, (self.scale, self.zero_point, self.qtype, self.axis, self.block_size)


def _shaped_scale(
    scale: npt.NDArray[Any], axis: int | None, block_size: int | None
) -> npt.NDArray[Any]:
    """`scale`, if its shape is one that `axis` and `block_size` allow."""
    if axis is None:
        if scale.size != 1:
            raise ValueError(
                f"scale has shape {scale.shape}; without axis it must be a scalar (per-tensor)"
            )
        return scale.reshape(())
    if block_size is None and scale.ndim != 1:
        raise ValueError(f"scale has shape {scale.shape}; per-channel it must be 1-D")
    if block_size is not None and not -scale.ndim <= axis < scale.ndim:
        raise ValueError(f"axis is {axis}, but scale has only {scale.ndim} dimensions")
    return scale


def as_array(value: Any, name: str) -> npt.NDArray[Any]:
    """`value` as a plain array in native byte order: array-likes and CPU DLPack objects."""
    if type(value) is np.ndarray:
        array = value
    elif isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; quantization would drop the mask: fill it")
    elif hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        array = np.from_dlpack(value)
    else:
        try:
            array = np.asarray(value)
        except ValueError as error:  # ragged nested sequences
            raise TypeError(f"{name} is not an array: {error}") from None
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def has_dtype(value: Any) -> bool:
    """Whether `value` brings a type along, as Python numbers and sequences of them do not."""
    return hasattr(value, "dtype") or hasattr(value, "__dlpack__")


def as_scale(scale: Any, name: str) -> npt.NDArray[Any]:
    """`scale` as an array of float16, float32 or float64, every entry finite and positive."""
    array = as_array(scale, name)
    if array.dtype.kind in "iu" or (array.dtype.kind == "f" and not has_dtype(scale)):
        with np.errstate(over="ignore"):  # an infinite scale is refused below
            array = array.astype(np.float32)
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(f"{name} must be float16, float32 or float64, not {array.dtype}")
    if array.ndim == 0:  # NumPy's functions take their time with a single number
        fine = 0 < array.item() < inf
    else:
        fine = np.count_nonzero((array > 0) & (array < inf)) == array.size
    if not fine:
        worst = array[~(np.isfinite(array) & (array > 0))].flat[0]
        raise ValueError(f"{name} must be finite and greater than 0; it holds {worst}")
    return array


def as_zero_point(zero_point: Any, name: str, qtype: QType) -> npt.NDArray[Any]:
    """`zero_point` as an array of ``qtype.dtype``, every entry a code of `qtype`."""
    array = as_array(zero_point, name)
    if array.dtype == qtype.dtype and qtype.bits in (8, 16) and not qtype.narrow:
        return array.copy()  # every stored number is a code
    if array.dtype.name in ("int2", "uint2", "int4", "uint4"):  # ml_dtypes
        array = array.astype(np.int8)
    if array.size == 0:
        array = array.astype(qtype.dtype)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, not {array.dtype}")
    if array.size and not (qtype.qmin <= array.min() and array.max() <= qtype.qmax):
        worst = array.min() if array.min() < qtype.qmin else array.max()
        raise ValueError(
            f"{name} is {worst}; codes of {qtype.name}{' (narrow)' if qtype.narrow else ''} "
            f"are {qtype.qmin} to {qtype.qmax}"
        )
    return array.astype(qtype.dtype)


def as_index(value: Any, name: str) -> int:
    """`value` as an int: Python and NumPy integers pass, floats and bools do not."""
    if type(value) is int:
        return value
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    try:
        return int(value.__index__())
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}") from None


def _as_bounds(lo: Any, hi: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Both ends of the ranges as float64 arrays of one shape, finite and in order."""
    ends = []
    for name, value in (("lo", lo), ("hi", hi)):
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"{name} must be numbers, not {array.dtype}")
        end = array.astype(np.float64)
        if not np.all(np.isfinite(end)):
            raise ValueError(f"{name} must be finite; it holds {end[~np.isfinite(end)].flat[0]}")
        ends.append(end)
    low, high = ends
    if low.shape != high.shape:
        raise ValueError(f"lo has shape {low.shape} and hi {high.shape}; they must be equal")
    if np.any(low > high):
        where = low > high
        raise ValueError(f"lo is {low[where].flat[0]}, above hi, {high[where].flat[0]}")
    return low, high


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A private copy that cannot be written."""
    copy = np.array(array)
    copy.setflags(write=False)
    return copy
