"""A million calls from eight Python threads, and forks in the middle of them.

    python tests/stress.py                              # some minutes
    python tests/stress.py --calls 20000 --forks 3      # some seconds

Every call is one of a few hundred that were made beforehand: all kinds of operations, on small
arrays mostly, some large enough to use the pool. Its result must have the bits that
`quantlib.reference` has. While the threads compute, the process forks now and then, and the child
makes the same calls. Reported are the calls, wrong results, what became of the children, and the
resident memory when half of the calls were made and at the end. Exits with 1 if anything is
wrong, and with 1 too if it took longer than it may: a deadlock does not go on forever.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import itertools
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import quantlib as ql

Array = np.ndarray[Any, Any]

SECONDS_TO_ANSWER = 60.0  # of a forked child; it needs a second
GROWTH = 8_000_000  # bytes in the second half of the calls: 16 in each of a million would be it
CODE_TYPES = (np.int8, np.uint8)


@dataclass(frozen=True)
class Job:
    """A call, and the bits that it must return."""

    name: str
    call: Callable[[], Any]
    wanted: bytes

    def is_right(self) -> bool:
        return bits(self.call()) == self.wanted


def bits(result: Any) -> bytes:
    """Of an array or of several."""
    several = result if isinstance(result, tuple) else (result,)
    return b"".join(array.tobytes() for array in several)


Kind = Callable[[Any, int], Job]
"""Makes a call of one kind: from a generator of random numbers, and how large it is to be."""


# --- what is called -------------------------------------------------------------------------------


def make_jobs(count: int, large: int = 0, seed: int = 0) -> list[Job]:
    """`count` calls of small shapes, and so many rounds of large ones, which threads share."""
    draw = np.random.default_rng(seed)
    kinds = itertools.cycle(KINDS)
    jobs = [next(kinds)(draw, 1) for _ in range(count)]
    return jobs + [kind(draw, 12) for _ in range(large) for kind in KINDS]


def _job(name: str, *arguments: Any, then: Any = None, **named: Any) -> Job:
    """A function of quantlib, or, with `then`, a prepared operation called with that.

    Every other one writes into a new array of the caller's.
    """

    def made(layer: Any) -> Callable[..., Any]:
        operation = getattr(layer, name)
        if then is None:
            return lambda **more: operation(*arguments, **named, **more)
        prepared = operation(*arguments, **named)
        return lambda **more: prepared(*then, **more)

    wanted, fast = made(ql.reference)(), made(ql)
    if next(_parity) % 2 or isinstance(wanted, tuple):
        return Job(name, fast, bits(wanted))
    shape, dtype = wanted.shape, wanted.dtype
    return Job(name, lambda: fast(out=np.empty(shape, dtype)), bits(wanted))


_parity = itertools.count()


def _codes(draw: Any, shape: tuple[int, ...], dtype: Any = None) -> Array:
    limits = np.iinfo(dtype or CODE_TYPES[draw.integers(2)])
    return draw.integers(limits.min, limits.max, shape, limits.dtype, endpoint=True)


def _extents(draw: Any, count: int, scale: int) -> list[int]:
    return (draw.integers(1, 33, count) * scale).tolist()


def _reals(draw: Any, scale: int) -> Array:
    return draw.normal(size=_extents(draw, 2, 2 * scale)).astype(np.float32)


def _operands(draw: Any, scale: int) -> tuple[Array, Array]:
    m, k, n = _extents(draw, 3, scale)
    return _codes(draw, (m, k)), _codes(draw, (k, n))


def _integer_product(draw: Any, scale: int) -> Job:
    a, b = _operands(draw, scale)
    zero_points = _codes(draw, (), a.dtype), _codes(draw, b.shape[1:], b.dtype)
    return _job("matmul_integer", a, b, *zero_points)


def _prepared_integer_product(draw: Any, scale: int) -> Job:
    a, b = _operands(draw, scale)
    return _job("MatMulInteger", b, then=(a, _codes(draw, (), a.dtype)))


def _quantized_product(draw: Any, scale: int) -> Job:
    a, b = _operands(draw, scale)
    return _job("qlinear_matmul", a, 0.1, None, b, 0.02, None, 3.0, np.uint8(128))


def _prepared_quantized_product(draw: Any, scale: int) -> Job:
    a, b = _operands(draw, scale)
    scales = draw.uniform(0.01, 0.02, b.shape[1]).astype(np.float32)
    y_scale = None if draw.integers(2) else 2.0  # float32 or 8-bit results
    return _job("QLinearMatMul", b, scales, a_scale=0.1, y_scale=y_scale, then=(a,))


def _dynamic_product(draw: Any, scale: int) -> Job:
    b = _operands(draw, scale)[1]
    a = draw.normal(size=(*_extents(draw, 1, scale), len(b))).astype(np.float32)
    return _job("DynamicQuantizeMatMul", b, 0.02, per_row=bool(draw.integers(2)), then=(a,))


def _dynamic_product(draw: Any, scale: int) -> Job:
    """Prepared or not, by chance."""
    a = _reals(draw, scale)
    b = _codes(draw, (a.shape[1], *_extents(draw, 1, scale)))
    b_scale = draw.uniform(0.01, 0.02, b.shape[1]).astype(np.float32)
    by_row = bool(draw.integers(2))
    if draw.integers(2):
        return _job("DynamicQuantizeMatMul", b, b_scale, per_row=by_row, then=(a,))
    return _job("dynamic_quantize_matmul", a, b, b_scale, per_row=by_row)


def _layer(draw: Any, scale: int) -> tuple[Array, Array, dict[str, Any]]:
    """An image, weights and a geometry, depthwise every third time."""
    channels, height, width, outputs = (draw.integers(1, 9, 4) * (4 if scale > 1 else 1)).tolist()
    depthwise = draw.integers(3) == 0
    group = channels if depthwise else 1
    outputs = channels if depthwise else outputs
    x = _codes(draw, (1, channels, height + 2, width + 2))
    w = _codes(draw, (outputs, channels // group, 3, 3))
    return x, w, {"group": group, "pads": [int(draw.integers(2))] * 4}


def _integer_convolution(draw: Any, scale: int) -> Job:
    x, w, geometry = _layer(draw, scale)
    return _job("conv_integer", x, w, _codes(draw, (), x.dtype), **geometry)


def _quantized_convolution(draw: Any, scale: int) -> Job:
    x, w, geometry = _layer(draw, scale)
    return _job("qlinear_conv", x, 0.02, None, w, 0.01, None, 0.5, np.int8(3), **geometry)


def _prepared_convolution(draw: Any, scale: int) -> Job:
    x, w, geometry = _layer(draw, scale)
    return _job("QLinearConv", w, 0.01, x_scale=0.02, y_scale=0.5, then=(x,), **geometry)


def _pool(name: str) -> Kind:
    def kind(draw: Any, scale: int) -> Job:
        x, _, _ = _layer(draw, scale)
        scales = () if name == "max_pool" else (0.02, None, 0.01, None)
        window = {} if "global" in name else {"kernel_shape": [2, 3], "strides": [1, 2]}
        return _job(name, x, *scales, **window)

    return kind


def _of_two(name: str) -> Kind:
    def kind(draw: Any, scale: int) -> Job:
        shape = tuple(_extents(draw, 2, scale))
        a = _codes(draw, shape)
        b = _codes(draw, shape[draw.integers(2) :], a.dtype)  # broadcast, by chance
        return _job(name, a, 0.02, None, b, 0.03, None, 0.05, a.dtype.type(9))

    return kind


def _of_one(name: str) -> Kind:
    def kind(draw: Any, scale: int) -> Job:
        x = _codes(draw, tuple(_extents(draw, 2, scale)))
        return _job(name, x, 0.02, None, 0.03, x.dtype.type(9))

    return kind


def _concat(draw: Any, scale: int) -> Job:
    rows, left, right = _extents(draw, 3, scale)
    parts = [(_codes(draw, (rows, width), np.int8), 0.02, 3) for width in (left, right)]
    return _job("qlinear_concat", 0.03, np.int8(5), parts, axis=1)


def _pad(draw: Any, scale: int) -> Job:
    x = _codes(draw, tuple(_extents(draw, 2, scale)))
    return _job("pad", x, draw.integers(0, 4, 4).tolist(), _codes(draw, (), x.dtype))


def _summarize(draw: Any, scale: int) -> Job:
    return _job("summarize", _reals(draw, scale))


def _params(draw: Any, x: Array) -> ql.QuantParams:
    qtype = ("int8", "uint8", "int4")[draw.integers(3)]
    axis = (None, 0, 1)[draw.integers(3)]
    return ql.QuantParams.from_range(*ql.reference.min_max(x, axis=axis), qtype, axis=axis)


def _quantize(draw: Any, scale: int) -> Job:
    x = _reals(draw, scale)
    return _job("quantize", x, _params(draw, x))


def _fake_quantize(draw: Any, scale: int) -> Job:
    x = _reals(draw, scale)
    return _job("fake_quantize", x, _params(draw, x))


def _dequantize(draw: Any, scale: int) -> Job:
    x = _reals(draw, scale)
    params = _params(draw, x)
    return _job("dequantize", ql.reference.quantize(x, params), params)


def _min_max(draw: Any, scale: int) -> Job:
    return _job("min_max", _reals(draw, scale), axis=int(draw.integers(2)))


def _clip(draw: Any, scale: int) -> Job:
    return _job("clip", _reals(draw, scale), -1.0, 0.5)


def _dynamic_quantize_linear(draw: Any, scale: int) -> Job:
    return _job("dynamic_quantize_linear", _reals(draw, scale))


def _quantize_linear(draw: Any, scale: int) -> Job:
    return _job("quantize_linear", _reals(draw, scale), np.float32(0.05), np.uint8(9))


def _dequantize_linear(draw: Any, scale: int) -> Job:
    codes = _codes(draw, tuple(_extents(draw, 2, scale)))
    return _job("dequantize_linear", codes, np.float32(0.05))


def _requantize(draw: Any, scale: int) -> Job:
    acc = draw.integers(-(10**5), 10**5, _extents(draw, 2, scale), np.int32)
    return _job("requantize", acc, np.float32(0.001), np.uint8(100))


KINDS = (
    _integer_product,
    _prepared_integer_product,
    _quantized_product,
    _prepared_quantized_product,
    _dynamic_product,
    _integer_convolution,
    _quantized_convolution,
    _prepared_convolution,
    *map(_pool, ("max_pool", "qlinear_average_pool", "qlinear_global_average_pool")),
    *map(_of_two, ("qlinear_add", "qlinear_mul")),
    *map(_of_one, ("qlinear_relu", "qlinear_clip", "qlinear_sigmoid", "qlinear_gelu")),
    _concat,
    _pad,
    _summarize,
    _quantize,
    _fake_quantize,
    _dequantize,
    _min_max,
    _clip,
    _dynamic_quantize_linear,
    _quantize_linear,
    _dequantize_linear,
    _requantize,
)


# --- the run --------------------------------------------------------------------------------------


@dataclass
class Report:
    calls: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    children: list[int] = field(default_factory=list)
    memory_halfway: int = 0
    memory_at_the_end: int = 0

    @property
    def growth(self) -> int:
        return self.memory_at_the_end - self.memory_halfway

    @property
    def problems(self) -> list[str]:
        found = [f"wrong or raised: {name}" for name in self.wrong]
        found += [f"a child ended with {status}" for status in self.children if status != 0]
        if self.growth > GROWTH:
            found.append(f"memory grew by {self.growth:,} bytes")
        return found


LARGE_EVERY = 100


def run(jobs: list[Job], large: int, *, calls: int, threads: int, forks: int) -> Report:
    """Makes `calls` of `jobs`, whose last `large` are rare, in so many threads; and forks."""
    report = Report()
    small, rare = jobs[: len(jobs) - large], jobs[len(jobs) - large :]
    counts = [0] * threads

    def work(number: int) -> None:
        choose = random.Random(number)
        try:
            for call in range(calls // threads):
                job = choose.choice(rare if rare and call % LARGE_EVERY == 0 else small)
                if number == 0 and call == calls // threads // 2:
                    report.memory_halfway = resident_bytes()
                if not job.is_right():
                    report.wrong.append(job.name)
                counts[number] += 1
        except BaseException as error:
            report.wrong.append(repr(error))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for _ in _milestones(counts, calls // threads * threads, forks, workers):
        report.children.append(answer_of_a_child(jobs[:: max(1, len(jobs) // 100)] + rare))
    for worker in workers:
        worker.join()
    report.calls, report.seconds = sum(counts), time.perf_counter() - begin
    gc.collect()
    report.memory_at_the_end = resident_bytes()
    return report


def _milestones(
    counts: list[int], calls: int, number: int, workers: list[threading.Thread]
) -> Iterator[None]:
    """Returns each time that a further share of the calls was made, a tenth first."""
    for index in range(number):
        goal = calls * (1 + 9 * index / number) / 10
        while sum(counts) < goal and any(worker.is_alive() for worker in workers):
            time.sleep(0.002)
        yield


def answer_of_a_child(jobs: list[Job], generations: int = 1) -> int:
    """0 if a forked child got the same bits; otherwise its exit status, or minus its signal."""
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork among threads, which is what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 3
        try:
            status = int(not all(job.is_right() for job in jobs))
            if status == 0 and generations > 1:
                status = abs(answer_of_a_child(jobs, generations - 1))
        finally:
            os._exit(status)
    until = time.monotonic() + SECONDS_TO_ANSWER
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--forks", type=int, default=20)
    parser.add_argument("--most-seconds", type=int, default=3600)
    options = parser.parse_args()
    faulthandler.dump_traceback_later(options.most_seconds, exit=True)
    ql.set_num_threads(max(2, ql.get_num_threads()))
    jobs = make_jobs(500, large=2)
    report = run(
        jobs,
        2 * len(KINDS),
        calls=options.calls,
        threads=options.threads,
        forks=options.forks,
    )
    print(
        f"{report.calls:,} calls, of {len(jobs)} different ones, from {options.threads} threads in "
        f"{report.seconds:.0f} s on {ql.cpu.isa()}, {ql.get_num_threads()} threads each; "
        f"{len(report.children)} children; {report.memory_halfway / 1e6:.1f} MB resident "
        f"halfway, {report.memory_at_the_end / 1e6:.1f} MB at the end"
    )
    for problem in report.problems:
        print(problem)
    return int(bool(report.problems))


if __name__ == "__main__":
    sys.exit(main())
