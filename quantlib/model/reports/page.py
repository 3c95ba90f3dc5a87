"""The report as one page of HTML: no network, no library, every name escaped."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from quantlib.model.reports.report import LayerReport, Report, TensorReport
from quantlib.model.reports.statistics import PARTS
from quantlib.model.writer import write_whole

__all__ = ["write_page"]

NAME = "report.html"
WIDTH, HEIGHT = 640, 120  # of a drawing, in its own units
MOST_ERROR = 10.0  # of what is drawn: where values are all but 0, relative errors have no bounds
MOST_BARS = 160  # more channels or samples are joined, and the worst of each bar is shown

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2024;--dim:#5a6470;--paper:#fff;--card:#f4f5f7;
--line:#d7dbe0;--inherited:#8a94a0;--weights:#3d6fd6;--clipping:#d2452f;--rounding:#e0a11b;--bar:#6f7f92}
@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--dim:#9aa4af;--paper:#15181b;
--card:#1f2327;--line:#383e45;--inherited:#77818c;--weights:#6f9bf2;--clipping:#ef6f59;--rounding:#e8b54a;
--bar:#8595a8}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1rem;font:15px/1.5 system-ui,sans-serif;color:var(--ink);
background:var(--paper)}
h1{font-size:1.4rem;margin:.2rem 0 1rem}h2{font-size:1.1rem;margin:2rem 0 .6rem}
p,ul{margin:.4rem 0}li,td,th,summary,h3{overflow-wrap:anywhere}
.dim{color:var(--dim)}.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
td.name{min-width:7rem}td.word{white-space:nowrap}th{font-weight:600;white-space:nowrap}
th button{all:unset;cursor:pointer;font-weight:600}th button:focus-visible{outline:2px solid}
th[aria-sort=ascending] button::after{content:" \\2191"}
th[aria-sort=descending] button::after{content:" \\2193"}
.bar{display:flex;height:.8rem;min-width:8rem;margin-top:.35rem}
.bar span{height:100%}.inherited{background:var(--inherited)}.weights{background:var(--weights)}
.clipping{background:var(--clipping)}.rounding{background:var(--rounding)}
.key span{display:inline-block;width:.8rem;height:.8rem;margin:0 .3rem 0 .9rem}
details{background:var(--card);border-radius:.4rem;margin:.4rem 0;padding:.4rem .8rem}
summary{cursor:pointer}h3{font-size:.95rem;font-weight:600;margin:.8rem 0 .2rem}
svg{display:block;width:100%;height:auto;max-height:9rem}
svg .count{fill:var(--bar)}svg .cut{stroke:var(--clipping);stroke-width:2;stroke-dasharray:5 3}
svg .inherited{fill:var(--inherited)}svg .weights{fill:var(--weights)}
svg .clipping{fill:var(--clipping)}svg .rounding{fill:var(--rounding)}
svg .axis{stroke:var(--line)}
.ends{display:flex;justify-content:space-between;font-size:.85rem}
@media (max-width:40rem){.wide{display:none}th,td{padding:.3rem}.bar{min-width:6rem}}
"""
_SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const head = button.parentElement, body = head.closest("table").tBodies[0];
  const up = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
  const key = row => row.cells[head.cellIndex].dataset.value;
  const number = button.dataset.kind === "number";
  const order = (a, b) => number ? key(a) - key(b) : key(a).localeCompare(key(b));
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up > 0 ? "ascending" : "descending");
  for (const row of [...body.rows].sort((a, b) => up * order(a, b))) body.append(row);
};
"""
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-$digest'">
<title>Quantization report</title>
<style>$style</style>
</head>
<body>
<h1>Quantization report</h1>
<p>$count quantized layers, $samples samples. Errors are relative: the length of the error over the
length of the float model's values.</p>
<h2>Outputs</h2>
<div class="scroll"><table><thead><tr><th>output</th><th class="number">lowest cosine</th>
<th class="number">highest</th></tr></thead><tbody>$outputs</tbody></table></div>
<h2>Advice</h2>
$advice
<h2>Layers</h2>
<p class="key">The error of each layer's result comes from $key</p>
<div class="scroll"><table><thead><tr>$head</tr></thead><tbody>$rows</tbody></table></div>
<h2>Distributions and errors by channel</h2>
<p class="dim">Dashed lines are the ends of what the codes stand for. Counts are drawn by their
logarithm.</p>
$details
<script>$script</script>
</body>
</html>
""")
_WORDS = {
    "inherited": "what it inherited from its operands",
    "weights": "its own weights",
    "clipping": "clipping",
    "rounding": "rounding",
}


