"""The other engines, each only if it is installed.

All write into arrays that exist beforehand where they can, as quantlib and NumPy do here, so that
arithmetic is measured and not the allocator. Weights are constants of the model, as an engine
wants them that prepares once.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

Call = Callable[[], Any]


def installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in modules)


# --- ONNX Runtime ---------------------------------------------------------------------------------

IR_VERSION = 10
OPSET = 21  # blocked quantization came with it
MICROSOFT_OPSET = 1


@dataclass(frozen=True)
class Input:
    """An operand of a node: fed with each call, or a constant of the model."""

    value: Any
    constant: bool = True


def onnx_call(
    node: str,
    inputs: Sequence[Input],
    output: Any,
    *,
    threads: int,
    domain: str = "",
    **attributes: Any,
) -> Call:
    """A call that runs a model of one node from its fed inputs into `output`."""
    return _onnx_session([(node, domain, attributes)], inputs, [output], threads)


def onnx_min_max_call(x: Any, axes: Sequence[int], shape: tuple[int, ...], *, threads: int) -> Call:
    """A call that runs ReduceMin and ReduceMax on `x`; their results have this shape."""
    outputs = [np.empty(shape, np.float32), np.empty(shape, np.float32)]
    nodes = [(name, "", {"keepdims": 0}) for name in ("ReduceMin", "ReduceMax")]
    inputs = [Input(x, constant=False), Input(np.int64(axes))]
    return _onnx_session(nodes, inputs, outputs, threads)


def _onnx_session(
    nodes: Sequence[tuple[str, str, dict[str, Any]]],
    inputs: Sequence[Input],
    outputs: Sequence[Any],
    threads: int,
) -> Call:
    """A call that runs `nodes`, each from all the inputs to its own output."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    model = _onnx_model(nodes, inputs, outputs)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    kept = [np.ascontiguousarray(each.value) for each in inputs]
    for index, (each, array) in enumerate(zip(inputs, kept, strict=True)):
        if not each.constant:
            binding.bind_input(f"x{index}", "cpu", 0, array.dtype, array.shape, array.ctypes.data)
    for index, array in enumerate(outputs):
        binding.bind_output(f"y{index}", "cpu", 0, array.dtype, array.shape, array.ctypes.data)
    result = outputs[0] if len(outputs) == 1 else tuple(outputs)

    def call(_kept: Any = kept) -> Any:
        session.run_with_iobinding(binding)
        return result

    return call


