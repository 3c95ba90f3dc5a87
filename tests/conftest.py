"""Hypothesis profiles, and the two fixtures of every oracle test: `isa` and `agree`."""

from __future__ import annotations

import copy
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import numpy as np
import pytest

from quantlib import QType, QuantParams, ops, reference
from quantlib.testing import assert_bit_exact, isas, memory_layouts, use_isa

# Interpreters that tests start import the installed package, not the source folder that they may be
# started in, which has no compiled module.
os.environ["PYTHONSAFEPATH"] = "1"

# `isa` has the scope of a function, but stays the same for all examples of one.
SUPPRESSED = [hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow]

hypothesis.settings.register_profile(
    "users",  # the same examples everywhere and always: a failure here is nobody's bad luck
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=SUPPRESSED,
)
hypothesis.settings.register_profile(
    "ci",  # new examples in every run; a failure prints how to reproduce it
    deadline=None,
    max_examples=1000,
    print_blob=True,
    suppress_health_check=SUPPRESSED,
)
hypothesis.settings.register_profile(
    "long", parent=hypothesis.settings.get_profile("ci"), max_examples=20_000
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "users"))


@pytest.fixture(params=isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once on each instruction set of this machine."""
    with use_isa(request.param):
        yield request.param


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers in every run."""
    return np.random.default_rng(20180615)


def outcome(operation: Callable[..., Any], arguments: Any, keywords: Any) -> Any:
    """What a call returns, or the OverflowError that it raises; other errors are the test's."""
    try:
        return operation(*arguments, **keywords)
    except OverflowError:
        return OverflowError


def contents(values: Any) -> list[bytes]:
    return [value.tobytes() for value in values if isinstance(value, np.ndarray)]


class UnknownError(Exception):
    """An argument is of a kind that `described` does not tell from others."""


PLAIN = (type(None), bool, int, float, str, type, np.dtype, QType)


def described(value: Any) -> Any:
    """What tells an argument from all others: types, values, and how arrays lie in memory."""
    if type(value) in (tuple, list):
        return type(value), *map(described, value)
    if type(value) is dict:
        return tuple((key, described(entry)) for key, entry in value.items())
    if type(value) is np.ndarray and not value.dtype.hasobject:
        digest = hashlib.blake2b(value.tobytes(), digest_size=16).digest()
        return value.dtype.name, value.dtype.str, value.shape, value.strides, digest
    if isinstance(value, np.generic):
        return type(value), value.tobytes()
    if isinstance(value, QuantParams):
        return QuantParams, described(vars(value))
    if isinstance(value, PLAIN):
        return type(value), repr(value)
    raise UnknownError


class Definitions:
    """What definitions returned lately. They are slow, and each instruction set asks for the same
    results again."""

    LARGEST = 2**27  # bytes of results that are kept

    def __init__(self) -> None:
        self._results: OrderedDict[Any, Any] = OrderedDict()
        self._size = 0

    def __call__(self, definition: Callable[..., Any], called: Any, given: Any) -> Any:
        """``definition(*arguments, **keywords)`` of `given`; `called` is what made `definition`."""
        try:
            key = described([called, given])
        except UnknownError:
            return outcome(definition, *given)
        if key not in self._results:
            self._results[key] = outcome(definition, *given)
            self._size += size_of(self._results[key])
        self._results.move_to_end(key)
        while self._size > self.LARGEST and len(self._results) > 1:
            self._size -= size_of(self._results.popitem(last=False)[1])
        return self._results[key]


def size_of(result: Any) -> int:
    """In bytes, with what keeping it costs."""
    arrays = result if isinstance(result, tuple) else (result,)
    return 1000 + sum(getattr(array, "nbytes", 0) for array in arrays)


DEFINED = Definitions()


class Agreement:
    """Calls an operation and its definition; raises unless both give the same bits.

    `agree("quantize", x, p)` compares functions, `agree.prepared("MatMulInteger", b)(a)` compares
    prepared ones. Both return the result, or OverflowError where both raise it. The operation is
    named by a literal string, because test_twins.py reads these calls to see that none is missing.
    """

    def __call__(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        fast, definition = getattr(ops, name), getattr(reference, name)
        return self.compare(fast, definition, name, arguments, keywords)

    def prepared(self, name: str, *arguments: Any, **keywords: Any) -> Callable[..., Any]:
        fast = getattr(ops, name)(*arguments, **keywords)
        definition = getattr(reference, name)(*arguments, **keywords)
        made = copy.deepcopy((name, arguments, keywords))
        return lambda *given, **named: self.compare(fast, definition, made, given, named)

    def written(self, name: str, *arguments: Any, **keywords: Any) -> None:
        """The result goes into any writable array of its shape and type, and no other is taken."""
        for operation in (getattr(ops, name), getattr(reference, name)):
            check_out(
                operation, getattr(reference, name)(*arguments, **keywords), arguments, keywords
            )

    def overlapping(self, name: str, x: np.ndarray, *arguments: Any, **keywords: Any) -> None:
        """`out` may share memory with the first argument: both lie somewhere in it, in place or
        shifted, or one in the other."""
        expected = getattr(reference, name)(x, *arguments, **keywords)
        step = max(x.itemsize, expected.itemsize)
        for operation in (getattr(ops, name), getattr(reference, name)):
            larger = np.empty_like(x if x.nbytes > expected.nbytes else expected)
            memory = larger.reshape(-1).view(np.uint8)
            smaller = placed(memory, 0, expected if x.nbytes > expected.nbytes else x)
            given, out = (larger, smaller) if x.nbytes > expected.nbytes else (smaller, larger)
            given[...] = x
            assert operation(given, *arguments, out=out, **keywords) is out
            assert_bit_exact(out, expected)
            for x_at, out_at in ((0, 0), (0, step), (step, 0), (0, 4 * step), (4 * step, 0)):
                memory = np.empty(x.nbytes + expected.nbytes + 8 * step, np.uint8)
                given, out = placed(memory, x_at, x), placed(memory, out_at, expected)
                given[...] = x
                assert operation(given, *arguments, out=out, **keywords) is out
                assert_bit_exact(out, expected)

    @staticmethod
    def compare(fast: Any, definition: Any, called: Any, arguments: Any, keywords: Any) -> Any:
        inputs = [*arguments, *keywords.values()]
        before = contents(inputs)
        expected = DEFINED(definition, called, (arguments, keywords))
        actual = outcome(fast, arguments, keywords)
        if expected is OverflowError or actual is OverflowError:
            assert actual is expected
        else:
            assert_bit_exact(actual, expected)
        assert contents(inputs) == before, "an operation changed its input"
        return actual


def placed(memory: np.ndarray, at: int, like: np.ndarray) -> np.ndarray:
    """An array like `like` that begins `at` bytes into `memory`."""
    return memory[at : at + like.nbytes].view(like.dtype).reshape(like.shape)


def check_out(operation: Any, expected: np.ndarray, arguments: Any, keywords: Any) -> None:
    for layout, out in memory_layouts(np.ones_like(expected)).items():
        if layout not in ("read-only", "swapped"):
            assert operation(*arguments, out=out, **keywords) is out, layout
            assert_bit_exact(out, expected)
    other = np.dtype(np.int16 if expected.dtype == np.int64 else np.int64)
    read_only = np.ones_like(expected)
    read_only.setflags(write=False)
    refused: list[tuple[Any, type[Exception]]] = [
        (np.empty(expected.shape, other), TypeError),
        (expected.tolist(), TypeError),
        (np.empty((*expected.shape, 2), expected.dtype), ValueError),
        (read_only, ValueError),
    ]
    for out, error in refused:
        with pytest.raises(error, match=r"^out "):
            operation(*arguments, out=out, **keywords)


@pytest.fixture
def agree() -> Agreement:
    """Compares operations with their definitions, bit by bit."""
    return Agreement()
