"""What pvenetctl prints: lines and tables; in colour on a terminal, plain when piped."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO

STYLES = {
    "up": "green",
    "down": "red",
    "absent": "red",
    "unplugged": "dim",
    "filtered": "green",
    "not loaded": "red",
    "in sync": "green",
}
"""Words that have a colour of their own."""


class Table(NamedTuple):
    """Rows under headings."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


Block = str | Table


def write(blocks: Iterable[Block], out: TextIO) -> None:
    """Print *blocks*, one below the other."""
    fancy = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    for block in blocks:
        if isinstance(block, str):
            out.write(f"{clean(block)}\n")
        elif block.rows and fancy:
            _write_fancy(block, out)
        elif block.rows:
            out.write(plain(block))


def plain(table: Table) -> str:
    """Return *table* in columns, two blanks apart."""
    rows = [tuple(name.upper() for name in table.columns), *(tuple(map(clean, row)) for row in table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]
    return "".join(_line(row, widths) for row in rows)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"


def _write_fancy(table: Table, out: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in table.columns:
        shown.add_column(name, overflow="fold")  # cut off, a name would be of no use
    for row in table.rows:
        shown.add_row(*(Text(clean(cell), style=STYLES.get(cell, "")) for cell in row))
    Console(file=out).print(shown)


def clean(text: str) -> str:
    """Return *text* without what would steer a terminal; names come from files that others may write."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)
