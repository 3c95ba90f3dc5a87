"""int8 for NumPy: exact quantization arithmetic, int8 matrix products and convolutions."""

from quantlib import _documentation, cpu, reference
from quantlib.calibration import calibrate
from quantlib.ops import (
    MatMulInteger,
    QLinearConv,
    QLinearMatMul,
    clip,
    conv_integer,
    dequantize,
    dequantize_linear,
    dynamic_quantize_linear,
    fake_quantize,
    matmul_integer,
    min_max,
    qlinear_conv,
    qlinear_matmul,
    quantize,
    quantize_linear,
    requantize,
)
from quantlib.params import QType, QuantParams

__all__ = [
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
    "fake_quantize",
    "matmul_integer",
    "min_max",
    "qlinear_conv",
    "qlinear_matmul",
    "quantize",
    "quantize_linear",
    "reference",
    "requantize",
]

_documentation.share_documentation()
