"""What the value of a key may be: how it is written in a file, what it becomes, what is allowed.

A kind is one frozen object. `read` makes a value of text, `check` takes one that is already a
value; both raise a ValueError without a message where it is none, because `allowed` says all
that there is to say, and whoever asks knows the section and the key.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Choice", "Flag", "Folders", "Integer", "Kind", "Names", "Real", "Text", "Vector"]

_INTEGER = re.compile(r"[+-]?[0-9]+")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DIGITS = 4000  # of an integer that Python turns into a number without complaint


class Kind(ABC):
    """What a value may be."""

    type_name: str

    @property
    @abstractmethod
    def allowed(self) -> str:
        """What may stand behind "it must be"."""

    @abstractmethod
    def read(self, text: str) -> Any:
        """The value that a text says; the text is trimmed and not empty."""

    @abstractmethod
    def check(self, value: Any) -> Any:
        """The value, if it is one."""


@dataclass(frozen=True)
class Choice(Kind):
    """One of several names; aliases stand for some of them."""

    names: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    type_name = "name"

    @property
    def allowed(self) -> str:
        *others, last = (*self.names, *self.aliases)
        return f"{', '.join(others)} or {last}" if others else last

    def read(self, text: str) -> str:
        return self.check(text)

    def check(self, value: Any) -> str:
        value = self.aliases.get(value, value) if isinstance(value, str) else value
        if value not in self.names:
            raise ValueError
        return str(value)


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number of a range, written in decimal."""

    lowest: int
    highest: int
    type_name = "integer"

    @property
    def allowed(self) -> str:
        return f"an integer from {self.lowest} to {self.highest}"

    def read(self, text: str) -> int:
        if not _INTEGER.fullmatch(text) or len(text) > _DIGITS:
            raise ValueError
        return self.check(int(text))

    def check(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError
        if not self.lowest <= value <= self.highest:
            raise ValueError
        return value


@dataclass(frozen=True)
class Real(Kind):
    """A finite number; between two others, exclusive, if `between` says so."""

    between: tuple[float, float] = (-math.inf, math.inf)
    type_name = "number"

    @property
    def allowed(self) -> str:
        low, high = self.between
        return f"a number above {low:g} and below {high:g}" if math.isfinite(low) else "a number"

    def read(self, text: str) -> float:
        if not _REAL.fullmatch(text):
            raise ValueError
        return self.check(float(text))

    def check(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError
        low, high = self.between
        if not (math.isfinite(value) and low < value < high):
            raise ValueError
        return float(value)


@dataclass(frozen=True)
class Flag(Kind):
    """True or false, in any case."""

    type_name = "boolean"
    allowed = "true or false"

    def read(self, text: str) -> bool:
        return self.check({"true": True, "false": False}.get(text.lower()))

    def check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value


@dataclass(frozen=True)
class Text(Kind):
    """Any text, such as the path of a folder."""

    type_name = "text"
    allowed = "text"

    def read(self, text: str) -> str:
        return text

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError
        return value


@dataclass(frozen=True)
class Names(Kind):
    """Names with commas between; blanks belong to the names."""

    type_name = "list of names"
    allowed = "names with commas between"

    def read(self, text: str) -> tuple[str, ...]:
        return tuple(name for name in text.split(",") if name)

    def check(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, str) or not all(isinstance(name, str) for name in value):
            raise ValueError
        return tuple(value)


@dataclass(frozen=True)
class Vector(Kind):
    """Numbers in brackets, with commas between."""

    type_name = "vector"
    allowed = "numbers in brackets, such as [127.5, 127.5, 127.5]"

    def read(self, text: str) -> tuple[float, ...]:
        if not (text.startswith("[") and text.endswith("]")):
            raise ValueError
        return tuple(Real().read(part.strip()) for part in text[1:-1].split(","))

    def check(self, value: Any) -> tuple[float, ...]:
        if isinstance(value, str):
            raise ValueError
        return tuple(Real().check(part) for part in value)


@dataclass(frozen=True)
class Folders(Kind):
    """A folder for each input: ``name:folder``, with commas between.

    The last colon counts, since names of inputs may have some.
    """

    type_name = "list of name:folder"
    allowed = "name:folder for each input of the model, with commas between"

    def read(self, text: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for part in text.split(","):
            name, _, folder = part.strip().rpartition(":")
            if not name or not folder or name in found:
                raise ValueError
            found[name] = folder
        return found

    def check(self, value: Any) -> dict[str, str]:
        if not isinstance(value, Mapping):
            raise ValueError
        return {str(name): str(folder) for name, folder in value.items()}
