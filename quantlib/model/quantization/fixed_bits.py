"""Weights of a fixed number of bits, 1 to 16."""

from __future__ import annotations

import numpy as np

from quantlib.correction import weight_correction
from quantlib.model.encoded import CodedWeights
from quantlib.model.graph import Array
from quantlib.model.quantization.rounding import lite_codes, lite_params

__all__ = ["fixed_bit_weights", "is_worth_it"]

PARAMETER_BITS = 32 * 8  # what a channel's scale, zero point and correction take, roughly


def is_worth_it(count: int, channels: int, bits: int) -> bool:
    """Whether channels have enough weights that scale and correction of each cost less than codes
    save.

    >>> [least for bits in (1, 4, 8, 12, 16) for least in range(20) if is_worth_it(least, 1, bits)
    ...  and not is_worth_it(least - 1, 1, bits)]
    [9, 10, 11, 13, 17]
    """
    return PARAMETER_BITS // (32 - bits) < count / channels


def fixed_bit_weights(data: Array, bits: int, axis: int | None, *, correct: bool) -> CodedWeights:
    """Codes of `data` over its full range, a zero point for each channel, or one for all.

    With `correct`, the weights of each channel keep mean and standard deviation when they are
    decoded; without channels there is no correction.
    """
    others = tuple(i for i in range(data.ndim) if i != axis)
    scale, zero = lite_params(
        data.min(axis=others, keepdims=True), data.max(axis=others, keepdims=True), bits
    )
    scale = scale.astype(np.float32)
    codes = lite_codes(data, scale.astype(np.float64), zero, bits)
    factor, offset = np.ones(scale.shape), np.zeros(scale.shape)
    if correct and axis is not None:
        factor, offset = weight_correction(
            data, (codes - zero) * scale.astype(np.float64), axis=axis
        )
    shape = () if axis is None else (-1,)
    return CodedWeights(
        codes,
        bits,
        (scale * factor.astype(np.float32)).reshape(shape),
        zero.astype(codes.dtype).reshape(shape),
        offset.astype(np.float32).reshape(shape),
        axis,
    )
