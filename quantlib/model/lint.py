"""`lint`: what could go wrong with a quantized model, here or in other run times.

What is said of other run times was tried on ONNX Runtime 1.31 and OpenVINO 2026.4; the tests try it
again on those that are installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from quantlib.model.codes import Codes, codes_of
from quantlib.model.encoded import is_decoder
from quantlib.model.graph import Array, Graph, Node
from quantlib.model.model import Model
from quantlib.model.passes import expand_qoperators
from quantlib.model.quantization.weights import output_axis
from quantlib.model.shapes import infer_values
from quantlib.model.table import plain_table, rich_table

__all__ = ["Finding", "Lint", "lint"]

INT32 = np.iinfo(np.int32)
INT16 = np.iinfo(np.int16)
PRODUCTS = ("Conv", "Gemm", "MatMul")
INTEGER_PRODUCTS = ("ConvInteger", "MatMulInteger")
MOVES = ("MaxPool", "Reshape", "Transpose")
LEVELS = ("error", "warning")

Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a node: a rule, and whether results are wrong ("error") or slow or risky
    elsewhere ("warning")."""

    rule: str
    level: str
    node: str
    message: str


@dataclass(frozen=True)
class Lint:
    """What `lint` found; true if that is anything.

    Attributes
    ----------
    findings : list of Finding
        Errors first, then in the order of computation.
    """

    findings: list[Finding]

    def __bool__(self) -> bool:
        return bool(self.findings)

    @property
    def errors(self) -> list[Finding]:
        """What makes results wrong."""
        return [one for one in self.findings if one.level == "error"]

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        rows = [[one.level, one.rule, one.node, one.message] for one in self.findings]
        return ["level", "rule", "node", ""], rows

    def __str__(self) -> str:
        return plain_table(*self._rows(), left=4) if self.findings else "nothing found"

    def __rich__(self) -> Any:
        return rich_table(*self._rows(), left=4)


def lint(model: Model, ranges: Ranges | None = None) -> Lint:
    """Look for what could go wrong with a quantized model.

    Parameters
    ----------
    model : Model
        In QDQ or QOperator form, or quantized dynamically. Floats have no findings.
    ranges : mapping of str to (float, float), optional
        For tensors of activations the least and the largest value that occurs. Without, every code
        counts as possible.

    Returns
    -------
    Lint
        Errors: an accumulator that could leave int32 (``accumulator``), biases that are cut off
        (``bias-clipped``), scales along another axis than the output channels (``scale-axis``)
        and blocked ones beside quantized operands (``blocked-scales``), which others compute
        wrongly or refuse. Warnings: pairs of weights on which engines saturate that multiply with
        vpmaddubsw (``saturation``), and what runs in floats elsewhere: ``bias-scale``,
        ``float-result``, ``float-operator``, ``weight-zero-point``, ``rescaled-move``,
        ``wide-codes``; and what they do not know: ``own-encoding``. ``docs/reports.md`` tells more
        of each.

    Raises
    ------
    ValueError
        If a range is not of two numbers, the first no larger than the second.

    Examples
    --------
    >>> import numpy as np, onnx.parser
    >>> import quantlib as ql
    >>> text = '''<ir_version: 8, opset_import: ["" : 17]>
    ... g (float[n, 2] x) => (float[n, 1] y) <float[2, 1] w = {1.0, 0.9}>
    ... { [sum] y = MatMul (x, w) }'''
    >>> samples = [{"x": np.float32([[i, -i]])} for i in range(1, 9)]
    >>> q = ql.model.quantize(onnx.parser.parse_model(text), samples)
    >>> [(one.level, one.rule, one.node) for one in ql.model.lint(q).findings]
    [('warning', 'saturation', 'sum')]
    """
    graph = model.graph.copy()
    expand_qoperators(graph)
    graph.values = {**graph.values, **infer_values(graph)}
    linter = _Linter(graph, _checked(ranges or {}))
    names = {node.name for node in model.graph.nodes}
    findings = [
        replace(one, node=_known_name(one.node, names))
        for node in graph.nodes
        for one in linter.look_at(node)
    ]
    return Lint(sorted(findings, key=lambda one: LEVELS.index(one.level)))


def _known_name(name: str, names: set[str]) -> str:
    """The model's own name of a node that was spelled out for looking at it."""
    start = name.rpartition("_")[0]
    return start if name not in names and start in names else name


def _checked(ranges: Ranges) -> Ranges:
    for name, pair in ranges.items():
        if len(pair) != 2 or not pair[0] <= pair[1]:
            raise ValueError(f"ranges[{name!r}] is {pair!r}; it must be the least and the largest")
    return ranges


