"""A valid call of every operation, as small as it can be and still have every argument."""

from __future__ import annotations

from typing import Any

import numpy as np

import quantlib as ql

Arguments = dict[str, Any]

PER_TENSOR = ql.QuantParams(0.5, 3, "int8")
PER_CHANNEL = ql.QuantParams([0.5, 0.25, 2.0], [1, -2, 3], "int8", axis=1)
X = np.linspace(-9, 9, 6, dtype=np.float32).reshape(2, 3)
CODES = np.arange(-3, 3, dtype=np.int8).reshape(2, 3)
A = np.arange(6, dtype=np.uint8).reshape(2, 3)
B = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
IMAGE = np.arange(32, dtype=np.uint8).reshape(1, 2, 4, 4)
WEIGHTS = np.arange(-18, 18, dtype=np.int8).reshape(2, 2, 3, 3)

CONV: Arguments = {
    "auto_pad": "NOTSET",
    "dilations": [1, 1],
    "group": 1,
    "kernel_shape": [3, 3],
    "pads": [0, 0, 0, 0],
    "strides": [1, 1],
    "layout": "NCHW",
}
PRODUCT_SCALES: Arguments = {
    "a_scale": 0.5,
    "a_zero_point": np.uint8(3),
    "y_scale": 2.0,
    "y_zero_point": np.uint8(9),
}
CONV_SCALES: Arguments = {
    "x_scale": 0.5,
    "x_zero_point": np.uint8(3),
    "y_scale": 2.0,
    "y_zero_point": np.uint8(9),
}
X_TO_Y: Arguments = {
    "x_scale": 0.5,
    "x_zero_point": np.uint8(3),
    "y_scale": 2.0,
    "y_zero_point": np.uint8(9),
}
RESIZED: Arguments = {
    "scales": np.float32([1, 1.5]),
    "axes": [3, 2],
    "mode": "linear",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}
