"""Which layers lose most, and models that leave these in floats or give them more bits.

One layer at a time is quantized and all others stay in floats; the loss of the model's outputs
ranks the layers. `within_loss` then leaves the worst in floats, and `within_bytes` chooses the bits
of each. Source of the procedure: H. Wu et al., "Integer Quantization for Deep Learning Inference:
Principles and Empirical Evaluation", 2020, section 4.2, https://arxiv.org/abs/2004.09602.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from glob import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlib.calibration.progress import Progress
from quantlib.model.graph import Array, ModelError, Node
from quantlib.model.model import Model
from quantlib.model.quantization.config import QuantConfig
from quantlib.model.quantization.ranges import Feeds, stream
from quantlib.model.table import plain_table, rich_table

if TYPE_CHECKING:
    from quantlib.model.quantization.api import Quantizer

__all__ = ["METRICS", "LayerLoss", "Loss", "Partial", "Sensitivity", "rank", "within_bytes",
           "within_loss"]  # fmt: skip

METRICS = ("relative_error", "cosine")
WIDTHS = ("int4", "int8", "int16")  # of weights under a budget, beside floats
MOST_CHOICES = 10_000  # partial sums that the search under a budget keeps

Evaluate = Callable[[Model], float]


@dataclass(frozen=True, slots=True)
class LayerLoss:
    """What the model loses if one layer is quantized, and no other.

    Attributes
    ----------
    name, operator : str
        The node.
    weights : int
        How many weights it has.
    loss : float
        By the measure of the report; larger is worse.
    """

    name: str
    operator: str
    weights: int
    loss: float


@dataclass(frozen=True)
class Sensitivity:
    """What `sensitivity` found.

    Attributes
    ----------
    layers : tuple of LayerLoss
        The worst first.
    measure : str
        What `LayerLoss.loss` is: the metric, or "score" if `evaluate` gave it.
    """

    layers: tuple[LayerLoss, ...]
    measure: str

    def names(self) -> list[str]:
        """Names of the layers, the worst first."""
        return [layer.name for layer in self.layers]

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "measure": self.measure,
            "layers": [
                {"name": one.name, "operator": one.operator, "weights": one.weights,
                 "loss": one.loss if math.isfinite(one.loss) else None}
                for one in self.layers
            ],
        }  # fmt: skip

    def _rows(self) -> tuple[list[str], list[tuple[str, ...]]]:
        head = ["layer", "operator", "weights", f"loss ({self.measure})"]
        return head, [
            (one.name, one.operator, f"{one.weights:,}", f"{one.loss:.5g}") for one in self.layers
        ]

    def __str__(self) -> str:
        return plain_table(*self._rows(), left=2)

    def __rich__(self) -> Any:
        return rich_table(*self._rows(), left=2)


@dataclass(frozen=True)
class Partial:
    """What `quantize` decided to keep a promise of `max_loss` or `max_bytes`; `Model.partial`.

    Attributes
    ----------
    types : dict of str to str
        For each layer in the order of computation what its weights became: "float32" if it was
        left in floats, or "int8", "5 bits", "mixed bits" and the like.
    loss : float
        Of the whole model, by `sensitivity.measure`.
    bytes : int
        Size of the model as a file.
    sensitivity : Sensitivity
        The ranking that it was decided by.
    """

    types: dict[str, str]
    loss: float
    bytes: int
    sensitivity: Sensitivity

    @property
    def left(self) -> tuple[str, ...]:
        """The layers that were left in floats."""
        return tuple(name for name, kind in self.types.items() if kind == "float32")

    def __str__(self) -> str:
        losses = {one.name: one.loss for one in self.sensitivity.layers}
        rows = [(name, kind, f"{losses[name]:.5g}") for name, kind in self.types.items()]
        measure = self.sensitivity.measure
        table = plain_table(("layer", "weights", f"loss alone ({measure})"), rows, left=2)
        return f"{table}\nloss {self.loss:.5g} ({measure}), {self.bytes:,} bytes"


class Loss:
    """How far a model's outputs are from the float model's: ``loss(model)``, 0 if they are equal.

    The float model runs once; its outputs are held.
    """

    def __init__(
        self, float_model: Model, feeds: Feeds | None, metric: str, evaluate: Evaluate | None
    ) -> None:
        if metric not in METRICS:
            raise ValueError(f"metric is {metric!r}; it may be {' or '.join(map(repr, METRICS))}")
        self.measure = metric if evaluate is None else "score"
        self._metric, self._evaluate, self._feeds = metric, evaluate, feeds
        if evaluate is not None:
            if not callable(evaluate):
                raise TypeError(f"evaluate must be callable, not {type(evaluate).__name__}")
            self._score = float(evaluate(float_model))
            return
        if feeds is None:
            raise ModelError("to measure a loss, hand over feeds or evaluate")
        self._wanted = [float_model.run(feed) for feed in feeds]
        if not self._wanted:
            raise ModelError("there are no feeds to measure a loss on")

    def __call__(self, model: Model) -> float:
        if self._evaluate is not None:
            loss = self._score - float(self._evaluate(model))
        else:
            loss = self._distance(model)
        return loss if not math.isnan(loss) else math.inf

    def _distance(self, model: Model) -> float:
        """The largest of the outputs' losses; each is of all its values on all feeds."""
        sums = np.zeros((len(model.outputs), 4))
        for feed, wanted in zip(self._feeds or (), self._wanted, strict=True):
            for row, x, y in zip(sums, wanted, model.run(feed), strict=True):
                row += _products(np.asarray(x), np.asarray(y))
        return max(_loss(row, self._metric) for row in sums)


