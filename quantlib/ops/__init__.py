"""The fast operations: check the arguments, then call the C core.

Each has its definition under the same name in `quantlib.reference`, from which it takes its
documentation.
"""

from quantlib.ops.affine import (
    clip,
    dequantize,
    dequantize_linear,
    dynamic_quantize_linear,
    fake_quantize,
    min_max,
    quantize,
    quantize_linear,
)
from quantlib.ops.conv import QLinearConv, conv_integer, qlinear_conv
from quantlib.ops.matmul import (
    DynamicQuantizeMatMul,
    MatMulInteger,
    QLinearMatMul,
    dynamic_quantize_matmul,
    matmul_integer,
    qlinear_matmul,
)
from quantlib.ops.requantize import requantize
from quantlib.ops.summary import summarize

__all__ = [
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "clip",
    "conv_integer",
    "dequantize",
    "dequantize_linear",
    "dynamic_quantize_linear",
    "dynamic_quantize_matmul",
    "fake_quantize",
    "matmul_integer",
    "min_max",
    "qlinear_conv",
    "qlinear_matmul",
    "quantize",
    "quantize_linear",
    "requantize",
    "summarize",
]
