"""Reals to codes and back: by hand, against the definitions on every instruction set, against
exact fractions, and by their laws."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import quantlib as ql
from quantlib import QType, QuantParams, reference
from quantlib.testing import assert_bit_exact, exact, interesting_sizes, memory_layouts
from quantlib.testing.strategies import array_views, codes, quant_params, reals

VECTORS = (8, 16, 32, 64)  # how many elements the kernels take at once
SIZES = interesting_sizes(*VECTORS)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])
SPECIALS = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e38, -1e38, 1e-45, 0.5, -0.5, 1.5, 2.5]


def mixed_reals(rng: np.random.Generator, shape: Any, scale: float, dtype: Any) -> np.ndarray:
    """Values inside and outside of the range of 8 bits, a third of them half-way, some special."""
    x = rng.normal(0, 60 * scale, shape)
    x = np.where(rng.random(shape) < 0.3, scale * (rng.integers(-300, 300, shape) + 0.5), x)
    x = np.where(rng.random(shape) < 0.1, rng.choice(SPECIALS, shape), x)
    with np.errstate(over="ignore"):
        return x.astype(dtype)


# ---- examples -----------------------------------------------------------------------------------


@BOTH
def test_quantize_by_hand(layer: Any) -> None:
    """Half-way points go to the even step, before the zero point is added."""
    x = [-100.0, -1.25, -0.75, -0.25, 0.0, 0.25, 0.75, 1.25, 100.0]
    actual = layer.quantize(x, QuantParams(0.5, 1, "int8"))
    assert actual.tolist() == [-128, -1, -1, 1, 1, 1, 3, 3, 127]
    assert actual.dtype == np.int8


@BOTH
def test_what_has_no_number(layer: Any) -> None:
    x = np.float32([np.nan, np.inf, -np.inf, 3e38, -3e38])
    p = QuantParams(1e-30, 7, "uint8")
    assert layer.quantize(x, p).tolist() == [7, 255, 0, 255, 0]
    assert layer.quantize(x, QuantParams(1.0, -3, QType("int8", narrow=True))).tolist() == [
        -3, 127, -127, 127, -127,
    ]  # fmt: skip


@BOTH
def test_dequantize_by_hand(layer: Any) -> None:
    codes = np.uint8([0, 100, 101, 255])
    assert layer.dequantize(codes, QuantParams(0.5, 100, "uint8")).tolist() == [-50, 0, 0.5, 77.5]


@BOTH
def test_fake_quantize_vectors(layer: Any) -> None:
    """The vectors of simulated quantization: range [-1, 2] in 4 bits, then symmetric narrow."""
    x = np.float32([-2, -0.3, 0, 0.7, 5])
    p = QuantParams.from_range(-1, 2, "int4")
    np.testing.assert_allclose(layer.fake_quantize(x, p), [-1, -0.4, 0, 0.8, 2], rtol=1e-6)
    p = QuantParams.from_range(-1, 2, "int4", symmetric=True, narrow=True)
    np.testing.assert_allclose(layer.fake_quantize(x, p), [-2, -2 / 7, 0, 4 / 7, 2], rtol=1e-6)


@BOTH
def test_per_channel_and_blocked_by_hand(layer: Any) -> None:
    x = np.float32([[1, 2, 3], [4, 5, 6]])
    rows = QuantParams([1.0, 2.0], [0, 10], "int8", axis=0)
    assert layer.quantize(x, rows).tolist() == [[1, 2, 3], [12, 12, 13]]
    blocks = QuantParams([[1.0, 3.0], [2.0, 0.5]], 0, "int8", axis=1, block_size=2)
    assert layer.quantize(x, blocks).tolist() == [[1, 2, 1], [2, 2, 12]]


@BOTH
def test_dynamic_quantize_linear_by_hand(layer: Any) -> None:
    """The example of the ONNX specification."""
    y, scale, zero_point = layer.dynamic_quantize_linear(np.float32([0, 2, -3, -2.5, 1.34, 0.5]))
    assert y.tolist() == [153, 255, 0, 26, 221, 179]
    assert (scale, zero_point) == (np.float32(5 / 255), 153)


@BOTH
@pytest.mark.parametrize("x", [np.zeros(3), np.zeros(0)])
def test_dynamic_range_of_nothing(layer: Any, x: np.ndarray) -> None:
    y, scale, zero_point = layer.dynamic_quantize_linear(x)
    assert (y.tolist(), float(scale), int(zero_point)) == ([0] * x.size, 1.0, 0)


@BOTH
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_dynamic_range_must_be_finite(layer: Any, bad: float) -> None:
    for place in range(40):
        x = np.ones(40)
        x[place] = bad
        with pytest.raises(ValueError, match="x must be finite"):
            layer.dynamic_quantize_linear(x)


@BOTH
def test_min_max_by_hand(layer: Any) -> None:
    x = np.float32([[1, -2, 5], [3, np.nan, -0.0]])
    lo, hi = layer.min_max(x, axis=1)
    np.testing.assert_array_equal(lo, np.float32([1, np.nan, 0]))
    np.testing.assert_array_equal(hi, np.float32([3, np.nan, 5]))
    assert not np.signbit(lo[2])
    lo, hi = layer.min_max(x, axis=1, block_size=2)
    np.testing.assert_array_equal(lo, np.float32([[-2, 5], [np.nan, 0]]))
    np.testing.assert_array_equal(hi, np.float32([[1, 5], [np.nan, 0]]))


@BOTH
def test_clip_by_hand(layer: Any) -> None:
    x = np.float32([-np.inf, -1, 0.5, np.nan, 9])
    np.testing.assert_array_equal(layer.clip(x, 0, 6), np.float32([0, 0, 0.5, np.nan, 6]))


# ---- oracle: every instruction set against the definitions ---------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "uint16", "int4", "uint2", "int1"])
def test_sizes(isa: str, agree: Any, rng: np.random.Generator, name: str, dtype: Any) -> None:
    qtype, free = QType(name), 0
    for size in SIZES:
        scale = rng.uniform(0.01, 0.3)
        zero_point = rng.integers(qtype.qmin, qtype.qmax + 1)
        p = QuantParams(dtype(scale), zero_point, qtype)
        x = mixed_reals(rng, size, scale, dtype)
        q = agree("quantize", x, p)
        agree("fake_quantize", x, p)
        agree("dequantize", q, p)
        free += np.count_nonzero((q > qtype.qmin) & (q < qtype.qmax))
    if qtype.bits >= 8:
        assert free > sum(SIZES) / 3, "too many codes are saturated to prove anything"


@pytest.mark.parametrize("name", ["int8", "uint8", "int16"])
def test_granularities(isa: str, agree: Any, rng: np.random.Generator, name: str) -> None:
    """Channels along each axis, and blocks that do not divide it."""
    for length in (*SIZES[1:], 300):
        shape = (3, length, 2) if length % 2 else (2, 3, length)
        for axis in (0, 1, 2, -1):
            for block in (None, 1, 4, 16, 64, length + 1):
                extents = [shape[axis]] if block is None else list(shape)
                if block is not None:
                    extents[axis] = -(-shape[axis] // block)
                scale = rng.uniform(0.01, 0.3, extents).astype(np.float32)
                zero_point = rng.integers(0, 100, extents)
                p = QuantParams(scale, zero_point, name, axis, block)
                x = mixed_reals(rng, shape, 0.1, np.float32)
                agree("dequantize", agree("quantize", x, p), p)
                agree("fake_quantize", x, p)
                agree("min_max", x, axis=axis, block_size=block)


def near_half_way(scale: np.ndarray, lowest: int, highest: int) -> np.ndarray:
    """For each scale, the half-way points between steps and the floats next to them."""
    halves = np.arange(lowest, highest + 1, dtype=np.float32) + np.float32(0.5)
    with np.errstate(over="ignore", under="ignore"):
        middle = scale[:, None] * halves
    around = [middle]
    for direction in (np.inf, -np.inf):
        x = middle
        for _ in range(3):
            x = np.nextafter(x, np.float32(direction))
            around.append(x)
    return np.concatenate(around, axis=1)


@pytest.mark.parametrize("name", ["int8", "uint8", "int4"])
def test_next_to_half_way(isa: str, agree: Any, rng: np.random.Generator, name: str) -> None:
    """Where a product with the reciprocal would round to another integer than the quotient."""
    qtype = QType(name)
    scale = rng.integers(1 << 23, 1 << 24, 60).astype(np.float32) * np.float32(2.0**-30)
    zero_point = rng.integers(qtype.qmin, qtype.qmax + 1, scale.size)
    x = near_half_way(scale, -260, 260)
    rows, columns = (
        QuantParams(scale, zero_point, qtype, 0),
        QuantParams(scale, zero_point, qtype, 1),
    )
    agree("quantize", x, rows)
    agree("fake_quantize", x, rows)
    agree("quantize", x.T, columns)
    agree("fake_quantize", x.T, columns)


def test_every_magnitude_of_scales(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """From the smallest subnormal to the largest float, alone and beside ordinary ones."""
    powers = np.arange(-149, 128)
    scale = np.ldexp(rng.uniform(1, 2, powers.size), powers).astype(np.float32)
    x = near_half_way(scale, -130, 130)
    agree("quantize", x, QuantParams(scale, 5, "int8", 0))
    agree("fake_quantize", x, QuantParams(scale, 5, "int8", 0))
    agree("quantize", x.T, QuantParams(scale, 5, "int8", 1))
    for row, own in zip(x, scale, strict=True):
        agree("quantize", row, QuantParams(own, -3, "int8"))
    specials = np.float32(SPECIALS * 30)
    for own in scale:
        agree("quantize", specials, QuantParams(own, 3, "uint8"))
        agree("fake_quantize", specials, QuantParams(own, 3, "uint8"))


# Parts for threads are of 2**17 elements: each of these has more, and is cut along another axis.
SHARED = [
    ((400_003,), None, None),
    ((7, 60_001), 1, None),
    ((3000, 129), 1, None),
    ((3000, 129), 0, None),
    ((2, 3, 70_001), 1, None),
    ((1, 523, 779), 1, None),
    ((40, 260, 49), 1, None),
    ((9, 33, 1301), 2, 32),
    ((2, 331, 650), 1, 32),
    ((1, 70, 6007), 1, 64),
    ((130_000, 3), 1, 2),
]


@pytest.mark.parametrize(("shape", "axis", "block"), SHARED)
def test_shared_among_threads(
    isa: str, agree: Any, rng: np.random.Generator, shape: Any, axis: Any, block: Any
) -> None:
    extents = [] if axis is None else [shape[axis]] if block is None else list(shape)
    if block is not None:
        extents[axis] = -(-shape[axis] // block)
    scale = rng.uniform(0.01, 0.3, extents).astype(np.float32)
    p = QuantParams(scale, rng.integers(-100, 100, extents), "int8", axis, block)
    x = rng.normal(0, 10, shape).astype(np.float32)
    x.flat[rng.integers(0, x.size, 9)] = np.nan
    agree("dequantize", agree("quantize", x, p), p)
    agree("fake_quantize", x, p)
    agree("min_max", x, axis=axis, block_size=block)


def test_results_too_large_for_caches(isa: str, agree: Any, rng: np.random.Generator) -> None:
    """They are written past them, whole cache lines at once, wherever the array begins."""
    size = (32 << 20) // 4 + 1000
    codes = np.tile(rng.integers(-128, 128, 1 << 18, np.int8), 33)[:size]
    p = QuantParams(0.03, 3, "int8")
    reals = agree("dequantize", codes, p)
    for start in (0, 1):
        memory = np.empty(size + 16, np.float32)
        out = memory[start : start + size]
        assert_bit_exact(ql.dequantize(codes, p, out=out), reals)
        assert_bit_exact(ql.fake_quantize(reals, p, out=out), reals)
    assert_bit_exact(ql.quantize(np.tile(reals, 4), p), np.tile(codes, 4))


@given(data=st.data(), shape=SHAPES)
def test_any_params(isa: str, agree: Any, data: st.DataObject, shape: tuple[int, ...]) -> None:
    p = data.draw(quant_params(shape))
    dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    x = data.draw(array_views(data.draw(reals(shape, dtype, params=p)), swapped=True))
    agree("quantize", x, p)
    agree("fake_quantize", x, p)
    q = data.draw(array_views(data.draw(codes(shape, p.qtype)), swapped=True))
    agree("dequantize", q, p)


@given(data=st.data(), shape=SHAPES)
def test_onnx_operators(isa: str, agree: Any, data: st.DataObject, shape: tuple[int, ...]) -> None:
    name = data.draw(st.sampled_from(["int8", "uint8", "int16", "uint16"]))
    p = data.draw(quant_params(shape, qtype=name))
    axis, block = 1 if p.axis is None else p.axis, p.block_size or 0
    zero_point = data.draw(st.sampled_from([p.zero_point, None]))
    layout = {"axis": axis, "block_size": block}
    x = data.draw(reals(shape, params=p))
    agree("quantize_linear", x, p.scale, zero_point, **layout)
    q = data.draw(codes(shape, name))
    result = data.draw(st.sampled_from([None, np.float16, np.float32, np.float64]))
    agree("dequantize_linear", q, p.scale, zero_point, output_dtype=result, **layout)
    wide = data.draw(hnp.arrays(np.int32, shape))
    agree("dequantize_linear", wide, p.scale, output_dtype=result, **layout)


@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "uint2"])
def test_small_types_of_ml_dtypes(isa: str, agree: Any, name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="it defines these types")
    dtype = np.dtype(getattr(ml_dtypes, name))
    x, scale = np.linspace(-9, 9, 77, dtype=np.float32).reshape(7, 11), np.float32(0.75)
    zero_point = np.ones((), np.int8).astype(dtype)
    q = agree("quantize_linear", x, scale, zero_point)
    assert q.dtype == dtype
    assert agree("quantize_linear", x, scale, output_dtype=dtype).dtype == dtype
    agree("dequantize_linear", q, scale, zero_point)
    agree("dequantize", q, QuantParams(scale, 1, name))
    agree("quantize", x.astype(ml_dtypes.bfloat16), QuantParams(scale, 1, name))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_ends(isa: str, agree: Any, rng: np.random.Generator, dtype: Any) -> None:
    """Zeros of both signs, infinities and NaNs at every place of a vector."""
    for size in SIZES[1:]:
        x = mixed_reals(rng, size, 1.0, dtype)
        agree("min_max", x)
        agree("min_max", rng.choice(np.asarray([0.0, -0.0], dtype), size))
        agree("min_max", x.reshape(1, -1), axis=1)
        agree("clip", x, -1.5, 2.5)
        agree("clip", rng.choice(np.asarray([0.0, -0.0], dtype), size), -0.0, 0.0)
        agree("clip", rng.choice(np.asarray([0.0, -0.0], dtype), size), 0.0, 0.0)
        for place in range(size):
            ordinary = rng.normal(0, 1, size).astype(dtype)
            for special in (-np.inf, np.inf, -dtype(np.nan), np.nan):
                ordinary[place] = special
                agree("min_max", ordinary)


@given(data=st.data(), shape=SHAPES.filter(lambda s: 0 not in s))
def test_any_ends(isa: str, agree: Any, data: st.DataObject, shape: tuple[int, ...]) -> None:
    dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    x = data.draw(array_views(data.draw(reals(shape, dtype)), swapped=True))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1)) if shape else None
    agree("min_max", x, axis=axis)
    if axis is not None:
        agree("min_max", x, axis=axis, block_size=data.draw(st.integers(1, 6)))
    low, high = sorted(data.draw(st.lists(st.floats(allow_nan=False), min_size=2, max_size=2)))
    agree("clip", x, low, high)


@pytest.mark.parametrize("spread", [1e-45, 1e-38, 1e-3, 1.0, 3e38])
def test_dynamic_sizes(isa: str, agree: Any, rng: np.random.Generator, spread: float) -> None:
    """Ranges on one side of 0 and on both, too small and too wide to subtract."""
    for size in SIZES:
        x = rng.uniform(-1, 1, size)
        for data in (x, abs(x), -abs(x), x + 0.5):
            with np.errstate(under="ignore"):
                agree("dynamic_quantize_linear", (np.clip(data, -1, 1) * spread).astype(np.float32))


@given(data=st.data(), shape=SHAPES)
def test_dynamic(isa: str, agree: Any, data: st.DataObject, shape: tuple[int, ...]) -> None:
    dtype = data.draw(st.sampled_from([np.float16, np.float32]))
    agree("dynamic_quantize_linear", data.draw(reals(shape, dtype, finite=True)))


def test_array_likes(isa: str, agree: Any) -> None:
    """Lists, integers and scalars are data too."""
    p = QuantParams(0.5, 0, "int8")
    for x in ([[1.0, 2.5]], 3, 2.25, np.int64([1, 2]), np.float32(0.75), []):
        agree("quantize", x, p)
        agree("fake_quantize", x, p)


# ---- out= ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_out(isa: str, agree: Any, rng: np.random.Generator, dtype: Any) -> None:
    x = mixed_reals(rng, (5, 7), 0.1, dtype)
    p = QuantParams(np.full(7, 0.1, dtype), 3, "uint8", axis=1)
    q = reference.quantize(x, p)
    agree.written("quantize", x, p)
    agree.written("fake_quantize", x, p)
    agree.written("dequantize", q, p)
    agree.written("clip", x, -1.0, 1.0)
    agree.written("quantize_linear", x, p.scale, p.zero_point)
    agree.written("dequantize_linear", q, p.scale, p.zero_point)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_out_that_overlaps(isa: str, agree: Any, rng: np.random.Generator, dtype: Any) -> None:
    x = mixed_reals(rng, (40, 8), 0.1, dtype)
    p = QuantParams(np.full(8, 0.1, dtype), 3, "uint8", axis=1)
    q = reference.quantize(x, p)
    agree.overlapping("quantize", x, p)
    agree.overlapping("fake_quantize", x, p)
    agree.overlapping("dequantize", q, p)
    agree.overlapping("clip", x, -1.0, 1.0)
    agree.overlapping("quantize_linear", x, p.scale, p.zero_point)
    agree.overlapping("dequantize_linear", q, p.scale, p.zero_point)


@BOTH
@pytest.mark.parametrize("channels", [3, 5000])
def test_out_that_overlaps_the_scales(layer: Any, channels: int) -> None:
    """The first row of the result takes the place of the scales that the second row needs."""
    memory = np.full((2, channels), 0.5, np.float32)
    x = np.full((2, channels), 10, np.int8)
    result = layer.dequantize_linear(x, memory[0], out=memory)
    assert_bit_exact(result, np.full((2, channels), 5, np.float32))
    scale = np.full(channels, 0.5, np.float32)
    codes = scale.view(np.uint8).reshape(4, channels)
    result = layer.quantize_linear(np.ones((4, channels), np.float32), scale, out=codes)
    assert_bit_exact(result, np.full((4, channels), 2, np.uint8))


def test_parameters_are_known_by_their_values(isa: str, agree: Any) -> None:
    """What is made of parameters is kept from call to call: the same arrays with other contents
    are others, and so are equal numbers of other types."""
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="it defines int4")
    x, codes = np.float32([[-3, 0.2], [0.7, 5]]), np.int8([[-8, 7], [3, -1]])
    scale, zero_point = np.float32([0.5, 0.25]), np.int8([1, -2])
    for step in range(3):
        agree("quantize_linear", x, scale, zero_point)
        agree("dequantize_linear", codes, scale, zero_point)
        scale *= 2
        zero_point += step
    for zero in (None, 0, np.int8(0), np.uint8(0), np.int16(0), 1, np.int8(1), np.uint8(1)):
        agree("quantize_linear", x, 0.5, zero)
        agree("quantize_linear", x, np.float64(0.5), zero)
    for y in (codes, codes.view(np.uint8), codes.astype(np.int32), codes.astype(ml_dtypes.int4)):
        for _ in range(2):
            agree("dequantize_linear", y, 0.5)
            agree("dequantize_linear", y, np.float16(0.5), output_dtype="float64")
    for axis in (0, 1, -1):
        agree("quantize_linear", x, scale, axis=axis)
        agree("quantize_linear", x, scale, axis=axis, output_dtype=np.int8)


# ---- exact fractions ----------------------------------------------------------------------------


def as_fractions(array: np.ndarray) -> list[Fraction | str]:
    return [Fraction(v) if np.isfinite(v) else str(v) for v in array.astype(np.float64).ravel()]


@BOTH
@given(data=st.data())
def test_codes_are_those_of_exact_division(layer: Any, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    p = data.draw(quant_params((6,), scale_dtype=dtype))
    x = data.draw(reals((6,), dtype, params=p))
    scales = np.broadcast_to(np.repeat(p.scale, p.block_size or 1)[:6], 6).tolist()
    zero_points = np.broadcast_to(np.repeat(p.zero_point, p.block_size or 1)[:6], 6).tolist()
    witness = [
        exact.quantize(value, scale, zero, p.qtype, dtype)
        for value, scale, zero in zip(x.tolist(), scales, zero_points, strict=True)
    ]
    assert layer.quantize(x, p).tolist() == witness


@BOTH
@given(data=st.data())
def test_reals_are_exact_products_rounded_once(layer: Any, data: st.DataObject) -> None:
    p = data.draw(quant_params())
    q = data.draw(codes((5,), p.qtype))
    working = np.float64 if p.scale.dtype == np.float64 else np.float32
    witness: list[Fraction | str] = []
    for code in q.tolist():
        try:
            real = exact.dequantize(code, float(p.scale), int(p.zero_point), working)
            witness.append(exact.round_to(real, p.scale.dtype))
        except OverflowError:
            witness.append("inf" if code > p.zero_point else "-inf")
    assert as_fractions(layer.dequantize(q, p)) == witness


@BOTH
def test_ties_of_every_step(layer: Any) -> None:
    """All half-way points of the type, and the floats beside them, for awkward scales."""
    for scale in np.float32([0.1, 1 / 3, 0.7, 2.0**-20, 3.1e-12, 12345.67]):
        steps = np.arange(-140, 140) + 0.5
        ties = (steps * np.float64(scale)).astype(np.float32)
        x = np.concatenate([ties, np.nextafter(ties, np.float32(0)), np.nextafter(ties, np.inf)])
        witness = [exact.quantize(v, float(scale), -3, "int8") for v in x.tolist()]
        assert layer.quantize(x, QuantParams(scale, -3, "int8")).tolist() == witness


# ---- laws ---------------------------------------------------------------------------------------


SOUND_SCALES = st.floats(2.0**-60, 2.0**60, width=32)


@given(data=st.data(), scale=SOUND_SCALES, name=st.sampled_from(["int8", "uint8", "int4"]))
def test_round_trip_within_half_a_step(data: st.DataObject, scale: float, name: str) -> None:
    qtype = QType(name)
    zero_point = data.draw(st.integers(qtype.qmin, qtype.qmax))
    p = QuantParams(scale, zero_point, qtype)
    lowest, highest = scale * (qtype.qmin - zero_point), scale * (qtype.qmax - zero_point)
    x = np.float32(lowest) + data.draw(st.floats(0, 1)) * np.float32(highest - lowest)
    x = float(np.clip(np.float32(x), np.float32(lowest), np.float32(highest)))
    error = abs(Fraction(float(ql.fake_quantize(x, p))) - Fraction(x))
    rounding = Fraction(max(abs(lowest), abs(highest))) / 2**22  # of the division and the product
    assert error <= Fraction(scale) / 2 + rounding


@given(data=st.data(), p=quant_params())
def test_monotone(data: st.DataObject, p: QuantParams) -> None:
    x = data.draw(reals((20,), np.float64, params=p))
    x = np.sort(x[~np.isnan(x)])
    assert np.all(np.diff(ql.quantize(x, p).astype(int)) >= 0)
    reals_ = ql.fake_quantize(x, p)
    assert np.all(reals_[:-1] <= reals_[1:])


@given(p=quant_params())
def test_zero_is_exact(p: QuantParams) -> None:
    for zero in (0.0, -0.0):
        q = ql.quantize(zero, p)
        assert q == p.zero_point
        assert_bit_exact(ql.dequantize(q, p), np.zeros((), p.scale.dtype))


@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]))
def test_codes_survive_the_way_through_reals(data: st.DataObject, dtype: Any) -> None:
    p = data.draw(quant_params(scale_dtype=dtype))
    q = data.draw(codes((20,), p.qtype))
    x = ql.dequantize(q, p)
    back = ql.quantize(x, p)
    finite = np.isfinite(x)
    assert_bit_exact(back[finite], q[finite])
    assert_bit_exact(ql.fake_quantize(x, p)[finite], x[finite])


@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5))
def test_channels_are_tensors_of_their_own(data: st.DataObject, shape: tuple[int, ...]) -> None:
    p = data.draw(quant_params(shape, granularity="per-channel"))
    assert p.axis is not None
    x = data.draw(reals(shape, params=p))
    whole = np.moveaxis(ql.quantize(x, p), p.axis, 0)
    for c, channel in enumerate(np.moveaxis(x, p.axis, 0)):
        alone = QuantParams(p.scale[c], p.zero_point[c], p.qtype)
        assert_bit_exact(ql.quantize(channel, alone), whole[c])


@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5))
def test_blocks_are_tensors_of_their_own(data: st.DataObject, shape: tuple[int, ...]) -> None:
    p = data.draw(quant_params(shape, granularity="blocked"))
    assert p.axis is not None
    assert p.block_size is not None
    x = data.draw(reals(shape, params=p))
    whole = ql.quantize(x, p)
    for index in np.ndindex(*shape):
        of_block = list(index)
        of_block[p.axis] //= p.block_size
        at = tuple(of_block)
        alone = QuantParams(p.scale[at], p.zero_point[at], p.qtype)
        assert ql.quantize(x[index], alone) == whole[index]


@given(data=st.data())
def test_splitting_changes_nothing(data: st.DataObject) -> None:
    """Long data in any two parts gives the codes of the whole, so no vector reads its neighbour."""
    seed, size = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.integers(0, 300))
    x = mixed_reals(np.random.default_rng(seed), size, 0.1, np.float32)
    p = data.draw(quant_params(qtype="int8", scale_dtype=np.float32))
    at = data.draw(st.integers(0, size))
    parts = np.concatenate([ql.quantize(x[:at], p), ql.quantize(x[at:], p)])
    assert_bit_exact(ql.quantize(x, p), parts)


def test_every_arrangement_of_memory(isa: str, rng: np.random.Generator) -> None:
    x = mixed_reals(rng, (9, 21), 0.1, np.float32)
    p = QuantParams(0.1, 3, "uint8")
    q = reference.quantize(x, p)
    for layout in memory_layouts(x).values():
        assert_bit_exact(ql.quantize(layout, p), q)
    for layout in memory_layouts(q).values():
        assert_bit_exact(ql.dequantize(layout, p), reference.dequantize(q, p))
