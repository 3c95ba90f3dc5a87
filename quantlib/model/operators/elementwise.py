"""Operators that act on each element by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import numpy as np

from quantlib import _native
from quantlib.model.graph import Node
from quantlib.model.operators.registry import REALS, Array, Kernel, Known, is_real, operator

Unary = Callable[..., Array]

_ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}
_UNARY = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Exp": np.exp,
    "Floor": np.floor,
    "Log": np.log,
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Round": np.rint,
    "Sin": np.sin,
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
}
_COMPARISONS = {
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
}
_NUMBERS = frozenset("iuf")
FLOAT32 = np.dtype(np.float32)


def bounds_of(node: Node) -> tuple[float, float] | None:
    """The interval of a fused activation."""
    bounds = node.attributes.get("activation")
    return None if bounds is None else (bounds[0], bounds[1])


def clamp(x: Array, bounds: tuple[float, float] | None) -> Array:
    """`x` itself, kept between the bounds of a fused activation."""
    if bounds is None:
        return x
    low, high = bounds
    if x.ndim == 0:  # NumPy makes scalars of these, which cannot be written to
        return np.asarray(np.clip(x, low, high), x.dtype)
    if low != -math.inf:
        np.maximum(x, x.dtype.type(low), out=x)
    if high != math.inf:
        np.minimum(x, x.dtype.type(high), out=x)
    return x


@operator("Add", "Sub", "Mul")
def arithmetic(node: Node, known: Known) -> Kernel | None:
    if any(dtype is None or dtype.kind not in _NUMBERS for dtype in known.dtypes()):
        return None
    return Kernel(_ARITHMETIC[node.op_type], takes_out=True)


@operator("quantlib.Add", "quantlib.Sub", "quantlib.Mul")
def arithmetic_with_activation(node: Node, known: Known) -> Kernel | None:
    function, bounds = _ARITHMETIC[node.op_type], bounds_of(node)

    def run(a: Array, b: Array, out: Array | None = None) -> Array:
        return clamp(function(a, b, out=out), bounds)

    return Kernel(run, takes_out=True)


@operator("Div", "Pow")
def real_arithmetic(node: Node, known: Known) -> Kernel | None:
    if not is_real(known) or len(known.dtypes()) > 1:
        return None
    if node.op_type == "Div":
        return Kernel(np.divide, takes_out=True)
    exponent = known.constant(1)
    if exponent is not None and exponent.size == 1 and float(exponent.reshape(())) == 2:
        rank = exponent.ndim

        def square(x: Array, _: Array, out: Array | None = None) -> Array:
            return np.multiply(x.reshape((1,) * (rank - x.ndim) + x.shape), x, out=out)

        return Kernel(square, takes_out=True)
    return Kernel(np.power, takes_out=True)


@operator(*_UNARY)
def unary(node: Node, known: Known) -> Kernel | None:
    if not is_real(known):
        return None
    return Kernel(_UNARY[node.op_type], takes_out=True)


@operator(*_COMPARISONS)
def comparison(node: Node, known: Known) -> Kernel | None:
    if any(dtype is None or dtype.kind not in _NUMBERS for dtype in known.dtypes()):
        return None
    return Kernel(_COMPARISONS[node.op_type], takes_out=True)


@operator("Max", "Min", "Sum")
def several(node: Node, known: Known) -> Kernel | None:
    if any(dtype is None or dtype.kind not in _NUMBERS for dtype in known.dtypes()):
        return None
    function = {"Max": np.maximum, "Min": np.minimum, "Sum": np.add}[node.op_type]
    if len(node.inputs) == 2:
        return Kernel(function, takes_out=True)
    return Kernel(lambda *inputs: reduce(function, inputs))


@operator("Where")
def where(node: Node, known: Known) -> Kernel | None:
    return Kernel(np.where) if known.dtype(1) == known.dtype(2) is not None else None


@operator("Not")
def negation(node: Node, known: Known) -> Kernel | None:
    return Kernel(np.logical_not, takes_out=True)


@operator("And", "Or", "Xor")
def logic(node: Node, known: Known) -> Kernel | None:
    functions = {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}
    return Kernel(functions[node.op_type], takes_out=True)


@operator("Identity")
def identity(node: Node, known: Known) -> Kernel | None:
    return Kernel(lambda x: x)


@operator("Dropout")
def dropout(node: Node, known: Known) -> Kernel | None:
    """In inference nothing is dropped."""
    training = known.constant(2) if node.version >= 12 and node.input(2) else np.False_
    if len([name for name in node.outputs if name]) > 1 or training is None or bool(training):
        return None
    return Kernel(lambda x, *_: x)


@operator("Cast")
def cast(node: Node, known: Known) -> Kernel | None:
    from quantlib.model.reader import dtype_of

    source, target = known.dtype(0), dtype_of(node.attributes["to"])
    plain = {np.dtype(t) for t in ("f4", "f8", "i4", "i8", "?", "i1", "u1", "i2", "u2")}
    if target not in plain or source not in plain:
        return None
    if source is not None and source.kind == "f" and target.kind != "f" and target != np.bool_:
        return None  # what happens to values out of range is left to one implementation
    return Kernel(lambda x: x.astype(target))


@operator("Relu")
def relu(node: Node, known: Known) -> Kernel | None:
    dtype = known.dtype(0)
    if dtype is None or dtype.kind not in _NUMBERS:
        return None
    zero = dtype.type(0)
    return Kernel(lambda x, out=None: np.maximum(x, zero, out=out), takes_out=True)


@operator("Clip")
def clip(node: Node, known: Known) -> Kernel | None:
    dtype = known.dtype(0)
    if dtype is None or dtype.kind not in _NUMBERS:
        return None
    if node.version < 11:
        low = dtype.type(node.attributes.get("min", -math.inf))
        high = dtype.type(node.attributes.get("max", math.inf))
        return Kernel(lambda x, out=None: np.minimum(np.maximum(x, low), high, out=out), True)

    def run(x: Array, low: Any = None, high: Any = None) -> Array:
        y = x if low is None else np.maximum(x, low)
        return y if high is None else np.minimum(y, high)

    return Kernel(run)


# --- activations --------------------------------------------------------------------------------


def _activated(function: str, x: Array, out: Array | None) -> Array:
    """A kernel's function of float32."""
    y = np.empty(x.shape, np.float32) if out is None else out
    _native.activate(function, _native.ready(x, FLOAT32), y)
    return y


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """``1 / (1 + exp(-x))``."""
    if x.dtype == np.float32:
        return _activated("sigmoid", x, out)
    from scipy import special

    return np.asarray(special.expit(x, out=out))


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, x.dtype.type(0))


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    kind = x.dtype.type
    return np.clip(x * kind(alpha) + kind(beta), kind(0), kind(1))


