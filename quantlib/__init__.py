"""int8 for NumPy: exact quantization arithmetic, int8 matrix products and convolutions."""

import importlib
from typing import Any

from quantlib import _documentation, _threadpoolctl, correction, cpu, encoding, reference
from quantlib.calibration import Observer, calibrate
from quantlib.cpu import get_num_threads, set_num_threads
from quantlib.ops import (
    ConvInteger,
    DynamicQuantizeMatMul,
    MatMulInteger,
    MaxPool,
    QGemm,
    QLinearAdd,
    QLinearAveragePool,
    QLinearConv,
    QLinearConvTranspose,
    QLinearGlobalAveragePool,
    QLinearLookup,
    QLinearMatMul,
    QLinearMul,
    QLinearSoftmax,
    clip,
    conv_integer,
    dequantize,
    dequantize_linear,
    dynamic_quantize_linear,
    dynamic_quantize_matmul,
    fake_quantize,
    matmul_integer,
    max_pool,
    min_max,
    pad,
    qgemm,
    qlinear_add,
    qlinear_average_pool,
    qlinear_clip,
    qlinear_concat,
    qlinear_conv,
    qlinear_conv_transpose,
    qlinear_gelu,
    qlinear_global_average_pool,
    qlinear_leaky_relu,
    qlinear_lookup,
    qlinear_matmul,
    qlinear_mul,
    qlinear_relu,
    qlinear_sigmoid,
    qlinear_softmax,
    qlinear_tanh,
    quantize,
    quantize_linear,
    requantize,
    resize,
    summarize,
)
from quantlib.params import QType, QuantParams

__all__ = [
    "ConvInteger",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MaxPool",
    "Observer",
    "QGemm",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConv",
    "QLinearConvTranspose",
    "QLinearGlobalAveragePool",
    "QLinearLookup",
    "QLinearMatMul",
    "QLinearMul",
    "QLinearSoftmax",
    "QType",
    "QuantParams",
    "calibrate",
    "clip",
    "conv_integer",
    "correction",
    "cpu",
    "dequantize",
    "dequantize_linear",
    "dynamic_quantize_linear",
    "dynamic_quantize_matmul",
    "encoding",
    "fake_quantize",
    "get_num_threads",
    "matmul_integer",
    "max_pool",
    "min_max",
    "pad",
    "qgemm",
    "qlinear_add",
    "qlinear_average_pool",
    "qlinear_clip",
    "qlinear_concat",
    "qlinear_conv",
    "qlinear_conv_transpose",
    "qlinear_gelu",
    "qlinear_global_average_pool",
    "qlinear_leaky_relu",
    "qlinear_lookup",
    "qlinear_matmul",
    "qlinear_mul",
    "qlinear_relu",
    "qlinear_sigmoid",
    "qlinear_softmax",
    "qlinear_tanh",
    "quantize",
    "quantize_linear",
    "reference",
    "requantize",
    "resize",
    "set_num_threads",
    "summarize",
]

_documentation.share_documentation()


def __getattr__(name: str) -> Any:
    """``quantlib.model``, imported at its first use: it needs the extra ``onnx``."""
    if name == "model":
        return importlib.import_module("quantlib.model")
    raise AttributeError(f"module 'quantlib' has no attribute {name!r}")


_threadpoolctl.register_when_imported()
