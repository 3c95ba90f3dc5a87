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
from quantlib.ops.concat import Pad, QLinearConcat, pad, qlinear_concat
from quantlib.ops.conv import ConvInteger, QLinearConv, conv_integer, qlinear_conv
from quantlib.ops.conv_transpose import QLinearConvTranspose, qlinear_conv_transpose
from quantlib.ops.elementwise import QLinearAdd, QLinearMul, qlinear_add, qlinear_mul
from quantlib.ops.gemm import QGemm, qgemm
from quantlib.ops.lookup import (
    QLinearLookup,
    qlinear_clip,
    qlinear_gelu,
    qlinear_leaky_relu,
    qlinear_lookup,
    qlinear_relu,
    qlinear_sigmoid,
    qlinear_tanh,
)
from quantlib.ops.matmul import (
    DynamicQuantizeMatMul,
    MatMulInteger,
    QLinearMatMul,
    dynamic_quantize_matmul,
    matmul_integer,
    qlinear_matmul,
)
from quantlib.ops.pool import (
    MaxPool,
    QLinearAveragePool,
    QLinearGlobalAveragePool,
    max_pool,
    qlinear_average_pool,
    qlinear_global_average_pool,
)
from quantlib.ops.requantize import requantize
from quantlib.ops.resize import Resize, resize
from quantlib.ops.softmax import QLinearSoftmax, qlinear_softmax
from quantlib.ops.summary import summarize

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
