"""Quantization of models: what is quantized, with which parameters, and how it is written."""

from quantlib.model.quantization.api import prepare, quantize
from quantlib.model.quantization.config import QuantConfig

__all__ = ["QuantConfig", "prepare", "quantize"]
