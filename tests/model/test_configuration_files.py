"""The documentation's configuration files, on networks. (Those for weights as they stand are in
``test_model_weight_bits.py``.)"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models need onnx")
pytest.importorskip("PIL", reason="images need Pillow")

import quantlib as ql  # noqa: E402
from quantlib import cli  # noqa: E402

FOLDER = Path(__file__).parent
FILES = FOLDER / "configurations"
NETWORKS = ("plain", "residual", "separable")


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images of 8 x 8 pixels, 0 to 255, and their classes."""
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn has the images")
    data = datasets.load_digits()
    return np.rint(data.images * (255 / 16)).astype(np.uint8), data.target


@pytest.fixture(scope="module")
def images(digits: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the first 100 of them."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("digits")
    for index, pixels in enumerate(digits[0][:100]):
        Image.fromarray(pixels).save(folder / f"{index:03}.png")
    return folder


def quantized(network: Path, target: Path, config: str, *settings: str) -> ql.model.Model:
    """What the command makes of a network."""
    arguments = ["quantize", str(network), "-o", str(target), "--config", str(FILES / config)]
    for setting in settings:
        arguments += ["--set", setting]
    assert cli.main(arguments) == 0
    return ql.model.load(target)


def accuracy(model: ql.model.Model, digits: Any) -> float:
    """Percent of the last 500 images."""
    feeds = {"image": digits[0][-500:, np.newaxis] / np.float32(255)}
    return 100 * float(np.mean(model.run(feeds)[0].argmax(1) == digits[1][-500:]))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_full_quantization(name: str, bits: int, digits: Any, images: Path, tmp_path: Path) -> None:
    """The file as it is, but for where the images are and what these networks were trained on."""
    network = FOLDER / "networks" / f"{name}.onnx"
    found = quantized(
        network, tmp_path / "q.onnx", "full_quant.cfg",
        f"calibrate_path=image:{images}", "image_to_format=GRAY", "normalize_mean=[0]",
        "normalize_std=[255]", "resize_width=8", "resize_height=8", "center_crop_width=8",
        "center_crop_height=8", f"bit_num={bits}",
    )  # fmt: skip
    loss = {8: 0.6, 4: 6.0 if name == "separable" else 1.0}[bits]
    assert accuracy(found, digits) >= accuracy(ql.model.load(network), digits) - loss
    kinds = {node.kind for node in found.plan().graph.nodes}
    assert "quantlib.QLinearConv" in kinds
    assert not {"Conv", "quantlib.Conv"} & kinds


def test_weight_quantization_for_what_is_multiplied(
    digits: Any, images: Path, tmp_path: Path
) -> None:
    """GPTQ reads the images that full quantization reads."""
    network = FOLDER / "networks" / "plain.onnx"
    found = quantized(
        network, tmp_path / "q.onnx", "fixed_bit_weight_quant.cfg", "bit_num=4",
        "weight_quant_param.quant_strategy=GPTQ", f"calibrate_path=image:{images}",
        "calibrate_size=50", "input_type=IMAGE", "image_to_format=GRAY", "normalize_std=[255]",
    )  # fmt: skip
    assert accuracy(found, digits) >= accuracy(ql.model.load(network), digits) - 1.5


def test_full_quantization_with_two_inputs(tmp_path: Path) -> None:
    """The file as it is, but for where the images are."""
    from PIL import Image

    rng = np.random.default_rng(3)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for index in range(100):
            pixels = rng.integers(0, 256, (6, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{index:02}.png")
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[n, 3, 224, 224] input_name_1, float[n, 3, 224, 224] input_name_2)
    => (float[n, 2, 28, 28] y)
    <float[2, 3, 1, 1] v = {1, 2, -1, 0.5, 0.25, 0.75},
     float[2, 3, 1, 1] w = {1, 0.5, -1, -2, 0.25, 1.5}> {
        a = Conv <strides = [8, 8]> (input_name_1, v)
        b = Conv <strides = [8, 8]> (input_name_2, w)
        y = Add (a, b)
    }"""
    network = tmp_path / "net.onnx"
    onnx.save(onnx.parser.parse_model(text), network)
    where = f"calibrate_path=input_name_1:{tmp_path / 'one'},input_name_2:{tmp_path / 'two'}"
    found = quantized(network, tmp_path / "q.onnx", "full_quant.cfg", where)
    scales = [
        float(found.graph.constants[node.inputs[1]])
        for node in found.graph.nodes if node.op_type == "QuantizeLinear"
    ]  # fmt: skip
    assert scales[:2] == [pytest.approx(2 / 255, rel=0.02)] * 2  # normalized to -1 to 1
    model, feeds = ql.model.load(network), {
        name: rng.uniform(-1, 1, (1, 3, 224, 224)).astype(np.float32)
        for name in ("input_name_1", "input_name_2")
    }  # fmt: skip
    wanted, got = model.run(feeds)[0], found.run(feeds)[0]
    assert np.abs(wanted - got).max() < 0.03 * np.abs(wanted).max()


def test_the_files_name_what_is_missing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = [
        "quantize",
        str(FOLDER / "networks" / "plain.onnx"),
        "-o",
        str(tmp_path / "q.onnx"),
    ]
    assert cli.main([*arguments, "--config", str(FILES / "full_quant.cfg")]) == 2
    error = capsys.readouterr().err
    assert "calibrate_path has folders for 'input_name_1', 'input_name_2'" in error
    assert "the model's inputs are 'image'" in error
    assert error.count("\n") == 1
