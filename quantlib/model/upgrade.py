"""Models of an older opset in a newer one, by ONNX's own converter."""

from __future__ import annotations

import onnx.version_converter

from quantlib.model.graph import Graph, ModelError

__all__ = ["upgrade"]


def upgrade(graph: Graph, opset: int) -> Graph:
    """A copy of `graph` in which ONNX's operators are those of `opset` or later.

    Raises
    ------
    ModelError
        If ONNX's converter does not know how to bring one of the operators there.
    """
    if graph.opset >= opset:
        return graph.copy()
    from quantlib.model.reader import graph_of
    from quantlib.model.writer import model_of

    try:
        proto = onnx.version_converter.convert_version(model_of(graph), opset)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"the model has opset {graph.opset} and cannot be brought to {opset}: {reason}"
        ) from None
    upgraded = graph_of(proto)
    upgraded.metadata = dict(graph.metadata)
    return upgraded
