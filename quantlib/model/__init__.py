"""ONNX models: load, run, quantize, export. Needs the extra ``onnx``.

``quantlib.model`` is imported at its first use, so that ``import quantlib`` needs nothing but
NumPy, SciPy and cffi.
"""

from __future__ import annotations

try:
    import onnx as _onnx  # noqa: F401
except ImportError:
    raise ImportError('quantlib.model needs onnx: pip install "quantlib-int8[onnx]"') from None

from quantlib.model.annotate import annotate
from quantlib.model.comparison import Comparison, compare
from quantlib.model.configuration import Configuration, ConfigurationError, read_config
from quantlib.model.graph import ModelError
from quantlib.model.lint import Lint, lint
from quantlib.model.model import Model, load
from quantlib.model.preprocessing import CalibrationData
from quantlib.model.quantization import Partial, QuantConfig, Sensitivity, quantize, sensitivity
from quantlib.model.reports import Report, ReportDiff, diff_reports, read_report, write_report
from quantlib.model.storage import StoredWeights, stored_weights

__all__ = [
    "CalibrationData",
    "Comparison",
    "Configuration",
    "ConfigurationError",
    "Lint",
    "Model",
    "ModelError",
    "Partial",
    "QuantConfig",
    "Report",
    "ReportDiff",
    "Sensitivity",
    "StoredWeights",
    "annotate",
    "compare",
    "diff_reports",
    "lint",
    "load",
    "quantize",
    "read_config",
    "read_report",
    "sensitivity",
    "stored_weights",
    "write_report",
]
