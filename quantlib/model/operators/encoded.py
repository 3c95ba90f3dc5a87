"""Weights that are decoded: when a plan is made, or in each run."""

from __future__ import annotations

from quantlib.model.encoded import EncodedWeights
from quantlib.model.graph import ModelError, Node
from quantlib.model.operators.registry import Array, Kernel, Known, operator


@operator("quantlib.encoding.DecodeWeights")
def decode_weights(node: Node, known: Known) -> Kernel | None:
    stored, label = EncodedWeights.of(node, known.constant), node.label()

    def run(*_: Array) -> Array:
        try:
            return stored.coded().reals()
        except ValueError as error:
            raise ModelError(f"{label}: {error}") from None

    return Kernel(run)
