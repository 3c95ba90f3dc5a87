"""Weights of mixed bits: a step for each layer, and entropy coding.

The codes of a layer are ``floor(w / step + 0.5)``. The step is chosen so that the layer's relative
error is what was asked for; how many bits a code takes then follows from how the weights are
distributed, and is no whole number. Source: MindSpore Lite,
tools/converter/quantizer/mixed_bit_weight_quantization.cc, https://www.mindspore.cn/lite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quantlib.model.encoded import CodedWeights
from quantlib.model.graph import Array

__all__ = ["Moments", "closed_form_step", "mixed_bit_weights", "search_step"]

TOLERANCE = 0.01  # of the error, relative to the one that is asked for
MOST_HALVINGS = 100
NARROWEST = 1e-5  # range of weights that differ
LARGEST_CODE = 2**15 - 1
BLOCK = 1 << 15  # weights at a time, which stay in the cache
SMALLEST_DEVIATION = 2.0**-52
LARGEST_FACTOR = 10.0


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over the weights w of a layer, and over codes q: what errors can be computed from."""

    count: int
    weights: float
    squares: float

    @classmethod
    def of(cls, data: Array) -> Moments:
        """The sums over the weights alone."""
        flat = data.reshape(-1).astype(np.float64)
        return cls(flat.size, float(flat.sum()), float(flat @ flat))

    def with_step(self, data: Array, step: float) -> tuple[float, float, float]:
        """The factor and the offset that correct codes of this step, and the relative error.

        With the sums of q, of q**2 and of w * q, neither the codes nor what they stand for have to
        be kept.
        """
        codes = squares = products = 0.0
        flat = data.reshape(-1)
        for start in range(0, flat.size, BLOCK):
            w = flat[start : start + BLOCK].astype(np.float64)
            q = np.floor(w / step + 0.5)
            codes += float(q.sum())
            squares += float(q @ q)
            products += float(w @ q)
        n = self.count
        mean, mean_code = self.weights / n, step * codes / n
        spread = math.sqrt(max(self.squares / n - mean * mean, 0))
        spread_code = math.sqrt(max(step * step * squares / n - mean_code * mean_code, 0))
        factor = 1.0
        if spread > SMALLEST_DEVIATION and spread_code > SMALLEST_DEVIATION:
            factor = spread / spread_code if spread / spread_code < LARGEST_FACTOR else 1.0
        offset = mean - factor * mean_code
        unit = factor * step
        # The sum of (w - unit * q - offset)**2.
        noise = (
            self.squares + unit * unit * squares + n * offset * offset
            - 2 * unit * products - 2 * offset * self.weights + 2 * unit * offset * codes
        )  # fmt: skip
        return factor, offset, math.sqrt(max(noise, 0) / self.squares) if self.squares else 0.0


def search_step(data: Array, target: float) -> float | None:
    """The step at which the relative error of `data` is `target`; None if there is none.

    From ``(max - min) * target`` on, the step is doubled until the error is too large, halved until
    it is too small, and then bisected until it is within 1 % of the target.
    """
    low, high = float(data.min()), float(data.max())
    if high < low + NARROWEST:
        return abs(high) + NARROWEST
    moments = Moments.of(data)
    least = max(abs(low), abs(high)) / LARGEST_CODE  # codes are kept in 16 bits

    def error(step: float) -> float:
        return moments.with_step(data, step)[2]

    above = max((high - low) * target, least)
    below = above
    for _ in range(MOST_HALVINGS):
        if error(above) >= target:
            break
        above *= 2
    for _ in range(MOST_HALVINGS):
        if error(below) <= target or below == least:
            break
        below = max(below / 2, least)
    found, step = math.inf, below
    for _ in range(MOST_HALVINGS):
        step = (below + above) / 2
        found = error(step)
        if abs(found - target) / target < TOLERANCE:
            return step
        below, above = (step, above) if found < target else (below, step)
    return step if found < target else None


def closed_form_step(data: Array, init_scale: float) -> float:
    """The step that tuning uses: ``(init_scale + 0.01 * sqrt(24 / n)) * norm(w)``."""
    norm = float(np.linalg.norm(data.reshape(-1).astype(np.float64)))
    step = (init_scale + 0.01 * math.sqrt(24 / data.size)) * norm
    return max(step, float(np.abs(data).max()) / LARGEST_CODE) or 1.0


def mixed_bit_weights(data: Array, step: float) -> CodedWeights:
    """Codes of `data` with this step, corrected as a whole."""
    scale = np.float32(step)
    codes = np.floor(data.astype(np.float64) / float(scale) + 0.5)
    codes = np.clip(codes, -LARGEST_CODE - 1, LARGEST_CODE)
    bits = _bits_of(codes)
    factor, offset, _ = Moments.of(data).with_step(data, float(scale))
    stored = codes.astype(np.int8 if bits <= 8 else np.int16)
    return CodedWeights(
        stored,
        bits,
        np.array(scale * np.float32(factor)),
        np.zeros((), stored.dtype),
        np.array(offset, np.float32),
        None,
    )


def _bits_of(codes: Array) -> int:
    """The bits that the codes take as whole numbers."""
    low, high = int(codes.min()), int(codes.max())
    return max((-low - 1 if low < 0 else 0).bit_length(), max(high, 0).bit_length()) + 1
