"""Ranges from data: what is collected of it, and one small file for each way to choose a range."""

from quantlib.calibration.api import calibrate
from quantlib.calibration.compare import Comparison
from quantlib.calibration.histogram import Histogram
from quantlib.calibration.methods import METHODS, SEARCHES, VARIANTS, find_range
from quantlib.calibration.observer import Observer
from quantlib.calibration.statistics import histogram_of

__all__ = [
    "METHODS",
    "SEARCHES",
    "VARIANTS",
    "Comparison",
    "Histogram",
    "Observer",
    "calibrate",
    "find_range",
    "histogram_of",
]
