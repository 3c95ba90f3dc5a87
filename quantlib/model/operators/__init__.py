"""What runs a node: one builder for each operator, found by the operator's name.

A builder looks at a node once, when a plan is made, and returns the `Kernel` that runs it many
times; None hands the node to ONNX's reference implementation. How to add one is told in
``docs/models.md``.
"""

from __future__ import annotations

from quantlib.model.operators import (
    conv,
    elementwise,
    encoded,
    matmul,
    movement,
    normalization,
    pool,
    quantized,
    reduction,
    resize,
)
from quantlib.model.operators.registry import Kernel, Known, find_builder, kernel_of

__all__ = ["Kernel", "Known", "find_builder", "kernel_of"]

_FAMILIES = (
    conv,
    elementwise,
    encoded,
    matmul,
    movement,
    normalization,
    pool,
    quantized,
    reduction,
    resize,
)
