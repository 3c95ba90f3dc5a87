"""Graphs to ONNX files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from quantlib.model.graph import Array, Graph, ModelError, Node, Value

__all__ = ["model_of", "node_of", "save_graph"]

# The format version that run times of the day read; it says nothing about operators.
IR_VERSION = 10
LARGEST_FILE = 2**31 - 2**20  # of a single file; protobuf's limit, with room for the nodes


def model_of(graph: Graph, *, keep_constants: bool = True) -> ModelProto:
    """An ONNX model of `graph`; without constants these become inputs, for looking at shapes."""
    inputs = [value_of(value) for value in graph.inputs]
    tensors = []
    for name, array in graph.constants.items():
        if keep_constants or array.size <= 1024:
            tensors.append(tensor_of(array, name))
        else:
            inputs.append(value_of(Value(name, array.dtype, array.shape)))
    proto = helper.make_graph(
        [node_of(node) for node in graph.nodes],
        graph.name or "graph",
        inputs,
        [value_of(value) for value in graph.outputs],
        tensors,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()]
    model = helper.make_model(
        proto, opset_imports=opsets, producer_name="quantlib", ir_version=IR_VERSION
    )
    if graph.opset > 23:
        model.ir_version = onnx.IR_VERSION
    helper.set_model_props(model, graph.metadata)
    return model


def save_graph(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write an ONNX file, whole or not at all; constants beyond 2 GB go into a file beside it."""
    target = Path(path)
    size = sum(array.nbytes for array in graph.constants.values())
    if size > LARGEST_FILE:
        _save_with_data(graph, target)
        return
    write_whole(target, model_of(graph).SerializeToString())


def write_whole(target: Path, data: bytes) -> None:
    """Write a file so that it is never seen half-written."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        Path(name).chmod(0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _save_with_data(graph: Graph, target: Path) -> None:
    """The large constants beside the model, in ``<name>.data``."""
    data = target.with_name(target.name + ".data")
    model = model_of(_without_large(graph))
    offset = 0
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{data.name}.") as stream:
        for name, array in graph.constants.items():
            if array.nbytes < 1024:
                continue
            tensor = tensor_of(array, name)
            raw = tensor.raw_data
            stream.write(raw)
            entry = model.graph.initializer.add()
            entry.name, entry.data_type = name, tensor.data_type
            entry.dims.extend(tensor.dims)
            entry.data_location = TensorProto.EXTERNAL
            for key, value in (("location", data.name), ("offset", offset), ("length", len(raw))):
                item = entry.external_data.add()
                item.key, item.value = key, str(value)
            offset += len(raw)
        stream.flush()
        with contextlib.suppress(FileNotFoundError):
            data.unlink()
        os.link(stream.name, data)
    write_whole(target, model.SerializeToString())


def _without_large(graph: Graph) -> Graph:
    small = graph.copy()
    small.constants = {n: a for n, a in graph.constants.items() if a.nbytes < 1024}
    return small


def value_of(value: Value) -> Any:
    """A ValueInfoProto."""
    if value.dtype is None:
        info = onnx.ValueInfoProto()
        info.name = value.name
        if value.other is not None:
            info.type.CopyFrom(value.other)
        return info
    return helper.make_tensor_value_info(value.name, element_type(value.dtype), value.shape)


def element_type(dtype: np.dtype[Any]) -> int:
    """ONNX's number of a NumPy type."""
    if dtype.kind in "OSUT":
        return int(TensorProto.STRING)
    return int(helper.np_dtype_to_tensor_dtype(dtype))


def tensor_of(array: Array, name: str) -> TensorProto:
    """A TensorProto."""
    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)


def node_of(node: Node) -> NodeProto:
    """A NodeProto."""
    proto = helper.make_node(
        node.op_type, node.inputs, node.outputs, name=node.name or None, domain=node.domain or None
    )
    for key, text in node.metadata.items():
        proto.metadata_props.add(key=key, value=text)
    kinds = _attribute_kinds(node)
    for name, value in node.attributes.items():
        proto.attribute.append(_attribute_of(name, value, kinds.get(name)))
    return proto


def _attribute_of(name: str, value: Any, kind: int | None) -> AttributeProto:
    if isinstance(value, np.ndarray):
        return helper.make_attribute(name, tensor_of(value, ""))
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        value = list(value)
        if not value:
            return helper.make_attribute(name, value, attr_type=kind or AttributeProto.INTS)
    if kind == AttributeProto.FLOATS:
        value = [float(item) for item in value]
    try:
        return helper.make_attribute(name, value)
    except (TypeError, ValueError):
        raise ModelError(f"attribute {name!r} cannot be written: {value!r}") from None


def _attribute_kinds(node: Node) -> dict[str, int]:
    """The types that the operator's definition gives its attributes."""
    try:
        schema = onnx.defs.get_schema(node.op_type, node.version or 1, node.domain)
    except onnx.defs.SchemaError:
        return {}
    return {name: int(entry.type.value) for name, entry in schema.attributes.items()}