def _products(x: Array, y: Array) -> Array:
    """Sums of x * x, y * y, x * y and (x - y) ** 2."""
    a, b = (array.astype(np.float64).reshape(-1) for array in (x, y))
    if a.shape != b.shape:
        raise ModelError(f"the outputs have different shapes: {x.shape} and {y.shape}")
    return np.stack([a @ a, b @ b, a @ b, (a - b) @ (a - b)])


def _loss(sums: Array, metric: str) -> float:
    xx, yy, xy, error = map(float, sums)
    if error == 0:
        return 0.0
    if metric == "relative_error":
        return math.sqrt(error / xx) if xx > 0 else math.inf
    return 1 - xy / math.sqrt(xx * yy) if xx > 0 and yy > 0 else 1.0


def rank(
    quantizer: Quantizer,
    config: QuantConfig,
    loss: Loss,
    executor: Executor | None,
    report: Progress,
) -> Sensitivity:
    """The layers by what the model loses if each one alone is quantized."""
    layers = _layers(quantizer, config)
    changes = [without(config, [n for n in layers if n != name]) for name in layers]
    losses = []
    for value in stream(loss, (), map(quantizer.quantize, changes), executor):
        losses.append(value)
        report(len(losses), len(layers))
    return _ranking(quantizer, layers, losses, loss.measure)


def _layers(quantizer: Quantizer, config: QuantConfig) -> dict[str, Node]:
    """What `config` gives quantized weights, by name, in the order of computation."""
    return {node.name: node for node in quantizer.layers(config)}


def _ranking(
    quantizer: Quantizer, layers: dict[str, Node], losses: list[float], measure: str
) -> Sensitivity:
    rows = [
        LayerLoss(name, node.op_type, quantizer.graph.constants[node.inputs[1]].size, value)
        for (name, node), value in zip(layers.items(), losses, strict=True)
    ]
    return Sensitivity(tuple(sorted(rows, key=lambda row: -row.loss)), measure)


def without(config: QuantConfig, names: Sequence[str]) -> QuantConfig:
    """`config`, with the nodes of these names left in floats."""
    return replace(config, exclude=(*config.exclude, *map(escape, names)))


def within_loss(
    quantizer: Quantizer,
    config: QuantConfig,
    loss: Loss,
    most: float,
    executor: Executor | None,
    report: Progress,
) -> Model:
    """The model with few layers left in floats that loses no more than `most`.

    The number of the worst layers to leave is found by bisection; then each of them, the least
    sensitive first, is quantized again where the loss allows it.
    """
    if not (isinstance(most, (int, float)) and math.isfinite(most) and most >= 0):
        raise ValueError(f"max_loss is {most!r}; it must be a number of 0 or more")
    found = rank(quantizer, config, loss, executor, report)
    names = found.names()
    best: tuple[Model, float] | None = None
    left = names

    def fits(fewer: list[str]) -> bool:
        nonlocal best, left
        model = quantizer.quantize(without(config, fewer))
        value = loss(model)
        if value <= most:
            best, left = (model, value), fewer
        return value <= most

    least = 0
    while least < len(left):
        middle = (least + len(left)) // 2
        if not fits(names[:middle]):
            least = middle + 1
    for name in reversed(left):
        fits([other for other in left if other != name])
    if best is None:
        alone = found.layers[-1]
        raise ModelError(
            f"no layer can be quantized with a loss of {most:g}: {alone.name!r} alone loses "
            f"{alone.loss:.4g} ({found.measure})"
        )
    types = {
        name: "float32" if name in left else _kind_of(config.for_node(node))
        for name, node in _layers(quantizer, config).items()
    }
    return _decided(*best, types, found)


def _kind_of(config: QuantConfig) -> str:
    """What weights become, in a word."""
    if config.mode != "weight_only" or config.weight_bits is None:
        return config.weight.name
    return f"{config.weight_bits} bits" if config.weight_bits else "mixed bits"


def _decided(model: Model, loss: float, types: dict[str, str], found: Sensitivity) -> Model:
    """`model`, which now says what was decided."""
    model.partial = Partial(types, loss, _size(model), found)
    return model


