"""What quantlib is tested with, for those who test int8 kernels of their own.

Three oracles stand here, each simpler than what it judges:

* `quantlib.reference`, every operation in a few lines of NumPy;
* `quantlib.testing.exact`, the arithmetic in Python integers and fractions, which judges that;
* `assert_bit_exact`, which accepts no tolerance.

`quantlib.testing.strategies` draws arguments with Hypothesis (``pip install
"quantlib-int8[testing]"``); everything else here needs NumPy only. No module here imports pytest.
"""

from quantlib.testing.comparison import assert_bit_exact
from quantlib.testing.inputs import extreme_codes, interesting_sizes, memory_layouts
from quantlib.testing.instruction_sets import isas, use_isa

__all__ = [
    "assert_bit_exact",
    "extreme_codes",
    "interesting_sizes",
    "isas",
    "memory_layouts",
    "use_isa",
]
