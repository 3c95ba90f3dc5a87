"""Quantized operators: ONNX's own, and those that the fusion of Q/DQ pairs makes of them.

A fused node is in the domain "quantlib". Its inputs are those of ONNX's operator of that name, in
ONNX's order, with a bias at the end; without `y_scale` it returns float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from quantlib import _native, ops
from quantlib.model.graph import Node
from quantlib.model.operators.elementwise import bounds_of
from quantlib.model.operators.registry import Array, Kernel, Known, operator

BYTES = frozenset({np.dtype(np.int8), np.dtype(np.uint8)})
_CODES = ("int8", "uint8", "int16", "uint16", "int4", "uint4", "int2", "uint2")
_REALS = frozenset({np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)})
_GEOMETRY = ("auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape",
             "pads", "strides", "layout")  # fmt: skip


def _is_code(dtype: np.dtype[Any] | None) -> bool:
    return dtype is not None and dtype.name in _CODES


@operator("QuantizeLinear")
def quantize_linear(node: Node, known: Known) -> Kernel | None:
    from quantlib.model.reader import dtype_of

    keywords = _affine_keywords(node)
    if known.dtype(0) not in _REALS or known.dtype(1) not in _REALS:
        return None
    target = known.dtype(2) or dtype_of(node.attributes.get("output_dtype", 0))
    if node.attributes.get("precision", 0) or not (target is None or _is_code(target)):
        return None
    if known.dtype(2) is None and target is not None:
        keywords["output_dtype"] = target

    def run(x: Array, scale: Array, zero: Array | None = None, out: Array | None = None) -> Array:
        return ops.quantize_linear(x, scale, zero, out=out, **keywords)

    return Kernel(run, takes_out=True)


@operator("DequantizeLinear")
def dequantize_linear(node: Node, known: Known) -> Kernel | None:
    from quantlib.model.reader import dtype_of

    if not (_is_code(known.dtype(0)) or known.dtype(0) == np.int32):
        return None
    if known.dtype(1) not in _REALS:
        return None
    keywords = _affine_keywords(node)
    target = dtype_of(node.attributes.get("output_dtype", 0))
    if target is not None:
        keywords["output_dtype"] = target

    def run(x: Array, scale: Array, zero: Array | None = None, out: Array | None = None) -> Array:
        return ops.dequantize_linear(x, scale, zero, out=out, **keywords)

    return Kernel(run, takes_out=True)


def _affine_keywords(node: Node) -> dict[str, Any]:
    return {
        "axis": node.attributes.get("axis", 1),
        "block_size": node.attributes.get("block_size", 0),
    }


@operator("DynamicQuantizeLinear")
def dynamic_quantize_linear(node: Node, known: Known) -> Kernel | None:
    return Kernel(ops.dynamic_quantize_linear)


@operator("MatMulInteger")
def matmul_integer(node: Node, known: Known) -> Kernel | None:
    b, zero = known.constant(1), known.constant(3)
    if b is None or b.size == 0 or not known.is_constant(3):
        return Kernel(ops.matmul_integer, takes_out=True)
    layer = ops.MatMulInteger(b, _column_zero_point(zero, b))

    def run(a: Array, _b: Any, a_zero: Any = None, _z: Any = None, out: Any = None) -> Array:
        return layer(a, a_zero, out=out)

    return Kernel(run, takes_out=True)


def _column_zero_point(zero: Array | None, b: Array) -> Array | None:
    """ONNX Runtime's quantizer writes the zero points of one column as an array of one."""
    return zero.reshape(()) if zero is not None and zero.size == 1 and b.shape[-1] != 1 else zero


@operator("ConvInteger")
def conv_integer(node: Node, known: Known) -> Kernel | None:
    return Kernel(_with_geometry(ops.conv_integer, node), takes_out=True)


def _with_geometry(function: Callable[..., Array], node: Node) -> Callable[..., Array]:
    keywords = _geometry(node)

    def run(*inputs: Any, out: Array | None = None) -> Array:
        return function(*inputs, out=out, **keywords)

    return run