class _Linter:
    def __init__(self, graph: Graph, ranges: Ranges) -> None:
        self._graph, self._ranges = graph, ranges
        self._producers, self._consumers = graph.producers(), graph.consumers()

    def look_at(self, node: Node) -> Iterator[Finding]:
        if is_decoder(node):
            yield _warn(node, "own-encoding", "only quantlib decodes these weights: save the model "
                        "with form='float32' for other run times")  # fmt: skip
        if node.domain:
            return
        if node.op_type in PRODUCTS:
            yield from self._look_at_product(node)
        elif node.op_type in INTEGER_PRODUCTS:
            yield from self._look_at_integers(node)
        elif node.op_type == "ConvTranspose" and self._decoded(node.input(0)):
            yield _warn(node, "float-operator", "transposed convolutions run in floats in ONNX "
                        "Runtime and OpenVINO, quantized or not")  # fmt: skip
        elif node.op_type in MOVES:
            yield from self._look_at_move(node)

    def _decoded(self, name: str) -> Codes | None:
        return codes_of(name, self._graph, self._producers)

    def _look_at_product(self, node: Node) -> Iterator[Finding]:
        x, w = self._decoded(node.input(0)), self._decoded(node.input(1))
        if x is None or w is None or w.constant is None or w.constant.ndim < 2:
            return
        if w.block_size:
            yield _error(node, "blocked-scales", "blocked scales of weights beside quantized "
                         "operands: ONNX Runtime fails when it runs them")  # fmt: skip
            return
        if w.axis is not None and w.axis % w.constant.ndim != output_axis(node, w.constant):
            yield _error(node, "scale-axis", f"scales of weights lie along axis {w.axis}, which "
                         "is summed over: ONNX Runtime takes them for those of output channels, "
                         "and its results are wrong")  # fmt: skip
            return
        if x.scale.size > 1:
            return
        weights = _by_channel(w.constant, w.zero_point, output_axis(node, w.constant))
        yield from self._look_at_forms(node, x, w)
        bias = self._bias(node, x, w)
        yield from _look_at_bias(node, bias, self._decoded(node.input(2)))
        low, high = self._codes_of(x)
        zero = int(x.zero_point.reshape(-1)[0])
        if bias is None or np.abs(bias).max(initial=0) <= INT32.max:
            yield from _look_at_sums(node, weights, (low - zero, high - zero), bias)
        if w.dtype == np.int8 and x.dtype.itemsize == 1:
            yield from _look_at_pairs(node, w.constant, high if x.dtype == np.uint8 else high + 128)

    def _bias(self, node: Node, x: Codes, w: Codes) -> Array | None:
        """The bias in units of the accumulator."""
        given, constant = self._decoded(node.input(2)), self._graph.constant(node.input(2))
        if given is not None and given.constant is not None and given.dtype == np.int32:
            return given.constant.astype(np.int64)
        if constant is None or constant.dtype.kind != "f":
            return None
        unit = x.scale.astype(np.float64).reshape(()) * w.scale.astype(np.float64).reshape(-1)
        return np.rint(constant.astype(np.float64).reshape(-1) / unit)

    def _codes_of(self, x: Codes) -> tuple[int, int]:
        """The least and the largest code that occurs, 0 included."""
        low, high = x.least, x.most
        known = next((self._ranges[name] for name in x.names if name in self._ranges), None)
        if known is None:
            return low, high
        zero, scale = int(x.zero_point.reshape(-1)[0]), float(x.scale.reshape(-1)[0])
        ends = [np.clip(np.rint(end / scale) + zero, low, high) for end in known]
        return int(min(ends[0], zero)), int(max(ends[1], zero))

    def _look_at_forms(self, node: Node, x: Codes, w: Codes) -> Iterator[Finding]:
        wide = [one.dtype.name for one in (x, w) if one.dtype not in (np.int8, np.uint8)]
        if wide:
            yield _warn(node, "wide-codes", f"{' and '.join(wide)}: ONNX Runtime multiplies in "
                        "floats unless operand and weights have 8 bits")  # fmt: skip
        if node.op_type != "Conv":
            return
        readers = self._consumers.get(node.outputs[0], [])
        if not all(one.op_type in ("QuantizeLinear", "Relu", "Clip") for one in readers) or (
            node.outputs[0] in self._graph.output_names
        ):
            yield _warn(node, "float-result", "the result is not quantized: ONNX Runtime "
                        "convolves in floats")  # fmt: skip
        if w.zero_point.any():
            yield _warn(node, "weight-zero-point", "weights with a zero point: OpenVINO convolves "
                        "in floats")  # fmt: skip
        given = self._decoded(node.input(2))
        if given is not None and given.dtype == np.int32:
            unit = x.scale.reshape(()) * w.scale.reshape(-1)
            if not np.allclose(given.scale.reshape(-1), unit, rtol=1e-5, atol=0):
                yield _warn(node, "bias-scale", "the bias is not in units of x_scale * w_scale: "
                            "ONNX Runtime convolves in floats")  # fmt: skip

    def _look_at_integers(self, node: Node) -> Iterator[Finding]:
        """Operators that multiply integers as such; their operand's zero point may be any."""
        codes, dtype = self._graph.constant(node.input(1)), self._graph.dtype(node.input(0))
        if codes is None or dtype is None or codes.ndim < 2:
            return
        zero = self._graph.constant(node.input(3))
        axis = 0 if node.op_type == "ConvInteger" else codes.ndim - 1
        zeros = np.zeros((), np.int64) if zero is None else zero.astype(np.int64)
        if codes.ndim == 2 or axis == 0:
            weights = _by_channel(codes, zeros, axis)
            yield from _look_at_sums(node, weights, (-255, 255), None)
        if codes.dtype == np.int8:
            yield from _look_at_pairs(node, codes, 255)

    def _look_at_move(self, node: Node) -> Iterator[Finding]:
        before = self._decoded(node.input(0))
        for reader in self._consumers.get(node.outputs[0], []):
            if before is None or reader.op_type != "QuantizeLinear":
                continue
            scale, zero = (self._graph.constant(name) for name in reader.inputs[1:3])
            same = scale is not None and np.array_equal(scale, before.scale)
            if not same or (zero is not None and not np.array_equal(zero, before.zero_point)):
                yield _warn(node, "rescaled-move", "values are moved and get another scale: ONNX "
                            "Runtime decodes, moves floats and quantizes again")  # fmt: skip


