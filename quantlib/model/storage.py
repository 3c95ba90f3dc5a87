"""How many bits a model's weights take."""

from __future__ import annotations

from dataclasses import dataclass

from quantlib.model.encoded import is_decoder
from quantlib.model.graph import Array, Graph, Node
from quantlib.model.model import Model
from quantlib.model.table import plain_table

__all__ = ["StoredWeight", "StoredWeights", "stored_weights"]


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """One weight: how it is stored, and in how many bytes.

    Attributes
    ----------
    name : str
        The constant that holds it.
    operator : str
        What computes with it.
    shape : tuple of int
        Its shape.
    encoding : str
        "packed", "indexed", "sparse" or "entropy", as in `quantlib.encoding`; or the type of plain
        codes or floats, such as "int8".
    size : int
        Bytes, those of scales, zero points and offsets included.
    """

    name: str
    operator: str
    shape: tuple[int, ...]
    encoding: str
    size: int

    @property
    def count(self) -> int:
        """How many weights there are."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    @property
    def bits(self) -> float:
        """Bits for each weight, all included: rarely a whole number."""
        return 8 * self.size / max(self.count, 1)


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """All weights of a model; printed, a table.

    Attributes
    ----------
    weights : tuple of StoredWeight
        In the order of computation.
    """

    weights: tuple[StoredWeight, ...]

    @property
    def size(self) -> int:
        """The bytes of all."""
        return sum(weight.size for weight in self.weights)

    @property
    def bits(self) -> float:
        """Bits for each weight, over all."""
        return 8 * self.size / max(sum(weight.count for weight in self.weights), 1)

    def __str__(self) -> str:
        head = ("weight", "operator", "shape", "encoding", "bytes", "bits")
        rows = [
            (w.name, w.operator, "x".join(map(str, w.shape)), w.encoding, f"{w.size:,}",
             f"{w.bits:.2f}")
            for w in self.weights
        ]  # fmt: skip
        return plain_table(
            head, [*rows, ("all", "", "", "", f"{self.size:,}", f"{self.bits:.2f}")], 4
        )


def stored_weights(model: Model) -> StoredWeights:
    """How each weight of a model is stored: constants of two or more axes, quantized or not.

    Parameters
    ----------
    model : Model
        Quantized, or a float model.

    Returns
    -------
    StoredWeights
        One entry for each weight, in the order of computation; ``print`` shows a table.

    Raises
    ------
    TypeError
        If `model` is no model.

    Examples
    --------
    >>> import numpy as np, onnx.helper
    >>> import quantlib as ql
    >>> w = np.random.default_rng(0).standard_normal((64, 32), np.float32)
    >>> text = '''<ir_version: 8, opset_import: ["" : 17]>
    ... g (float[n, 64] x, float[64, 32] w) => (float[n, 32] y) { y = MatMul (x, w) }'''
    >>> proto = onnx.parser.parse_model(text)
    >>> _ = proto.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    >>> q = ql.model.quantize(proto, mode="weight_only", weight_bits=5)
    >>> print(ql.model.stored_weights(q))
    weight     operator  shape  encoding  bytes  bits
    w_encoded  MatMul    64x32  packed    1,568  6.12
    all                                   1,568  6.12
    """
    if not isinstance(model, Model):
        raise TypeError(f"model must be a Model, not {type(model).__name__}")
    graph, found = model.graph, []
    consumers, seen = model.graph.consumers(), set[str]()
    places = {id(node): place for place, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        if is_decoder(node):
            encoding, shape = node.attributes["encoding"], tuple(node.attributes["shape"])
            parts = node.inputs
        elif node.kind == "DequantizeLinear":
            codes = graph.constant(node.inputs[0])
            if codes is None or codes.ndim < 2:
                continue
            encoding, shape = codes.dtype.name, codes.shape
            parts = [*node.inputs, *_offset_behind(node, graph, consumers)]
        else:
            found += [(places[id(node)], weight) for weight in _floats(node, graph, seen)]
            continue
        size = sum(_stored(graph.constants[name]) for name in parts if name)
        reader = _reader(node, consumers)
        weight = StoredWeight(node.inputs[0], reader.op_type, shape, encoding, size)
        found.append((places[id(reader)], weight))
    return StoredWeights(tuple(weight for _, weight in sorted(found, key=lambda pair: pair[0])))


def _stored(array: Array) -> int:
    """The bytes of a constant in a file, where two codes of 4 bits share one."""
    return -(-array.size // 2) if array.dtype.name in ("int4", "uint4") else array.nbytes


def _offset_behind(node: Node, graph: Graph, consumers: dict[str, list[Node]]) -> list[str]:
    """The constant that is added to dequantized weights."""
    readers = consumers.get(node.outputs[0], [])
    if len(readers) != 1 or readers[0].kind != "Add":
        return []
    return [name for name in readers[0].inputs if name in graph.constants]


def _reader(node: Node, consumers: dict[str, list[Node]]) -> Node:
    """What computes with decoded weights: behind the sum and the change of type, if there are."""
    readers = consumers.get(node.outputs[0], [])
    while readers:
        node = readers[0]
        readers = consumers.get(node.outputs[0], []) if node.kind in ("Add", "Cast") else []
    return node


def _floats(node: Node, graph: Graph, seen: set[str]) -> list[StoredWeight]:
    """The weights of a node that are no codes."""
    found = []
    for name in node.reads:
        array = graph.constant(name)
        if array is None or array.ndim < 2 or array.dtype.kind != "f" or name in seen:
            continue
        seen.add(name)
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN",
                            "Gather"):  # fmt: skip
            found.append(StoredWeight(name, node.op_type, array.shape, array.dtype.name,
                                      array.nbytes))  # fmt: skip
    return found
