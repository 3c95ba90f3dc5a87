"""Hypothesis strategies for quantization parameters, data, and whole calls of int8 operations.

Needs Hypothesis: ``pip install "quantlib-int8[testing]"``. The calls are dictionaries of keyword
arguments, for `quantlib`, for `quantlib.reference`, or for a kernel of your own::

    @given(matmul_calls())
    def test_my_kernel(call):
        assert_bit_exact(my_matmul(**call), quantlib.reference.matmul_integer(**call))
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from quantlib import reference
from quantlib._arguments.affine import split_axis
from quantlib.params import QType, QuantParams
from quantlib.testing.inputs import extreme_codes, memory_layouts

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ImportError as error:
    raise ImportError(
        'quantlib.testing.strategies needs Hypothesis: pip install "quantlib-int8[testing]"'
    ) from error

__all__ = [
    "array_views",
    "codes",
    "conv_calls",
    "dynamic_quantize_matmul_calls",
    "matmul_calls",
    "qlinear_conv_calls",
    "qlinear_matmul_calls",
    "qtypes",
    "quant_params",
    "reals",
]

Array = npt.NDArray[Any]
Call = dict[str, Any]
Granularity = Literal["per-tensor", "per-channel", "blocked"]

_LARGEST_KERNEL = 7  # along any axis
_SHRINKABLE = 16  # arrays up to this size are drawn element by element, so that they shrink


# --- types and parameters -----------------------------------------------------------------------


@st.composite
def qtypes(
    draw: st.DrawFn,
    *,
    min_bits: int = 1,
    max_bits: int = 16,
    signed: bool | None = None,
    narrow: bool | None = None,
) -> QType:
    """Quantized types.

    Parameters
    ----------
    min_bits, max_bits : int
        How wide they may be.
    signed, narrow : bool, optional
        Fix these; None draws either.

    Examples
    --------
    >>> from hypothesis import find
    >>> from quantlib.testing.strategies import qtypes
    >>> find(qtypes(), lambda t: t.bits >= 4 and not t.signed)
    QType(name='uint4', narrow=False)
    """
    bits = draw(st.integers(min_bits, max_bits))
    prefix = draw(st.sampled_from(["", "u"])) if signed is None else "" if signed else "u"
    leave_out = draw(st.booleans()) if narrow is None else narrow
    return QType(f"{prefix}int{bits}", leave_out and bits > 1)


def _scales(dtype: npt.DTypeLike) -> st.SearchStrategy[float]:
    """Powers of two, usual scales, and scales at the ends of the type."""
    kind: np.dtype[Any] = np.dtype(dtype)
    info = np.finfo(kind)
    usual = st.floats(2.0**-10, 2.0**4, width=16).map(float)
    powers = st.integers(-10, 10).map(lambda e: 2.0**e)
    ends = st.sampled_from([float(info.tiny), float(info.smallest_subnormal), float(info.max)])
    return st.one_of(powers, usual, usual.map(lambda s: float(kind.type(s / 3))), ends)


@st.composite
def quant_params(
    draw: st.DrawFn,
    shape: tuple[int, ...] = (),
    *,
    granularity: Granularity | None = None,
    qtype: Any = None,
    scale_dtype: npt.DTypeLike | None = None,
) -> QuantParams:
    """Parameters that fit data of `shape`.

    Parameters
    ----------
    shape : tuple of int
        Of the data; a scalar's shape, ``()``, allows only per-tensor parameters.
    granularity : {"per-tensor", "per-channel", "blocked"}, optional
        None draws any that `shape` allows.
    qtype : QType or str or numpy.dtype, optional
        None draws any of `qtypes`.
    scale_dtype : dtype, optional
        float16, float32 or float64; None draws one.

    Examples
    --------
    >>> from hypothesis import find
    >>> from quantlib.testing.strategies import quant_params
    >>> p = find(quant_params((2, 3), granularity="per-channel"), lambda p: p.axis == 1)
    >>> p.scale.shape
    (3,)
    """
    allowed: list[Granularity] = ["per-tensor"]
    if shape:
        allowed += ["per-channel", "blocked"]
    kind = draw(st.sampled_from(allowed)) if granularity is None else granularity
    target = draw(qtypes()) if qtype is None else QType.of(qtype)
    dtype = draw(st.sampled_from(["f4", "f8", "f2"])) if scale_dtype is None else scale_dtype
    axis = block = None
    extents: tuple[int, ...] = ()
    if kind != "per-tensor":
        axis = draw(st.integers(-len(shape), len(shape) - 1))
        extents = (shape[axis],)
    if kind == "blocked" and axis is not None:
        block = draw(st.integers(1, shape[axis] + 1))
        at = axis % len(shape)
        extents = (*shape[:at], -(-shape[at] // block), *shape[at + 1 :])
    scale = draw(hnp.arrays(np.dtype(dtype), extents, elements=_scales(dtype)))
    zero_point = draw(
        hnp.arrays(target.dtype, extents, elements=st.integers(target.qmin, target.qmax))
    )
    return QuantParams(scale, zero_point, target, axis, block)


# --- data ---------------------------------------------------------------------------------------


@st.composite
def reals(
    draw: st.DrawFn,
    shape: tuple[int, ...] = (),
    dtype: npt.DTypeLike = np.float32,
    *,
    params: QuantParams | None = None,
    finite: bool = False,
) -> Array:
    """Reals: ordinary, tiny, huge, zeros of both signs, infinities and NaNs.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    dtype : dtype
        float16, float32 or float64.
    params : QuantParams, optional
        Parameters that fit `shape`. About half of the values then stand at a point half-way
        between two codes, or one representable float beside it.
    finite : bool
        Leave out infinities and NaNs.

    Examples
    --------
    >>> import quantlib as ql
    >>> from hypothesis import find
    >>> from quantlib.testing.strategies import reals
    >>> p = ql.QuantParams(0.5, 0, "int8")
    >>> float(find(reals(params=p, finite=True), lambda x: x % 0.5 == 0.25))
    0.25
    """
    kind = np.dtype(dtype)
    width: Any = kind.itemsize * 8
    near = st.floats(-300, 300, width=width)
    anything = st.floats(
        width=width, allow_nan=not finite, allow_infinity=False if finite else None
    )
    values: Array = draw(hnp.arrays(kind, shape, elements=st.one_of(near, anything)))
    if params is None:
        return values
    span = 2 * (params.qtype.qmax - params.qtype.qmin) + 3
    halves = draw(hnp.arrays(np.int32, shape, elements=st.integers(-span, span)))
    beside = draw(hnp.arrays(np.int8, shape, elements=st.sampled_from([0, -1, 1])))
    chosen = draw(hnp.arrays(np.bool_, shape, elements=st.booleans()))
    scale = split_axis(shape, params.axis, params.block_size).spread(params.scale, shape)
    with np.errstate(over="ignore", under="ignore"):
        ties = (halves / 2 * scale.astype(np.float64)).astype(kind)
        nudged = np.nextafter(ties, np.where(beside < 0, -np.inf, np.inf).astype(kind))
    ties = np.where(beside == 0, ties, nudged)
    if finite:
        chosen &= np.isfinite(ties)
    return np.where(chosen, ties, values).astype(kind)


@st.composite
def codes(draw: st.DrawFn, shape: tuple[int, ...] = (), qtype: Any = "int8") -> Array:
    """Codes of a type: random ones, or all at the ends of the range.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    qtype : QType or str or numpy.dtype
        Their type.

    Examples
    --------
    >>> from hypothesis import find
    >>> from quantlib.testing.strategies import codes
    >>> q = find(codes((2, 3), "int4"), lambda q: q.min() == -8)
    >>> q.shape, q.dtype
    ((2, 3), dtype('int8'))
    """
    target = QType.of(qtype)
    fill = draw(st.sampled_from(["any", "any", "any", "lowest", "highest", "alternating"]))
    if fill != "any":
        return extreme_codes(shape, target)[fill]
    if int(np.prod(shape)) <= _SHRINKABLE:
        elements = st.integers(target.qmin, target.qmax)
        small: Array = draw(hnp.arrays(target.dtype, shape, elements=elements))
        return small
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return generator.integers(target.qmin, target.qmax + 1, shape, dtype=target.dtype)


def array_views(array: npt.ArrayLike, *, swapped: bool = False) -> st.SearchStrategy[Array]:
    """One array in any of the arrangements of `quantlib.testing.memory_layouts`.

    Parameters
    ----------
    array : array_like
        The values.
    swapped : bool
        Also draw the other byte order.

    Examples
    --------
    >>> import numpy as np
    >>> from hypothesis import find
    >>> from quantlib.testing.strategies import array_views
    >>> find(array_views(np.int8([1, 2])), lambda x: x.strides[0] < 0)
    array([1, 2], dtype=int8)
    """
    layouts = memory_layouts(array)
    if not swapped:
        del layouts["swapped"]
    return st.sampled_from(list(layouts.values()))


# --- matrix products ----------------------------------------------------------------------------


_byte_dtypes = st.sampled_from([np.dtype(np.uint8), np.dtype(np.int8)])


@st.composite
def _zero_points(
    draw: st.DrawFn, dtype: np.dtype[Any], shapes: list[tuple[int, ...]]
) -> Array | None:
    """None, or zero points of `dtype` in one of `shapes`."""
    shape = draw(st.sampled_from([None, *shapes]))
    if shape is None:
        return None
    limits = np.iinfo(dtype)
    ends = st.sampled_from([int(limits.min), int(limits.max)])
    element = st.one_of(st.integers(int(limits.min), int(limits.max)), ends)
    return draw(hnp.arrays(dtype, shape, elements=element))


@st.composite
def _product_shapes(
    draw: st.DrawFn, most: int, vectors: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of two operands of ``numpy.matmul``."""
    m, k, n = (draw(st.integers(0, most)) for _ in range(3))
    form = draw(st.sampled_from(["matrices", "left batch", "right batch", "broadcast", "vectors"]))
    batch = draw(st.integers(0, 3))
    if form == "left batch":
        return (batch, m, k), (k, n)
    if form == "right batch":
        return (m, k), (batch, k, n)
    if form == "broadcast":
        return (batch, 1, m, k), (draw(st.integers(1, 3)), k, n)
    if form == "vectors" and vectors:
        return draw(st.sampled_from([((k,), (k, n)), ((m, k), (k,)), ((k,), (k,))]))
    return (m, k), (k, n)