def write_page(folder: Path, report: Report) -> None:
    """``report.html``."""
    write_whole(folder / NAME, page_of(report).encode("utf-8", "replace"))


def page_of(report: Report) -> str:
    """The page as a string."""
    layers = [one for one in report.layers if one.is_quantized]
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    largest = max((sum(_parts(one)) for one in layers), default=0)
    return _PAGE.substitute(
        digest=digest,
        style=_STYLE,
        script=_SCRIPT,
        count=len(layers),
        samples=max((len(one.samples) for one in layers), default=0),
        outputs="".join(_output(name, values) for name, values in report.outputs.items()),
        advice=_advice(report),
        key="".join(f'<span class="{part}"></span>{_WORDS[part]}' for part in PARTS),
        head=_head(),
        rows="\n".join(_row(number, one, largest) for number, one in enumerate(layers)),
        details="\n".join(_details(one, report) for one in layers),
    )


def _output(name: str, values: list[float]) -> str:
    low, high = (f'<td class="number">{pick(values):.6f}</td>' for pick in (min, max))
    return f'<tr><td class="name">{escape(name)}</td>{low}{high}</tr>'


def _advice(report: Report) -> str:
    if not report.advice:
        return "<p>No layer needs to be left in floats.</p>"
    items = "".join(
        f"<li><b>{escape(one.node)}</b>: {escape(one.reason)}</li>" for one in report.advice
    )
    skip = ", ".join(f"<code>{escape(name)}</code>" for name in report.skip)
    return f"<ul>{items}</ul><p>To leave in floats: {skip or 'none'}</p>"


def _head() -> str:
    columns = [("#", "number wide"), ("layer", "text"), ("operator", "text wide"),
               ("cosine", "number"), ("error", "number"), ("from", ""),
               ("clipped", "number wide")]  # fmt: skip
    return "".join(
        f'<th scope="col" class="{look}"><button type="button" '
        f'data-kind="{"text" if "text" in look else "number"}">{name}</button></th>'
        for name, look in columns
    )