def _error(node: Node, rule: str, message: str) -> Finding:
    return Finding(rule, "error", node.name or node.outputs[0], message)


def _warn(node: Node, rule: str, message: str) -> Finding:
    return Finding(rule, "warning", node.name or node.outputs[0], message)


def _by_channel(codes: Array, zero: Array, axis: int) -> Array:
    """Weights without their zero points, a row for each output channel."""
    rows = np.moveaxis(codes.astype(np.int64), axis, 0).reshape(codes.shape[axis], -1)
    difference: Array = rows - zero.reshape(-1, 1) if zero.size > 1 else rows - zero.reshape(())
    return difference


def _look_at_bias(node: Node, bias: Array | None, given: Codes | None) -> Iterator[Finding]:
    if bias is None:
        return
    limit = INT32.max if given is None else INT32.max - 1  # codes at the ends have been cut off
    clipped = np.flatnonzero(np.abs(bias) > limit)
    if clipped.size:
        yield _error(node, "bias-clipped", f"the bias of {_channels(clipped)} does not fit int32 "
                     "in units of x_scale * w_scale, and is cut off")  # fmt: skip


def _look_at_sums(
    node: Node, weights: Array, ends: tuple[int, int], bias: Array | None
) -> Iterator[Finding]:
    """The largest and the least sums that operands within `ends` (0 between them) can reach."""
    low, high = min(ends[0], 0), max(ends[1], 0)
    positive, negative = np.maximum(weights, 0).sum(1), np.minimum(weights, 0).sum(1)
    most, least = high * positive + low * negative, low * positive + high * negative
    if bias is not None:
        most, least = most + bias, least + bias
    worst = np.maximum(most, -1 - least)
    beyond = np.flatnonzero(worst > INT32.max)
    if beyond.size:
        yield _error(node, "accumulator", f"sums of {_channels(beyond)} could reach "
                     f"{int(worst.max()):,}, beyond int32: quantlib would raise an OverflowError, "
                     "others wrap around")  # fmt: skip


def _look_at_pairs(node: Node, codes: Array, largest: int) -> Iterator[Finding]:
    """Pairs of neighbouring weights whose products vpmaddubsw cannot add up in int16.

    It multiplies unsigned bytes (operands) with signed ones (weights) and adds two products with
    saturation. The worst operands are `largest` where weights of one sign are, and 0 elsewhere.
    """
    rows = _in_order_of_sums(node, codes)
    if rows is None:
        return
    if rows.shape[1] % 2:
        rows = np.pad(rows, ((0, 0), (0, 1)))
    pairs = rows.astype(np.int64).reshape(len(rows), -1, 2)
    most = largest * np.maximum(pairs, 0).sum(2)
    least = largest * np.minimum(pairs, 0).sum(2)
    count = int(np.count_nonzero((most > INT16.max) | (least < INT16.min)))
    if count:
        total = pairs.shape[0] * pairs.shape[1]
        yield _warn(node, "saturation", f"{count:,} of {total:,} pairs of neighbouring weights "
                    "could saturate int16 in engines that multiply with vpmaddubsw, on x86 without "
                    "VNNI; quantlib is exact there")  # fmt: skip


def _in_order_of_sums(node: Node, codes: Array) -> Array | None:
    """Rows of output channels, the weights in the order in which they are summed.

    Convolutions sum over the channels of one position after the other; None for depthwise ones,
    which do not multiply in pairs.
    """
    if node.op_type in ("Conv", "ConvInteger"):
        if codes.shape[1] == 1:
            return None
        order: Callable[..., Array] = np.moveaxis
        return order(codes, 1, -1).reshape(codes.shape[0], -1)
    if codes.ndim != 2:
        return None
    return codes if node.attributes.get("transB", 0) else codes.T


def _channels(places: Array) -> str:
    """Which channels, in words."""
    if places.size == 1:
        return f"channel {places[0]}"
    return f"{places.size} channels (first {places[0]})"
