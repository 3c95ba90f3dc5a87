"""What is compared: the words that the benchmarks describe their cases in, and what is let in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quantlib.benchmark.stopwatch import Contender

FLOAT_TOLERANCE = 1e-4  # of the largest result: float32 sums in another order
BASELINE = "NumPy float32"


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
            result = candidate.read(call())
            allowed = {"steps": candidate.steps, "tolerance": candidate.tolerance}
            verify(candidate.name, result, candidate.expected, **allowed)
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
    tolerance: float = FLOAT_TOLERANCE
    """By what part of the largest one a float result may differ."""
    read: Callable[[Any], Any] = lambda result: result
    """Makes an array of what the call returns. This is not timed."""


def verify(
    name: str, result: Any, expected: Any, steps: float = 0, tolerance: float = FLOAT_TOLERANCE
) -> None:
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
        allowed = tolerance * largest if want.dtype.kind == "f" else steps
        if difference > allowed:
            raise WrongResultError(f"{name} is off by {difference:g}, where {allowed:g} is allowed")
