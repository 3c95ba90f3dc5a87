"""What was made of parameters, kept for the next call with the same ones."""

from __future__ import annotations

import threading
from typing import Any, Generic, TypeVar

import numpy as np

Made = TypeVar("Made")
MOST_ENTRIES = 4096  # of a parameter that is an array
PLAIN = frozenset((type(None), int, str, bool))


class Remembered(Generic[Made]):
    """The last things that were made, by a key. Checking parameters and bringing them to C's terms
    takes far longer than a small operation."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._kept: dict[Any, Made] = {}
        self._lock = threading.Lock()

    def get(self, key: Any) -> Made | None:
        """What was kept under a key; None is no key."""
        return self._kept.get(key)

    def keep(self, key: Any, made: Made) -> None:
        if key is None:
            return
        with self._lock:
            while len(self._kept) >= self._most:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = made


def key_of(*parameters: Any) -> Any:
    """What parameters have in common that mean the same, by their very bytes; None if that is hard
    to say. What says the kind of a parameter also says how many entries of the key are its own."""
    values: list[Any] = []
    for parameter in parameters:
        kind = type(parameter)
        if kind is np.ndarray:
            if parameter.size > MOST_ENTRIES or parameter.dtype.hasobject:
                return None
            values += parameter.dtype, parameter.shape, parameter.tobytes()
        elif kind in PLAIN:
            values += kind, parameter
        elif isinstance(parameter, np.generic):
            # Zeros of different sign are equal, but their bytes are not.
            values += kind, parameter or parameter.tobytes()
        elif kind is float:
            values += kind, parameter or str(parameter)
        elif kind is tuple or kind is list:
            entries = key_of(*parameter)
            if entries is None:
                return None
            values += kind, entries
        else:
            return None
    return tuple(values)
