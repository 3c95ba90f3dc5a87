"""Gives each fast operation the documentation of its definition, so that it is written once."""

from __future__ import annotations

from quantlib import ops, reference


def share_documentation() -> None:
    """Copy every docstring of `quantlib.reference` to its twin, with examples that call that."""
    for name in ops.__all__:
        text = getattr(reference, name).__doc__ or ""
        text = text.replace(">>> from quantlib import reference", ">>> import quantlib as ql")
        text = text.replace(
            ">>> from quantlib import QuantParams, reference",
            ">>> import quantlib as ql\n    >>> from quantlib import QuantParams",
        )
        getattr(ops, name).__doc__ = text.replace("reference.", "ql.")
