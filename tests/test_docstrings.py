"""Every example in the package runs and prints what it says, and everything public has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

import pytest

import quantlib as ql
import quantlib.testing
from quantlib.testing import exact, strategies

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(ql.__path__, "quantlib.")
    if info.name.split(".")[-1] not in ("__main__", "_quantlib")
)
SURFACES = (ql, ql.reference, ql.cpu, ql.correction, ql.encoding, quantlib.testing, strategies)
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in SURFACES
    for name in module.__all__
    if not isinstance(getattr(module, name), ModuleType)
}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if not inspect.isclass(value)}
OPERATIONS = [name for name in FUNCTIONS if name.split(".")[:2] != ["quantlib", "testing"]]


def module_of(name: str) -> ModuleType:
    if name.startswith("quantlib.model"):
        pytest.importorskip("onnx", reason="models are an extra that needs onnx")
    return importlib.import_module(name)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    results = doctest.testmod(module_of(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


@pytest.mark.parametrize("name", sorted(ql.ops.__all__))
def test_examples_of_the_fast_operations(name: str) -> None:
    """Their text is that of the definitions, with their own name in the calls."""
    operation = getattr(ql, name)
    test = doctest.DocTestParser().get_doctest(operation.__doc__, {}, name, None, 0)
    assert test.examples
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test).failed == 0
    assert any(f"ql.{name}(" in example.source for example in test.examples)


def test_there_are_modules() -> None:
    assert {"quantlib.params", "quantlib.reference.affine", "quantlib.testing.exact"} <= {*MODULES}


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_everything_public_has_an_example(name: str) -> None:
    text = inspect.getdoc(PUBLIC[name]) or ""
    assert doctest.DocTestParser().get_examples(text), f"{name} has no example"
    assert "Examples\n--------" in text


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_function_says_what_goes_in_and_out(name: str) -> None:
    value: Any = FUNCTIONS[name]
    text = inspect.getdoc(value) or ""
    sections = [] if name.endswith(".set_num_threads") else ["Returns"]
    parameters = list(inspect.signature(value).parameters)
    if parameters:
        sections += ["Parameters", "Raises"]
    for section in sections:
        assert f"\n{section}\n{'-' * len(section)}\n" in text, f"{name} lacks {section}"
    described = text.split("Parameters\n----------\n")[-1].split("\n\nReturns")[0]
    for parameter in parameters:
        assert parameter in described, f"{name} does not describe {parameter}"


@pytest.mark.parametrize("name", [n for n in ql.ops.__all__ if n[0].isupper()])
@pytest.mark.parametrize("layer", [quantlib, quantlib.reference], ids=["fast", "reference"])
def test_prepared_classes_say_what_goes_in_and_out(layer: Any, name: str) -> None:
    text = inspect.getdoc(getattr(layer, name)) or ""
    for section in ("Parameters", "Raises", "Notes", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in text, f"{name} lacks {section}"
    described = text.split("Parameters\n----------\n")[-1].split("\n\nRaises")[0]
    for parameter in inspect.signature(getattr(layer, name)).parameters:
        assert parameter in described, f"{name} does not describe {parameter}"


@pytest.mark.parametrize("name", exact.__all__)
def test_witnesses_have_examples(name: str) -> None:
    assert ">>> " in (inspect.getdoc(getattr(exact, name)) or "")
