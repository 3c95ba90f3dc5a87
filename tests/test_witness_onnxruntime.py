"""ONNX Runtime, an engine that shares no line with this one, computes the same bits.

Each case runs one operator in a session of one thread. The known differences are left out: ONNX
Runtime returns uninitialised memory where K or the channels are 0, wraps sums past int32, and on
processors with AVX2 but without VNNI it saturates pairs of u8 * s8 products in 16 bits; there,
weights stay within 7 bits, where nothing saturates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quantlib as ql

onnx = pytest.importorskip("onnx", reason="onnx builds the models that ONNX Runtime runs")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the witness")

Array = np.ndarray[Any, Any]
SATURATES = "avx512vnni" not in ql.cpu.available_isas()


def run(
    operator: str, inputs: dict[str, Array], outputs: int = 1, domain: str = "", **attributes: Any
) -> Any:
    """What ONNX Runtime computes for one node; inputs without a name's array are left out."""
    names_in = [name if array is not None else "" for name, array in inputs.items()]
    inputs = {name: array for name, array in inputs.items() if array is not None}
    names = [f"y{index}" for index in range(outputs)]
    types = onnx.helper.np_dtype_to_tensor_dtype
    node = onnx.helper.make_node(operator, names_in, names, domain=domain, **attributes)
    graph = onnx.helper.make_graph(
        [node],
        operator,
        [
            onnx.helper.make_tensor_value_info(name, types(array.dtype), array.shape)
            for name, array in inputs.items()
        ],
        [onnx.helper.make_empty_tensor_value_info(name) for name in names],
    )
    opset = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    results = session.run(None, inputs)
    return results if outputs > 1 else results[0]


def same_bits(result: Array, wanted: Array) -> None:
    assert result.dtype == wanted.dtype
    assert result.shape == wanted.shape
    np.testing.assert_array_equal(result, wanted)


def codes(random: Any, shape: tuple[int, ...], dtype: Any, *, weights: bool = False) -> Array:
    limits = np.iinfo(dtype)
    low, high = limits.min, limits.max
    if weights and SATURATES:
        low, high = (low // 2, high // 2) if low else (low, high)
    return random.integers(low, high + 1, shape).astype(dtype)


def scale_for(real: Array) -> Array:
    """A scale with which hardly anything saturates."""
    return np.asarray(np.float32(np.quantile(np.abs(real), 0.99) / 110 + 1e-3))


def spread(result: Array) -> None:
    """A comparison of saturated codes would prove little: most must lie inside the range."""
    limits = np.iinfo(result.dtype)
    assert np.mean((result > limits.min) & (result < limits.max)) > 0.5


# --- reals and codes ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16])
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.1, 1 / 3, 0.0173, 3.7])
def test_quantize_linear_on_a_grid_of_ties(dtype: Any, scale: float) -> None:
    """Halves of the scale, and the floats on both sides of each."""
    step = np.float32(scale)
    ties = (np.arange(-1200, 1201, dtype=np.float32) / 2) * step
    x = np.concatenate([ties, np.nextafter(ties, np.inf), np.nextafter(ties, -np.inf)])
    x = np.concatenate([x, np.float32([3e38, -3e38, 1e-45, -0.0, np.inf, -np.inf])])
    limits = np.iinfo(dtype)
    for zero_point in (limits.min, limits.max, (limits.min + limits.max + 1) // 2, 3):
        inputs = {"x": x, "s": np.asarray(step), "z": np.asarray(zero_point, dtype)}
        same_bits(ql.quantize_linear(*inputs.values()), run("QuantizeLinear", inputs))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_quantize_and_dequantize_linear_per_channel(axis: int) -> None:
    random = np.random.default_rng(axis)
    x = random.normal(0, 30, (5, 7, 11)).astype(np.float32)
    scale = random.uniform(0.1, 1, x.shape[axis]).astype(np.float32)
    zero_point = codes(random, scale.shape, np.int8)
    inputs = {"x": x, "s": scale, "z": zero_point}
    quantized = ql.quantize_linear(*inputs.values(), axis=axis)
    same_bits(quantized, run("QuantizeLinear", inputs, axis=axis))
    spread(quantized)
    inputs["x"] = quantized
    same_bits(
        ql.dequantize_linear(*inputs.values(), axis=axis),
        run("DequantizeLinear", inputs, axis=axis),
    )


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16])
def test_dequantize_linear_of_every_code(dtype: Any) -> None:
    limits = np.iinfo(dtype)
    x = np.arange(limits.min, limits.max + 1).astype(dtype)
    for scale in (0.1, 1 / 3, 1e-30, 1e30):
        for zero_point in (limits.min, 5, limits.max):
            inputs = {"x": x, "s": np.float32([scale])[0], "z": np.asarray(zero_point, dtype)}
            inputs["s"] = np.asarray(inputs["s"])
            same_bits(ql.dequantize_linear(*inputs.values()), run("DequantizeLinear", inputs))


