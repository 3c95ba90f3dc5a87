"""Make the small networks that the tests quantize, as ONNX files.

    python examples/train_networks.py tests/model/networks

They classify scikit-learn's digits, 1797 images of 8 x 8 pixels, of which the last 500 are held
out: a plain convolutional network, one with residual sums, and one with depthwise convolutions.
A fourth, a transformer encoder, keeps random weights. PyTorch trains and exports them, which takes
about two minutes; everything that is random is seeded. The plain one is also quantized by PyTorch,
with weights per channel and per tensor, and the residual one by NNCF, OpenVINO's quantizer.
Needs torch, onnx, onnxscript, scikit-learn and nncf.
"""

from __future__ import annotations

import copy
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.ao import quantization

HELD_OUT = 500
EPOCHS = 40
LONGEST = 40  # sequence of the encoder


def images() -> tuple[Tensor, Tensor]:
    """Images scaled to 0 to 1, of shape (n, 1, 8, 8), and their classes."""
    digits = load_digits()
    pixels = (digits.images / 16).astype(np.float32)[:, None]
    return torch.from_numpy(pixels), torch.from_numpy(digits.target)


def convolution(inputs: int, outputs: int, kernel: int = 3, **keywords: int) -> nn.Sequential:
    """A convolution without bias, a normalization, a ReLU."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **keywords)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class Residual(nn.Module):
    """Two convolutions and what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.second(self.first(x))) + x)


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A convolution of each channel, then one across channels, with a hard swish between."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.Hardswish(),
        convolution(inputs, outputs, 1),
    )


def networks() -> dict[str, nn.Module]:
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return {
        "plain": nn.Sequential(
            convolution(1, 16), convolution(16, 24), nn.MaxPool2d(2), convolution(24, 32),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 10),
        ),
        "residual": nn.Sequential(
            convolution(1, 16), Residual(16), convolution(16, 32, stride=2), Residual(32), *head,
            nn.Linear(32, 10),
        ),
        "separable": nn.Sequential(
            convolution(1, 16), separable(16, 32), separable(32, 48, 2), separable(48, 64), *head,
            nn.Linear(64, 10),
        ),
    }  # fmt: skip


class Encoder(nn.Module):
    """A transformer encoder of one layer, with an embedding before and scores behind it."""

    def __init__(
        self, size: int = 32, heads: int = 2, words: int = 50, longest: int = LONGEST
    ) -> None:
        super().__init__()
        self.heads = heads
        self.words = nn.Embedding(words, size)
        self.places = nn.Parameter(torch.randn(longest, size) / 10)
        self.query, self.key, self.value, self.out = (nn.Linear(size, size) for _ in range(4))
        self.norms = nn.ModuleList([nn.LayerNorm(size), nn.LayerNorm(size)])
        self.up, self.down = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)
        self.scores = nn.Linear(size, 7)

    def attend(self, x: Tensor) -> Tensor:
        n, t, size = x.shape
        q, k, v = (
            layer(x).view(n, t, self.heads, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        weights = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1)
        return self.out((weights @ v).transpose(1, 2).reshape(n, t, size))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids) + self.places[: ids.shape[1]]
        x = self.norms[0](x + self.attend(x))
        x = self.norms[1](x + self.down(nn.functional.gelu(self.up(x))))
        return self.scores(x)


def export(
    network: nn.Module, example: Tensor, names: list[str], axes: list[str], path: Path
) -> None:
    """Write a network, with the first axes of its input free."""
    limits = {"n": 4096, "t": LONGEST}
    shapes = ({i: torch.export.Dim(a, max=limits[a]) for i, a in enumerate(axes)},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), (example,), path, input_names=names[:1], output_names=names[1:],
            dynamic_shapes=shapes, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    forget_origins(path)


def forget_origins(path: Path) -> None:
    """Remove what PyTorch notes beside nodes and values: the source files of this machine."""
    model = onnx.load(path)
    nodes = [*model.graph.node, *(node for each in model.functions for node in each.node)]
    for part in (model, model.graph, *model.graph.value_info, *model.functions, *nodes):
        del part.metadata_props[:]
    onnx.save(model, path)


def train(network: nn.Module, x: Tensor, y: Tensor) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(64):
            loss = nn.functional.cross_entropy(network(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    network.eval()


def export_quantized(network: nn.Module, x: Tensor, engine: str, path: Path) -> None:
    """Let PyTorch quantize a plain network, and write it with QuantizeLinear and the like."""
    torch.backends.quantized.engine = engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both are deprecated, and what there is to export with
        blocks = [
            name for name, part in network.named_children() if len(list(part.children())) == 3
        ]
        fused = quantization.fuse_modules(
            copy.deepcopy(network), [[f"{name}.{i}" for i in range(3)] for name in blocks]
        )
        wrapped = quantization.QuantWrapper(fused).eval()
        wrapped.qconfig = quantization.get_default_qconfig(engine)
        quantization.prepare(wrapped, inplace=True)
        wrapped(x)
        quantization.convert(wrapped, inplace=True)
        torch.onnx.export(
            wrapped, (x[:2],), path, input_names=["image"], output_names=["scores"],
            dynamic_axes={"image": {0: "n"}, "scores": {0: "n"}}, opset_version=13, dynamo=False,
        )  # fmt: skip
    forget_origins(path)


def quantize_with_nncf(source: Path, x: Tensor, path: Path) -> None:
    """Let NNCF quantize a network, and write it with QuantizeLinear and the like."""
    import nncf

    samples = nncf.Dataset([{"image": image[None].numpy()} for image in x])
    onnx.save(nncf.quantize(onnx.load(source), samples), path)
    forget_origins(path)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    x, y = images()
    for name, network in networks().items():
        torch.manual_seed(7)
        for layer in network.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
        train(network, x[:-HELD_OUT], y[:-HELD_OUT])
        with torch.no_grad():
            right = (network(x[-HELD_OUT:]).argmax(1) == y[-HELD_OUT:]).float().mean()
        path = folder / f"{name}.onnx"
        export(network, x[:2], ["image", "scores"], ["n"], path)
        print(f"{name}: {right:.1%} right, {path.stat().st_size} bytes")
        if name == "plain":
            for engine, kind in (("x86", "channel"), ("qnnpack", "tensor")):
                export_quantized(network, x[:400], engine, folder / f"torch_per_{kind}.onnx")
    quantize_with_nncf(folder / "residual.onnx", x[:400], folder / "nncf.onnx")
    torch.manual_seed(7)
    ids = torch.randint(0, 50, (2, 9))
    export(Encoder(), ids, ["ids", "scores"], ["n", "t"], folder / "encoder.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
