"""The methods by name: what they need to be told, and the range that each chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlib._arguments.summary import SMALLEST_EXPONENT
from quantlib.calibration.divergence import (
    DIVERGENCES,
    divergence_range,
    kl_threshold_mindspore_lite,
    kl_threshold_tensorrt,
)
from quantlib.calibration.histogram import Histogram
from quantlib.calibration.minmax import minmax_range
from quantlib.calibration.mse import mse_range
from quantlib.calibration.percentile import SIDES, percentile_range
from quantlib.params import QType

__all__ = ["BATCH_METHODS", "METHODS", "SEARCHES", "VARIANTS", "Choice", "find_range"]

SEARCHES = ("minmax", "percentile", "kl", "symmetric_kl", "js", "mse", "lp")  # of a histogram
BATCH_METHODS = ("moving_average", "removal_outlier")  # of the batches
METHODS = (*SEARCHES, *BATCH_METHODS)
VARIANTS = ("quantlib", "tensorrt", "mindspore_lite")


@dataclass(frozen=True, slots=True)
class Choice:
    """A method with all that it is told, checked."""

    method: str
    qtype: QType
    symmetric: bool
    percentile: float
    side: str
    variant: str
    power: float

    @classmethod
    def checked(
        cls,
        method: Any,
        qtype: Any,
        symmetric: Any,
        *,
        narrow: Any = None,
        percentile: Any,
        side: Any,
        variant: Any,
        power: Any,
        methods: tuple[str, ...] = METHODS,
    ) -> Choice:
        """The choice, or a TypeError or ValueError that names the argument."""
        target = QType.of(qtype, narrow=narrow)
        names = {"method": methods, "side": SIDES, "variant": VARIANTS}
        for name, value in (("method", method), ("side", side), ("variant", variant)):
            if not isinstance(value, str):
                raise TypeError(f"{name} must be a string, not {type(value).__name__}")
            if value not in names[name]:
                allowed = ", ".join(map(repr, names[name]))
                raise ValueError(f"{name} is {value!r}; it may be {allowed}")
        if variant != "quantlib" and method != "kl":
            raise ValueError(f"variant is {variant!r}, which only method 'kl' has, not {method!r}")
        if not isinstance(symmetric, (bool, np.bool_)):
            raise TypeError(f"symmetric must be a bool, not {type(symmetric).__name__}")
        if symmetric and target.qmax == target.midpoint:
            raise ValueError(f"symmetric needs 2 bits or more; qtype is {target.name}")
        share, exponent = as_number(percentile, "percentile"), as_number(power, "power")
        if not 0 < share <= 100:
            raise ValueError(f"percentile is {percentile}; it must be above 0 and up to 100")
        if not 0 < exponent <= HIGHEST_POWER:
            raise ValueError(f"power is {power}; it must be above 0 and up to {HIGHEST_POWER}")
        return cls(method, target, bool(symmetric), share, side, variant, exponent)

    def range_of(self, histogram: Histogram) -> tuple[float, float]:
        """The range for the data of a histogram, by one of the searches.

        A symmetric search is one of magnitudes, with the codes from 0 up.
        """
        if histogram.count == 0:
            raise ValueError("histogram holds no values")
        data = histogram.magnitudes() if self.symmetric else histogram
        if histogram.exponent == SMALLEST_EXPONENT:  # all zeros, or below any scale there is
            low, high = minmax_range(data)
        else:
            low, high = self._search(data)
        if self.symmetric:
            low = -high
        return low + 0.0, high + 0.0  # not -0.0

    def _search(self, histogram: Histogram) -> tuple[float, float]:
        if self.method == "minmax":
            return minmax_range(histogram)
        if self.method == "percentile":
            return percentile_range(histogram, self.percentile, self._side)
        lowest = self.qtype.midpoint if self.symmetric else self.qtype.qmin
        levels = self.qtype.qmax - lowest
        if self.method in DIVERGENCES:
            if self.variant == "quantlib":
                return divergence_range(histogram, levels, self.method)
            return _cut_at_threshold(histogram, self.variant, 2 ** (self.qtype.bits - 1))
        return mse_range(histogram, levels, self.power if self.method == "lp" else 2.0)

    @property
    def _side(self) -> str:
        """Magnitudes have an upper end only."""
        return "both" if self.symmetric else self.side


HIGHEST_POWER = 16  # with a higher one, differences of large errors leave no digits


def find_range(
    histogram: Histogram,
    method: str = "kl",
    qtype: Any = "int8",
    symmetric: bool = False,
    *,
    percentile: float = 99.99,
    side: str = "both",
    variant: str = "quantlib",
    power: float = 2.0,
) -> tuple[float, float]:
    """The range that a method chooses for the data of a histogram.

    Parameters
    ----------
    histogram : Histogram
        Of one value or more.
    method : str
        One of `SEARCHES`.
    qtype, symmetric, percentile, side, variant, power
        As for `calibrate`.

    Returns
    -------
    low, high : float
        In the units of the data, ``low <= 0 <= high``; ``low == -high`` if `symmetric`.

    Raises
    ------
    TypeError, ValueError
        As `calibrate` does.

    Examples
    --------
    >>> from quantlib.calibration import histogram_of
    >>> find_range(histogram_of([-1.0, 2.0]), "minmax")
    (-1.0, 2.0)
    >>> find_range(histogram_of([-1.0, 2.0]), "minmax", symmetric=True)
    (-2.0, 2.0)
    """
    choice = Choice.checked(
        method,
        qtype,
        symmetric,
        percentile=percentile,
        side=side,
        variant=variant,
        power=power,
        methods=SEARCHES,
    )
    return choice.range_of(histogram)


def _cut_at_threshold(histogram: Histogram, variant: str, groups: int) -> tuple[float, float]:
    """The data's range, cut to the threshold T that another engine's recipe finds on ``|x|``."""
    magnitudes = histogram.magnitudes()
    counts, width = magnitudes.counts, histogram.width
    if counts.size <= groups:  # as many groups as bins, which leaves nothing to be chosen
        return minmax_range(histogram)
    if variant == "tensorrt":
        threshold = kl_threshold_tensorrt(counts, groups) * width
    else:
        threshold = kl_threshold_mindspore_lite(counts + 1e-7, width, groups)
    low, high = minmax_range(histogram)
    return max(low, -threshold), min(high, threshold)


def as_number(value: Any, name: str) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    return float(value)
