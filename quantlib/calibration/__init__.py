"""Ranges from data: the histogram, and one small file for each way to choose a range by it."""

from quantlib.calibration.api import METHODS, VARIANTS, calibrate, find_range
from quantlib.calibration.histogram import Histogram, histogram_of, merge

__all__ = [
    "METHODS",
    "VARIANTS",
    "Histogram",
    "calibrate",
    "find_range",
    "histogram_of",
    "merge",
]
