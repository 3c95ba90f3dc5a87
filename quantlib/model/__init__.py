"""ONNX models: load, run, quantize, export. Needs the extra ``onnx``.

``quantlib.model`` is imported at its first use, so that ``import quantlib`` needs nothing but
NumPy, SciPy and cffi.
"""

from __future__ import annotations

try:
    import onnx as _onnx  # noqa: F401
except ImportError:
    raise ImportError('quantlib.model needs onnx: pip install "quantlib-int8[onnx]"') from None

from quantlib.model.comparison import Comparison, compare
from quantlib.model.configuration import Configuration, ConfigurationError, read_config
from quantlib.model.graph import ModelError
from quantlib.model.model import Model, load
from quantlib.model.quantization import Partial, QuantConfig, Sensitivity, quantize, sensitivity

__all__ = [
    "Comparison",
    "Configuration",
    "ConfigurationError",
    "Model",
    "ModelError",
    "Partial",
    "QuantConfig",
    "Sensitivity",
    "compare",
    "load",
    "quantize",
    "read_config",
    "sensitivity",
]
