"""int8 for NumPy: exact quantization arithmetic, int8 products and convolutions."""

from quantlib import reference
from quantlib.params import QType, QuantParams
