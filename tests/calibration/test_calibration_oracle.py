"""Each search against all thresholds, in its own measure, on twelve kinds of data; and a table with
the answers of ONNX Runtime and torch beside it (``pytest -rP`` shows it)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy.special import erf

import quantlib as ql
from quantlib.calibration import Histogram, find_range, histogram_of
from quantlib.calibration.divergence import DIVERGENCES, divergence
from quantlib.calibration.methods import SEARCHES

BOUND = 1.05
SIZE = 20_000
LEVELS = 255


@cache
def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    gaussian = rng.standard_normal(SIZE)
    kinds = {
        "gaussian": gaussian,
        "laplace": rng.laplace(size=SIZE),
        "relu": np.maximum(gaussian, 0),
        "gelu": gaussian * (1 + erf(gaussian / 2**0.5)) / 2,
        "student-t": rng.standard_t(3, SIZE),
        "uniform": rng.uniform(-1, 1, SIZE),
        "constant": np.full(SIZE, 0.1),
        "all-zero": np.zeros(SIZE),
        "one outlier": np.append(gaussian, 100.0),
        "one huge outlier": np.append(gaussian, 1e6),
        "tiny range": gaussian * 1e-30,
        "far mixture": np.append(rng.normal(1000, 1, SIZE // 2), rng.normal(1010, 1, SIZE // 2)),
        "integers": rng.integers(-100, 101, SIZE).astype(np.float64),
        "many integers": rng.integers(-30, 3001, SIZE).astype(np.float64),
    }
    return {name: values.astype(np.float32) for name, values in kinds.items()}


KINDS = list(data())


@cache
def histogram(kind: str) -> Histogram:
    return histogram_of(data()[kind])


def squared_error(x: np.ndarray, params: ql.QuantParams, power: float = 2) -> float:
    """Of the codes themselves, on the values themselves, in float64."""
    scale, zero = float(params.scale), int(params.zero_point)
    codes = np.clip(np.rint(x / scale) + zero, params.qtype.qmin, params.qtype.qmax)
    return float(np.mean(np.abs((codes - zero) * scale - x) ** power))


def all_ranges(x: np.ndarray, symmetric: bool, count: int) -> list[tuple[float, float]]:
    """Thresholds from the largest value down to a hundredth, or pairs of ends."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    if symmetric:
        thresholds = max(-low, high) * np.linspace(1, 0.01, count)
        return [(-t, t) for t in thresholds.tolist()]
    if low == 0 or high == 0:
        return [(low * f, high * f) for f in np.linspace(1, 0.01, count).tolist()]
    side = int(count**0.5)
    shrink = np.append(np.linspace(1, 0.52, side - side // 3), np.geomspace(0.5, 0.01, side // 3))
    return [(low * a, high * b) for a in shrink.tolist() for b in shrink.tolist()]


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_least_squared_error(kind: str, symmetric: bool) -> None:
    x = data()[kind].astype(np.float64)
    found = squared_error(x, ql.calibrate(x, "mse", "int8", symmetric))
    least = min(
        squared_error(x, ql.QuantParams.from_range(*ends, "int8", symmetric))
        for ends in all_ranges(x, symmetric, 500)
    )
    rounding_of_scales = (1e-7 * np.abs(x).max()) ** 2
    assert found <= BOUND * least + rounding_of_scales


@pytest.mark.parametrize("power", [1.0, 3.0])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "one huge outlier"])
def test_least_error_to_a_power(kind: str, power: float) -> None:
    """But for what `quantization_error` says of far outliers at powers below 2."""
    x = data()[kind].astype(np.float64)
    found = squared_error(x, ql.calibrate(x, "lp", "int8", True, power=power), power)
    least = min(
        squared_error(x, ql.QuantParams.from_range(*ends, "int8", True), power)
        for ends in all_ranges(x, True, 300)
    )
    assert found <= BOUND * least + (1e-7 * np.abs(x).max()) ** power


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "all-zero"])
def test_least_divergence(kind: str, name: str, symmetric: bool) -> None:
    h = histogram(kind)
    low, high = find_range(h, name, "int8", symmetric)
    x, levels = data()[kind], LEVELS
    if symmetric:
        h, low, levels, x = h.magnitudes(), 0.0, LEVELS // 2, np.abs(x)
    ranges = all_ranges(x, False, 400 if name == "js" else 900)
    least = min(divergence(h, *ends, levels, name) for ends in ranges)
    assert divergence(h, low, high, levels, name) <= BOUND * least + 1e-12


# ---- what others answer -------------------------------------------------------------------------


def of_onnxruntime(method: str, bins: int) -> Callable[[np.ndarray], tuple[float, float]]:
    def answer(x: np.ndarray) -> tuple[float, float]:
        calibrate = pytest.importorskip("onnxruntime.quantization.calibrate")
        collector = calibrate.HistogramCollector(method, True, bins, 128, 99.999, "same")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            collector.collect({"x": [x]})
            low, high = collector.compute_collection_result()["x"][:2]
        return float(low), float(high)

    return answer


def of_torch(x: np.ndarray) -> tuple[float, float]:
    import torch
    from torch.ao.quantization import HistogramObserver

    torch.set_num_threads(1)  # a team of threads waits for each, many times
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        observer = HistogramObserver(
            dtype=torch.qint8, qscheme=torch.per_tensor_symmetric, quant_min=-127, quant_max=127
        )
        observer(torch.from_numpy(x))
        scale, _ = observer.calculate_qparams()
    return -127 * float(scale), 127 * float(scale)


def of_all_thresholds(x: np.ndarray) -> tuple[float, float]:
    """The one of least squared error among many."""
    ranges = all_ranges(x.astype(np.float64), True, 500)

    def error(ends: tuple[float, float]) -> float:
        return squared_error(x, ql.QuantParams.from_range(*ends, "int8", True))

    return min(ranges, key=error) if np.any(x) else (0.0, 0.0)


def peers() -> dict[str, Callable[[np.ndarray], tuple[float, float]]]:
    answers = {
        "all thresholds": of_all_thresholds,
        "ORT entropy": of_onnxruntime("entropy", 128),
        "ORT entropy 2048": of_onnxruntime("entropy", 2048),
        "ORT percentile": of_onnxruntime("percentile", 2048),
    }
    try:
        import torch  # noqa: F401
    except ImportError:
        return answers
    return {**answers, "torch histogram": of_torch}


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Thresholds and squared errors, symmetric int8: no peer is better than "mse" by 5 percent."""
    lines = []
    for kind, x in data().items():
        found = {}
        for method in SEARCHES:
            found[method] = ql.calibrate(x, method, "int8", True)
        for name, answer in peers().items():
            try:
                low, high = answer(x)
                found[name] = ql.QuantParams.from_range(low, high, "int8", True)
            except Exception as error:
                lines.append(f"{kind:17} {name:17} {type(error).__name__}")
        errors = {name: squared_error(x.astype(np.float64), p) for name, p in found.items()}
        for name, params in found.items():
            ratio = errors[name] / errors["mse"] if errors["mse"] else np.nan
            threshold = 127 * float(params.scale)
            lines.append(f"{kind:17} {name:17} T = {threshold:<11.5g} {ratio:8.3g}")
            assert errors["mse"] <= BOUND * errors[name] + (1e-7 * np.abs(x).max()) ** 2, name
    capsys.readouterr()  # what the peers print
    print(
        "\n".join(
            ["data              method            threshold      error / that of mse", *lines]
        )
    )