def _parameter_shapes(
    a_shape: tuple[int, ...], b_shape: tuple[int, ...]
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """The shapes that a parameter of the rows, and one of the columns, may have."""
    rows: list[tuple[int, ...]] = [()]
    columns: list[tuple[int, ...]] = [()]
    if len(a_shape) > 1:
        rows += [(a_shape[-2],), (*a_shape[:-1], 1)]
    if len(b_shape) > 1:
        columns += [(b_shape[-1],), (*b_shape[:-2], 1, b_shape[-1])]
    return rows, columns


@st.composite
def matmul_calls(draw: st.DrawFn, *, max_side: int = 40, vectors: bool = True) -> Call:
    """Calls of `quantlib.matmul_integer`: every mixture of types, zero points, batches, views.

    Parameters
    ----------
    max_side : int
        The largest M, K or N; all may be 0.
    vectors : bool
        Whether operands may be 1-D.

    Examples
    --------
    >>> import quantlib as ql
    >>> from hypothesis import given
    >>> from quantlib.testing import assert_bit_exact
    >>> from quantlib.testing.strategies import matmul_calls
    >>> @given(matmul_calls(max_side=8))
    ... def test(call):
    ...     assert_bit_exact(ql.matmul_integer(**call), ql.reference.matmul_integer(**call))
    >>> test()
    """
    a_shape, b_shape = draw(_product_shapes(max_side, vectors))
    a_type, b_type = draw(_byte_dtypes), draw(_byte_dtypes)
    rows, columns = _parameter_shapes(a_shape, b_shape)
    return {
        "a": draw(array_views(draw(codes(a_shape, a_type)))),
        "b": draw(array_views(draw(codes(b_shape, b_type)))),
        "a_zero_point": draw(_zero_points(a_type, rows)),
        "b_zero_point": draw(_zero_points(b_type, columns)),
    }


@st.composite
def qlinear_matmul_calls(draw: st.DrawFn, *, max_side: int = 40, vectors: bool = True) -> Call:
    """Calls of `quantlib.qlinear_matmul`, with a ``y_scale`` that keeps most results unsaturated.

    Parameters
    ----------
    max_side : int
        The largest M, K or N; all may be 0.
    vectors : bool
        Whether operands may be 1-D.

    Examples
    --------
    >>> import quantlib as ql
    >>> from hypothesis import find
    >>> from quantlib.testing.strategies import qlinear_matmul_calls
    >>> call = find(qlinear_matmul_calls(), lambda call: call["y_scale"] is None)
    >>> ql.qlinear_matmul(**call).dtype
    dtype('float32')
    """
    call = draw(matmul_calls(max_side=max_side, vectors=vectors))
    acc = reference.matmul_integer(**call)
    rows, columns = _parameter_shapes(call["a"].shape, call["b"].shape)
    call["a_scale"] = draw(_positive(rows))
    call["b_scale"] = draw(_positive(columns))
    call |= draw(_output(acc, call["a_scale"], call["b_scale"], rows))
    n = call["b"].shape[-1] if call["b"].ndim > 1 else 1
    call["bias"] = draw(_bias(n, to_real=call["y_scale"] is None))
    return call


@st.composite
def dynamic_quantize_matmul_calls(
    draw: st.DrawFn, *, max_side: int = 40, vectors: bool = True
) -> Call:
    """Calls of `quantlib.dynamic_quantize_matmul`: finite reals of every size, float32 and others.

    Parameters
    ----------
    max_side : int
        The largest M, K or N; all may be 0.
    vectors : bool
        Whether operands may be 1-D.

    Examples
    --------
    >>> import quantlib as ql
    >>> from hypothesis import find
    >>> from quantlib.testing.strategies import dynamic_quantize_matmul_calls
    >>> call = find(dynamic_quantize_matmul_calls(), lambda call: call["per_row"])
    >>> ql.dynamic_quantize_matmul(**call).dtype
    dtype('float32')
    """
    call = draw(matmul_calls(max_side=max_side, vectors=vectors))
    b = call["b"]
    unit = draw(st.sampled_from([1.0, 1.0, 0.013, 1e-40, 1e30]))
    kind = draw(st.sampled_from(["f4", "f4", "f4", "f8", "f2"]))
    offset = draw(st.sampled_from([-128.0, 0.0, 60.5]))
    a = (call["a"] + np.float64(offset)) * (unit if kind != "f2" else 1.0)
    _, columns = _parameter_shapes(a.shape, b.shape)
    return {
        "a": draw(array_views(a.astype(kind))),
        "b": b,
        "b_scale": draw(_positive(columns)),
        "b_zero_point": call["b_zero_point"],
        "bias": draw(_real_bias(b.shape[-1] if b.ndim > 1 else 1)),
        "per_row": draw(st.booleans()),
        "activation": draw(st.sampled_from([None, None, "relu", (-1.5, 2.5)])),
    }


def _positive(shapes: list[tuple[int, ...]]) -> st.SearchStrategy[Array]:
    """Scales of one order of magnitude in one of `shapes`, so that no row dwarfs the others."""
    element = st.integers(64, 255).map(lambda i: i / 1024)
    return st.sampled_from(shapes).flatmap(
        lambda shape: hnp.arrays(np.float32, shape, elements=element)
    )


def _bias(columns: int, *, to_real: bool) -> st.SearchStrategy[Array | None]:
    """None, int32 or, where results are real, float32."""
    integers = hnp.arrays(np.int32, (columns,), elements=st.integers(-3000, 3000))
    if not to_real:
        return st.one_of(st.none(), integers)
    return st.one_of(_real_bias(columns), integers)


def _real_bias(columns: int) -> st.SearchStrategy[Array | None]:
    real = hnp.arrays(np.float32, (columns,), elements=st.floats(-100, 100, width=32))
    return st.one_of(st.none(), real)


@st.composite
def _output(
    draw: st.DrawFn,
    acc: Array,
    left_scale: Array,
    right_scale: Array,
    scale_shapes: list[tuple[int, ...]],
) -> Call:
    """The output stage for accumulators like `acc`."""
    activation = draw(st.sampled_from([None, None, "relu", "relu6", (-1.5, 2.5)]))
    if draw(st.integers(0, 4)) == 0:
        return {"y_scale": None, "y_zero_point": None, "activation": activation}
    largest = max(float(np.abs(acc).max()) if acc.size else 0.0, 1.0)
    worth = float(np.max(left_scale, initial=0.01)) * float(np.max(right_scale, initial=0.01))
    shape = draw(st.sampled_from(scale_shapes))
    divisor = draw(hnp.arrays(np.float32, shape, elements=st.integers(60, 120).map(float)))
    dtype = draw(_byte_dtypes)
    midpoint = QType(dtype.name).midpoint
    near = st.integers(midpoint - 20, midpoint + 20)
    zero_point = draw(hnp.arrays(dtype, draw(st.sampled_from(scale_shapes)), elements=near))
    return {
        "y_scale": np.asarray(np.float32(largest * worth) / divisor, np.float32),
        "y_zero_point": zero_point,
        "activation": activation,
    }


# --- convolutions -------------------------------------------------------------------------------


@st.composite
def _axes(draw: st.DrawFn, rank: int) -> list[tuple[int, int, int, int, int, int]]:
    """For each spatial axis: extent, kernel, stride, dilation, pad before, pad after."""
    axes = []
    for _ in range(rank):
        kernel = draw(st.integers(1, _LARGEST_KERNEL))
        stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        before, after = draw(_pads), draw(_pads)
        reach = (kernel - 1) * dilation + 1
        extent = max(reach - before - after, 1) + draw(st.integers(0, 8 - 2 * rank))
        axes.append((extent, kernel, stride, dilation, before, after))
    return axes


_pads = st.one_of(st.integers(0, 3), st.integers(0, 9))  # usual, or longer than many a kernel


@st.composite
def _groups(draw: st.DrawFn) -> tuple[int, int, int]:
    """Number of groups, input channels of one, output channels of one."""
    form = draw(st.sampled_from(["whole", "grouped", "depthwise"]))
    if form == "depthwise":
        return draw(st.integers(2, 40)), 1, draw(st.sampled_from([1, 1, 1, 2, 3]))
    group = 1 if form == "whole" else draw(st.integers(2, 4))
    most = 20 if form == "whole" else 5
    return group, draw(st.integers(1, most)), draw(st.integers(1, 2 * most))


@st.composite
def conv_calls(draw: st.DrawFn, *, ranks: tuple[int, ...] = (1, 2, 3)) -> Call:
    """Calls of `quantlib.conv_integer`: kernels of 1 to 7, strides to 4, dilations to 3,
    asymmetric padding, groups, depthwise, both layouts, both signs, zero points.

    Parameters
    ----------
    ranks : tuple of int
        How many spatial axes there may be, out of 1, 2 and 3.

    Examples
    --------
    >>> import quantlib as ql
    >>> from hypothesis import find
    >>> from quantlib.testing.strategies import conv_calls
    >>> call = find(conv_calls(), lambda call: call["group"] == 3 and call["w"].ndim == 4)
    >>> ql.conv_integer(**call).dtype
    dtype('int32')
    """
    rank = draw(st.sampled_from(ranks))
    spatial, kernel, strides, dilations, before, after = (
        tuple(column) for column in zip(*draw(_axes(rank)), strict=True)
    )
    group, inputs, outputs = draw(_groups())
    layout = draw(st.sampled_from(["NCHW", "NHWC"]))
    batch, channels = draw(st.integers(0, 2)), group * inputs
    shape = (batch, *spatial, channels) if layout == "NHWC" else (batch, channels, *spatial)
    x_type, w_type = draw(_byte_dtypes), draw(_byte_dtypes)
    return {
        "x": draw(array_views(draw(codes(shape, x_type)))),
        "w": draw(array_views(draw(codes((group * outputs, inputs, *kernel), w_type)))),
        "x_zero_point": draw(_zero_points(x_type, [()])),
        "w_zero_point": draw(_zero_points(w_type, [(), (group * outputs,)])),
        "pads": before + after,
        "strides": strides,
        "dilations": dilations,
        "group": group,
        "layout": layout,
    }


@st.composite
def qlinear_conv_calls(draw: st.DrawFn, *, ranks: tuple[int, ...] = (1, 2, 3)) -> Call:
    """Calls of `quantlib.qlinear_conv`, with a ``y_scale`` that keeps most results unsaturated.

    Parameters
    ----------
    ranks : tuple of int
        How many spatial axes there may be, out of 1, 2 and 3.

    Examples
    --------
    >>> import quantlib as ql
    >>> from hypothesis import find
    >>> from quantlib.testing.strategies import qlinear_conv_calls
    >>> call = find(qlinear_conv_calls(), lambda call: call["activation"] == "relu6")
    >>> ql.qlinear_conv(**call).ndim == call["x"].ndim
    True
    """
    call = draw(conv_calls(ranks=ranks))
    acc = reference.conv_integer(**call)
    columns = call["w"].shape[0]
    call["x_scale"] = draw(_positive([()]))
    call["w_scale"] = draw(_positive([(), (columns,)]))
    call |= draw(_output(acc, call["x_scale"], call["w_scale"], [()]))
    call["b"] = draw(_bias(columns, to_real=call["y_scale"] is None))
    return call