def _geometry(node: Node) -> dict[str, Any]:
    return {name: node.attributes[name] for name in _GEOMETRY if name in node.attributes}


@operator("QLinearConv", "quantlib.QLinearConv")
def qlinear_conv(node: Node, known: Known) -> Kernel | None:
    if not {known.dtype(0), known.dtype(3)} <= BYTES:
        return None
    bounds = bounds_of(node)
    if not known.is_constant(*range(1, 9)):
        keywords = {**_geometry(node), "activation": bounds}

        def run(*inputs: Any, out: Array | None = None) -> Array:
            return ops.qlinear_conv(*inputs, out=out, **keywords)

        return Kernel(run, takes_out=True)
    return _prepared_conv(ops.QLinearConv, node, known)


def _prepared_conv(prepared: Any, node: Node, known: Known) -> Kernel:
    """A convolution with its weights packed, and with a residual behind its bias, if it has one."""
    residual = {}
    if node.input(9):
        names = ("residual_scale", "residual_zero_point")
        residual = {name: known.constant(index) for index, name in enumerate(names, start=10)}
    layer = prepared(
        known.constant(3),
        known.constant(4),
        known.constant(5),
        x_scale=known.constant(1),
        x_zero_point=known.constant(2),
        y_scale=known.constant(6),
        y_zero_point=known.constant(7),
        b=known.constant(8),
        activation=bounds_of(node),
        **_geometry(node),
        **residual,
    )
    if not residual:
        return _of_one(layer)
    return Kernel(
        lambda x, *rest, out=None: layer(x, rest[8], out=out),
        takes_out=True,
        bind=lambda x, *rest, out: layer._bind(x, out, rest[8]),
    )


def _of_one(layer: Any) -> Kernel:
    """A prepared operation of one operand; the node's other inputs are what it was prepared of."""
    bind = getattr(layer, "_bind", None)
    return Kernel(
        lambda x, *_, out=None: layer(x, out=out),
        takes_out=True,
        bind=bind and (lambda x, *_, out: bind(x, out)),
    )


@operator("quantlib.QLinearConvTranspose")
def qlinear_conv_transpose(node: Node, known: Known) -> Kernel | None:
    """``Q(conv_transpose(DQ(x), DQ(w)) + b)``; all but x are constants."""
    return _prepared_conv(ops.QLinearConvTranspose, node, known)


@operator("QLinearMatMul", "quantlib.QLinearMatMul")
def qlinear_matmul(node: Node, known: Known) -> Kernel | None:
    if not {known.dtype(0), known.dtype(3)} <= BYTES:
        return None
    bounds = bounds_of(node)
    b = known.constant(3)
    scalars = all(known.is_constant(i) and _size(known.constant(i)) == 1 for i in (1, 2, 6, 7))
    if b is None or b.size == 0 or not scalars or not known.is_constant(4, 5, 8):
        return Kernel(_free_matmul(bounds), takes_out=True)
    layer = ops.QLinearMatMul(
        b,
        known.constant(4),  # type: ignore[arg-type]
        known.constant(5),
        a_scale=_scalar(known.constant(1)),
        a_zero_point=_scalar(known.constant(2)),
        y_scale=_scalar(known.constant(6)),
        y_zero_point=_scalar(known.constant(7)),
        bias=known.constant(8),
        activation=bounds,
    )
    return _of_one(layer)


def _free_matmul(bounds: tuple[float, float] | None) -> Callable[..., Array]:
    """The product of two operands that both come at run time."""

    def run(*inputs: Any, out: Array | None = None) -> Array:
        operands, bias = inputs[:8], inputs[8] if len(inputs) > 8 else None
        padded = (*operands, *(None,) * (8 - len(operands)))
        return ops.qlinear_matmul(*padded, bias=bias, activation=bounds, out=out)

    return run


def _size(array: Array | None) -> int:
    return 1 if array is None else array.size


def _scalar(array: Array | None) -> Any:
    return None if array is None else array.reshape(())


