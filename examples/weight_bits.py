"""How many bits weights need: three small networks on held-out images.

    python examples/weight_bits.py

Weights are stored in 1 to 16 bits, or in mixed bits: a step for each layer by the relative error
that is allowed, and entropy coding. The networks are those of ``tests/model/networks``, which
``train_networks.py`` made; they classify scikit-learn's digits, of which the last 500 are held out.
Needs the extra ``onnx``, and scikit-learn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from quantlib import model as models

FOLDER = Path(__file__).parents[1] / "tests" / "model" / "networks"
NETWORKS = ("plain", "residual", "separable")
FIXED = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16)
SCALES = (0.01, 0.02, 0.05, 0.1)


def main() -> None:
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[:, None]
    sample = [{"image": images[:20]}]
    held_out = images[-500:], digits.target[-500:]
    configs: dict[str, dict[str, Any]] = {f"{bits}": {"weight_bits": bits} for bits in FIXED}
    for scale in SCALES:
        configs[f"mixed, {scale}"] = {"weight_bits": 0, "init_scale": scale}
    configs["mixed, tuned"] = {"weight_bits": 0, "auto_tune": True}
    floats = [models.load(FOLDER / f"{name}.onnx") for name in NETWORKS]
    print("| bits |" + "".join(f" {name} | | |" for name in NETWORKS))
    print("|:--|" + 3 * "--:|--:|--:|")
    print(row("float32", floats, held_out))
    for label, options in configs.items():
        quantized = [models.quantize(m, sample, mode="weight_only", **options) for m in floats]
        print(row(label, quantized, held_out))


def row(label: str, networks: list[models.Model], held_out: Any) -> str:
    """Accuracy, bytes of the file, and bits for each weight of each network."""
    cells = []
    for network in networks:
        (scores,) = network.run([held_out[0]])
        right = np.mean(scores.argmax(1) == held_out[1])
        size = len(network.to_onnx().SerializeToString())
        cells.append(f"{right:.1%} | {size:,} | {models.stored_weights(network).bits:.1f}")
    return f"| {label} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
