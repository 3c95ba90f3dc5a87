"""The example of a network of the shape of MobileNetV2: its layers, its bits, what it prints."""

from __future__ import annotations

import importlib.util
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import quantlib as ql
from quantlib import reference
from quantlib.testing import assert_bit_exact, isas, use_isa

SCRIPT = Path(__file__).parents[1] / "examples" / "mobilenet.py"
SIZE = 32


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("mobilenet", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mobilenet"] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["mobilenet"]


def test_it_has_the_layers_of_mobilenet_v2(example: ModuleType) -> None:
    network = example.blocks()
    layers = [layer for block in network for layer in block.layers]
    assert len(layers) == 52
    assert sum(block.residual for block in network) == 10
    assert [layer.out_channels for layer in layers[-3:]] == [960, 320, 1280]
    assert all(a.out_channels == b.channels for a, b in itertools.pairwise(layers))
    strides = [layer.stride for layer in layers]
    assert np.prod(strides) == 32
    weights = example.random_weights(network, np.random.default_rng(0))
    sizes = [weight.size for weight, _ in weights.convolutions] + [weights.dense[0].size]
    # https://arxiv.org/abs/1801.04381 counts 3.4 million, which leaves out what normalizes.
    assert 3.4e6 < sum(sizes) < 3.5e6


def test_int8_has_the_bits_of_the_definitions_and_is_close_to_float32(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, network = np.random.default_rng(5), example.blocks(width=0.25)
    weights = example.random_weights(network, rng)
    images = rng.uniform(-1, 1, (2, SIZE, SIZE, 3)).astype(np.float32)
    float_network = example.FloatNetwork(network, weights)
    ranges = example.ranges_of(float_network, images)
    results = []
    for isa in isas():
        with use_isa(isa):
            results.append(example.Int8Network(network, weights, ranges)(images))
    definitions = {name: getattr(reference, name) for name in reference.__all__}
    monkeypatch.setattr(example, "ql", SimpleNamespace(**{**vars(ql), **definitions}))
    expected = example.Int8Network(network, weights, ranges)(images)
    for result in results:
        assert_bit_exact(result, expected)
    assert np.corrcoef(expected.ravel(), float_network(images).ravel())[0, 1] > 0.98


def test_it_says_what_an_image_costs(
    example: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = ql.get_num_threads()
    try:
        example.main(["--size", str(SIZE), "--width", "0.25", "--runs", "1", "--threads", "1"])
    finally:
        ql.set_num_threads(threads)
    facts, *lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"[\d,]+ weights, images of 32x32, threads: 1", facts)
    engines = ["float32, NumPy", "int8, quantlib"]
    if all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))):
        engines += ["float32, ONNX Runtime", "int8, ONNX Runtime"]
    assert [line.partition(":")[0] for line in lines] == engines
    for line in lines:
        assert re.search(r": \d+\.\d\d ms an image, \d+\.\d times as fast as NumPy", line)
        assert float(line.split()[-3]) > 0.97
