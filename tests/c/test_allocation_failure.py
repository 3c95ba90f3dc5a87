"""Every allocation of the C core fails once; each time there is a MemoryError and nothing is lost.

A preloaded malloc (failing_malloc.c) fails the N-th call that comes from the compiled module, for
N = 1, 2, ... until the operation succeeds. ``python test_allocation_failure.py avx2 1`` is one
process of the test: an instruction set and a number of threads. With ``memory`` in front it
measures instead what convolutions allocate.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantlib as ql
from quantlib import _native

SOURCE = Path(__file__).with_name("failing_malloc.c")
COMPILER = shutil.which("gcc") or shutil.which("cc")


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not sys.platform.startswith("linux"):
        pytest.skip("a library is preloaded in this way on Linux only")
    if COMPILER is None:
        pytest.skip("there is no C compiler to build the failing malloc with")
    library = tmp_path_factory.mktemp("malloc") / "failing_malloc.so"
    command = [COMPILER, "-O1", "-fPIC", "-shared", str(SOURCE), "-o", str(library), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("isa", ql.cpu.available_isas())
def test_every_allocation_may_fail(isa: str, threads: str, preloaded: Path) -> None:
    if "LD_PRELOAD" in os.environ:
        pytest.skip("another library is preloaded, a sanitizer's for instance")
    run = subprocess.run(
        [sys.executable, __file__, isa, threads],
        env=os.environ | {"LD_PRELOAD": str(preloaded)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-500:] + run.stderr[-3000:]
    failures = int(run.stdout.splitlines()[-1])
    assert failures >= 15  # with fewer, the module's calls are not seen


# The most that a convolution may need for each thread, besides its input, output and weights.
MOST_BYTES = 1 << 20
# Channels, output channels, groups, kernel, stride, extent: 3 MB to 9 MB of patches.
LARGE_CONVOLUTIONS = {
    "few channels": (3, 64, 1, 7, 2, 300),
    "overlapping patches": (64, 64, 1, 3, 1, 90),
    "patches side by side": (64, 96, 1, 3, 2, 160),
    "pointwise": (512, 32, 1, 1, 1, 80),
    "deep": (512, 64, 1, 3, 1, 28),
    "long lines": (16, 16, 1, 3, 1, 150),
    "narrow groups": (64, 64, 16, 3, 1, 90),
}


@pytest.mark.parametrize("isa", ql.cpu.available_isas())
def test_convolutions_have_no_matrix_of_patches(isa: str, preloaded: Path) -> None:
    if "LD_PRELOAD" in os.environ:
        pytest.skip("another library is preloaded, a sanitizer's for instance")
    run = subprocess.run(
        [sys.executable, __file__, "memory", isa, "1"],
        env=os.environ | {"LD_PRELOAD": str(preloaded)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-500:] + run.stderr[-3000:]
    allocated = [int(line.split()[0]) for line in run.stdout.splitlines()]
    assert len(allocated) == 2 * len(LARGE_CONVOLUTIONS)
    assert min(allocated) > 100  # with less, the module's calls are not seen
    assert max(allocated) <= MOST_BYTES, run.stdout


def _measure(isa: str, threads: int) -> None:
    """Prints the bytes that each large convolution allocates, on a thread that has kept none."""
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    _native.select_isa(isa)
    ql.set_num_threads(threads)
    for name, (channels, out, group, kernel, stride, extent) in LARGE_CONVOLUTIONS.items():
        w = np.ones((out, channels // group, kernel, kernel), np.int8)
        for layout in ("NHWC", "NCHW"):
            layer = ql.QLinearConv(
                w, 0.1, x_scale=0.1, y_scale=1.0, strides=(stride, stride), group=group,
                layout=layout,
            )  # fmt: skip
            x = np.ones((1, channels, extent, extent), np.uint8)
            x = x if layout == "NCHW" else x.reshape(1, extent, extent, channels)
            pixels = ((extent - kernel) // stride + 1) ** 2
            assert pixels * channels * kernel**2 > 2 * MOST_BYTES  # a matrix of them would show
            held = shim.held_bytes()
            shim.most_held_bytes()
            call = threading.Thread(target=layer, args=(x,))
            call.start()
            call.join()
            print(shim.most_held_bytes() - held, name, layout)
            while shim.held_bytes() > held:  # the thread, which ends a moment after it is joined
                time.sleep(0.001)


def _calls() -> dict[str, Callable[[], Any]]:
    """A call for every path that allocates."""
    random = np.random.default_rng(3)

    def codes(shape: tuple[int, ...], dtype: Any) -> Any:
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max + 1, shape).astype(dtype)

    a, b = codes((300, 70), np.uint8), codes((70, 300), np.int8)
    x, w = codes((1, 40, 40, 32), np.uint8), codes((32, 16, 3, 3), np.int8)
    reals, channels = random.normal(size=(50, 3, 2)), np.float64([0.5, 1.0, 2.0])
    rows = codes((300,), np.uint8)
    pointwise, depthwise = codes((8, 32, 1, 1), np.int8), codes((32, 1, 3, 3), np.int8)
    widening = codes((64, 16, 3, 3), np.int8)
    prepared, dynamic = ql.MatMulInteger(b), ql.DynamicQuantizeMatMul(b, 0.1, per_row=True)
    large = random.normal(size=(300, 70)).astype(np.float32)

    def local_norm() -> Any:
        y = np.empty_like(large)
        _native.LocalNorm(5, 0.1, 1.0, 0.75).run(large, y)
        return y

    layer = ql.QLinearConv(w, 1.0, x_scale=0.5, y_scale=99.0, group=2, layout="NHWC")
    return {
        "product": lambda: ql.matmul_integer(a, b),
        "batched product": lambda: ql.matmul_integer(np.stack([a, a]), np.stack([b, b])),
        "zero points of rows": lambda: prepared(a, rows),
        "product of reals": lambda: dynamic(large),
        "convolution": lambda: ql.conv_integer(x, widening, group=2, layout="NHWC"),
        "groups": lambda: ql.conv_integer(x, w, group=2, layout="NHWC"),
        "prepared convolution": lambda: layer(x),
        "unpacked convolution": lambda: layer.__reduce__()[1][1]["w"],
        "channels first": lambda: ql.conv_integer(x.transpose(0, 3, 1, 2), widening, group=2),
        "groups, channels first": lambda: ql.conv_integer(x.transpose(0, 3, 1, 2), w, group=2),
        "pointwise": lambda: ql.conv_integer(x, pointwise, layout="NHWC"),
        "planes": lambda: ql.conv_integer(x.transpose(0, 3, 1, 2), pointwise),
        "planes that a residual passes by": lambda: ql.qlinear_conv(
            x.transpose(0, 3, 1, 2),
            0.1,
            3,
            pointwise,
            0.1,
            None,
            9.0,
            np.uint8(9),
            residual=x[..., :8].transpose(0, 3, 1, 2),
            residual_scale=0.1,
        ),
        "depthwise": lambda: ql.conv_integer(x, depthwise, group=32, layout="NHWC"),
        "depthwise, channels first": lambda: ql.conv_integer(
            x.transpose(0, 3, 1, 2), depthwise, group=32
        ),
        "local normalization": local_norm,
        "channels": lambda: ql.quantize_linear(reals, channels),
    }


def main(isa: str, threads: int) -> None:
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    _native.select_isa(isa)
    ql.set_num_threads(threads)
    total = 0
    for name, call in _calls().items():
        wanted, live = call().tobytes(), shim.live_mallocs()
        call_number = 0
        while True:
            call_number += 1
            shim.fail_malloc_at(call_number)
            try:
                assert call().tobytes() == wanted, name
                raised = False
            except MemoryError:
                raised = True
            failed = shim.failed_mallocs()
            shim.fail_malloc_at(0)
            if not failed:
                break
            total += 1
            # With threads a call may do without what it did not get, alone or with less scratch.
            assert raised or threads > 1, f"{name}: malloc {call_number} failed unnoticed"
            if threads == 1:
                assert shim.live_mallocs() == live, f"{name}: malloc {call_number} leaked"
            assert call().tobytes() == wanted, name
    print(total)


if __name__ == "__main__":
    run = _measure if sys.argv[1] == "memory" else main
    run(sys.argv[-2], int(sys.argv[-1]))
