"""Equality to the bit, with a message that says where it ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def assert_bit_exact(actual: Any, expected: Any) -> None:
    """Raise unless two results have the same type, shape and bits.

    Parameters
    ----------
    actual, expected : array_like or tuple of array_like
        Two arrays, or two tuples of as many results.

    Raises
    ------
    AssertionError
        With the first index that differs, both values there, and how many differ. Zeros of
        different sign differ, and so do NaNs of different bits.

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.testing import assert_bit_exact
    >>> assert_bit_exact(np.int8([1, 2]), np.int8([1, 2]))
    >>> assert_bit_exact(np.int8([1, 2, 4]), np.int8([1, 3, 5]))
    Traceback (most recent call last):
        ...
    AssertionError: 2 of 3 elements differ, the first at (1,): actual 2, expected 3
    """
    if isinstance(actual, tuple) or isinstance(expected, tuple):
        _assert_tuples(actual, expected)
        return
    left, right = np.asarray(actual), np.asarray(expected)
    if left.dtype != right.dtype:
        raise AssertionError(f"actual is {left.dtype}, expected is {right.dtype}")
    if left.shape != right.shape:
        raise AssertionError(f"actual has shape {left.shape}, expected has {right.shape}")
    differ = np.any(_bits(left) != _bits(right), axis=-1)
    if np.any(differ):
        where = tuple(int(i) for i in np.argwhere(differ)[0])
        raise AssertionError(
            f"{np.count_nonzero(differ)} of {differ.size} elements differ, the first at {where}: "
            f"actual {_shown(left[where])}, expected {_shown(right[where])}"
        )


def _assert_tuples(actual: Any, expected: Any) -> None:
    if not (isinstance(actual, tuple) and isinstance(expected, tuple)):
        raise AssertionError(
            f"actual is a {type(actual).__name__}, expected a {type(expected).__name__}"
        )
    if len(actual) != len(expected):
        raise AssertionError(f"actual has {len(actual)} results, expected {len(expected)}")
    for index, (left, right) in enumerate(zip(actual, expected, strict=True)):
        try:
            assert_bit_exact(left, right)
        except AssertionError as error:
            raise AssertionError(f"result {index}: {error}") from None


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The bytes of each element, along one axis more."""
    contiguous = np.array(array, order="C")
    flat = np.frombuffer(contiguous.tobytes(), np.uint8)
    return flat.reshape(*array.shape, array.dtype.itemsize)


def _shown(value: Any) -> str:
    """A value, with its bits if it is a float: -0.0 and NaNs tell little otherwise."""
    if not isinstance(value, np.floating):
        return str(value)
    return f"{value} (0x{value.tobytes()[::-1].hex()})"
