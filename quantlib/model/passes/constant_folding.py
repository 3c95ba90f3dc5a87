"""Constant folding: what depends on nothing that comes at run time is computed now."""

from __future__ import annotations

import math

import numpy as np

from quantlib.model.encoded import is_decoder
from quantlib.model.graph import Array, Graph, ModelError, Node
from quantlib.model.operators import kernel_of

__all__ = ["fold_constants"]

_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
     "RandomUniformLike", "Dropout"}
)  # fmt: skip
_MAKES_LARGE = frozenset(
    {"ConstantOfShape", "Expand", "Tile", "Range", "Pad", "Resize", "Upsample", "OneHot", "EyeLike"}
)
LARGEST = 2**28  # elements that an operator may make out of few


def fold_constants(graph: Graph, *, keep_dequantized: bool = False) -> None:
    """Replace nodes with constant inputs, and shapes that are known, by their results.

    With `keep_dequantized`, DequantizeLinear of constant codes stays, and with it the codes, which
    a later fusion turns into integer operators.
    """
    kept: list[Node] = []
    for node in graph.nodes:
        if not _fold(node, graph, keep_dequantized):
            kept.append(node)
    graph.nodes = kept


def _fold(node: Node, graph: Graph, keep_dequantized: bool) -> bool:
    if node.op_type == "Shape" and not node.domain:
        return _fold_shape(node, graph)
    if not all(name in graph.constants for name in node.reads) or not _is_safe(node, graph):
        return False
    if is_decoder(node) and node.attributes.get("on_the_fly"):
        return False
    if keep_dequantized and node.op_type in ("DequantizeLinear", "QuantizeLinear"):
        return False
    try:
        result = kernel_of(node, graph).function(
            *(graph.constants.get(name) for name in (*node.inputs, *node.captured))
        )
    except (ModelError, MemoryError):
        raise
    except Exception:
        return False  # what is wrong shows when the node runs, and only if it runs
    results = result if isinstance(result, tuple) else (result,)
    if not all(isinstance(array, np.ndarray) for array in results):
        return False
    for name, array in zip(node.outputs, results, strict=False):
        if name:
            _store(graph, name, array)
    return True


def _store(graph: Graph, name: str, array: Array) -> None:
    frozen = array if array.flags.c_contiguous and array.flags.owndata else array.copy()
    frozen.setflags(write=False)
    graph.constants[name] = frozen


def _fold_shape(node: Node, graph: Graph) -> bool:
    shape = graph.shape(node.inputs[0])
    if shape is None:
        return False
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    extents = shape[slice(start, end)]
    if not all(isinstance(extent, int) for extent in extents):
        return False
    _store(graph, node.outputs[0], np.array(extents, np.int64))
    return True


def _is_safe(node: Node, graph: Graph) -> bool:
    """Whether computing the node now gives the same as later, and not too much of it."""
    if node.op_type in _RANDOM:
        return False
    if node.op_type not in _MAKES_LARGE:
        return True
    shape = graph.shape(node.outputs[0])
    if shape is None or not all(isinstance(extent, int) for extent in shape):
        return False
    return math.prod(extent for extent in shape if isinstance(extent, int)) <= LARGEST
