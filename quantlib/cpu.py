"""Which instruction set quantlib's kernels use on this machine.

The fastest one that the processor and its operating system support is chosen when quantlib is
imported. The environment variable ``QUANTLIB_ISA`` names another one; results are the same bits
with each.
"""

from __future__ import annotations

from quantlib import _native

__all__ = ["available_isas", "isa"]


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
        Slowest first: ``"portable"`` (plain C, everywhere), ``"avx2"``, ``"avx512vnni"``,
        ``"amx"``.

    Examples
    --------
    >>> import quantlib as ql
    >>> ql.cpu.available_isas()[0]
    'portable'
    """
    return _native.isa_names(available=True)
