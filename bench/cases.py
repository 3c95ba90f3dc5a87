"""What is measured: the shapes, and the words that the suites describe their cases in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import Contender

SHAPES = Path(__file__).resolve().parent / "shapes"
FLOAT_TOLERANCE = 1e-4  # of the largest result: float32 sums in another order


# --- shapes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MatmulShape:
    """(M, K) @ (K, N)."""

    m: int
    k: int
    n: int

    @property
    def label(self) -> str:
        return f"{self.m},{self.k},{self.n}"

    @property
    def operations(self) -> int:
        return 2 * self.m * self.k * self.n


@dataclass(frozen=True)
class ConvShape:
    """A two-dimensional convolution, the same along both spatial axes."""

    batch: int
    channels: int
    height: int
    width: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    pad: int = 0
    group: int = 1

    @property
    def label(self) -> str:
        text = f"{self.batch},{self.channels},{self.height},{self.width} -> {self.out_channels}"
        for name, default in (("kernel", 1), ("stride", 1), ("pad", 0), ("group", 1)):
            value = getattr(self, name)
            text += f" {name}={value}" if value != default else ""
        return text

    @property
    def depthwise(self) -> bool:
        return self.group == self.channels == self.out_channels

    @property
    def out_extent(self) -> tuple[int, int]:
        height, width = (
            (extent + 2 * self.pad - self.kernel) // self.stride + 1
            for extent in (self.height, self.width)
        )
        return height, width

    @property
    def operations(self) -> int:
        height, width = self.out_extent
        products = self.channels // self.group * self.kernel**2
        return 2 * self.batch * height * width * self.out_channels * products


def matmul_shapes() -> list[MatmulShape]:
    return [MatmulShape(*_integers(line)) for line in _lines("matmul")]


def conv_shapes() -> list[ConvShape]:
    return [_conv_shape(line) for line in _lines("conv")]


def elementwise_sizes() -> list[int]:
    return [int(line) for line in _lines("elementwise")]


def _conv_shape(line: str) -> ConvShape:
    extents, _, rest = line.partition("->")
    out_channels, *options = rest.split()
    batch, channels, height, width = _integers(extents)
    named = dict(map(_option, options))
    return ConvShape(batch, channels, height, width, int(out_channels), **named)


def _option(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(kernel|stride|pad|group)=(\d+)", text)
    if found is None:
        raise ValueError(f"a convolution's option is {text!r}; it must be like 'kernel=3'")
    return found[1], int(found[2])


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _lines(suite: str) -> Iterator[str]:
    """The lines of a file of shapes, without comments."""
    for line in (SHAPES / f"{suite}.txt").read_text(encoding="utf-8").splitlines():
        content = line.partition("#")[0].strip()
        if content:
            yield content


# --- cases ----------------------------------------------------------------------------------------


class WrongResultError(Exception):
    """A contender's result is not the one that its operation defines."""


@dataclass(frozen=True)
class Race:
    """One operation of quantlib, and the peers that do the same work."""

    ours: Contender
    peers: tuple[Contender, ...] = ()


@dataclass(frozen=True)
class Case:
    """A shape: everything in it is timed together, in turns.

    `work` is what a rate counts: operations, or elements. Element-wise cases also say how many
    bytes they read and write, and bring a copy along to compare that with.
    """

    suite: str
    shape: str
    work: int
    baseline: Contender
    races: tuple[Race, ...]
    bytes_moved: int = 0
    copy: Contender | None = None
    copy_bytes: int = 0

    @property
    def contenders(self) -> list[Contender]:
        """All that run, each once."""
        every = [self.baseline]
        every += [race.ours for race in self.races]
        every += [peer for race in self.races for peer in race.peers]
        every += [self.copy] if self.copy else []
        return list({contender.name: contender for contender in every}.values())


@dataclass
class Admission:
    """Lets contenders run whose results are right.

    A wrong result of quantlib or of the baseline ends the benchmark. A peer that is wrong, or
    that cannot do the work here, stays out, and `notes` says so.
    """

    notes: list[str] = field(default_factory=list)

    def required(self, name: str, call: Callable[[], Any], expected: Any) -> Contender:
        verify(name, call(), expected)
        return Contender(name, call)

    def peers(self, candidates: Iterable[Candidate]) -> tuple[Contender, ...]:
        return tuple(
            Contender(candidate.name, call)
            for candidate in candidates
            if (call := self._admitted(candidate)) is not None
        )

    def _admitted(self, candidate: Candidate) -> Callable[[], Any] | None:
        try:
            call = candidate.prepare()
            verify(candidate.name, call(), candidate.expected, steps=candidate.steps)
        except Exception as error:  # whatever a foreign engine raises is its own affair
            reason = str(error).strip().partition("\n")[0]
            self.notes.append(f"{candidate.name} left out: {type(error).__name__}: {reason}")
            return None
        return call


@dataclass(frozen=True)
class Candidate:
    """A peer that may take part: how to prepare its call, and what it must return."""

    name: str
    prepare: Callable[[], Callable[[], Any]]
    expected: Any
    steps: int = 0
    """By how many codes an integer result may differ: engines round ties differently."""


def verify(name: str, result: Any, expected: Any, steps: int = 0) -> None:
    """Raises WrongResultError unless integers are equal (within `steps`) and floats are close."""
    results = result if isinstance(result, tuple) else (result,)
    expecteds = expected if isinstance(expected, tuple) else (expected,)
    for got, want in zip(map(np.asarray, results), map(np.asarray, expecteds), strict=True):
        if got.shape != want.shape or got.dtype != want.dtype:
            raise WrongResultError(
                f"{name} returned {got.dtype} {got.shape} instead of {want.dtype} {want.shape}"
            )
        if np.array_equal(got, want):
            continue
        if not np.all(np.isfinite(got)):
            raise WrongResultError(f"{name} returned a value that is not finite")
        difference = float(np.abs(got.astype(np.float64) - want).max(initial=0.0))
        largest = float(np.abs(want.astype(np.float64)).max(initial=0.0))
        allowed = FLOAT_TOLERANCE * largest if want.dtype.kind == "f" else steps
        if difference > allowed:
            raise WrongResultError(f"{name} is off by {difference:g}, where {allowed:g} is allowed")
