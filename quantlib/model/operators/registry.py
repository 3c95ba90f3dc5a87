"""The table of builders, and what they are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib.model.graph import Graph, Node
from quantlib.model.operators.fallback import reference_kernel

__all__ = ["Builder", "Kernel", "Known", "find_builder", "is_real", "kernel_of", "operator"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Kernel:
    """How a node runs.

    `function` takes the node's inputs in order, None for those left out, and returns the output,
    or a tuple of them. With `takes_out` it also takes ``out=``, an array of the result's shape and
    type, which it fills and returns. `bind` takes the same inputs and `out`, all of them contiguous
    arrays that stay where they are, and returns the call on these as a function without arguments,
    which returns 0, a status of C or None; or None if there is no such function. With `is_view` the
    result is the first input, seen in another way that the other inputs say.
    """

    function: Callable[..., Any]
    takes_out: bool = False
    is_fallback: bool = False
    bind: Callable[..., Callable[[], int | None] | None] | None = None
    is_view: bool = False


class Known:
    """What is known of a node's values when it is built."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self._graph, self._node = graph, node

    def constant(self, index: int) -> Array | None:
        """An input's value if it is constant."""
        return self._graph.constant(self._node.input(index))

    def is_constant(self, *indices: int) -> bool:
        """Whether inputs are constants, or left out."""
        names = [self._node.input(index) for index in indices]
        return all(not name or name in self._graph.constants for name in names)

    def dtype(self, index: int) -> np.dtype[Any] | None:
        """An input's element type."""
        return self._graph.dtype(self._node.input(index))

    def rank(self, index: int) -> int | None:
        """An input's number of dimensions."""
        return self._graph.rank(self._node.input(index))

    def dtypes(self) -> set[np.dtype[Any] | None]:
        """The element types of all inputs."""
        return {self._graph.dtype(name) for name in self._node.inputs if name}


Builder = Callable[[Node, Known], Kernel | None]
_BUILDERS: dict[str, Builder] = {}


def operator(*kinds: str) -> Callable[[Builder], Builder]:
    """Registers a builder under the names of operators, such as ``"Conv"``."""

    def register(builder: Builder) -> Builder:
        for kind in kinds:
            if kind in _BUILDERS:
                raise ValueError(f"{kind} has two builders")
            _BUILDERS[kind] = builder
        return builder

    return register


def find_builder(kind: str) -> Builder | None:
    """The builder of an operator, None if there is none."""
    return _BUILDERS.get(kind)


def kernel_of(node: Node, graph: Graph) -> Kernel:
    """What runs `node`: quantlib's kernel, or ONNX's reference implementation."""
    builder = _BUILDERS.get(node.kind)
    kernel = builder(node, Known(graph, node)) if builder else None
    return kernel or Kernel(reference_kernel(node), is_fallback=True)


REALS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


def is_real(known: Known) -> bool:
    """Whether all inputs are float32 or float64, which NumPy computes at full speed."""
    return known.dtypes() <= REALS
