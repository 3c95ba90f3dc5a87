"""`calibrate`: from data to `QuantParams`, by any of the methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from quantlib.calibration.divergence import (
    FORMULAS,
    divergence_range,
    kl_threshold_mindspore_lite,
    kl_threshold_tensorrt,
)
from quantlib.calibration.histogram import SMALLEST_EXPONENT, Histogram, histogram_of, merge
from quantlib.calibration.minmax import minmax_range
from quantlib.calibration.mse import mse_range
from quantlib.calibration.percentile import percentile_range
from quantlib.params import QType, QuantParams, as_index

__all__ = ["METHODS", "VARIANTS", "calibrate", "find_range"]

METHODS = ("minmax", "percentile", "kl", "symmetric_kl", "js", "mse")
VARIANTS = ("quantlib", "tensorrt", "mindspore_lite")
Search = Callable[[Histogram], tuple[float, float]]  # to (low, high)

WIDEST_DIVERGENCE = 10  # bits; with more, codes are no wider than the bins that are compared


def calibrate(
    x: Any,
    method: str = "kl",
    qtype: Any = "int8",
    symmetric: bool = False,
    axis: int | None = None,
    *,
    narrow: bool | None = None,
    percentile: float = 99.99,
    variant: str = "quantlib",
    nonfinite: Literal["raise", "ignore"] = "raise",
) -> QuantParams:
    """The quantization parameters that suit data best, by a given measure.

    Parameters
    ----------
    x : array_like, or iterable of array_like
        The data: one array of floats or integers of any shape, or batches of them, such as a
        list of arrays or a generator, read once. Batches give the bits that their concatenation
        gives, in any order.
    method : str
        What the range is chosen by.

        ==============  ===========================================================
        "minmax"        the extremes; nothing is clipped
        "percentile"    all but a share of the values
        "kl"            least Kullback-Leibler divergence
        "symmetric_kl"  least divergence, taken both ways
        "js"            least Jensen-Shannon divergence
        "mse"           least mean squared error
        ==============  ===========================================================
    qtype : QType or str or numpy.dtype
        The codes' type.
    symmetric : bool
        Search one threshold T and use the range -T to T, with the zero point of `QuantParams`.
        Otherwise both ends are searched, and an end that has no values beyond it stays at 0.
    axis : int, optional
        The channel axis: every index along it gets parameters of its own. Negative counts from
        the end. Batches must agree in rank and in length along this axis.
    narrow : bool, optional
        Leave out the lowest code; None keeps the range of `qtype`.
    percentile : float
        For "percentile": the least share of values to keep, in percent, above 0 and up to 100.
    variant : str
        For "kl": ``"quantlib"``, or the recipes ``"tensorrt"`` or ``"mindspore_lite"``, which
        search one threshold, with ``2 ** (bits - 1)`` groups, that asymmetric ranges are cut to.
    nonfinite : {"raise", "ignore"}
        Whether NaN and infinity are an error, or are left out.

    Returns
    -------
    QuantParams
        Per-tensor, or per-channel along `axis`.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `x` (or a channel of it) holds no values or, with ``nonfinite="raise"``, holds NaN or
        infinity; if batches do not fit together; if the range is too wide for a float32 scale;
        if a name is unknown or a number out of its range; if a divergence is asked for with more
        than 10 bits, where codes are narrower than the bins of the histogram.

    See Also
    --------
    find_range : the same search on a histogram.

    Notes
    -----
    The definitions, with their sources, are in `minmax_range`, `percentile_range`,
    `divergence_range` and `mse_range`. All read one histogram with bins of a power-of-two width,
    between 1/4096 and 1/2048 of the largest magnitude. All-zero data has scale 1.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.append(np.random.default_rng(0).standard_normal(100_000), 100.0)
    >>> [round(float(calibrate(x, method, symmetric=True).scale) * 127) for method in METHODS]
    [100, 4, 5, 5, 4, 65]
    >>> calibrate([[0.0, 1.0], [0.0, 4.0]], "minmax", "uint8", axis=0).scale * 255
    array([1., 4.], dtype=float32)
    """
    target = QType.of(qtype, narrow=narrow)
    search = _checked_search(method, target, symmetric, percentile, variant)
    if nonfinite not in ("raise", "ignore"):
        raise ValueError(f"nonfinite is {nonfinite!r}; it may be 'raise' or 'ignore'")
    if axis is not None:
        axis = as_index(axis, "axis")
    histograms = _channel_histograms(x, axis, nonfinite, extremes_only=method == "minmax")
    for channel, histogram in enumerate(histograms):
        if histogram.count == 0:
            place = "x" if axis is None else f"channel {channel} of x"
            raise ValueError(f"{place} holds no {'finite ' * (nonfinite == 'ignore')}values")
    low, high = np.array([search(histogram) for histogram in histograms]).T
    if axis is None:
        low, high = low[0], high[0]
    return QuantParams.from_range(low, high, target, symmetric, axis=axis)


def find_range(
    histogram: Histogram,
    method: str = "kl",
    qtype: Any = "int8",
    symmetric: bool = False,
    *,
    percentile: float = 99.99,
    variant: str = "quantlib",
) -> tuple[float, float]:
    """The range that a method chooses for the data of a histogram.

    Parameters
    ----------
    histogram : Histogram
        Of one value or more.
    method, qtype, symmetric, percentile, variant
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
    >>> import numpy as np
    >>> find_range(histogram_of(np.array([-1.0, 2.0])), "minmax")
    (-1.0, 2.0)
    >>> find_range(histogram_of(np.array([-1.0, 2.0])), "minmax", symmetric=True)
    (-2.0, 2.0)
    """
    return _checked_search(method, QType.of(qtype), symmetric, percentile, variant)(histogram)


def _checked_search(
    method: str, qtype: QType, symmetric: bool, percentile: float, variant: str
) -> Search:
    """The search that the arguments ask for; invalid ones are refused before any data is read."""
    for name, value, names in (("method", method, METHODS), ("variant", variant, VARIANTS)):
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a string, not {type(value).__name__}")
        if value not in names:
            raise ValueError(f"{name} is {value!r}; it may be {', '.join(map(repr, names))}")
    if variant != "quantlib" and method != "kl":
        raise ValueError(f"variant is {variant!r}, which only method 'kl' has, not {method!r}")
    if not isinstance(symmetric, (bool, np.bool_)):
        raise TypeError(f"symmetric must be a bool, not {type(symmetric).__name__}")
    if symmetric and qtype.qmax == qtype.midpoint:
        raise ValueError(f"symmetric needs 2 bits or more; qtype is {qtype.name}")
    if method in FORMULAS and qtype.bits > WIDEST_DIVERGENCE:
        raise ValueError(
            f"method {method!r} compares histograms, whose bins are too wide for {qtype.name}; "
            f"it takes up to {WIDEST_DIVERGENCE} bits, 'minmax', 'percentile' and 'mse' take more"
        )
    levels = qtype.qmax - (qtype.midpoint if symmetric else qtype.qmin)
    search = _search(method, levels, qtype.bits, _as_percentile(percentile), variant)
    return partial(_find_range, search, bool(symmetric))


def _search(method: str, levels: int, bits: int, percentile: float, variant: str) -> Search:
    if method == "minmax":
        return minmax_range
    if method == "percentile":
        return partial(percentile_range, percentile=percentile)
    if method == "mse":
        return partial(mse_range, levels=levels)
    if variant == "quantlib":
        return partial(divergence_range, levels=levels, formula=FORMULAS[method])
    return partial(_cut_at_threshold, variant=variant, groups=2 ** (bits - 1))


def _find_range(search: Search, symmetric: bool, histogram: Histogram) -> tuple[float, float]:
    """A symmetric search is one of magnitudes, with the codes from 0 up."""
    if histogram.count == 0:
        raise ValueError("histogram holds no values")
    if histogram.exponent == SMALLEST_EXPONENT:  # all zeros, or below any scale there is
        search = minmax_range
    low, high = search(histogram.magnitudes() if symmetric else histogram)
    if symmetric:
        low = -high
    return low + 0.0, high + 0.0  # not -0.0


def _cut_at_threshold(histogram: Histogram, variant: str, groups: int) -> tuple[float, float]:
    """The data's range, cut to the threshold T that another engine's recipe finds on ``|x|``."""
    magnitudes = histogram.magnitudes()
    if variant == "tensorrt":
        threshold = kl_threshold_tensorrt(magnitudes.counts, groups) * histogram.width
    else:
        threshold = kl_threshold_mindspore_lite(magnitudes.counts + 1e-7, histogram.width, groups)
    low, high = minmax_range(histogram)
    return max(low, -threshold), min(high, threshold)


def _channel_histograms(
    x: Any, axis: int | None, nonfinite: str, extremes_only: bool
) -> list[Histogram]:
    """One histogram per channel, or a single one without `axis`."""
    histograms: list[Histogram] = []
    layout: tuple[int, ...] | None = None
    for batch in _batches(x):
        channels = _channels(batch, axis)
        if axis is not None:
            if layout not in (None, (batch.ndim, len(channels))):
                raise ValueError(
                    f"x has batches with different (dimensions, channels), {layout} and "
                    f"{(batch.ndim, len(channels))}, along axis {axis}; they must be the same"
                )
            layout = batch.ndim, len(channels)
        parts = [_histogram(channel, nonfinite, extremes_only) for channel in channels]
        pairs = zip(histograms, parts, strict=True)
        histograms = [merge(*pair) for pair in pairs] if histograms else parts
    if not histograms:
        raise ValueError("x holds no values")
    return histograms


def _histogram(values: npt.NDArray[Any], nonfinite: str, extremes_only: bool) -> Histogram:
    """The histogram of a channel; with `extremes_only`, as if it had no other values."""
    if values.size and values.dtype.kind == "f":
        extremes = np.array([values.min(), values.max()])
        if not np.all(np.isfinite(extremes)):  # NaN, too, passes through min and max
            finite = np.isfinite(values)
            if nonfinite == "raise":
                raise ValueError(
                    f"x holds {values[~finite][0]}; values must be finite, unless "
                    "nonfinite='ignore' leaves the others out"
                )
            values = values[finite]
    if extremes_only and values.size:
        values = np.array([values.min(), values.max()])
    return histogram_of(values)


def _channels(batch: npt.NDArray[Any], axis: int | None) -> Sequence[npt.NDArray[Any]]:
    if axis is None:
        return [batch]
    if not -batch.ndim <= axis < batch.ndim:
        raise ValueError(f"axis is {axis}, but x has {batch.ndim} dimensions")
    return list(np.moveaxis(batch, axis, 0))


def _batches(x: Any) -> Iterator[npt.NDArray[Any]]:
    """The arrays that `x` is made of: itself, or its items if it is an iterable of arrays."""
    if isinstance(x, (str, bytes, Mapping)):
        raise TypeError(f"x must be an array or an iterable of arrays, not {type(x).__name__}")
    if _is_array(x) or not isinstance(x, Iterable):
        items: Iterable[Any] = [x]
    elif isinstance(x, (list, tuple)) and not any(map(_is_array, x)):
        items = [x]  # nested lists of numbers are one array
    else:
        items = x
    return map(_as_values, items)


def _is_array(x: Any) -> bool:
    """Whether `x` is an array itself; NumPy scalars are numbers."""
    return (hasattr(x, "__array__") or hasattr(x, "__dlpack__")) and not isinstance(x, np.generic)


def _as_values(x: Any) -> npt.NDArray[Any]:
    only_dlpack = hasattr(x, "__dlpack__") and not hasattr(x, "__array__")
    try:
        array = np.from_dlpack(x) if only_dlpack else np.asarray(x)
    except ValueError:
        raise ValueError(
            "x holds nested lists of different lengths; it must be rectangular"
        ) from None
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise TypeError(f"x must be float16, float32, float64 or integers, not {array.dtype}")
    return array


def _as_percentile(percentile: Any) -> float:
    if isinstance(percentile, (bool, np.bool_)) or not isinstance(
        percentile, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"percentile must be a number, not {type(percentile).__name__}")
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile is {percentile}; it must be above 0 and up to 100")
    return float(percentile)
