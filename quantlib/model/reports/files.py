"""The files of a report: tables of comma-separated values, after MindSpore Lite's debug reports.

Columns, their order and their definitions are those of its documentation, ``round_<i>.csv``,
``quant_param.csv`` and ``output_summary.csv``: a row begins with its number where the header begins
with an empty name, and ends with a comma. Quartiles are order statistics of all values; ``Var`` is
the variance of the population, of which MindSpore Lite writes the square root.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from quantlib.model.reports.pairs import Pair, Tensor
from quantlib.model.reports.report import JSON_NAME, Report
from quantlib.model.reports.statistics import Summary
from quantlib.model.writer import write_whole

__all__ = ["RoundRow", "parameter_rows", "write_json", "write_outputs", "write_parameters",
           "write_round"]  # fmt: skip

_ROUND = ("", "NodeName", "NodeType", "TensorName", "InOutFlag", "DataTypeFlag", "TensorTypeFlag",
          "Min", "Q1", "Median", "Q3", "Max", "Mean", "Var", "Sparsity", "Clip",
          "CosineSimilarity")  # fmt: skip
_PARAMETERS = ("NodeName", "NodeType", "TensorName", "ElementsNum", "Dims", "Scale", "ZeroPoint",
               "Bits", "CorrectionVar", "CorrectionMean")  # fmt: skip
_OUTPUTS = ("Round", "TensorName", "CosineSimilarity")

RoundRow = tuple[Pair, Tensor, Summary, Summary, float, float]
"""A tensor of a pair in one round: both summaries, the clipped share and the cosine."""


def write_round(folder: Path, number: int, rows: Iterable[RoundRow]) -> None:
    """What every tensor holds in one round, in the float model and in the quantized one."""
    lines: list[Sequence[Any]] = []
    for pair, tensor, original, other, clip, likeness in rows:
        flags = [
            "Output" if tensor.is_output else "Input",
            "Weight" if tensor.is_weight else "Activation",
        ]
        for kind, summary, last in (
            ("Origin", original, (0.0, 1.0)),
            ("Dequant", other, (clip, likeness)),
        ):
            names = (pair.node.name, pair.node.op_type, tensor.name, flags[0], kind, flags[1])
            lines.append((len(lines), *names, *astuple(summary), *last))
    _write(folder / f"round_{number}.csv", _ROUND, lines)


def remove_other_rounds(folder: Path, rounds: int) -> None:
    """Take away the rounds of an earlier report that had more of them."""
    for path in folder.glob("round_*.csv"):
        found = re.fullmatch(r"round_(\d+)\.csv", path.name)
        if found and int(found[1]) >= rounds:
            path.unlink()


def parameter_rows(pairs: Iterable[Pair], shapes: dict[str, tuple[int, ...]]) -> list[list[Any]]:
    """A row for each channel of each tensor that has codes, under each node that it belongs to."""
    rows = []
    for pair in pairs:
        for tensor in pair.tensors:
            if tensor.codes is None:
                continue
            shape = shapes[tensor.twin]
            start = [pair.node.name, pair.node.op_type, tensor.name, math.prod(shape),
                     " ".join(map(str, shape))]  # fmt: skip
            codes = tensor.codes
            scales = codes.scale.reshape(-1)
            zeros = np.broadcast_to(codes.zero_point, codes.scale.shape).reshape(-1)
            offsets = np.zeros(scales.shape) if codes.offset is None else codes.offset.reshape(-1)
            for scale, zero, offset in zip(scales, zeros, offsets, strict=True):
                rows.append([*start, float(scale), int(zero), codes.bits, 1, float(offset)])
    return rows


def write_parameters(folder: Path, rows: list[list[Any]]) -> None:
    """``quant_param.csv``; without any parameters there is none."""
    path = folder / "quant_param.csv"
    if rows:
        _write(path, _PARAMETERS, rows)
    else:
        path.unlink(missing_ok=True)


def write_outputs(folder: Path, outputs: dict[str, list[float]]) -> None:
    """``output_summary.csv``: the cosine of every output in every round."""
    rounds = max(map(len, outputs.values()), default=0)
    rows = [(i, name, values[i]) for i in range(rounds) for name, values in outputs.items()]
    _write(folder / "output_summary.csv", _OUTPUTS, rows)


def write_json(folder: Path, report: Report) -> None:
    """All of the report, for `read_report`; what is not finite is null."""
    text = json.dumps(_finite(report.as_dict()), indent=1, allow_nan=False)
    write_whole(folder / JSON_NAME, text.encode())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*header, ""])
    writer.writerows([*map(_cell, row), ""] for row in rows)
    write_whole(path, text.getvalue().encode("utf-8", "surrogatepass"))


def _cell(value: Any) -> Any:
    return f"{value:.9g}" if isinstance(value, float) else value
