"""ONNX files to graphs, with everything checked that a broken or hostile file could get wrong."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.external_data_helper
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, helper

from quantlib.model.graph import Array, Graph, ModelError, Node, Value, sort_nodes
from quantlib.model.shapes import infer_values

__all__ = ["graph_of", "load_graph", "read_tensor"]

OLDEST_OPSET = 7
MOST_ELEMENTS = 2**40  # of one tensor: 4 TiB of float32, which no file of sense declares
MOST_NODES = 2_000_000
# Element types of several to a byte.
_PACKED = {
    code: bits
    for name, bits in (("INT4", 4), ("UINT4", 4), ("FLOAT4E2M1", 4), ("INT2", 2), ("UINT2", 2))
    if (code := getattr(TensorProto, name, None)) is not None
}


def load_graph(path: str | os.PathLike[str]) -> Graph:
    """The graph of an ONNX file; ModelError, in one line, says what is wrong with it."""
    file = Path(path)
    proto = ModelProto()
    try:
        proto.ParseFromString(file.read_bytes())
    except DecodeError:
        raise ModelError(f"{file}: no ONNX file, or one that is cut short") from None
    try:
        return graph_of(proto, file.parent)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from None


def graph_of(proto: ModelProto, folder: Path | None = None) -> Graph:
    """The graph of an ONNX model; tensors in other files are read from `folder`."""
    try:
        return _graph_of(proto, folder)
    except UnicodeError:
        raise ModelError("the model holds names that are no UTF-8") from None


def _graph_of(proto: ModelProto, folder: Path | None) -> Graph:
    if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
        raise ModelError("the model holds no graph: it is empty or cut short")
    if len(proto.graph.node) > MOST_NODES:
        raise ModelError(f"the graph has {len(proto.graph.node)} nodes, more than {MOST_NODES}")
    opsets = _opsets(proto)
    if proto.functions:
        proto = _inlined(proto)
    graph = _read_graph(proto.graph, opsets, folder)
    graph.metadata = {entry.key: entry.value for entry in proto.metadata_props}
    _check_operators(proto)
    graph.values = infer_values(graph)
    return graph


def _opsets(proto: ModelProto) -> dict[str, int]:
    opsets = {
        "" if entry.domain == "ai.onnx" else entry.domain: entry.version
        for entry in proto.opset_import
    }
    newest = onnx.defs.onnx_opset_version()
    version = opsets.get("")
    if version is None:
        if any(node.domain in ("", "ai.onnx") for node in proto.graph.node):
            raise ModelError("the model does not say which opset its operators are from")
        opsets[""] = newest
    elif not 1 <= version <= newest:
        raise ModelError(
            f"the model has opset {version}; this version reads opsets {OLDEST_OPSET} to {newest}"
        )
    elif version < OLDEST_OPSET:
        _refuse_changed(proto, version)
    return opsets


def _refuse_changed(proto: ModelProto, version: int) -> None:
    """Operators from before opset 7 are read if nothing has changed about them since."""
    for node in proto.graph.node:
        then, later = (
            onnx.defs.get_schema(node.op_type, opset, "").since_version
            if onnx.defs.has(node.op_type, opset, "")
            else None
            for opset in (version, OLDEST_OPSET)
        )
        if then is None or then != later:
            raise ModelError(
                f"the model has opset {version}, in which {node.op_type} is another operator than "
                f"in opset {OLDEST_OPSET}, the oldest that is read"
            )


def _inlined(proto: ModelProto) -> ModelProto:
    try:
        return onnx.inliner.inline_local_functions(proto)
    except Exception as error:
        raise ModelError(f"its functions cannot be inlined: {_one_line(error)}") from None


def _check_operators(proto: ModelProto) -> None:
    """Each node against the definition of its operator: attributes, numbers of inputs."""
    context = onnx.checker.C.CheckerContext()
    context.ir_version = proto.ir_version or onnx.IR_VERSION
    context.opset_imports = {entry.domain: entry.version for entry in proto.opset_import}
    for node in proto.graph.node:
        if _has_graphs(node) or node.domain not in ("", "ai.onnx"):
            continue
        if any(attribute.HasField("t") or attribute.tensors for attribute in node.attribute):
            continue  # the tensor was read, which checks more
        try:
            onnx.checker.check_node(node, context)
        except onnx.checker.ValidationError as error:
            raise ModelError(_one_line(error)) from None


def _has_graphs(node: NodeProto) -> bool:
    return any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)


def _read_graph(proto: GraphProto, opsets: dict[str, int], folder: Path | None) -> Graph:
    if proto.sparse_initializer:
        raise ModelError("the model has sparse constants, which are not supported")
    constants = {}
    for tensor in proto.initializer:
        if not tensor.name or tensor.name in constants:
            raise ModelError(f"two constants are called {tensor.name!r}")
        constants[tensor.name] = read_tensor(tensor, folder)
    inputs = [read_value(entry) for entry in proto.input]
    _check_declared(inputs, constants)
    inputs = [value for value in inputs if value.name not in constants]
    nodes = [read_node(node, opsets, folder) for node in proto.node]
    _check_single_assignment(nodes, inputs, constants)
    known = {*constants, *(value.name for value in inputs)}
    nodes = sort_nodes(nodes, known)
    outputs = [read_value(entry) for entry in proto.output]
    made = known.union(*(node.outputs for node in nodes))
    for value in outputs:
        if value.name not in made:
            raise ModelError(f"the output {value.name!r} is made by nothing")
    if not outputs:
        raise ModelError("the model has no outputs: it is empty or cut short")
    for entry in proto.value_info:
        read_value(entry)
    return Graph(proto.name, inputs, outputs, nodes, constants, opsets)


def _check_declared(inputs: list[Value], constants: dict[str, Array]) -> None:
    names = [value.name for value in inputs]
    if len(set(names)) < len(names):
        raise ModelError(f"two inputs are called {max(names, key=names.count)!r}")
    for value in inputs:
        array = constants.get(value.name)
        if array is None:
            continue
        fits = value.shape is None or (
            len(value.shape) == array.ndim
            and all(
                not isinstance(d, int) or d == e
                for d, e in zip(value.shape, array.shape, strict=True)
            )
        )
        if not fits or value.dtype not in (None, array.dtype):
            raise ModelError(
                f"{value.name!r} is declared as {value.dtype} of shape {value.shape}, "
                f"but its data is {array.dtype} of shape {array.shape}"
            )


def _check_single_assignment(
    nodes: list[Node], inputs: list[Value], constants: dict[str, Array]
) -> None:
    made = {*constants, *(value.name for value in inputs)}
    for node in nodes:
        for name in node.outputs:
            if name in made:
                raise ModelError(f"{name!r} is made twice, the second time by {node.label()}")
            if name:
                made.add(name)


# --- values and tensors -------------------------------------------------------------------------


def dtype_of(code: int) -> np.dtype[Any] | None:
    """NumPy's name of an ONNX element type, None for none."""
    if not code:
        return None
    try:
        dtype: np.dtype[Any] = np.dtype(helper.tensor_dtype_to_np_dtype(code))
    except (KeyError, TypeError):
        raise ModelError(f"element type {code} is unknown") from None
    return dtype