def _size(model: Model) -> int:
    return len(model.to_onnx().SerializeToString())


def within_bytes(
    quantizer: Quantizer,
    config: QuantConfig,
    loss: Loss,
    most: int,
    executor: Executor | None,
    report: Progress,
) -> Model:
    """The model of at most `most` bytes whose layers have the bits that lose least.

    Every layer is measured at every width by itself. Losses are taken to add up (those of relative
    errors as squares), and so are the bytes; what comes out is measured as a whole.
    """
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ValueError(f"max_bytes is {most!r}; it must be an int of 1 or more")
    if config.mode != "weight_only":
        raise ValueError(f"max_bytes is for mode 'weight_only', not {config.mode!r}")
    if config.weight_bits is not None:
        raise ValueError("max_bytes chooses weight_type, and cannot be kept to with weight_bits")
    layers = _layers(quantizer, config)
    sign = "u" if config.weight_type.startswith("u") else ""
    kinds = [sign + kind for kind in WIDTHS]
    whole = _size(Model(quantizer.graph))
    sizes: list[int] = []

    def single() -> Iterator[Any]:
        for name in layers:
            alone = without(config, [other for other in layers if other != name])
            for kind in kinds:
                model = quantizer.quantize(_with_types(alone, {name: kind}))
                sizes.append(_size(model) - whole)
                yield model

    losses: list[float] = []
    for value in stream(loss, (), single(), executor):
        losses.append(value)
        report(len(losses), len(layers) * len(kinds))
    found = _ranking(quantizer, layers, losses[:: len(kinds)], loss.measure)
    power = 2 if loss.measure == "relative_error" else 1
    options = [
        [(sizes[i], max(losses[i], 0.0) ** power) for i in range(at, at + len(kinds))] + [(0, 0.0)]
        for at in range(0, len(losses), len(kinds))
    ]
    model, types = _built_within(quantizer, config, options, [*kinds, "float32"], most, whole)
    return _decided(model, loss(model), types, found)


def _with_types(config: QuantConfig, types: dict[str, str]) -> QuantConfig:
    """`config`, with these types of weights; "float32" leaves a layer out."""
    left = [name for name, kind in types.items() if kind == "float32"]
    overrides = {escape(n): {"weight_type": k} for n, k in types.items() if k != "float32"}
    changes = dict(config.overrides)
    for pattern, change in overrides.items():
        changes[pattern] = {**changes.pop(pattern, {}), **change}  # the last one wins
    return replace(without(config, left), overrides=changes)


def _built_within(
    quantizer: Quantizer,
    config: QuantConfig,
    options: list[list[tuple[int, float]]],
    kinds: list[str],
    most: int,
    whole: int,
) -> tuple[Model, dict[str, str]]:
    """The model that the best choice makes; where sizes do not quite add up, with less room."""
    room, names = most - whole, list(_layers(quantizer, config))
    while (picks := choose(options, room)) is not None:
        types = dict(zip(names, (kinds[pick] for pick in picks), strict=True))
        if all(kind == "float32" for kind in types.values()):
            raise ModelError(f"max_bytes is {most:,}, but in floats the model has only {whole:,}")
        model = quantizer.quantize(_with_types(config, types))
        excess = _size(model) - most
        if excess <= 0:
            return model, types
        room -= excess
    least = whole + sum(min(size for size, _ in layer) for layer in options)
    raise ModelError(f"max_bytes is {most:,}; the model needs about {least:,} at least")


def choose(options: Sequence[Sequence[tuple[int, float]]], room: int) -> list[int] | None:
    """The option of each layer with the least sum of errors whose sizes sum up to `room` at most.

    `options` are pairs of size and error. Partial sums that another one beats in both are dropped,
    so the choice is exact as long as no more than `MOST_CHOICES` are left of any layer; beyond
    that, evenly spaced ones are kept. None if nothing fits.
    """
    least = [min(size for size, _ in layer) for layer in options]
    front: list[tuple[int, float, tuple[Any, ...]]] = [(0, 0.0, ())]
    for at, layer in enumerate(options):
        rest = room - sum(least[at + 1 :])
        sums = sorted(
            (before + size, lost + error, (picks, pick))
            for before, lost, picks in front
            for pick, (size, error) in enumerate(layer)
            if before + size <= rest
        )
        front = []
        for entry in sums:
            if not front or entry[1] < front[-1][1]:
                front.append(entry)
        if len(front) > MOST_CHOICES:
            kept = np.linspace(0, len(front) - 1, MOST_CHOICES).astype(int)
            front = [front[i] for i in kept]
    if not front:
        return None
    picks, chosen = front[-1][2], []
    while picks:
        picks, pick = picks
        chosen.append(pick)
    return chosen[::-1]
