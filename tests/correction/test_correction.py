"""Corrections: against their definitions, and against what they are for."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import quantlib as ql
from quantlib.correction import (
    adaround,
    bias_correction,
    correct_bias,
    cosine_similarity,
    cross_layer_equalization,
    equalization_scales,
    gptq,
    keep_sums,
    relative_error,
    smooth_quant_scales,
    sqnr,
    weight_correction,
)

FINITE = st.floats(-1e6, 1e6)
PAIRS = st.integers(1, 20).flatmap(
    lambda n: st.tuples(*[hnp.arrays(np.float64, n, elements=FINITE)] * 2)
)
MEASURES = {"sqnr": sqnr, "relative_error": relative_error, "cosine_similarity": cosine_similarity}


class TestMeasures:
    """Against loops, and where nothing is left to divide by."""

    @given(PAIRS.filter(lambda pair: all(np.abs(x).max() > 1e-3 for x in pair)))
    def test_definitions(self, pair: tuple[np.ndarray, np.ndarray]) -> None:
        x, y = pair
        signal = sum(a * a for a in x.tolist())
        noise = sum((a - b) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True))
        dot = sum(a * b for a, b in zip(x.tolist(), y.tolist(), strict=True))
        if noise > 1e-9 * signal:
            assert sqnr(x, y) == pytest.approx(10 * np.log10(signal / noise), abs=1e-4)
            assert relative_error(x, y) == pytest.approx((noise / signal) ** 0.5, rel=1e-4)
        length = (signal * sum(b * b for b in y.tolist())) ** 0.5
        assert cosine_similarity(x, y) == pytest.approx(dot / length, abs=1e-9)
        assert -1 <= cosine_similarity(x, y) <= 1

    @pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
    def test_size_does_not_matter(self, scale: float) -> None:
        x, y = np.array([1.0, 2.0, 2.0]), np.array([1.0, 2.0, 2.3])
        for measure in MEASURES.values():
            assert measure(x * scale, y * scale) == pytest.approx(measure(x, y))

    def test_degenerate(self) -> None:
        zero, one = np.zeros(3), np.ones(3)
        cases = {(0, 0): (np.inf, 0, 1), (1, 1): (np.inf, 0, 1), (1, 0): (0, 1, 0)}
        cases[0, 1] = (-np.inf, np.inf, 0)
        for (a, b), expected in cases.items():
            pair = (one if a else zero), (one if b else zero)
            assert tuple(float(measure(*pair)) for measure in MEASURES.values()) == pytest.approx(
                expected
            )
        assert sqnr(np.zeros(0), np.zeros(0)) == np.inf

    def test_channels(self) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((2, 4, 3, 5))
        for measure, axis in product(MEASURES.values(), (0, 1, -1)):
            found = measure(x, y, axis=axis)
            for channel, value in enumerate(found):
                parts = (np.moveaxis(a, axis, 0)[channel] for a in (x, y))
                assert value == pytest.approx(measure(*parts), rel=1e-12)

    def test_six_decibels_a_bit(self) -> None:
        x = np.random.default_rng(0).uniform(-1, 1, 100_000)
        ratios = [
            sqnr(x, ql.fake_quantize(x, ql.calibrate(x, "minmax", f"int{bits}")))
            for bits in (4, 6, 8)
        ]
        assert np.diff(ratios) == pytest.approx([12.04, 12.04], abs=0.6)


class TestWeightCorrection:
    """Both forms: what they restore, and by which formula."""

    def example(self, bits: int = 2) -> tuple[np.ndarray, np.ndarray]:
        w = np.random.default_rng(0).standard_normal((6, 8, 3, 3)) + 0.1
        q = ql.fake_quantize(w, ql.calibrate(w, "minmax", f"int{bits}", axis=0))
        return w, q.astype(np.float64)

    @pytest.mark.parametrize("axis", [0, 1, -2, None])
    def test_mean_and_deviation_are_restored(self, axis: int | None) -> None:
        w, q = self.example()
        axes = tuple(i for i in range(4) if axis is None or i != axis % 4)
        for form in ("mindspore_lite", "book"):
            factor, offset = weight_correction(w, q, axis=axis, form=form)
            assert factor.shape == offset.shape == w.mean(axis=axes, keepdims=True).shape
            corrected = factor * q + offset
            np.testing.assert_allclose(corrected.std(axis=axes), w.std(axis=axes))
            mean = w.mean(axis=axes)
            if form == "book":
                mean = mean * factor.reshape(mean.shape)
            np.testing.assert_allclose(corrected.mean(axis=axes), mean, atol=1e-12)

    def test_formulas(self) -> None:
        w, q = self.example()
        for c in range(6):
            a, b = w[c].ravel(), q[c].ravel()
            v = np.std(a) / np.std(b)
            factor, offset = weight_correction(w, q)
            assert factor[c, 0, 0, 0] == pytest.approx(v)
            assert offset[c, 0, 0, 0] == pytest.approx(a.mean() - v * b.mean())
            zeta = np.linalg.norm(a - a.mean()) / np.linalg.norm(b - b.mean())
            factor, offset = weight_correction(w, q, form="book")
            np.testing.assert_allclose(
                factor[c] * q[c] + offset[c], zeta * (q[c] + a.mean() - b.mean())
            )

    def test_two_bits_get_better(self) -> None:
        w, q = self.example(2)
        x = np.random.default_rng(1).standard_normal((500, 72)) + 0.5
        y = x @ w.reshape(6, -1).T
        factor, offset = weight_correction(w, q)
        before, after = (x @ a.reshape(6, -1).T for a in (q, factor * q + offset))
        assert sqnr(y, after) > sqnr(y, before) + 1

    @pytest.mark.parametrize("form", ["mindspore_lite", "book"])
    def test_degenerate(self, form: Any) -> None:
        w = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
        q = np.array([[1.5, 1.5, 1.5], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
        factor, offset = weight_correction(w, q, form=form)
        assert factor.ravel().tolist() == [1, 1, 1]
        assert offset.ravel().tolist() == [-0.5, 0, 0]

    def test_factors_that_mean_nothing_are_left_out(self) -> None:
        w, q = np.array([[0.0, 10.0]]), np.array([[0.0, 1.0]])
        assert weight_correction(w, q)[0] == 1
        assert weight_correction(w, q, form="book")[0] == 10
        assert weight_correction(w * 0.99, q)[0] == pytest.approx(9.9)


class TestBias:
    """The mean of the outputs, and its int32."""

    def test_means_are_restored(self) -> None:
        rng = np.random.default_rng(0)
        y = rng.standard_normal((4, 3, 5, 5)) + np.array([[[1.0]], [[2.0]], [[3.0]]])
        shifted = y + rng.standard_normal((4, 3, 5, 5)) * 0.1 + [[[0.5]], [[0.0]], [[-0.5]]]
        correction = bias_correction(y, shifted)
        corrected = shifted + correction[:, np.newaxis, np.newaxis]
        np.testing.assert_allclose(corrected.mean(axis=(0, 2, 3)), y.mean(axis=(0, 2, 3)))
        np.testing.assert_allclose(bias_correction(y.T, shifted.T, axis=-2), correction)

    def test_of_a_layer(self) -> None:
        """Activations that are not centred move the mean; the corrected int32 bias undoes it."""
        rng = np.random.default_rng(0)
        x = rng.uniform(0, 1, (2000, 64)).astype(np.float32)
        w = rng.standard_normal((64, 8)).astype(np.float32)
        xp, wp = ql.calibrate(x, "minmax", "uint8"), ql.calibrate(w, "minmax", "int4", axis=1)
        arguments = {"a_scale": xp.scale, "a_zero_point": xp.zero_point}
        codes = ql.quantize(x, xp), ql.quantize(w, wp)
        layer = ql.QLinearMatMul(codes[1], wp.scale, wp.zero_point, **arguments)
        correction = bias_correction(x @ w, layer(codes[0]))
        bias = correct_bias(None, correction, xp.scale * wp.scale)
        better = ql.QLinearMatMul(codes[1], wp.scale, wp.zero_point, bias=bias, **arguments)
        left = bias_correction(x @ w, better(codes[0]))
        assert np.all(np.abs(left) <= 0.51 * xp.scale * wp.scale)
        assert np.abs(correction).max() > 100 * np.abs(left).max()

    def test_the_bound(self) -> None:
        bound = int(0.6 * (2**31 - 1))
        bias = np.int32([bound - 1, bound - 1, -bound, 0])
        corrected = correct_bias(bias, [1.0, 2.0, -1.0, 1e30], 1.0)
        assert corrected.tolist() == [bound, bound - 1, -bound, 0]
        assert corrected.dtype == np.int32
        assert correct_bias(None, [0.5, 1.5, -2.5], [1.0, 1.0, 1.0]).tolist() == [0, 2, -2]


class TestEqualization:
    """Equal ranges, unchanged functions."""

    @given(st.integers(2, 4), st.integers(1, 6), st.integers(0, 1000))
    def test_ranges_become_equal(self, layers: int, channels: int, seed: int) -> None:
        ranges = np.random.default_rng(seed).uniform(0.01, 100, (layers, channels))
        scales = equalization_scales(*ranges)
        steps = [np.ones(channels), *scales, np.ones(channels)]
        for r, before, after in zip(ranges, steps[:-1], steps[1:], strict=True):
            np.testing.assert_allclose(r * before / after, np.prod(ranges, axis=0) ** (1 / layers))

    def test_published_forms(self) -> None:
        """The pair s = r1 / sqrt(r1 r2), the triple r1 / c and c / r3."""
        r1, r2, r3 = np.random.default_rng(0).uniform(0.1, 9, (3, 5))
        np.testing.assert_allclose(equalization_scales(r1, r2)[0], r1 / np.sqrt(r1 * r2))
        c = (r1 * r2 * r3) ** (1 / 3)
        first, second = equalization_scales(r1, r2, r3)
        np.testing.assert_allclose(first, r1 / c)
        np.testing.assert_allclose(second, c / r3)

    def test_what_cannot_be_scaled_stays(self) -> None:
        scales = equalization_scales([0.0, 1.0, 1e-300], [1.0, 0.0, 1e-300])
        np.testing.assert_allclose(scales[0], [1.0, 1.0, 1.0])

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_the_network_computes_the_same(self, dtype: type) -> None:
        """Convolution, depthwise convolution, convolution, with ReLU between them."""
        rng = np.random.default_rng(0)
        weights = [
            rng.standard_normal((6, 4)),
            rng.standard_normal((6, 1)),
            rng.standard_normal((3, 6)),
        ]
        weights[0] *= 10.0 ** rng.uniform(-2, 2, (6, 1))
        biases = [rng.standard_normal(6), rng.standard_normal(6), None]
        weights = [w.astype(dtype) for w in weights]

        def run(w: list[np.ndarray], b: list[Any], x: np.ndarray) -> np.ndarray:
            x = np.maximum(x @ w[0].T + b[0], 0)
            x = np.maximum(x * w[1][:, 0] + b[1], 0)
            return x @ w[2].T

        x = rng.standard_normal((50, 4))
        equal, offsets = cross_layer_equalization(weights, biases)
        tolerance = 1e-4 if dtype == np.float32 else 1e-10
        np.testing.assert_allclose(
            run(equal, offsets, x), run(weights, biases, x), tolerance, tolerance
        )
        assert [w.dtype for w in equal] == [dtype] * 3
        spread = [np.abs(w).max(axis=1) for w in (equal[0], equal[1])] + [
            np.abs(equal[2]).max(axis=0)
        ]
        np.testing.assert_allclose(spread[0], spread[1], rtol=1e-5)
        np.testing.assert_allclose(spread[0], spread[2], rtol=1e-5)

    def test_per_tensor_quantization_gets_better(self) -> None:
        rng = np.random.default_rng(0)
        w1 = rng.standard_normal((32, 16)) * 10.0 ** rng.uniform(-2, 0, (32, 1))
        w2 = rng.standard_normal((8, 32)) / 10.0 ** rng.uniform(-2, 0, (1, 32))
        x = rng.standard_normal((400, 16))

        def quantized(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            a, b = (ql.fake_quantize(w, ql.calibrate(w, "minmax", "int8", True)) for w in (a, b))
            return np.maximum(x @ a.T, 0) @ b.T

        y = np.maximum(x @ w1.T, 0) @ w2.T
        equal, _ = cross_layer_equalization([w1, w2])
        assert sqnr(y, quantized(*equal)) > sqnr(y, quantized(w1, w2)) + 5


class TestSmoothQuant:
    """The scales, and the product that they leave as it is."""

    def test_formula(self) -> None:
        x, w = np.array([100.0, 1.0, 5.0]), np.array([1.0, 4.0, 5.0])
        for alpha in (0.0, 0.3, 0.5, 1.0):
            expected = x**alpha / w ** (1 - alpha)
            np.testing.assert_allclose(smooth_quant_scales(x, w, alpha), expected)
        assert smooth_quant_scales(x, w, 1.0, highest=50.0)[0] == 50
        assert smooth_quant_scales([1e-300], [1e300], lowest=1e-5)[0] == 1e-5
        assert smooth_quant_scales([0.0, 1.0], [1.0, 0.0]).tolist() == [1, 1]

    def test_activations_with_wild_channels_get_better(self) -> None:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((300, 32)) * np.where(np.arange(32) % 8, 1, 60)
        w = rng.standard_normal((32, 16))
        s = smooth_quant_scales(np.abs(x).max(axis=0), np.abs(w).max(axis=1))
        np.testing.assert_allclose((x / s) @ (w * s[:, np.newaxis]), x @ w, rtol=1e-9, atol=1e-9)

        def quantized(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return ql.fake_quantize(a, ql.calibrate(a, "minmax")) @ ql.fake_quantize(
                b, ql.calibrate(b, "minmax", symmetric=True, axis=1)
            )

        assert (
            sqnr(x @ w, quantized(x / s, w * s[:, np.newaxis])) > sqnr(x @ w, quantized(x, w)) + 3
        )


class TestAdaRound:
    """Decisions against all of them, and errors against those of the nearest codes."""

    @staticmethod
    def error(
        codes: np.ndarray, w: np.ndarray, x: np.ndarray, params: ql.QuantParams
    ) -> np.ndarray:
        return np.mean((x @ (ql.dequantize(codes, params).astype(float) - w).T) ** 2, axis=0)

    @pytest.mark.parametrize("seed", range(4))
    def test_the_best_of_all_decisions(self, seed: int) -> None:
        """Eight inputs that are all positive, as after ReLU: small enough to try everything."""
        rng = np.random.default_rng(seed)
        x, w = rng.uniform(0, 1, (500, 8)), rng.standard_normal((5, 8))
        params = ql.calibrate(w, "minmax", "int4", symmetric=True, axis=0)
        floor = np.floor(w / params.scale[:, np.newaxis].astype(float))
        below, above = (np.clip(floor + up, -8, 7).astype(np.int8) for up in (0, 1))
        decisions = [np.where(ups, above, below) for ups in product((False, True), repeat=8)]
        best = np.min([self.error(codes, w, x, params) for codes in decisions], axis=0)
        adapted = adaround(w, x, params)
        assert np.all((adapted == below) | (adapted == above))
        assert self.error(adapted, w, x, params).sum() <= 1.05 * best.sum()

    def test_a_layer_gets_better(self) -> None:
        rng = np.random.default_rng(0)
        x, w = rng.uniform(0, 1, (1000, 64)), rng.standard_normal((32, 64))
        params = ql.calibrate(w, "minmax", "int4", symmetric=True, axis=0)
        nearest, adapted = ql.quantize(w, params), adaround(w, x, params)
        before, after = (self.error(codes, w, x, params).mean() for codes in (nearest, adapted))
        assert after < 0.35 * before

    @settings(max_examples=15, deadline=None)
    @given(
        st.integers(0, 10_000), st.sampled_from(["int2", "int4", "uint4", "int8"]), st.booleans()
    )
    def test_never_worse_than_the_nearest(self, seed: int, qtype: str, channels: bool) -> None:
        rng = np.random.default_rng(seed)
        w, x = rng.standard_normal((4, 6)), rng.standard_normal((30, 6)) + rng.standard_normal(6)
        params = ql.calibrate(w, "mse", qtype, axis=0 if channels else None)
        adapted = adaround(w, x, params, steps=60)
        assert adapted.dtype == params.qtype.dtype
        assert params.qtype.qmin <= adapted.min()
        assert adapted.max() <= params.qtype.qmax
        nearest = self.error(ql.quantize(w, params), w, x, params)
        assert np.all(self.error(adapted, w, x, params) <= nearest * (1 + 1e-6) + 1e-12)

    def test_degenerate(self) -> None:
        w, x = np.array([[0.3, -0.7]]), np.zeros((3, 2))
        params = ql.QuantParams(0.5, 0, "int8")
        assert adaround(w, x, params).tolist() == ql.quantize(w, params).tolist()
        assert adaround(w, x + 1, params, steps=0).shape == (1, 2)
        assert adaround(np.zeros((0, 2)), x, params).shape == (0, 2)
        assert adaround(w * 1e6, x + 1, params).tolist() == [[127, -128]]

    def test_progress(self) -> None:
        calls: list[tuple[int, int | None]] = []
        w = np.ones((1, 2))
        adaround(
            w,
            w,
            ql.QuantParams(0.3, 0, "int8"),
            steps=250,
            progress=lambda *call: calls.append(call),
        )
        assert calls == [(100, 250), (200, 250), (250, 250)]


class TestKeptSums:
    @pytest.mark.parametrize("qtype", ["int8", "uint8", "int4", "int2"])
    @pytest.mark.parametrize("axis", [0, 1, -1])
    @pytest.mark.parametrize("is_tensor", [False, True])
    def test_sums_stay_within_half_a_step(self, qtype: str, axis: int, is_tensor: bool) -> None:
        w = np.random.default_rng(5).standard_normal((6, 7, 30)) + 0.1
        method = ("minmax", qtype, qtype != "uint8")
        params = ql.calibrate(w, *method, axis=None if is_tensor else axis)
        codes, nearest = keep_sums(w, params, axis=axis), ql.quantize(w, params)
        assert codes.dtype == nearest.dtype
        others = tuple(i for i in range(3) if i != axis % 3)
        scale = params.scale.astype(np.float64).reshape(-1)
        sums = [np.sum(w - ql.dequantize(c, params), axis=others) / scale for c in (codes, nearest)]
        assert np.all(np.abs(sums[0]) <= 0.5 + 1e-4)
        assert np.any(np.abs(sums[1]) > 1)
        step = scale.reshape([-1 if i == axis % 3 else 1 for i in range(3)])
        assert np.all(np.abs(w - ql.dequantize(codes, params)) < step * (1 + 1e-5))
        changed = np.abs(codes.astype(int) - nearest)
        assert changed.max() == 1
        assert np.all(changed.sum(axis=others) <= np.rint(np.abs(sums[1])))

    def test_codes_that_end_move_no_further(self) -> None:
        params = ql.QuantParams(1.0, 0, "int8")
        codes = keep_sums([[200.0, 127.4, 0.4], [-128.3, -128.3, 7.0]], params)
        np.testing.assert_array_equal(codes, [[127, 127, 1], [-128, -128, 7]])

    def test_nothing(self) -> None:
        params = ql.QuantParams(1.0, 0, "int8")
        assert keep_sums(np.zeros((0, 3)), params).shape == (0, 3)
        assert keep_sums(np.zeros((3, 0)), params).shape == (3, 0)


class TestGptq:
    @staticmethod
    def one_after_the_other(
        w: np.ndarray, x: np.ndarray, params: ql.QuantParams, damping: float, order: list[int]
    ) -> np.ndarray:
        """By the definition: after each input, the least squares of all that are left."""
        gram = x.T @ x
        gram += damping * np.diag(gram).mean() * np.eye(len(gram))
        scale, zero = (part.astype(float).reshape(-1) for part in (params.scale, params.zero_point))
        left, codes = w.copy(), np.zeros(w.shape)
        for place, column in enumerate(order):
            rest = order[place + 1 :]
            code = np.clip(
                np.rint(left[:, column] / scale) + zero, params.qtype.qmin, params.qtype.qmax
            )
            error = (code - zero) * scale - left[:, column]
            codes[:, column] = code
            if rest:  # the changes of the others that make up best for a change of this one
                answer = np.linalg.solve(gram[np.ix_(rest, rest)], gram[np.ix_(rest, [column])])
                left[:, rest] -= np.outer(error, answer)
        return codes

    @pytest.mark.parametrize("largest_first", [False, True])
    @pytest.mark.parametrize(("inputs", "damping"), [(1, 0.01), (7, 0.01), (40, 0.5), (150, 0.01)])
    def test_definition(self, inputs: int, damping: float, largest_first: bool) -> None:
        """Also beyond the 128 inputs whose errors are handed on together."""
        rng = np.random.default_rng(inputs)
        x = rng.standard_normal((400, inputs)) * rng.uniform(0.5, 2, inputs) + 1
        w = rng.standard_normal((6, inputs))
        params = ql.calibrate(w, "minmax", "int3", axis=0)
        order = list(np.argsort(-(x**2).sum(axis=0))) if largest_first else list(range(inputs))
        wanted = self.one_after_the_other(w, x, params, damping, order)
        found = gptq(w, x, params, damping=damping, largest_first=largest_first)
        worse = TestAdaRound.error(found, w, x, params) < TestAdaRound.error(
            wanted.astype(found.dtype), w, x, params
        )
        np.testing.assert_array_equal(found[~worse], wanted[~worse])
        assert worse.sum() <= (6 if inputs == 1 else 1)  # rows that keep the nearest codes

    @settings(max_examples=25, deadline=None)
    @given(
        st.integers(0, 10_000), st.sampled_from(["int2", "int4", "uint4", "int8"]), st.booleans()
    )
    def test_never_worse_than_the_nearest(self, seed: int, qtype: str, channels: bool) -> None:
        rng = np.random.default_rng(seed)
        w, x = rng.standard_normal((4, 6)), rng.standard_normal((30, 6)) + rng.standard_normal(6)
        params = ql.calibrate(w, "mse", qtype, axis=0 if channels else None)
        adapted = gptq(w, x, params)
        assert adapted.dtype == params.qtype.dtype
        assert params.qtype.qmin <= adapted.min()
        assert adapted.max() <= params.qtype.qmax
        nearest = TestAdaRound.error(ql.quantize(w, params), w, x, params)
        assert np.all(TestAdaRound.error(adapted, w, x, params) <= nearest * (1 + 1e-6) + 1e-12)

    def test_a_layer_gets_better(self) -> None:
        rng = np.random.default_rng(0)
        x, w = rng.uniform(0, 1, (1000, 64)), rng.standard_normal((32, 64))
        params = ql.calibrate(w, "minmax", "int4", symmetric=True, axis=0)
        nearest, adapted = ql.quantize(w, params), gptq(w, x, params)
        before, after = (
            TestAdaRound.error(codes, w, x, params).mean() for codes in (nearest, adapted)
        )
        assert after < 0.35 * before

    def test_degenerate(self) -> None:
        w, x = np.array([[0.3, -0.7]]), np.zeros((3, 2))
        params = ql.QuantParams(0.5, 0, "int8")
        assert gptq(w, x, params).tolist() == ql.quantize(w, params).tolist()
        assert gptq(np.zeros((0, 2)), x, params).shape == (0, 2)
        assert gptq(np.zeros((2, 0)), np.zeros((3, 0)), params).shape == (2, 0)
        assert gptq(w * 1e6, x + 1, params).tolist() == [[127, -128]]
        only_one = np.array([[1.0, 0], [2, 0], [3, 0]])  # an input that is always 0
        assert gptq(w, only_one, params).tolist() == ql.quantize(w, params).tolist()


W, X, P = np.ones((2, 3)), np.ones((4, 3)), ql.QuantParams(0.5, 0, "int8")
PER_ROW, PER_COLUMN = (ql.QuantParams([1.0] * 3, 0, "int8", axis=axis) for axis in (0, 1))
BAD: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    (sqnr, ([1.0], [1.0, 2.0]), {}, ValueError, "approximation has shape"),
    (sqnr, ([np.nan], [1.0]), {}, ValueError, "x must be finite"),
    (relative_error, ([1.0], ["a"]), {}, TypeError, "approximation must be"),
    (cosine_similarity, ([1.0], [1.0]), {"axis": 1}, ValueError, "axis is 1"),
    (weight_correction, (W, W[:1]), {}, ValueError, "dequantized has shape"),
    (weight_correction, (W, W), {"form": "x"}, ValueError, "form is 'x'"),
    (weight_correction, (W[:, :0], W[:, :0]), {}, ValueError, "holds no value"),
    (bias_correction, (W, X), {}, ValueError, "y_quantized has shape"),
    (bias_correction, (W[:0], W[:0]), {}, ValueError, "holds no value"),
    (correct_bias, (None, [[1.0]], 1.0), {}, ValueError, "correction has shape"),
    (correct_bias, (None, [np.inf], 1.0), {}, ValueError, "correction must be finite"),
    (correct_bias, (None, [1.0], 0.0), {}, ValueError, "scale must be finite and greater"),
    (correct_bias, (None, [1.0], [1.0, 1.0]), {}, ValueError, "scale has shape"),
    (correct_bias, (np.zeros(1), [1.0], 1.0), {}, TypeError, "bias must be int32"),
    (correct_bias, (np.zeros(2, np.int32), [1.0], 1.0), {}, ValueError, "bias has shape"),
    (equalization_scales, ([1.0],), {}, ValueError, "takes two"),
    (equalization_scales, ([1.0], [1.0, 2.0]), {}, ValueError, "ranges have shapes"),
    (equalization_scales, ([1.0], [-1.0]), {}, ValueError, "0 or more"),
    (equalization_scales, ([[1.0]], [[1.0]]), {}, ValueError, "1-D"),
    (cross_layer_equalization, ([W],), {}, ValueError, "takes two"),
    (cross_layer_equalization, ([W, W],), {}, ValueError, "layer 1 have shape"),
    (cross_layer_equalization, ([W, W, W.T],), {}, ValueError, "layer 1 have shape"),
    (cross_layer_equalization, ([W, np.ones(2)],), {}, ValueError, "2-D"),
    (cross_layer_equalization, ([W, np.ones((5, 2))], [None]), {}, ValueError, "biases holds 1"),
    (
        cross_layer_equalization,
        ([W, np.ones((5, 2))], [np.ones(3), None]),
        {},
        ValueError,
        "biases of layer 0",
    ),
    (smooth_quant_scales, ([1.0], [1.0, 2.0]), {}, ValueError, "w_range has shape"),
    (smooth_quant_scales, ([1.0], [1.0]), {"alpha": 1.5}, ValueError, "alpha is 1.5"),
    (smooth_quant_scales, ([1.0], [1.0]), {"alpha": "a"}, TypeError, "alpha must be a number"),
    (smooth_quant_scales, ([1.0], [1.0]), {"lowest": 0}, ValueError, "lowest is 0"),
    (smooth_quant_scales, ([1.0], [1.0]), {"highest": 1e-9}, ValueError, "highest is 1e-09"),
    (adaround, (W[0], X, P), {}, ValueError, "w has shape"),
    (adaround, (W, X[:, :2], P), {}, ValueError, "x has shape"),
    (adaround, (W, X[:0], P), {}, ValueError, "x has shape"),
    (adaround, (W, X, 0.5), {}, TypeError, "params must be QuantParams"),
    (adaround, (W, X, PER_COLUMN), {}, ValueError, "axis 0"),
    (adaround, (W, X, PER_ROW), {}, ValueError, "3 scales"),
    (adaround, (W, X, P), {"steps": -1}, ValueError, "steps is -1"),
    (adaround, (W, X, P), {"steps": 1.0}, TypeError, "steps must be an integer"),
    (adaround, (W, X, P), {"regularization": -1}, ValueError, "regularization is -1"),
    (keep_sums, (W, 0.5), {}, TypeError, "params must be a QuantParams"),
    (keep_sums, (W, PER_COLUMN), {}, ValueError, "params have axis 1"),
    (keep_sums, (W, P), {"axis": 2}, ValueError, "axis is 2"),
    (keep_sums, ([[np.nan]], P), {}, ValueError, "w must be finite"),
    (gptq, (W[0], X, P), {}, ValueError, "w has shape"),
    (gptq, (W, X[:, :2], P), {}, ValueError, "x has shape"),
    (gptq, (W, X, 0.5), {}, TypeError, "params must be QuantParams"),
    (gptq, (W, X, PER_COLUMN), {}, ValueError, "axis 0"),
    (gptq, (W, X, P), {"damping": 0}, ValueError, "damping is 0"),
    (gptq, (W, X, P), {"largest_first": 1}, TypeError, "largest_first must be a bool"),
]


@pytest.mark.parametrize(("function", "arguments", "keywords", "error", "message"), BAD)
def test_errors(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        function(*arguments, **keywords)


def test_every_function_is_refused_something() -> None:
    assert {case[0].__name__ for case in BAD} == {*ql.correction.__all__}
