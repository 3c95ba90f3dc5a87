"""No operation reads or writes past an array, by a single byte.

Every array, result included, ends where a page begins that may not be touched, and then begins
where such a page ends; inputs lie on pages that may not be written. An access outside kills the
process, so each instruction set runs in one of its own: ``python test_memory.py avx2``, which
prints what it is about to do before it does it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import quantlib as ql
from quantlib import _native

Array = np.ndarray[Any, Any]

NO_ACCESS, READ_ONLY = 0, 1  # PROT_NONE, PROT_READ
WIDTHS = (*range(10), 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 127, 128, 129, 255, 257)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs mprotect")
@pytest.mark.parametrize("isa", ql.cpu.available_isas())
def test_nothing_past_an_array_is_touched(isa: str) -> None:
    run = subprocess.run(
        [sys.executable, __file__, isa], capture_output=True, text=True, timeout=120, check=False
    )
    steps = run.stdout.splitlines()
    assert run.returncode == 0, f"at: {steps[-1] if steps else 'start'}\n{run.stderr[-3000:]}"
    assert steps[-1] == "done"
    assert len(steps) > 500


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs mprotect")
@pytest.mark.parametrize("offset", ["-1", "64"])
def test_the_guard_pages_catch_one_byte(offset: str) -> None:
    """A read one byte in front of, or behind, a guarded array does end the process."""
    run = subprocess.run([sys.executable, __file__, "read", offset], timeout=60, check=False)
    assert run.returncode != 0


# --- arrays between guard pages -----------------------------------------------------------------


def between_guards(shape: tuple[int, ...], dtype: Any, *, at_end: bool) -> tuple[Array, Callable]:
    """A writable array that ends (or begins) at a page without access, and what locks it."""
    page, size = mmap.PAGESIZE, int(np.prod(shape)) * np.dtype(dtype).itemsize
    inner = max(-(-size // page), 1) * page
    memory = np.frombuffer(mmap.mmap(-1, inner + 2 * page), np.uint8)
    first = memory.ctypes.data
    _protect(first, page, NO_ACCESS)
    _protect(first + page + inner, page, NO_ACCESS)
    start = page + inner - size if at_end else page
    array = memory[start : start + size].view(dtype).reshape(shape)
    return array, lambda: _protect(first + page, inner, READ_ONLY)


def _protect(address: int, size: int, access: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if libc.mprotect(address, size, access) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")


def guarded(value: Any, at_end: bool) -> Any:
    """A read-only copy of an array between guard pages; anything else as it is."""
    if isinstance(value, ql.QuantParams):
        return value  # owns its arrays
    if not isinstance(value, np.ndarray):
        return value
    copy, lock = between_guards(value.shape, value.dtype, at_end=at_end)
    copy[...] = value
    lock()
    return copy


def own_between_guards(array: Array, dtype: Any) -> Array:
    """What `_native` copies parameters of columns and rows with, between guard pages."""
    copy, lock = between_guards(array.shape, dtype, at_end=True)
    copy[...] = array
    lock()
    return copy


def check(name: str, arguments: dict[str, Any], call: dict[str, Any] | None = None) -> None:
    """Runs an operation with every array at the end, then at the beginning, of its pages."""
    shapes = {k: v.shape for k, v in arguments.items() if isinstance(v, np.ndarray)}
    print(name, shapes, flush=True)
    wanted = _run(ql.reference, name, arguments, call)
    for at_end in (True, False):
        mine = {key: guarded(value, at_end) for key, value in arguments.items()}
        calling = call and {key: guarded(value, at_end) for key, value in call.items()}
        results = _run(ql, name, mine, calling)
        for result, expected in zip(results, wanted, strict=True):
            assert result.tobytes() == expected.tobytes(), (name, shapes)
        if len(wanted) > 1:
            continue
        out, _ = between_guards(wanted[0].shape, wanted[0].dtype, at_end=at_end)
        if call is None:
            mine["out"] = out
        else:
            calling["out"] = out
        _run(ql, name, mine, calling)
        assert out.tobytes() == wanted[0].tobytes(), (name, shapes, "out")


def _run(layer: Any, name: str, arguments: dict[str, Any], call: dict[str, Any] | None) -> Any:
    operation = getattr(layer, name)
    result = operation(**arguments) if call is None else operation(**arguments)(**call)
    return result if isinstance(result, tuple) else (result,)


# --- the operations -----------------------------------------------------------------------------


def parameters(random: Any, shape: tuple[int, ...], real: Any, qtype: str) -> Iterator[Any]:
    """Per-tensor, per-channel and blocked parameters for data of this shape."""
    kind = ql.QType(qtype)
    yield ql.QuantParams(real(0.05), random.integers(kind.qmin, kind.qmax), kind)
    for axis in range(len(shape)):
        scale = random.uniform(0.01, 0.1, shape[axis]).astype(real)
        zero_point = random.integers(kind.qmin, kind.qmax, shape[axis])
        yield ql.QuantParams(scale, zero_point, kind, axis=axis)
        blocks = tuple(-(-n // 3) if i == axis else n for i, n in enumerate(shape))
        scale = random.uniform(0.01, 0.1, blocks).astype(real)
        yield ql.QuantParams(scale, 1, kind, axis=axis, block_size=3)


def affine(random: Any) -> None:
    types = ("int8", "uint8", "int16", "uint16", "int4")
    for width in WIDTHS:
        real = np.float64 if width % 3 == 0 else np.float32
        qtype = types[width % len(types)]
        for shape in ((width,), (3, width), (width, 2)):
            x = random.normal(0, 3, shape).astype(real)
            codes = random.integers(0, 8, shape).astype(ql.QType(qtype).dtype)
            for params in parameters(random, shape, real, qtype):
                check("quantize", {"x": x, "params": params})
                check("fake_quantize", {"x": x, "params": params})
                check("dequantize", {"codes": codes, "params": params})
        check("clip", {"x": x, "lower": -1.0, "upper": 1.0})
        check("dynamic_quantize_linear", {"x": x.astype(np.float32)})
        scale = random.uniform(0.01, 0.1, 2).astype(real)
        zero_point = np.array([1, 2], ql.QType("uint8").dtype)
        check("quantize_linear", {"x": x, "y_scale": scale, "y_zero_point": zero_point})
        check("dequantize_linear", {"x": x.astype(np.int32), "x_scale": scale})
        if width:
            for axis in (None, 0, 1):
                block_size = None if axis is None or width % 2 else 3
                check("min_max", {"x": x, "axis": axis, "block_size": block_size})
        acc = random.integers(-(10**5), 10**5, (2, width), np.int32)
        for multiplier in (np.float32(0.003), np.full(width, 0.001, np.float32)):
            arguments = {"acc": acc, "multiplier": multiplier, "zero_point": np.uint8(3)}
            check("requantize", arguments)
            acc, arguments["axis"] = acc.T.copy(), 0
            check("requantize", arguments | {"acc": acc})
            acc = acc.T.copy()


def codes(random: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max + 1, shape).astype(dtype)


def products(random: Any) -> None:
    for turn in range(160):
        m = int(random.choice((1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 25, 33, 70)))
        k, n = (int(random.choice(WIDTHS)) for _ in range(2))
        if turn % 40 == 0:  # large enough for several threads
            m, k, n = 301 + turn, 259 + turn, 317
        left, right = random.choice((np.int8, np.uint8), 2)
        a, b = codes(random, (m, k), left), codes(random, (k, n), right)
        za = codes(random, ((), (m,), (m, 1))[turn % 3], left)
        zb = codes(random, ((), (n,))[turn // 3 % 2], right)
        if turn % 2:
            zb = zb * right(0)  # rows may be read where they are
        check("matmul_integer", {"a": a, "b": b, "a_zero_point": za, "b_zero_point": zb})
        check("MatMulInteger", {"b": b, "b_zero_point": zb}, {"a": a, "a_zero_point": za})
        stage = {
            "a_scale": np.float32(0.1),
            "a_zero_point": za if za.ndim == 0 else None,
            "b_scale": random.uniform(0.001, 0.01, n).astype(np.float32),
            "b_zero_point": zb,
            "y_scale": (None, np.float32(1.0))[turn % 2],
            "bias": random.integers(-999, 999, n, np.int32),
        }
        if turn % 4 == 0:
            stage["bias"] = random.uniform(-99, 99, n).astype(np.float32)
        check("QLinearMatMul", {"b": b, **stage}, {"a": a})
        real = random.normal(0, 1, (m, k)).astype((np.float32, np.float64)[turn // 5 % 2])
        dynamic = {"b": b, "b_scale": stage["b_scale"], "b_zero_point": zb, "per_row": turn % 3 > 0}
        check("DynamicQuantizeMatMul", dynamic, {"a": real})
        per_row = {"a_scale": np.full(m, 0.1, np.float32), "y_zero_point": None}
        check("qlinear_matmul", {"a": a, "b": b, **stage, **per_row})


def convolutions(random: Any) -> None:
    for turn in range(120):
        rank, group = 1 + turn % 3, int(random.choice((1, 1, 2, 3, 16, 17, 100)))
        each = (1, int(random.integers(1, 6)))[turn % 2]
        channels, outputs = group * each, group * (1, int(random.integers(1, 20)))[turn % 2]
        kernel = tuple(random.integers(1, 4, rank).tolist())
        spatial = tuple(random.integers(3, 7, rank).tolist())
        left, right = random.choice((np.int8, np.uint8), 2)
        layout = ("NCHW", "NHWC")[turn // 2 % 2]
        shape = (2, channels, *spatial) if layout == "NCHW" else (2, *spatial, channels)
        geometry = {
            "group": group,
            "pads": random.integers(0, 3, 2 * rank).tolist(),
            "strides": random.integers(1, 3, rank).tolist(),
            "layout": layout,
        }
        x, w = codes(random, shape, left), codes(random, (outputs, each, *kernel), right)
        zx, zw = codes(random, (), left), codes(random, ((), (outputs,))[turn % 2], right)
        given = {"x_zero_point": zx, "w_zero_point": zw, **geometry}
        check("conv_integer", {"x": x, "w": w, **given})
        given |= {
            "x_scale": np.float32(0.1),
            "w_scale": random.uniform(0.001, 0.01, outputs).astype(np.float32),
            "y_scale": (None, np.float32(1.0))[turn // 3 % 2],
            "b": random.integers(-999, 999, outputs, np.int32),
        }
        if turn // 3 % 4 == 0:
            given["b"] = random.uniform(-99, 99, outputs).astype(np.float32)
        check("QLinearConv", {"w": w, **given}, {"x": x})
        check("qlinear_conv", {"x": x, "w": w, "y_zero_point": None, **given})


def layers(random: Any) -> None:
    for width in WIDTHS:
        for shape, other in (((width,), (width,)), ((3, width), (width,)), ((3, width), (3, 1))):
            left, right = random.choice((np.int8, np.uint8), 2)
            pair = {
                "a": codes(random, shape, left),
                "a_scale": 0.1,
                "a_zero_point": codes(random, (), left),
                "b": codes(random, other, right),
                "b_scale": 0.2,
                "b_zero_point": codes(random, (), right),
                "y_scale": 0.3,
                "y_zero_point": None,
            }
            check("qlinear_add", pair)
            check("qlinear_mul", pair)
        x = codes(random, (2, width), np.uint8)
        scales = {"x_scale": 0.1, "x_zero_point": 3, "y_scale": 0.2, "y_zero_point": np.int8(7)}
        check("qlinear_sigmoid", {"x": x, **scales})
        check("qlinear_softmax", {"x": x, **scales})
        if width:
            for mode in ("nearest", "linear"):
                check("resize", {"x": x, "sizes": (3, width + 2), "mode": mode})
                check("resize", {"x": x, "sizes": (5, width), "mode": mode})
    for turn in range(60):
        rank = 1 + turn % 3
        spatial = tuple(random.integers(3, 40 if rank == 1 else 9, rank).tolist())
        inner = int(random.choice(WIDTHS[:12]))
        layout = ("NCHW", "NHWC")[turn % 2]
        shape = (2, 3, *spatial) if layout == "NCHW" else (2, *spatial, inner)
        geometry = {
            "kernel_shape": random.integers(1, 4, rank).tolist(),
            "pads": random.integers(0, 3, 2 * rank).tolist(),
            "strides": random.integers(1, 4, rank).tolist(),
            "layout": layout,
        }
        x = codes(random, shape, np.uint8)
        w = codes(random, (shape[1 if layout == "NCHW" else -1], 5, *(2,) * rank), np.int8)
        ups = {"w": w, "w_scale": 0.1, "w_zero_point": 3, "strides": geometry["strides"]}
        check("qlinear_conv_transpose", {"x": x, **ups, **scales, "layout": layout})
        check("max_pool", {"x": x, **geometry})
        check("max_pool", {"x": x.view(np.int8), **geometry})
        check("qlinear_average_pool", {"x": x, **scales, **geometry})
        check("qlinear_global_average_pool", {"x": x, **scales, "layout": layout})


def reals(random: Any) -> None:
    """Layers of float32, which only models have."""
    calls: dict[str, Callable[..., None]] = {
        "activate": lambda x, row, y: _native.activate("gelu", x, y),
        "real_softmax": lambda x, row, y: _native.real_softmax(x, y),
        "layer_norm": lambda x, row, y: _native.layer_norm(x, row, row, 1e-5, y),
        "local_norm": lambda x, row, y: _native.LocalNorm(5, 0.1, 1.0, 0.75).run(x, y),
    }
    for width in WIDTHS:
        x, row = (random.normal(size=(*n, width)).astype(np.float32) for n in ((3,), ()))
        for name, call in calls.items():
            print(name, width, flush=True)
            wanted = np.empty_like(x)
            call(x, row, wanted)
            for at_end in (True, False):
                y, _ = between_guards(x.shape, x.dtype, at_end=at_end)
                call(guarded(x, at_end), guarded(row, at_end), y)
                assert y.tobytes() == wanted.tobytes(), (name, width)
        local_norm_of_codes(codes(random, (3, width), np.uint8))


def local_norm_of_codes(x: Array) -> None:
    norm, wanted = _native.LocalNorm(5, 0.1, 1.0, 0.75), np.empty_like(x)
    norm.run_codes(x, (0.1, 9), wanted, (0.05, 3))
    for at_end in (True, False):
        y, _ = between_guards(x.shape, x.dtype, at_end=at_end)
        norm.run_codes(guarded(x, at_end), (0.1, 9), y, (0.05, 3))
        assert y.tobytes() == wanted.tobytes(), x.shape


def transpositions(random: Any) -> None:
    """Of matrices of bytes and words, with few rows and with many."""
    for rows in (1, 2, 3, 4, 5, 16, 17):
        for columns in (1, 15, 16, 17, 33, 70):
            for dtype in (np.uint8, np.uint32):
                x = codes(random, (3, rows, columns), dtype)
                for at_end in (True, False):
                    y, _ = between_guards((3, columns, rows), x.dtype, at_end=at_end)
                    _native.transpose(guarded(x, at_end), y)
                    assert np.array_equal(y, x.swapaxes(1, 2)), (rows, columns)


def main(isa: str) -> None:
    faulthandler.enable()
    _native.select_isa(isa)
    _native.own = own_between_guards
    for part in (affine, products, convolutions, layers, reals, transpositions):
        part(np.random.default_rng(7))
    print("done")


if __name__ == "__main__":
    if sys.argv[1] == "read":
        bytes_, _ = between_guards((64,), np.uint8, at_end=sys.argv[2] == "64")
        ctypes.string_at(bytes_.ctypes.data + int(sys.argv[2]), 1)
    else:
        main(sys.argv[1])