def erf(x: Array, out: Array | None = None) -> Array:
    """The error function; of float32 with an error below 1e-6."""
    if x.dtype == np.float32:
        return _activated("erf", x, out)
    from scipy import special

    return np.asarray(special.erf(x, out=out))


def gelu(x: Array, approximate: str, out: Array | None = None) -> Array:
    """``x * (1 + erf(x / sqrt(2))) / 2``, or its approximation by tanh."""
    tanh = approximate == "tanh"
    if x.dtype == np.float32:
        return _activated("gelu_tanh" if tanh else "gelu", x, out)
    from scipy import special

    if tanh:
        inner = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    else:
        inner = special.erf(x * math.sqrt(0.5))
    return np.multiply(0.5 * x, 1 + inner, out=out)


def _exponential_below(x: Array, alpha: float, gamma: float, inner: float) -> Array:
    """``gamma * (x if x > 0 else alpha * (exp(x / inner) - 1))``."""
    kind = x.dtype.type
    below = kind(alpha) * np.expm1(np.minimum(x, kind(0)) / kind(inner))
    return kind(gamma) * np.where(x > 0, x, below)


_Maker = Callable[[dict[str, Any]], Unary]
_ACTIVATIONS: dict[str, _Maker] = {
    "Elu": lambda a: partial(_exponential_below, alpha=a.get("alpha", 1.0), gamma=1.0, inner=1.0),
    "Celu": lambda a: partial(
        _exponential_below, alpha=a.get("alpha", 1.0), gamma=1.0, inner=a.get("alpha", 1.0)
    ),
    "Selu": lambda a: partial(
        _exponential_below,
        alpha=a.get("alpha", 1.6732632423543772),
        gamma=a.get("gamma", 1.0507009873554805),
        inner=1.0,
    ),
    "HardSigmoid": lambda a: partial(
        _hard_sigmoid, alpha=a.get("alpha", 0.2), beta=a.get("beta", 0.5)
    ),
    "HardSwish": lambda a: lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5),
    "Mish": lambda a: lambda x: x * np.tanh(_softplus(x)),
    "Softplus": lambda a: _softplus,
    "Softsign": lambda a: lambda x: x / (1 + np.abs(x)),
}


@operator(*_ACTIVATIONS)
def activation(node: Node, known: Known) -> Kernel | None:
    return Kernel(_ACTIVATIONS[node.op_type](node.attributes)) if is_real(known) else None


@operator("Sigmoid")
def build_sigmoid(node: Node, known: Known) -> Kernel | None:
    return Kernel(sigmoid, takes_out=True) if is_real(known) else None


@operator("Erf")
def build_erf(node: Node, known: Known) -> Kernel | None:
    return Kernel(erf, takes_out=True) if is_real(known) else None


@operator("Gelu")
def build_gelu(node: Node, known: Known) -> Kernel | None:
    approximate = node.attributes.get("approximate", "none")
    if not is_real(known):
        return None
    return Kernel(lambda x, out=None: gelu(x, approximate, out), takes_out=True)


@operator("LeakyRelu")
def leaky_relu(node: Node, known: Known) -> Kernel | None:
    dtype = known.dtype(0)
    if dtype is None or dtype not in REALS:
        return None
    slope = dtype.type(node.attributes.get("alpha", 0.01))
    return Kernel(lambda x: np.where(x < 0, x * slope, x))


@operator("PRelu")
def prelu(node: Node, known: Known) -> Kernel | None:
    return Kernel(lambda x, slope: np.where(x < 0, x * slope, x)) if is_real(known) else None
