"""What quantization costs and saves: three small networks on held-out images.

    python examples/quantize_networks.py

The networks are those of ``tests/model/networks``, which ``train_networks.py`` made. They classify
scikit-learn's digits; the last 500 images are held out, 400 others calibrate. Needs the extra
``onnx``, and scikit-learn.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from quantlib import model as models

FOLDER = Path(__file__).parents[1] / "tests" / "model" / "networks"
CONFIGS: dict[str, dict[str, Any]] = {
    "static int8": {},
    "static int8, one scale a tensor": {"per_channel": False},
    "dynamic int8": {"mode": "dynamic"},
    "weights in 8 bits": {"mode": "weight_only"},
    "weights in 4 bits, blocks of 32": {
        "mode": "weight_only", "weight_type": "int4", "block_size": 32,
    },
}  # fmt: skip


def main() -> None:
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[:, None]
    held_out, classes = images[-500:], digits.target[-500:]
    samples = [{"image": images[i : i + 20]} for i in range(0, 400, 20)]
    print("| network | | accuracy | file | 100 images |\n|:--|:--|--:|--:|--:|")
    for name in ("plain", "residual", "separable"):
        model = models.load(FOLDER / f"{name}.onnx")
        show(name, "float32", model, held_out, classes)
        for label, options in CONFIGS.items():
            show("", label, models.quantize(model, samples, **options), held_out, classes)


def show(name: str, label: str, model: models.Model, images: Any, classes: Any) -> None:
    """A row of the table."""
    (scores,) = model.run([images])
    right = np.mean(scores.argmax(1) == classes)
    size = len(model.to_onnx().SerializeToString())
    batch, times = images[:100], []
    for _ in range(30):
        start = time.perf_counter()
        model.run([batch])
        times.append(1e3 * (time.perf_counter() - start))
    print(f"| {name} | {label} | {right:.1%} | {size:,} | {statistics.median(times):.2f} ms |")


if __name__ == "__main__":
    main()
