"""The C core without Python, on this processor and on emulated ones: see compare_sets/main.c.

Without a cross compiler or an emulator (`apt-get install gcc-aarch64-linux-gnu qemu-user-static`)
the emulated ones are skipped. ``CFLAGS=-Werror`` makes warnings of the compilers errors.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import quantlib as ql

ROOT = Path(__file__).parents[2]
SOURCES = [
    *(path for path in sorted((ROOT / "csrc").rglob("*.c")) if path.name != "_quantlib.c"),
    *sorted(Path(__file__).with_name("compare_sets").glob("*.c")),
]
FLAGS = ["-std=gnu11", "-O3", "-ffp-contract=off", "-Wall", "-Wextra"]  # as setup.py has them

NATIVE = shutil.which("gcc") or shutil.which("cc")
CROSS = shutil.which("aarch64-linux-gnu-gcc")


def build(compiler: str, folder: Path, intrinsics: str, *flags: str) -> Path:
    """The program, whose sources are compiled side by side. The header of intrinsics, which takes
    longer than most kernels, is compiled once for all of them."""
    folder.mkdir()
    more = [*FLAGS, *os.environ.get("CFLAGS", "").split(), f"-I{ROOT / 'csrc'}"]
    header = folder / "intrinsics.h"
    header.write_text(f"#include <{intrinsics}>\n")
    call(compiler, *more, str(header), "-o", f"{header}.gch")

    def compiled(number: int) -> str:
        source, to = SOURCES[number], str(folder / f"{number}.o")
        first = ["-include", str(header)] if "kernels" in source.parts else []
        call(compiler, *more, *first, "-c", str(source), "-o", to)
        return to

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, range(len(SOURCES))))
    program = folder / "compare_sets"
    call(compiler, *objects, *flags, "-o", str(program), "-pthread", "-lm")
    return program


def call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if NATIVE is None:
        pytest.skip("there is no C compiler")
    intrinsics = "immintrin.h" if os.uname().machine == "x86_64" else "arm_neon.h"
    return build(NATIVE, tmp_path_factory.mktemp("native") / "build", intrinsics)


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if CROSS is None:
        pytest.skip("there is no cross compiler for Arm, aarch64-linux-gnu-gcc")
    return build(CROSS, tmp_path_factory.mktemp("arm") / "build", "arm_neon.h", "-static")


def emulator(name: str) -> str:
    """An emulator of single processes, by either of the names that systems give it."""
    found = shutil.which(f"qemu-{name}-static") or shutil.which(f"qemu-{name}")
    if found is None:
        pytest.skip(f"there is no emulator, qemu-{name}-static")
    return found


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300, check=False
    )


def all_equal(*sets: str) -> str:
    return "".join(f"{name}: no difference\n" for name in sets)


def test_sets_of_this_processor(native: Path) -> None:
    done = run(native)
    assert (done.stdout, done.returncode) == (all_equal(*ql.cpu.available_isas()), 0)


ARM = {"cortex-a72": ["portable", "neon"], "neoverse-n1": ["neondot"], "max": ["neoni8mm"]}


@pytest.mark.parametrize("processor", ARM)
def test_sets_of_arm_processors(processor: str, arm: Path) -> None:
    done = run(emulator("aarch64"), "-cpu", processor, arm, *ARM[processor])
    assert (done.stdout, done.returncode) == (all_equal(*ARM[processor]), 0)


@pytest.mark.parametrize(
    ("processor", "absent"), [("cortex-a72", "neondot"), ("neoverse-n1", "neoni8mm")]
)
def test_sets_that_an_arm_processor_lacks(processor: str, absent: str, arm: Path) -> None:
    done = run(emulator("aarch64"), "-cpu", processor, arm, absent)
    assert (done.stdout, done.returncode) == (f"{absent}: not on this processor\n", 1)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the native build is not for x86-64")
@pytest.mark.parametrize(("processor", "has"), [("Nehalem", "portable"), ("Haswell", "avx2")])
def test_sets_of_older_x86_processors(processor: str, has: str, native: Path) -> None:
    done = run(emulator("x86_64"), "-cpu", processor, native, has)
    assert (done.stdout, done.returncode) == (all_equal(has), 0)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the native build is not for x86-64")
@pytest.mark.parametrize(("processor", "absent"), [("Nehalem", "avx2"), ("Haswell", "avxvnni")])
def test_sets_that_an_x86_processor_lacks(processor: str, absent: str, native: Path) -> None:
    done = run(emulator("x86_64"), "-cpu", processor, native, absent)
    assert (done.stdout, done.returncode) == (f"{absent}: not on this processor\n", 1)
