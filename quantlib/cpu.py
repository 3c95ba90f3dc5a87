"""Which instruction set quantlib's kernels use on this machine.

The fastest one that the processor and its operating system support is chosen when quantlib is
imported. The environment variable ``QUANTLIB_ISA`` names another one; results are the same bits
with each.

Large products and convolutions are shared among threads, as many as the process has processors;
the environment variable ``QUANTLIB_NUM_THREADS`` and `set_num_threads` change that, and so do
threadpoolctl's ``threadpool_limits``, which know quantlib by the name ``"quantlib"``. Small ones
stay on the caller's thread, and so does a call that finds the threads busy with another's.
"""

from __future__ import annotations

from quantlib import _native
from quantlib.params import as_index

__all__ = ["available_isas", "get_num_threads", "isa", "set_num_threads"]


def isa() -> str:
    """The name of the instruction set in use.

    Returns
    -------
    str
        One of `available_isas`.

    Examples
    --------
    >>> import quantlib as ql
    >>> ql.cpu.isa() in ql.cpu.available_isas()
    True
    """
    return _native.current_isa()


def available_isas() -> list[str]:
    """The instruction sets that this build has kernels for and this machine can run.

    Returns
    -------
    list of str
        Slowest first: ``"portable"`` (plain C, everywhere), then ``"avx2"``, ``"avxvnni"``,
        ``"avx512vnni"`` and ``"amx"`` on x86-64, or ``"neon"``, ``"neondot"`` (dot products) and
        ``"neoni8mm"`` (products of int8 matrices) on AArch64.

    Examples
    --------
    >>> import quantlib as ql
    >>> ql.cpu.available_isas()[0]
    'portable'
    """
    return _native.isa_names(available=True)


def get_num_threads() -> int:
    """How many threads one call may use, the caller's included.

    Returns
    -------
    int
        1 or more.

    Examples
    --------
    >>> import quantlib as ql
    >>> ql.get_num_threads() >= 1
    True
    """
    return _native.num_threads()


def set_num_threads(n: int) -> None:
    """Let one call use up to `n` threads, the caller's included. Results do not depend on it.

    Parameters
    ----------
    n : int
        1 to 256.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is out of range.

    Examples
    --------
    >>> import quantlib as ql
    >>> before = ql.get_num_threads()
    >>> ql.set_num_threads(1)
    >>> ql.get_num_threads()
    1
    >>> ql.set_num_threads(before)
    """
    _native.select_num_threads(as_index(n, "n"), "n")
