"""The kernels of float32 layers that models have, beside their definitions in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

pytest.importorskip("onnx", reason="models need onnx")

import quantlib as ql
from quantlib import _native
from quantlib.model.operators.elementwise import erf, gelu, sigmoid
from quantlib.model.operators.reduction import soften
from quantlib.testing import isas, use_isa

LENGTHS = (1, 2, 15, 16, 17, 63, 64, 65, 131, 1000)


def tanh_gelu(x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


FUNCTIONS = {
    "erf": special.erf,
    "gelu": lambda x: x * special.ndtr(x),
    "gelu_tanh": tanh_gelu,
    "sigmoid": special.expit,
}


def activated(name: str, x: Any) -> Any:
    y = np.empty_like(x)
    _native.activate(name, x, y)
    return y


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations(name: str, isa: str, rng: np.random.Generator) -> None:
    wide = np.concatenate([np.linspace(-30, 30, 20_001), rng.normal(0, 1e3, 999), [0, -0.0, 1e-30]])
    x = wide.astype(np.float32)
    wanted = FUNCTIONS[name](x.astype(np.float64))
    error = np.abs(activated(name, x) - wanted)
    assert np.all(error <= 5e-7 * np.maximum(1, np.abs(x)))
    for length in (0, *LENGTHS):
        y = x[:length].copy()
        _native.activate(name, y, y)
        np.testing.assert_array_equal(y, activated(name, x)[:length])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations_of_special_values(name: str, isa: str) -> None:
    x = np.float32([np.nan, np.inf, 3e38, -3e38])
    with np.errstate(all="ignore"):
        wanted = FUNCTIONS[name](x.astype(np.float64))
    np.testing.assert_allclose(activated(name, x), wanted, rtol=1e-6, atol=1e-30)


def test_every_instruction_set_has_the_same_bits(rng: np.random.Generator) -> None:
    x = rng.normal(0, 3, (7, 131)).astype(np.float32)
    scale, bias = rng.standard_normal((2, 131)).astype(np.float32)
    results = []
    for name in isas():
        with use_isa(name):
            made = [np.empty_like(x) for _ in range(3)]
            _native.real_softmax(x, made[0])
            _native.layer_norm(x, scale, bias, 1e-5, made[1])
            _native.LocalNorm(5, 0.02, 1.0, 0.75).run(x, made[2])
            results.append([*made, *(activated(function, x) for function in FUNCTIONS)])
    for other in results[1:]:
        for mine, first in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(mine, first)


@pytest.mark.parametrize("length", LENGTHS)
def test_softmax(length: int, isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(0, 5, (3, 4, length)).astype(np.float32)
    x[0, 0] += 1e4
    x[1, :, : length // 2] = -np.inf  # as masks do
    y = soften(x, -1, False, None)
    np.testing.assert_allclose(y, special.softmax(x.astype(np.float64), axis=-1), atol=3e-7)
    assert np.all(y[1, :, : length // 2] == 0)
    _native.real_softmax(x, x)
    np.testing.assert_array_equal(x, y)


def test_softmax_of_what_has_none(isa: str) -> None:
    x = np.float32([[-np.inf, -np.inf], [np.nan, 1], [np.inf, 0]])
    assert np.isnan(soften(x, -1, False, None)).all()
    assert soften(np.zeros((3, 0), np.float32), -1, False, None).shape == (3, 0)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("has_bias", [False, True])
def test_layer_norm(length: int, has_bias: bool, isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(100, 2, (5, length)).astype(np.float32)
    scale, bias = rng.standard_normal((2, length)).astype(np.float32)
    real = x.astype(np.float64)
    wanted = real - real.mean(axis=1, keepdims=True)
    wanted = wanted / np.sqrt((wanted**2).mean(axis=1, keepdims=True) + 1e-5) * scale
    wanted += bias if has_bias else 0
    _native.layer_norm(x, scale, bias if has_bias else None, 1e-5, x)
    np.testing.assert_allclose(x, wanted, atol=5e-5)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("window", "power"), [(1, 0.75), (5, 0.75), (4, 0.5), (9, 1.3)])
def test_local_norm(
    length: int, window: int, power: float, isa: str, rng: np.random.Generator
) -> None:
    x = rng.normal(0, 3, (6, length)).astype(np.float32)
    x[0] *= 1e6
    squares = np.pad(
        x.astype(np.float64) ** 2, ((0, 0), ((window - 1) // 2, window - 1 - (window - 1) // 2))
    )
    sums = sum(squares[:, i : i + length] for i in range(window))
    wanted = x * (1.5 + 0.25 * sums) ** -power
    y = np.empty_like(x)
    _native.LocalNorm(window, 0.25, 1.5, power).run(x, y)
    np.testing.assert_allclose(y, wanted, rtol=2e-6 * (1 + 20 * power))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("x_type", "y_type"), [(np.uint8, np.uint8), (np.int8, np.uint8),
                                                (np.uint8, np.int8)])  # fmt: skip
def test_local_norm_of_codes(
    length: int, x_type: Any, y_type: Any, isa: str, rng: np.random.Generator
) -> None:
    """Codes of what is computed from reals, with windows that reach across rows."""
    x = rng.integers(0, 256, (70, length)).astype(np.uint8).view(x_type)
    x_by, y_by = (np.float32(0.02), x_type(7)), (np.float32(0.008), y_type(9))
    for window in (1, 5, 8):
        norm = _native.LocalNorm(window, 0.25, 1.5, 0.75)
        reals = ql.dequantize_linear(x, *x_by)
        norm.run(reals, reals)
        wanted, y = ql.quantize_linear(reals, *y_by), np.empty(x.shape, y_type)
        norm.run_codes(x, (float(x_by[0]), 7), y, (float(y_by[0]), 9))
        np.testing.assert_array_equal(y, wanted)
        assert length < 63 or len(np.unique(y)) > 40


@pytest.mark.parametrize("function", [sigmoid, erf, lambda x: gelu(x, "none"),
                                      lambda x: gelu(x, "tanh")])  # fmt: skip
def test_float64_and_strided_data(function: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal((40, 30))
    exact = function(x)
    assert exact.dtype == np.float64
    single = x.astype(np.float32)
    np.testing.assert_allclose(function(single), exact, atol=1e-6)
    np.testing.assert_array_equal(function(single.T), function(single).T)
