"""Every node case of onnx, through ONNX's backend interface.

The wheel of onnx 1.22.0 holds 1765 cases. What cannot pass is listed, each with its reason; all
others must, quantization cases without any tolerance.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx holds the cases")

from onnx import numpy_helper  # noqa: E402
from onnx.backend.test.runner import Runner  # noqa: E402

from quantlib.model import ModelError, backend, load  # noqa: E402

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
if not (DATA / "node").is_dir():
    pytest.skip(
        f"onnx {onnx.__version__} ships no node cases; 1.22.0 does", allow_module_level=True
    )

CASES = sorted(folder.name for folder in (DATA / "node").iterdir() if folder.is_dir())
QUANTIZATION = {
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
}
# What convolutional networks are made of.
NETWORKS = {
    "convolutions": "Conv ConvTranspose ConvInteger QLinearConv Col2Im DeformConv",
    "products": "Gemm MatMul MatMulInteger QLinearMatMul Einsum",
    "pools": "AveragePool GlobalAveragePool GlobalMaxPool LpPool MaxPool MaxUnpool RoiAlign",
    "activations": "Celu Clip Elu Erf Gelu HardSigmoid HardSwish Hardmax LeakyRelu LogSoftmax Mish "
    "PRelu Relu Selu Shrink Sigmoid Softmax Softplus Softsign Swish Tanh ThresholdedRelu",
    "normalizations": "BatchNormalization GroupNormalization InstanceNormalization "
    "LayerNormalization LRN LpNormalization MeanVarianceNormalization RMSNormalization",
    "arithmetic": "Abs Add Ceil Div Exp Floor Log Max Mean Min Mul Neg Pow Reciprocal Round Sqrt "
    "Sub Sum Where Identity Dropout",
    "reductions": "ArgMax ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum",
    "shapes": "Cast Concat Constant ConstantOfShape DepthToSpace Expand Flatten Gather Pad Reshape "
    "Shape Size Slice SpaceToDepth Split Squeeze Tile Transpose Unsqueeze CenterCropPad",
    "resizing": "Resize Upsample GridSample AffineGrid",
    "quantization": " ".join(sorted(QUANTIZATION)),
}
RANDOM = "draws random numbers, for which ONNX defines no values"
REFERENCE = "run by onnx.reference, which itself gives another result than the case says"
EXCEPTIONS = {
    **{name: RANDOM for name in CASES if name.startswith("test_bernoulli")},
    **{
        f"test_range_{kind}_expanded": REFERENCE
        for kind in (
            "bfloat16_type_positive_delta",
            "float16_type_positive_delta",
            "float_type_positive_delta",
            "int32_type_negative_delta",
        )
    },
    "test_if_opt": REFERENCE,
    "test_loop16_seq_none": REFERENCE,
    "test_scan_sum": REFERENCE,
}


def operators_of(name: str) -> set[str]:
    """What a case is about: the operators that its model holds."""
    model = onnx.load(DATA / "node" / name / "model.onnx")
    return {node.op_type for node in model.graph.node}


def run_case(folder: Path, *, exact: bool) -> None:
    model = onnx.load(folder / "model.onnx")
    prepared = backend.prepare(model)
    for data in sorted(folder.glob("test_data_set_*")):
        inputs = [
            read(path, entry.type)
            for path, entry in zip(files(data, "input"), model.graph.input, strict=False)
        ]
        expected = [
            read(path, entry.type)
            for path, entry in zip(files(data, "output"), model.graph.output, strict=False)
        ]
        for _ in range(2):  # the first run plans the memory of the second
            results = prepared.run(inputs)
            Runner.assert_similar_outputs(expected, results, rtol=1e-3, atol=1e-7)
            if exact:
                for result, wanted in zip(results, expected, strict=True):
                    assert result.dtype == wanted.dtype
                    assert result.tobytes() == wanted.tobytes()


def files(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"{kind}_*.pb"), key=lambda path: int(path.stem.split("_")[1]))


def read(path: Path, kind: Any) -> Any:
    data = path.read_bytes()
    if kind.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if kind.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))


@pytest.mark.parametrize("name", [name for name in CASES if name not in EXCEPTIONS])
def test_node_case(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # cases divide by zero, as they should
        run_case(DATA / "node" / name, exact=bool(operators_of(name) & QUANTIZATION))


def test_the_cases_are_counted() -> None:
    assert len(CASES) == 1765
    assert set(EXCEPTIONS) < set(CASES)
    assert len(EXCEPTIONS) == 13


def test_the_cases_of_convolutional_networks() -> None:
    operators = {name for names in NETWORKS.values() for name in names.split()}
    relevant = [
        name for name in CASES if not name.endswith("_expanded") and operators_of(name) <= operators
    ]
    missing = [name for name in relevant if name in EXCEPTIONS]
    assert len(relevant) == 730
    assert missing == []


@pytest.mark.parametrize("name", sorted(set(EXCEPTIONS) - {"test_if_opt"}))
def test_the_exceptions_are_still_needed(name: str) -> None:
    """A case that passes by now has to leave the list."""
    if EXCEPTIONS[name] == RANDOM:
        assert backend.prepare(onnx.load(DATA / "node" / name / "model.onnx"))
        return
    with pytest.raises((AssertionError, ModelError, TypeError)):
        run_case(DATA / "node" / name, exact=False)


MODELS = [
    folder
    for kind in ("simple", "pytorch-converted", "pytorch-operator")
    for folder in sorted((DATA / kind).iterdir())
    if folder.is_dir()
]


def refusal(folder: Path) -> str:
    """Why a model is refused, empty if it is not."""
    try:
        load(folder / "model.onnx").plan()
    except ModelError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_model_case(folder: Path) -> None:
    """Small models. Those in opset 6 are run if their operators are still the same."""
    model = onnx.load(folder / "model.onnx")
    message = refusal(folder)
    if not message:
        run_case(folder, exact=False)
        return
    old = model.opset_import[0].version < 7
    reason = "is another operator than in opset 7" if old else "Gradient node"
    assert reason in message
    assert "\n" not in message


def test_how_many_models_are_refused() -> None:
    refused = [folder for folder in MODELS if refusal(folder)]
    assert (len(MODELS), len(refused)) == (140, 36)


def test_one_node() -> None:
    node = onnx.helper.make_node("Add", ["a", "b"], ["y"])
    (y,) = backend.run_node(node, [np.float32([1, 2]), np.float32([3])])
    np.testing.assert_array_equal(y, np.float32([4, 5]))


def test_devices() -> None:
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA")
    with pytest.raises(ValueError, match="CUDA"):
        backend.prepare(onnx.parser.parse_model(RELU), device="CUDA")


RELU = '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { y = Relu(x) }'
