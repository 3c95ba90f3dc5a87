"""The three recommendations of MindSpore Lite's documentation, as rules with thresholds.

1. Of the results of quantized operators, those whose cosine is far from 1 have lost accuracy.
2. Where operators merge tensors (Add, Concat) of very different ranges, one scale suits only one.
3. Where a large share of the values is cut off.

The documentation gives no thresholds; these are ours. So is that a node whose result is bad, but
whose error is mostly inherited, is named and not advised to leave in floats: that would not help.
"""

from __future__ import annotations

from quantlib.model.reports.pairs import Pair
from quantlib.model.reports.report import Advice, LayerReport, TensorReport

__all__ = ["advise"]

OWN_SHARE = 0.5  # of its result's error, from which on a node is to blame itself
MERGES = frozenset({"Add", "Concat", "Sum", "Sub"})


def advise(
    pairs: list[Pair],
    layers: list[LayerReport],
    tensors: dict[str, TensorReport],
    low_cosine: float,
    range_ratio: float,
    high_clip: float,
) -> list[Advice]:
    """What each rule says, the rules in their order, and the worst first in each."""
    quantized = [one for one in layers if one.is_quantized]
    losing = [
        Advice(one.name, "cosine", one.cosine, f"cosine {one.cosine:.4f} of the result: "
               f"{one.parts['inherited']:.1%} error inherited, {one.own:.1%} of its own",
               skip=one.own >= OWN_SHARE * one.error)
        for one in quantized if one.cosine < low_cosine
    ]  # fmt: skip
    clipping = [
        Advice(one.name, "clip", one.clip, f"{one.clip:.2%} of the result is cut off")
        for one in quantized if one.clip > high_clip
    ]  # fmt: skip
    merging = []
    for pair in pairs:
        if pair.is_quantized and pair.node.op_type in MERGES:
            ratio, text = _ratio_of_ranges(pair, tensors)
            if ratio > range_ratio:
                merging.append(Advice(pair.node.name, "ranges", ratio, text))
    return [
        *sorted(losing, key=lambda one: one.value),
        *sorted(merging, key=lambda one: -one.value),
        *sorted(clipping, key=lambda one: -one.value),
    ]


def _ratio_of_ranges(pair: Pair, tensors: dict[str, TensorReport]) -> tuple[float, str]:
    """How many times as wide the widest operand is as the narrowest that is not constant."""
    names = [t.name for t in pair.tensors if not t.is_output and not t.is_weight]
    found = [tensors[name] for name in names if name in tensors]
    widths = sorted((one.maximum - one.minimum, one.name) for one in found)
    if len(widths) < 2 or widths[0][0] <= 0:
        return 1.0, ""
    (narrow, least), (wide, most) = widths[0], widths[-1]
    text = f"merges {most!r}, {wide / narrow:.1f} times as wide as {least!r}"
    return wide / narrow, text
