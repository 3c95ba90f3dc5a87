"""Where the least cost lies: the search over ranges that `mse` and the divergences share.

A range is a pair of ends, ``low <= 0 <= high``. The cost of a range is cheap to evaluate for many
ranges at once but has no useful derivative, is not convex, and its best end may lie anywhere from
the largest value down to a thousandth of it. So ends are searched first on a geometric grid, to
which a search of one end alone adds a uniform one where values far from 0 make the cost ripple, and
then on finer uniform grids around the best so far.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["Cost", "Ends", "search_range"]

Ends = npt.NDArray[np.float64]
Cost = Callable[[Ends, Ends], Ends]  # (low, high), both of shape (candidates,), to their costs

FRACTIONS = 2.0 ** (-np.arange(30, -1, -1) / 3)  # three per octave, ten octaves, up to 1
ONE_SIDED_FRACTIONS = np.union1d(FRACTIONS, np.linspace(0.5, 1, 65))
REFINEMENTS = 2
FINER = 8  # parts that a refinement cuts the space on each side of the best end into


def search_range(cost: Cost, lowest: float, highest: float) -> tuple[float, float]:
    """The range of least cost within the range of the data.

    Both ends are first moved in together, ``low = max(lowest, -t)`` and
    ``high = min(highest, t)``. Where the data has both signs, each end is then searched by
    itself with the other one held, twice in turn, the second time nearby and more finely
    (coordinate descent).
    The cost never rises from step to step, and of equal costs the wider range is taken.

    Parameters
    ----------
    cost : callable
        Takes the low and the high ends of the candidates, float64 arrays of one shape
        ``(candidates,)``, and returns their costs, of the same shape.
    lowest, highest : float
        The ends of the data's range, ``lowest <= 0 <= highest`` and ``lowest < highest``.

    Returns
    -------
    low, high : float
        ``lowest <= low <= 0 <= high <= highest``.

    Examples
    --------
    >>> low, high = search_range(lambda low, high: (low + 1) ** 2 + (high - 3) ** 2, -8.0, 8.0)
    >>> round(low, 1), round(high, 1)
    (-1.0, 3.0)
    """

    if -lowest > highest:  # the longer side goes first, so that data and its negative agree
        low, high = search_range(lambda low, high: cost(-high, -low), -highest, -lowest)
        return -high, -low
    one_sided = lowest == 0 or highest == 0
    t = _best_end(
        lambda t: cost(np.maximum(lowest, -t), np.minimum(highest, t)),
        max(-lowest, highest) * (ONE_SIDED_FRACTIONS if one_sided else FRACTIONS),
        REFINEMENTS if one_sided else 1,
    )
    low, high = max(lowest, -t), min(highest, t)
    if one_sided:
        return low, high
    for fractions, refinements in ((FRACTIONS, 1), (None, REFINEMENTS)):
        ends = _around(high, highest, fractions)
        high = _best_end(partial(_cost_of_high, cost, low), ends, refinements)
        ends = _around(-low, -lowest, fractions)
        low = -_best_end(partial(_cost_of_low, cost, high), ends, refinements)
    return low, high


def _cost_of_high(cost: Cost, low: float, high: Ends) -> Ends:
    return cost(np.full_like(high, low), high)


def _cost_of_low(cost: Cost, high: float, low: Ends) -> Ends:
    return cost(-low, np.full_like(low, high))


def _around(end: float, limit: float, fractions: Ends | None) -> Ends:
    """Ends to try: the fractions of the limit, or what lies between the neighbours of `end`."""
    if fractions is None:
        step = FRACTIONS[-1] / FRACTIONS[-2]
        return np.union1d(np.linspace(end / step, min(end * step, limit), FINER), end)
    return np.union1d(limit * fractions, end)


def _best_end(cost: Callable[[Ends], Ends], ends: Ends, refinements: int) -> float:
    """The end of least cost among `ends`, which are sorted, and those of the finer grids."""
    costs = cost(ends)
    for _ in range(refinements):
        best = _last_minimum(costs)
        around = slice(max(best - 1, 0), best + 2)
        known, known_costs = ends[around], costs[around]
        between = [np.linspace(a, b, FINER + 1)[1:-1] for a, b in pairwise(known)]
        ends = np.concatenate([known, *between])
        costs = np.concatenate([known_costs, cost(ends[known.size :])])
        order = np.argsort(ends)
        ends, costs = ends[order], costs[order]
    return float(ends[_last_minimum(costs)])


def _last_minimum(costs: Ends) -> int:
    return costs.size - 1 - int(np.argmin(costs[::-1]))
