"""Every operator that quantlib has no kernel for, by ONNX's reference implementation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from quantlib.model.graph import ModelError, Node

__all__ = ["reference_kernel"]


def reference_kernel(node: Node) -> Callable[..., Any]:
    """A function that runs `node` as a model of its own; ModelError if nothing can run it."""
    evaluator = _evaluator(node)

    def run(*inputs: Any) -> Any:
        names = [*node.inputs, *node.captured]
        feeds = {name: x for name, x in zip(names, inputs, strict=True) if name}
        wanted = [name for name in node.outputs if name]
        with np.errstate(all="ignore"):
            results = iter(evaluator.run(wanted, feeds))
        outputs = tuple(_as_array(next(results)) if name else None for name in node.outputs)
        return outputs if len(outputs) > 1 else outputs[0]

    return run


# Deprecated operators, which the reference knows by the name of their successors.
_SUCCESSORS = {"Scatter": ("ScatterElements", 11)}


def _as_array(value: Any) -> Any:
    """NumPy scalars as arrays of no dimensions; sequences and optionals as they are."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def _evaluator(node: Node) -> Any:
    from onnx.reference import ReferenceEvaluator

    from quantlib.model.writer import node_of

    if not node.domain and node.op_type in _SUCCESSORS:
        successor, version = _SUCCESSORS[node.op_type]
        node = replace(node, op_type=successor, version=version)
    names = dict.fromkeys(name for name in (*node.inputs, *node.captured) if name)
    proto = helper.make_graph(
        [node_of(node)],
        "node",
        [helper.make_value_info(name, onnx.TypeProto()) for name in names],
        [helper.make_value_info(name, onnx.TypeProto()) for name in node.outputs if name],
    )
    opsets = {"": onnx.defs.onnx_opset_version(), node.domain: node.version}
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(proto, opset_imports=imports)
    try:
        return ReferenceEvaluator(model)
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{node.label()} is unsupported: neither quantlib nor onnx.reference "
            f"can run it ({reason})"
        ) from None
