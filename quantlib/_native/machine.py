"""Instruction sets and threads."""

from __future__ import annotations

import os

from quantlib._environment import refuse
from quantlib._native.library import ffi, lib


def isa_names(*, available: bool) -> list[str]:
    """The instruction sets of this build, slowest first; only those that run here, or all."""
    return [
        ffi.string(lib.ql_isa_name(index)).decode()
        for index in range(lib.ql_isa_count())
        if not available or lib.ql_isa_available(index)
    ]


def current_isa() -> str:
    """The instruction set in use."""
    return isa_names(available=False)[lib.ql_isa_current()]


def select_isa(name: str) -> None:
    """Use `name` from now on; ValueError if it cannot run here."""
    if name not in isa_names(available=True):
        state = "not available on this processor" if name in isa_names(available=False) else "no"
        raise ValueError(
            f"QUANTLIB_ISA is {name!r}, {state} instruction set of this build; "
            f"available: {', '.join(isa_names(available=True))}"
        )
    lib.ql_isa_select(isa_names(available=False).index(name))


lib.ql_isa_current()  # fills the tables while the import lock is held


# --- threads --------------------------------------------------------------------------------------

MOST_THREADS = 256


def num_threads() -> int:
    """How many threads a call may use."""
    return lib.ql_threads()


def select_num_threads(count: int, name: str) -> None:
    """Let a call use `count` threads from now on."""
    if not 1 <= count <= MOST_THREADS:
        raise ValueError(f"{name} is {count}; it must be 1 to {MOST_THREADS}")
    lib.ql_set_threads(count)


def _initial_num_threads() -> int:
    """What QUANTLIB_NUM_THREADS says, or the processors that this process may run on."""
    wanted = os.environ.get("QUANTLIB_NUM_THREADS", "")
    if not wanted:
        usable = getattr(os, "sched_getaffinity", None)
        return min(len(usable(0)) if usable else os.cpu_count() or 1, MOST_THREADS)
    if not wanted.strip().isdecimal():
        raise ValueError(f"QUANTLIB_NUM_THREADS is {wanted!r}; it must be a whole number")
    return int(wanted)


try:
    if os.environ.get("QUANTLIB_ISA"):
        select_isa(os.environ["QUANTLIB_ISA"])
    select_num_threads(_initial_num_threads(), "QUANTLIB_NUM_THREADS")
except ValueError as error:
    refuse(error)
