"""GPTQ on models: what products are given, as Gram matrices, and weights' codes that suit it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np

from quantlib.calibration.progress import Progress
from quantlib.correction.gptq import gptq_of_gram
from quantlib.model.encoded import CodedWeights
from quantlib.model.graph import Array, Graph, ModelError, Node
from quantlib.model.model import Model
from quantlib.model.quantization.ranges import Feeds, length_of, stream
from quantlib.model.quantization.weights import output_axis
from quantlib.params import QuantParams

__all__ = ["gptq_codes", "gram_matrices", "products_of"]


def products_of(graph: Graph, uses: Iterable[tuple[int, int]]) -> list[Node]:
    """The products that multiply what comes at run time with a weight, among a weight's uses."""
    found = []
    for number, index in uses:
        node = graph.nodes[number]
        fits = node.op_type in ("MatMul", "Gemm") and index == 1
        fits = fits and not node.attributes.get("transA", 0)
        if fits and node.inputs[0] not in graph.constants:
            found.append(node)
    return found


def gram_matrices(
    graph: Graph,
    products: dict[str, list[Node]],
    feeds: Feeds,
    executor: Executor | None,
    progress: Progress,
) -> dict[str, Array]:
    """The sum of ``x.T @ x`` over what the products of each weight are given, by its name."""
    names = tuple(dict.fromkeys(node.inputs[0] for nodes in products.values() for node in nodes))
    sums: dict[str, Array] = {}
    for count, found in enumerate(stream(_grams, (Model(graph), names), feeds, executor), 1):
        for name, gram in found:
            sums[name] = sums[name] + gram if name in sums else gram
        progress(count, length_of(feeds))
    if names and not sums:
        raise ModelError("calibration is empty; GPTQ needs samples")
    for name, gram in sums.items():
        if not np.all(np.isfinite(gram)):
            raise ModelError(f"calibration: {name!r} holds values that are not finite")
    return {
        weight: np.sum([sums[node.inputs[0]] for node in nodes], axis=0)
        for weight, nodes in products.items()
    }


def _grams(model: Model, names: tuple[str, ...], feed: Any) -> list[tuple[str, Array]]:
    def pairs() -> Iterator[tuple[str, Array]]:
        for name, value in zip(names, model.run(feed, names), strict=True):
            rows = value.reshape(-1, value.shape[-1]).astype(np.float64)
            yield name, rows.T @ rows

    return list(pairs())


def gptq_codes(data: Array, coded: CodedWeights, product: Node, gram: Array) -> CodedWeights:
    """`coded` with codes that change the results of a product less."""
    outputs_first = output_axis(product, data) == 0
    weights = (data if outputs_first else data.T).astype(np.float64)
    axis = None if coded.axis is None else 0
    params = QuantParams(coded.scale, coded.zero_point, coded.params.qtype, axis)
    codes = gptq_of_gram(weights, gram, params)
    return replace(coded, codes=np.ascontiguousarray(codes if outputs_first else codes.T))
