"""What the tests of products share: types of operands, random codes, scales that fit them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quantlib as ql
from quantlib import reference

BOTH = pytest.mark.parametrize("layer", [ql, reference], ids=["fast", "reference"])
BYTES = [np.uint8, np.int8]
TYPES = pytest.mark.parametrize("b_type", BYTES, ids=["bu8", "bs8"])
LEFT_TYPES = pytest.mark.parametrize("a_type", BYTES, ids=["au8", "as8"])
INT32 = np.iinfo(np.int32)


def random_codes(rng: np.random.Generator, shape: Any, dtype: Any) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape, dtype=dtype)


def assert_mostly_free(y: np.ndarray) -> None:
    """Raise if so much is saturated that the comparison proves little."""
    limits = np.iinfo(y.dtype)
    assert np.mean((y > limits.min) & (y < limits.max)) > 0.9
    assert limits.min + 32 <= np.median(y) <= limits.max - 32


def output_scale(acc: np.ndarray, worth: float) -> np.float32:
    """The ``y_scale`` that puts three standard deviations of `acc` into 120 codes."""
    return np.float32(3 * np.std(acc) * worth / 120)
