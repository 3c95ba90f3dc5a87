"""The networks in ``tests/model/networks``, and what others and the held-out digits say of models.

They were trained by ``examples/train_networks.py`` on scikit-learn's digits, of which the last
500 are held out.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

import quantlib as ql

FOLDER = Path(__file__).parents[1] / "model" / "networks"
NETWORKS = ("plain", "residual", "separable")


def accuracy(scores: np.ndarray, digits: Any) -> float:
    """Percent of the held-out images that are recognised."""
    return 100 * float(np.mean(scores.argmax(1) == digits[1][-500:]))


def held_out(digits: Any) -> dict[str, np.ndarray]:
    return {"image": digits[0][-500:]}


def onnxruntime_says(model: ql.model.Model, feeds: dict[str, Any]) -> Any:
    session = ort.InferenceSession(
        model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)[0]


def kinds(model: ql.model.Model) -> Counter[str]:
    """What runs."""
    return Counter(node.kind for node in model.plan().graph.nodes)
