"""What happens when an environment variable asks for what cannot be."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def refuse(problem: ValueError) -> NoReturn:
    """Raise `problem`; in the program ``quantlib``, tell it in one line and exit with code 2.

    The variables are read while the package is imported, which in the program happens before its
    `main` is there to catch anything.
    """
    if is_command():
        print(f"quantlib: {problem}", file=sys.stderr)
        raise SystemExit(2)
    raise problem


def is_command() -> bool:
    """Whether this process was started as ``quantlib`` or ``python -m quantlib``."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":  # as long as Python is looking for the module that it shall run
        return sys.orig_argv[sys.orig_argv.index("-m") + 1 :][:1] == ["quantlib"]
    return os.path.basename(program) == "quantlib"
