"""`compare`: a float model and its quantized form, layer by layer."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quantlib.calibration.progress import Progress, reporting
from quantlib.model.graph import Array, ModelError
from quantlib.model.model import Model
from quantlib.model.quantization.ranges import Feeds, length_of
from quantlib.model.table import plain_table

__all__ = ["Comparison", "Layer", "compare"]


@dataclass(slots=True)
class Layer:
    """A value that both models compute, summed up over all feeds.

    Attributes
    ----------
    name, operator : str
        The value, and the operator that makes it in the float model.
    cosine : float
        ``sum(x * y) / sqrt(sum(x**2) * sum(y**2))`` of the float values x and the others y; 1 if
        both are 0 everywhere.
    sqnr : float
        ``10 * log10(sum(x**2) / sum((x - y)**2))`` in decibels, infinite without error.
    largest_error : float
        ``max|x - y|``.
    """

    name: str
    operator: str
    largest_error: float = 0.0
    _sums: Array = field(default_factory=lambda: np.zeros(4))

    def update(self, x: Array, y: Array) -> None:
        """Add the values of one feed."""
        a, b = x.astype(np.float64).reshape(-1), y.astype(np.float64).reshape(-1)
        error = a - b
        self._sums += a @ a, b @ b, a @ b, error @ error
        self.largest_error = max(self.largest_error, float(np.abs(error).max(initial=0)))

    @property
    def cosine(self) -> float:
        aa, bb, ab, _ = self._sums
        if aa == 0 and bb == 0:
            return 1.0
        return float(ab / math.sqrt(aa * bb)) if aa * bb > 0 else 0.0

    @property
    def sqnr(self) -> float:
        aa, _, _, error = self._sums
        if error == 0:
            return math.inf
        return 10 * math.log10(aa / error) if aa > 0 else -math.inf


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    layers : list of Layer
        Every value of floats that both models have under one name, in the order of computation.
    outputs : list of Layer
        The models' outputs.
    bytes : tuple of int
        Sizes as files, float and quantized.
    milliseconds : tuple of float
        Median times of a run.
    samples : int
        How many feeds there were.
    """

    layers: list[Layer]
    outputs: list[Layer]
    bytes: tuple[int, int]
    milliseconds: tuple[float, float]
    samples: int

    def worst(self, count: int = 5) -> list[Layer]:
        """The layers with the lowest signal-to-noise ratio."""
        return sorted(self.layers, key=lambda layer: layer.sqnr)[:count]

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON; infinite ones are None."""
        return {
            "samples": self.samples,
            "bytes": list(self.bytes),
            "milliseconds": [round(ms, 4) for ms in self.milliseconds],
            "outputs": [_row(layer) for layer in self.outputs],
            "layers": [_row(layer) for layer in self.layers],
        }

    def __str__(self) -> str:
        rows = []
        for layer in [*self.layers, *self.outputs]:
            mark = " (output)" if any(layer is one for one in self.outputs) else ""
            rows.append(
                (layer.name[-48:] + mark, layer.operator, f"{layer.cosine:.6f}",
                 f"{layer.sqnr:.1f}", f"{layer.largest_error:.4g}")
            )  # fmt: skip
        head = ("value", "operator", "cosine", "SQNR dB", "max error")
        lines = [plain_table(head, rows, left=2)]
        (before, after), (slow, fast) = self.bytes, self.milliseconds
        lines.append(
            f"{self.samples} samples; {before:,} bytes to {after:,} ({before / after:.2f}x smaller)"
            f"; {slow:.3f} ms to {fast:.3f} ms a run ({slow / fast:.2f}x as fast)"
        )
        return "\n".join(lines)


def _row(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "operator": layer.operator,
        "cosine": round(layer.cosine, 9),
        "sqnr": round(layer.sqnr, 3) if math.isfinite(layer.sqnr) else None,
        "largest_error": layer.largest_error,
    }


def compare(
    float_model: Model, quantized_model: Model, feeds: Feeds, *, progress: bool | Progress = False
) -> Comparison:
    """Compare a float model with its quantized form on samples.

    Parameters
    ----------
    float_model, quantized_model : Model
        Two models with the same inputs and outputs.
    feeds : iterable of feeds
        Samples as `Model.run` takes them, read once and one at a time.
    progress : bool or callable
        As for `quantize`.

    Returns
    -------
    Comparison
        Cosine, signal-to-noise ratio and largest error of each layer and each output; sizes and
        times. Printed, it is a table.

    Raises
    ------
    ModelError
        If the models' inputs or outputs have other names, a feed does not fit, or there is none.

    Examples
    --------
    >>> import numpy as np, onnx.parser
    >>> import quantlib as ql
    >>> text = '''<ir_version: 8, opset_import: ["" : 17]>
    ... g (float[n, 2] x) => (float[n, 1] y) <float[2, 1] w = {1.0, -0.5}> { y = MatMul (x, w) }'''
    >>> m = ql.model.load(onnx.parser.parse_model(text))
    >>> samples = [{"x": np.float32([[i, -i]])} for i in range(1, 9)]
    >>> found = ql.model.compare(m, ql.model.quantize(m, samples), samples)
    >>> found.samples, found.outputs[0].name, found.outputs[0].cosine > 0.999
    (8, 'y', True)
    """
    _require_same_ends(float_model, quantized_model)
    operators = {n: node.op_type for node in float_model.graph.nodes for n in node.outputs}
    outputs = [Layer(name, operators.get(name, "")) for name in float_model.graph.output_names]
    layers = [Layer(name, operators[name]) for name in _common_values(float_model, quantized_model)]
    names = [layer.name for layer in (*layers, *outputs)]
    times: tuple[list[float], list[float]] = ([], [])
    samples = 0
    with reporting(progress, "comparing") as report:
        for feed in feeds:
            pairs = zip(float_model.run(feed, names), quantized_model.run(feed, names), strict=True)
            for layer, (x, y) in zip((*layers, *outputs), pairs, strict=True):
                layer.update(np.asarray(x), np.asarray(y))
            for model, spent in zip((float_model, quantized_model), times, strict=True):
                spent.append(_milliseconds(model, feed))
            samples += 1
            report(samples, length_of(feeds))
    if not samples:
        raise ModelError("there are no samples to compare on")
    sizes = [len(model.to_onnx().SerializeToString()) for model in (float_model, quantized_model)]
    medians = [statistics.median(spent) for spent in times]
    return Comparison(layers, outputs, (sizes[0], sizes[1]), (medians[0], medians[1]), samples)


def _require_same_ends(a: Model, b: Model) -> None:
    for kind in ("input_names", "output_names"):
        names: Sequence[Sequence[str]] = [getattr(m.graph, kind) for m in (a, b)]
        if set(names[0]) != set(names[1]):
            ends = kind.replace("_names", "s")
            raise ModelError(f"the models have other {ends}: {names[0]} and {names[1]}")


def _common_values(a: Model, b: Model) -> list[str]:
    """The values of floats that both models compute, but for the outputs."""
    other = {name for node in b.graph.nodes for name in node.outputs} - set(b.graph.constants)
    ends = {*a.graph.output_names, *a.graph.input_names}
    return [
        name
        for node in a.graph.nodes
        for name in node.outputs
        if name in other and name not in ends and _is_float(a, name) and _is_float(b, name)
    ]


def _is_float(model: Model, name: str) -> bool:
    dtype = model.graph.dtype(name)
    return dtype is not None and dtype.kind == "f"


def _milliseconds(model: Model, feed: Any) -> float:
    """The shorter of two runs: the first one for inputs of some shapes also plans memory."""
    spent = []
    for _ in range(2):
        start = time.perf_counter()
        model.run(feed)
        spent.append(1e3 * (time.perf_counter() - start))
    return min(spent)
