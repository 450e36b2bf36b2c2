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

_LONG = 20
"""Letters that a word keeps together: as many as a device's name, a MAC address, or an IPv4 address with its prefix."""
_GAP = 2
"""Blanks between two columns."""


class Table(NamedTuple):
    """Rows under headings."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    spare: tuple[str, ...] = ()
    """Columns that a narrow terminal does without, the first of them first."""


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

    console = Console(file=out)
    told, widths, left_out = fitted(table, console.width)
    shown = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, width in zip(told.columns, widths, strict=True):
        shown.add_column(name, overflow="fold", width=width)  # cut off, a name would be of no use
    for row in told.rows:
        shown.add_row(*(Text(clean(cell), style=STYLES.get(cell, "")) for cell in row))
    console.print(shown)
    if left_out:
        console.print(Text(f"a wider terminal shows {', '.join(left_out)}, too", style="dim"))


def fitted(table: Table, room: int) -> tuple[Table, list[int | None], list[str]]:
    """Return *table* as *room* columns of text hold it, how wide each column is, and which are left out.

    A word is broken only where it is long, or nothing else helps: a MAC address in pieces is of little use.
    """
    left_out: list[str] = []
    while True:
        cells = [*zip(table.columns, *(map(clean, row) for row in table.rows), strict=True)]
        whole = [max(map(len, column)) for column in cells]
        least = [max(min(len(word), _LONG) for cell in column for word in cell.split() or [""]) for column in cells]
        space = room - _GAP * (len(cells) - 1)
        if sum(whole) <= space:
            return table, [*whole], left_out
        if sum(least) <= space:
            return table, [*_shared(least, whole, space)], left_out
        spare = next((name for name in table.spare if name in table.columns), "")
        if not spare:
            return table, [None] * len(cells), left_out
        left_out.append(spare)
        table = _without(table, table.columns.index(spare))


def _without(table: Table, at: int) -> Table:
    rows = [(*row[:at], *row[at + 1 :]) for row in table.rows]
    return table._replace(columns=(*table.columns[:at], *table.columns[at + 1 :]), rows=rows)


def _shared(least: list[int], whole: list[int], space: int) -> list[int]:
    """Return each column's width: what is left is shared by those that want more."""
    widths = [*least]
    while (left := space - sum(widths)) and (wanting := [at for at, most in enumerate(whole) if widths[at] < most]):
        for at in wanting[:left]:
            widths[at] += 1
    return widths


def clean(text: str) -> str:
    """Return *text* without what would steer a terminal; names come from files that others may write."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)
