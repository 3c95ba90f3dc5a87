"""The keys as a table, which ``docs/configuration.md`` shows."""

from __future__ import annotations

from quantlib.model.configuration.sections import SECTIONS, Key

__all__ = ["documentation"]


def documentation() -> str:
    """The sections and keys in Markdown.

    >>> print(documentation()[:114])
    ### `[common_quant_param]`: what is quantized, and to how many bits
    <BLANKLINE>
    | key | default | allowed | what it says | `Q
    """
    return "\n\n".join(
        "\n".join([
            f"### `[{section.section}]`: {_title(section)}\n",
            "| key | default | allowed | what it says | `QuantConfig` |",
            "|:--|:--|:--|:--|:--|",
            *map(_row, section.table().values()),
        ])
        for section in SECTIONS
    )  # fmt: skip


def _title(section: type) -> str:
    text = (section.__doc__ or "").splitlines()[0].rstrip(".")
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def _row(key: Key) -> str:
    cells = [f"`{key.name}`", _default(key), key.kind.allowed, key.meaning, key.becomes or "-"]
    return f"| {' | '.join(cells)} |"


def _default(key: Key) -> str:
    if key.default in (None, "", ()):
        return ""
    value = str(key.default)
    return f"`{value.lower() if isinstance(key.default, bool) else value}`"
