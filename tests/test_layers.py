"""The architecture's rules, kept by reading imports and includes.

These read the source tree, of which this file is a part; the other tests need only the installed
package.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE, CORE = ROOT / "quantlib", ROOT / "csrc"
MODULES = sorted(path.relative_to(ROOT) for path in PACKAGE.rglob("*.py"))
MADE = Path("csrc/_quantlib.c")  # what builds leave behind
C_FILES = sorted(path.relative_to(ROOT) for path in CORE.rglob("*.[ch]") if path != ROOT / MADE)

SHARED = {"quantlib._arguments", "quantlib.params"}
WHO_MAY_IMPORT_REFERENCE = {"quantlib/__init__.py", "quantlib/_documentation.py"}
INSTRUCTION_SETS = r"avx2|avx512|vnni|amx|neon|sse[234]|dotprod|i8mm"


def package_of(module: Path) -> list[str]:
    """The package that relative imports in `module` start from."""
    return list(module.with_suffix("").parts[:-1])


@cache
def source_of(path: Path) -> str:
    return (ROOT / path).read_text("utf-8")


@cache
def tree_of(module: Path) -> ast.Module:
    return ast.parse(source_of(module))


def imports_in(module: Path, tree: ast.AST) -> set[str]:
    """Every module that `tree` imports, wherever in it; ``from a import b`` is both a and a.b."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = package_of(module)
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


@cache
def imports_of(module: Path) -> frozenset[str]:
    return frozenset(imports_in(module, tree_of(module)))


def own_imports(module: Path) -> set[str]:
    return {name for name in imports_of(module) if is_within(name, "quantlib")}


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def above(modules: Iterable[Path], allowed: set[str]) -> list[str]:
    """What `modules` import of quantlib that is neither `allowed` nor inside of that."""
    assert modules
    return [
        f"{module} imports {name}"
        for module in modules
        for name in sorted(own_imports(module) - {"quantlib"})
        if not any(is_within(name, one) for one in allowed)
    ]


def modules_of(*packages: str) -> list[Path]:
    return [module for module in MODULES if module.parts[1] in packages]


@cache
def without_comments(path: Path) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", source_of(path), flags=re.DOTALL)


def matches(pattern: str, sources: Iterable[Path]) -> list[str]:
    """Where `pattern` stands in the C files, outside of comments."""
    assert sources
    return [
        f"{path}: {match}"
        for path in sources
        for match in re.findall(pattern, without_comments(path))
    ]


def includes_of(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^">]+)[">]', without_comments(path), re.MULTILINE)


# ---- Python -------------------------------------------------------------------------------------


def test_the_tree_is_here() -> None:
    assert Path("quantlib/reference/matmul.py") in MODULES
    assert Path("csrc/core.h") in C_FILES


def test_the_reader_sees_every_form_of_import() -> None:
    source = "import a.b as c\nfrom quantlib import ops\ndef f():\n    from . import reference\n"
    found = imports_in(Path("quantlib/testing/x.py"), ast.parse(source))
    assert {"a.b", "quantlib.ops", "quantlib.testing.reference"} <= found


def test_definitions_import_nothing_but_words() -> None:
    """`reference` never touches C: it stands on the parameters and the checks of arguments."""
    assert not above(modules_of("reference"), {*SHARED, "quantlib.reference"})


def test_words_import_no_layer() -> None:
    assert not above(modules_of("params.py", "_arguments"), SHARED)


def test_who_imports_the_definitions() -> None:
    """No operation falls back to NumPy silently: nothing that computes imports `reference`, but
    what compares with it."""
    inside = modules_of("reference", "testing", "benchmark")
    for module in MODULES:
        if module in inside or module.as_posix() in WHO_MAY_IMPORT_REFERENCE:
            continue
        imported = {name for name in own_imports(module) if is_within(name, "quantlib.reference")}
        assert not imported, module


def test_who_opens_the_door_to_c() -> None:
    rooms = [f"quantlib._native.{path.stem}" for path in (PACKAGE / "_native").glob("*.py")]
    for module in MODULES:
        names = imports_of(module)
        if module != Path("quantlib/_native/library.py"):
            doors = ("quantlib._quantlib", "cffi", "_cffi_backend")
            assert not {n for n in names if any(is_within(n, door) for door in doors)}, module
            assert "_quantlib import" not in source_of(module), module
        if "_native" not in module.parts:  # nor does anyone else reach behind the door
            assert not {n for n in names if any(is_within(n, room) for room in rooms)}, module


