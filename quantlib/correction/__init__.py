"""What repairs quantization error, and what measures it: functions on arrays.

Each is a formula with a source. Weights have their output channels on axis 0 and their input
channels on axis 1, as in ONNX's ``Conv``, unless an argument says otherwise.
"""

from quantlib.correction.adaround import adaround
from quantlib.correction.bias import bias_correction, correct_bias
from quantlib.correction.equalization import (
    cross_layer_equalization,
    equalization_scales,
    smooth_quant_scales,
)
from quantlib.correction.gptq import gptq
from quantlib.correction.measures import cosine_similarity, relative_error, sqnr
from quantlib.correction.sums import keep_sums
from quantlib.correction.weights import weight_correction

__all__ = [
    "adaround",
    "bias_correction",
    "correct_bias",
    "cosine_similarity",
    "cross_layer_equalization",
    "equalization_scales",
    "gptq",
    "keep_sums",
    "relative_error",
    "smooth_quant_scales",
    "sqnr",
    "weight_correction",
]
