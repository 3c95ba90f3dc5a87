"""Quantization of models: what is quantized, with which parameters, and how it is written."""

from quantlib.model.quantization.api import prepare, quantize, sensitivity
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.partial import Partial, Sensitivity

__all__ = ["Partial", "QuantConfig", "Sensitivity", "prepare", "quantize", "sensitivity"]