@operator("quantlib.QLinearAdd", "quantlib.QLinearMul")
def qlinear_binary(node: Node, known: Known) -> Kernel | None:
    """``Q(DQ(a) + DQ(b))``, with an activation before the Q."""
    bounds = bounds_of(node)
    if not known.is_constant(1, 2, 4, 5, 6, 7):
        function = {"QLinearAdd": ops.qlinear_add, "QLinearMul": ops.qlinear_mul}[node.op_type]

        def run(*inputs: Any, out: Array | None = None) -> Array:
            return function(*inputs, activation=bounds, out=out)

        return Kernel(run, takes_out=True)
    prepared: Any = {"QLinearAdd": ops.QLinearAdd, "QLinearMul": ops.QLinearMul}[node.op_type]
    layer = prepared(
        a_scale=known.constant(1),
        a_zero_point=known.constant(2),
        b_scale=known.constant(4),
        b_zero_point=known.constant(5),
        y_scale=known.constant(6),
        y_zero_point=known.constant(7),
        activation=bounds,
    )
    return Kernel(
        lambda a, _s, _z, b, *_, out=None: layer(a, b, out=out),
        takes_out=True,
        bind=lambda a, _s, _z, b, *_, out: layer._bind(a, b, out),
    )


@operator("quantlib.Lookup")
def lookup(node: Node, known: Known) -> Kernel | None:
    """Each code's entry in a table of 256, which stands in the order of the codes' bits."""

    def run(x: Array, table: Array, out: Array | None = None) -> Array:
        y = np.empty(x.shape, table.dtype) if out is None else out
        _native.look_up(_native.ready(x, x.dtype), table, y, 1)
        return y

    def bind(x: Array, table: Array, out: Array) -> Callable[[], None]:
        return partial(_native.look_up, x, table, out, 1)

    return Kernel(run, takes_out=True, bind=bind)


_POOLING = ("auto_pad", "dilations", "kernel_shape", "pads", "strides", "layout")


@operator("quantlib.QLinearAveragePool")
def qlinear_average_pool(node: Node, known: Known) -> Kernel | None:
    """``Q(pool(DQ(x)))``."""
    layer = ops.QLinearAveragePool(
        count_include_pad=bool(node.attributes.get("count_include_pad", 0)),
        **_averaged(known),
        **_pooling(node),
    )
    return _of_one(layer)


@operator("quantlib.QLinearGlobalAveragePool")
def qlinear_global_average_pool(node: Node, known: Known) -> Kernel | None:
    """``Q(pool(DQ(x)))``."""
    layout = node.attributes.get("layout", "NCHW")
    layer = ops.QLinearGlobalAveragePool(layout=layout, **_averaged(known))
    return _of_one(layer)


def _averaged(known: Known) -> dict[str, Any]:
    """The parameters of a pool, which the fusion makes of constants only."""
    names = ("x_scale", "x_zero_point", "y_scale", "y_zero_point")
    return {name: known.constant(index) for index, name in enumerate(names, start=1)}


@operator("quantlib.MaxPoolOfCodes")
def max_pool_of_codes(node: Node, known: Known) -> Kernel | None:
    layer = ops.MaxPool(**_pooling(node))
    return _of_one(layer)


def _pooling(node: Node) -> dict[str, Any]:
    keywords = {name: node.attributes[name] for name in _POOLING if name in node.attributes}
    keywords["ceil_mode"] = bool(node.attributes.get("ceil_mode", 0))
    return keywords


@operator("quantlib.DynamicQuantizeMatMul")
def dynamic_matmul(node: Node, known: Known) -> Kernel | None:
    """Inputs: a, b, b_scale, b_zero_point, bias; all but a are constants."""
    b, scale, zero, bias = (known.constant(index) for index in range(1, 5))
    layer = ops.DynamicQuantizeMatMul(
        b,  # type: ignore[arg-type]
        scale,  # type: ignore[arg-type]
        zero,
        bias=bias,
        per_row=bool(node.attributes.get("per_row", 0)),
        activation=bounds_of(node),
    )
    return _of_one(layer)
