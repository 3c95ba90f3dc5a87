"""The encoding that takes the fewest bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from quantlib._arguments.arrays import Array, one_of
from quantlib._arguments.encoding import (
    as_bits,
    as_codes_of,
    as_count,
    as_data,
    as_shape,
    size_of,
)
from quantlib.encoding.entropy import decode_entropy, encode_entropy
from quantlib.encoding.indexed import decode_indexed, encode_indexed
from quantlib.encoding.packed import decode_packed, encode_packed
from quantlib.encoding.sparse import decode_sparse, encode_sparse

__all__ = ["ENCODINGS", "Encoded", "decode", "encode"]

ENCODINGS = ("packed", "indexed", "sparse", "entropy")


@dataclass(frozen=True, slots=True)
class Encoded:
    """Codes as bytes, and what it takes to read them.

    Attributes
    ----------
    encoding : {"packed", "indexed", "sparse", "entropy"}
        How the bytes are to be read.
    data : numpy.ndarray of uint8
        The bytes.
    bits : int
        Bits of a code before it was encoded, 1 to 16.
    shape : tuple of int
        The shape of the codes.

    Examples
    --------
    >>> from quantlib.encoding import encode
    >>> encode([[1, 2], [3, 4]], 4)
    Encoded(encoding='packed', data=array([169, 203], dtype=uint8), bits=4, shape=(2, 2))
    """

    encoding: str
    data: Array
    bits: int
    shape: tuple[int, ...]


def encode(
    codes: npt.ArrayLike,
    bits: int,
    zero_point: npt.ArrayLike = 0,
    *,
    encodings: Sequence[str] = ENCODINGS[:3],
    max_segments: int = 1,
) -> Encoded:
    """Codes in as few bytes as one of the encodings takes.

    Parameters
    ----------
    codes : array_like of int
        From ``-2**(bits-1)`` to ``2**(bits-1) - 1``, of any shape.
    bits : int
        1 to 16.
    zero_point : array_like of int
        What "sparse" leaves out; an array broadcasts to the shape of `codes`.
    encodings : sequence of str
        Those to choose from: "packed" (`encode_packed`), "indexed" (`encode_indexed`), "sparse"
        (`encode_sparse`), and "entropy" (`encode_entropy`), which is nearly always the smallest and
        takes the longest to decode.
    max_segments : int
        For "entropy": parts that can be decoded at the same time.

    Returns
    -------
    Encoded
        Of encodings of the same size, the first. Where there are no codes, "packed".

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of its range, or an encoding is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.encoding import decode, encode
    >>> codes = np.arange(4000, dtype=np.int8) % 5 - 2
    >>> encoded = encode(codes, 8)
    >>> encoded.encoding, encoded.data.size
    ('indexed', 1506)
    >>> np.array_equal(decode(encoded), codes)
    True
    """
    width = as_bits(bits)
    array = as_codes_of(codes, width)
    if isinstance(encodings, str) or not encodings:
        raise ValueError(f"encodings is {encodings!r}; it must name one encoding or more")
    names = [one_of(name, "encodings", *ENCODINGS) for name in encodings]
    if array.size == 0:
        names = ["packed"]
    best: Encoded | None = None
    for name in names:
        data = _encode(name, array, width, zero_point, max_segments)
        if best is None or data.size < best.data.size:
            best = Encoded(name, data, width, array.shape)
    assert best is not None
    return best


def decode(encoded: Encoded, zero_point: npt.ArrayLike = 0) -> Array:
    """The codes that were encoded.

    Parameters
    ----------
    encoded : Encoded
        What `encode` returned, or what was read from a file.
    zero_point : array_like of int
        As in `encode`.

    Returns
    -------
    numpy.ndarray of int8 or int16, of the shape that `encoded` says
        int16 from 9 bits on.

    Raises
    ------
    TypeError
        If an argument, or a field of `encoded`, has the wrong type.
    ValueError
        If a field of `encoded` is out of its range, or the data is damaged.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.encoding import Encoded, decode
    >>> decode(Encoded("packed", np.array([169, 203], np.uint8), 4, (2, 2)))
    array([[1, 2],
           [3, 4]], dtype=int8)
    """
    if not isinstance(encoded, Encoded):
        raise TypeError(f"encoded must be an Encoded, not {type(encoded).__name__}")
    one_of(encoded.encoding, "encoding", *ENCODINGS)
    data, shape = as_data(encoded.data), as_shape(encoded.shape)
    count = as_count(size_of(shape), data, "the size of shape")
    if encoded.encoding == "sparse":
        return decode_sparse(data, encoded.bits, shape, zero_point)
    codes: Array = _DECODERS[encoded.encoding](data, encoded.bits, count)
    return codes.reshape(shape)


_DECODERS: dict[str, Any] = {
    "packed": decode_packed,
    "indexed": decode_indexed,
    "entropy": decode_entropy,
}


def _encode(
    name: str, codes: Array, bits: int, zero_point: npt.ArrayLike, max_segments: int
) -> Array:
    if name == "entropy":
        return encode_entropy(codes, bits, max_segments)
    if name == "sparse":
        return encode_sparse(codes, bits, zero_point)
    return encode_indexed(codes, bits) if name == "indexed" else encode_packed(codes, bits)
