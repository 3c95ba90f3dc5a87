"""Samples for the ranges of models: read once, in any order, by any executor."""

from __future__ import annotations

import concurrent.futures
import gc
import pickle
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the witness")


import quantlib as ql  # noqa: E402
from trained_networks import FOLDER  # noqa: E402

ort.set_default_logger_severity(4)


def test_calibration_is_read_once_and_in_constant_memory(digits: Any) -> None:
    """A thousand samples need no more memory than ten."""
    peaks = []
    for count in (10, 1000):
        left = []

        def feeds(count: int = count, left: list[int] = left) -> Iterator[dict[str, Any]]:
            for i in range(count):
                yield {"image": digits[0][i : i + 1]}
            left.append(count)

        gc.collect()
        tracemalloc.start()
        ql.model.quantize(FOLDER / "residual.onnx", feeds())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert left == [count]
    assert peaks[1] < 1.25 * peaks[0]


def test_the_cut_and_order_of_samples_does_not_matter(digits: Any) -> None:
    images = digits[0][:60]
    protos = []
    for batches in (
        [images],
        [images[i : i + 7] for i in range(0, 60, 7)],
        [images[i : i + 1] for i in range(60)][::-1],
    ):
        quantized = ql.model.quantize(FOLDER / "plain.onnx", [[b] for b in batches], method="kl")
        protos.append(quantized)
    # Floats of a batch may be added in another order, which moves a range by a few units in the
    # last place.
    scales = [
        np.array([float(a) for a in q.graph.constants.values() if a.dtype == "f4" and a.ndim == 0])
        for q in protos
    ]
    for other in scales[1:]:
        np.testing.assert_allclose(other, scales[0], rtol=1e-5)


@pytest.mark.parametrize(
    "pool", [concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor]
)
def test_executors_change_nothing(pool: Any, samples: Any) -> None:
    alone = ql.model.quantize(FOLDER / "plain.onnx", samples[:6], bias_correction=True)
    keywords = {}
    if pool is concurrent.futures.ProcessPoolExecutor:
        import multiprocessing

        keywords["mp_context"] = multiprocessing.get_context("spawn")
    with pool(2, **keywords) as executor:
        shared = ql.model.quantize(
            FOLDER / "plain.onnx", samples[:6], bias_correction=True, executor=executor
        )
    assert shared.to_onnx() == alone.to_onnx()


def test_progress(samples: Any) -> None:
    seen: list[Any] = []
    ql.model.quantize(FOLDER / "plain.onnx", samples[:3], progress=lambda *told: seen.append(told))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    ql.model.quantize(
        FOLDER / "plain.onnx", iter(samples[:2]), progress=lambda *told: seen.append(told)
    )
    assert seen[3:] == [(1, None), (2, None)]


def test_models_can_be_pickled(samples: Any) -> None:
    quantized = ql.model.quantize(FOLDER / "plain.onnx", samples[:2])
    again = pickle.loads(pickle.dumps(quantized))
    np.testing.assert_array_equal(again.run(samples[0])[0], quantized.run(samples[0])[0])
