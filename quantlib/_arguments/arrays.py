"""Arrays, their types, and where results go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib.params import QType, as_array, as_index, as_zero_point, has_dtype

Array = npt.NDArray[Any]
INT8: np.dtype[Any] = np.dtype(np.int8)
UINT8: np.dtype[Any] = np.dtype(np.uint8)
BYTE_TYPES = (INT8, UINT8)
CODE_TYPES = (*BYTE_TYPES, np.dtype(np.int16), np.dtype(np.uint16))
WHOLE = {dtype: QType(dtype.name) for dtype in CODE_TYPES}
INT32: np.dtype[Any] = np.dtype(np.int32)
FLOAT32: np.dtype[Any] = np.dtype(np.float32)
FLOAT64: np.dtype[Any] = np.dtype(np.float64)
REAL_TYPES = (np.dtype(np.float16), FLOAT32, FLOAT64)


def as_real(value: Any, name: str) -> Array:
    """`value` as float16, float32 or float64; bfloat16 becomes float32, integers float64."""
    if (
        type(value) is np.ndarray and value.dtype is FLOAT32
    ):  # nearly always, so it had better be quick
        return value
    array = as_array(value, name)
    if array.dtype in REAL_TYPES:
        return array
    if array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    if array.dtype.kind in "iu":
        return array.astype(np.float64)
    raise TypeError(f"{name} must be float16, float32 or float64, not {array.dtype}")


def as_float32(value: Any, name: str) -> Array:
    """`value` as float32; what is beyond its range becomes infinite."""
    array = as_real(value, name)
    if array.dtype == FLOAT32:
        return array
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def as_flag(value: Any, name: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
    return bool(value)


def as_switch(value: Any, name: str) -> bool:
    """A bool, or 0 or 1 as ONNX's attributes have them."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    number = as_index(value, name)
    if number not in (0, 1):
        raise ValueError(f"{name} is {number}; it must be 0 or 1")
    return bool(number)


def as_bytes(value: Any, name: str) -> Array:
    """`value` as an int8 or uint8 array."""
    if type(value) is np.ndarray and (value.dtype is UINT8 or value.dtype is INT8):
        return value  # nearly always, so it had better be quick
    array = as_array(value, name)
    if array.dtype not in BYTE_TYPES:
        raise TypeError(f"{name} must be int8 or uint8, not {array.dtype}")
    return array


def as_codes(value: Any, name: str, *, also_int32: bool = False) -> tuple[Array, QType | None]:
    """`value` as stored codes and their type; int32 codes, which have no zero point, give None.

    The small integers of ml_dtypes become int8 or uint8.
    """
    array = as_array(value, name)
    whole = WHOLE.get(array.dtype)
    if whole is not None:
        return array, whole
    if also_int32 and array.dtype == np.int32:
        return array, None
    small = small_type(array.dtype)
    if small is not None:
        return array.astype(small.dtype), small
    allowed = "int8, uint8, int16, uint16" + (", int32" if also_int32 else "")
    raise TypeError(
        f"{name} must be {allowed} or a small integer type of ml_dtypes, not {array.dtype} "
        "(floating-point codes such as float8 are not supported)"
    )


def small_type(dtype: np.dtype[Any]) -> QType | None:
    """The type that an ml_dtypes integer of 2 or 4 bits stores."""
    if dtype in WHOLE:  # asking a dtype for its name takes a microsecond
        return None
    return QType(dtype.name) if dtype.name in ("int2", "uint2", "int4", "uint4") else None


def check_out(out: Any, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """`out` if a result of `shape` and `dtype` can be written into it."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, not {type(out).__name__}")
    if out.dtype is not dtype and out.dtype != dtype:
        raise TypeError(f"out must be {np.dtype(dtype)}, not {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}; the result has {shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    return out


def deliver(result: Array, out: Any) -> Array:
    """`result`, or `out` filled with it."""
    if out is None:
        return result
    check_out(out, result.shape, result.dtype)[...] = result
    return out  # type: ignore[no-any-return]


def as_dtype(value: Any, name: str) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(value)
    except (TypeError, ValueError, KeyError, SyntaxError):
        raise TypeError(f"{name} must be a dtype, not {value!r}") from None
    return dtype


def own_dtype(value: Any, name: str) -> np.dtype[Any] | None:
    """The dtype that `value` brings along; None for Python numbers and sequences of them."""
    if type(value) is np.ndarray and value.dtype.isnative:
        dtype: np.dtype[Any] = value.dtype
        return dtype
    return as_array(value, name).dtype if has_dtype(value) else None


NO_ZERO_POINT = np.zeros((), np.int32)  # of symmetric codes
NO_ZERO_POINT.flags.writeable = False


def as_byte_zero_point(zero_point: Any, name: str, dtype: np.dtype[Any], owner: str) -> Array:
    """`zero_point` as int32; one that has a dtype must have that of `owner`. None is 0."""
    if zero_point is None:
        return NO_ZERO_POINT
    if type(zero_point) is dtype.type:  # a code of that type, which every entry of it may be
        return np.array(zero_point, np.int32)
    given = own_dtype(zero_point, name)
    if given is not None and given != dtype:
        raise TypeError(f"{name} is {given}; it must have the type of {owner}, {dtype}")
    return as_zero_point(zero_point, name, WHOLE[dtype]).astype(np.int32)


def byte_type(zero_point: Any, name: str) -> np.dtype[Any]:
    """The type that a zero point demands of its operand, int8 if it leaves that open."""
    if zero_point is None:
        return np.dtype(np.int8)
    array = as_array(zero_point, name)
    if has_dtype(zero_point):
        return array.dtype if array.dtype in BYTE_TYPES else np.dtype(np.int8)
    large = array.dtype.kind in "iu" and array.size and array.max() > 127
    return np.dtype(np.uint8 if large else np.int8)


def one_of(value: Any, name: str, *choices: str) -> Any:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it may be {' or '.join(map(repr, choices))}")
    return value


def as_sequence(value: Any, name: str) -> tuple[Any, ...]:
    """The entries of a sequence or a 1-D array."""
    text_or_bytes = (str, bytes, bytearray, memoryview)
    is_sequence = isinstance(value, Sequence) and not isinstance(value, text_or_bytes)
    if not is_sequence and not (isinstance(value, np.ndarray) and value.ndim == 1):
        raise TypeError(f"{name} must be a sequence of integers, not {type(value).__name__}")
    return tuple(value)


def as_integers(value: Any, name: str, count: int) -> tuple[int, ...]:
    integers = tuple(as_index(entry, name) for entry in as_sequence(value, name))
    if len(integers) != count:
        raise ValueError(f"{name} has {len(integers)} entries; it must have {count}")
    return integers


def per_tensor(value: Array, name: str) -> Array:
    """The one entry of a scalar parameter."""
    if value.size != 1 or value.ndim > 1:
        raise ValueError(f"{name} has shape {value.shape}; it must be a scalar")
    return value.reshape(())


def with_dtype_of(given: Any, shaped: Array) -> Any:
    """`shaped`, or its list where `given` had no dtype, so that the difference is kept."""
    return shaped if has_dtype(given) else shaped.tolist()
