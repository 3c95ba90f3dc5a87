"""Functions of codes by tables: examples, oracle, and every code against exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quantlib as ql
from quantlib import reference
from quantlib.testing import exact, interesting_sizes, memory_layouts

SIZES = interesting_sizes(16, 32, 64)
BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])
BYTES = pytest.mark.parametrize("dtype", [np.int8, np.uint8])
CALL = 0.05, 3, 0.04, np.int8(-20)  # scales and zero points


def every_code(dtype: Any) -> np.ndarray:
    return np.arange(256, dtype=np.uint8).view(dtype)


# ---- examples -----------------------------------------------------------------------------------


@BOTH
def test_by_hand(layer: Any) -> None:
    x = np.int8([-128, -4, -3, 0, 3, 127])
    assert layer.qlinear_relu(x, 0.5, -3, 0.25, np.uint8(1)).tolist() == [1, 1, 1, 7, 13, 255]
    assert layer.qlinear_clip(x, 1, 0, 1, 0, min=-3, max=2).tolist() == [-3, -3, -3, 0, 2, 2]
    assert layer.qlinear_clip(x, 1, 0, 1, 0).tolist() == x.tolist()
    leaky = layer.qlinear_leaky_relu(x, 1, 0, 1, 0, alpha=0.5)
    assert leaky.tolist() == [-64, -2, -2, 0, 3, 127]  # -1.5 is a tie
    squares = layer.qlinear_lookup(x, 1, 0, 1, np.uint8(5), np.square)
    assert squares.tolist() == [255, 21, 14, 5, 14, 255]


@BOTH
def test_prepared_tables_follow_the_type_of_the_codes(layer: Any) -> None:
    double = layer.QLinearLookup(lambda x: 2 * x, x_scale=1.0, y_scale=1.0)
    assert double(np.int8([-3, 3])).tolist() == [-6, 6]
    assert double(np.uint8([200, 3])).tolist() == [255, 6]
    assert double(np.uint8([3])).dtype == np.uint8
    shifted = layer.QLinearLookup(np.abs, x_scale=1.0, x_zero_point=np.uint8(128), y_scale=1.0)
    assert shifted(np.uint8([125, 130])).tolist() == [3, 2]
    with pytest.raises(TypeError, match="x_zero_point"):
        shifted(np.int8([1]))


@BOTH
def test_no_number_becomes_the_zero_point(layer: Any) -> None:
    def logarithm(x: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(x)

    codes = layer.qlinear_lookup(np.int8([-1, 0, 1]), 1.0, 0, 1.0, np.int8(9), logarithm)
    assert codes.tolist() == [9, -128, 9]


@BOTH
def test_a_function_is_called_once_and_its_errors_pass(layer: Any) -> None:
    calls: list[Any] = []

    def function(x: np.ndarray) -> np.ndarray:
        calls.append((x.dtype, x.shape))
        return x

    layer.qlinear_lookup(np.zeros((9, 9), np.int8), 1.0, 0, 1.0, 0, function)
    assert calls == [(np.float64, (256,))]

    def broken(x: np.ndarray) -> np.ndarray:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        layer.qlinear_lookup(np.int8([1]), 1.0, 0, 1.0, 0, broken)


@BOTH
@pytest.mark.parametrize("value", [1.0, "x", np.zeros(255), np.zeros((256, 1)), [1j] * 256, None])
def test_what_a_function_may_return(layer: Any, value: Any) -> None:
    with pytest.raises(TypeError, match=r"^function"):
        layer.qlinear_lookup(np.int8([1]), 1.0, 0, 1.0, 0, lambda x: value)


# ---- oracle -------------------------------------------------------------------------------------


@BYTES
def test_sizes(isa: str, agree: Any, rng: np.random.Generator, dtype: Any) -> None:
    for size in (*SIZES, 70_001, 140_000):
        x = rng.integers(0, 256, size, np.uint8).view(dtype)
        agree("qlinear_lookup", x, *CALL, np.sin)
        agree.prepared("QLinearLookup", np.cos, x_scale=0.1, y_scale=0.01)(x)


@BYTES
def test_every_code_of_every_function(isa: str, agree: Any, dtype: Any) -> None:
    x = every_code(dtype)
    for zero in (np.uint8(0), np.int8(-128), np.uint8(77)):
        call = x, 0.05, 3, 0.02, zero
        agree("qlinear_relu", *call)
        agree("qlinear_leaky_relu", *call, alpha=0.3)
        agree("qlinear_clip", *call, min=-1.0, max=2.0)
        agree("qlinear_sigmoid", *call)
        agree("qlinear_tanh", *call)
        agree("qlinear_gelu", *call)
        agree("qlinear_gelu", *call, approximate="tanh")


def test_layouts_and_out(isa: str, agree: Any, rng: np.random.Generator) -> None:
    x = rng.integers(-128, 128, (7, 19)).astype(np.int8)
    for layout in memory_layouts(x).values():
        agree("qlinear_sigmoid", layout, *CALL)
    agree.written("qlinear_lookup", x, *CALL, np.square)
    agree.written("qlinear_relu", x, *CALL)
    agree.written("qlinear_leaky_relu", x, *CALL)
    agree.written("qlinear_clip", x, *CALL)
    agree.written("qlinear_sigmoid", x, *CALL)
    agree.written("qlinear_tanh", x, *CALL)
    agree.written("qlinear_gelu", x, *CALL)
    agree.overlapping("qlinear_lookup", x, *CALL, np.square)
    agree.overlapping("qlinear_relu", x, *CALL)
    agree.overlapping("qlinear_leaky_relu", x, *CALL)
    agree.overlapping("qlinear_clip", x, *CALL)
    agree.overlapping("qlinear_sigmoid", x, *CALL)
    agree.overlapping("qlinear_tanh", x, *CALL)
    agree.overlapping("qlinear_gelu", x, *CALL)


# ---- exact arithmetic ---------------------------------------------------------------------------


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def half(x: float, tail: Callable[[float], float]) -> float:
    return x * (1 + tail(x)) / 2


SCALAR: dict[str, Callable[[float], float]] = {
    "qlinear_relu": lambda x: max(x, 0.0),
    "qlinear_leaky_relu": lambda x: x if x >= 0 else float(np.float32(0.01)) * x,
    "qlinear_sigmoid": logistic,
    "qlinear_tanh": math.tanh,
    "qlinear_gelu": lambda x: half(x, lambda t: math.erf(t / math.sqrt(2))),
}


@pytest.mark.parametrize("name", SCALAR)
@given(
    x_scale=st.floats(2.0**-9, 1.0, width=32),
    y_scale=st.floats(2.0**-9, 1.0, width=32),
    zeros=st.tuples(st.integers(-128, 127), st.integers(0, 255)),
)
def test_each_code_is_that_of_its_real(
    name: str, x_scale: float, y_scale: float, zeros: tuple[int, int]
) -> None:
    """Computed one by one with Python's floats: at most an error of rounding from a tie away."""
    x = every_code(np.int8)
    codes = getattr(ql, name)(x, x_scale, zeros[0], y_scale, np.uint8(zeros[1]))
    for code, result in zip(x.tolist(), codes.tolist(), strict=True):
        real = SCALAR[name](float(exact.dequantize(code, x_scale, zeros[0])))
        near = {
            exact.quantize(
                float(np.float32(real * (1 + slack) + shift)), y_scale, zeros[1], "uint8"
            )
            for slack in (-1e-6, 0, 1e-6)
            for shift in (-1e-15, 0, 1e-15)
        }
        assert result in near, (code, real)


@given(alpha=st.floats(-2.0, 2.0, width=32), bounds=st.tuples(*[st.floats(-9, 9, width=32)] * 2))
def test_slopes_and_bounds_are_exact(alpha: float, bounds: tuple[float, float]) -> None:
    x, low, high = every_code(np.uint8), min(bounds), max(bounds)
    leaky = ql.qlinear_leaky_relu(x, 0.1, 100, 0.2, np.int8(5), alpha=alpha)
    kept = ql.qlinear_clip(x, 0.1, 100, 0.2, np.int8(5), min=low, max=high)
    for code in x.tolist():
        real = exact.dequantize(code, float(np.float32(0.1)), 100)
        sloped = real if real >= 0 else exact.round_to(real * int(alpha * 2**149) / 2**149, "f4")
        step = float(np.float32(0.2))
        assert leaky[code] == exact.quantize(float(sloped), step, 5, "int8")
        assert kept[code] == exact.quantize(min(max(float(real), low), high), step, 5, "int8")
