"""Tables of text: plain, and for those who print with rich."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["plain_table", "rich_table"]

Rows = Sequence[Sequence[str]]


def plain_table(head: Sequence[str], rows: Rows, left: int = 1) -> str:
    """Columns side by side, the first `left` of them flush left, numbers flush right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    )


def rich_table(head: Sequence[str], rows: Rows, left: int = 1, title: str | None = None) -> Any:
    """The same for ``rich.print``. Names are shown as they are, brackets included."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for place, name in enumerate(head):
        table.add_column(name, justify="left" if place < left else "right", no_wrap=place >= left)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
