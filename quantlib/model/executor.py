"""Plans: what a graph has become when it is ready to run, and how it runs.

A plan is a list of steps over numbered slots. Making one does everything that does not depend on
the data: the passes, the packing of weights, the search for a kernel of each node. A run then only
calls kernels. How memory is reused is told in ``docs/models.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib._native import check
from quantlib.model import passes
from quantlib.model.graph import Graph, ModelError, Node
from quantlib.model.memory import Arena, Layout, Recorder
from quantlib.model.operators import kernel_of
from quantlib.model.operators.registry import Kernel
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
    passes.fuse_shuffles(graph)
    passes.assign_layout(graph)
    passes.remove_dead_code(graph)
    return graph


@dataclass(frozen=True, slots=True)
class Step:
    """One call: a kernel, the slots it reads and writes, and those that are read no more."""

    kernel: Kernel
    takes_out: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    done: tuple[int, ...]
    node: Node

    @property
    def is_fallback(self) -> bool:
        return self.kernel.is_fallback


class Program:
    """What a plan has become in one block of memory.

    Most results lie at the same place in each run, and so do constants. Calls from such arrays to
    such arrays are bound once, with all of their arguments; views of them are made once.
    """

    def __init__(self, layout: Layout) -> None:
        self.arrays = Arena(layout).arrays
        self.is_bound = False
        self.values: list[Any] = []  # constants, and what lies in the block
        self.calls: list[tuple[Callable[[], int | None] | None, Step, Array | None]] = []


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
        self._constants = {slots[name] for name in ("", *graph.constants)}
        self._kept = set(self._outputs) | self._constants
        self.steps = self._steps(slots)
        self._free_constants()
        # A layout, and the programs that wait for a run of it. There is no lock, which a child that
        # is forked in between would find locked for ever: threads replace the whole, or do the same
        # work twice.
        self._layouts: dict[Any, tuple[Layout, list[Program]]] = {}

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
                    kernel,
                    kernel.takes_out and len(node.outputs) == 1,
                    tuple(slots[name] for name in names),
                    tuple(slots[name] for name in node.outputs),
                    tuple(sorted(done)),
                    node,
                )
            )
        return steps

    def _free_constants(self) -> None:
        """Weights that were packed are not kept a second time."""
        # Kernels of the fused products ignore what stands in these slots.
        read = set(self._outputs)
        for step in self.steps:
            packed = step.node.kind in _PACKED
            if not (packed and getattr(step.kernel.function, "__name__", "") == "<lambda>"):
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
        known = self._layouts.get(key)
        if known is None:
            return self._record(values, key)
        layout, programs = known
        try:
            program = programs.pop()  # that of an earlier run that has ended
        except IndexError:
            program = Program(layout)
        try:
            if program.is_bound:
                values = program.values.copy()
                for name, slot in self._inputs:
                    values[slot] = feeds[name]
                self._run_program(values, program)
            else:
                self._bind(values, program)
        finally:
            programs.append(program)
        return [values[slot] for slot in self._outputs]

    def _run_program(self, values: list[Any], program: Program) -> None:
        step: Any = None
        try:
            for bound, step, out in program.calls:
                if bound is not None:
                    status = bound()
                    if status:
                        check(status)
                    continue
                self._call(step, values, out)
                for slot in step.done:
                    values[slot] = program.values[slot]
        except Exception as error:
            raise _explained(error, step.node) from error

    def _bind(self, values: list[Any], program: Program) -> None:
        """The first run in a block of memory, which also binds the calls of later ones."""
        stays = [slot in self._constants for slot in range(len(values))]
        kept = self._start.copy()
        calls = []
        for step, out in zip(self.steps, program.arrays, strict=True):
            try:
                self._call(step, values, out)
            except Exception as error:
                raise _explained(error, step.node) from error
            is_view = self._is_view(step, values, stays)
            if is_view or (out is not None and values[step.outputs[0]] is out):
                for slot in step.outputs:
                    stays[slot], kept[slot] = True, values[slot]
            if not is_view:
                bound = None
                if out is not None and all(stays[slot] for slot in (*step.inputs, *step.outputs)):
                    bound = _bound(step.kernel, [values[slot] for slot in step.inputs], out)
                calls.append((bound, step, out))
            for slot in step.done:
                values[slot] = None
        program.values, program.calls, program.is_bound = kept, calls, True

    def _is_view(self, step: Step, values: list[Any], stays: list[bool]) -> bool:
        """Whether what a step has made are always the same views of what stays."""
        if not (step.kernel.is_view and step.inputs and stays[step.inputs[0]]):
            return False
        made, source = (values[slot] for slot in step.outputs), values[step.inputs[0]]
        return self._constants.issuperset(step.inputs[1:]) and all(
            np.may_share_memory(view, source) for view in made
        )

    @staticmethod
    def _call(step: Step, values: list[Any], out: Array | None = None) -> None:
        inputs = [values[slot] for slot in step.inputs]
        if out is not None:
            values[step.outputs[0]] = step.kernel.function(*inputs, out=out)
            return
        result = step.kernel.function(*inputs)
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
        known = self._layouts if len(self._layouts) < MOST_LAYOUTS else {}
        known[key] = layout, []
        self._layouts = known
        return [values[slot] for slot in self._outputs]


def _bound(kernel: Kernel, inputs: list[Any], out: Array) -> Callable[[], int | None] | None:
    """The call on arrays that stay where they are, if the kernel has one."""
    arrays = [array for array in inputs if array is not None]
    if kernel.bind is None or not all(array.flags.c_contiguous for array in arrays):
        return None
    return kernel.bind(*inputs, out=out)


def _explained(error: Exception, node: Node) -> Exception:
    """`error` with the name of the node; unusual types stay as they are."""
    if isinstance(error, (MemoryError, OverflowError)):
        return error
    if isinstance(error, ModelError):
        return error
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return ModelError(f"{node.label()} failed: {reason}")
