"""`QType` and `QuantParams`: which integers, and which reals they stand for."""

from __future__ import annotations

import copy
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlib import QType, QuantParams
from quantlib.testing import exact
from quantlib.testing.strategies import qtypes, quant_params

ENDS = st.floats(-(2.0**100), 2.0**100)


# ---- QType --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "narrow", "qmin", "qmax", "dtype"),
    [
        ("int8", False, -128, 127, np.int8),
        ("int8", True, -127, 127, np.int8),
        ("uint8", False, 0, 255, np.uint8),
        ("uint8", True, 1, 255, np.uint8),
        ("int1", False, -1, 0, np.int8),
        ("uint1", False, 0, 1, np.uint8),
        ("int4", False, -8, 7, np.int8),
        ("int9", False, -256, 255, np.int16),
        ("uint16", False, 0, 65535, np.uint16),
    ],
)
def test_ranges(name: str, narrow: bool, qmin: int, qmax: int, dtype: type) -> None:
    t = QType(name, narrow)
    assert (t.qmin, t.qmax, t.dtype) == (qmin, qmax, np.dtype(dtype))


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("prefix", ["", "u"])
def test_every_type(prefix: str, bits: int) -> None:
    t = QType(f"{prefix}int{bits}")
    assert t.qmax - t.qmin == 2**bits - 1
    assert np.iinfo(t.dtype).min <= t.qmin <= 0 <= t.qmax <= np.iinfo(t.dtype).max
    assert (t.bits, t.signed) == (bits, prefix == "")
    assert t.qmin <= t.midpoint <= t.qmax
    assert QType.of(t.name) == t


@pytest.mark.parametrize("name", ["int0", "int17", "uint0", "float8", "Int8", "int8 ", "", "int08"])
def test_no_such_type(name: str) -> None:
    with pytest.raises(ValueError, match="quantized types are"):
        QType(name)


def test_of_takes_what_names_a_type() -> None:
    assert QType.of(np.uint8) == QType.of(np.dtype("uint8")) == QType("uint8")
    assert QType.of(QType("int4"), narrow=True) == QType("int4", True)
    assert QType.of(QType("int4", True)) == QType("int4", True)
    with pytest.raises(ValueError, match="float8"):
        QType.of(np.float32)
    with pytest.raises(TypeError, match="qtype"):
        QType.of(8)


@given(t=qtypes())
def test_types_are_values(t: QType) -> None:
    again = pickle.loads(pickle.dumps(t))
    assert again == t
    assert hash(again) == hash(t)
    assert copy.deepcopy(t) == t


# ---- QuantParams --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lo", "hi", "qtype", "scale", "zero_point"),
    [
        (-1, 2, "int8", 3 / 255, -43),
        (-1, 2, "int4", 0.2, -3),
        (0.5, 3, "int8", 3 / 255, -128),  # widened to [0, 3]
        (-2, -1, "int8", 2 / 255, 127),  # widened to [-2, 0]
        (-1, 1, "int1", 2, 0),
        (0, 255, "uint8", 1, 0),
        (-128, 127, "int8", 1, 0),
        (0, 0, "int8", 1, -128),  # a range of zeros has scale 1
    ],
)
def test_range_vectors(lo: float, hi: float, qtype: str, scale: float, zero_point: int) -> None:
    """Worked by hand; the first five are the vectors of the systems that quantlib follows."""
    p = QuantParams.from_range(lo, hi, qtype)
    assert p.scale == np.float32(scale)
    assert p.zero_point == zero_point


def test_codes_of_the_ends() -> None:
    """Range [-1, 2] in 8 bits: -1 has the lowest code, 0 has -43, 2 has the highest."""
    p = QuantParams.from_range(-1, 2)
    for x, code in ((-1.0, -128), (0.0, -43), (2.0, 127)):
        assert exact.quantize(x, float(p.scale), int(p.zero_point)) == code


