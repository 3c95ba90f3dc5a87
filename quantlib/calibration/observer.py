"""`Observer`: what is collected of data that comes in batches, and all that can be asked of it."""

from __future__ import annotations

import os
import zipfile
import zlib
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from quantlib._arguments.arrays import Array, as_real
from quantlib._arguments.summary import summary_arguments
from quantlib.calibration.batches import Batches
from quantlib.calibration.compare import Comparison, compare_methods
from quantlib.calibration.histogram import Histogram
from quantlib.calibration.methods import BATCH_METHODS, Choice, as_number
from quantlib.calibration.percentile import Percentile, percentile_of
from quantlib.calibration.statistics import Statistics
from quantlib.params import QuantParams, as_index

__all__ = ["Observed", "Observer", "describe"]

FORMAT = 1  # of saved observers
UNREADABLE = (  # what reading a file can raise that is not one
    ArithmeticError,
    EOFError,
    KeyError,
    NotImplementedError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)

Observed = tuple[int, Statistics, list[Batches]]  # dimensions, and what `Observer` keeps


class Observer:
    """Collects what calibration needs to know of data, in bounded memory.

    Counts, extremes, exact moments and a histogram with bins of a power-of-two width: 64 KiB for a
    tensor, or for each channel, however much data passes and however wide its range is. They are a
    function of the values alone: `update` in any order, cut into batches in any way, and `merge` of
    any partition give the same bits, and so do the parameters of all methods but two.

    These two, ``"moving_average"`` and ``"removal_outlier"``, average over batches. What they
    need is kept apart, and depends on what a batch is and, for the first, on their order.

    Parameters
    ----------
    axis : int, optional
        The channel axis: every index along it is observed by itself. Negative counts from the end.
    averaging_constant : float
        For "moving_average": the weight of a new batch, above 0 and up to 1.
    nonfinite : {"raise", "ignore"}
        Whether NaN and infinity are an error, or are counted and left out.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `averaging_constant` is out of its range or `nonfinite` not one of the two.

    Notes
    -----
    An observer is for one thread at a time. It can be copied, pickled, compared and saved.

    Examples
    --------
    >>> import numpy as np
    >>> import quantlib as ql
    >>> x = np.random.default_rng(0).standard_normal((1000, 64)).astype(np.float32)
    >>> obs = ql.Observer()
    >>> for batch in np.array_split(x, 7):
    ...     obs.update(batch)
    >>> obs.params("mse", "uint8") == ql.calibrate(x, "mse", "uint8")
    True
    >>> int(obs.count), round(float(obs.mean), 6) == round(float(x.mean(dtype=np.float64)), 6)
    (64000, True)
    """

    def __init__(
        self,
        axis: int | None = None,
        *,
        averaging_constant: float = 0.01,
        nonfinite: str = "raise",
    ) -> None:
        constant = as_number(averaging_constant, "averaging_constant")
        if not 0 < constant <= 1:
            raise ValueError(
                f"averaging_constant is {averaging_constant}; it must be above 0 and up to 1"
            )
        if nonfinite not in ("raise", "ignore"):
            raise ValueError(f"nonfinite is {nonfinite!r}; it may be 'raise' or 'ignore'")
        self._axis = None if axis is None else as_index(axis, "axis")
        self._constant = constant
        self._nonfinite = nonfinite
        self._dimensions = 0
        self._statistics: Statistics | None = None
        self._batches: Batches | None = None

    # --- collecting ---------------------------------------------------------------------------

    def update(self, x: npt.ArrayLike) -> None:
        """Observe one more batch.

        Parameters
        ----------
        x : array_like of float or int
            Of any shape, if there is no `axis`; otherwise with the dimensions and the number of
            channels of the batches before it. May be empty. Not kept.

        Raises
        ------
        TypeError
            If `x` is not an array of floats or integers.
        ValueError
            If it does not fit the batches before it or, with ``nonfinite="raise"``, holds NaN or
            infinity. The observer then stays as it was.
        """
        self.add(describe(x, self._axis, self._nonfinite))

    def merge(self, other: Observer) -> None:
        """Take in all that another observer has seen, as if its batches had come after.

        Parameters
        ----------
        other : Observer
            With the same arguments. It stays as it is.

        Raises
        ------
        TypeError
            If `other` is not an observer.
        ValueError
            If it was made with other arguments, or saw other dimensions or channels. This observer
            then stays as it was.

        Notes
        -----
        The moving average of batches that were averaged apart is what it would have been together,
        up to the rounding of float64.
        """
        if not isinstance(other, Observer):
            raise TypeError(f"other must be an Observer, not {type(other).__name__}")
        if self._arguments != other._arguments:
            raise ValueError(
                f"other has (axis, averaging_constant, nonfinite) {other._arguments}; "
                f"they must be {self._arguments}"
            )
        if other._statistics is not None:
            self.add(other.observed)

    def add(self, observed: Observed) -> None:
        """Take in what `describe` returned for batches that come next."""
        dimensions, statistics, batches = observed
        if self._statistics is None or self._batches is None:
            self._dimensions, self._statistics, self._batches = dimensions, statistics, batches[0]
            batches = batches[1:]
        else:
            self._require_layout(dimensions, statistics.channels)
            self._statistics = self._statistics.merged(statistics)
        for batch in batches:
            self._batches = self._batches.followed_by(batch, self._constant)

    @property
    def observed(self) -> Observed:
        """Everything that was collected, for `add`."""
        seen = self._seen()
        assert self._batches is not None
        return self._dimensions, seen, [self._batches]

    def _require_layout(self, dimensions: int, channels: int) -> None:
        mine = self._dimensions, self._statistics.channels if self._statistics else 0
        if self._axis is not None and mine != (dimensions, channels):
            raise ValueError(
                f"x has batches with different (dimensions, channels), {mine} and "
                f"{(dimensions, channels)}, along axis {self._axis}; they must be the same"
            )

    # --- what was collected ---------------------------------------------------------------------

    @property
    def axis(self) -> int | None:
        """The channel axis."""
        return self._axis

    @property
    def nonfinite(self) -> str:
        """Whether NaN and infinity raise, or are ignored."""
        return self._nonfinite

    @property
    def count(self) -> Array:
        """The number of finite values, int64: a scalar, or one for each channel."""
        return self._shaped(self._seen().count)

    @property
    def nonfinite_count(self) -> Array:
        """The number of values that are NaN or infinite and were left out, int64."""
        return self._shaped(self._seen().nonfinite)

    @property
    def minimum(self) -> Array:
        """The smallest finite value, float64; infinity if there is none."""
        return self._shaped(self._seen().minimum)

    @property
    def maximum(self) -> Array:
        """The largest finite value, float64; -infinity if there is none."""
        return self._shaped(self._seen().maximum)

    @property
    def mean(self) -> Array:
        """The exact mean, rounded once to float64; NaN without values."""
        seen = self._seen()
        return self._shaped(np.array([seen.mean(c) for c in range(seen.channels)], np.float64))

    @property
    def variance(self) -> Array:
        """The exact mean squared distance from the mean, rounded once; NaN without values."""
        seen = self._seen()
        return self._shaped(np.array([seen.variance(c) for c in range(seen.channels)], np.float64))

    @property
    def batches(self) -> Array:
        """The number of batches that held finite values, int64."""
        self._seen()
        assert self._batches is not None
        return self._shaped(self._batches.batches)

    @property
    def moving_average(self) -> tuple[Array, Array]:
        """The moving averages of the batches' minima and maxima, float64."""
        self._seen()
        assert self._batches is not None
        return self._shaped(self._batches.low), self._shaped(self._batches.high)

    @property
    def histograms(self) -> list[Histogram]:
        """The histogram of each channel, or the only one."""
        seen = self._seen()
        return [seen.histogram(channel) for channel in range(seen.channels)]

    def _seen(self) -> Statistics:
        if self._statistics is None:
            raise ValueError("the observer has seen no batch")
        return self._statistics

    def _shaped(self, values: Array) -> Array:
        """A copy: a scalar without `axis`."""
        return values[0].copy() if self._axis is None else values.copy()

    def percentile(self, percentile: float = 99.99, side: str = "both") -> Percentile:
        """The ends that hold a share of the values, with the bounds of their errors.

        Parameters
        ----------
        percentile : float
            The share to keep, in percent, above 0 and up to 100.
        side : {"both", "lower", "upper"}
            Where values may be left out.

        Returns
        -------
        Percentile
            ``low``, ``high``, ``low_error`` and ``high_error``: scalars or, with `axis`, arrays
            with one entry for each channel. The exact ends lie within the errors inwards of these.
        """
        choice = self._choice("percentile", percentile=percentile, side=side)
        self._require_values()
        answers = [
            percentile_of(histogram, choice.percentile, choice.side)
            for histogram in self.histograms
        ]
        if self._axis is None:
            return answers[0]
        return Percentile(*np.array(answers).T)

    # --- parameters -----------------------------------------------------------------------------

    def params(
        self,
        method: str = "kl",
        qtype: Any = "int8",
        symmetric: bool = False,
        *,
        narrow: bool | None = None,
        percentile: float = 99.99,
        side: str = "both",
        variant: str = "quantlib",
        power: float = 2.0,
    ) -> QuantParams:
        """The quantization parameters that suit what was observed best, by a given measure.

        Parameters
        ----------
        method, qtype, symmetric, narrow, percentile, side, variant, power
            As for `calibrate`.

        Returns
        -------
        QuantParams
            Per-tensor, or per-channel along `axis`.

        Raises
        ------
        TypeError
            If an argument has the wrong type.
        ValueError
            If a name is unknown or a number out of its range; if nothing was observed, or nothing
            finite of a channel; if the range is too wide for a float32 scale.
        """
        choice = self._choice(
            method,
            qtype,
            symmetric,
            narrow=narrow,
            percentile=percentile,
            side=side,
            variant=variant,
            power=power,
        )
        return self.chosen(choice)

    def chosen(self, choice: Choice) -> QuantParams:
        """The parameters of a checked choice."""
        self._require_values()
        seen, batches = self._statistics, self._batches
        assert seen is not None
        assert batches is not None
        if choice.method in BATCH_METHODS:
            average = choice.method == "moving_average"
            find = batches.moving_average if average else batches.without_outliers
            ends = [find(channel) for channel in range(seen.channels)]
        else:
            ends = [choice.range_of(histogram) for histogram in self.histograms]
        low, high = np.array(ends).T
        if self._axis is None:
            low, high = low[0], high[0]
        return QuantParams.from_range(low, high, choice.qtype, choice.symmetric, axis=self._axis)

    def compare(
        self,
        qtype: Any = "int8",
        symmetric: bool = False,
        *,
        narrow: bool | None = None,
        percentile: float = 99.99,
    ) -> Comparison:
        """All methods side by side, with the error that each leads to on what was observed.

        Parameters
        ----------
        qtype, symmetric, narrow, percentile
            As for `calibrate`.

        Returns
        -------
        Comparison
            Prints as a table; `Comparison.plot` draws it.

        Examples
        --------
        >>> import numpy as np
        >>> import quantlib as ql
        >>> obs = ql.Observer()
        >>> obs.update(np.random.default_rng(0).laplace(size=100_000))
        >>> report = obs.compare(symmetric=True)
        >>> best = min(report.rows, key=lambda row: row.error)
        >>> best.method, bool(best.clipping < best.error)
        ('mse', True)
        """
        choice = self._choice("mse", qtype, symmetric, narrow=narrow, percentile=percentile)
        self._require_values()
        seen = self._seen()
        squares = [seen.mean_square(channel) for channel in range(seen.channels)]
        return compare_methods(self.histograms, squares, self.chosen, choice)

    @staticmethod
    def _choice(method: str, qtype: Any = "int8", symmetric: bool = False, **told: Any) -> Choice:
        defaults = {"percentile": 99.99, "side": "both", "variant": "quantlib", "power": 2.0}
        return Choice.checked(method, qtype, symmetric, **{**defaults, **told})

    def _require_values(self) -> None:
        """Raise if there is a channel without values."""
        counts = np.zeros(0) if self._statistics is None else self._statistics.count
        if counts.size and counts.all():
            return
        several = self._axis is not None and counts.size
        place = f"channel {int(np.argmin(counts))} of x" if several else "x"
        raise ValueError(f"{place} holds no {'finite ' * (self._nonfinite == 'ignore')}values")

    # --- copies ---------------------------------------------------------------------------------

    @property
    def _arguments(self) -> tuple[Any, ...]:
        return self._axis, self._constant, self._nonfinite

    def __eq__(self, other: object) -> bool:
        """Whether both were made alike and have seen the same values; batches do not matter."""
        if not isinstance(other, Observer):
            return NotImplemented
        return self._arguments == other._arguments and self._statistics == other._statistics

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self._statistics is None:
            return f"<Observer axis={self._axis}: nothing yet>"
        low, high = self._statistics.minimum.min(), self._statistics.maximum.max()
        return (
            f"<Observer axis={self._axis}: {int(self._statistics.count.sum())} values "
            f"from {low:.6g} to {high:.6g}>"
        )

    def save(self, file: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write everything to a file in NumPy's npz format.

        Parameters
        ----------
        file : path or binary file
            A path is written as it is, without a suffix being added.

        Raises
        ------
        ValueError
            If the observer has seen no batch.
        """
        arrays = {f"statistics.{k}": v for k, v in self._seen().to_arrays().items()}
        assert self._batches is not None
        arrays |= {f"batches.{k}": v for k, v in self._batches.to_arrays().items()}
        arrays["format"] = np.array(FORMAT)
        arrays["axis"] = np.array([] if self._axis is None else [self._axis], np.int64)
        arrays["dimensions"] = np.array(self._dimensions)
        arrays["averaging_constant"] = np.array(self._constant)
        arrays["nonfinite"] = np.array(self._nonfinite)
        if hasattr(file, "write"):
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
            return
        with open(file, "wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, file: str | os.PathLike[str] | IO[bytes]) -> Observer:
        """The observer that `save` wrote.

        Parameters
        ----------
        file : path or binary file
            What was written.

        Returns
        -------
        Observer
            Equal to the one that was saved, in all its bits.

        Raises
        ------
        ValueError
            If the file holds something else, or fields that cannot belong together. Nothing in a
            file is executed.
        """
        try:
            with np.load(file, allow_pickle=False) as stored:
                return cls._from_arrays({name: stored[name] for name in stored.files})
        except UNREADABLE as error:
            raise ValueError(f"file holds no saved Observer: {error}") from error

    @classmethod
    def _from_arrays(cls, arrays: dict[str, Array]) -> Observer:
        if int(arrays["format"]) != FORMAT:
            raise ValueError(f"its format is {arrays['format']}, not {FORMAT}")
        axis = [int(index) for index in arrays["axis"]]
        observer = cls(
            axis[0] if axis else None,
            averaging_constant=float(arrays["averaging_constant"]),
            nonfinite=str(arrays["nonfinite"]),
        )
        parts: dict[str, dict[str, Array]] = {"statistics": {}, "batches": {}}
        for name, array in arrays.items():
            part, _, field = name.partition(".")
            if field:
                parts[part][field] = array
        observer._dimensions = int(arrays["dimensions"])
        observer._statistics = Statistics.from_arrays(parts["statistics"])
        channels = observer._statistics.channels
        if len(axis) > 1 or (not axis and channels != 1):
            raise ValueError(f"it has {channels} channels along axis {axis}")
        observer._batches = Batches.from_arrays(parts["batches"], channels)
        return observer


def describe(x: npt.ArrayLike, axis: int | None, nonfinite: str) -> Observed:
    """What an observer keeps of one batch."""
    data = as_real(x, "x")
    rows, _ = summary_arguments(data, axis)
    statistics = Statistics.of(rows)
    if nonfinite == "raise" and statistics.nonfinite.any():
        found = rows[~np.isfinite(rows)][0]
        raise ValueError(
            f"x holds {found}; values must be finite, unless nonfinite='ignore' leaves the "
            "others out"
        )
    return data.ndim, statistics, [Batches.of(rows, statistics)]
