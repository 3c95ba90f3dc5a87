"""The search for the largest step of mixed bits that a model's output bears.

`init_scale` is ``1 / s`` for a whole number s. The search is for the smallest s with which the
output keeps a cosine similarity of 0.995 to the float model's: first in coarse steps, then up to
three times in finer ones before the s that was found. Source: MindSpore Lite,
tools/converter/quantizer/parameter_tunner.cc, https://www.mindspore.cn/lite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from quantlib.calibration.progress import Progress
from quantlib.correction import cosine_similarity
from quantlib.model.graph import Graph, ModelError, Value
from quantlib.model.model import Model
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.weight_bits import (
    Candidate,
    Coder,
    encode_weights,
    find_weights,
    stored_size,
)

__all__ = ["find_scale", "search", "tune"]

ENOUGH = 0.995
LARGEST = 30_000
WIDER = 4
LEAST_RATIO = 4
FINE_SEARCHES, FINE_STEPS, FINEST = 3, 20, 2

Try = Callable[[int], float]


def tune(graph: Graph, config: QuantConfig, coder: Coder, feed: Any, progress: Progress) -> float:
    """The `init_scale` to quantize with; ModelError if none leaves the output alike.

    `feed` is a sample of the inputs; None is a random one.
    """
    candidates = [one for one in find_weights(graph, config) if one.bits == 0]
    if not candidates:
        raise ModelError("auto_tune: no weight is quantized with mixed bits")
    model = Model(graph)
    given = _random_feed(model.inputs) if feed is None else feed
    floats = model.run(given)
    done = 0

    def similarity(s: int) -> float:
        nonlocal done
        found = _similarity(floats, _with_scale(graph, candidates, coder, 1 / s).run(given))
        done += 1
        progress(done, None)
        return found

    largest = max(graph.constants[one.name].size for one in candidates)
    end = max(LARGEST, math.floor(1 / math.sqrt(24e-6 / largest)))
    s = find_scale(
        similarity, end, config.max_iterations, lambda: _ratio(graph, candidates, coder, 1.0)
    )
    return 1 / s


def find_scale(similarity: Try, end: int, iterations: int, ratio: Callable[[], float]) -> int:
    """The smallest s that the search finds to suffice, of 1 to `end`, or to four times that.

    `ratio` tells how many times smaller weights are with s = 1: where that is less than 4, the
    result would be no use, and the wider range is searched.
    """
    seen: dict[int, float] = {}

    def suffices(s: int) -> bool:
        if s not in seen:
            seen[s] = similarity(s)
        return seen[s] >= ENOUGH

    found, step = search(suffices, 1, end, iterations // 4)
    if found is None or (found == 1 and ratio() < LEAST_RATIO):
        found, step = search(suffices, 1, WIDER * end, iterations // 4)
    if found is None:
        best = max(seen, key=lambda s: seen[s])
        raise ModelError(
            f"auto_tune: no init_scale leaves the output a cosine similarity of {ENOUGH}; the best "
            f"was {seen[best]:.4f} with 1/{best}: use fixed bits"
        )
    for _ in range(FINE_SEARCHES):
        if step <= FINEST:
            break
        finer, step = search(suffices, max(1, found - 2 * step), found, FINE_STEPS)
        found = found if finer is None else finer
    return found


def search(
    suffices: Callable[[int], bool], start: int, end: int, steps: int
) -> tuple[int | None, int]:
    """The first of about `steps` numbers from `start` to `end` that suffices, and their distance.

    >>> search(lambda s: s >= 40, 1, 101, 10), search(lambda s: False, 1, 101, 10)
    ((41, 10), (None, 10))
    """
    step = max(1, math.ceil((end - start) / steps))
    for s in (*range(start, end, step), end):
        if suffices(s):
            return s, step
    return None, step


def _with_scale(graph: Graph, candidates: list[Candidate], coder: Coder, scale: float) -> Model:
    """The model with the weights that codes of this scale decode to."""
    changed = graph.copy()
    for candidate in candidates:
        name = f"{candidate.name}_tuned_by_quantlib"
        reals = coder(candidate, scale).reals()
        changed.constants[name] = reals.astype(graph.constants[candidate.name].dtype)
        for number, index in candidate.uses:
            changed.nodes[number].inputs[index] = name
    return Model(changed)


def _similarity(floats: list[Any], others: list[Any]) -> float:
    """The mean of the outputs' cosine similarities; 0 for what is not finite."""
    found = []
    for x, y in zip(floats, others, strict=True):
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            continue
        finite = bool(np.all(np.isfinite(x)) and np.all(np.isfinite(y)))
        found.append(float(cosine_similarity(x.reshape(-1), y.reshape(-1))) if finite else 0.0)
    if not found:
        raise ModelError("auto_tune: the model has no output of floats to compare")
    return float(np.mean(found))


def _ratio(graph: Graph, candidates: Iterable[Candidate], coder: Coder, scale: float) -> float:
    before = after = 0
    for candidate in candidates:
        coded = coder(candidate, scale)
        before += graph.constants[candidate.name].nbytes
        after += stored_size(coded, encode_weights(coded, candidate))
    return before / after


def _random_feed(inputs: list[Value]) -> dict[str, Any]:
    """Even numbers from -1 to 1 for every input, one where an extent is open."""
    rng, feed = np.random.default_rng(0), {}
    for value in inputs:
        if value.dtype is None or value.dtype.kind != "f" or value.shape is None:
            raise ModelError(
                f"auto_tune needs a calibration sample: no random one can be made up for {value}"
            )
        shape = [extent if isinstance(extent, int) else 1 for extent in value.shape]
        feed[value.name] = rng.uniform(-1, 1, shape).astype(value.dtype)
    return feed
