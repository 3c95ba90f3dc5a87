"""The instruction sets of this machine, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from quantlib import _native


def isas() -> list[str]:
    """The instruction sets that `use_isa` can choose on this machine, slowest first.

    Returns
    -------
    list of str
        As `quantlib.cpu.available_isas`.

    Examples
    --------
    >>> from quantlib.testing import isas
    >>> isas()[0]
    'portable'
    """
    return _native.isa_names(available=True)


@contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Run a block, or a decorated function, on one instruction set.

    The choice holds for all threads of the process until the block ends. Prepared operations
    (`quantlib.QLinearConv` and its like) keep the instruction set under which they were made.

    Parameters
    ----------
    name : str
        One of `isas`.

    Raises
    ------
    ValueError
        If `name` is not one of `isas`.

    Examples
    --------
    >>> import quantlib as ql
    >>> from quantlib.testing import use_isa
    >>> with use_isa("portable"):
    ...     ql.cpu.isa()
    'portable'
    """
    if name not in isas():
        raise ValueError(f"name is {name!r}; instruction sets here are {', '.join(isas())}")
    before = _native.current_isa()
    _native.select_isa(name)
    try:
        yield
    finally:
        _native.select_isa(before)
