"""`write_report`: both models on the same feeds, and everything about it in one folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quantlib.calibration.observer import Observer
from quantlib.calibration.progress import Progress, reporting
from quantlib.model.codes import Codes
from quantlib.model.graph import Array, Graph, ModelError
from quantlib.model.model import Model
from quantlib.model.quantization.api import LEAST_OPSET, prepare
from quantlib.model.quantization.ranges import Feeds, length_of
from quantlib.model.reports import files
from quantlib.model.reports.advice import advise
from quantlib.model.reports.page import write_page
from quantlib.model.reports.pairs import Pair, Tensor, pair_nodes
from quantlib.model.reports.report import (
    LayerReport,
    Report,
    TensorReport,
    histogram_of,
    relative,
)
from quantlib.model.reports.statistics import (
    PARTS,
    ErrorSums,
    Summary,
    beyond_codes,
    clipped_share,
    cosine,
    summarize_tensor,
)

__all__ = ["write_report"]

BINS = 64  # of a histogram in a report


def write_report(
    folder: str | os.PathLike[str],
    float_model: Model,
    quantized_model: Model,
    feeds: Feeds,
    *,
    low_cosine: float = 0.99,
    range_ratio: float = 8.0,
    high_clip: float = 0.01,
    progress: bool | Progress = False,
) -> Report:
    """Write what every tensor of both models holds, where errors come from, and what to do.

    Parameters
    ----------
    folder : path
        Where to; it is made if it is not there. Every file is written whole or not at all.
    float_model, quantized_model : Model
        A model and what `quantize` made of it, or another tool, with the same names.
    feeds : iterable of feeds
        Samples as `Model.run` takes them, read once and one at a time. Each one is a round.
    low_cosine, range_ratio, high_clip : float
        When the report advises to leave a node in floats: if the cosine of its result is below
        `low_cosine` in a round; if an Add, Sub, Sum or Concat merges tensors of which one has
        more than `range_ratio` times the range of another; if in a round more than a share
        `high_clip` of the values of its result is beyond its codes.
    progress : bool or callable
        As for `quantize`.

    Returns
    -------
    Report
        Layers with their errors and the parts of these, and the advice. Printed, it is a table.

    Raises
    ------
    ModelError
        If the float model is quantized, the models have nothing in common, a feed does not fit, or
        there is none.
    OSError
        If a file cannot be written.

    Notes
    -----
    The folder then holds ``report.html``, a page that needs no network; ``round_<i>.csv``,
    ``quant_param.csv`` and ``output_summary.csv``, as MindSpore Lite's converter writes them; and
    ``report.json``, which `read_report` and `diff_reports` read. ``docs/reports.md`` defines what
    they say. Both models are computed as their files say, with all values between: the integer
    kernels' results differ from these by ties.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, onnx.parser
    >>> import quantlib as ql
    >>> text = '''<ir_version: 8, opset_import: ["" : 17]>
    ... g (float[n, 2] x) => (float[n, 1] y) <float[2, 1] w = {1.0, -0.5}>
    ... { [only] y = MatMul (x, w) }'''
    >>> m = ql.model.load(onnx.parser.parse_model(text))
    >>> samples = [{"x": np.float32([[i, -i]])} for i in range(1, 9)]
    >>> q = ql.model.quantize(m, samples, method="minmax")
    >>> report = ql.model.write_report(tempfile.mkdtemp(), m, q, samples)
    >>> report.layers[0].name, report.layers[0].largest_part, report.skip
    ('only', 'inherited', [])
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    runs = _Rounds(float_model, quantized_model)
    rounds = 0
    with reporting(progress, "comparing") as report:
        for feed in feeds:
            files.write_round(target, rounds, runs.add(feed))
            rounds += 1
            report(rounds, length_of(feeds))
    if not rounds:
        raise ModelError("there are no samples to report on")
    found = runs.report(low_cosine, range_ratio, high_clip)
    files.remove_other_rounds(target, rounds)
    files.write_parameters(target, files.parameter_rows(runs.pairs, runs.shapes))
    files.write_outputs(target, found.outputs)
    files.write_json(target, found)
    write_page(target, found)
    return found


