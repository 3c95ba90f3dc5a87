"""Min-max: the range of the data itself."""

from __future__ import annotations

from quantlib.calibration.histogram import Histogram

__all__ = ["minmax_range"]


def minmax_range(histogram: Histogram) -> tuple[float, float]:
    """The exact smallest and largest value, widened to hold 0.

    Nothing is clipped, so one outlier decides the scale; the other methods trade some clipping
    for finer steps.

    Parameters
    ----------
    histogram : Histogram
        Of one value or more.

    Returns
    -------
    low, high : float
        ``min(min(x), 0)`` and ``max(max(x), 0)``, in the units of the data.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.calibration import histogram_of
    >>> minmax_range(histogram_of(np.array([-1.0, 2.0])))
    (-1.0, 2.0)
    """
    return min(histogram.minimum, 0.0), max(histogram.maximum, 0.0)