@pytest.mark.parametrize("seed", range(20))
def test_dynamic_quantize_linear(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(random.uniform(-2, 2), random.uniform(0.01, 9), (3, 50)).astype(np.float32)
    results = ql.dynamic_quantize_linear(x)
    for result, wanted in zip(results, run("DynamicQuantizeLinear", {"x": x}, 3), strict=True):
        same_bits(result, wanted)


# --- products -----------------------------------------------------------------------------------

PRODUCT_SHAPES = [((), m, k, n) for m, k, n in ((1, 1, 1), (7, 64, 33), (13, 129, 48), (64, 7, 5))]
PRODUCT_TYPES = [(a, b) for a in (np.uint8, np.int8) for b in (np.uint8, np.int8)]
PRODUCT_SHAPES += [((2, 3), 5, 31, 17)]


@pytest.mark.parametrize(("left", "right"), PRODUCT_TYPES)
@pytest.mark.parametrize(("batch", "m", "k", "n"), PRODUCT_SHAPES)
def test_matmul_integer(
    batch: tuple[int, ...], m: int, k: int, n: int, left: Any, right: Any
) -> None:
    random = np.random.default_rng(k)
    a = codes(random, (*batch, m, k), left)
    b = codes(random, (*batch, k, n), right, weights=True)
    za, zb = codes(random, (), left), codes(random, (), right)
    inputs = {"a": a, "b": b, "za": za, "zb": zb}
    same_bits(ql.matmul_integer(a, b, za, zb), run("MatMulInteger", inputs))
    if not batch:
        inputs["zb"] = codes(random, (n,), right)
        same_bits(ql.matmul_integer(a, b, za, inputs["zb"]), run("MatMulInteger", inputs))


@pytest.mark.parametrize(("left", "right"), PRODUCT_TYPES[:2] + PRODUCT_TYPES[3:])
@pytest.mark.parametrize(("batch", "m", "k", "n"), PRODUCT_SHAPES)
def test_qlinear_matmul(
    batch: tuple[int, ...], m: int, k: int, n: int, left: Any, right: Any
) -> None:
    """All but int8 times uint8, which ONNX Runtime does not have."""
    random = np.random.default_rng(k + 1)
    for per_column in (False, True):
        inputs = {
            "a": codes(random, (*batch, m, k), left),
            "sa": np.asarray(np.float32(0.013)),
            "za": codes(random, (), left),
            "b": codes(random, (*batch, k, n), right, weights=True),
            "sb": random.uniform(0.01, 0.03, n if per_column else ()),
            "zb": np.asarray(codes(random, (n,) if per_column else (), right) // 2, right),
            "sy": None,
            "zy": None,
        }
        if batch and per_column:
            continue  # ONNX Runtime takes parameters of columns with the batch written out
        inputs["sb"] = np.asarray(inputs["sb"], np.float32)
        inputs["sy"] = scale_for(ql.reference.qlinear_matmul(*inputs.values()))
        inputs["zy"] = np.asarray(np.iinfo(left).min + 120, left)
        result = ql.qlinear_matmul(*inputs.values())
        same_bits(result, run("QLinearMatMul", inputs))
        spread(result)


REAL_SHAPES = [(1, 1, 1), (1, 64, 33), (7, 64, 33), (13, 129, 48), (64, 7, 5), (40, 300, 70)]


@pytest.mark.parametrize("right", [np.uint8, np.int8])
@pytest.mark.parametrize(("m", "k", "n"), REAL_SHAPES)
@pytest.mark.parametrize("biased", [False, True])
def test_dynamic_quantize_matmul(m: int, k: int, n: int, right: Any, biased: bool) -> None:
    random = np.random.default_rng(m + k)
    for batch, per_column in (((), False), ((), True), ((2, 3), False)):
        columns = (n,) if per_column else ()
        inputs = {
            "a": random.normal(0.3, 2, (*batch, m, k)).astype(np.float32),
            "b": codes(random, (k, n), right, weights=True),
            "sb": np.asarray(random.uniform(0.01, 0.03, columns), np.float32),
            "zb": np.asarray(codes(random, columns, right) // 2, right),
            "bias": random.normal(0, 1, n).astype(np.float32) if biased else None,
        }
        result = ql.dynamic_quantize_matmul(*list(inputs.values())[:4], bias=inputs["bias"])
        same_bits(result, run("DynamicQuantizeMatMul", inputs, domain="com.microsoft"))


@pytest.mark.parametrize(("left", "right"), PRODUCT_TYPES[:2] + PRODUCT_TYPES[3:])
@pytest.mark.parametrize(("m", "k", "n"), REAL_SHAPES)
@pytest.mark.parametrize("biased", [False, True])
def test_matmul_integer_to_float(
    m: int, k: int, n: int, left: Any, right: Any, biased: bool
) -> None:
    """All but int8 times uint8, which ONNX Runtime does not have."""
    random = np.random.default_rng(m + k)
    inputs = {
        "a": codes(random, (m, k), left),
        "b": codes(random, (k, n), right, weights=True),
        "sa": np.asarray(np.float32(0.013)),
        "sb": random.uniform(0.01, 0.03, n).astype(np.float32),
        "za": codes(random, (), left),
        "zb": np.asarray(codes(random, (n,), right) // 2, right),
        "bias": random.normal(0, 30, n).astype(np.float32) if biased else None,
    }
    a, b, sa, sb, za, zb, bias = inputs.values()
    result = ql.qlinear_matmul(a, sa, za, b, sb, zb, None, None, bias=bias)
    same_bits(result, run("MatMulIntegerToFloat", inputs, domain="com.microsoft"))


# --- convolutions -------------------------------------------------------------------------------


def _convolution(seed: int) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shapes of x and w, and attributes, of a random convolution of two spatial axes."""
    random = np.random.default_rng(seed)
    group = int(random.choice([1, 1, 1, 2, 3, 8]))
    each, outputs = (int(random.integers(1, 9)) for _ in range(2))
    if seed % 4 == 0:
        group, each, outputs = 16, 1, 1  # depthwise
    kernel = random.integers(1, 4, 2)
    dilations = random.integers(1, 3, 2)
    pads = random.integers(0, 3, 4)
    spatial = (kernel - 1) * dilations + 1 + random.integers(0, 8, 2)
    attributes = {
        "dilations": dilations.tolist(),
        "group": group,
        "kernel_shape": kernel.tolist(),
        "pads": pads.tolist(),
        "strides": random.integers(1, 4, 2).tolist(),
    }
    return (2, group * each, *spatial), (group * outputs, each, *kernel), attributes


@pytest.mark.parametrize("seed", range(24))
def test_conv_integer(seed: int) -> None:
    random = np.random.default_rng(seed)
    x_shape, w_shape, attributes = _convolution(seed)
    right = (np.uint8, np.int8)[seed % 2]
    inputs = {
        "x": codes(random, x_shape, np.uint8),
        "w": codes(random, w_shape, right, weights=True),
        "zx": codes(random, (), np.uint8),
        "zw": codes(random, (), right) // 2,
    }
    inputs["zw"] = np.asarray(inputs["zw"], right)
    same_bits(
        ql.conv_integer(*inputs.values(), **attributes), run("ConvInteger", inputs, **attributes)
    )


@pytest.mark.parametrize("left", [np.uint8, np.int8])
@pytest.mark.parametrize("seed", range(24))
def test_qlinear_conv(seed: int, left: Any) -> None:
    random = np.random.default_rng(seed)
    x_shape, w_shape, attributes = _convolution(seed)
    outputs = w_shape[0]
    per_channel = seed % 3 > 0
    inputs = {
        "x": codes(random, x_shape, left),
        "sx": np.asarray(np.float32(0.013)),
        "zx": codes(random, (), left),
        "w": codes(random, w_shape, np.int8, weights=True),
        "sw": random.uniform(0.01, 0.03, outputs if per_channel else ()),
        "zw": np.zeros(outputs if per_channel else (), np.int8),
        "sy": None,
        "zy": None,
        "b": random.integers(-2000, 2000, outputs).astype(np.int32),
    }
    inputs["sw"] = np.asarray(inputs["sw"], np.float32)
    inputs["sy"] = scale_for(ql.reference.qlinear_conv(*inputs.values(), **attributes))
    inputs["zy"] = np.asarray(np.iinfo(left).min + 120, left)
    result = ql.qlinear_conv(*inputs.values(), **attributes)
    same_bits(result, run("QLinearConv", inputs, **attributes))
    spread(result)


# --- the contributed layers ---------------------------------------------------------------------

CONTRIBUTED = "com.microsoft"
BYTES = pytest.mark.parametrize("dtype", [np.int8, np.uint8])


def scalar(value: Any, dtype: Any = np.float32) -> Array:
    return np.asarray(value, dtype)


def operand(random: Any, name: str, shape: tuple[int, ...], dtype: Any) -> dict[str, Array]:
    """Codes, scale and zero point as inputs of a node."""
    limits = np.iinfo(dtype)
    return {
        name: codes(random, shape, dtype),
        f"{name}_scale": scalar(random.uniform(0.01, 0.03)),
        f"{name}_zero_point": scalar(random.integers(limits.min + 90, limits.max - 90), dtype),
    }


def result(dtype: Any, scale: float) -> dict[str, Array]:
    zero_point = scalar(np.iinfo(dtype).min + 121, dtype)
    return {"y_scale": scalar(scale), "y_zero_point": zero_point}


def within_one_code(mine: Array, wanted: Array, most: float) -> None:
    """At most that share of the codes may be one away; the rest have to be equal."""
    assert (mine.dtype, mine.shape) == (wanted.dtype, wanted.shape)
    away = np.abs(mine.astype(int) - wanted.astype(int))
    assert away.max(initial=0) <= 1
    assert np.count_nonzero(away) <= most * away.size


@BYTES
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "shapes", [((3, 7, 65), (3, 7, 65)), ((2, 5, 9), (5, 1)), ((4, 1), (3, 1, 6))], ids=str
)
def test_qlinear_add_and_mul(dtype: Any, seed: int, shapes: Any) -> None:
    """ONNX Runtime adds zero points before it rounds: codes at ties can be one away."""
    random = np.random.default_rng(seed)
    inputs = operand(random, "a", shapes[0], dtype) | operand(random, "b", shapes[1], dtype)
    for name, scale in (("Add", 0.03), ("Mul", 0.023)):
        given = inputs | result(dtype, scale)
        mine = getattr(ql, f"qlinear_{name.lower()}")(*given.values())
        spread(mine)
        within_one_code(mine, run(f"QLinear{name}", given, domain=CONTRIBUTED), 0.002)


@BYTES
@pytest.mark.parametrize("seed", range(6))
def test_qlinear_concat(dtype: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    axis = seed % 3
    inputs = result(dtype, 0.02)
    for name in "abc":
        shape = [3, 5, 4]
        shape[axis] = int(random.integers(1, 9))
        inputs |= operand(random, name, tuple(shape), dtype)
    if seed == 5:  # one that only has to be copied
        inputs |= {"b_scale": inputs["y_scale"], "b_zero_point": inputs["y_zero_point"]}
    parts = list(inputs.values())[2:]
    triples = [tuple(parts[i : i + 3]) for i in range(0, 9, 3)]
    mine = ql.qlinear_concat(inputs["y_scale"], inputs["y_zero_point"], triples, axis=axis)
    same_bits(mine, run("QLinearConcat", inputs, domain=CONTRIBUTED, axis=axis))
    spread(mine)


@BYTES
@pytest.mark.parametrize("seed", range(8))
def test_functions_of_codes(dtype: Any, seed: int) -> None:
    """Leaky ReLU has the same bits; the sigmoid of ONNX Runtime is approximate."""
    random = np.random.default_rng(seed)
    x = np.arange(256, dtype=np.uint8).view(dtype)
    inputs = operand(random, "x", (1,), dtype) | {"x": x} | result(dtype, random.uniform(0.01, 1))
    alpha = float(random.uniform(0, 0.5))
    mine = ql.qlinear_leaky_relu(*inputs.values(), alpha=alpha)
    same_bits(mine, run("QLinearLeakyRelu", inputs, domain=CONTRIBUTED, alpha=alpha))
    inputs |= {"x_scale": scalar(random.uniform(0.01, 0.1)), "y_scale": scalar(1 / 128)}
    inputs["y_zero_point"] = scalar(np.iinfo(dtype).min, dtype)
    mine = ql.qlinear_sigmoid(*inputs.values())
    within_one_code(mine, run("QLinearSigmoid", inputs, domain=CONTRIBUTED), 0.01)


def _pooling(seed: int, rank: int = 2) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The shape of x, and attributes, of a random pooling; pads are smaller than the kernel."""
    random = np.random.default_rng(seed)
    kernel = random.integers(1, 5, rank)
    attributes = {
        "kernel_shape": kernel.tolist(),
        "pads": [int(random.integers(0, k)) for k in (*kernel, *kernel)],
        "strides": random.integers(1, 4, rank).tolist(),
        "ceil_mode": int(random.integers(0, 2)),
    }
    return (2, 3, *(kernel + random.integers(0, 9, rank)).tolist()), attributes


@BYTES
@pytest.mark.parametrize("seed", range(24))
def test_max_pool(dtype: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    rank = 1 + seed % 3
    shape, attributes = _pooling(seed, rank)
    attributes["dilations"] = random.integers(1, 3, rank).tolist() if seed % 2 else [1] * rank
    shape = (*shape[:2], *(n + 4 for n in shape[2:]))
    inputs = {"x": codes(random, shape, dtype)}
    same_bits(ql.max_pool(**inputs, **attributes), run("MaxPool", inputs, **attributes))


@BYTES
@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("seed", range(16))
def test_qlinear_average_pool(dtype: Any, include: int, seed: int) -> None:
    """ONNX Runtime adds float32 numbers; its averages may be a code away where they are ties.

    Its QLinearAveragePool counts what a window has beyond the padding, which its AveragePool, like
    ONNX, does not; there, that one is the witness."""
    random = np.random.default_rng(seed)
    shape, attributes = _pooling(seed)
    attributes["count_include_pad"] = include
    inputs = operand(random, "x", shape, dtype) | result(dtype, 0.013)
    mine = ql.qlinear_average_pool(*inputs.values(), **attributes)
    if include and attributes["ceil_mode"]:
        x, x_scale, x_zero_point, *y = inputs.values()
        reals = {"x": ql.dequantize_linear(x, x_scale, x_zero_point)}
        wanted = ql.quantize_linear(run("AveragePool", reals, **attributes), *y)
    else:
        wanted = run("QLinearAveragePool", inputs, domain=CONTRIBUTED, **attributes)
    within_one_code(mine, wanted, 0.02)
    if dtype is np.uint8:
        moved = {**inputs, "x": np.ascontiguousarray(np.moveaxis(inputs["x"], 1, -1))}
        last = ql.qlinear_average_pool(*moved.values(), **attributes, layout="NHWC")
        same_bits(np.moveaxis(last, -1, 1), mine)


@BYTES
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("shape", [(2, 5, 7, 9), (1, 64, 7, 7), (3, 17, 1, 2), (1, 3, 65, 70)])
def test_qlinear_global_average_pool(dtype: Any, last: int, shape: Any) -> None:
    random = np.random.default_rng(last)
    inputs = operand(random, "x", shape, dtype) | result(dtype, 0.002)
    mine = ql.qlinear_global_average_pool(*inputs.values(), layout=("NCHW", "NHWC")[last])
    wanted = run("QLinearGlobalAveragePool", inputs, domain=CONTRIBUTED, channels_last=last)
    same_bits(mine, wanted)


@BYTES
@pytest.mark.parametrize("shape", [(4, 10), (3, 2), (2, 3, 257), (2, 1000)], ids=str)
def test_qlinear_softmax(dtype: Any, shape: Any) -> None:
    """ONNX Runtime rounds down. (With a scale of 1/256 its code of 1 wraps to 0.)"""
    random = np.random.default_rng(shape[-1])
    for axis in range(-len(shape), 0):
        inputs = operand(random, "x", shape, dtype)
        lowest = scalar(np.iinfo(dtype).min, dtype)
        inputs |= {"y_scale": scalar(1 / 255), "y_zero_point": lowest}
        mine = ql.qlinear_softmax(*inputs.values(), axis=axis)
        attributes = {"axis": axis, "opset": 13}
        wanted = run("QLinearSoftmax", inputs, domain=CONTRIBUTED, **attributes)
        within_one_code(mine, wanted, 1.0)
        assert np.all(mine >= wanted)


COORDINATES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners"]


@BYTES
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("coordinates", [*COORDINATES, "asymmetric"])
@pytest.mark.parametrize("seed", range(10))
def test_resize(dtype: Any, mode: str, coordinates: str, seed: int) -> None:
    """Nearest codes are the same; interpolated ones are rounded towards 0 there."""
    random = np.random.default_rng(seed)
    shape = (2, 3, int(random.integers(1, 12)), int(random.integers(1, 12)))
    x = codes(random, shape, dtype)
    attributes = {
        "mode": mode,
        "coordinate_transformation_mode": coordinates,
        "nearest_mode": ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"][seed % 4],
    }
    inputs: dict[str, Any] = {"x": x, "roi": None, "scales": None, "sizes": None}
    if seed % 2:
        inputs["sizes"] = np.int64([2, 3, *random.integers(1, 25, 2)])
    else:
        factors = random.choice([0.5, 2, 1.5, 3, 2 / 3, 1.3, 4], 2)
        factors = np.maximum(factors, 1 / np.array(shape[2:]))
        inputs["scales"] = np.float32([1, 1, *factors])
    mine = ql.resize(x, scales=inputs["scales"], sizes=inputs["sizes"], **attributes)
    wanted = run("Resize", inputs, **attributes)
    if mode == "nearest":
        same_bits(mine, wanted)
    else:
        within_one_code(mine, wanted, 1.0)


@pytest.mark.parametrize("left", [np.uint8, np.int8])
@pytest.mark.parametrize("seed", range(16))
def test_qgemm(left: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    m, k, n = (int(size) for size in random.integers(1, 40, 3))
    trans = {"transA": seed % 2, "transB": seed // 2 % 2}
    by_column = seed % 3 > 0
    inputs = operand(random, "a", (k, m) if trans["transA"] else (m, k), left)
    inputs |= {
        "b": codes(random, (n, k) if trans["transB"] else (k, n), np.int8, weights=True),
        "b_scale": np.asarray(random.uniform(0.01, 0.03, n if by_column else ()), np.float32),
        "b_zero_point": np.zeros(n if by_column else (), np.int8),
        "c": random.integers(-999, 999, ((n,), (m, n), (m, 1), (1, n))[seed % 4], np.int32),
        "y_scale": None,
        "y_zero_point": None,
    }
    attributes = {"alpha": float(np.float32(random.uniform(0.5, 2))), **trans}
    real = ql.qgemm(*inputs.values(), **attributes)
    same_bits(real, run("QGemm", inputs, domain=CONTRIBUTED, **attributes))
    inputs["y_scale"] = scale_for(real)
    inputs["y_zero_point"] = scalar(np.iinfo(left).min + 120, left)
    mine = ql.qgemm(*inputs.values(), **attributes)
    same_bits(mine, run("QGemm", inputs, domain=CONTRIBUTED, **attributes))
    spread(mine)


@pytest.mark.parametrize("left", [np.uint8, np.int8])
@pytest.mark.parametrize("seed", range(30))
def test_conv_transpose(left: Any, seed: int) -> None:
    """Of float32 numbers that are integers, so few that the sums are exact."""
    random = np.random.default_rng(seed)
    rank, group = 1 + seed % 3, int(random.choice([1, 1, 2, 3]))
    kernel, strides = random.integers(1, 5, rank), random.integers(1, 4, rank)
    dilations = random.integers(1, 3, rank)
    reach = (kernel - 1) * dilations + 1
    attributes: dict[str, Any] = {
        "group": group,
        "strides": strides.tolist(),
        "dilations": dilations.tolist(),
        "output_padding": [int(random.integers(0, s)) for s in strides],
    }
    spatial = random.integers(1, 6, rank)
    if seed % 5 == 4:
        # Where kernels do not reach from one pixel to the next, ONNX Runtime leaves out the end.
        attributes["strides"] = np.minimum(strides, reach).tolist()
        attributes["auto_pad"] = ("SAME_UPPER", "SAME_LOWER")[seed % 2]
        attributes["output_padding"] = [0] * rank
    else:
        attributes["pads"] = [int(random.integers(0, (r + 1) // 2)) for r in (*reach, *reach)]
    x = codes(random, (2, group * 2, *spatial), left)
    w = codes(random, (group * 2, 3, *kernel), np.int8) // 8
    zero = codes(random, (), left)
    real = {"x": x.astype(np.float32) - np.float32(zero), "w": w.astype(np.float32)}
    wanted = run("ConvTranspose", real, **attributes)
    mine = ql.qlinear_conv_transpose(x, 1.0, zero, w, 1.0, 0, None, None, **attributes)
    same_bits(mine + np.float32(0), wanted + np.float32(0))
