"""The cffi builder: declares the C interface from ``quantlib.h`` and lists the sources."""

from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
CSRC = Path(__file__).resolve().parent


def _relative(pattern: str) -> list[str]:
    """The files that match, as setuptools wants them: relative to the project's root."""
    return sorted(str(path.relative_to(ROOT)) for path in CSRC.rglob(pattern))


ffibuilder = FFI()
ffibuilder.cdef((CSRC / "quantlib.h").read_text(encoding="utf-8"))
ffibuilder.set_source(
    "quantlib._quantlib",
    '#include "core.h"',
    sources=_relative("*.c"),
    include_dirs=["csrc"],
    # Named here, headers are part of the sdist and a change of one rebuilds.
    depends=["csrc/ffi_build.py", *_relative("*.h")],
)
