"""Layers of float32."""

from __future__ import annotations

from quantlib._arguments.arrays import Array
from quantlib._native.library import (
    Bound,
    bound,
    check,
    ffi,
    float32s,
    is_signed,
    lib,
    pointer_to,
)

_ACTIVATIONS = {
    "erf": lib.QL_ERF,
    "gelu": lib.QL_GELU,
    "gelu_tanh": lib.QL_GELU_TANH,
    "sigmoid": lib.QL_SIGMOID,
}


def activate(function: str, x: Array, y: Array) -> None:
    """Fill `y` with a function of each element of `x`, both contiguous float32; they may be one."""
    lib.ql_activate(_ACTIVATIONS[function], float32s(x), float32s(y), x.size)


def real_softmax(x: Array, y: Array) -> None:
    """Fill `y` with the softmax of the last axis of `x`, both contiguous float32."""
    length = x.shape[-1]
    lib.ql_real_softmax(float32s(x), float32s(y), x.size // length if length else 0, length)


def layer_norm(x: Array, scale: Array, bias: Array | None, epsilon: float, y: Array) -> None:
    """Fill `y` with the normalized rows of `x`, as long as `scale`; all contiguous float32."""
    length = scale.size
    offset = ffi.NULL if bias is None else float32s(bias)
    rows = x.size // length if length else 0
    lib.ql_layer_norm(
        float32s(x),
        float32s(scale),
        offset,
        float32s(y),
        rows,
        length,
        epsilon,
    )


class LocalNorm:
    """``x * (offset + factor * s)**-power``, s the squares of a row's window summed, in C's terms;
    `factor` is 0 or more, `offset` above 0."""

    def __init__(self, window: int, factor: float, offset: float, power: float) -> None:
        self._window = ffi.new("ql_window *", (window, factor, offset, power))

    def run(self, x: Array, y: Array) -> None:
        """Fill `y` along the last axis of `x`, both contiguous float32."""
        length = x.shape[-1]
        rows = x.size // length if length else 0
        check(lib.ql_local_norm(float32s(x), float32s(y), rows, length, self._window))

    def run_codes(
        self, x: Array, x_by: tuple[float, int], y: Array, y_by: tuple[float, int]
    ) -> None:
        """Fill `y` from `x`, both contiguous 8-bit codes, with the scale and zero point of each."""
        check(self.bind_codes(x, x_by, y, y_by)())

    def bind_codes(
        self, x: Array, x_by: tuple[float, int], y: Array, y_by: tuple[float, int]
    ) -> Bound:
        """The same with all of its arguments."""
        length = x.shape[-1]
        rows = x.size // length if length else 0
        operands = (pointer_to(x), is_signed(x), *x_by, pointer_to(y), is_signed(y), *y_by)
        return bound(lib.ql_local_norm_of_codes, *operands, rows, length, self._window)
