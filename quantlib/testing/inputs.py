"""Inputs that find faults: sizes around the block sizes, extreme codes, arrays laid out oddly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quantlib.params import QType


def interesting_sizes(*tiles: int) -> list[int]:
    """Sizes around each block size T of a kernel: 0, 1, T-1, T, T+1 and 2T+1, in order.

    Parameters
    ----------
    *tiles : int
        Block sizes, 1 or more.

    Returns
    -------
    list of int
        Without repetitions.

    Raises
    ------
    ValueError
        If a block size is less than 1.

    Examples
    --------
    >>> from quantlib.testing import interesting_sizes
    >>> interesting_sizes(4)
    [0, 1, 3, 4, 5, 9]
    >>> interesting_sizes(4, 6)
    [0, 1, 3, 4, 5, 6, 7, 9, 13]
    """
    if any(tile < 1 for tile in tiles):
        raise ValueError(f"tiles are {tiles}; block sizes are 1 or more")
    sizes = {0, 1}
    for tile in tiles:
        sizes.update((tile - 1, tile, tile + 1, 2 * tile + 1))
    return sorted(sizes)


def extreme_codes(shape: tuple[int, ...], qtype: Any = "int8") -> dict[str, npt.NDArray[Any]]:
    """Arrays of the codes that break kernels: all lowest, all highest, and both by turns.

    Sums of these are the largest that the type allows, which is what saturating instructions and
    16-bit lanes get wrong.

    Parameters
    ----------
    shape : tuple of int
        Of each array.
    qtype : QType or str or numpy.dtype
        The codes' type.

    Returns
    -------
    dict of str to numpy.ndarray
        ``"lowest"``, ``"highest"`` and ``"alternating"``.

    Raises
    ------
    TypeError, ValueError
        As `QType.of`.

    Examples
    --------
    >>> from quantlib.testing import extreme_codes
    >>> extreme_codes((3,))["alternating"]
    array([-128,  127, -128], dtype=int8)
    """
    target = QType.of(qtype)
    turns = np.arange(int(np.prod(shape))).reshape(shape) % 2
    return {
        "lowest": np.full(shape, target.qmin, target.dtype),
        "highest": np.full(shape, target.qmax, target.dtype),
        "alternating": np.where(turns, target.qmax, target.qmin).astype(target.dtype),
    }


def memory_layouts(array: npt.ArrayLike) -> dict[str, npt.NDArray[Any]]:
    """The same values in every arrangement of memory that NumPy allows.

    Parameters
    ----------
    array : array_like
        Values of any shape and type.

    Returns
    -------
    dict of str to numpy.ndarray
        Arrays equal to `array`: ``"contiguous"``, ``"fortran"``, ``"strided"`` (gaps along every
        axis), ``"reversed"`` (negative strides), ``"unaligned"`` (one byte off), ``"read-only"``
        and ``"swapped"`` (the other byte order).

    Examples
    --------
    >>> import numpy as np
    >>> from quantlib.testing import memory_layouts
    >>> for name, x in memory_layouts(np.float32([[1, 2], [3, 4]])).items():
    ...     print(name, x.strides, x.tolist())
    contiguous (8, 4) [[1.0, 2.0], [3.0, 4.0]]
    fortran (4, 8) [[1.0, 2.0], [3.0, 4.0]]
    strided (48, 12) [[1.0, 2.0], [3.0, 4.0]]
    reversed (-8, -4) [[1.0, 2.0], [3.0, 4.0]]
    unaligned (8, 4) [[1.0, 2.0], [3.0, 4.0]]
    read-only (8, 4) [[1.0, 2.0], [3.0, 4.0]]
    swapped (8, 4) [[1.0, 2.0], [3.0, 4.0]]
    """
    values = np.array(array, order="C")
    # The dots keep a scalar an array.
    backwards: tuple[Any, ...] = (*(slice(None, None, -1),) * values.ndim, ...)
    read_only = values.copy()
    read_only.setflags(write=False)
    return {
        "contiguous": values,
        "fortran": values.copy(order="F"),
        "strided": _strided(values),
        "reversed": values[backwards].copy()[backwards],
        "unaligned": _unaligned(values),
        "read-only": read_only,
        "swapped": values.astype(values.dtype.newbyteorder("S")),
    }


def _strided(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`values` with gaps along every axis, which hold other bits."""
    gaps = [2 if axis == 0 else 3 for axis in range(values.ndim)]
    extents = [extent * gap for extent, gap in zip(values.shape, gaps, strict=True)]
    memory = np.full(int(np.prod(extents)) * values.itemsize, 0x5A, np.uint8)
    steps: tuple[Any, ...] = (*(slice(None, None, gap) for gap in gaps), ...)
    view: npt.NDArray[Any] = memory.view(values.dtype).reshape(extents)[steps]
    view[...] = values
    return view


def _unaligned(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`values` one byte after an address that fits their type."""
    memory = np.empty(values.nbytes + 1, np.uint8)
    view = memory[1:].view(values.dtype).reshape(values.shape)
    view[...] = values
    return view