class _Rounds:
    """Both models, run side by side, and what they have shown so far."""

    def __init__(self, float_model: Model, quantized_model: Model) -> None:
        graph = quantized_model.graph
        original = prepare(float_model.graph, max(graph.opset, LEAST_OPSET))
        self.pairs, both = pair_nodes(original, graph)
        if not any(pair.is_quantized for pair in self.pairs):
            raise ModelError("the models have no node in common that is quantized in one of them")
        self._original, self._both = Model(original), Model(both)
        self._outputs: dict[str, list[float]] = {
            name: [] for name in original.output_names if name in graph.output_names
        }
        self._tensors = [tensor for pair in self.pairs for tensor in pair.tensors]
        self._sums = [ErrorSums(_channel_axis(pair, original)) for pair in self.pairs]
        self._cosines = [1.0 for _ in self.pairs]
        self._clips = [0.0 for _ in self.pairs]
        self._observers: dict[str, Observer] = {}
        self._codes = _activation_codes(self._tensors)
        self._weights: dict[str, Array] = {}
        self._known: dict[tuple[str, str], tuple[Summary, Summary, float, float]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def add(self, feed: Any) -> list[files.RoundRow]:
        """Run both on a feed; the rows of its round."""
        x = self._values(self._original, feed, {tensor.name for tensor in self._tensors})
        wanted = {tensor.twin for tensor in self._tensors}
        wanted |= {name for pair in self.pairs for name in (pair.raw, pair.inherited)}
        y = self._values(self._both, feed, wanted | set(self._outputs))
        for name in self._outputs:
            self._outputs[name].append(cosine(x[name], y[name]))
        rows = []
        known: dict[tuple[str, str], tuple[Summary, Summary, float, float]] = {}
        for pair in self.pairs:
            for tensor in pair.tensors:
                key = tensor.name, tensor.twin
                found = self._known.get(key) or known.get(key)
                if found is None:
                    found = _compared(x[tensor.name], y[tensor.twin])
                    (self._known if tensor.is_weight else known)[key] = found
                rows.append((pair, tensor, *found))
        self._add_errors(x, y, rows, _is_batched(feed))
        return rows

    def _values(self, model: Model, feed: Any, wanted: set[str]) -> dict[str, Array]:
        """The values of these names; constants are fetched once."""
        names = sorted(wanted | set(model.graph.output_names))
        asked = [name for name in names if name not in model.graph.constants]
        values = dict(zip(asked, map(np.asarray, model.run(feed, asked)), strict=True))
        return {**values, **{n: model.graph.constants[n] for n in names if n not in values}}

    def _add_errors(
        self, x: dict[str, Array], y: dict[str, Array], rows: list[files.RoundRow], batched: bool
    ) -> None:
        for name in {tensor.name for tensor in self._tensors if not tensor.is_weight}:
            observer = self._observers.setdefault(name, Observer(nonfinite="ignore"))
            observer.update(x[name].astype(np.float32))
        for tensor in self._tensors:
            self.shapes.setdefault(tensor.twin, y[tensor.twin].shape)
        place = {id(pair): index for index, pair in enumerate(self.pairs)}
        for pair, tensor, *_, likeness in rows:
            if tensor is not pair.output:
                continue
            at = place[id(pair)]
            self._cosines[at] = min(self._cosines[at], likeness)
            own = tensor.codes if tensor.twin != pair.raw else None
            self._clips[at] = max(self._clips[at], beyond_codes(x[tensor.name], own))
            stages = y[pair.inherited], y[pair.raw], y[tensor.twin]
            self._sums[at].update(x[tensor.name], stages, own, batched)

    def report(self, low_cosine: float, range_ratio: float, high_clip: float) -> Report:
        """What all rounds have shown."""
        layers = [self._layer(index, pair) for index, pair in enumerate(self.pairs) if pair.output]
        tensors = {name: self._tensor(name) for name in sorted(self._observers)}
        advice = advise(self.pairs, layers, tensors, low_cosine, range_ratio, high_clip)
        return Report(layers, tensors, self._outputs, advice)

    def _layer(self, index: int, pair: Pair) -> LayerReport:
        sums = self._sums[index]
        error, *parts = relative(sums.totals)
        channels = [] if sums.channels is None else [relative(one) for one in sums.channels.T]
        reads = [t.name for t in pair.tensors if not (t.is_output or t.is_weight)]
        return LayerReport(
            name=pair.node.name,
            operator=pair.node.op_type,
            output=pair.output.name if pair.output else "",
            inputs=reads,
            is_quantized=pair.is_quantized,
            cosine=self._cosines[index],
            clip=self._clips[index],
            error=error,
            parts=dict(zip(PARTS, parts, strict=True)),
            channels=channels,
            samples=[relative(one) for one in sums.samples],
        )

    def _tensor(self, name: str) -> TensorReport:
        observer, codes = self._observers[name], self._codes.get(name)
        low, high = float(observer.minimum), float(observer.maximum)
        if low > high:  # nothing that is finite
            low = high = 0.0
        counts = histogram_of(observer.histograms, low, high, BINS)
        if codes is None:
            return TensorReport(name, low, high, None, None, counts)
        return TensorReport(name, low, high, codes.low, codes.high, counts)


def _compared(x: Array, y: Array) -> tuple[Summary, Summary, float, float]:
    return summarize_tensor(x), summarize_tensor(y), clipped_share(x, y), cosine(x, y)


def _activation_codes(tensors: list[Tensor]) -> dict[str, Codes]:
    return {t.name: t.codes for t in tensors if t.codes is not None and not t.is_weight}


def _channel_axis(pair: Pair, graph: Graph) -> int:
    """Channels come second where there are two or three axes of space, or a convolution."""
    rank = (graph.rank(pair.output.name) if pair.output else None) or 1
    return 1 if rank >= 4 or (pair.node.op_type == "Conv" and rank >= 2) else rank - 1


def _is_batched(feed: Mapping[str, Any] | Sequence[Any]) -> bool:
    """Whether all inputs are as long along their first axis, which samples then lie along."""
    arrays = [np.asarray(one) for one in (feed.values() if isinstance(feed, Mapping) else feed)]
    return all(one.ndim > 0 for one in arrays) and len({len(one) for one in arrays}) == 1
