"""Whatever is passed wherever: both layers return the same bits, or raise the same error."""

from __future__ import annotations

import datetime
import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import quantlib as ql
from foreign_arrays import OnlyDLPack, Subclass
from quantlib.testing import isas, use_isa
from valid_calls import (
    CALLS,
    CODES,
    IMAGE,
    PER_CHANNEL,
    WEIGHTS,
    WITH_OUT,
    A,
    Arguments,
    B,
    X,
    label,
    outcome,
)


class BrokenArray:
    """Claims to be an array and is none."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise ValueError("no array in here")


class BrokenIndex:
    def __index__(self) -> int:
        raise TypeError("no integer in here")


def _garbage() -> list[Any]:
    numbers = [0, 1, -1, 3, 255, 256, -129, 2**31, 2**63, -(2**70), 10**400]
    numbers += [0.5, -0.0, 1e300, 1e-46, math.nan, math.inf, 1j]
    objects = [None, True, "", "int8", "NHWC", b"x", object(), int, len, {}, {"a": 1}, set(), ...]
    lists = [[], [[]], [None], [1, [2]], [[1, 2], [3]], [1.5, "a"], (1, 2), [1, 1, 1, 1], range(3)]
    lists += [[0.5, 1.0, 2.0], [math.nan], [1, 2**70], [datetime.date(2020, 1, 1)], [[0] * 3] * 2]
    floats = [np.float32(0.5), np.float64("nan"), np.array([]), np.ones((2, 3), np.float16)]
    floats += [np.float64([0.5, 1, 2]), X.astype(">f4"), X.astype(np.longdouble), X[::-1, ::2]]
    codes = [CODES, A, A.T, B, IMAGE, WEIGHTS, CODES.astype(">i2"), np.int8(3), np.uint8([1, 2, 3])]
    codes += [np.zeros((0, 3), np.int8), np.zeros((3, 0), np.uint8), np.zeros((), np.uint8)]
    codes += [np.zeros((0, 2, 4, 4), np.uint8), np.zeros((1, 1, 1, 1, 1, 1), np.int8), np.int32(7)]
    dtypes = ("bool", "complex64", "M8[s]", "m8[ns]", "S3", "U3", "O", "V4", "i4,f8", "uint64")
    strange = [np.zeros((2, 3), dtype) for dtype in dtypes]
    strange += [np.ma.masked_array(A), A.view(Subclass), bytearray(3)]
    strange += [OnlyDLPack(A), OnlyDLPack(X), BrokenArray(), BrokenIndex(), np.dtype("int8")]
    small = [np.zeros((2, 3), t) for t in (ml_dtypes.int4, ml_dtypes.uint2, ml_dtypes.bfloat16)]
    small += [np.zeros(3, ml_dtypes.float8_e4m3fn), np.ones(3, ml_dtypes.float4_e2m1fn)]
    views = [np.broadcast_to(np.int8(1), (3, 2**12)), np.broadcast_to(A[0], (2, 3)), PER_CHANNEL]
    return numbers + objects + lists + floats + codes + strange + small + views


GARBAGE = _garbage()
ALLOWED = (TypeError, ValueError, OverflowError, MemoryError)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_each_thing_in_each_place(name: str) -> None:
    """Every argument in turn is replaced by each of the strange things."""
    for argument in (*CALLS[name], *(("out",) if name in WITH_OUT else ())):
        for value in GARBAGE:
            agree_everywhere(name, CALLS[name] | {argument: value})


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("seed", range(4))
def test_strange_things_in_many_places(name: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(100):
        arguments = dict(CALLS[name])
        for argument in random.choice(sorted(arguments), random.integers(1, 4)):
            if random.random() < 0.25:
                del arguments[argument]
                break
            arguments[argument] = GARBAGE[random.integers(len(GARBAGE))]
        agree_everywhere(name, arguments)


def agree_everywhere(name: str, arguments: Arguments) -> None:
    """Both layers return the same bits, or raise the same permitted error. What the checks of
    arguments refuse gets to no instruction set; all else runs on each."""
    defined = outcome(ql.reference, name, arguments)
    refused = defined[0] == "raised" and defined[1] is not OverflowError
    for isa in isas()[-1:] if refused else isas():
        with use_isa(isa):
            fast = outcome(ql, name, arguments)
        for result in (defined, fast):
            permitted = result[0] == "returned" or issubclass(result[1], ALLOWED)
            assert permitted, f"{told(name, arguments)} on {isa}: {result}"
        if MemoryError in (defined[1], fast[1]):
            return  # how much memory a call needs is the layer's own affair
        assert fast == defined, f"{told(name, arguments)} on {isa}"


def told(name: str, arguments: Arguments) -> str:
    """The call, as messages have it."""
    return f"{name}({', '.join(f'{key}={label(value)}' for key, value in arguments.items())})"
