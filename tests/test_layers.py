"""The architecture's rules, kept by reading imports and includes.

These read the source tree, of which this file is a part; the other tests need only the installed
package.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE, CORE = ROOT / "quantlib", ROOT / "csrc"
MODULES = sorted(path.relative_to(ROOT) for path in PACKAGE.rglob("*.py"))
C_FILES = sorted(path.relative_to(ROOT) for path in CORE.rglob("*.[ch]"))
MADE = {Path("csrc/_quantlib.c")}  # what builds leave behind

SHARED = {"quantlib._arguments", "quantlib.params"}
WHO_MAY_IMPORT_REFERENCE = {"quantlib/__init__.py", "quantlib/_documentation.py"}
INSTRUCTION_SETS = r"avx2|avx512|vnni|amx|neon|sse[234]|dotprod|i8mm"


def package_of(module: Path) -> list[str]:
    """The package that relative imports in `module` start from."""
    return list(module.with_suffix("").parts[:-1])


def imports_of(module: Path, source: str) -> set[str]:
    """Every module that `source` imports, wherever in it; ``from a import b`` is both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = package_of(module)
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def own_imports(module: Path) -> set[str]:
    return {
        name
        for name in imports_of(module, (ROOT / module).read_text("utf-8"))
        if name.split(".")[0] == "quantlib"
    }


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def without_comments(path: Path) -> str:
    source = (ROOT / path).read_text("utf-8")
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", source, flags=re.DOTALL)


def includes_of(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^">]+)[">]', without_comments(path), re.MULTILINE)


# ---- Python -------------------------------------------------------------------------------------


def test_the_tree_is_here() -> None:
    assert Path("quantlib/reference/matmul.py") in MODULES
    assert Path("csrc/core.h") in C_FILES


def test_the_reader_sees_every_form_of_import() -> None:
    source = "import a.b as c\nfrom quantlib import ops\ndef f():\n    from . import reference\n"
    found = imports_of(Path("quantlib/testing/x.py"), source)
    assert {"a.b", "quantlib.ops", "quantlib.testing.reference"} <= found


@pytest.mark.parametrize(
    "module",
    [m for m in MODULES if is_within(".".join(m.parts[:2]), "quantlib.reference")],
    ids=str,
)
def test_definitions_import_nothing_but_words(module: Path) -> None:
    """`reference` never touches C: it stands on the parameters and the checks of arguments."""
    for name in own_imports(module) - {"quantlib"}:
        allowed = {*SHARED, "quantlib.reference"}
        assert any(is_within(name, one) for one in allowed), f"{module} imports {name}"


WORDS = [m for m in MODULES if m.stem == "params" or "_arguments" in m.parts]


def test_the_words_are_here() -> None:
    assert len(WORDS) > 1


@pytest.mark.parametrize("module", WORDS, ids=str)
def test_words_import_no_layer(module: Path) -> None:
    for imported in own_imports(module) - {"quantlib"}:
        assert any(is_within(imported, one) for one in SHARED), f"{module} imports {imported}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_who_imports_the_definitions(module: Path) -> None:
    """No operation falls back to NumPy silently: nothing that computes imports `reference`, but
    what compares with it."""
    inside = module.parts[1] in ("reference", "testing", "benchmark")
    if inside or module.as_posix() in WHO_MAY_IMPORT_REFERENCE:
        return
    imported = {name for name in own_imports(module) if is_within(name, "quantlib.reference")}
    assert not imported


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_who_opens_the_door_to_c(module: Path) -> None:
    source = (ROOT / module).read_text("utf-8")
    names = imports_of(module, source)
    if module != Path("quantlib/_native/library.py"):
        assert not {name for name in names if is_within(name, "quantlib._quantlib")}
        assert not {name for name in names if is_within(name, "cffi") or name == "_cffi_backend"}
        assert "_quantlib import" not in source
    if "_native" not in module.parts:  # nor does anyone else reach behind the door
        rooms = [f"quantlib._native.{path.stem}" for path in (PACKAGE / "_native").glob("*.py")]
        assert not {name for name in names if any(is_within(name, room) for room in rooms)}


