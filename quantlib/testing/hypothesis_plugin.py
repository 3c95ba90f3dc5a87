"""Tells Hypothesis how to draw quantlib's types; Hypothesis calls `register` by itself.

Hypothesis finds it through the ``hypothesis`` entry point of the installed package.
"""

from __future__ import annotations

from typing import Any

from quantlib.params import QType, QuantParams


def register() -> None:
    """Make ``hypothesis.strategies.from_type`` know `QType` and `QuantParams`."""
    from hypothesis import strategies as st

    st.register_type_strategy(QType, _qtypes)
    st.register_type_strategy(QuantParams, _quant_params)


# Hypothesis calls register() while it is being imported, when quantlib.testing.strategies, which
# imports Hypothesis, may itself be half imported. So that module is looked up when first needed.


def _qtypes(_: Any) -> Any:
    from quantlib.testing import strategies

    return strategies.qtypes()


def _quant_params(_: Any) -> Any:
    from quantlib.testing import strategies

    return strategies.quant_params()
