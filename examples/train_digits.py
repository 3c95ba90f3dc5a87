"""Train the network of ``quantlib demo``, in plain NumPy, and write ``quantlib/data/digits.npz``.

    python examples/train_digits.py                     # train, report, write the file (1 minute)
    python examples/train_digits.py --check             # train, report, compare with the file
    python examples/train_digits.py --cross-validate    # what the settings were chosen by

Needs scikit-learn, which carries the images: 1797 of the UCI *Optical Recognition of Handwritten
Digits* (E. Alpaydin and C. Kaynak, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0).

The images are shuffled once and cut in two:

* 600 test images, which no choice was made by: looked at once, with all the settings fixed;
* 1197 training images. The settings below were chosen by 4-fold cross-validation within them, each
  fold serving once as the validation set; the network is then trained on all of them. The first 256
  are shipped for calibration.

The cut is by image, so the 13 writers of this set appear in both parts.

Training is deterministic for one BLAS library on one kind of processor. Another adds up in another
order; training in float64 keeps that difference from growing: see `TOLERANCE`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from quantlib.demo import DENSE_SHAPE, NETWORK, PIXEL_MAX, ConvLayer, patches

Array = npt.NDArray[np.float64]
Parameters = dict[str, Array]
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]

DATA_FILE = Path(__file__).parents[1] / "quantlib" / "data" / "digits.npz"
SEED = 20240607
TEST, CALIBRATION, FOLDS = 600, 256, 4
EPOCHS, BATCH = 100, 50
LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 4e-3, 0.1, 0.3
TOLERANCE = 1e-6  # of a weight between two machines; 1e-12 was seen, then rounded to float32


# ---- forward and backward -----------------------------------------------------------------------


def convolve(x: Array, weight: Array, bias: Array, layer: ConvLayer) -> tuple[Array, Array]:
    """The layer's output after the ReLU, and the patches that `convolve_backward` needs."""
    columns = patches(x, layer.stride)
    if layer.depthwise:
        y = np.einsum("nhwijc,cij->nhwc", columns, weight[:, 0])
    else:
        y = np.tensordot(columns, weight, axes=([3, 4, 5], [2, 3, 1]))
    return np.maximum(y + bias, 0), columns


def convolve_backward(
    grad: Array, columns: Array, weight: Array, layer: ConvLayer, height: int
) -> tuple[Array, Array, Array]:
    """The gradients of the input (of that height), the weight and the bias."""
    if layer.depthwise:
        weight_grad = np.einsum("nhwijc,nhwc->cij", columns, grad)[:, np.newaxis]
        columns_grad = grad[..., np.newaxis, np.newaxis, :] * weight[:, 0].transpose(1, 2, 0)
    else:
        weight_grad = np.tensordot(grad, columns, axes=([0, 1, 2], [0, 1, 2]))
        weight_grad = weight_grad.transpose(0, 3, 1, 2)
        columns_grad = np.tensordot(grad, weight.transpose(0, 2, 3, 1), axes=1)
    return add_patches(columns_grad, layer.stride, height), weight_grad, grad.sum(axis=(0, 1, 2))


def add_patches(columns: Array, stride: int, height: int) -> Array:
    """The transpose of `patches`: add every patch onto the image it was taken from."""
    n, channels = columns.shape[0], columns.shape[-1]
    padded = np.zeros((n, height + 2, height + 2, channels))
    for i in range(3):
        for j in range(3):
            padded[:, i : i + height : stride, j : j + height : stride] += columns[:, :, :, i, j]
    return padded[:, 1:-1, 1:-1]


def loss_gradients(
    parameters: Parameters, images: Array, labels: Labels, rng: np.random.Generator
) -> Parameters:
    """The gradient of the mean cross-entropy, with dropout before the dense layer."""
    x, saved = images[..., np.newaxis], []
    for layer in NETWORK:
        y, columns = convolve(x, *layer_parameters(parameters, layer.name), layer)
        saved.append((x.shape[1], columns, y))
        x = y
    keep = (rng.random(x.shape) >= DROPOUT) / (1 - DROPOUT)
    flat = (x * keep).reshape(len(x), -1)
    weight, bias = layer_parameters(parameters, "dense")

    grad = softmax(flat @ weight + bias)
    grad[np.arange(len(labels)), labels] -= 1
    grad /= len(labels)
    gradients = {"dense.weight": flat.T @ grad, "dense.bias": grad.sum(axis=0)}
    grad = (grad @ weight.T).reshape(x.shape) * keep
    for layer, (height, columns, y) in zip(reversed(NETWORK), reversed(saved), strict=True):
        grad, weight_grad, bias_grad = convolve_backward(
            grad * (y > 0), columns, parameters[f"{layer.name}.weight"], layer, height
        )
        gradients[f"{layer.name}.weight"] = weight_grad
        gradients[f"{layer.name}.bias"] = bias_grad
    return gradients


def layer_parameters(parameters: Parameters, name: str) -> tuple[Array, Array]:
    return parameters[f"{name}.weight"], parameters[f"{name}.bias"]


def softmax(logits: Array) -> Array:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def accuracy(parameters: Parameters, images: Array, labels: Labels) -> float:
    x = images[..., np.newaxis]
    for layer in NETWORK:
        x, _ = convolve(x, *layer_parameters(parameters, layer.name), layer)
    weight, bias = layer_parameters(parameters, "dense")
    logits = x.reshape(len(x), -1) @ weight + bias
    return float((logits.argmax(axis=1) == labels).mean())


# ---- training -----------------------------------------------------------------------------------


