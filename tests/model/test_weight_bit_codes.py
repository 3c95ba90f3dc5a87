"""The codes of weights of 1 to 16 bits and of mixed bits: parameters, steps, searches."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

onnx = pytest.importorskip("onnx", reason="models need onnx")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the witness")


from quantlib.encoding import encode  # noqa: E402
from quantlib.model import ModelError  # noqa: E402
from quantlib.model.quantization.fixed_bits import fixed_bit_weights, is_worth_it  # noqa: E402
from quantlib.model.quantization.mixed_bits import (  # noqa: E402
    Moments,
    closed_form_step,
    mixed_bit_weights,
    search_step,
)
from quantlib.model.quantization.rounding import (  # noqa: E402
    lite_codes,
    lite_params,
    round_away,
)
from quantlib.model.quantization.tune import find_scale  # noqa: E402

ort.set_default_logger_severity(4)

# --- parameters and codes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lo", "hi", "bits", "scale", "zero", "codes"),
    [
        (-1.0, 2.0, 8, 3 / 255, -43, {-1.0: -128, 0.0: -43, 2.0: 127}),
        (-1.0, 2.0, 4, 0.2, -3, {-1.0: -8, 0.0: -3, 2.0: 7}),
        (0.5, 3.0, 8, 3 / 255, -128, {0.0: -128, 3.0: 127}),
        (-2.0, -1.0, 8, 2 / 255, 127, {0.0: 127, -2.0: -128}),
        (-1.0, 1.0, 1, 2.0, 0, {-1.0: -1, 0.9: 0, 0.0: 0, 1.0: 0}),
    ],
)
def test_parameters_of_the_specification(
    lo: float, hi: float, bits: int, scale: float, zero: int, codes: dict[float, int]
) -> None:
    found, point = lite_params(lo, hi, bits)
    assert float(found) == pytest.approx(scale, rel=1e-15)
    assert int(point) == zero
    reals = np.array(list(codes))
    assert lite_codes(reals, found, point, bits).tolist() == list(codes.values())


def test_symmetric_parameters() -> None:
    scale, zero = lite_params(-1.0, 2.0, 8, symmetric=True, narrow=True)
    assert (float(scale), int(zero)) == (pytest.approx(2 / 127), 0)
    assert float(lite_params(-1.0, 2.0, 8, symmetric=True)[0]) == pytest.approx(4 / 255)


@given(st.floats(-1e6, 1e6))
def test_ties_round_away_from_zero(x: float) -> None:
    exact = Decimal(x).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    assert float(round_away(x)) == float(exact)


@given(
    st.integers(1, 16), st.floats(-1e3, 1e3), st.floats(0, 1e3),
    hnp.arrays(np.float64, 20, elements=st.floats(-2e3, 2e3)),
)  # fmt: skip
def test_codes_against_exact_fractions(bits: int, lo: float, span: float, x: np.ndarray) -> None:
    """Scales and zero points by fractions; a code may differ only where float64 meets a tie."""
    low, high = min(Fraction(lo), 0), max(Fraction(max(lo + span, lo + 1e-10)), 0)
    levels, limit = (1 << bits) - 1, 1 << (bits - 1)

    def away(q: Fraction) -> int:
        return int(abs(q) + Fraction(1, 2)) * (1 if q >= 0 else -1)

    step = (high - low) / levels
    below = away(-low / step)
    zero = away(-limit + below * Fraction(1))
    scale, point = lite_params(lo, lo + span, bits)
    assert float(scale) == pytest.approx(float(step), rel=1e-12)
    near_tie = abs((-low / step) % 1 - Fraction(1, 2)) < Fraction(1, 10**6)
    assert int(point) == zero or near_tie
    for real, code in zip(x.tolist(), lite_codes(x, scale, point, bits).tolist(), strict=True):
        place = Fraction(real) / Fraction(float(scale)) + int(point)
        expected = min(max(away(place), -limit), limit - 1)
        assert code == expected or abs(place % 1 - Fraction(1, 2)) < Fraction(1, 10**6)


@pytest.mark.parametrize("bits", range(1, 17))
def test_fixed_bits_of_a_channel(bits: int) -> None:
    """All codes are used, the error is that of a step at most, and mean and deviation stay."""
    rng = np.random.default_rng(bits)
    data = (rng.standard_normal((3, 500)) * [[1], [5], [0.1]] + 0.3).astype(np.float32)
    found = fixed_bit_weights(data, bits, 0, correct=False)
    assert (found.codes.min(), found.codes.max()) == (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    assert np.all(np.abs(found.reals() - data) <= 0.5001 * found.scale[:, None] + 1e-6) or bits == 1
    corrected = fixed_bit_weights(data, bits, 0, correct=True)
    np.testing.assert_array_equal(corrected.codes, found.codes)
    reals = corrected.reals().astype(np.float64)
    np.testing.assert_allclose(reals.mean(1), data.mean(1, dtype=np.float64), atol=1e-5)
    np.testing.assert_allclose(reals.std(1), data.std(1, dtype=np.float64), rtol=1e-4)
    by_hand = (found.codes - found.zero_point[:, None].astype(int)) * corrected.scale[:, None]
    np.testing.assert_allclose(reals, by_hand + corrected.offset[:, None], rtol=1e-5, atol=1e-6)


def test_fixed_bits_of_a_layer() -> None:
    data = np.array([[-1, 0, 1], [2, 0.5, 0]], np.float32)
    found = fixed_bit_weights(data, 8, None, correct=True)
    assert (found.scale.shape, float(found.offset)) == ((), 0)
    assert found.codes.tolist() == [[-128, -43, 42], [127, -1, -43]]  # 0.5 is a tie
    assert float(found.scale) == pytest.approx(3 / 255)


def test_constant_channels() -> None:
    data = np.array([[0, 0, 0], [2, 2, 2], [-3, -3, -3]], np.float32)
    np.testing.assert_allclose(fixed_bit_weights(data, 8, 0, correct=True).reals(), data, atol=1e-6)


@pytest.mark.parametrize(("bits", "least"), [(1, 8), (4, 9), (8, 10), (12, 12), (16, 16)])
def test_what_is_worth_it(bits: int, least: int) -> None:
    assert not is_worth_it(3 * least, 3, bits)
    assert is_worth_it(3 * least + 1, 3, bits)


# --- mixed bits ---------------------------------------------------------------------------------


def error_of(data: np.ndarray, step: float) -> float:
    """The relative error of codes of this step, corrected: by its definition."""
    w = data.astype(np.float64)
    q = step * np.floor(w / step + 0.5)
    v = w.std() / q.std() if min(w.std(), q.std()) > 2.2e-16 else 1.0
    v = v if 0 < v < 10 else 1.0
    return float(np.sqrt(np.sum((w - v * q - (w.mean() - v * q.mean())) ** 2) / np.sum(w**2)))


@pytest.mark.parametrize("target", [0.001, 0.005, 0.02, 0.1, 0.3, 0.5])
def test_the_search_meets_the_error(target: float) -> None:
    rng = np.random.default_rng(1)
    for data in (rng.standard_normal(70_000), rng.laplace(size=(30, 40)) + 0.5,
                 rng.uniform(-1, 3, (20, 3, 3)), rng.standard_normal(500) * 1e-3):  # fmt: skip
        data = data.astype(np.float32)
        step = search_step(data, target)
        assert step is not None
        assert error_of(data, step) == pytest.approx(target, rel=0.0101)
        found = mixed_bit_weights(data, step)
        np.testing.assert_array_equal(
            found.codes, np.floor(data.astype(np.float64) / np.float32(step) + 0.5)
        )
        error = np.linalg.norm(found.reals() - data) / np.linalg.norm(data)
        assert error == pytest.approx(target, rel=0.02)


def test_the_error_from_sums_is_the_error() -> None:
    data = np.random.default_rng(0).standard_normal(100_000).astype(np.float32) + 0.1
    for step in (1e-3, 0.1, 1.0, 4.0):
        factor, offset, error = Moments.of(data).with_step(data, step)
        assert error == pytest.approx(error_of(data, step), rel=1e-6)
        reals = factor * step * np.floor(data.astype(np.float64) / step + 0.5) + offset
        assert reals.mean() == pytest.approx(data.mean(dtype=np.float64), abs=1e-9)
        assert reals.std() == pytest.approx(data.std(dtype=np.float64), rel=1e-9)


def test_steps_of_unusual_weights() -> None:
    assert search_step(np.full((3, 3), 0.25, np.float32), 0.02) == pytest.approx(0.25 + 1e-5)
    assert search_step(np.zeros((3, 3), np.float32), 0.02) == pytest.approx(1e-5)
    two = np.array([[-1.0, 1.0]], np.float32)  # every step that finds both has no error at all
    step = search_step(two, 0.02)
    assert step is None or error_of(two, step) < 0.02
    # 1e-6 would take more than 16 bits: the finest step that 16 bits allow.
    data = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    step = search_step(data, 1e-6)
    assert step is None or np.abs(data).max() / step <= 32767.5


def test_the_closed_form() -> None:
    data = np.array([[3.0, 4.0]], np.float32)
    assert closed_form_step(data, 0.5) == pytest.approx((0.5 + 0.01 * 12**0.5) * 5)
    assert closed_form_step(np.zeros((2, 2), np.float32), 0.5) > 0


def test_002_is_between_6_and_7_bits() -> None:
    """In error, between 7 and 6 bits; in bytes, no more than 7 bits, and here less than 6."""
    data = np.random.default_rng(0).standard_normal((64, 2000)).astype(np.float32)
    norm = np.linalg.norm(data)
    step = search_step(data, 0.02)
    assert step is not None
    mixed = mixed_bit_weights(data, step)
    error = np.linalg.norm(mixed.reals() - data) / norm
    of_bits = {
        bits: np.linalg.norm(fixed_bit_weights(data, bits, 0, correct=True).reals() - data) / norm
        for bits in (6, 7)
    }
    assert of_bits[7] < error < of_bits[6]
    size = encode(mixed.codes, mixed.bits, encodings=["entropy"]).data.size
    assert 5.5 < 8 * size / data.size < 6.5


# --- tuning -------------------------------------------------------------------------------------


def tried(enough: int, end: int, iterations: int, ratio: float = 9.0) -> tuple[int, list[int]]:
    """The s that is found where all from `enough` on suffice, and those that were tried."""
    asked: list[int] = []

    def similarity(s: int) -> float:
        asked.append(s)
        return 0.9951 if s >= enough else 0.9949

    return find_scale(similarity, end, iterations, lambda: ratio), asked


def test_the_search_in_steps() -> None:
    """10 coarse steps of 300 up to 3000; 901 suffices. From 301 in steps of 30: 691. From 631 in
    steps of 3: 682. From 676 in steps of 1: 680."""
    found, asked = tried(680, 3001, 40)
    assert found == 680
    assert asked[:4] == [1, 301, 601, 901]
    assert asked[4:17] == [331, 361, 391, 421, 451, 481, 511, 541, 571, 631, 661, 691, 634]
    assert asked[-4:] == [682, 677, 678, 680]  # 676 and 679 are known
    assert len(asked) == len(set(asked))


@given(st.integers(1, 30_000), st.sampled_from([40, 100, 400]))
def test_the_search_is_near_the_smallest(enough: int, iterations: int) -> None:
    found, asked = tried(enough, 30_000, iterations)
    assert enough <= found <= enough + 2
    assert len(asked) <= iterations // 4 + 2 + 3 * 21


def test_a_wider_range_and_giving_up() -> None:
    found, asked = tried(70_000, 30_000, 40)
    assert 70_000 <= found < 70_012  # after three fine searches, in steps of 1200, 120 and 12
    assert max(asked) > 30_000
    with pytest.raises(ModelError, match=r"no init_scale leaves .* 0.995; the best was 0.9949"):
        tried(120_001, 30_000, 40)
    # Nothing gained with the strongest compression: the range is widened, and then believed.
    assert tried(1, 30_000, 40, ratio=2.0)[0] == 1