def read_value(proto: Any) -> Value:
    """A ValueInfoProto; declared shapes that no machine could hold are refused."""
    kind: TypeProto = proto.type
    if not kind.HasField("tensor_type"):
        return Value(proto.name, other=kind if kind.WhichOneof("value") else None)
    tensor = kind.tensor_type
    dtype = dtype_of(tensor.elem_type)
    if not tensor.HasField("shape"):
        return Value(proto.name, dtype)
    shape: list[int | str | None] = []
    for dimension in tensor.shape.dim:
        if dimension.HasField("dim_value"):
            if dimension.dim_value < 0:
                raise ModelError(f"{proto.name!r} has an extent of {dimension.dim_value}")
            shape.append(dimension.dim_value)
        else:
            shape.append(dimension.dim_param or None)
    _check_size(proto.name, [d for d in shape if isinstance(d, int)])
    return Value(proto.name, dtype, tuple(shape))


def _check_size(name: str, extents: list[int]) -> None:
    if math.prod(max(extent, 1) for extent in extents) > MOST_ELEMENTS:
        raise ModelError(f"{name!r} is declared with shape {extents}, larger than any memory")


def read_tensor(proto: TensorProto, folder: Path | None = None) -> Array:
    """A constant as an array; its data must have the size that its shape says."""
    extents = list(proto.dims)
    if any(extent < 0 for extent in extents):
        raise ModelError(f"constant {proto.name!r} has shape {extents}")
    _check_size(proto.name, extents)
    dtype = dtype_of(proto.data_type)
    if dtype is None:
        raise ModelError(f"constant {proto.name!r} has no element type")
    if proto.data_location == TensorProto.EXTERNAL:
        proto = _fetched(proto, folder, dtype)
    elif proto.HasField("raw_data"):
        _check_bytes(proto, len(proto.raw_data), dtype)
    try:
        array: Array = onnx.numpy_helper.to_array(proto)
    except Exception as error:
        raise ModelError(f"constant {proto.name!r}: {_one_line(error)}") from None
    array.setflags(write=False)
    return array


