"""The definitions: every operation in a few lines of NumPy, under the name of its fast twin.

This package is the specification. ``quantlib.reference.f(...)`` takes the arguments of
``quantlib.f(...)`` and returns the same bits; it touches no C, and it is written to be read and to
be checked against, not to be fast. ``docs/quantization.md`` derives the arithmetic.
"""

from quantlib.reference.affine import (
    clip,
    dequantize,
    dequantize_linear,
    dynamic_quantize_linear,
    fake_quantize,
    min_max,
    quantize,
    quantize_linear,
)
from quantlib.reference.concat import Pad, QLinearConcat, pad, qlinear_concat
from quantlib.reference.conv import ConvInteger, QLinearConv, conv_integer, qlinear_conv
from quantlib.reference.conv_transpose import QLinearConvTranspose, qlinear_conv_transpose
from quantlib.reference.elementwise import QLinearAdd, QLinearMul, qlinear_add, qlinear_mul
from quantlib.reference.gemm import QGemm, qgemm
from quantlib.reference.lookup import (
    QLinearLookup,
    qlinear_clip,
    qlinear_gelu,
    qlinear_leaky_relu,
    qlinear_lookup,
    qlinear_relu,
    qlinear_sigmoid,
    qlinear_tanh,
)
from quantlib.reference.matmul import (
    DynamicQuantizeMatMul,
    MatMulInteger,
    QLinearMatMul,
    dynamic_quantize_matmul,
    matmul_integer,
    qlinear_matmul,
)
from quantlib.reference.pool import (
    MaxPool,
    QLinearAveragePool,
    QLinearGlobalAveragePool,
    max_pool,
    qlinear_average_pool,
    qlinear_global_average_pool,
)
from quantlib.reference.requantize import requantize
from quantlib.reference.resize import Resize, resize
from quantlib.reference.softmax import QLinearSoftmax, qlinear_softmax
from quantlib.reference.summary import summarize

__all__ = [
    "ConvInteger",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MaxPool",
    "Pad",
    "QGemm",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearConv",
    "QLinearConvTranspose",
    "QLinearGlobalAveragePool",
    "QLinearLookup",
    "QLinearMatMul",
    "QLinearMul",
    "QLinearSoftmax",
    "Resize",
    "clip",
    "conv_integer",
    "dequantize",
    "dequantize_linear",
    "dynamic_quantize_linear",
    "dynamic_quantize_matmul",
    "fake_quantize",
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
    "requantize",
    "resize",
    "summarize",
]