def initial_parameters(rng: np.random.Generator) -> Parameters:
    """He initialization: normal, with variance 2 / (inputs of one output); biases 0."""
    parameters = {}
    shapes = {layer.name: layer.weight_shape for layer in NETWORK}
    for name, shape in [*shapes.items(), ("dense", DENSE_SHAPE)]:
        fan_in = shape[0] if name == "dense" else int(np.prod(shape[1:]))
        outputs = shape[1] if name == "dense" else shape[0]
        parameters[f"{name}.weight"] = rng.standard_normal(shape) * np.sqrt(2 / fan_in)
        parameters[f"{name}.bias"] = np.zeros(outputs)
    return parameters


@dataclass
class Adam:
    """Adam with decoupled weight decay (https://doi.org/10.48550/arXiv.1711.05101)."""

    first: Parameters = field(default_factory=dict)
    second: Parameters = field(default_factory=dict)
    steps: int = 0

    def step(self, parameters: Parameters, gradients: Parameters, rate: float) -> None:
        self.steps += 1
        for name, grad in gradients.items():
            first = self.first[name] = 0.9 * self.first.get(name, 0.0) + 0.1 * grad
            second = self.second[name] = 0.999 * self.second.get(name, 0.0) + 0.001 * grad**2
            mean = first / (1 - 0.9**self.steps)
            deviation = np.sqrt(second / (1 - 0.999**self.steps))
            decay = WEIGHT_DECAY * parameters[name] if name.endswith("weight") else 0.0
            parameters[name] -= rate * (mean / (deviation + 1e-8) + decay)


def shifted(images: Array, rng: np.random.Generator) -> Array:
    """Every image moved by up to one pixel in each direction, zeros coming in."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (8, 8), axis=(1, 2))
    offsets = rng.integers(0, 3, (2, len(images)))
    return windows[np.arange(len(images)), offsets[0], offsets[1]]


def batches(count: int, rng: np.random.Generator) -> Iterator[Rows]:
    order = rng.permutation(count)
    for start in range(0, count, BATCH):
        yield order[start : start + BATCH]


def train(images: Array, labels: Labels) -> Parameters:
    rng = np.random.default_rng(SEED)
    parameters, optimizer = initial_parameters(rng), Adam()
    for epoch in range(EPOCHS):
        rate = LEARNING_RATE * (1 + np.cos(np.pi * epoch / EPOCHS)) / 2
        for rows in batches(len(images), rng):
            batch = shifted(images[rows], rng)
            gradients = loss_gradients(parameters, batch, labels[rows], rng)
            optimizer.step(parameters, gradients, rate)
    return parameters


def split(count: int) -> tuple[Rows, Rows]:
    """The rows of the test images and of the training images."""
    order = np.random.default_rng(SEED).permutation(count)
    return order[:TEST], order[TEST:]


def cross_validate(images: Array, labels: Labels) -> None:
    """Train on three quarters and validate on the fourth, four times."""
    fold = np.arange(len(images)) % FOLDS
    wrong = 0
    for validation in range(FOLDS):
        parameters = train(images[fold != validation], labels[fold != validation])
        held_out = images[fold == validation], labels[fold == validation]
        errors = round((1 - accuracy(parameters, *held_out)) * len(held_out[1]))
        print(f"fold {validation}: {errors} of {len(held_out[1])} wrong")
        wrong += errors
    print(f"validation accuracy {1 - wrong / len(images):.2%}")


# ---- the data file ------------------------------------------------------------------------------


def contents(parameters: Parameters, greys: Images, labels: Labels) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the data file; `quantlib.demo.Digits` describes them."""
    test, training = split(len(greys))
    arrays: dict[str, npt.NDArray[Any]] = {
        name: value.astype(np.float32) for name, value in parameters.items()
    }
    for part, rows in (("test", test), ("calibration", training[:CALIBRATION])):
        arrays[f"{part}_images"] = greys[rows]
        arrays[f"{part}_labels"] = labels[rows]
        arrays[f"{part}_rows"] = rows.astype(np.uint16)
    return arrays


def differences(arrays: dict[str, npt.NDArray[Any]]) -> list[str]:
    """What `arrays` and the data file disagree on."""
    with np.load(DATA_FILE, allow_pickle=False) as file:
        shipped = dict(file)
    if shipped.keys() != arrays.keys():
        return sorted(shipped.keys() ^ arrays.keys())
    return [
        name
        for name, value in arrays.items()
        if value.shape != shipped[name].shape
        or not np.allclose(value, shipped[name], rtol=0, atol=TOLERANCE)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the network of `quantlib demo`.")
    parser.add_argument("--check", action="store_true", help="compare with the file, do not write")
    parser.add_argument("--cross-validate", action="store_true", help="judge the settings")
    options = parser.parse_args()

    data = load_digits()
    greys, labels = data.images.astype(np.uint8), data.target.astype(np.uint8)
    test, training = split(len(greys))
    images = greys / PIXEL_MAX
    if options.cross_validate:
        cross_validate(images[training], labels[training])
        return 0

    parameters = train(images[training], labels[training])
    print(f"training accuracy {accuracy(parameters, images[training], labels[training]):.2%}")
    print(f"test accuracy     {accuracy(parameters, images[test], labels[test]):.2%}")
    arrays = contents(parameters, greys, labels)
    if options.check:
        different = differences(arrays)
        print(f"different from {DATA_FILE}: {', '.join(different) or 'nothing'}")
        return int(bool(different))
    np.savez_compressed(DATA_FILE, **arrays)
    print(f"wrote {DATA_FILE}, {DATA_FILE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
