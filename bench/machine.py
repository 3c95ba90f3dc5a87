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
from collections.abc import Callable
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import quantlib as ql

HERE = Path(__file__).resolve().parent
PACKAGES = ("numpy", "scipy", "onnxruntime", "torch")
FLAGS = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
# The loop of limits.c that quantlib's kernels come down to, by instruction set.
INT8_LOOPS = {"avx2": "int8_avx2", "avx512vnni": "int8_avx512vnni", "amx": "int8_amx"}
# The loop of float32 products, best first, and the flag that it needs.
FLOAT32_LOOPS = (("float32_avx512", "avx512f"), ("float32_avx2", "fma"))
COPY_BYTES = 256 * 2**20


def describe() -> dict[str, Any]:
    """The machine, as it is written into the results."""
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
        "isa": ql.cpu.isa(),
        "system": f"{platform.system()} {_numbers(platform.release())}",
        "python": platform.python_version(),
        "compiler": _compiler_version(),
        "blas": _blas(),
        "quantlib": metadata.version("quantlib-int8") if _installed("quantlib-int8") else "source",
        "commit": _commit(),
        "packages": {name: metadata.version(name) for name in PACKAGES if _installed(name)},
    }


def slug(machine: dict[str, Any]) -> str:
    """``<cpu>-<isa>-<date>``: the name of a file of results."""
    cpu = re.sub(r"\((R|TM)\)|CPU|@.*", "", machine["cpu"])
    return "-".join(
        re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")
        for part in (cpu, machine["isa"], machine["date"])
    )


def limits(machine: dict[str, Any]) -> dict[str, float | None]:
    """What one core can do at most, measured: G operations/s, and G bytes/s of a copy.

    The arithmetic limits are None where there is no compiler to build limits.c with, or no loop
    for the instruction set.
    """
    float32 = next((loop for loop, flag in FLOAT32_LOOPS if flag in machine["flags"]), None)
    with tempfile.TemporaryDirectory() as folder:
        library = _build(Path(folder))
        return {
            "int8_gops": _rate(library, INT8_LOOPS.get(machine["isa"])),
            "float32_gflops": _rate(library, float32),
            "copy_gbytes": _copy_rate(),
        }


def _build(folder: Path) -> ctypes.CDLL | None:
    target = folder / "limits.so"
    command = [*_compiler(), "-O2", "-shared", "-fPIC", "-o", str(target), str(HERE / "limits.c")]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return ctypes.CDLL(str(target))


def _rate(library: ctypes.CDLL | None, loop: str | None, iterations: int = 100_000) -> float | None:
    if library is None or loop is None:
        return None
    count = library[f"{loop}_operations"]
    count.restype = ctypes.c_long
    operations = int(count())
    if operations == 0:
        return None
    run = library[loop]
    run.argtypes = [ctypes.c_long]
    return operations * iterations / _fastest(lambda: run(iterations), 30) / 1e9


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


def _commit() -> str:
    """The commit of the source tree that the benchmark is in, with a + if the code differs."""
    commit = _output(["git", "-C", str(HERE), "rev-parse", "--short=12", "HEAD"]).strip()
    changed = _output(["git", "-C", str(HERE.parent), "status", "--short", "csrc", "quantlib"])
    return (commit + "+" * bool(changed.strip())) or "unknown"


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
