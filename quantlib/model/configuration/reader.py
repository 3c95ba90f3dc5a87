"""Files to a `Configuration`.

A line is trimmed. Lines of two characters or less, lines that start with ``#``, and lines without
``=`` say nothing. ``[name]`` begins a section. A key ends at the first ``=``; the rest is its
value, to the end of the line: there are no comments behind values. Of a key that is given twice
the first counts. Sections that are not known are none of ours, and are passed over.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from quantlib.model.configuration.configuration import Configuration
from quantlib.model.configuration.sections import SECTIONS, ConfigurationError

__all__ = ["parse", "read_config"]

MOST_LINES = 100_000
SHORTEST_LINE = 3

Given = dict[tuple[str, str], "Entry"]


class Entry(NamedTuple):
    """What is said of a key, and where."""

    value: str
    place: str


def read_config(path: str | os.PathLike[str] | None, settings: Sequence[str] = ()) -> Configuration:
    """Read a configuration file.

    Parameters
    ----------
    path : path or None
        An INI file with the sections and keys of ``docs/configuration.md``, in UTF-8. None is an
        empty file.
    settings : sequence of str
        Keys that win over those of the file, as ``"section.key=value"``, or as ``"key=value"``
        where only one section has such a key.

    Returns
    -------
    Configuration
        Every key's value, that of the file or the default.

    Raises
    ------
    ConfigurationError
        If a known section has an unknown key, or a key has a value that it cannot have; the message
        names file, line, section, key, value, and what is allowed. It is a ValueError.
    ValueError
        If the file is no text, or has more than 100,000 lines.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import quantlib as ql
    >>> path = Path(tempfile.mkdtemp()) / "weights.cfg"
    >>> _ = path.write_text("[common_quant_param]\\nquant_type=WEIGHT_QUANT\\nbit_num=4\\n")
    >>> config = ql.model.read_config(path)
    >>> config.common.bit_num, config.weight.per_channel
    (4, True)
    """
    first = _settings(settings)
    if path is None:
        return parse("", "settings", first)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: no text in UTF-8, byte {error.start}") from None
    return parse(text, os.fspath(path), first)


def parse(text: str, name: str = "configuration", first: Given | None = None) -> Configuration:
    """The configuration that a text says; `name` is what errors call it.

    What stands in `first` wins over the text.

    >>> parse("[common_quant_param]\\nquant_type = FULL_QUANT\\nbit_num = 9")
    Traceback (most recent call last):
    quantlib.model.configuration.sections.ConfigurationError: configuration, line 3: \
[common_quant_param] bit_num is 9; with quant_type FULL_QUANT it must be an integer from 1 to 8
    """
    given = {**_entries(text, name), **(first or {})}
    try:
        sections: list[Any] = []
        for kind in SECTIONS:
            own = {key: entry for (section, key), entry in given.items() if section == kind.section}
            known = kind.table()
            for key in own:
                if key not in known:
                    raise ConfigurationError(kind.section, key, _unknown(key, own[key], known))
            values = {key: known[key].read(entry.value) for key, entry in own.items()}
            sections.append(kind(**values))
        return Configuration(*sections)
    except ConfigurationError as error:
        entry = given.get((error.section, error.key))
        raise error.at(name if entry is None else entry.place) from None


def _entries(text: str, name: str) -> Given:
    """What a text says, by section and key."""
    given: Given = {}
    section = ""
    lines = text.split("\n")
    if len(lines) - (not lines[-1]) > MOST_LINES:
        raise ValueError(f"{name}: more than {MOST_LINES:,} lines")
    for number, line in enumerate(map(str.strip, lines), start=1):
        if len(line) < SHORTEST_LINE or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            continue
        key, separator, value = line.partition("=")
        if separator:
            entry = Entry(value.strip(), f"{name}, line {number}")
            given.setdefault((section, key.strip()), entry)
    return given


def _settings(settings: Sequence[str]) -> Given:
    """What settings say; the last one of a key counts."""
    given: Given = {}
    for setting in settings:
        name, separator, value = setting.partition("=")
        section, _, key = name.strip().rpartition(".")
        if not separator:
            raise ValueError(f"setting {setting!r} must have the form key=value")
        sections = [kind.section for kind in SECTIONS if section in ("", kind.section)]
        having = [kind.section for kind in SECTIONS if key in kind.table()]
        found = [one for one in sections if one in having] or (sections if section else [])
        if len(found) != 1:
            where = f"in several sections: {', '.join(found)}" if found else "in no section"
            raise ValueError(f"setting {setting!r}: {key!r} is {where}")
        given[found[0], key] = Entry(value.strip(), f"setting {setting!r}")
    return given


def _unknown(key: str, entry: Entry, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return f" = {entry.value!r}: there is no such key{meant}; there are {', '.join(known)}"
