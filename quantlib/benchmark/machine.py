"""What the figures were taken on: a description of the machine, and its measured limits.

The description names hardware and versions only: no host, no user, no path.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from quantlib import cpu
from quantlib.benchmark.results import rounded

FLAGS = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
LOOPS = "limits.c"
ITERATIONS = 100_000
COPY_BYTES = 256 * 2**20


def describe(peers: Sequence[str] = ()) -> dict[str, Any]:
    """The machine, as it is written into the results; `peers` are packages to name as well."""
    info = _cpu_info()
    flags = info.get("flags", info.get("Features", "")).split()
    return {
        "date": date.today().isoformat(),
        "cpu": info.get("model name", platform.machine()),
        "cpu_family_model": f"{info.get('cpu family', '?')}/{info.get('model', '?')}",
        "cores": os.cpu_count(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
        or "not readable",
        "flags": [flag for flag in FLAGS if flag in flags],
        "isa": cpu.isa(),
        "system": f"{platform.system()} {_numbers(platform.release())}",
        "python": platform.python_version(),
        "compiler": _compiler_version(),
        "blas": _blas(),
        "quantlib": metadata.version("quantlib-int8") if _installed("quantlib-int8") else "source",
        "packages": {
            name: metadata.version(name) for name in ("numpy", *peers) if _installed(name)
        },
    }


def slug(machine: dict[str, Any]) -> str:
    """``<cpu>-<isa>-<date>``: the name of a file of results."""
    cpu = re.sub(r"\((R|TM)\)|CPU|@.*", "", machine["cpu"])
    return "-".join(
        re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")
        for part in (cpu, machine["isa"], machine["date"])
    )


@dataclass(frozen=True)
class Loop:
    """What one core did at most with an instruction."""

    name: str
    instruction: str
    rate: float
    """G operations a second."""


def limits() -> dict[str, Any]:
    """What one core can do at most, measured: G operations a second, and G bytes of a copy.

    The arithmetic limits are those of the processor's instructions, by name of the loop; none where
    there is no compiler to build ``limits.c`` with.
    """
    loops = measured_loops()
    return {
        "loops": {loop.name: rounded(loop.rate) for loop in loops},
        "instructions": {loop.name: loop.instruction for loop in loops},
        "copy_gbytes": rounded(_copy_rate()),
    }


def int8_limit(limits: Mapping[str, Any], isa: str) -> float | None:
    """G operations a second of the instruction that the kernels of `isa` come down to."""
    limit: float | None = limits["loops"].get(f"int8_{isa}")
    return limit


def measured_loops() -> list[Loop]:
    """Every loop of ``limits.c`` that this processor runs, timed."""
    with tempfile.TemporaryDirectory() as folder:
        library = _build(Path(folder))
        if library is None:
            return []
        library.loop_name.restype = library.loop_instruction.restype = ctypes.c_char_p
        library.loop_operations.restype = ctypes.c_long
        library.loop_run.argtypes = [ctypes.c_int, ctypes.c_long]
        return [
            Loop(
                library.loop_name(index).decode(),
                library.loop_instruction(index).decode(),
                library.loop_operations(index) * ITERATIONS / _seconds(library, index) / 1e9,
            )
            for index in range(library.loop_count())
            if library.loop_available(index)
        ]


def _build(folder: Path) -> ctypes.CDLL | None:
    target = folder / "limits.so"
    with as_file(files("quantlib.benchmark") / LOOPS) as source:
        command = [*_compiler(), "-O2", "-shared", "-fPIC", "-o", str(target), str(source)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
    return ctypes.CDLL(str(target))


def _seconds(library: ctypes.CDLL, index: int) -> float:
    return _fastest(lambda: library.loop_run(index, ITERATIONS), 30)


def _copy_rate() -> float:
    """Bytes read and written in a second by a copy that no cache holds."""
    source = np.ones(COPY_BYTES // 4, np.float32)
    target = np.empty_like(source)
    return 2 * COPY_BYTES / _fastest(lambda: np.copyto(target, source), 7) / 1e9


def _fastest(call: Callable[[], Any], times: int) -> float:
    """Seconds of the fastest of some calls: a limit is what was reached once."""
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def _cpu_info() -> dict[str, str]:
    """The entries of /proc/cpuinfo for the first core; empty where there is no such file."""
    lines = (_read("/proc/cpuinfo") or "").partition("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _numbers(release: str) -> str:
    """The leading numbers of a kernel release: what follows may name who built it."""
    found = re.match(r"[0-9.]+[0-9]", release)
    return found.group() if found else "unknown"


def _compiler() -> list[str]:
    return (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()


def _compiler_version() -> str:
    line = _output([*_compiler(), "--version"]).partition("\n")[0]
    numbers = re.findall(r"\d+\.\d+\.\d+", line)
    name = "clang" if "clang" in line else "gcc" if "Free Software" in line else ""
    name = name or line.partition(" ")[0].rpartition("/")[2]
    return f"{name} {numbers[0]}" if numbers else "none"


def _blas() -> str:
    config: Any = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"


def _output(command: list[str]) -> str:
    """What a command prints; nothing if it fails."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