POOL: Arguments = {
    "kernel_shape": [3, 2],
    "auto_pad": "NOTSET",
    "ceil_mode": 0,
    "dilations": [1, 2],
    "pads": [1, 1, 0, 1],
    "strides": [2, 1],
    "layout": "NCHW",
}
WIDE = np.arange(8, dtype=np.uint8).reshape(2, 4)
PAIR: Arguments = {
    "a": WIDE,
    "a_scale": 0.5,
    "a_zero_point": np.uint8(3),
    "b": np.arange(-4, 4, dtype=np.int8).reshape(2, 4),
    "b_scale": 0.25,
    "b_zero_point": np.int8(-2),
    "y_scale": 2.0,
    "y_zero_point": np.uint8(9),
    "activation": "relu",
}
# A valid call of every operation. Those of a class give the class's arguments and the call's.
CALLS: dict[str, Arguments] = {
    "quantize": {"x": X, "params": PER_TENSOR},
    "dequantize": {"codes": CODES, "params": PER_TENSOR},
    "fake_quantize": {"x": X, "params": PER_TENSOR},
    "clip": {"x": X, "lower": -1.0, "upper": 2.0},
    "min_max": {"x": X, "axis": 1, "block_size": 2},
    "summarize": {"x": X, "axis": 1},
    "quantize_linear": {
        "x": X,
        "y_scale": np.float32([0.5, 1.0, 2.0]),
        "y_zero_point": np.int8([1, 2, 3]),
        "axis": 1,
        "block_size": 0,
    },
    "dequantize_linear": {
        "x": CODES,
        "x_scale": np.float32([0.5, 1.0, 2.0]),
        "x_zero_point": np.int8([1, 2, 3]),
        "axis": 1,
        "block_size": 0,
        "output_dtype": np.float32,
    },
    "dynamic_quantize_linear": {"x": X},
    "requantize": {
        "acc": np.arange(6, dtype=np.int32).reshape(2, 3),
        "multiplier": np.float32([0.5, 1.0, 2.0]),
        "zero_point": np.uint8(9),
        "axis": -1,
    },
    "matmul_integer": {"a": A, "b": B, "a_zero_point": np.uint8(3), "b_zero_point": np.int8(-2)},
    "qlinear_matmul": {
        "a": A,
        **PRODUCT_SCALES,
        "b": B,
        "b_scale": 0.25,
        "b_zero_point": np.int8(-2),
        "bias": np.int32([1, 2, 3, 4]),
        "activation": "relu",
    },
    "dynamic_quantize_matmul": {
        "a": X,
        "b": B,
        "b_scale": 0.25,
        "b_zero_point": np.int8(-2),
        "bias": np.float32([1, 2, 3, 4]),
        "per_row": True,
        "activation": "relu",
    },
    "conv_integer": {
        "x": IMAGE,
        "w": WEIGHTS,
        "x_zero_point": np.uint8(3),
        "w_zero_point": np.int8([-2, 1]),
        **CONV,
    },
    "qlinear_conv": {
        "x": IMAGE,
        **CONV_SCALES,
        "w": WEIGHTS,
        "w_scale": np.float32([0.25, 0.5]),
        "w_zero_point": np.int8([-2, 1]),
        "b": np.int32([5, 6]),
        "activation": (0.0, 6.0),
        **CONV,
    },
    "MatMulInteger": {"b": B, "b_zero_point": np.int8(-2), "a": A, "a_zero_point": np.uint8(3)},
    "QLinearMatMul": {
        "b": B,
        "b_scale": 0.25,
        "b_zero_point": np.int8(-2),
        **PRODUCT_SCALES,
        "bias": np.int32([1, 2, 3, 4]),
        "activation": "relu",
        "a": A,
    },
    "DynamicQuantizeMatMul": {
        "b": B,
        "b_scale": 0.25,
        "b_zero_point": np.int8(-2),
        "bias": np.float32([1, 2, 3, 4]),
        "per_row": True,
        "activation": "relu",
        "a": X,
    },
    "ConvInteger": {
        "w": WEIGHTS,
        "w_zero_point": np.int8([-2, 1]),
        **CONV,
        "x": IMAGE,
        "x_zero_point": np.uint8(3),
    },
    "QLinearConv": {
        "w": WEIGHTS,
        "w_scale": np.float32([0.25, 0.5]),
        "w_zero_point": np.int8([-2, 1]),
        **CONV_SCALES,
        "b": np.int32([5, 6]),
        "activation": (0.0, 6.0),
        **CONV,
        "x": IMAGE,
    },
    "qlinear_add": PAIR,
    "qlinear_mul": PAIR,
    "QLinearAdd": PAIR,
    "QLinearMul": PAIR,
    "qlinear_lookup": {"x": WIDE, **X_TO_Y, "function": np.square},
    "qlinear_relu": {"x": WIDE, **X_TO_Y},
    "qlinear_leaky_relu": {"x": WIDE, **X_TO_Y, "alpha": 0.1},
    "qlinear_clip": {"x": WIDE, **X_TO_Y, "min": -1.0, "max": 2.0},
    "qlinear_sigmoid": {"x": WIDE, **X_TO_Y},
    "qlinear_tanh": {"x": WIDE, **X_TO_Y},
    "qlinear_gelu": {"x": WIDE, **X_TO_Y, "approximate": "tanh"},
    "QLinearLookup": {"function": np.square, **X_TO_Y, "x": WIDE},
    "qlinear_concat": {
        "y_scale": 2.0,
        "y_zero_point": np.uint8(9),
        "inputs": [(A, 0.5, np.uint8(3)), (CODES, 0.25, None)],
        "axis": 1,
    },
    "pad": {"x": WIDE, "pads": [1, 2, 0, -1], "x_zero_point": np.uint8(3), "axes": [1, 0]},
    "QLinearConcat": {
        "x_scales": [0.5, 0.25],
        "x_zero_points": [3, 0],
        "y_scale": 2.0,
        "y_zero_point": np.uint8(9),
        "axis": 1,
        "inputs": [A, CODES],
    },
    "Pad": {"pads": [1, 2, 0, -1], "x_zero_point": np.uint8(3), "axes": [1, 0], "x": WIDE},
    "max_pool": {"x": IMAGE, **POOL},
    "qlinear_average_pool": {"x": IMAGE, **X_TO_Y, **POOL, "count_include_pad": 1},
    "qlinear_global_average_pool": {"x": IMAGE, **X_TO_Y, "layout": "NHWC"},
    "MaxPool": {**POOL, "x": IMAGE},
    "QLinearAveragePool": {**X_TO_Y, **POOL, "count_include_pad": 1, "x": IMAGE},
    "QLinearGlobalAveragePool": {**X_TO_Y, "layout": "NHWC", "x": IMAGE},
    "qlinear_softmax": {"x": WIDE, **X_TO_Y, "axis": 0},
    "QLinearSoftmax": {**X_TO_Y, "axis": 0, "x": WIDE},
    "resize": {"x": IMAGE, **RESIZED},
    "Resize": {**RESIZED, "x": IMAGE},
    "qgemm": {
        "a": WIDE,
        "a_scale": 0.5,
        "a_zero_point": np.uint8(3),
        "b": B,
        "b_scale": np.float32([0.25, 0.5, 1.0]),
        "b_zero_point": np.int8([-2, 1, 0]),
        "c": np.int32([[1], [2]]),
        "y_scale": 2.0,
        "y_zero_point": np.uint8(9),
        "alpha": 1.5,
        "transA": 0,
        "transB": 1,
    },
    "QGemm": {
        "b": B,
        "b_scale": np.float32([0.25, 0.5, 1.0]),
        "b_zero_point": np.int8([-2, 1, 0]),
        "c": np.int32([[1], [2]]),
        "a_scale": 0.5,
        "a_zero_point": np.uint8(3),
        "y_scale": 2.0,
        "y_zero_point": np.uint8(9),
        "alpha": 1.5,
        "transA": 0,
        "transB": 1,
        "a": WIDE,
    },
    "QLinearConvTranspose": {
        "w": WEIGHTS,
        "w_scale": np.float32([0.25, 0.5]),
        "w_zero_point": np.int8([-2, 1]),
        **CONV_SCALES,
        "b": np.int32([5, 6]),
        "activation": (0.0, 6.0),
        **CONV,
        "output_padding": [0, 1],
        "output_shape": None,
        "x": IMAGE,
    },
    "qlinear_conv_transpose": {
        "x": IMAGE,
        **CONV_SCALES,
        "w": WEIGHTS,
        "w_scale": np.float32([0.25, 0.5]),
        "w_zero_point": np.int8([-2, 1]),
        "b": np.int32([5, 6]),
        "activation": (0.0, 6.0),
        **CONV,
        "output_padding": [0, 1],
        "output_shape": None,
    },
}
CALL_ARGUMENTS = {
    "QLinearLookup": ("x",),
    "QLinearConcat": ("inputs",),
    "Pad": ("x",),
    "Resize": ("x",),
    "MaxPool": ("x",),
    "QLinearAveragePool": ("x",),
    "QLinearGlobalAveragePool": ("x",),
    "QLinearSoftmax": ("x",),
    "QGemm": ("a",),
    "QLinearConvTranspose": ("x",),
    "ConvInteger": ("x", "x_zero_point"),
    "QLinearAdd": ("a", "b"),
    "QLinearMul": ("a", "b"),
    "MatMulInteger": ("a", "a_zero_point"),
    "QLinearMatMul": ("a",),
    "DynamicQuantizeMatMul": ("a",),
    "QLinearConv": ("x", "residual"),
}
RETURNS_MORE = (
    "min_max",
    "summarize",
    "dynamic_quantize_linear",
)  # than one array, so has no `out`
WITH_OUT = [name for name in CALLS if name not in RETURNS_MORE]


def answer(layer: Any, name: str, arguments: Arguments) -> Any:
    """What the operation returns for `arguments`, a tuple of arrays."""
    arguments = dict(arguments)
    operation = getattr(layer, name)
    if name in CALL_ARGUMENTS:
        keys = (*CALL_ARGUMENTS[name], "out")
        call = {key: arguments.pop(key) for key in keys if key in arguments}
        operation, arguments = operation(**arguments), call
    result = operation(**arguments)
    return result if isinstance(result, tuple) else (result,)


def outcome(layer: Any, name: str, arguments: Arguments) -> tuple[Any, ...]:
    """The result as bytes, or the error, in a form that can be compared."""
    try:
        results = answer(layer, name, arguments)
    except Exception as error:
        return "raised", type(error), str(error)
    return "returned", *((r.dtype.name, r.shape, r.tobytes()) for r in results)


def label(value: Any) -> str:
    """A short name for an argument in messages."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}"
    return f"{type(value).__name__} {str(value)[:20]}" if type(value) is not object else "object"
