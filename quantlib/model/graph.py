"""The graph that all of `quantlib.model` works on: nodes, constants and what is known of values.

It holds what an ONNX file holds, in Python's terms, so that a pass is a few lines of dictionary
and list work. Values are named by strings, as in ONNX; the empty string is an input that is left
out. Graphs inside attributes (of If, Loop and Scan) stay ONNX's own messages, because only ONNX's
reference implementation runs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["INTERNAL", "Graph", "ModelError", "Node", "Value"]

INTERNAL = "quantlib"  # the domain of the fused operators, which no file holds

Array = npt.NDArray[Any]
Shape = tuple[int | str | None, ...]


class ModelError(ValueError):
    """What is wrong with a model, in one line."""


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a tensor before anything runs.

    Parameters
    ----------
    name : str
        The name that nodes use.
    dtype : numpy.dtype or None
        Element type; None if it is unknown or no tensor's.
    shape : tuple of (int, str or None), or None
        Extents; a string is a symbol, None an unknown extent. None if even the rank is unknown.
    other : onnx.TypeProto or None
        The type of what is no tensor: a sequence, an optional value.
    """

    name: str
    dtype: np.dtype[Any] | None = None
    shape: Shape | None = None
    other: Any = None

    def __str__(self) -> str:
        extents = "?" if self.shape is None else " x ".join(str(d or "?") for d in self.shape)
        return f"{self.name}: {self.dtype or 'unknown'} [{extents}]"


@dataclass(slots=True, eq=False)
class Node:
    """One operator: what it computes from which values.

    `version` is the opset whose definition of the operator holds; `attributes` are Python values:
    int, float, str, bytes, array, lists of them, or ONNX messages for graphs and types. `metadata`
    computes nothing.
    """

    op_type: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    domain: str = ""
    version: int = 0
    captured: tuple[str, ...] = ()  # outer values that graphs in attributes read
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def reads(self) -> list[str]:
        """Every value that the node needs, each once."""
        return list(dict.fromkeys(name for name in (*self.inputs, *self.captured) if name))

    def input(self, index: int) -> str:
        """The name of an input, empty if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    @property
    def kind(self) -> str:
        """``"Conv"``, or ``"domain.Conv"`` outside of ONNX's own domain."""
        return f"{self.domain}.{self.op_type}" if self.domain else self.op_type

    def label(self) -> str:
        """How messages call the node."""
        return f"{self.kind} node {self.name or ', '.join(self.outputs)!r}"


@dataclass(slots=True, eq=False)
class Graph:
    """Nodes in an order in which they can run, and the values they begin and end with."""

    name: str
    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]
    constants: dict[str, Array]
    opsets: dict[str, int]
    values: dict[str, Value] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    def copy(self) -> Graph:
        """A copy whose nodes and tables can be changed; constants are shared, never written."""
        nodes = [
            replace(
                node,
                inputs=list(node.inputs),
                outputs=list(node.outputs),
                attributes=dict(node.attributes),
                metadata=dict(node.metadata),
            )
            for node in self.nodes
        ]
        return Graph(
            self.name,
            list(self.inputs),
            list(self.outputs),
            nodes,
            dict(self.constants),
            dict(self.opsets),
            dict(self.values),
            dict(self.metadata),
        )

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        return self.opsets.get("", 1)

    @property
    def input_names(self) -> list[str]:
        return [value.name for value in self.inputs]

    @property
    def output_names(self) -> list[str]:
        return [value.name for value in self.outputs]

    def producers(self) -> dict[str, Node]:
        """Which node makes each value."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    def consumers(self) -> dict[str, list[Node]]:
        """Which nodes read each value, in order."""
        table: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.reads:
                table.setdefault(name, []).append(node)
        return table

    def constant(self, name: str) -> Array | None:
        """The value of a constant, None if it is not one."""
        return self.constants.get(name)

    def scalar(self, name: str) -> Any:
        """The only element of a constant, None if it is no constant or has several."""
        array = self.constants.get(name)
        return None if array is None or array.size != 1 else array.reshape(())[()]

    def dtype(self, name: str) -> np.dtype[Any] | None:
        """The element type of a value, as far as it is known."""
        array = self.constants.get(name)
        if array is not None:
            return array.dtype
        value = self.values.get(name)
        return value.dtype if value else None

    def shape(self, name: str) -> Shape | None:
        """The shape of a value, as far as it is known."""
        array = self.constants.get(name)
        if array is not None:
            return array.shape
        value = self.values.get(name)
        return value.shape if value else None

    def rank(self, name: str) -> int | None:
        """The number of dimensions of a value, if it is known."""
        shape = self.shape(name)
        return None if shape is None else len(shape)

    def names(self) -> set[str]:
        """Every name in use."""
        made = (name for node in self.nodes for name in (*node.reads, *node.outputs))
        return {*self.constants, *self.input_names, *self.output_names, *made}

    def rename_uses(self, old: str, new: str, nodes: Iterable[Node] | None = None) -> None:
        """Let nodes read `new` where they read `old`."""
        for node in self.nodes if nodes is None else nodes:
            node.inputs = [new if name == old else name for name in node.inputs]

    def remove(self, nodes: Iterable[Node]) -> None:
        """Take nodes out; nothing else is touched."""
        gone = {id(node) for node in nodes}
        self.nodes = [node for node in self.nodes if id(node) not in gone]


class Namer:
    """Makes names that a graph does not have yet."""

    def __init__(self, graph: Graph) -> None:
        self._taken = graph.names() | {node.name for node in graph.nodes}

    def __call__(self, wish: str) -> str:
        name, number = wish, 1
        while name in self._taken:
            name, number = f"{wish}_{number}", number + 1
        self._taken.add(name)
        return name


def sort_nodes(nodes: list[Node], known: Iterable[str]) -> list[Node]:
    """`nodes` in an order in which each one finds its inputs made, the given order if it is one.

    Raises
    ------
    ModelError
        If a node reads a value that nothing makes, or nodes wait for each other in a circle.
    """
    ready = set(known)
    made = {name for node in nodes for name in node.outputs if name}
    for node in nodes:
        for name in node.reads:
            if name not in ready and name not in made:
                raise ModelError(f"{node.label()} reads {name!r}, which nothing makes")
    readers: dict[str, list[Node]] = {}
    missing: dict[int, int] = {}
    queue = []
    for node in nodes:
        waits = [name for name in node.reads if name not in ready]
        missing[id(node)] = len(waits)
        for name in waits:
            readers.setdefault(name, []).append(node)
        if not waits:
            queue.append(node)
    order = []
    for node in _released(queue, readers, missing):
        order.append(node)
    if len(order) < len(nodes):
        done = {id(node) for node in order}
        stuck = next(node for node in nodes if id(node) not in done)
        raise ModelError(f"the graph is cyclic: {stuck.label()} depends on its own result")
    return nodes if _is_sorted(nodes, ready) else order


def _released(
    queue: list[Node], readers: dict[str, list[Node]], missing: dict[int, int]
) -> Iterator[Node]:
    for node in queue:  # it grows while it is read
        yield node
        for name in node.outputs:
            for reader in readers.get(name, ()):
                missing[id(reader)] -= 1
                if not missing[id(reader)]:
                    queue.append(reader)


def _is_sorted(nodes: list[Node], known: set[str]) -> bool:
    seen = set(known)
    for node in nodes:
        if not seen.issuperset(node.reads):
            return False
        seen.update(node.outputs)
    return True