@pytest.mark.parametrize(
    ("lo", "hi", "qtype", "narrow", "scale", "zero_point"),
    [
        (-1, 2, "int8", None, 2 / 127, 0),
        (-3, 2, "int8", True, 3 / 127, 0),
        (-1, 2, "uint8", None, 2 / 127, 128),
        (-1, 2, "int4", None, 2 / 7, 0),
        (0, 0, "uint8", None, 1, 128),
    ],
)
def test_symmetric_vectors(
    lo: float, hi: float, qtype: str, narrow: bool | None, scale: float, zero_point: int
) -> None:
    p = QuantParams.from_range(lo, hi, qtype, symmetric=True, narrow=narrow)
    assert p.scale == np.float32(scale)
    assert p.zero_point == zero_point
    assert p.symmetric


@given(a=ENDS, b=ENDS, t=qtypes(min_bits=2), symmetric=st.booleans())
def test_range_holds_zero_and_its_ends(a: float, b: float, t: QType, symmetric: bool) -> None:
    """The reals of the outermost codes reach the range's ends to half a step, and 0 is a code."""
    lo, hi = min(a, b), max(a, b)
    p = QuantParams.from_range(lo, hi, t, symmetric=symmetric)
    scale, zero_point = Fraction(float(p.scale)), int(p.zero_point)
    assert t.qmin <= zero_point <= t.qmax
    lowest, highest = scale * (t.qmin - zero_point), scale * (t.qmax - zero_point)
    slack = scale / 2 + scale * (t.qmax - t.qmin) / 2**22  # the scale is a float32
    assert highest >= Fraction(hi) - slack
    if not (symmetric and lo < 0 and not t.signed):  # uint8's lower half is a step longer
        assert lowest <= Fraction(lo) + slack


@given(hi=st.floats(0, 1e-36), t=qtypes(min_bits=2))
def test_scales_are_normal(hi: float, t: QType) -> None:
    p = QuantParams.from_range(0.0, hi, t)
    assert p.scale >= np.finfo(np.float32).tiny


@given(p=quant_params((2, 3)), q=quant_params((2, 3)))
def test_equality_is_that_of_fields(p: QuantParams, q: QuantParams) -> None:
    for again in (pickle.loads(pickle.dumps(p)), copy.deepcopy(p)):
        assert again == p
        assert hash(again) == hash(p)
        assert again.scale.dtype == p.scale.dtype
    same = (
        p.scale.dtype == q.scale.dtype
        and (p.scale.shape, p.scale.tolist()) == (q.scale.shape, q.scale.tolist())
        and p.zero_point.tolist() == q.zero_point.tolist()
        and (p.qtype, p.axis, p.block_size) == (q.qtype, q.axis, q.block_size)
    )
    assert (p == q) == same


def test_equality_with_other_things() -> None:
    assert QuantParams(1.0, 0, "int8") != 1
    assert QuantParams(1.0, 0, "int8") != QuantParams(np.float64(1.0), 0, "int8")
    assert QuantParams([1.0], 0, "int8", axis=0) != QuantParams([1.0], 0, "int8", axis=1)


@given(p=quant_params((2, 3)))
def test_parameters_cannot_be_changed(p: QuantParams) -> None:
    for array in (p.scale, p.zero_point):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1
    with pytest.raises(AttributeError):
        p.axis = 1  # type: ignore[misc]


def test_parameters_are_copies() -> None:
    scale, zero_point = np.float32([1, 2]), np.int8([3, 4])
    p = QuantParams(scale, zero_point, "int8", axis=0)
    scale[0], zero_point[0] = 9, 9
    assert p.scale.tolist() == [1, 2]
    assert p.zero_point.tolist() == [3, 4]


@given(p=quant_params((4, 6)))
def test_shapes_follow_the_granularity(p: QuantParams) -> None:
    expected: tuple[int, ...] = ()
    if p.granularity != "per-tensor":
        assert p.axis is not None
        extents = [4, 6]
        if p.block_size is not None:
            extents[p.axis] = -(-extents[p.axis] // p.block_size)
        expected = tuple(extents) if p.granularity == "blocked" else (extents[p.axis],)
    assert p.scale.shape == p.zero_point.shape == expected