def _onnx_model(
    nodes: Sequence[tuple[str, str, dict[str, Any]]],
    inputs: Sequence[Input],
    outputs: Sequence[Any],
) -> bytes:
    from onnx import helper, numpy_helper

    def described(name: str, array: Any) -> Any:
        array = np.asarray(array)
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        return helper.make_tensor_value_info(name, kind, array.shape)

    names = [f"x{index}" for index in range(len(inputs))]
    graph = helper.make_graph(
        [
            helper.make_node(node, names, [f"y{index}"], domain=domain, **attributes)
            for index, (node, domain, attributes) in enumerate(nodes)
        ],
        "bench",
        [
            described(name, each.value)
            for name, each in zip(names, inputs, strict=True)
            if not each.constant
        ],
        [described(f"y{index}", array) for index, array in enumerate(outputs)],
        [
            numpy_helper.from_array(np.asarray(each.value), name)
            for name, each in zip(names, inputs, strict=True)
            if each.constant
        ],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", MICROSOFT_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    return bytes(model.SerializeToString())


# --- torch ----------------------------------------------------------------------------------------

TORCH_ENGINES = ("fbgemm", "onednn")


def _torch(threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    return torch


def torch_matmul_call(a: Any, b: Any, *, threads: int) -> Call:
    """A float32 product."""
    torch = _torch(threads)
    left, right = torch.from_numpy(a), torch.from_numpy(b)
    y = torch.empty(a.shape[0], b.shape[1])
    shown = y.numpy()

    def call() -> Any:
        torch.mm(left, right, out=y)
        return shown

    return call


def torch_int_mm_call(a: Any, b: Any, *, threads: int) -> Call:
    """int8 by int8 to int32; torch has no prepared form of it."""
    torch = _torch(threads)
    left, right = torch.from_numpy(a), torch.from_numpy(b)
    y = torch.empty(a.shape[0], b.shape[1], dtype=torch.int32)
    shown = y.numpy()

    def call() -> Any:
        torch._int_mm(left, right, out=y)
        return shown

    return call


def torch_conv_call(x: Any, w: Any, shape: Any, *, threads: int) -> Call:
    """A float32 convolution of NCHW arrays; torch has no form of it that writes into an array."""
    torch = _torch(threads)
    image, weights = torch.from_numpy(x), torch.from_numpy(w)

    def call() -> Any:
        return torch.nn.functional.conv2d(
            image, weights, None, shape.stride, shape.pad, 1, shape.group
        )

    return call


def torch_quantized_conv_call(
    engine: str, x: Any, operands: tuple[Any, ...], shape: Any, *, threads: int
) -> Call:
    """A convolution of uint8 codes, NCHW but in memory with channels last, as these engines want
    them; `operands` are those of `qlinear_conv` after the input."""
    torch = _torch(threads)
    _choose_engine(torch, engine)
    x_scale, x_zero_point, w, w_scale, _, y_scale, y_zero_point, b = operands
    image = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
    with _quantized_tensors():
        image = torch._make_per_tensor_quantized_tensor(image, float(x_scale), int(x_zero_point))
        weights = torch._make_per_channel_quantized_tensor(
            torch.from_numpy(w),
            torch.from_numpy(w_scale.astype(np.float64)),
            torch.zeros(len(w), dtype=torch.int64),
            0,
        )
    bias = torch.from_numpy(b.astype(np.float32) * (x_scale * w_scale))
    geometry = [shape.stride] * 2, [shape.pad] * 2, [1, 1], shape.group
    packed = torch.ops.quantized.conv2d_prepack(weights, bias, *geometry)
    scale, zero_point = float(y_scale), int(y_zero_point)
    return lambda: torch.ops.quantized.conv2d(image, packed, scale, zero_point)


def torch_quantized_linear_call(
    engine: str, a: Any, arguments: tuple[Any, ...], *, threads: int
) -> Call:
    """A product of uint8 by prepared int8 with a scale for each column, to uint8 codes; `arguments`
    are those of QLinearMatMul after the left operand."""
    torch = _torch(threads)
    a_scale, a_zero_point, b, b_scale, _, y_scale, y_zero_point = arguments
    packed = _packed_weights(torch, engine, b, b_scale)
    with _quantized_tensors():
        left = torch._make_per_tensor_quantized_tensor(
            torch.from_numpy(a), float(a_scale), int(a_zero_point)
        )
    scale, zero_point = float(y_scale), int(y_zero_point)
    return lambda: torch.ops.quantized.linear(left, packed, scale, zero_point)


def torch_dynamic_linear_call(engine: str, a: Any, b: Any, b_scale: Any, *, threads: int) -> Call:
    """A product of reals, quantized on the way, by prepared int8, to reals."""
    torch = _torch(threads)
    packed, left = _packed_weights(torch, engine, b, b_scale), torch.from_numpy(a)
    return lambda: torch.ops.quantized.linear_dynamic(left, packed, False)


def _packed_weights(torch: Any, engine: str, b: Any, b_scale: Any) -> Any:
    _choose_engine(torch, engine)
    with _quantized_tensors():
        weights = torch._make_per_channel_quantized_tensor(
            torch.from_numpy(np.ascontiguousarray(b.T)),
            torch.from_numpy(b_scale.astype(np.float64)),
            torch.zeros(b.shape[1], dtype=torch.int64),
            0,
        )
    return torch.ops.quantized.linear_prepack(weights, None)


def _choose_engine(torch: Any, engine: str) -> None:
    if engine not in torch.backends.quantized.supported_engines:
        raise RuntimeError(f"torch is built without {engine}")
    torch.backends.quantized.engine = engine


def torch_codes(tensor: Any) -> Any:
    """The codes of a quantized tensor."""
    return tensor.int_repr().numpy()


def torch_histogram_call(x: Any, bins: int, *, threads: int) -> Call:
    torch = _torch(threads)
    data = torch.from_numpy(x)
    return lambda: torch.histc(data, bins)


def torch_min_max_call(x: Any, axes: tuple[int, ...] | None, *, threads: int) -> Call:
    torch = _torch(threads)
    data = torch.from_numpy(x)

    def call() -> Any:
        if axes is not None:
            return torch.amin(data, axes), torch.amax(data, axes)
        ends = torch.aminmax(data)
        return ends.min, ends.max

    return call


def _torch_parameters(torch: Any, scale: Any, zero_point: Any, axis: int | None) -> tuple[Any, ...]:
    """As the functions for one or for many scales take them."""
    if axis is None:
        return float(scale), int(zero_point)
    return torch.from_numpy(scale.copy()), torch.from_numpy(zero_point.astype(np.int32)), axis


def torch_quantize_call(
    x: Any, scale: Any, zero_point: Any, axis: int | None, *, threads: int
) -> Call:
    torch = _torch(threads)
    data = torch.from_numpy(x)
    parameters = _torch_parameters(torch, scale, zero_point, axis)
    quantize = torch.quantize_per_tensor if axis is None else torch.quantize_per_channel
    with _quantized_tensors():
        quantize(data, *parameters, torch.qint8)
    return lambda: quantize(data, *parameters, torch.qint8)


def torch_dequantize_call(
    codes: Any, scale: Any, zero_point: Any, axis: int | None, *, threads: int
) -> Call:
    torch = _torch(threads)
    data = torch.from_numpy(codes)
    parameters = _torch_parameters(torch, scale, zero_point, axis)
    with _quantized_tensors():
        if axis is None:
            quantized = torch._make_per_tensor_quantized_tensor(data, *parameters)
        else:
            quantized = torch._make_per_channel_quantized_tensor(data, *parameters)
    return lambda: quantized.dequantize()


def torch_fake_quantize_call(
    x: Any, scale: Any, zero_point: Any, axis: int | None, *, threads: int
) -> Call:
    torch = _torch(threads)
    data = torch.from_numpy(x)
    parameters = _torch_parameters(torch, scale, zero_point, axis)
    if axis is None:
        return lambda: torch.fake_quantize_per_tensor_affine(data, *parameters, -128, 127)
    return lambda: torch.fake_quantize_per_channel_affine(data, *parameters, -128, 127)


@contextmanager
def _quantized_tensors() -> Iterator[None]:
    """torch says once that its quantized types will go; they are what there is to compare with."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
        yield
