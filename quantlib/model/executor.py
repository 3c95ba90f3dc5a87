"""Plans: what a graph has become when it is ready to run, and how it runs.

A plan is a list of steps over numbered slots. Making one does everything that does not depend on
the data: the passes, the packing of weights, the search for a kernel of each node. A run then only
calls kernels. How memory is reused is told in ``docs/models.md``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib.model import passes
from quantlib.model.graph import Graph, ModelError, Node
from quantlib.model.memory import Arena, Layout, Recorder
from quantlib.model.operators import kernel_of
from quantlib.model.shapes import infer_values

__all__ = ["Plan", "optimize"]

Array = npt.NDArray[Any]
_PACKED = (
    "quantlib.QLinearConv",
    "quantlib.QLinearConvTranspose",
    "quantlib.QLinearMatMul",
    "quantlib.DynamicQuantizeMatMul",
)
MOST_LAYOUTS = 16  # input shapes whose memory layout a plan remembers


def optimize(graph: Graph) -> Graph:
    """A copy of `graph` in the form that runs fastest; it computes the same."""
    graph = graph.copy()
    passes.remove_dead_code(graph)
    passes.simplify(graph)
    count = len(graph.nodes)
    passes.expand_qoperators(graph)
    if any(node.domain for node in graph.nodes) or len(graph.nodes) != count:
        graph.values = {**graph.values, **infer_values(graph)}
    passes.fold_constants(graph, keep_dequantized=True)
    passes.fold_batch_norms(graph)
    passes.quantize_early(graph)
    passes.dequantize_late(graph)
    passes.fuse_qdq(graph)
    passes.fuse_dynamic(graph)
    passes.remove_dead_code(graph)
    passes.fold_constants(graph)
    passes.fuse_activations(graph)
    passes.assign_layout(graph)
    passes.remove_dead_code(graph)
    return graph


@dataclass(frozen=True, slots=True)
class Step:
    """One call: a kernel, the slots it reads and writes, and those that are read no more."""

    function: Callable[..., Any]
    takes_out: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    done: tuple[int, ...]
    node: Node
    is_fallback: bool


class Plan:
    """A graph made ready to run; `run` may be called from many threads."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph = optimize(graph)
        names = dict.fromkeys(["", *graph.input_names, *graph.constants])
        for node in graph.nodes:
            names.update(dict.fromkeys(node.outputs))
        slots = {name: index for index, name in enumerate(names)}
        self._start: list[Any] = [None] * len(slots)
        for name, array in graph.constants.items():
            self._start[slots[name]] = array
        self._inputs = [(name, slots[name]) for name in graph.input_names]
        self._outputs = [slots[name] for name in graph.output_names]
        self._kept = set(self._outputs) | {slots[name] for name in graph.constants}
        self.steps = self._steps(slots)
        self._free_constants()
        self._layouts: dict[Any, Layout] = {}
        self._arenas: dict[Any, list[Arena]] = {}
        self._lock = threading.Lock()

    def _steps(self, slots: dict[str, int]) -> list[Step]:
        last: dict[int, int] = {}
        for index, node in enumerate(self.graph.nodes):
            for name in (*node.reads, *node.outputs):
                last[slots[name]] = index
        steps = []
        for index, node in enumerate(self.graph.nodes):
            kernel = kernel_of(node, self.graph)
            names = (*node.inputs, *node.captured)
            here = {slots[name] for name in (*node.reads, *node.outputs) if name}
            done = {slot for slot in here if last[slot] == index} - self._kept
            steps.append(
                Step(
                    kernel.function,
                    kernel.takes_out and len(node.outputs) == 1,
                    tuple(slots[name] for name in names),
                    tuple(slots[name] for name in node.outputs),
                    tuple(sorted(done)),
                    node,
                    kernel.is_fallback,
                )
            )
        return steps

    def _free_constants(self) -> None:
        """Weights that were packed are not kept a second time."""
        # Kernels of the fused products ignore what stands in these slots.
        read = set(self._outputs)
        for step in self.steps:
            packed = step.node.kind in _PACKED
            if not (packed and getattr(step.function, "__name__", "") == "<lambda>"):
                read.update(step.inputs)
        for slot in self._kept - read:
            self._start[slot] = None

    def run(self, feeds: Mapping[str, Array]) -> list[Any]:
        """The outputs for inputs that have been checked; 0 / 0 is NaN, without a warning."""
        with np.errstate(all="ignore"):
            return self._run(feeds)

    def _run(self, feeds: Mapping[str, Array]) -> list[Any]:
        values = self._start.copy()
        for name, slot in self._inputs:
            values[slot] = feeds[name]
        key = tuple(
            (x.shape, x.dtype) if isinstance(x, np.ndarray) else None for x in feeds.values()
        )
        layout = self._layouts.get(key)
        if layout is None:
            return self._record(values, key)
        arena = self._borrow(key, layout)
        try:
            self._run_in(values, arena.arrays)
        finally:
            self._arenas[key].append(arena)
        return [values[slot] for slot in self._outputs]

    def _borrow(self, key: Any, layout: Layout) -> Arena:
        """The memory of a run: one of an earlier run that has ended, or new."""
        try:
            return self._arenas[key].pop()
        except IndexError:
            return Arena(layout)

    def _run_in(self, values: list[Any], arrays: Sequence[Array | None]) -> None:
        for step, out in zip(self.steps, arrays, strict=True):
            try:
                if out is not None:
                    values[step.outputs[0]] = step.function(
                        *[values[slot] for slot in step.inputs], out=out
                    )
                else:
                    self._call(step, values)
            except Exception as error:
                raise _explained(error, step.node) from error
            for slot in step.done:
                values[slot] = None

    @staticmethod
    def _call(step: Step, values: list[Any]) -> None:
        result = step.function(*[values[slot] for slot in step.inputs])
        if len(step.outputs) == 1:
            # NumPy makes scalars of results without dimensions.
            scalar = isinstance(result, np.generic)
            values[step.outputs[0]] = np.asarray(result) if scalar else result
            return
        for slot, part in zip(step.outputs, result, strict=False):
            values[slot] = part

    def _record(self, values: list[Any], key: Any) -> list[Any]:
        """The first run with inputs of these shapes, which also finds out what memory it takes."""
        recorder = Recorder(self._outputs, values)
        for index, step in enumerate(self.steps):
            try:
                self._call(step, values)
            except Exception as error:
                raise _explained(error, step.node) from error
            recorder.note(index, step.takes_out, step.inputs, step.outputs, values)
            for slot in step.done:
                values[slot] = None
        layout = recorder.layout(len(self.steps))
        with self._lock:
            if len(self._layouts) >= MOST_LAYOUTS:
                self._layouts = {}
            self._arenas.setdefault(key, [])
            self._layouts[key] = layout
        return [values[slot] for slot in self._outputs]


def _explained(error: Exception, node: Node) -> Exception:
    """`error` with the name of the node; unusual types stay as they are."""
    if isinstance(error, (MemoryError, OverflowError)):
        return error
    if isinstance(error, ModelError):
        return error
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return ModelError(f"{node.label()} failed: {reason}")
