"""All methods side by side: the table and the picture of `Observer.compare`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np

from quantlib.calibration.histogram import Histogram
from quantlib.calibration.methods import METHODS, Choice
from quantlib.calibration.mse import clipping_error, quantization_error
from quantlib.params import QuantParams

__all__ = ["Comparison", "Row", "compare_methods"]

# "lp" is a family of which "mse" is the member that everyone knows.
COMPARED = [(method, "quantlib") for method in METHODS if method != "lp"]
COMPARED[3:3] = [("kl", "tensorrt"), ("kl", "mindspore_lite")]


@dataclass(frozen=True, slots=True)
class Row:
    """What one method leads to.

    Parameters
    ----------
    method : str
        Its name, with the variant if it has several.
    params : QuantParams
        What it chooses.
    low, high : float
        The smallest and the largest real that has a code, over all channels.
    error : float
        The mean squared error that is expected of the values observed.
    rounding, clipping : float
        The parts of it that come from values between the outermost codes and beyond them.
    sqnr : float
        The mean square of the values over that error, in decibels.
    """

    method: str
    params: QuantParams
    low: float
    high: float
    error: float
    rounding: float
    clipping: float
    sqnr: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The methods side by side; ``str`` of it is a table.

    Parameters
    ----------
    rows : tuple of Row
        One for each method, in a fixed order.
    histograms : tuple of Histogram
        What the errors are expected on.
    """

    rows: tuple[Row, ...]
    histograms: tuple[Histogram, ...]

    def __str__(self) -> str:
        head = ("method", "low", "high", "error", "rounding", "clipping", "SQNR")
        lines = [
            (
                row.method,
                *(f"{value:.5g}" for value in (row.low, row.high)),
                *(f"{value:.3e}" for value in (row.error, row.rounding, row.clipping)),
                f"{row.sqnr:.1f} dB",
            )
            for row in self.rows
        ]
        widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in (head, *lines)
        )

    def plot(self, file: str | os.PathLike[str] | IO[bytes] | None = None, channel: int = 0) -> Any:
        """The histogram of a channel with the thresholds and codes of each method.

        Parameters
        ----------
        file : path or binary file, optional
            Where to save the picture, in the format of its suffix; PNG for a binary file.
        channel : int
            Which channel.

        Returns
        -------
        matplotlib.figure.Figure
            The picture, which needs the extra ``plot``.
        """
        from matplotlib.figure import Figure

        histogram = self.histograms[channel]
        figure = Figure(figsize=(9, 2.5 + 0.3 * len(self.rows)), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1.2))
        edges = (histogram.origin + np.arange(histogram.counts.size + 1)) * histogram.width
        top.stairs(histogram.counts, edges, fill=True, color="0.6")
        top.set_yscale("symlog", linthresh=1)
        top.set_ylabel("values in a bin")
        for place, row in enumerate(self.rows):
            low, high, levels = code_range(row.params, channel)
            color = f"C{place % 10}"
            codes = np.linspace(low, high, levels + 1)
            bottom.plot(codes, np.full(codes.size, place), "|", color=color, markersize=6)
            bottom.hlines(place, low, high, color=color, linewidth=1)
            for end in (low, high):
                top.axvline(end, color=color, linewidth=1)
        bottom.set_yticks(range(len(self.rows)), [row.method for row in self.rows])
        bottom.invert_yaxis()
        bottom.set_xlabel("value")
        if file is not None:
            figure.savefig(file)
        return figure


def compare_methods(
    histograms: list[Histogram],
    mean_squares: list[float],
    find: Callable[[Choice], QuantParams],
    choice: Choice,
) -> Comparison:
    """Every method with what `choice` tells it, by the parameters that `find` returns for it."""
    power = _mean(mean_squares, histograms)
    rows = []
    for method, variant in COMPARED:
        params = find(replace(choice, method=method, variant=variant))
        name = method if variant == "quantlib" else f"{method}, {variant}"
        rows.append(_row(name, params, histograms, power))
    return Comparison(tuple(rows), tuple(histograms))


def code_range(params: QuantParams, channel: int) -> tuple[float, float, int]:
    """The smallest and the largest real that has a code, and the steps between them."""
    scale = float(params.scale.reshape(-1)[channel])
    zero = int(params.zero_point.reshape(-1)[channel])
    qmin, qmax = params.qtype.qmin, params.qtype.qmax
    return (qmin - zero) * scale, (qmax - zero) * scale, qmax - qmin


def _row(name: str, params: QuantParams, histograms: list[Histogram], power: float) -> Row:
    ranges = [code_range(params, channel) for channel in range(len(histograms))]
    error, clipping = (
        _mean([_error(measure, *pair) for pair in zip(histograms, ranges, strict=True)], histograms)
        for measure in (quantization_error, clipping_error)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        sqnr = 10 * np.log10(np.float64(power) / error)
    return Row(
        method=name,
        params=params,
        low=min(low for low, _, _ in ranges),
        high=max(high for _, high, _ in ranges),
        error=error,
        rounding=max(error - clipping, 0.0),
        clipping=clipping,
        sqnr=float(sqnr),
    )


def _error(
    measure: Callable[..., float], histogram: Histogram, ends: tuple[float, float, int]
) -> float:
    return measure(histogram, *ends) if histogram.counts.any() else 0.0  # zeros have no error


def _mean(values: list[float], histograms: list[Histogram]) -> float:
    """Over all values of all channels."""
    return float(np.average(values, weights=[histogram.count for histogram in histograms]))
