"""Matrix products of floats, by BLAS."""

from __future__ import annotations

import numpy as np

from quantlib.model.graph import Node
from quantlib.model.operators.elementwise import bounds_of, clamp
from quantlib.model.operators.registry import Array, Kernel, Known, is_real, operator


@operator("MatMul", "quantlib.MatMul")
def matmul(node: Node, known: Known) -> Kernel | None:
    """``a @ b``; the fused form also adds a bias and applies an activation."""
    if not is_real(known) or len(known.dtypes()) > 1:
        return None
    bounds, has_bias = bounds_of(node), len(node.inputs) > 2
    ranks = known.rank(0), known.rank(1)
    if bounds is None and not has_bias:
        takes_out = all(rank is not None and rank > 1 for rank in ranks)
        return Kernel(np.matmul, takes_out)

    def run(a: Array, b: Array, bias: Array | None = None, out: Array | None = None) -> Array:
        y = np.matmul(a, b, out=out)
        if bias is not None:
            y += bias
        return clamp(y, bounds)

    return Kernel(run, takes_out=True)


@operator("Gemm", "quantlib.Gemm")
def gemm(node: Node, known: Known) -> Kernel | None:
    if not is_real(known) or len(known.dtypes()) > 1:
        return None
    attributes, bounds = node.attributes, bounds_of(node)
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    left, right = bool(attributes.get("transA", 0)), bool(attributes.get("transB", 0))

    def run(a: Array, b: Array, c: Array | None = None, out: Array | None = None) -> Array:
        y = np.matmul(a.T if left else a, b.T if right else b, out=out)
        if alpha != 1:
            y *= y.dtype.type(alpha)
        if c is not None and beta != 0:
            y += c if beta == 1 else c * c.dtype.type(beta)
        return clamp(y, bounds)

    return Kernel(run, takes_out=True)
