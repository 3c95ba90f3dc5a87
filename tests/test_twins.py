"""Every fast operation has a definition of the same name and signature, and is compared with it.

Operations are found by name, and so are the comparisons: a call of the `agree` fixture names the
operation that it compares, in a test that runs on every instruction set. An operation that someone
adds without a twin, or without a comparison, fails here.
"""

from __future__ import annotations

import ast
import inspect
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import quantlib as ql
from quantlib import ops, reference

TESTS = Path(__file__).parent
OPERATIONS = sorted(ops.__all__)
CLASSES = [name for name in OPERATIONS if inspect.isclass(getattr(ops, name))]
WITHOUT_OUT = {"dynamic_quantize_linear", "min_max", "summarize"}  # they return more than one array


def calls_of_agree(tree: ast.Module, method: str | None, needs_isa: bool) -> set[str]:
    """The operations that the tests of a module name in calls of ``agree`` or its `method`."""
    names = set()
    for function in ast.walk(tree):
        if not (isinstance(function, ast.FunctionDef) and function.name.startswith("test_")):
            continue
        parameters = {argument.arg for argument in function.args.args}
        if "agree" not in parameters or (needs_isa and "isa" not in parameters):
            continue
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            target = call.func
            if isinstance(target, ast.Attribute) and target.attr == method:
                target = target.value
            elif method is not None:
                continue
            is_agree = isinstance(target, ast.Name) and target.id == "agree"
            if is_agree and call.args and isinstance(call.args[0], ast.Constant):
                names.add(call.args[0].value)
    return names


@cache
def compared(method: str | None = None, *, needs_isa: bool = True) -> set[str]:
    trees = [ast.parse(path.read_text("utf-8")) for path in sorted(TESTS.glob("test_*.py"))]
    return set().union(*(calls_of_agree(tree, method, needs_isa) for tree in trees))


def test_both_layers_have_the_same_names() -> None:
    assert sorted(reference.__all__) == OPERATIONS
    assert sorted(ops.__all__) == OPERATIONS
    assert set(OPERATIONS) <= set(ql.__all__)


@pytest.mark.parametrize("layer", [ops, reference], ids=["ops", "reference"])
def test_all_lists_everything_public(layer: Any) -> None:
    """What a module of the layer defines without an underscore is an operation or in no list."""
    public = {
        name
        for name, value in vars(layer).items()
        if not name.startswith("_") and (inspect.isfunction(value) or inspect.isclass(value))
    }
    assert public == set(layer.__all__)


@pytest.mark.parametrize("name", OPERATIONS)
def test_public_name_is_the_fast_one(name: str) -> None:
    assert getattr(ql, name) is getattr(ops, name)
    assert getattr(ql, name) is not getattr(reference, name)


@pytest.mark.parametrize("name", OPERATIONS)
def test_signatures_are_the_same(name: str) -> None:
    fast, definition = getattr(ops, name), getattr(reference, name)
    assert inspect.isclass(fast) == inspect.isclass(definition)
    assert inspect.signature(fast) == inspect.signature(definition)


@pytest.mark.parametrize("name", CLASSES)
def test_methods_are_the_same(name: str) -> None:
    fast, definition = getattr(ops, name), getattr(reference, name)

    def methods(owner: type) -> dict[str, inspect.Signature]:
        return {
            attribute: inspect.signature(value)
            for attribute, value in vars(owner).items()
            if inspect.isfunction(value) and (attribute[0] != "_" or attribute[1] == "_")
        }

    assert methods(fast) == methods(definition)
    assert {"__init__", "__call__"} <= set(methods(fast))


@pytest.mark.parametrize("name", OPERATIONS)
def test_documentation_is_the_same(name: str) -> None:
    """The fast one shows calls of itself, and otherwise says what the definition says."""
    fast, definition = getattr(ops, name).__doc__, getattr(reference, name).__doc__
    assert "reference." not in fast
    assert fast.split("Examples")[0] == definition.split("Examples")[0].replace("reference.", "ql.")


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_compared_on_every_instruction_set(name: str) -> None:
    found = compared("prepared") if name in CLASSES else compared()
    assert name in found, f"no test calls agree({name!r}, ...) under the isa fixture"


@pytest.mark.parametrize(
    "name", [name for name in OPERATIONS if name not in CLASSES and name not in WITHOUT_OUT]
)
def test_every_out_is_compared(name: str) -> None:
    assert name in compared("written")
    assert name in compared("overlapping")


def test_operations_without_out_are_known() -> None:
    without = {
        name
        for name in OPERATIONS
        if name not in CLASSES and "out" not in inspect.signature(getattr(ops, name)).parameters
    }
    assert without == WITHOUT_OUT
    for name in CLASSES:
        assert "out" in inspect.signature(getattr(ops, name).__call__).parameters


def test_the_search_finds_and_misses() -> None:
    """The reader of the tests itself: only a call in a test with both fixtures counts."""
    tree = ast.parse(
        'def test_a(isa, agree):\n    agree("one")\n    agree.prepared("two")(3)\n'
        'def test_b(agree):\n    agree("three")\n'
        'def helper(isa, agree):\n    agree("four")\n'
    )
    assert calls_of_agree(tree, None, True) == {"one"}
    assert calls_of_agree(tree, None, False) == {"one", "three"}
    assert calls_of_agree(tree, "prepared", True) == {"two"}
