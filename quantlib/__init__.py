"""int8 for NumPy: exact quantization arithmetic, int8 matrix products and convolutions."""

from quantlib import _documentation, _threadpoolctl, cpu, reference
from quantlib.calibration import calibrate
from quantlib.cpu import get_num_threads, set_num_threads
from quantlib.ops import (
    DynamicQuantizeMatMul,
    MatMulInteger,
    QLinearConv,
    QLinearMatMul,
    clip,
    conv_integer,
    dequantize,
    dequantize_linear,
    dynamic_quantize_linear,
    dynamic_quantize_matmul,
    fake_quantize,
    matmul_integer,
    min_max,
    qlinear_conv,
    qlinear_matmul,
    quantize,
    quantize_linear,
    requantize,
    summarize,
)
from quantlib.params import QType, QuantParams

__all__ = [
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QType",
    "QuantParams",
    "calibrate",
    "clip",
    "conv_integer",
    "cpu",
    "dequantize",
    "dequantize_linear",
    "dynamic_quantize_linear",
    "dynamic_quantize_matmul",
    "fake_quantize",
    "get_num_threads",
    "matmul_integer",
    "min_max",
    "qlinear_conv",
    "qlinear_matmul",
    "quantize",
    "quantize_linear",
    "reference",
    "requantize",
    "set_num_threads",
    "summarize",
]

_documentation.share_documentation()
_threadpoolctl.register_when_imported()
