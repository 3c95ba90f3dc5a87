"""`quantize`: from a float model to a quantized one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from quantlib.calibration.progress import Progress, reporting
from quantlib.model.graph import Graph, ModelError
from quantlib.model.model import Model, load
from quantlib.model.passes import fold_batch_norms, fold_constants, remove_dead_code, simplify
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.correct import corrected_biases
from quantlib.model.quantization.dynamic import write_dynamic, write_weight_only
from quantlib.model.quantization.equalize import equalize
from quantlib.model.quantization.ranges import Feeds, observe
from quantlib.model.quantization.selection import PRODUCTS, select
from quantlib.model.quantization.smooth import smooth
from quantlib.model.quantization.static import activation_params, layer_weights, write_qdq
from quantlib.model.shapes import infer_values
from quantlib.model.upgrade import upgrade

__all__ = ["prepare", "quantize"]

LEAST_OPSET = 13  # whose Q/DQ have a scale for each channel
OPSET_OF_FEW_BITS = 21  # whose Q/DQ have 4 bits, and blocks


def quantize(
    model: Any,
    calibration: Feeds | Callable[[], Feeds] | None = None,
    config: QuantConfig | None = None,
    *,
    executor: Executor | None = None,
    progress: bool | Progress = False,
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
    **options
        Fields of `QuantConfig` to replace.

    Returns
    -------
    Model
        In QDQ form: an ordinary ONNX model of the opset that its types need, which other run times
        take, too. Normalizations are folded. A product whose result nothing quantized reads, such
        as the last layer, returns floats.

    Raises
    ------
    ModelError
        If the model is quantized already, has nothing to quantize, or a sample does not fit it or
        gives values that are not finite; if calibration is empty or missing.
    TypeError, ValueError
        As `QuantConfig`.

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
    if config.weight_bits is not None:
        raise NotImplementedError("weight_bits is not supported yet")
    source = model if isinstance(model, Model) else load(model)
    graph = prepare(source.graph, _opset(config))
    config.check_names(graph.nodes)
    if config.equalize:
        equalize(graph)
    static = config.mode == "static"
    times = int(static) + int(config.bias_correction) + int(config.smooth is not None)
    passes = _passes(calibration, times) if times else None
    if config.smooth is not None and passes is not None:
        with reporting(progress, "smoothing") as report:
            smooth(graph, config, passes(), executor, report)
    if static and passes is not None:
        result = _quantize_static(graph, passes, config, executor, progress)
    else:
        write = write_dynamic if config.mode == "dynamic" else write_weight_only
        result = write(graph, config)
        if len(result.nodes) == len(graph.nodes):
            raise ModelError("nothing is quantized: no product with constant weights is left")
    remove_dead_code(result)
    result.values = infer_values(result)
    return Model(result)


def _opset(config: QuantConfig) -> int:
    configs = [config, *(replace(config, overrides={}, **o) for o in config.overrides.values())]
    few = any(c.weight.bits < 8 or c.block_size is not None for c in configs)
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
     "MatMulInteger", "ConvInteger"}
)  # fmt: skip


def _quantize_static(
    graph: Graph,
    passes: Callable[[], Feeds],
    config: QuantConfig,
    executor: Executor | None,
    progress: bool | Progress,
) -> Graph:
    selection = select(graph, config)
    if not any(node.op_type in PRODUCTS for node in selection.nodes):
        raise ModelError("nothing is quantized: no product with constant weights is left")
    wanted = sorted({source for name in selection.tensors for source in selection.sources[name]})
    with reporting(progress, "calibrating") as report:
        observers = observe(Model(graph), wanted, passes(), executor, report)
    params = activation_params(selection, observers, config)
    weights = layer_weights(graph, selection, params, config)
    biases = None
    if config.bias_correction:
        with reporting(progress, "correcting biases") as report:
            biases = corrected_biases(graph, selection, params, weights, passes(), executor, report)
    return write_qdq(graph, selection, params, weights, biases)


def _passes(calibration: Any, times: int) -> Callable[[], Feeds]:
    """What gives the samples, as often as they are needed."""
    if calibration is None:
        raise ModelError("static quantization and smoothing need calibration data")
    if callable(calibration):
        made: Callable[[], Feeds] = calibration
        return made
    if not isinstance(calibration, Iterable):
        raise TypeError(f"calibration must be an iterable, not {type(calibration).__name__}")
    if times > 1 and iter(calibration) is calibration:
        raise ValueError(
            "calibration is an iterator, which is read once; bias correction and smoothing read "
            "it again: hand over a list, or the function that makes the iterator"
        )
    return lambda: calibration
