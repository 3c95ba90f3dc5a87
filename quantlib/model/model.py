"""`Model`: a graph that runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlib.model.executor import Plan
from quantlib.model.export import FORMS
from quantlib.model.graph import Graph, ModelError, Value
from quantlib.model.reader import graph_of, load_graph
from quantlib.model.writer import model_of, save_graph

if TYPE_CHECKING:
    from quantlib.model.quantization.partial import Partial

__all__ = ["Model", "load"]


class Model:
    """An ONNX model that runs on NumPy arrays.

    Models come from `load` and from `quantize`.

    Attributes
    ----------
    graph : quantlib.model.graph.Graph
        Nodes, constants and shapes, as the file holds them.
    inputs, outputs : list of Value
        Names, types and shapes of what goes in and comes out.
    partial : quantlib.model.Partial or None
        What `quantize` decided for each layer, if it was given a `max_loss` or `max_bytes`.

    Raises
    ------
    ModelError
        From `run`, if a feed is missing, unknown, or of another type or shape than the model
        declares, or if an operator fails; the message names it.

    Examples
    --------
    >>> import numpy as np, onnx.parser
    >>> from quantlib import model
    >>> text = '''<ir_version: 8, opset_import: ["" : 17]>
    ... g (float[n, 2] x) => (float[n, 2] y) { y = Relu(x) }'''
    >>> m = model.load(onnx.parser.parse_model(text))
    >>> m.run({"x": np.float32([[-1, 2]])})
    [array([[0., 2.]], dtype=float32)]
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.partial: Partial | None = None
        self._plans: dict[tuple[str, ...], Plan] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Model, (self.graph,), {"partial": self.partial}

    @property
    def inputs(self) -> list[Value]:
        return list(self.graph.inputs)

    @property
    def outputs(self) -> list[Value]:
        return list(self.graph.outputs)

    def plan(self, outputs: Sequence[str] | None = None) -> Plan:
        """The plan that computes `outputs`, by default those of the model; made once.

        Raises
        ------
        ModelError
            If `outputs` names what the model does not compute, or an operator cannot run.
        """
        names = tuple(self.graph.output_names if outputs is None else outputs)
        plan = self._plans.get(names)
        if plan is None:  # without a lock: a child may be forked meanwhile
            plan = self._plans.setdefault(names, Plan(_with_outputs(self.graph, names)))
        return plan

    def run(
        self, feeds: Mapping[str, Any] | Sequence[Any], outputs: Sequence[str] | None = None
    ) -> list[Any]:
        """Compute the outputs.

        Parameters
        ----------
        feeds : mapping of str to array_like, or sequence of array_like
            The inputs, by name or in the model's order. Types must be those that the model
            declares; extents must be, where it declares them.
        outputs : sequence of str, optional
            Names of values to compute instead of the model's outputs, inner ones included.

        Returns
        -------
        list
            An array for each output (a list where ONNX has a sequence). They are the caller's:
            no later run writes to them.

        Raises
        ------
        ModelError
            If a feed is missing, unknown or does not fit, or an operator fails.

        Notes
        -----
        Runs may be made from several threads at once. The first run for inputs of some shapes
        takes longer: it plans the memory of later ones.
        """
        plan = self.plan(outputs)
        return plan.run(_checked_feeds(self.graph.inputs, feeds))

    def save(self, path: str | os.PathLike[str], *, form: str = "qdq") -> None:
        """Write an ONNX file, whole or not at all.

        Parameters
        ----------
        path : path
            Where to. What is there is replaced at once, when all is written.
        form : {"qdq", "qoperator", "float32"}
            "qdq" writes the model as it is: quantized ones with QuantizeLinear and
            DequantizeLinear, which all run times know. "qoperator" writes integer operators in
            their place, some of them ONNX Runtime's own. "float32" writes the floats that stored
            weights decode to, for run times that cannot decode them.

        Raises
        ------
        ValueError
            If `form` is none of them.
        OSError
            If the file cannot be written.
        """
        if form not in FORMS:
            raise ValueError(f"form is {form!r}; it may be {' or '.join(map(repr, FORMS))}")
        save_graph(FORMS[form](self.graph), path)

    def to_onnx(self) -> Any:
        """The model as an ``onnx.ModelProto``."""
        return model_of(self.graph)


