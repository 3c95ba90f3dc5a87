"""Calibration data from folders of images or raw tensors, prepared as models were trained."""

from __future__ import annotations

from quantlib.model.preprocessing.data import CalibrationData

__all__ = ["CalibrationData"]
