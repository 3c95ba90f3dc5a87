"""`Report`: what the files of a report say, as Python objects."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from quantlib.model.graph import Array, ModelError
from quantlib.model.reports.statistics import PARTS
from quantlib.model.table import plain_table, rich_table

__all__ = ["JSON_NAME", "Advice", "LayerReport", "Report", "TensorReport", "read_report"]

JSON_NAME = "report.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class TensorReport:
    """The values of a tensor of activations over all feeds.

    `low` and `high` are the ends of what its codes stand for, None if it has none; `counts` are a
    histogram of equal bins from `minimum` to `maximum`.
    """

    name: str
    minimum: float
    maximum: float
    low: float | None
    high: float | None
    counts: list[int]


@dataclass(frozen=True, slots=True)
class LayerReport:
    """A node, by its first result.

    Attributes
    ----------
    name, operator, output : str
        The node, and the tensor that it makes in the float model.
    inputs : list of str
        The tensors of activations that it reads.
    is_quantized : bool
        Whether anything of it became codes.
    cosine : float
        The lowest of any feed.
    clip : float
        The largest share of any feed that is cut off, because its codes end before.
    error : float
        ``norm(y - x) / norm(x)`` of the float values x and the others y of all feeds.
    parts : dict of str to float
        The same of each part of the error: "inherited" from the operands, "weights" that were
        rounded, "clipping", and "rounding" of the result. As vectors they sum up to the error.
    channels, samples : list of list of float
        For each channel and each sample, the relative error and those of its parts, in that order.
    """

    name: str
    operator: str
    output: str
    inputs: list[str]
    is_quantized: bool
    cosine: float
    clip: float
    error: float
    parts: dict[str, float]
    channels: list[list[float]]
    samples: list[list[float]]

    @property
    def largest_part(self) -> str:
        """Where most of the error comes from."""
        return max(self.parts, key=lambda part: self.parts[part])

    @property
    def own(self) -> float:
        """The relative error that the layer adds to what it inherits."""
        return math.hypot(*(self.parts[part] for part in PARTS[1:]))


@dataclass(frozen=True, slots=True)
class Advice:
    """What one of the rules, "cosine", "ranges" or "clip", says about a node, and why.

    `skip` is whether the node itself would better stay in floats; otherwise it only suffers from
    what others did before it.
    """

    node: str
    rule: str
    value: float
    reason: str
    skip: bool = True


@dataclass(frozen=True)
class Report:
    """What `write_report` found; the folder holds the same as files.

    Attributes
    ----------
    layers : list of LayerReport
        In the order of computation.
    tensors : dict of str to TensorReport
        Activations, by name.
    outputs : dict of str to list of float
        The cosine of each output of the model, feed by feed.
    advice : list of Advice
        What the three recommendations name.
    """

    layers: list[LayerReport]
    tensors: dict[str, TensorReport]
    outputs: dict[str, list[float]]
    advice: list[Advice] = field(default_factory=list)

    @property
    def skip(self) -> list[str]:
        """Names of the nodes to leave in floats, for ``QuantConfig(exclude=...)``."""
        return list(dict.fromkeys(one.node for one in self.advice if one.skip))

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {"version": VERSION, **asdict(self)}

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        head = ["layer", "operator", "cosine", "error", *PARTS, "clip"]
        rows = [
            [one.name, one.operator, f"{one.cosine:.6f}", f"{one.error:.2%}",
             *(f"{one.parts[part]:.2%}" for part in PARTS), f"{one.clip:.3%}"]
            for one in self.layers if one.is_quantized
        ]  # fmt: skip
        return head, rows

    def _words(self) -> str:
        lines = [
            f"output {name}: cosine {min(values):.6f} to {max(values):.6f}"
            for name, values in self.outputs.items()
        ]
        lines += [f"{one.node}: {one.reason}" for one in self.advice]
        lines.append(f"Nodes to leave in floats: {', '.join(self.skip) or 'none'}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"{plain_table(*self._rows(), left=2)}\n{self._words()}"

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        return Group(rich_table(*self._rows(), left=2), Text(self._words()))


def relative(sums: Array) -> list[float]:
    """Relative errors from sums of squares: of the error and of its parts."""
    signal, *errors = (float(value) for value in sums)
    return [_ratio(error, signal) for error in errors]


def _ratio(error: float, signal: float) -> float:
    if error == 0:
        return 0.0
    return math.sqrt(error / signal) if signal > 0 else math.inf


def histogram_of(histograms: list[Any], low: float, high: float, bins: int) -> list[int]:
    """Counts of equal bins from an observer's histogram."""
    if not low < high:
        return [sum(one.count for one in histograms)]
    counts = np.zeros(bins, np.int64)
    for one in histograms:
        centers = (one.origin + np.arange(one.counts.size) + 0.5) * one.width
        values = np.append(np.clip(centers, low, high), 0.0)
        weights = np.append(one.counts, one.zeros)
        held = weights > 0
        places = ((values[held] - low) / (high - low) * bins).astype(int)
        np.add.at(counts, np.clip(places, 0, bins - 1), weights[held])
    return [int(count) for count in counts]


def read_report(folder: str | os.PathLike[str]) -> Report:
    """The report that `write_report` wrote into a folder.

    Raises
    ------
    ModelError
        If the folder holds no report, or one of another version of the format.
    """
    path = Path(folder) / JSON_NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder}: no report, which would be in {JSON_NAME}") from None
    except (ValueError, UnicodeDecodeError):
        raise ModelError(f"{path}: no JSON, or cut short") from None
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise ModelError(f"{path}: no report of version {VERSION}")
    try:
        return Report(
            [LayerReport(**_without_null(one)) for one in data["layers"]],
            {name: TensorReport(**one) for name, one in data["tensors"].items()},
            data["outputs"],
            [Advice(**one) for one in data["advice"]],
        )
    except (KeyError, TypeError, AttributeError):
        raise ModelError(f"{path}: the report is not complete") from None


def _without_null(value: Any) -> Any:
    """Errors that are null were infinite."""
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    return math.inf if value is None else value