def load(model: Any) -> Model:
    """Read an ONNX model.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        A file, its contents, or what the onnx package makes of them. Opsets 7 to the newest that
        the onnx package knows. Data in other files is read if these lie in the model's folder.

    Returns
    -------
    Model
        Checked: its nodes are in order, its constants as long as they say, its shapes and types
        without contradiction.

    Raises
    ------
    ModelError
        In one line, what is wrong: a file cut short, a cycle, contradictory or absurd shapes, data
        outside of the folder, an operator that does not exist.
    OSError
        If there is no such file.
    TypeError
        If `model` is none of the above.

    Examples
    --------
    >>> import onnx.parser
    >>> from quantlib import model
    >>> text = '''<ir_version: 8, opset_import: ["" : 17]>
    ... g (float[n, 2] x) => (float[n, 2] y) { y = Relu(x) }'''
    >>> print(model.load(onnx.parser.parse_model(text)).inputs[0])
    x: float32 [n x 2]
    """
    import onnx
    from google.protobuf.message import DecodeError

    if isinstance(model, onnx.ModelProto):
        return Model(graph_of(model))
    if isinstance(model, (bytes, bytearray, memoryview)):
        proto = onnx.ModelProto()
        try:
            proto.ParseFromString(bytes(model))
        except DecodeError:
            raise ModelError("the bytes are no ONNX model, or one that is cut short") from None
        return Model(graph_of(proto))
    if isinstance(model, (str, os.PathLike)):
        return Model(load_graph(model))
    raise TypeError(
        f"model must be a path, bytes or an onnx.ModelProto, not {type(model).__name__}"
    )


def _with_outputs(graph: Graph, names: tuple[str, ...]) -> Graph:
    """`graph` with other outputs."""
    if list(names) == graph.output_names:
        return graph
    known = {value.name: value for value in graph.outputs} | graph.values
    made = {name for node in graph.nodes for name in node.outputs}
    made |= {*graph.constants, *graph.input_names}
    for name in names:
        if name not in made:
            raise ModelError(f"the model computes no {name!r}")
    changed = graph.copy()
    changed.outputs = [known.get(name, Value(name)) for name in names]
    return changed


def _checked_feeds(inputs: list[Value], feeds: Any) -> dict[str, Any]:
    if not isinstance(feeds, Mapping):
        if len(feeds) != len(inputs):
            raise ModelError(f"the model has {len(inputs)} inputs, not {len(feeds)}")
        feeds = dict(zip((value.name for value in inputs), feeds, strict=True))
    checked = {}
    for value in inputs:
        if value.name not in feeds:
            raise ModelError(f"input {value.name!r} is missing; the model takes {value}")
        checked[value.name] = _checked_feed(value, feeds[value.name])
    unknown = set(feeds) - set(checked)
    if unknown:
        raise ModelError(
            f"the model has no input {min(unknown)!r}; it has {', '.join(map(repr, checked))}"
        )
    symbols: dict[str, int] = {}
    for value in inputs:
        if not value.shape:
            continue
        for wanted, extent in zip(value.shape, checked[value.name].shape, strict=True):
            if isinstance(wanted, str) and symbols.setdefault(wanted, extent) != extent:
                raise ModelError(
                    f"{wanted!r} is {extent} in {value.name!r} but {symbols[wanted]} before"
                )
    return checked


def _checked_feed(value: Value, given: Any) -> Any:
    if value.dtype is None:
        return given
    array = given if type(given) is np.ndarray else np.asarray(given)
    if array.dtype != value.dtype and not (value.dtype.kind in "OT" and array.dtype.kind in "OUST"):
        raise ModelError(f"input {value.name!r} must be {value.dtype}, not {array.dtype}")
    if value.shape is None:
        return array
    fits = len(value.shape) == array.ndim and all(
        not isinstance(wanted, int) or wanted == extent
        for wanted, extent in zip(value.shape, array.shape, strict=True)
    )
    if not fits:
        raise ModelError(f"input has shape {array.shape}; the model takes {value}")
    return array
