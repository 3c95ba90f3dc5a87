"""Codes as bytes: packed, indexed, sparse or entropy-coded, and back, exactly.

Functions on arrays of codes of 1 to 16 bits. What each byte means is told in the docstrings and in
``docs/encoding.md``. Damaged data raises `ValueError`.
"""

from quantlib.encoding.choice import Encoded, decode, encode
from quantlib.encoding.entropy import decode_entropy, encode_entropy
from quantlib.encoding.indexed import decode_indexed, encode_indexed
from quantlib.encoding.packed import decode_packed, encode_packed
from quantlib.encoding.sparse import decode_sparse, encode_sparse

__all__ = [
    "Encoded",
    "decode",
    "decode_entropy",
    "decode_indexed",
    "decode_packed",
    "decode_sparse",
    "encode",
    "encode_entropy",
    "encode_indexed",
    "encode_packed",
    "encode_sparse",
]
