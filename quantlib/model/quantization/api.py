"""`quantize`: from a float model to a quantized one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from quantlib.calibration.observer import Observer
from quantlib.calibration.progress import Progress, reporting
from quantlib.model.graph import Graph, ModelError, Node
from quantlib.model.model import Model, load
from quantlib.model.passes import fold_batch_norms, fold_constants, remove_dead_code, simplify
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.correct import corrected_biases
from quantlib.model.quantization.dynamic import takes_codes, write_dynamic, write_weight_only
from quantlib.model.quantization.equalize import equalize
from quantlib.model.quantization.gptq import gram_matrices, products_of
from quantlib.model.quantization.norms import norms_to_convolutions
from quantlib.model.quantization.partial import (
    Loss,
    Sensitivity,
    rank,
    within_bytes,
    within_loss,
)
from quantlib.model.quantization.ranges import Feeds, observe
from quantlib.model.quantization.selection import PRODUCTS, Selection, data_inputs, select
from quantlib.model.quantization.smooth import smooth
from quantlib.model.quantization.static import activation_params, layer_weights, write_qdq
from quantlib.model.quantization.tune import tune
from quantlib.model.quantization.weight_bits import Coder, find_weights, write_weight_bits
from quantlib.model.quantization.weights import WeightCache
from quantlib.model.shapes import infer_values
from quantlib.model.upgrade import upgrade

__all__ = ["prepare", "quantize", "sensitivity"]

LEAST_OPSET = 13  # whose Q/DQ have a scale for each channel
OPSET_OF_FEW_BITS = 21  # whose Q/DQ have 4 and 16 bits, and blocks


def quantize(
    model: Any,
    calibration: Feeds | Callable[[], Feeds] | None = None,
    config: QuantConfig | None = None,
    *,
    executor: Executor | None = None,
    progress: bool | Progress = False,
    max_loss: float | None = None,
    max_bytes: int | None = None,
    metric: str = "relative_error",
    feeds: Feeds | None = None,
    evaluate: Callable[[Model], float] | None = None,
    **options: Any,
) -> Model:
    """Quantize a model.

    Parameters
    ----------
    model : Model, path, bytes or onnx.ModelProto
        A float model.
    calibration : iterable of feeds, or callable that returns one
        Samples as `Model.run` takes them; for static quantization and for smoothing. They are read
        once and one at a time, so that a generator of any length needs no more memory than one
        sample. Bias correction and smoothing before static quantization each read them once more:
        then a generator must be handed over as the function that makes it.
    config : QuantConfig, optional
        How to quantize.
    executor : concurrent.futures.Executor, optional
        Shares the work of calibration. The result does not depend on it.
    progress : bool or callable
        True shows a bar on the standard error stream (with the extra ``cli``; otherwise a line). A
        callable is called with the number of samples done, and of all if that is known.
    max_loss : float, optional
        Leave layers in floats, those first that `sensitivity` ranks worst, until the model loses no
        more than this by `metric`, or by `evaluate`. No layer that is left could be quantized, too.
    max_bytes : int, optional
        For weight-only quantization: choose 4, 8 or 16 bits, or floats, for each layer so that the
        file has at most so many bytes and as little as possible is lost.
    metric, feeds, evaluate
        How loss is measured, as in `sensitivity`.
    **options
        Fields of `QuantConfig` to replace.

    Returns
    -------
    Model
        In QDQ form: an ordinary ONNX model of the opset that its types need, which other run times
        take, too. Normalizations are folded, or become convolutions of one tap. A product whose
        result nothing quantized reads, such as the last layer, returns floats. With `weight_bits`,
        weights may be encoded in a way that only quantlib decodes: ``save(path, form="float32")``
        writes them decoded. With `max_loss` or `max_bytes`, its `partial` says what became of each
        layer.

    Raises
    ------
    ModelError
        If the model is quantized already, has nothing to quantize, or a sample does not fit it or
        gives values that are not finite; if calibration is empty or missing; if no quantized model
        keeps to `max_loss` or `max_bytes`.
    TypeError, ValueError
        As `QuantConfig`; if `max_loss` and `max_bytes` are both given, or out of range.

    Notes
    -----
    Weights: ``scale = max|w| / 127`` for each output channel, zero point 0. Biases: int32 in units
    of ``x_scale * w_scale``; a channel whose bias would need more than half of int32 gets a larger
    scale. What moves data (pools of maxima, reshapes) keeps the scale of what it moves, and the
    parts of a concatenation share one.

    Examples
    --------
    >>> import numpy as np, onnx.parser
    >>> import quantlib as ql
    >>> text = '''<ir_version: 8, opset_import: ["" : 17]>
    ... g (float[n, 2] x) => (float[n, 1] y) <float[2, 1] w = {1.0, -0.5}> { y = MatMul (x, w) }'''
    >>> samples = [{"x": np.float32([[i, -i]])} for i in range(1, 9)]
    >>> q = ql.model.quantize(onnx.parser.parse_model(text), samples, method="minmax")
    >>> [node.kind for node in q.plan().graph.nodes]
    ['QuantizeLinear', 'quantlib.QLinearMatMul']
    >>> bool(np.abs(q.run([np.float32([[4, 2]])])[0] - 3) < 0.1)
    True
    """
    config = replace(config or QuantConfig(), **options)
    source = model if isinstance(model, Model) else load(model)
    if max_loss is None and max_bytes is None:
        return Quantizer(source, calibration, config, executor, progress).quantize(config)
    if max_loss is not None and max_bytes is not None:
        raise ValueError("max_loss and max_bytes are both given; only one of them can be kept to")
    quantizer = Quantizer(source, calibration, config, executor, progress, several=True)
    loss = Loss(source, _loss_feeds(feeds, calibration, evaluate), metric, evaluate)
    with reporting(progress, "measuring layers") as report:
        if max_loss is not None:
            return within_loss(quantizer, config, loss, max_loss, executor, report)
        return within_bytes(quantizer, config, loss, max_bytes or 0, executor, report)


def sensitivity(
    model: Any,
    calibration: Feeds | Callable[[], Feeds] | None = None,
    config: QuantConfig | None = None,
    *,
    metric: str = "relative_error",
    feeds: Feeds | None = None,
    evaluate: Callable[[Model], float] | None = None,
    executor: Executor | None = None,
    progress: bool | Progress = False,
    **options: Any,
) -> Sensitivity:
    """Quantize one layer at a time, and rank the layers by what the model loses.

    Parameters
    ----------
    model, calibration, config, executor, progress, **options
        As for `quantize`. Calibration runs once, and each weight is quantized once.
    metric : {"relative_error", "cosine"}
        What is lost: ``norm(x - y) / norm(x)`` of the float model's outputs x and the others y,
        each output over all feeds, and of several outputs the largest; or 1 minus the cosine.
    feeds : iterable of feeds, optional
        What to measure on, read once for every layer; by default the calibration data.
    evaluate : callable, optional
        Takes a model and returns its score, for instance its accuracy in percent; larger is better.
        The loss is then the float model's score minus the other's.

    Returns
    -------
    Sensitivity
        The convolutions and matrix products with constant weights, the worst first. Other operators
        are quantized with these where integers come in and go out, and count as theirs.

    Raises
    ------
    ModelError, TypeError, ValueError
        As `quantize` does; or if there is nothing to measure on.

    Notes
    -----
    The model runs once for each layer and feed. An executor measures several layers at a time.

    Examples
    --------
    >>> import numpy as np, onnx.parser
    >>> import quantlib as ql
    >>> text = '''<ir_version: 8, opset_import: ["" : 17]>
    ... g (float[n, 2] x) => (float[n, 1] y) <float[2, 2] v = {1.0, 0.3, -0.07, 5.0},
    ... float[2, 1] w = {1.0, -0.5}> { [first] a = MatMul (x, v)  [last] y = MatMul (a, w) }'''
    >>> found = ql.model.sensitivity(
    ...     onnx.parser.parse_model(text), mode="weight_only", weight_type="int4",
    ...     per_channel=False, feeds=[[np.float32([[1, -2]])], [np.float32([[3, 1]])]])
    >>> print(found)
    layer  operator  weights  loss (relative_error)
    last   MatMul          2                0.13538
    first  MatMul          4               0.072709
    """
    config = replace(config or QuantConfig(), **options)
    source = model if isinstance(model, Model) else load(model)
    quantizer = Quantizer(source, calibration, config, executor, progress, several=True)
    loss = Loss(source, _loss_feeds(feeds, calibration, evaluate), metric, evaluate)
    with reporting(progress, "measuring layers") as report:
        return rank(quantizer, config, loss, executor, report)


def _loss_feeds(feeds: Any, calibration: Any, evaluate: Any) -> Feeds | None:
    if evaluate is not None:
        return None
    given = calibration if feeds is None else feeds
    if given is None:
        return None
    read = _passes(given, 2, "feeds", "losses are measured again and again")
    return read() if callable(given) else given


class Quantizer:
    """A float model that is quantized in one way or in several, and calibrated once.

    With `several`, what any of the ways could need is observed together. They may differ in what
    they leave in floats and in the types of weights.
    """

    def __init__(
        self,
        source: Model,
        calibration: Feeds | Callable[[], Feeds] | None,
        config: QuantConfig,
        executor: Executor | None,
        progress: bool | Progress,
        *,
        several: bool = False,
    ) -> None:
        opset = OPSET_OF_FEW_BITS if several and config.mode == "weight_only" else _opset(config)
        self.graph = prepare(source.graph, opset)
        config.check_names(self.graph.nodes)
        if config.mode == "static":
            norms_to_convolutions(self.graph, config)
        if config.equalize:
            equalize(self.graph)
        self._calibration, self._executor, self._progress = calibration, executor, progress
        self._codes = WeightCache()
        self._coder = Coder(self.graph)
        self._observers: dict[str, Observer] = {}
        self._several = several
        if config.smooth is not None:
            with reporting(progress, "smoothing") as report:
                smooth(self.graph, config, self._passes(config)(), executor, report)
        if several and config.mode == "static":
            self._observe(select(self.graph, config), config)

    def layers(self, config: QuantConfig) -> list[Node]:
        """The nodes whose weights become codes, in the order of computation."""
        if config.mode == "static":
            chosen = select(self.graph, config).nodes
            return [node for node in chosen if node.op_type in PRODUCTS]
        chosen = [node for node in self.graph.nodes if takes_codes(node, self.graph, config)]
        if config.mode == "weight_only":
            uses = {number for one in find_weights(self.graph, config) for number, _ in one.uses}
            chosen += [self.graph.nodes[number] for number in sorted(uses)]
        return chosen

    def quantize(self, config: QuantConfig) -> Model:
        """The model quantized in one way."""
        if not self.layers(config):
            raise ModelError("nothing is quantized: no product with constant weights is left")
        if config.mode == "static":
            result = self._static(config)
        elif config.mode == "dynamic":
            result = write_dynamic(self.graph, config, self._codes)
        else:
            self._measure_inputs(config)
            result = write_weight_bits(self.graph, config, self._coder, self._tuned(config))
            result = write_weight_only(result, config, self._codes)
        remove_dead_code(result)
        result.values = infer_values(result)
        # What a file declares of its outputs must be there, too, for those whose rules of inference
        # do not know how weights are decoded.
        result.outputs = [
            value if value.shape is not None else result.values.get(value.name, value)
            for value in result.outputs
        ]
        return Model(result)

    def _measure_inputs(self, config: QuantConfig) -> None:
        """What the products are given whose weights GPTQ rounds."""
        products = {
            one.name: products_of(self.graph, one.uses)
            for one in find_weights(self.graph, config)
            if one.config.weight_rounding == "gptq" and one.name not in self._coder.grams
        }
        wanted = {name: nodes for name, nodes in products.items() if nodes}
        if wanted:
            read = self._passes(config)
            with reporting(self._progress, "measuring inputs") as report:
                self._coder.grams |= gram_matrices(
                    self.graph, wanted, read(), self._executor, report
                )

    def _tuned(self, config: QuantConfig) -> float | None:
        """The step of mixed bits that is searched for, None if none is."""
        if not config.auto_tune or config.weight_bits != 0:
            return None
        given = self._calibration() if callable(self._calibration) else self._calibration
        feed = None if given is None else next(iter(given), None)
        with reporting(self._progress, "tuning") as report:
            return tune(self.graph, config, self._coder, feed, report)

    def _static(self, config: QuantConfig) -> Graph:
        selection = select(self.graph, config)
        self._observe(selection, config)
        params = activation_params(selection, self._observers, config)
        weights = layer_weights(self.graph, selection, params, config, self._codes)
        biases = None
        if config.bias_correction:
            read = self._passes(config)
            with reporting(self._progress, "correcting biases") as report:
                biases = corrected_biases(
                    self.graph, selection, params, weights, read(), self._executor, report
                )
        return write_qdq(self.graph, selection, params, weights, biases)

    def _observe(self, selection: Selection, config: QuantConfig) -> None:
        """Calibrate what has not been; everything that any choice of layers may need together."""
        wanted = {source for name in selection.tensors for source in selection.sources[name]}
        if self._several:
            wanted |= {name for node in selection.nodes for name in data_inputs(node, self.graph)}
        wanted -= {*self._observers, *self.graph.constants}
        if not wanted:
            return
        read = self._passes(config)
        with reporting(self._progress, "calibrating") as report:
            self._observers |= observe(
                Model(self.graph), sorted(wanted), read(), self._executor, report
            )

    def _passes(self, config: QuantConfig) -> Callable[[], Feeds]:
        if self._calibration is None:
            raise ModelError("static quantization, smoothing and GPTQ need calibration data")
        times = int(config.mode == "static") + int(config.smooth is not None)
        times += int(config.bias_correction)
        why = "bias correction and smoothing read it again"
        return _passes(self._calibration, times, "calibration", why)


def _opset(config: QuantConfig) -> int:
    configs = [config, *(replace(config, overrides={}, **o) for o in config.overrides.values())]
    few = any(
        c.weight.bits != 8 or c.block_size is not None or c.weight_bits in (4, 16) for c in configs
    )
    return OPSET_OF_FEW_BITS if few and config.mode == "weight_only" else LEAST_OPSET


def prepare(graph: Graph, opset: int = LEAST_OPSET) -> Graph:
    """The form of a float model that is quantized: folded, in an opset that has what it takes."""
    if any(node.op_type in _QUANTIZED for node in graph.nodes):
        raise ModelError("the model is quantized already")
    graph = upgrade(graph, opset)
    remove_dead_code(graph)
    simplify(graph)
    fold_constants(graph)
    fold_batch_norms(graph)
    remove_dead_code(graph)
    graph.values = {**graph.values, **infer_values(graph)}
    for index, node in enumerate(graph.nodes):
        node.name = node.name or f"{node.op_type}_{index}"
    return graph


_QUANTIZED = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul",
     "MatMulInteger", "ConvInteger", "DecodeWeights"}
)  # fmt: skip


def _passes(given: Any, times: int, name: str, why: str) -> Callable[[], Feeds]:
    """What gives the samples, as often as they are needed."""
    if callable(given):
        made: Callable[[], Feeds] = given
        return made
    if not isinstance(given, Iterable):
        raise TypeError(f"{name} must be an iterable, not {type(given).__name__}")
    if times > 1 and iter(given) is given:
        raise ValueError(
            f"{name} is an iterator, which is read once; {why}: "
            "hand over a list, or the function that makes the iterator"
        )
    return lambda: given
