"""`calibrate`: from data to `QuantParams`, by any of the methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib.calibration.methods import Choice
from quantlib.calibration.observer import Observer
from quantlib.calibration.parallel import observe
from quantlib.calibration.progress import Progress, reporting
from quantlib.params import QuantParams

__all__ = ["calibrate"]


def calibrate(
    x: Any,
    method: str = "kl",
    qtype: Any = "int8",
    symmetric: bool = False,
    axis: int | None = None,
    *,
    narrow: bool | None = None,
    percentile: float = 99.99,
    side: str = "both",
    variant: str = "quantlib",
    power: float = 2.0,
    averaging_constant: float = 0.01,
    nonfinite: str = "raise",
    executor: Executor | None = None,
    progress: bool | Progress = False,
) -> QuantParams:
    """The quantization parameters that suit data best, by a given measure.

    Parameters
    ----------
    x : array_like, or iterable of array_like
        The data: one array of floats or integers of any shape, or batches of them, such as a
        list of arrays or a generator, read once. Batches give the bits that their concatenation
        gives, in any order, except with "moving_average" and "removal_outlier".
    method : str
        What the range is chosen by.

        =================  ========================================================
        "minmax"           the extremes; nothing is clipped
        "percentile"       all but a share of the values
        "kl"               least Kullback-Leibler divergence
        "symmetric_kl"     least divergence, taken both ways
        "js"               least Jensen-Shannon divergence
        "mse"              least mean squared error
        "lp"               least mean error to the power of `power`
        "moving_average"   the extremes of a batch, averaged over the batches
        "removal_outlier"  all but 0.01 percent of a batch's values at each end,
                           averaged over the batches
        =================  ========================================================
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
    side : {"both", "lower", "upper"}
        For "percentile", without `symmetric`: at which end values may be left out.
    variant : str
        For "kl": ``"quantlib"``, or the recipes ``"tensorrt"`` or ``"mindspore_lite"``, which
        search one threshold, with ``2 ** (bits - 1)`` groups, that asymmetric ranges are cut to.
    power : float
        For "lp": 2 is the squared error; 1 weighs large errors less, 4 more. Above 0, up to 16.
    averaging_constant : float
        For "moving_average": the weight of a new batch, ``m <- m + averaging_constant * (v - m)``
        from the first batch on.
    nonfinite : {"raise", "ignore"}
        Whether NaN and infinity are an error, or are left out.
    executor : concurrent.futures.Executor, optional
        Who observes the batches: a pool of processes or threads, ``Client.get_executor()`` of Dask,
        or any other. The result has the same bits.
    progress : bool or callable
        True shows it on the standard error stream; a callable is called after every batch, or group
        of batches, with how many are done, and of how many, or None where that is not known.

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
        if a name is unknown or a number out of its range.

    See Also
    --------
    Observer : the same in steps, and all methods from one pass.
    quantlib.calibration.find_range : the same searches on a histogram.

    Notes
    -----
    The definitions, with their sources, are in `percentile_of`, `divergence`, and
    `quantization_error` of the modules of `quantlib.calibration`. All read one histogram with bins
    of a power-of-two width, between 1/4096 and 1/2048 of the largest magnitude. All-zero data has
    scale 1.

    Examples
    --------
    >>> import numpy as np
    >>> import quantlib as ql
    >>> x = np.append(np.random.default_rng(0).standard_normal(100_000), 100.0)
    >>> methods = ("minmax", "percentile", "kl", "js", "mse")
    >>> [round(float(ql.calibrate(x, method, symmetric=True).scale) * 127) for method in methods]
    [100, 4, 5, 4, 65]
    >>> ql.calibrate([[0.0, 1.0], [0.0, 4.0]], "minmax", "uint8", axis=0).scale * 255
    array([1., 4.], dtype=float32)
    """
    choice = Choice.checked(
        method,
        qtype,
        symmetric,
        narrow=narrow,
        percentile=percentile,
        side=side,
        variant=variant,
        power=power,
    )
    observer = Observer(axis, averaging_constant=averaging_constant, nonfinite=nonfinite)
    if not (executor is None or hasattr(executor, "submit")):
        raise TypeError(
            f"executor must be a concurrent.futures.Executor, not {type(executor).__name__}"
        )
    items = _items(x)
    total = len(items) if isinstance(items, Sized) else None
    with reporting(progress, "batches observed") as report:
        observe(observer, map(_as_values, items), total, executor, report)
    return observer.chosen(choice)


def _items(x: Any) -> Iterable[Any]:
    """What `x` is made of: itself, or its items if it is an iterable of arrays."""
    if isinstance(x, (str, bytes, Mapping)):
        raise TypeError(f"x must be an array or an iterable of arrays, not {type(x).__name__}")
    if _is_array(x) or not isinstance(x, Iterable):
        return [x]
    if isinstance(x, (list, tuple)) and not any(map(_is_array, x)):
        return [x]  # nested lists of numbers are one array
    return x


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