def _row(number: int, layer: LayerReport, largest: float) -> str:
    name, operator = escape(layer.name), escape(layer.operator)
    cells = [
        _cell(number, f"{number}", "number wide"),
        f'<td class="name" data-value="{name}">{name}</td>',
        f'<td class="word wide" data-value="{operator}">{operator}</td>',
        _cell(layer.cosine, f"{layer.cosine:.5f}"),
        _cell(layer.error, _percent(layer.error)),
        _cell(layer.own, _bar(layer, largest), ""),
        _cell(layer.clip, _percent(layer.clip), "number wide"),
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _cell(value: float, content: str, look: str = "number") -> str:
    sorted_by = value if math.isfinite(value) else 1e300
    return f'<td class="{look}" data-value="{sorted_by:.9g}">{content}</td>'


def _percent(value: float) -> str:
    return f"{value:.2%}" if math.isfinite(value) else "&infin;"


def _parts(layer: LayerReport) -> list[float]:
    return [min(layer.parts[part], MOST_ERROR) for part in PARTS]


def _bar(layer: LayerReport, largest: float) -> str:
    """Lengths of the parts, on one scale for all layers."""
    pieces = []
    for part, value in zip(PARTS, _parts(layer), strict=True):
        share = 100 * value / largest if largest > 0 else 0
        title = f"{_WORDS[part]}: {_percent(layer.parts[part])}"
        pieces.append(f'<span class="{part}" style="width:{share:.2f}%" title="{title}"></span>')
    return f'<div class="bar">{"".join(pieces)}</div>'


def _details(layer: LayerReport, report: Report) -> str:
    """The distributions of the result, and of operands that no layer makes; errors, drawn."""
    made = {one.output for one in report.layers}
    names = [*(name for name in layer.inputs if name not in made), layer.output]
    drawings = [_histogram(report.tensors[name]) for name in names if name in report.tensors]
    for title, rows in (("channel", layer.channels), ("sample", layer.samples)):
        if len(rows) > 1:
            drawings.append(_errors(f"Error by {title}", rows))
    error = _percent(layer.error)
    title = f"<b>{escape(layer.name)}</b> {escape(layer.operator)}, error {error}"
    return f"<details><summary>{title}</summary>{''.join(drawings)}</details>"


def _histogram(tensor: TensorReport) -> str:
    """Bars of equal widths between the extremes, with lines where the codes end."""
    left = tensor.minimum if tensor.low is None else min(tensor.minimum, tensor.low)
    right = tensor.maximum if tensor.high is None else max(tensor.maximum, tensor.high)
    span = (right - left) or 1.0
    place = [(end - left) / span * WIDTH for end in (tensor.minimum, tensor.maximum)]
    heights = [math.log1p(count) for count in tensor.counts]
    drawing = _bars([heights], ["count"], place[0], max(place[1], place[0] + 1))
    for end in (tensor.low, tensor.high):
        if end is not None:
            x = f"{min(max((end - left) / span * WIDTH, 1), WIDTH - 1):.1f}"
            drawing += f'<line class="cut" x1="{x}" x2="{x}" y1="0" y2="{HEIGHT}"/>'
    codes = ""
    if tensor.low is not None and tensor.high is not None:
        codes = f", codes from {tensor.low:.5g} to {tensor.high:.5g}"
    title = f"{escape(tensor.name)}: {tensor.minimum:.5g} to {tensor.maximum:.5g}{codes}"
    return f"<h3>{title}</h3>{_svg(drawing, title)}{_ends(f'{left:.4g}', f'{right:.4g}')}"


def _errors(title: str, rows: Sequence[Sequence[float]]) -> str:
    """The parts of the error of each channel or sample, relative to its own values."""
    group = -(-len(rows) // MOST_BARS)
    shown = [max(rows[at : at + group], key=list) for at in range(0, len(rows), group)]
    joined = f", the worst of each {group}" if group > 1 else ""
    worst = max(range(len(rows)), key=lambda at: rows[at][0])
    text = f"{title}{joined}: up to {_percent(rows[worst][0])} at {worst}"
    parts = [[min(part, MOST_ERROR) for part in one] for one in zip(*shown, strict=True)][1:]
    drawing = _svg(_bars(parts, PARTS, 0, WIDTH), text)
    return f"<h3>{text}</h3>{drawing}{_ends('0', str(len(rows) - 1))}"


def _bars(
    stacked: Sequence[Sequence[float]], looks: Sequence[str], left: float, right: float
) -> str:
    """Bars of parts on top of each other; one path for each part."""
    totals = [sum(parts) for parts in zip(*stacked, strict=True)]
    highest, step = max(totals, default=0) or 1.0, (right - left) / max(len(totals), 1)
    wide, ground = max(step * 0.9, 0.5), [float(HEIGHT)] * len(totals)
    drawing = ""
    for heights, look in zip(stacked, looks, strict=True):
        path = []
        for index, height in enumerate(heights):
            tall = height / highest * (HEIGHT - 2)
            if tall > 0:
                at = left + index * step
                path.append(f"M{at:.1f} {ground[index]:.1f}v{-tall:.1f}h{wide:.1f}v{tall:.1f}z")
                ground[index] -= tall
        drawing += f'<path class="{look}" d="{"".join(path)}"/>'
    return drawing


def _svg(content: str, title: str) -> str:
    ground = f'<line class="axis" x1="0" x2="{WIDTH}" y1="{HEIGHT}" y2="{HEIGHT}"/>'
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none"'
    return f'<svg {box} role="img" aria-label="{title}">{ground}{content}</svg>'


def _ends(left: str, right: str) -> str:
    return f'<div class="ends dim"><span>{left}</span><span>{right}</span></div>'
