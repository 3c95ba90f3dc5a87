"""What was made of parameters, kept for the next call with the same ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from quantlib import _native

Made = TypeVar("Made")
MOST_ENTRIES = 4096  # of a parameter that is an array
PLAIN = frozenset((type(None), int, str, bool))
UNCHANGING = PLAIN | {float, *(np.dtype(code).type for code in np.typecodes["AllInteger"] + "efd")}


MAY_BE_HELD = UNCHANGING | {np.ndarray}
PATIENCE = 16  # how often objects are held without one of them being found again


class _Held(NamedTuple):
    """What was made of parameters that are to be found by their very objects."""

    find: Callable[[int], int]  # which of them a tuple at an address holds
    parameters: tuple[_native.Parameters, ...]
    made: tuple[tuple[Any, Any], ...]  # of which kind, and what


class Remembered(Generic[Made]):
    """The last things that were made, by a key. Checking parameters and bringing them to C's terms
    takes far longer than a small operation.

    What is kept is replaced as a whole, never changed: of two threads at once one may lose what it
    kept, which is made again. There is no lock, which a child that is forked in between would find
    locked for ever.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._kept: dict[Any, Made] = {}
        self._held = _Held(_native.finder(()), (), ())
        self._patience = PATIENCE

    def again(self, kind: Any, parameters: tuple[Any, ...]) -> Made | None:
        """What a call before came to, if it was of this kind and had these very parameters."""
        find, _, entries = self._held
        index = find(id(parameters))
        if index < 0:
            return None
        its_kind, made = entries[index]
        if its_kind != kind:
            return None
        self._patience = PATIENCE
        return made  # type: ignore[no-any-return]

    def hold(self, kind: Any, parameters: tuple[Any, ...], made: Made) -> None:
        """Have it found `again`, as long as no parameter has changed. Where parameters are new
        objects in each call, that is tried less and less."""
        self._patience -= 1
        if self._patience < 0 and self._patience % PATIENCE:
            return
        if not (
            MAY_BE_HELD.issuperset(map(type, parameters))
            and _native.Parameters.can_hold(parameters)
        ):
            return
        find, held, entries = self._held
        index = find(id(parameters))
        before = [i for i in range(len(held)) if i != index][1 - self._most :]
        held = (*(held[i] for i in before), _native.Parameters(parameters))
        entries = (*(entries[i] for i in before), (kind, made))
        self._held = _Held(_native.finder(held), held, entries)

    def get(self, key: Any) -> Made | None:
        """What was kept under a key; None is no key."""
        return self._kept.get(key)

    def keep(self, key: Any, made: Made) -> None:
        if key is None:
            return
        kept = self._kept.copy()
        while len(kept) >= self._most:
            del kept[next(iter(kept))]
        kept[key] = made
        self._kept = kept


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
