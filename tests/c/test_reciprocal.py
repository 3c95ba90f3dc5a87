"""Kernels multiply by reciprocals instead of dividing: reciprocal.c computes both ways."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("reciprocal.c")
COMPILER = shutil.which("gcc") or shutil.which("cc")
PROCESSOR_FLAGS = {"x86_64": ["-mfma", "-mavx2"], "aarch64": []}
STRIDE = 61  # of 2**23 scales; with 1, all of them, it takes half a minute


def can_fuse() -> bool:
    if platform.machine() != "x86_64":
        return platform.machine() in PROCESSOR_FLAGS
    info = Path("/proc/cpuinfo")
    return info.exists() and " fma " in info.read_text(encoding="ascii")


@pytest.mark.skipif(not can_fuse(), reason="needs a processor with fused multiply-add")
@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler to build the search with")
def test_products_round_like_quotients(tmp_path: Path) -> None:
    program = tmp_path / "reciprocal"
    flags = ["-O3", "-ffp-contract=off", *PROCESSOR_FLAGS[platform.machine()]]
    command = [str(COMPILER), *flags, str(SOURCE), "-o", str(program), "-lm"]
    subprocess.run(command, check=True, capture_output=True)
    run = subprocess.run(
        [str(program), str(STRIDE)], capture_output=True, text=True, check=True, timeout=120
    )
    one_part, two_parts = map(int, run.stdout.split())
    assert one_part > 1_000_000  # what the second part of the reciprocal is for
    assert two_parts == 0