def test_the_door_stands_on_the_words() -> None:
    allowed = {"quantlib._native", "quantlib._quantlib", "quantlib._environment"}
    assert not above(modules_of("_native"), {*SHARED, *allowed})


def test_operations_import_downwards() -> None:
    """An operation knows the door, the words and its own layer; nothing above it."""
    assert not above(modules_of("ops"), {*SHARED, "quantlib._native", "quantlib.ops"})


def test_calibration_and_correction_stand_on_operations() -> None:
    """Neither knows the other, nor what stands above them."""
    for package in ("calibration", "correction"):
        allowed = {*SHARED, "quantlib.ops", f"quantlib.{package}"}
        assert not above(modules_of(package), allowed)


def test_encodings_stand_on_the_words() -> None:
    assert not above(modules_of("encoding"), {*SHARED, "quantlib._native", "quantlib.encoding"})


def test_extras_are_imported_where_they_are_used() -> None:
    """Neither SciPy nor an extra is imported by ``import quantlib``."""
    extras = {"scipy", "onnx", "rich", "matplotlib", "hypothesis", "ml_dtypes", "torch", "sklearn"}
    for module in MODULES:
        if module.parts[1] in ("testing", "cli.py"):
            continue
        # The package for models is itself imported at its first use.
        heavy = extras - {"onnx"} if module.parts[1] == "model" else extras
        for node in tree_of(module).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = imports_in(module, node)
                assert not {n for n in names if n.split(".")[0] in heavy}, module


def test_nothing_published_imports_pytest() -> None:
    for module in MODULES:
        assert not {n for n in imports_of(module) if n.split(".")[0] in ("pytest", "_pytest")}


# ---- C ------------------------------------------------------------------------------------------

KERNELS = [path for path in C_FILES if path.parts[1] == "kernels"]
REST = [path for path in C_FILES if path not in KERNELS]


def test_only_kernels_hold_intrinsics() -> None:
    plain = [*REST, *(path for path in KERNELS if "portable" in path.parts)]
    registers = r"\b__m(?:64|128|256|512)\w*|\bv\w+q?_[su](?:8|16|32)\b"
    assert not matches(rf"\b_(?:mm|mm256|mm512|tile)_\w+|{registers}", plain)
    for path in plain:
        headers = [name for name in includes_of(path) if re.search(r"intrin\.h|arm_neon", name)]
        assert not headers, path


def test_the_pattern_finds_intrinsics() -> None:
    """Each set with kernels of its own is recognised, so that the test above can fail."""
    for directory in (CORE / "kernels").iterdir():
        if directory.is_dir() and directory.name != "portable":
            text = "".join(p.read_text("utf-8") for p in directory.glob("*.[ch]"))
            assert re.search(r"\b_(?:mm256|mm512|tile)_\w+|\bv\w+q?_[su](?:8|16|32)\b", text)


def test_who_names_instruction_sets() -> None:
    """The registry, the dispatcher, and the probes where they are declared and defined."""
    for path in REST:
        if path.name in ("dispatch.c", "cpu.c"):
            continue
        messages = r'^\s*#\s*error.*$|"[^"\n]*"'
        source = re.sub(messages, "", without_comments(path), flags=re.MULTILINE)
        source = re.sub(r"\bql_cpu_has_\w+", "", source)
        assert not re.findall(INSTRUCTION_SETS, source, re.IGNORECASE), path


def test_who_probes() -> None:
    others = [path for path in C_FILES if path.name != "cpu.c"]
    assert not matches(r"\bcpuid|xgetbv|getauxval|__builtin_cpu|HWCAP|arch_prctl|ARCH_REQ", others)


def test_core_never_prints_or_ends_the_process() -> None:
    called = r"\b(printf|fprintf|puts|putchar|perror|abort|_?exit|assert|raise)\s*\("
    assert not matches(called, C_FILES)


def test_python_names_no_instruction_set() -> None:
    """Not even the package: it asks C. Documentation may name them."""
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Compare):
                words = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant)}
                named = {w for w in words if isinstance(w, str) and re.search(INSTRUCTION_SETS, w)}
                assert not named, f"{module} compares with {named}"
