"""Mean squared error, and any other power of it: the range of least quantization error."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantlib.calibration.histogram import Histogram
from quantlib.calibration.search import Ends, search_range

__all__ = ["mse_range", "quantization_error"]


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
    >>> from quantlib.calibration.histogram import histogram_of
    >>> x = np.random.default_rng(0).standard_normal(100_000)
    >>> low, high = mse_range(histogram_of(x), levels=15)  # 4 bits
    >>> bool(2.3 < -low < 3.0) and bool(2.3 < high < 3.0)
    True
    """
    edges, drops = _edges_and_drops(histogram)

    def cost(low: Ends, high: Ends) -> Ends:
        return _error(edges, drops, low, high, levels, power)

    low, high = search_range(cost, histogram.lowest, histogram.highest)
    return low * histogram.width, high * histogram.width


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
    The choice of a range by this error, for Gaussian and Laplacian densities, goes back to
    W. Sung, S. Shin, K. Hwang, "Resiliency of Deep Neural Networks under Quantization", 2015,
    https://arxiv.org/abs/1511.06488, and R. Banner et al., "Post training 4-bit quantization of
    convolutional networks for rapid-deployment", 2019, https://arxiv.org/abs/1810.05723; here the
    density is the histogram itself.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.calibration.histogram import histogram_of
    >>> h = histogram_of(np.linspace(-1, 1, 10_001))
    >>> error = quantization_error(h, -1.0, 1.0, levels=255)
    >>> round(error / ((2 / 255) ** 2 / 12), 2)
    1.0
    """
    edges, drops = _edges_and_drops(histogram)
    ends = np.array([low]) / histogram.width, np.array([high]) / histogram.width
    total = _error(edges, drops, *ends, levels, power)[0] * histogram.width**power
    return float(total / histogram.count)


def _edges_and_drops(histogram: Histogram) -> tuple[Ends, Ends]:
    """The bin edges at which the density drops (or, if negative, rises), and by how much.

    Summation by parts turns the sum of ``n * (F(b) - F(a))`` over bins into one over edges, each
    of which is then evaluated once, and those amid empty bins not at all.
    """
    drops = -np.diff(histogram.counts, prepend=0, append=0)
    at = np.flatnonzero(drops)
    return (at + histogram.origin).astype(np.float64), drops[at].astype(np.float64)


def _error(edges: Ends, drops: Ends, low: Ends, high: Ends, levels: int, power: float) -> Ends:
    """The summed error of each range; everything in bin widths."""
    step = (high - low) / levels
    zero = np.rint(-low / step)
    position = edges / step[:, np.newaxis]
    code = np.rint(position)
    np.clip(code, -zero[:, np.newaxis], levels - zero[:, np.newaxis], out=code)
    position -= code
    integral = _signed_power(position, power + 1)
    code *= 2 * 0.5 ** (power + 1)
    integral += code
    total: Ends = integral @ drops * step ** (power + 1) / (power + 1)
    return total


def _signed_power(r: npt.NDArray[np.float64], exponent: float) -> npt.NDArray[np.float64]:
    """``sign(r) * |r| ** exponent``; the cube, which is what p = 2 needs, without a pow."""
    return r * r * r if exponent == 3 else np.copysign(np.abs(r) ** exponent, r)
