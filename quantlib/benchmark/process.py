"""What a process that measures is given: a number of threads, and files to write.

BLAS and OpenMP read their number of threads from the environment when they are loaded, so it has to
be set before the process starts.
"""

from __future__ import annotations

import os
from pathlib import Path

from quantlib._native import MOST_THREADS

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "QUANTLIB_NUM_THREADS",
)


def check(threads: int) -> None:
    """Raises ValueError unless every engine can use so many."""
    if not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"--threads is {threads}; it must be 1 to {MOST_THREADS}")


def check_target(path: Path) -> None:
    """Raises ValueError unless a file may be written there: before the measuring, not after."""
    if not path.parent.is_dir():
        raise ValueError(f"the folder of {str(path)!r} does not exist")


def environment(threads: int) -> dict[str, str]:
    """The environment of a process in which every engine uses so many threads."""
    return {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}


def is_set_for(threads: int) -> bool:
    """Whether this process was started in that environment."""
    return all(os.environ.get(variable) == str(threads) for variable in THREAD_VARIABLES)
