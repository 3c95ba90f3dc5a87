"""The example of a search among embeddings: its results, and what it says of itself."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "embedding_search.py"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """With small blocks, so that few vectors are several."""
    spec = importlib.util.spec_from_file_location("embedding_search", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "BLOCK", 700)
    return module


def test_the_best_are_found_across_blocks(example: ModuleType) -> None:
    rng = np.random.default_rng(3)
    vectors, queries = example.embeddings(2000, rng), example.embeddings(4, rng)
    parts = [vectors[start : start + 700] for start in range(0, 2000, 700)]
    found = example.search([lambda q, part=part: q @ part.T for part in parts], queries)
    np.testing.assert_array_equal(found, np.argsort(-(queries @ vectors.T), axis=1)[:, :10])


def test_scores_in_int8_are_close(example: ModuleType) -> None:
    rng = np.random.default_rng(4)
    vectors, queries = example.embeddings(500, rng), example.embeddings(5, rng)
    scores = example.prepare(vectors)(queries)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, queries @ vectors.T, atol=0.01)


def test_embeddings_are_clustered_unit_vectors(example: ModuleType) -> None:
    vectors = example.embeddings(3000, np.random.default_rng(5))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    cosines = vectors[:100] @ vectors.T
    nearest = np.sort(cosines, axis=1)[:, -2]  # the nearest is the vector itself
    assert np.median(nearest) > 0.5
    assert abs(np.median(cosines)) < 0.1


@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident size from /proc")
def test_it_says_what_int8_costs_and_saves(
    example: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    example.main(["--vectors", "2500", "--queries", "1", "6"])
    memory, *lines = capsys.readouterr().out.splitlines()
    assert memory.startswith("2,500 vectors: 4 MB in float32, ")
    assert [line.partition(" ")[0] for line in lines] == ["1", "6"]
    for line in lines:
        recall = re.search(r"; ([\d.]+)% of the best 10", line)
        assert recall is not None
        assert float(recall[1]) >= 90
