"""`calibrate`: every method, type and layout, and every way to get it wrong."""

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantlib.calibration import METHODS, SEARCHES, VARIANTS, calibrate, find_range, histogram_of
from quantlib.params import QType, QuantParams

CALLS = [*((m, "quantlib") for m in METHODS), ("kl", "tensorrt"), ("kl", "mindspore_lite")]
ARRAYS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=6),
    elements=st.floats(-100, 100, width=32),
)


def gaussian(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize(("method", "variant"), CALLS)
@pytest.mark.parametrize("symmetric", [False, True])
def test_gaussian_has_a_sensible_range(method: str, variant: str, symmetric: bool) -> None:
    x = gaussian(20_000)
    p = calibrate(x, method, "int8", symmetric, variant=variant)
    low = float(p.scale) * (-128 - int(p.zero_point))
    high = float(p.scale) * (127 - int(p.zero_point))
    assert -np.abs(x).max() * 1.02 <= low < -2.5
    assert 2.5 < high <= np.abs(x).max() * 1.02
    assert p.symmetric == symmetric or not symmetric


@settings(max_examples=30, deadline=None)
@given(ARRAYS, st.sampled_from(CALLS), st.booleans(), st.integers(-60, 60))
def test_power_of_two_scaling_is_exact(
    x: np.ndarray, call: tuple[str, str], symmetric: bool, k: int
) -> None:
    x = np.where(np.abs(x) < 1e-6, 0, x).astype(np.float64)
    method, variant = call
    p = calibrate(x, method, "int8", symmetric, variant=variant)
    scaled = calibrate(np.ldexp(x, k), method, "int8", symmetric, variant=variant)
    assert scaled.scale == (np.ldexp(p.scale, k) if x.any() else 1)
    assert scaled.zero_point == p.zero_point


@settings(max_examples=40, deadline=None)
@given(ARRAYS, st.sampled_from(SEARCHES), st.booleans(), st.data())
def test_batches_and_order_do_not_show(
    x: np.ndarray, method: str, symmetric: bool, data: st.DataObject
) -> None:
    whole = calibrate(x, method, "uint8", symmetric)
    flat = x.ravel()[data.draw(st.permutations(range(x.size)))]
    parts = np.split(flat, sorted(data.draw(st.lists(st.integers(0, x.size), max_size=3))))
    assert calibrate(parts, method, "uint8", symmetric) == whole
    assert calibrate(iter(parts), method, "uint8", symmetric) == whole
    assert calibrate((part for part in parts), method, "uint8", symmetric) == whole


@pytest.mark.parametrize("method", SEARCHES)
def test_batches_per_channel(method: str) -> None:
    x = gaussian(30, 3, 5) * np.array([[1.0], [10.0], [0.0]])
    batches = [x[:1], x[1:8], x[8:]]
    assert calibrate(batches, method, axis=1) == calibrate(x, method, axis=1)
    assert calibrate(batches, method, axis=-2).axis == -2


@settings(max_examples=30, deadline=None)
@given(ARRAYS, st.sampled_from(CALLS), st.booleans(), st.data())
def test_per_channel_equals_per_slice(
    x: np.ndarray, call: tuple[str, str], symmetric: bool, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    method, variant = call
    p = calibrate(x, method, "int8", symmetric, axis, variant=variant)
    assert (p.axis, p.scale.shape) == (axis, (x.shape[axis],))
    for i, part in enumerate(np.moveaxis(x, axis, 0)):
        alone = calibrate(part, method, "int8", symmetric, variant=variant)
        assert (p.scale[i], p.zero_point[i]) == (alone.scale, alone.zero_point)


@settings(max_examples=40, deadline=None)
@given(ARRAYS, st.sampled_from(CALLS))
def test_the_negative_has_the_same_threshold(x: np.ndarray, call: tuple[str, str]) -> None:
    method, variant = call
    one, other = (calibrate(a, method, symmetric=True, variant=variant) for a in (x, -x))
    assert one == other


@pytest.mark.parametrize("method", SEARCHES)
def test_the_negative_has_the_mirrored_range(method: str) -> None:
    h, mirrored = (histogram_of(sign * np.exp(gaussian(20_000))) for sign in (1, -1))
    low, high = find_range(h, method)
    assert (low, find_range(mirrored, method)[1]) == (0, 0)
    assert find_range(mirrored, method)[0] == pytest.approx(-high, rel=0.05)


@pytest.mark.parametrize("bits", [*range(1, 9), 10, 16])
@pytest.mark.parametrize("kind", ["int", "uint"])
@pytest.mark.parametrize("method", METHODS)
def test_every_width(method: str, kind: str, bits: int) -> None:
    """Codes of every type cover at least the middle of the data, and 16 bits nearly all of it."""
    qtype = QType(f"{kind}{bits}")
    x = gaussian(5_000)
    for symmetric in (False, True):
        if symmetric and bits == 1:
            continue
        p = calibrate(x, method, qtype, symmetric)
        assert p.qtype == qtype
        extent = float(p.scale) * (qtype.qmax - qtype.qmin)
        assert (0.5 if bits < 3 else 2) < extent <= 2.1 * 2**bits / (2**bits - 1) * np.ptp(x)
        if bits == 16:
            assert extent > 6.5


def test_narrow() -> None:
    p = calibrate([-1.0, 1.0], "minmax", "int8", narrow=True)
    assert p == QuantParams.from_range(-1.0, 1.0, "int8", narrow=True)
    assert p.qtype.qmin == -127
    for method in METHODS:
        assert calibrate(gaussian(500), method, QType("int4", narrow=True)).qtype.narrow


@pytest.mark.parametrize(("method", "variant"), CALLS)
@pytest.mark.parametrize("symmetric", [False, True])
class TestDegenerateData:
    """What has no spread, no sign, or hardly any size."""

    def test_zeros(self, method: str, variant: str, symmetric: bool) -> None:
        p = calibrate(np.zeros(9), method, "uint8", symmetric, variant=variant)
        assert (p.scale, p.zero_point) == (1, 128 if symmetric else 0)

    def test_a_zero_channel_among_others(self, method: str, variant: str, symmetric: bool) -> None:
        x = gaussian(2, 500) * [[0.0], [1.0]]
        p = calibrate(x, method, "int8", symmetric, axis=0, variant=variant)
        assert p.scale[0] == 1
        assert 0.01 < p.scale[1] < 0.05

    @pytest.mark.parametrize("value", [5.0, -5.0, 1e-30, -1e30, 2.0**-126, 3e-39])
    def test_constants(self, method: str, variant: str, symmetric: bool, value: float) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            p = calibrate(np.full(100, value), method, "int8", symmetric, variant=variant)
        assert 0 < p.scale < np.inf
        if method not in SEARCHES:
            return
        h = histogram_of(np.full(100, value))
        low, high = find_range(h, method, "int8", symmetric, variant=variant)
        extent = max(-low, high)
        if variant == "mindspore_lite":  # the last bin has no part in that search
            assert extent <= abs(value)
            return
        assert 0.9 * abs(value) <= extent <= 1.1 * abs(value)
        if not symmetric:
            assert low == 0 or high == 0

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_float_types(
        self, method: str, variant: str, symmetric: bool, dtype: type[np.floating]
    ) -> None:
        x = gaussian(3000).astype(dtype)
        p = calibrate(x, method, "int8", symmetric, variant=variant)
        assert p.scale.dtype == np.float32
        assert p == calibrate(x.astype(np.float64), method, "int8", symmetric, variant=variant)

    @pytest.mark.parametrize("magnitude", [5e-324, 1e-310, 1e-45, 1e-30, 1e30, 3e38])
    def test_all_sizes(self, method: str, variant: str, symmetric: bool, magnitude: float) -> None:
        x = np.array([-0.25, 0.5, 1.0]) * magnitude
        p = calibrate(x, method, "int8", symmetric, variant=variant)
        assert 2.0**-126 <= p.scale <= magnitude / 50 or p.scale == np.float32(2.0**-126)


def test_too_wide_for_a_scale() -> None:
    with pytest.raises(ValueError, match="too wide"):
        calibrate([-1e300, 1e300], "mse")


@pytest.mark.parametrize("method", METHODS)
def test_nonfinite(method: str) -> None:
    x = gaussian(2, 1000)
    dirty = np.concatenate([x, [[np.nan] * 3, [np.inf, -np.inf, np.nan]]], axis=1)
    for axis in (None, 0):
        with pytest.raises(ValueError, match=r"x holds (nan|inf)"):
            calibrate(dirty, method, axis=axis)
        ignored = calibrate(dirty, method, axis=axis, nonfinite="ignore")
        assert ignored == calibrate(x, method, axis=axis)
    with pytest.raises(ValueError, match="no finite values"):
        calibrate([np.nan], method, nonfinite="ignore")
    with pytest.raises(ValueError, match="channel 1 of x"):
        calibrate([[1.0], [np.nan]], method, axis=0, nonfinite="ignore")


def test_percentile_is_passed_on() -> None:
    x = np.arange(1, 1001.0)
    assert float(calibrate(x, "percentile", "uint8", percentile=50).scale) * 255 < 502
    assert calibrate(x, "percentile", percentile=100) == calibrate(x, "minmax")


def test_what_counts_as_an_array() -> None:
    expected = calibrate(np.array([1.0, 2.0, 4.0]), "minmax")
    assert calibrate([1.0, 2.0, 4.0], "minmax") == expected
    assert calibrate((1, 2, 4), "minmax") == expected
    assert calibrate([[1.0], [2.0], [4.0]], "minmax") == expected
    assert calibrate([np.float32(1), np.float32(2), np.float32(4)], "minmax") == expected
    assert calibrate([np.array([1.0, 2.0]), np.array([4])], "minmax") == expected
    assert calibrate({1, 2, 4}, "minmax") == expected
    assert calibrate(iter([[1.0, 2.0], [4.0]]), "minmax") == expected
    assert calibrate(4.0, "minmax") == expected
    assert calibrate(memoryview(np.array([1.0, 2.0, 4.0])), "minmax") == expected


def test_dlpack_only() -> None:
    class Exporter:
        def __init__(self, array: np.ndarray) -> None:
            self._array = array

        def __dlpack__(self, **keywords: object) -> object:
            return self._array.__dlpack__(**keywords)

        def __dlpack_device__(self) -> object:
            return self._array.__dlpack_device__()

    x = gaussian(100)
    assert calibrate(Exporter(x), "minmax") == calibrate(x, "minmax")
    assert calibrate([Exporter(x[:7]), x[7:]], "minmax") == calibrate(x, "minmax")


def test_input_is_not_changed() -> None:
    x = gaussian(100)
    copy = x.copy()
    x.setflags(write=False)
    for method in METHODS:
        calibrate(x, method)
    assert np.array_equal(x, copy)


def no_batches() -> Iterator[np.ndarray]:
    yield from ()


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "method is 'best'; it may be 'minmax', 'percentile'", {"method": "best"}),
        (TypeError, "method must be a string, not int", {"method": 3}),
        (ValueError, "qtype is 'int33'", {"qtype": "int33"}),
        (ValueError, "variant is 'x'; it may be 'quantlib'", {"variant": "x"}),
        (ValueError, "only method 'kl' has", {"method": "mse", "variant": "tensorrt"}),
        (TypeError, "symmetric must be a bool", {"symmetric": 1}),
        (ValueError, "symmetric needs 2 bits", {"symmetric": True, "qtype": "int1"}),
        (TypeError, "percentile must be a number", {"percentile": "99"}),
        (ValueError, "side is 'left'; it may be 'both'", {"side": "left"}),
        (ValueError, "power is 0; it must be above 0 and up to 16", {"power": 0}),
        (ValueError, "power is 17;", {"power": 17}),
        (TypeError, "power must be a number", {"power": True}),
        (ValueError, "averaging_constant is 0;", {"averaging_constant": 0}),
        (ValueError, "averaging_constant is 1.5;", {"averaging_constant": 1.5}),
        (TypeError, "executor must be a concurrent.futures.Executor", {"executor": 2}),
        (TypeError, "progress must be a bool or callable", {"progress": 1}),
        (ValueError, "percentile is 0;", {"percentile": 0}),
        (ValueError, "percentile is 100.5;", {"percentile": 100.5}),
        (ValueError, "percentile is nan;", {"percentile": float("nan")}),
        (ValueError, "nonfinite is 'drop'; it may be", {"nonfinite": "drop"}),
        (TypeError, "axis must be an integer", {"axis": 1.0}),
        (ValueError, "axis is 1; data of 1 dimensions", {"axis": 1}),
        (ValueError, "axis is -2; data of 1 dimensions", {"axis": -2}),
        (ValueError, "x holds no values", {"x": []}),
        (ValueError, "x holds no values", {"x": np.zeros((0, 3)), "axis": 0}),
        (ValueError, "channel 0 of x holds no values", {"x": np.zeros((3, 0)), "axis": 0}),
        (ValueError, "x holds no values", {"x": no_batches()}),
        (ValueError, "different lengths", {"x": [[1.0], [1.0, 2.0]]}),
        (ValueError, "batches", {"x": [np.ones((2, 3)), np.ones((2, 4))], "axis": 1}),
        (ValueError, "batches", {"x": [np.ones((2, 3)), np.ones((2, 3, 1))], "axis": 1}),
        (TypeError, "x must be an array", {"x": "data"}),
        (TypeError, "x must be an array", {"x": {"a": np.ones(3)}}),
        (TypeError, "not bool", {"x": np.array([True])}),
        (TypeError, "not complex128", {"x": np.array([1j])}),
        (TypeError, "not object", {"x": None}),
    ],
)
def test_errors(error: type[Exception], message: str, arguments: dict[str, object]) -> None:
    with pytest.raises(error, match=message):
        calibrate(**{"x": np.ones(3), **arguments})


def test_an_empty_histogram_has_no_range() -> None:
    with pytest.raises(ValueError, match="histogram holds no values"):
        find_range(histogram_of(np.zeros(0)))


def test_variants_search_alike() -> None:
    """Three recipes for one idea differ on a Laplacian, but not by much."""
    x = np.random.default_rng(0).laplace(size=100_000)
    scales = {v: float(calibrate(x, "kl", symmetric=True, variant=v).scale) for v in VARIANTS}
    assert max(scales.values()) < 1.5 * min(scales.values())
    assert len(set(scales.values())) == 3
