"""Mean squared error, and any other power of it: the range of least quantization error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantlib.calibration.histogram import Histogram
from quantlib.calibration.search import Ends, search_range

__all__ = ["clipping_error", "mse_range", "quantization_error"]

TEMPORARY = 1 << 16  # numbers at a time, so that they stay in the cache


def mse_range(histogram: Histogram, levels: int, power: float = 2.0) -> tuple[float, float]:
    """The range whose quantizer has the least mean ``|x - dequantized x| ** power``.

    Parameters
    ----------
    histogram : Histogram
        Of one value other than 0, or more.
    levels : int
        The number of steps between the lowest and the highest code, 1 or more: 255 for int8.
    power : float
        2 for the squared error; 1 weighs large errors less, 4 more. Greater than 0.

    Returns
    -------
    low, high : float
        In the units of the data, ``low <= 0 <= high``.

    See Also
    --------
    quantization_error : the formula that is minimized, and its source.
    quantlib.calibration.search.search_range : the candidates.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.calibration import histogram_of
    >>> x = np.random.default_rng(0).standard_normal(100_000)
    >>> low, high = mse_range(histogram_of(x), levels=15)  # 4 bits
    >>> bool(2.3 < -low < 3.0) and bool(2.3 < high < 3.0)
    True
    """
    cost = _Cost.of(histogram, levels, power)
    low, high = search_range(cost, histogram.lowest, histogram.highest)
    lattice = _multiples(histogram, levels)
    if lattice is not None and cost(*lattice)[0] < cost(np.array([low]), np.array([high]))[0]:
        low, high = float(lattice[0][0]), float(lattice[1][0])
    return low * histogram.width, high * histogram.width


def _multiples(histogram: Histogram, levels: int) -> tuple[Ends, Ends] | None:
    """The range, in bin widths, whose codes hold all multiples of the data's greatest power of two.

    It reaches beyond the data, but to less than its double: the finest such step that reaches it is
    taken. None if the values are not known to be such multiples, or these are too many.
    """
    if not histogram.exact:
        return None
    filled = np.flatnonzero(histogram.counts) + histogram.origin
    outwards = np.where(filled < 0, -1 - filled, filled)
    together = int(np.bitwise_or.reduce(outwards))
    step = float(together & -together)
    span = histogram.highest - histogram.lowest
    if span > levels * step:
        return None
    while span <= levels * step / 2:
        step /= 2
    return np.array([histogram.lowest]), np.array([histogram.lowest + levels * step])


def quantization_error(
    histogram: Histogram, low: float, high: float, levels: int, power: float = 2.0
) -> float:
    """The mean ``|x - dequantized x| ** power`` when the codes are spread over a range.

    Parameters
    ----------
    histogram : Histogram
        Of one value or more.
    low, high : float
        The range, in the units of the data, ``low <= 0 <= high``, not both 0.
    levels : int
        The number of steps between the lowest and the highest code.
    power : float
        Greater than 0.

    Returns
    -------
    float
        In the units of the data to the power of `power`.

    Notes
    -----
    With the step ``s = (high - low) / levels`` and the codes ``0 <= k <= levels``, whose reals
    are ``(k - z) * s`` with ``z = rint(-low / s)``, values are taken to be spread evenly within
    their bin, so that a bin from a to b with n values contributes

        ``n / (b - a) * integral from a to b of |x - Q(x)| ** p dx``
        ``= n / (b - a) * s ** (p + 1) * (F(b / s) - F(a / s))``

    where, with m the code nearest to t less z (clipped to the codes) and ``r = t - m``,

        ``F(t) = m * 2 * 0.5 ** (p + 1) / (p + 1) + sign(r) * |r| ** (p + 1) / (p + 1)``

    is the integral of ``|t - Q(t)| ** p``: its first term adds up the whole cells from 0 on, its
    second the part of the last one, and beyond the outermost code it is the clipping error. Far
    from the ends this is the familiar ``s ** 2 / 12`` for p = 2. Exact zeros have no error.

    The largest and the smallest value are known, and taken for what they are: one value each, at
    which its bin ends. Data that is known to be multiples of the width, such as integers, is taken
    to be where it is, too.

    The histogram knows where a value is up to a 2048th of the largest magnitude. If one value is
    so far out that most others share the bins next to 0, they are taken to be spread over these
    bins, however small they are. For p of 2 and more that does not matter: what it costs to cut
    off the outlier outweighs all the rest. For p below 2 the range can be far from the best: of
    20,000 Gaussian values and one a million times as large, p = 1 cuts the outlier off, with 64
    times the error that keeping it would have had.

    The choice of a range by this error, for Gaussian and Laplacian densities, goes back to
    W. Sung, S. Shin, K. Hwang, "Resiliency of Deep Neural Networks under Quantization", 2015,
    https://arxiv.org/abs/1511.06488, and R. Banner et al., "Post training 4-bit quantization of
    convolutional networks for rapid-deployment", 2019, https://arxiv.org/abs/1810.05723; here the
    density is the histogram itself.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.calibration import histogram_of
    >>> h = histogram_of(np.linspace(-1, 1, 10_001))
    >>> error = quantization_error(h, -1.0, 1.0, levels=255)
    >>> round(error / ((2 / 255) ** 2 / 12), 2)
    1.0
    """
    ends = np.array([low]) / histogram.width, np.array([high]) / histogram.width
    total = _Cost.of(histogram, levels, power)(*ends)[0] * histogram.width**power
    return float(total / histogram.count)


def clipping_error(
    histogram: Histogram, low: float, high: float, levels: int, power: float = 2.0
) -> float:
    """The part of `quantization_error` that comes from values beyond the outermost codes.

    Parameters
    ----------
    histogram, low, high, levels, power
        As for `quantization_error`.

    Returns
    -------
    float
        In the units of the data to the power of `power`; the rest is rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.calibration import histogram_of
    >>> h = histogram_of(np.array([0.25, 0.75, 3.0]))
    >>> clipping_error(h, 0.0, 1.0, levels=4), quantization_error(h, 0.0, 1.0, levels=4)
    (1.3333333333333333, 1.3333333333333333)
    """
    ends = np.array([low]) / histogram.width, np.array([high]) / histogram.width
    total = _Cost.of(histogram, levels, power).of_clipping(*ends)[0] * histogram.width**power
    return float(total / histogram.count)


@dataclass(frozen=True, slots=True)
class _Cost:
    """The summed errors of several ranges; everything in bin widths.

    Summation by parts turns the sum of ``n * (F(b) - F(a))`` over bins into one over edges, each
    of which is then evaluated once, and those amid empty bins not at all.
    """

    levels: int
    power: float
    edges: Ends  # where the density drops (or, if negative, rises),
    drops: Ends  # and by how much
    points: Ends  # where values are known to be,
    weights: Ends  # and how many

    @classmethod
    def of(cls, histogram: Histogram, levels: int, power: float) -> _Cost:
        if histogram.exact:
            filled = np.flatnonzero(histogram.counts)
            index = filled + histogram.origin
            inner = np.where(index < 0, index + 1, index).astype(np.float64)
            none = np.empty(0)
            weights = histogram.counts[filled].astype(np.float64)
            return cls(levels, power, none, none, inner, weights)
        counts = histogram.counts.astype(np.float64)
        pieces = _Pieces()
        filled = np.flatnonzero(counts)
        for bin_ in sorted({filled[0], filled[-1]}):
            ends = []
            if bin_ == filled[0] and histogram.lowest < 0:
                ends.append(histogram.lowest)
            if bin_ == filled[-1] and histogram.highest > 0:
                ends.append(histogram.highest)
            left = max(histogram.origin + bin_, histogram.minimum / histogram.width)
            right = min(histogram.origin + bin_ + 1, histogram.maximum / histogram.width)
            pieces.add(left, right, counts[bin_], ends)
            counts[bin_] = 0
        drops = -np.diff(counts, prepend=0.0, append=0.0)
        at = np.flatnonzero(drops)
        return cls(
            levels=levels,
            power=power,
            edges=np.concatenate([at + float(histogram.origin), np.array(pieces.edges)]),
            drops=np.concatenate([drops[at], np.array(pieces.drops)]),
            points=np.array(pieces.points),
            weights=np.array(pieces.weights),
        )

    def __call__(self, low: Ends, high: Ends) -> Ends:
        rows = max(1, TEMPORARY // max(self.edges.size, 1))
        return np.concatenate(
            [
                self._errors(low[start : start + rows], high[start : start + rows])
                for start in range(0, low.size, rows)
            ]
        )

    def _errors(self, low: Ends, high: Ends) -> Ends:
        step = (high - low) / self.levels
        zero = np.rint(-low / step)
        code, rest = self._quantized(self.edges, step, zero)
        integral = _signed_power(rest, self.power + 1)
        code *= 2 * 0.5 ** (self.power + 1)
        integral += code
        total: Ends = (
            np.einsum("ij,j->i", integral, self.drops) * step ** (self.power + 1) / (self.power + 1)
        )
        _, rest = self._quantized(self.points, step, zero)
        total += (
            np.einsum("ij,j->i", _power(np.abs(rest), self.power), self.weights) * step**self.power
        )
        return total

    def of_clipping(self, low: Ends, high: Ends) -> Ends:
        """What lies beyond the outermost codes adds to the errors."""
        step = (high - low) / self.levels
        zero = np.rint(-low / step)

        def beyond(at: Ends) -> Ends:
            position = at / step[:, np.newaxis]
            inside: Ends = np.clip(
                position, -zero[:, np.newaxis], self.levels - zero[:, np.newaxis]
            )
            return position - inside

        integral = _signed_power(beyond(self.edges), self.power + 1)
        total: Ends = (
            np.einsum("ij,j->i", integral, self.drops) * step ** (self.power + 1) / (self.power + 1)
        )
        rest = _power(np.abs(beyond(self.points)), self.power)
        total += np.einsum("ij,j->i", rest, self.weights) * step**self.power
        return total

    def _quantized(self, at: Ends, step: Ends, zero: Ends) -> tuple[Ends, Ends]:
        """The code of each place for each range, less the zero point, and the distance from it."""
        position = at / step[:, np.newaxis]
        code = np.rint(position)
        np.clip(code, -zero[:, np.newaxis], self.levels - zero[:, np.newaxis], out=code)
        position -= code
        return code, position


class _Pieces:
    """Bins that the extremes cut, as edges and points."""

    def __init__(self) -> None:
        self.edges: list[float] = []
        self.drops: list[float] = []
        self.points: list[float] = []
        self.weights: list[float] = []

    def add(self, left: float, right: float, count: float, ends: list[float]) -> None:
        """`count` values from `left` to `right`, one of them at each of `ends`."""
        for end in ends:
            self._add_point(end, 1.0)
        rest = count - len(ends)
        if rest > 0 and left == right:
            self._add_point(left, rest)
        elif rest > 0:
            density = rest / (right - left)
            self.edges += [left, right]
            self.drops += [-density, density]

    def _add_point(self, at: float, weight: float) -> None:
        self.points.append(at)
        self.weights.append(weight)


def _signed_power(r: Ends, exponent: float) -> Ends:
    """``sign(r) * |r| ** exponent``; the cube, which is what p = 2 needs, in two products."""
    return r * r * r if exponent == 3 else np.copysign(_power(np.abs(r), exponent), r)


def _power(r: Ends, exponent: float) -> Ends:
    """``r ** exponent`` of r >= 0; of multiples of a half up to 5 by products, which is faster."""
    whole, rest = divmod(exponent, 1)
    if rest not in (0, 0.5) or not 1 <= exponent <= 5:
        result: Ends = r**exponent
        return result
    result = r * np.sqrt(r) if rest else r.copy()
    for _ in range(int(whole) - 1):
        result *= r
    return result
