"""What was made of parameters, kept for the next call with the same ones."""

from __future__ import annotations

import threading
from operator import is_
from typing import Any, Generic, TypeVar

import numpy as np

Made = TypeVar("Made")
MOST_ENTRIES = 4096  # of a parameter that is an array
PLAIN = frozenset((type(None), int, str, bool))
UNCHANGING = PLAIN | {float, *(np.dtype(code).type for code in np.typecodes["AllInteger"] + "efd")}


class Remembered(Generic[Made]):
    """The last things that were made, by a key. Checking parameters and bringing them to C's terms
    takes far longer than a small operation."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._kept: dict[Any, Made] = {}
        self._lock = threading.Lock()
        self._last: tuple[Any, tuple[Any, ...], Made] | None = None

    def again(self, kind: Any, parameters: tuple[Any, ...]) -> Made | None:
        """What the call before came to, if it was of this kind and had these very parameters."""
        last = self._last
        if last is None or last[0] != kind or not all(map(is_, last[1], parameters)):
            return None
        return last[2]

    def hold(self, kind: Any, parameters: tuple[Any, ...], made: Made) -> None:
        """Have it found `again`, unless a parameter might have changed until then. One kind has one
        number of parameters."""
        if UNCHANGING.issuperset(map(type, parameters)):
            self._last = kind, parameters, made

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
