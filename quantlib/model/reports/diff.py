"""Two reports side by side: what a change of the configuration made better or worse."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from quantlib.model.graph import ModelError
from quantlib.model.reports.report import LayerReport, Report, read_report
from quantlib.model.table import plain_table, rich_table

__all__ = ["ReportDiff", "diff_reports"]


@dataclass(frozen=True)
class ReportDiff:
    """What `diff_reports` found.

    Attributes
    ----------
    layers : list of tuple of LayerReport
        Layers that both reports have, those first whose error grew most.
    outputs : dict of str to tuple of float
        The lowest cosine of each output, before and after.
    only_first, only_second : list of str
        Layers that the other report does not have.
    no_longer, newly : list of str
        Nodes that only the first, or only the second report advises to leave in floats.
    """

    layers: list[tuple[LayerReport, LayerReport]]
    outputs: dict[str, tuple[float, float]]
    only_first: list[str]
    only_second: list[str]
    no_longer: list[str]
    newly: list[str]

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "layers": [
                {"name": a.name, "error": [a.error, b.error], "cosine": [a.cosine, b.cosine]}
                for a, b in self.layers
            ],
            "outputs": {name: list(pair) for name, pair in self.outputs.items()},
            "only_first": self.only_first,
            "only_second": self.only_second,
            "no_longer": self.no_longer,
            "newly": self.newly,
        }

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        head = ["layer", "operator", "error", "then", "change", "cosine", "then", "now most from"]
        return head, [
            [a.name, b.operator, f"{a.error:.2%}", f"{b.error:.2%}", f"{b.error - a.error:+.2%}",
             f"{a.cosine:.6f}", f"{b.cosine:.6f}", b.largest_part if b.error else ""]
            for a, b in self.layers
        ]  # fmt: skip

    def _words(self) -> str:
        lines = [
            f"output {name}: cosine {before:.6f}, then {after:.6f}"
            for name, (before, after) in self.outputs.items()
        ]
        for title, names in (
            ("Layers only in the first", self.only_first),
            ("Layers only in the second", self.only_second),
            ("No longer advised to leave in floats", self.no_longer),
            ("Newly advised to leave in floats", self.newly),
        ):
            if names:
                lines.append(f"{title}: {', '.join(names)}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"{plain_table(*self._rows(), left=2)}\n{self._words()}"

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        return Group(rich_table(*self._rows(), left=2), Text(self._words()))


def diff_reports(
    first: Report | str | os.PathLike[str], second: Report | str | os.PathLike[str]
) -> ReportDiff:
    """Compare two reports, layer by layer.

    Parameters
    ----------
    first, second : Report or path
        Reports, or the folders that `write_report` wrote.

    Returns
    -------
    ReportDiff
        Errors and cosines before and after. Printed, it is a table.

    Raises
    ------
    ModelError
        If a folder holds no report, or the reports have no layer in common.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, onnx.parser
    >>> import quantlib as ql
    >>> text = '''<ir_version: 8, opset_import: ["" : 17]>
    ... g (float[n, 2] x) => (float[n, 1] y) <float[2, 1] w = {1.0, -0.45}>
    ... { [only] y = MatMul (x, w) }'''
    >>> m, samples = ql.model.load(onnx.parser.parse_model(text)), [{"x": np.float32([[1, 2]])}]
    >>> folders = []
    >>> for kind in ("int8", "int4"):
    ...     q = ql.model.quantize(m, mode="weight_only", weight_type=kind, per_channel=False)
    ...     folders.append(tempfile.mkdtemp())
    ...     report = ql.model.write_report(folders[-1], m, q, samples)
    >>> [(before, after)] = ql.model.diff_reports(*folders).layers
    >>> before.error < 0.1 < after.error
    True
    """
    a, b = (one if isinstance(one, Report) else read_report(one) for one in (first, second))
    before, after = ({one.name: one for one in report.layers} for report in (a, b))
    common = [(before[name], after[name]) for name in before if name in after]
    if not common:
        raise ModelError("the reports have no layer in common: they are of different models")
    common.sort(key=lambda pair: pair[0].error - pair[1].error)
    return ReportDiff(
        common,
        {n: (min(a.outputs[n]), min(b.outputs[n])) for n in a.outputs if n in b.outputs},
        [name for name in before if name not in after],
        [name for name in after if name not in before],
        [name for name in a.skip if name not in b.skip],
        [name for name in b.skip if name not in a.skip],
    )