@pytest.mark.parametrize("module", [m for m in MODULES if "_native" in m.parts], ids=str)
def test_the_door_stands_on_the_words(module: Path) -> None:
    allowed = {*SHARED, "quantlib._native", "quantlib._quantlib", "quantlib._environment"}
    for name in own_imports(module) - {"quantlib"}:
        assert any(is_within(name, one) for one in allowed), f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_operations_import_downwards(module: Path) -> None:
    """An operation knows the door, the words and its own layer; nothing above it."""
    if module.parts[1] != "ops":
        return
    allowed = {*SHARED, "quantlib._native", "quantlib.ops"}
    for name in own_imports(module) - {"quantlib"}:
        assert any(is_within(name, one) for one in allowed), f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_calibration_and_correction_stand_on_operations(module: Path) -> None:
    """Neither knows the other, nor what stands above them."""
    if module.parts[1] not in ("calibration", "correction"):
        return
    allowed = {*SHARED, "quantlib.ops", f"quantlib.{module.parts[1]}"}
    for name in own_imports(module) - {"quantlib"}:
        assert any(is_within(name, one) for one in allowed), f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_encodings_stand_on_the_words(module: Path) -> None:
    if module.parts[1] != "encoding":
        return
    allowed = {*SHARED, "quantlib._native", "quantlib.encoding"}
    for name in own_imports(module) - {"quantlib"}:
        assert any(is_within(name, one) for one in allowed), f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_extras_are_imported_where_they_are_used(module: Path) -> None:
    """Neither SciPy nor an extra is imported by ``import quantlib``."""
    if module.parts[1] == "testing" or module.name == "cli.py":
        return
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    top = ast.Module([node for node in tree.body if not isinstance(node, ast.If)], [])
    heavy = ["scipy", "onnx", "rich", "matplotlib", "hypothesis", "ml_dtypes", "torch", "sklearn"]
    if module.parts[1] == "model":  # which is itself imported at its first use
        heavy.remove("onnx")
    for node in top.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = imports_of(module, ast.unparse(node))
            assert not {n for n in names if n.split(".")[0] in heavy}, ast.unparse(node)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_nothing_published_imports_pytest(module: Path) -> None:
    names = imports_of(module, (ROOT / module).read_text("utf-8"))
    assert not {name for name in names if name.split(".")[0] in ("pytest", "_pytest")}


# ---- C ------------------------------------------------------------------------------------------


def is_kernel(path: Path) -> bool:
    return path.parts[1] == "kernels"


@pytest.mark.parametrize("path", [p for p in C_FILES if p not in MADE], ids=str)
def test_only_kernels_hold_intrinsics(path: Path) -> None:
    source = without_comments(path)
    pattern = (
        r"\b_(?:mm|mm256|mm512|tile)_\w+|\b__m(?:64|128|256|512)\w*|\bv\w+q?_[su](?:8|16|32)\b"
    )
    intrinsics = re.findall(pattern, source)
    headers = [name for name in includes_of(path) if re.search(r"intrin\.h|arm_neon", name)]
    if not is_kernel(path):
        assert (intrinsics, headers) == ([], [])
    if "portable" in path.parts:
        assert (intrinsics, headers) == ([], []), "portable kernels are plain C"


def test_the_pattern_finds_intrinsics() -> None:
    """Each set with kernels of its own is recognised, so that the test above can fail."""
    for directory in (CORE / "kernels").iterdir():
        if directory.is_dir() and directory.name != "portable":
            text = "".join(p.read_text("utf-8") for p in directory.glob("*.[ch]"))
            assert re.search(r"\b_(?:mm256|mm512|tile)_\w+|\bv\w+q?_[su](?:8|16|32)\b", text)


@pytest.mark.parametrize("path", [p for p in C_FILES if p not in MADE], ids=str)
def test_who_names_instruction_sets(path: Path) -> None:
    """The registry, the dispatcher, and the probes where they are declared and defined."""
    if is_kernel(path) or path.name in ("dispatch.c", "cpu.c"):
        return
    messages = r'^\s*#\s*error.*$|"[^"\n]*"'
    source = re.sub(messages, "", without_comments(path), flags=re.MULTILINE)
    source = re.sub(r"\bql_cpu_has_\w+", "", source)
    assert not re.findall(INSTRUCTION_SETS, source, re.IGNORECASE)


@pytest.mark.parametrize("path", [p for p in C_FILES if p not in MADE], ids=str)
def test_who_probes(path: Path) -> None:
    if path.name == "cpu.c":
        return
    source = without_comments(path)
    probes = r"\bcpuid|xgetbv|getauxval|__builtin_cpu|HWCAP|arch_prctl|ARCH_REQ"
    assert not re.findall(probes, source)


@pytest.mark.parametrize("path", [p for p in C_FILES if p not in MADE], ids=str)
def test_core_never_prints_or_ends_the_process(path: Path) -> None:
    called = r"\b(printf|fprintf|puts|putchar|perror|abort|_?exit|assert|raise)\s*\("
    assert not re.findall(called, without_comments(path))


def test_python_names_no_instruction_set() -> None:
    """Not even the package: it asks C. Documentation may name them."""
    for module in MODULES:
        for node in ast.walk(ast.parse((ROOT / module).read_text("utf-8"))):
            if isinstance(node, ast.Compare):
                words = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant)}
                named = {w for w in words if isinstance(w, str) and re.search(INSTRUCTION_SETS, w)}
                assert not named, f"{module} compares with {named}"
