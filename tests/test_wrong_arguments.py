"""Calls that are wrong in one argument: the error names it, and both layers raise the same."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import quantlib as ql
from valid_calls import CALLS, CODES, WITH_OUT, A, X, answer, label, outcome

NOT_NUMBERS: list[Any] = [
    None,
    "codes",
    object(),
    [[1, 2], [3]],
    np.zeros((2, 3), np.complex64),
    np.zeros((2, 3), bool),
    np.zeros((2, 3), "datetime64[s]"),
    np.zeros((2, 3), [("a", np.int8)]),
    np.ma.masked_array(np.zeros((2, 3), np.int8)),
    np.array([["a", "b"]]),
    np.array([None, 1]),
]
NOT_INTEGERS: list[Any] = [None, 1.0, "1", True, [1], np.float32(1)]
NOT_EXTENTS: list[Any] = [1, "11", b"11", 1.0, {1, 2}, np.array(1), np.ones((2, 2), int), object()]
BAD_SCALES: list[Any] = [
    0.0,
    -1.0,
    math.nan,
    math.inf,
    np.float32("nan"),
    np.zeros(3, np.float32),
    [1.0, math.nan, 1.0],
    1e300,
    0,
]
NOT_SCALES: list[Any] = [
    "one",
    "1.5",
    1j,
    object(),
    True,
    b"1",
    {},
    [[1.0], [1.0, 2.0]],
    np.float32(1) > 0,
    np.array(1, "timedelta64[s]"),
    np.ma.masked_array([1.0]),
    10**400,
    [None],
]
NOT_ZERO_POINTS: list[Any] = ["0", 0.0, 1j, object(), True, [[1], [1, 2]], np.float32(0), 2**70]

WRONG: list[tuple[str, str, Any, type[Exception]]] = []


def wrong(names: str, argument: str, values: list[Any], error: type[Exception]) -> None:
    """Notes that `argument` may have none of `values` in the operations `names`."""
    WRONG.extend((name, argument, value, error) for name in names.split() for value in values)


for names, argument in (
    ("quantize fake_quantize clip min_max quantize_linear dynamic_quantize_linear summarize", "x"),
    ("dequantize", "codes"),
    ("dequantize_linear conv_integer qlinear_conv QLinearConv", "x"),
    ("requantize", "acc"),
    ("matmul_integer qlinear_matmul MatMulInteger QLinearMatMul", "a"),
    ("matmul_integer qlinear_matmul MatMulInteger QLinearMatMul", "b"),
    ("dynamic_quantize_matmul DynamicQuantizeMatMul", "a"),
    ("dynamic_quantize_matmul DynamicQuantizeMatMul", "b"),
    ("conv_integer qlinear_conv QLinearConv", "w"),
):
    wrong(names, argument, NOT_NUMBERS, TypeError)

PRODUCTS = "matmul_integer qlinear_matmul MatMulInteger QLinearMatMul"
DYNAMIC = "dynamic_quantize_matmul DynamicQuantizeMatMul"
CONVOLUTIONS = "conv_integer qlinear_conv QLinearConv"
FLOATS_AND_WIDE = [np.zeros((2, 3), np.float32), np.zeros((2, 3), np.int16), [[1, 2, 3]]]
FLOAT8 = [np.zeros((2, 3), ml_dtypes.float8_e4m3fn)]
wrong(PRODUCTS, "a", FLOATS_AND_WIDE + FLOAT8, TypeError)
wrong(f"{PRODUCTS} {DYNAMIC}", "b", FLOATS_AND_WIDE + FLOAT8, TypeError)
wrong(DYNAMIC, "a", FLOAT8, TypeError)
wrong(DYNAMIC, "a", [X + math.nan, X - math.inf, X * np.float64(1e300)], ValueError)
wrong(DYNAMIC, "a", [np.zeros((2, 4)), np.zeros((2, 0)), np.zeros(4), np.zeros(())], ValueError)
wrong(DYNAMIC, "b", [np.zeros((), np.int8)], ValueError)
wrong("dynamic_quantize_matmul", "b", [np.zeros((4, 3), np.int8)], ValueError)
wrong(DYNAMIC, "per_row", [0, 1, None, "row", np.array([True]), object()], TypeError)
wrong(CONVOLUTIONS, "x", FLOATS_AND_WIDE + FLOAT8, TypeError)
wrong(CONVOLUTIONS, "w", FLOATS_AND_WIDE + FLOAT8, TypeError)
wrong("dequantize", "codes", [X, CODES.astype(np.int16), CODES.view(np.uint8), *FLOAT8], TypeError)
wrong("dequantize_linear", "x", [X, CODES.astype(np.int64), *FLOAT8], TypeError)
wrong("quantize fake_quantize clip min_max quantize_linear", "x", FLOAT8, TypeError)
wrong("requantize", "acc", [X, CODES, np.zeros(3, np.int64), [[1, 2, 3]]], TypeError)
wrong("quantize dequantize fake_quantize", "params", [None, 1.0, "int8", (0.5, 3)], TypeError)

wrong("dynamic_quantize_linear", "x", [[math.nan], [math.inf, 0.0], [-1e39]], ValueError)
wrong("min_max", "x", [np.zeros((0, 3)), np.zeros((2, 0))], ValueError)
wrong("clip", "lower", [math.nan, 3.0, math.inf], ValueError)
wrong("clip", "upper", [math.nan, -2.0], ValueError)
wrong("clip", "lower", ["0", None, [0.0], 1j, object(), [[1], [1, 2]], True], TypeError)
wrong("clip", "upper", ["0", None, [0.0], 1j, object(), 10**400], TypeError)

AXES = "min_max summarize quantize_linear dequantize_linear requantize"
wrong(AXES, "axis", [2, -3, 2**31, 2**63, -(2**70)], ValueError)
wrong(AXES, "axis", [1.0, "1", True, [1], (0, 1), object()], TypeError)
wrong("quantize_linear dequantize_linear requantize", "axis", [None], TypeError)
wrong("min_max", "block_size", [0, -1, -(2**70)], ValueError)
wrong("quantize_linear dequantize_linear", "block_size", [-1, -(2**70)], ValueError)
wrong("min_max", "block_size", [1.0, "1", True, [1], object()], TypeError)
wrong("quantize_linear dequantize_linear", "block_size", NOT_INTEGERS, TypeError)
wrong("quantize_linear dequantize_linear", "output_dtype", [1.5, "float8", object()], TypeError)
wrong("quantize_linear", "output_dtype", [np.uint8, np.int16, np.float32, "i4,"], ValueError)
wrong("dequantize_linear", "output_dtype", [np.int8, "int32", bool], TypeError)

for names, argument in (
    ("quantize_linear", "y_scale"),
    ("dequantize_linear", "x_scale"),
    ("requantize", "multiplier"),
    ("qlinear_matmul QLinearMatMul", "a_scale"),
    (f"qlinear_matmul QLinearMatMul {DYNAMIC}", "b_scale"),
    ("qlinear_matmul QLinearMatMul qlinear_conv QLinearConv", "y_scale"),
    ("qlinear_conv QLinearConv", "x_scale"),
    ("qlinear_conv QLinearConv", "w_scale"),
):
    wrong(names, argument, BAD_SCALES, ValueError)
    wrong(names, argument, NOT_SCALES, TypeError)
    wrong(names, argument, [np.ones(7, np.float32), np.ones((1, 1, 1, 1), np.float32)], ValueError)
    wrong(names, argument, [np.zeros(0, np.float32)], ValueError)
    if argument != "y_scale" or names == "quantize_linear":
        wrong(names, argument, [None], TypeError)

for names, argument, far in (
    ("quantize_linear", "y_zero_point", [[256] * 3, [-1] * 3]),
    ("dequantize_linear", "x_zero_point", [[128] * 3, [-129] * 3]),
    (f"{PRODUCTS} {DYNAMIC}", "b_zero_point", [128, -129]),
    ("matmul_integer qlinear_matmul MatMulInteger", "a_zero_point", [256, -1]),
    ("conv_integer qlinear_conv QLinearConv", "w_zero_point", [128, -129]),
    ("conv_integer qlinear_conv", "x_zero_point", [256, -1]),
    ("qlinear_matmul qlinear_conv QLinearMatMul QLinearConv", "y_zero_point", [300, -129]),
):
    wrong(names, argument, far, ValueError)
    wrong(names, argument, NOT_ZERO_POINTS, TypeError)
    wrong(names, argument, [[1] * 7, np.ones((1, 1, 1, 1), np.int8).tolist()], ValueError)
    wrong(names, argument, [np.zeros(0, int).tolist()], ValueError)
    wrong(names, argument, [np.float32(0), np.zeros((), np.int64)], TypeError)
wrong("requantize", "zero_point", [0, None, "0", np.int16(0), np.float32(0), object()], TypeError)
wrong("requantize", "zero_point", [np.zeros(2, np.int8), np.zeros((1, 1), np.uint8)], ValueError)
wrong("requantize", "zero_point", [np.zeros(0, np.int8)], ValueError)

for names, argument, shape in (
    ("qlinear_matmul QLinearMatMul", "bias", (4,)),
    ("qlinear_conv QLinearConv", "b", (2,)),
):
    wide, lengths = 2**31, [np.zeros(n, np.int32) for n in (0, 1, 3, 5)]
    wrong(names, argument, [*lengths, np.zeros((*shape, 1), np.int32)], ValueError)
    wrong(names, argument, [wide, [wide] * shape[0], -wide - 1], ValueError)
    wrong(names, argument, ["1", 1.5, object(), [[1], [1, 2]], np.zeros(shape), 2**70], TypeError)
    wrong(names, argument, [np.zeros(shape, np.int64), np.zeros(shape, np.int8)], TypeError)
wrong(DYNAMIC, "bias", [np.zeros(n) for n in (0, 1, 3, 5)] + [np.zeros((4, 1))], ValueError)
wrong(DYNAMIC, "bias", [math.nan, [math.inf] * 4, 1e39], ValueError)
wrong(DYNAMIC, "bias", ["1", object(), [[1], [1, 2]], np.zeros(4, np.int32), 2**70], TypeError)
for names in (f"qlinear_matmul QLinearMatMul {DYNAMIC}", "qlinear_conv QLinearConv"):
    wrong(names, "activation", ["gelu", "", (1.0, 0.0), (math.nan, 1.0), (0, math.nan)], ValueError)
    wrong(names, "activation", [1, 1.0, (0.0,), (0, 1, 2), object(), (None, 1), b"relu"], TypeError)
    wrong(names, "activation", [np.ones((2, 2)), ("a", "b"), (10**400, 1)], TypeError)

wrong(PRODUCTS, "a", [np.zeros((2, 4), np.uint8), np.zeros((), np.uint8)], ValueError)
wrong(PRODUCTS, "a", [np.zeros((2, 0), np.uint8), np.zeros(4, np.uint8)], ValueError)
wrong(PRODUCTS, "b", [np.zeros((), np.int8)], ValueError)
wrong("matmul_integer MatMulInteger", "b", [np.zeros((4, 3), np.int8)], ValueError)
wrong(CONVOLUTIONS, "x", [np.zeros(s, np.uint8) for s in ((), (4,), (2, 4), (2, 4, 4))], ValueError)
wrong(CONVOLUTIONS, "x", [np.zeros((1, 2, 4, 2), np.uint8)], ValueError)  # narrower than w
wrong(CONVOLUTIONS, "x", [np.zeros((1, 2, 4, 0), np.uint8)], ValueError)
wrong(CONVOLUTIONS, "w", [np.zeros((2, 3, 3, 3), np.int8)], ValueError)  # channels of x: 2
wrong(CONVOLUTIONS, "w", [np.zeros(s, np.int8) for s in ((), (2,), (2, 2))], ValueError)
wrong(CONVOLUTIONS, "w", [np.zeros((2, 2, 0, 3), np.int8)], ValueError)

for argument, fewest in (("strides", 1), ("dilations", 1), ("pads", 0), ("kernel_shape", 3)):
    entries = 4 if argument == "pads" else 2
    wrong(CONVOLUTIONS, argument, NOT_EXTENTS, TypeError)
    for entry in (fewest - 1, -1, 2**31, 2**63, 10**30):
        wrong(CONVOLUTIONS, argument, [[entry] * entries], ValueError)
    wrong(CONVOLUTIONS, argument, [[], [1] * (entries - 1), [1] * (entries + 1)], ValueError)
    for entry in (1.0, "1", None, True, [1]):
        wrong(CONVOLUTIONS, argument, [[entry] * entries], TypeError)
wrong(CONVOLUTIONS, "pads", [[2**31 - 1] * 4], ValueError)  # the padded axis is too long
wrong(CONVOLUTIONS, "dilations", [[2**30, 2**30]], ValueError)  # the kernel reaches too far
wrong(CONVOLUTIONS, "kernel_shape", [[3, 4]], ValueError)
wrong(CONVOLUTIONS, "group", [0, -1, 2**31, 2**63, 2**70, 3], ValueError)
wrong(CONVOLUTIONS, "group", NOT_INTEGERS, TypeError)
wrong(CONVOLUTIONS, "auto_pad", ["SAME", "", "same_upper"], ValueError)
wrong(CONVOLUTIONS, "auto_pad", [None, 1, b"VALID", ["VALID"], np.array(["a", "b"])], TypeError)
wrong(CONVOLUTIONS, "layout", ["NHCW", "", "nchw"], ValueError)
wrong(CONVOLUTIONS, "layout", [None, 1, b"NCHW", np.array(["a", "b"])], TypeError)

LOOKUPS = "qlinear_lookup qlinear_relu qlinear_leaky_relu qlinear_clip qlinear_sigmoid qlinear_tanh"
LOOKUPS += " qlinear_gelu QLinearLookup"
PAIRS = "qlinear_add qlinear_mul QLinearAdd QLinearMul"
AVERAGES = "qlinear_average_pool qlinear_global_average_pool QLinearAveragePool"
AVERAGES += " QLinearGlobalAveragePool"
SOFTMAX = "qlinear_softmax QLinearSoftmax"
POOLS = f"max_pool MaxPool {AVERAGES}"
for names, operand in (
    (PAIRS, "a"),
    (PAIRS, "b"),
    (f"{LOOKUPS} {AVERAGES} {SOFTMAX}", "x"),
    ("max_pool MaxPool pad Pad resize Resize", "x"),
):
    wrong(names, operand, NOT_NUMBERS + FLOATS_AND_WIDE + FLOAT8, TypeError)
    if names == "max_pool MaxPool pad Pad resize Resize":
        names = "pad Pad"
    else:
        wrong(names, f"{operand}_scale", [*BAD_SCALES, 1e-60, np.ones(2), np.zeros(0)], ValueError)
        wrong(names, f"{operand}_scale", [*NOT_SCALES, None], TypeError)
    wrong(names, f"{operand}_zero_point", [300, -129, [1, 2], []], ValueError)
    wrong(names, f"{operand}_zero_point", [*NOT_ZERO_POINTS, np.int16(0)], TypeError)
for names in (PAIRS, LOOKUPS, AVERAGES, SOFTMAX, "qlinear_concat QLinearConcat"):
    wrong(names, "y_scale", [*BAD_SCALES, 1e-60, np.ones(2), np.zeros(0)], ValueError)
    wrong(names, "y_scale", [*NOT_SCALES, None], TypeError)
    wrong(names, "y_zero_point", [300, -129, [1, 2], []], ValueError)
    wrong(names, "y_zero_point", [*NOT_ZERO_POINTS, np.int16(0)], TypeError)
wrong(PAIRS, "a_scale", [1e38], ValueError)  # its quotient by y_scale overflows
wrong(PAIRS, "a", [np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8)], ValueError)
wrong(PAIRS, "activation", ["gelu", (1.0, 0.0), (math.nan, 1.0)], ValueError)
wrong(PAIRS, "activation", [1, (0.0,), (0, 1, 2), object(), (None, 1)], TypeError)
wrong("qlinear_lookup QLinearLookup", "function", [None, 1, "relu", object()], TypeError)
wrong("qlinear_lookup QLinearLookup", "function", [len, lambda x: x[1:]], TypeError)
wrong("qlinear_leaky_relu", "alpha", [None, "1", 1j, [1.0], object(), True], TypeError)
wrong("qlinear_leaky_relu", "alpha", [math.nan, math.inf, 1e300], ValueError)
wrong("qlinear_clip", "min", ["1", 1j, [1.0], object(), True], TypeError)
wrong("qlinear_clip", "max", ["1", 1j, [1.0], object(), True], TypeError)
wrong("qlinear_clip", "min", [math.nan, 3.0], ValueError)
wrong("qlinear_clip", "max", [math.nan, -2.0], ValueError)
wrong("qlinear_gelu", "approximate", ["erf", ""], ValueError)
wrong("qlinear_gelu", "approximate", [None, 1, b"none"], TypeError)
wrong("qlinear_concat", "inputs", [None, 1, "abc", A, [A], [(A, 1.0)], {1: 2}], TypeError)
wrong("qlinear_concat", "inputs", [[(X, 1.0, 0)], [(A, "1", 0)], [(A, 1.0, 0.5)]], TypeError)
wrong("qlinear_concat", "inputs", [[], [(A, 0.0, 0)], [(A, 1.0, 300)]], ValueError)
wrong("qlinear_concat", "inputs", [[(A, 1.0, 0), (A[:1], 1.0, 0)]], ValueError)
wrong("qlinear_concat", "inputs", [[(A, 1.0, 0), (A[0], 1.0, 0)], [(A[0, 0], 1, 0)]], ValueError)
wrong("qlinear_concat QLinearConcat", "axis", [2, -3, 2**70], ValueError)
wrong("qlinear_concat QLinearConcat", "axis", NOT_INTEGERS, TypeError)
wrong("QLinearConcat", "inputs", [None, 1, "ab", A, [A, X], {1: 2}], TypeError)
wrong("QLinearConcat", "inputs", [[A], [A, A[:1]], [A, A[0]]], ValueError)
wrong("QLinearConcat", "x_scales", [None, "ab", 1.0, {1: 2}, ["1", "2"]], TypeError)
wrong("QLinearConcat", "x_scales", [[], [1.0], [1.0, 0.0], [1.0, math.nan]], ValueError)
wrong("QLinearConcat", "x_zero_points", ["ab", 1, [0.5, 1.0], [[1], [1, 2]]], TypeError)
wrong("QLinearConcat", "x_zero_points", [[], [1], [1, 300], [-129, 0]], ValueError)
PADS = "pad Pad"
wrong(PADS, "pads", [None, *NOT_EXTENTS, [1.0, 0, 0, 0], [None] * 4], TypeError)
wrong(PADS, "pads", [[], [1], [1] * 5, [2**31] * 4, [-9, 0, 0, 0]], ValueError)
wrong(PADS, "axes", [*NOT_EXTENTS, [0.0, 1.0], [None, 1]], TypeError)
wrong(PADS, "axes", [[0, 2], [-3, 0], [1, 1]], ValueError)
wrong(POOLS, "x", [np.zeros(s, np.uint8) for s in ((), (4,), (2, 4))], ValueError)
wrong(POOLS, "layout", ["NHCW", "", "nchw"], ValueError)
wrong(POOLS, "layout", [None, 1, b"NCHW", np.array(["a", "b"])], TypeError)
WINDOWS = "max_pool qlinear_average_pool MaxPool QLinearAveragePool"
wrong(WINDOWS, "x", [np.zeros((1, 1, 1, 1, 1, 1), np.uint8)], ValueError)
wrong(WINDOWS, "kernel_shape", [None, *NOT_EXTENTS], TypeError)
wrong(WINDOWS, "kernel_shape", [[], [1], [0, 1], [1, 1, 1], [9, 9], [2**31, 1]], ValueError)
wrong(WINDOWS, "ceil_mode", [2, -1], ValueError)
wrong(WINDOWS, "ceil_mode", [None, "1", 1.0, [1]], TypeError)
wrong("qlinear_average_pool", "count_include_pad", [2, -1], ValueError)
wrong("qlinear_average_pool", "count_include_pad", [None, "1", 1.0, [1]], TypeError)
wrong(WINDOWS, "auto_pad", ["SAME", "", "same_upper", "VALID"], ValueError)  # pads is given
wrong(WINDOWS, "auto_pad", [None, 1, b"VALID", ["VALID"]], TypeError)
for argument, fewest in (("strides", 1), ("dilations", 1), ("pads", 0)):
    wrong(WINDOWS, argument, NOT_EXTENTS, TypeError)
    for entry in (fewest - 1, -1, 2**31, 2**70):
        wrong(WINDOWS, argument, [[entry] * (4 if argument == "pads" else 2)], ValueError)
    wrong(WINDOWS, argument, [[], [1], [1] * 5], ValueError)
wrong(WINDOWS, "pads", [[2**31 - 1] * 4], ValueError)
wrong(WINDOWS, "dilations", [[2**30, 2**30]], ValueError)
wrong(AVERAGES, "x_scale", [1e38], ValueError)  # its quotient by y_scale overflows
wrong(SOFTMAX, "axis", [2, -3, 2**70], ValueError)
wrong(SOFTMAX, "axis", NOT_INTEGERS, TypeError)
wrong(SOFTMAX, "x", [np.uint8(3)], ValueError)
RESIZES = "resize Resize"
wrong(RESIZES, "scales", ["1", 1j, object(), {1: 2}, [[1], [1, 2]], [True, True]], TypeError)
wrong(RESIZES, "scales", [None, 1.0, [], [1.0], [0, 1], [1.0, math.nan], [-1, 1]], ValueError)
wrong(RESIZES, "scales", [[1e300, 1], [1e-60, 1], [1e9, 1], [2.0**30, 2.0**30]], ValueError)
wrong(RESIZES, "sizes", [[4, 4]], ValueError)  # scales are given too
wrong(RESIZES, "axes", [[0, 4], [-5, 0], [1, 1], [3, -1]], ValueError)
wrong(RESIZES, "axes", [*NOT_EXTENTS, [0.0, 1.0], [None, 1]], TypeError)
for argument in ("mode", "coordinate_transformation_mode", "nearest_mode"):
    wrong(RESIZES, argument, ["cubic", "", "Linear"], ValueError)
    wrong(RESIZES, argument, [None, 1, b"linear", ["linear"]], TypeError)
UP = "qlinear_conv_transpose"
for argument in ("x", "w"):
    wrong(UP, argument, NOT_NUMBERS + FLOATS_AND_WIDE + FLOAT8, TypeError)
wrong(UP, "x", [np.zeros(s, np.uint8) for s in ((), (4,), (2, 4, 4), (1, 2, 0, 3))], ValueError)
wrong(UP, "w", [np.zeros(s, np.int8) for s in ((), (2, 2), (3, 2, 3, 3), (2, 2, 0, 3))], ValueError)
for argument in ("x_scale", "w_scale", "y_scale"):
    wrong(UP, argument, [*BAD_SCALES, np.ones(7), np.zeros(0)], ValueError)
    wrong(UP, argument, NOT_SCALES, TypeError)
for argument, far in (("x", 256), ("w", 128), ("y", 300)):
    wrong(UP, f"{argument}_zero_point", [far, -129, [1] * 7, []], ValueError)
    wrong(UP, f"{argument}_zero_point", NOT_ZERO_POINTS, TypeError)
wrong(UP, "b", [np.zeros(n, np.int32) for n in (0, 1, 3)], ValueError)
wrong(UP, "b", ["1", object(), np.zeros(2), np.zeros(2, np.int64)], TypeError)
for argument, fewest in (("strides", 1), ("dilations", 1), ("output_padding", 0), ("pads", 0)):
    wrong(UP, argument, NOT_EXTENTS, TypeError)
    for entry in (fewest - 1, 2**31, 2**70):
        wrong(UP, argument, [[entry] * (4 if argument == "pads" else 2)], ValueError)
    wrong(UP, argument, [[], [1], [1] * 5], ValueError)
wrong(UP, "pads", [[3, 3, 3, 4]], ValueError)  # of 6 by 7, that leaves nothing
wrong(UP, "kernel_shape", [[3, 4], [3]], ValueError)
wrong(UP, "output_shape", [[0, 1], [1], [2**31, 1]], ValueError)
wrong(UP, "output_shape", NOT_EXTENTS, TypeError)
wrong(UP, "group", [0, -1, 3, 2**31], ValueError)
wrong(UP, "group", NOT_INTEGERS, TypeError)
wrong(UP, "auto_pad", ["SAME", ""], ValueError)
wrong(UP, "auto_pad", [None, 1, b"VALID"], TypeError)
wrong(UP, "layout", ["NHCW", ""], ValueError)
wrong(UP, "layout", [None, 1], TypeError)
GEMM = "qgemm"
wrong(GEMM, "a", NOT_NUMBERS + FLOATS_AND_WIDE + FLOAT8, TypeError)
wrong(GEMM, "b", NOT_NUMBERS + FLOATS_AND_WIDE + FLOAT8, TypeError)
wrong(GEMM, "a", [np.zeros(s, np.uint8) for s in ((), (4,), (2, 3), (1, 2, 4))], ValueError)
wrong(GEMM, "b", [np.zeros(s, np.int8) for s in ((), (4,), (1, 3, 4))], ValueError)
for argument in ("a_scale", "b_scale", "alpha"):
    wrong(GEMM, argument, [*BAD_SCALES, np.ones(7), np.zeros(0)], ValueError)
    wrong(GEMM, argument, [*NOT_SCALES, None], TypeError)
wrong(GEMM, "y_scale", [*BAD_SCALES, np.ones(7), np.zeros(0)], ValueError)
wrong(GEMM, "y_scale", NOT_SCALES, TypeError)
for argument, far in (("a", 300), ("b", 128), ("y", 300)):
    wrong(GEMM, f"{argument}_zero_point", [far, -129, [1] * 7, []], ValueError)
    wrong(GEMM, f"{argument}_zero_point", [*NOT_ZERO_POINTS, np.int16(0)], TypeError)
wrong(GEMM, "c", ["1", 1.5, object(), [[1], [1, 2]], np.zeros(3), 2**70], TypeError)
wrong(GEMM, "c", [np.zeros(3, np.int64), np.zeros(3, np.int8)], TypeError)
wrong(GEMM, "c", [np.zeros(2, np.int32), np.zeros((1, 2, 3), np.int32), 2**31], ValueError)
for argument in ("transA", "transB"):
    wrong(GEMM, argument, [2, -1], ValueError)
    wrong(GEMM, argument, [None, "1", 1.0, [1]], TypeError)
wrong("pad", "pads", NOT_EXTENTS, TypeError)
wrong("pad", "pads", [[], [1], [1] * 5, [0, 0, -5, 0], [2**31] * 4, [2**63, 0, 0, 0]], ValueError)
wrong("pad", "pads", [[2**31 - 1] * 4], ValueError)  # larger than any memory
wrong("pad", "axes", [[0, 2], [-3, 0], [0, 0], [0, -2]], ValueError)
wrong("pad", "axes", [*NOT_EXTENTS, [0.0, 1.0], [None, 1]], TypeError)
READ_ONLY = np.zeros((2, 3), np.int8)
READ_ONLY.setflags(write=False)
OUT = " ".join(WITH_OUT)
wrong(OUT, "out", [1, "out", [0], np.int8(1), object()], TypeError)
wrong(OUT, "out", [np.zeros((2, 3), np.complex64), np.zeros((2, 3), np.int64)], TypeError)
wrong("quantize quantize_linear", "out", [READ_ONLY, np.zeros((3, 2), np.int8)], ValueError)


@pytest.mark.parametrize("name", sorted({case[0] for case in WRONG}))
def test_wrong_arguments_are_named(name: str) -> None:
    for argument, value, error in [case[1:] for case in WRONG if case[0] == name]:
        arguments = CALLS[name] | {argument: value}
        told = f"{name}({argument}={label(value)})"
        defined = outcome(ql.reference, name, arguments)
        assert defined[:2] == ("raised", error), told
        assert re.search(rf"\b{argument}\b", defined[2]), told
        assert outcome(ql, name, arguments) == defined, told


@pytest.mark.parametrize("dtype", [np.float32, "int32", complex, "float8_e5m2", "i4,"])
def test_codes_have_no_such_type(dtype: Any) -> None:
    """Without a zero point, `output_dtype` alone names the type of the codes."""
    arguments = {"x": X, "y_scale": 1.0, "output_dtype": dtype}
    defined = outcome(ql.reference, "quantize_linear", arguments)
    assert defined[:2] == ("raised", TypeError)
    assert "output_dtype" in defined[2]
    assert outcome(ql, "quantize_linear", arguments) == defined


@pytest.mark.parametrize("name", sorted(CALLS))
def test_an_unknown_keyword_is_named(name: str) -> None:
    with pytest.raises(TypeError, match="colour"):
        answer(ql, name, CALLS[name] | {"colour": 1})


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: ql.QType(8), "name"),
        (lambda: ql.QType("int17"), "name"),
        (lambda: ql.QType("int0"), "name"),
        (lambda: ql.QType("int8", narrow=2), "narrow"),
        (lambda: ql.QType("int1", narrow=True), "narrow"),
        (lambda: ql.QType.of(None), "qtype"),
        (lambda: ql.QType.of("float8_e4m3fn"), "qtype"),
        (lambda: ql.QType.of(ml_dtypes.float8_e5m2), "qtype"),
        (lambda: ql.QType.of(object()), "qtype"),
        (lambda: ql.QuantParams(0.0, 0, "int8"), "scale"),
        (lambda: ql.QuantParams(math.nan, 0, "int8"), "scale"),
        (lambda: ql.QuantParams("1", 0, "int8"), "scale"),
        (lambda: ql.QuantParams(None, 0, "int8"), "scale"),
        (lambda: ql.QuantParams([[1.0], [1.0, 2.0]], 0, "int8"), "scale"),
        (lambda: ql.QuantParams([1.0, 2.0], 0, "int8"), "scale"),
        (lambda: ql.QuantParams([[1.0]], 0, "int8", axis=0), "scale"),
        (lambda: ql.QuantParams(1.0, 128, "int8"), "zero_point"),
        (lambda: ql.QuantParams(1.0, 0.5, "int8"), "zero_point"),
        (lambda: ql.QuantParams(1.0, None, "int8"), "zero_point"),
        (lambda: ql.QuantParams([1.0, 2.0], [0, 0, 0], "int8", axis=0), "zero_point"),
        (lambda: ql.QuantParams([1.0], 0, "int8", axis=0.0), "axis"),
        (lambda: ql.QuantParams([1.0], 0, "int8", axis=True), "axis"),
        (lambda: ql.QuantParams([1.0], 0, "int8", axis=0, block_size=0), "block_size"),
        (lambda: ql.QuantParams([1.0], 0, "int8", axis=0, block_size=1.5), "block_size"),
        (lambda: ql.QuantParams(1.0, 0, "int8", block_size=2), "block_size"),
        (lambda: ql.QuantParams([1.0], 0, "int8", axis=2, block_size=2), "axis"),
        (lambda: ql.QuantParams.from_range(1.0, 0.0), "lo"),
        (lambda: ql.QuantParams.from_range(math.nan, 0.0), "lo"),
        (lambda: ql.QuantParams.from_range(0.0, math.inf), "hi"),
        (lambda: ql.QuantParams.from_range("0", 1.0), "lo"),
        (lambda: ql.QuantParams.from_range([0.0], [1.0, 2.0]), "lo"),
        (lambda: ql.QuantParams.from_range(-1e300, 1e300), "lo"),
        (lambda: ql.QuantParams.from_range(0.0, 1.0, "int1", symmetric=True), "symmetric"),
        (lambda: ql.calibrate([1.0, math.nan]), "x"),
        (lambda: ql.calibrate([]), "x"),
        (lambda: ql.calibrate(None), "x"),
        (lambda: ql.calibrate("abc"), "x"),
        (lambda: ql.calibrate([1.0], method="best"), "method"),
        (lambda: ql.calibrate([1.0], qtype="float8"), "qtype"),
        (lambda: ql.calibrate([1.0], axis=3), "axis"),
    ],
)
def test_the_parameters_of_quantization_are_checked(call: Callable[[], Any], named: str) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"\b{named}\b"):
        call()