def _bytes_of(proto: TensorProto, dtype: np.dtype[Any]) -> int:
    count = math.prod(int(extent) for extent in proto.dims)
    bits = _PACKED.get(proto.data_type)
    return count * dtype.itemsize if bits is None else -(-count * bits // 8)


def _check_bytes(proto: TensorProto, size: int, dtype: np.dtype[Any]) -> None:
    wanted = _bytes_of(proto, dtype)
    if size != wanted:
        raise ModelError(
            f"constant {proto.name!r} has {size} bytes of data; "
            f"{dtype} of shape {list(proto.dims)} takes {wanted}"
        )


def _fetched(proto: TensorProto, folder: Path | None, dtype: np.dtype[Any]) -> TensorProto:
    """`proto` with its data read from the other file that it names, inside of `folder`."""
    if folder is None:
        raise ModelError(f"constant {proto.name!r} lies in another file; load the model by path")
    entries = {entry.key: entry.value for entry in proto.external_data}
    place = entries.get("location", "")
    home = folder.resolve()
    file = (home / place).resolve() if place and "\0" not in place else home
    if Path(place).is_absolute() or not file.is_relative_to(home) or file == home:
        raise ModelError(f"constant {proto.name!r} points outside of the model's folder: {place!r}")
    if not file.is_file():
        raise ModelError(f"constant {proto.name!r} lies in {place!r}, which is no file here")
    wanted = _bytes_of(proto, dtype)
    try:
        offset, size = int(entries.get("offset", 0)), int(entries.get("length", wanted))
    except ValueError:
        raise ModelError(f"constant {proto.name!r} has no whole number as its place") from None
    _check_bytes(proto, size, dtype)
    if offset < 0 or offset + size > file.stat().st_size:
        raise ModelError(f"constant {proto.name!r} ends beyond the end of {place!r}")
    fetched = TensorProto()
    fetched.CopyFrom(proto)
    del fetched.external_data[:]
    fetched.data_location = TensorProto.DEFAULT
    with file.open("rb") as stream:
        stream.seek(offset)
        fetched.raw_data = stream.read(size)
    return fetched


# --- nodes --------------------------------------------------------------------------------------


def read_node(proto: NodeProto, opsets: dict[str, int], folder: Path | None) -> Node:
    """A node with its attributes as Python values."""
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    if domain not in opsets:
        raise ModelError(
            f"node {proto.name!r} ({proto.op_type}) is of domain {proto.domain!r}, "
            "which the model does not import"
        )
    attributes = {}
    for attribute in proto.attribute:
        if attribute.name in attributes:
            raise ModelError(f"node {proto.name!r} has the attribute {attribute.name!r} twice")
        attributes[attribute.name] = _read_attribute(attribute, folder)
    return Node(
        proto.op_type,
        list(proto.input),
        list(proto.output),
        attributes,
        proto.name,
        domain,
        opsets[domain],
        tuple(_captured(proto)),
        {entry.key: entry.value for entry in proto.metadata_props},
    )


def _read_attribute(attribute: AttributeProto, folder: Path | None) -> Any:
    if attribute.type == AttributeProto.TENSOR:
        return read_tensor(attribute.t, folder)
    if attribute.type == AttributeProto.STRING:
        try:
            return attribute.s.decode("utf-8")
        except UnicodeDecodeError:
            return attribute.s
    if attribute.type == AttributeProto.STRINGS:
        return [text.decode("utf-8", "surrogateescape") for text in attribute.strings]
    value = helper.get_attribute_value(attribute)
    if attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS):
        return list(value)
    if attribute.type == AttributeProto.GRAPH:
        for tensor in value.initializer:
            read_tensor(tensor, folder)
    return value


def _captured(proto: NodeProto) -> Iterator[str]:
    """The values of the surrounding graph that the graphs in a node's attributes read."""
    for attribute in proto.attribute:
        for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            own = {value.name for value in graph.input}
            own |= {tensor.name for tensor in graph.initializer}
            own |= {name for node in graph.node for name in node.output}
            for node in graph.node:
                for name in (*node.input, *_captured(node)):
                    if name and name not in own:
                        yield name
            for value in graph.output:
                if value.name not in own:
                    yield value.name


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
