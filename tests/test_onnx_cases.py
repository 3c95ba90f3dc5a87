"""ONNX's own cases for its quantization operators, compared byte for byte.

The wheel of onnx 1.22.0 holds 45 of them, counted by the names of their folders. They are weak
evidence (their shapes are tiny and no case has groups, dilations or a tie in requantization), which
is why the other test files exist; but they are ONNX's, and every one has to pass.

* Cases of types that quantlib does not have (float8 and float4 codes) must be refused with a
  TypeError that names the type.
* The ``_expanded`` cases spell DynamicQuantizeLinear out in basic operators. Their inputs and
  outputs are those of the operator itself, so it is the operator that is run on them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantlib as ql
from quantlib import _native

onnx = pytest.importorskip("onnx", reason="onnx holds the cases")
NODE_CASES = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
if not NODE_CASES.is_dir():
    pytest.skip(
        f"onnx {onnx.__version__} ships no node cases; 1.22.0 does", allow_module_level=True
    )

OPERATORS: dict[str, str] = {
    "ConvInteger": "conv_integer",
    "DequantizeLinear": "dequantize_linear",
    "DynamicQuantizeLinear": "dynamic_quantize_linear",
    "MatMulInteger": "matmul_integer",
    "QLinearConv": "qlinear_conv",
    "QLinearMatMul": "qlinear_matmul",
    "QuantizeLinear": "quantize_linear",
}
CASES = sorted(
    folder.name
    for folder in NODE_CASES.iterdir()
    if folder.name.startswith(tuple(f"test_{name.lower()}" for name in OPERATORS))
)
UNSUPPORTED = {
    "e4m3fn": "float8_e4m3fn",
    "e5m2": "float8_e5m2",
    "float4e2m1": "float4_e2m1fn",
}
SUPPORTED_CASES = [name for name in CASES if not any(part in name for part in UNSUPPORTED)]
UNSUPPORTED_CASES = [name for name in CASES if name not in SUPPORTED_CASES]
LAYERS = ["reference", *ql.cpu.available_isas()]


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The module whose functions are called: the definitions, or the C core on one ISA."""
    if request.param == "reference":
        yield ql.reference
        return
    before = ql.cpu.isa()
    _native.select_isa(request.param)
    yield ql
    _native.select_isa(before)


def test_the_cases_are_counted() -> None:
    assert len(CASES) == 45
    assert len(SUPPORTED_CASES) == 37
    assert len(UNSUPPORTED_CASES) == 8


def test_no_quantization_case_has_another_name() -> None:
    """The names find every case whose model holds one of the operators."""
    operators = [name.encode() for name in OPERATORS]
    holding = {
        path.parent.name
        for path in NODE_CASES.glob("test_*/model.onnx")
        if any(name in path.read_bytes() for name in operators)
    }
    assert holding == set(CASES)


@pytest.mark.parametrize("name", SUPPORTED_CASES)
def test_case(name: str, layer: Any) -> None:
    function, inputs, attributes, expected = _read(name, layer)
    results = function(*inputs, **attributes)
    results = results if isinstance(results, tuple) else (results,)
    assert len(results) == len(expected)
    for result, wanted in zip(results, expected, strict=True):
        assert result.dtype == wanted.dtype
        assert result.shape == wanted.shape
        np.testing.assert_array_equal(_bytes(result), _bytes(wanted))


@pytest.mark.parametrize("name", UNSUPPORTED_CASES)
def test_case_of_a_type_that_quantlib_does_not_have(name: str, layer: Any) -> None:
    function, inputs, attributes, _ = _read(name, layer)
    codes = next(dtype for part, dtype in UNSUPPORTED.items() if part in name)
    with pytest.raises(TypeError, match=f"{codes}.*not supported"):
        function(*inputs, **attributes)


@pytest.mark.parametrize("name", UNSUPPORTED_CASES)
def test_both_layers_refuse_in_the_same_words(name: str) -> None:
    messages = set()
    for module in (ql, ql.reference):
        function, inputs, attributes, _ = _read(name, module)
        with pytest.raises(TypeError) as caught:
            function(*inputs, **attributes)
        messages.add(str(caught.value))
    assert len(messages) == 1


def _read(name: str, layer: Any) -> tuple[Callable[..., Any], list[Any], dict[str, Any], list[Any]]:
    """The function of one case, its inputs, its attributes as keywords, the results to expect."""
    folder = NODE_CASES / name
    if name.endswith("_expanded"):
        folder = folder.with_name(name.removesuffix("_expanded"))
    (node,) = onnx.load(folder / "model.onnx").graph.node
    function = getattr(layer, OPERATORS[node.op_type])
    data = NODE_CASES / name / "test_data_set_0"
    inputs = [_tensor(data / f"input_{index}.pb") for index in range(len(node.input))]
    expected = [_tensor(data / f"output_{index}.pb") for index in range(len(node.output))]
    return function, inputs, _attributes(node, function), expected


def _attributes(node: Any, function: Callable[..., Any]) -> dict[str, Any]:
    """The node's attributes as keywords of `function`, which has them under ONNX's names."""
    attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    if attributes.get("output_dtype"):
        code = attributes["output_dtype"]
        attributes["output_dtype"] = onnx.helper.tensor_dtype_to_np_dtype(code)
    unknown = set(attributes) - set(inspect.signature(function).parameters)
    assert not unknown, f"{node.op_type} has attributes that quantlib does not take: {unknown}"
    return attributes


def _tensor(path: Path) -> np.ndarray[Any, Any]:
    return onnx.numpy_helper.to_array(onnx.load_tensor(path))


def _bytes(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
