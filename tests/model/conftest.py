"""scikit-learn's digits, on which the networks in ``networks/`` were trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images of shape (1797, 1, 8, 8), 0 to 1, and their classes."""
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn has the images")
    data = datasets.load_digits()
    return (data.images / 16).astype(np.float32)[:, None], data.target


@pytest.fixture(scope="session")
def samples(digits: Any) -> list[dict[str, np.ndarray]]:
    return [{"image": digits[0][i : i + 20]} for i in range(0, 400, 20)]
