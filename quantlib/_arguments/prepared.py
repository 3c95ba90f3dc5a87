"""Prepared operations that outlive the process: pickled, copied, saved and loaded.

A saved operation is a zip archive: ``operation.json`` says what it is and holds the plain arguments
of its constructor, and one ``.npy`` file holds each argument that is an array. ``numpy.load`` reads
it too. Nothing in it is code, and nothing is compressed, so that loading allocates no more than the
size of the file.
"""

from __future__ import annotations

import io
import json
import math
import os
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Self

import numpy as np

from quantlib._arguments.arrays import Array
from quantlib._arguments.output import as_activation
from quantlib.params import as_array, has_dtype

FORMAT = 1
HEADER = "operation.json"
LARGEST_EMPTY = 2**24  # elements that an array without any would have, were its extents of 0 1


class Prepared(ABC):
    """An operation with everything but its input fixed. It never changes."""

    @abstractmethod
    def _arguments(self) -> dict[str, Any]:
        """The arguments of the constructor: arrays and plain values of its own."""

    @classmethod
    def _operation(cls) -> str:
        """The name of the operation, which that of a subclass may differ from."""
        return next(base.__name__ for base in cls.__mro__ if Prepared in base.__bases__)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._arguments())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the operation to a file, from which `load` makes it again.

        Parameters
        ----------
        path : str or os.PathLike
            The file's name, to which nothing is added; ``.npz`` says best what it is. A file that
            exists is replaced when the new one is complete.

        Raises
        ------
        TypeError
            If `path` is not a path.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import numpy as np, os, tempfile
        >>> import quantlib as ql
        >>> product = ql.MatMulInteger(np.int8([[1, 2], [3, 4]]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     product.save(os.path.join(folder, "product.npz"))
        ...     again = ql.MatMulInteger.load(os.path.join(folder, "product.npz"))
        >>> again(np.uint8([[1, 1]]))
        array([[4, 6]], dtype=int32)
        """
        arguments = dict(sorted(self._arguments().items()))
        arrays = {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}
        header = {
            "format": FORMAT,
            "operation": self._operation(),
            "arguments": {name: arguments[name] for name in arguments if name not in arrays},
            "arrays": list(arrays),
        }
        with (
            _replaced_when_complete(_as_path(path)) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
        ):
            archive.writestr(zipfile.ZipInfo(HEADER), json.dumps(header, indent=1))
            for name, array in arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The operation that `save` wrote to a file, packed for the instruction set in use.

        Parameters
        ----------
        path : str or os.PathLike
            The file's name.

        Returns
        -------
        Self
            An operation with the same results. Those of `quantlib` and of `quantlib.reference` load
            each other's files.

        Raises
        ------
        TypeError
            If `path` is not a path.
        OSError
            If the file cannot be read.
        ValueError
            If it does not hold an operation of this class and of a format that this version knows.

        Examples
        --------
        >>> import numpy as np, os, tempfile
        >>> import quantlib as ql
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ql.MatMulInteger(np.int8([[1]])).save(os.path.join(folder, "product.npz"))
        ...     ql.QLinearMatMul.load(os.path.join(folder, "product.npz"))
        Traceback (most recent call last):
            ...
        ValueError: product.npz holds a MatMulInteger, not a QLinearMatMul
        """
        path = _as_path(path)
        name = os.path.basename(path)
        with open(path, "rb") as file:
            try:
                operation, arguments = _read(file)
            except Exception as error:  # a file that anyone may have written fails in many ways
                raise ValueError(f"{name} is not a saved operation: {error}") from error
        if operation != cls._operation():
            raise ValueError(f"{name} holds a {operation}, not a {cls._operation()}")
        try:
            return cls(**arguments)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{name} holds a {operation} that is not valid: {error}") from error


def own_arguments(**parameters: Any) -> dict[str, Any]:
    """Private copies of the parameters of a prepared operation, `activation` among them or not:
    arrays where they have a dtype, otherwise plain values."""
    return {
        name: _own_activation(value) if name == "activation" else _own(value, name)
        for name, value in parameters.items()
    }


def own_geometry(**attributes: Any) -> dict[str, Any]:
    """Private copies of the attributes of a convolution, sequences of integers as lists."""
    return {name: _own_attribute(value) for name, value in attributes.items()}


def _own(value: Any, name: str) -> Any:
    if value is None:
        return None
    array = as_array(value, name)
    return array.copy() if has_dtype(value) else array.tolist()


def _own_activation(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else as_activation(value)


def _own_attribute(value: Any) -> Any:
    """What is no attribute stays what it is, for the checks to say so."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes, bytearray, memoryview)):
        return value
    return [entry.item() if isinstance(entry, np.generic) else entry for entry in value]


def _restore(cls: type[Prepared], arguments: dict[str, Any]) -> Prepared:
    return cls(**arguments)


def _as_path(path: Any) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or os.PathLike, not {type(path).__name__}")
    return os.fsdecode(path)


@contextmanager
def _replaced_when_complete(path: str) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` at the end, and leaves nothing if that fails."""
    partial = f"{path}.{os.getpid()}-{threading.get_ident()}.partial"
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.remove(partial)
        raise


def _read(file: BinaryIO) -> tuple[str, dict[str, Any]]:
    """The operation's name and its arguments."""
    with zipfile.ZipFile(file) as archive:
        header = json.loads(archive.read(_checked(archive.getinfo(HEADER))))
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise ValueError("it has a format that this version does not know")
        arguments = header["arguments"]
        if not isinstance(header["operation"], str) or not isinstance(arguments, dict):
            raise ValueError(f"{HEADER} is not in order")
        for name in header["arrays"]:
            member = f"{name}.npy"
            arguments[name] = _array(archive.read(_checked(archive.getinfo(member))), member)
    return header["operation"], arguments


def _checked(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed")
    return member


def _array(content: bytes, name: str) -> Array:
    """The array of a ``.npy`` file, whose header is believed only as far as its content goes."""
    stream = io.BytesIO(content)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[np.lib.format.read_magic(stream)]
    shape, fortran_order, dtype = read_header(stream)
    if dtype.kind not in "biuf" or any(extent < 0 for extent in shape):
        raise ValueError(f"{name} holds no array of numbers")
    elements = math.prod(shape)
    if elements * dtype.itemsize != len(content) - stream.tell():
        raise ValueError(f"{name} does not have the size of its shape, {shape}")
    if not elements and math.prod(max(extent, 1) for extent in shape) > LARGEST_EMPTY:
        raise ValueError(f"{name} has the shape {shape}")
    flat = np.frombuffer(content, dtype, elements, stream.tell())
    return flat.reshape(shape, order="F" if fortran_order else "C")
