"""The sections of a firewall file: which line belongs to which; what is in a line is not known here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_HEADER = re.compile(r"\[\s*([^\s\]]+)(?:\s+([^\s\]]+))?\s*\]\s*(?:#\s*(.*))?")
_BOM = "\ufeff"


@dataclass(slots=True)
class Section:
    """A header, and the lines below it that say something: neither blank nor a comment."""

    line: int
    """1 is the first; 0 stands for what is before the first header."""
    text: str = ""
    """The header as it is written."""
    kind: str = ""
    """In lower case: ``options``, ``ipset``; nothing where the header is none."""
    name: str = ""
    """Of a set or a group, as it is written."""
    comment: str = ""
    body: list[tuple[int, str]] = field(default_factory=list)
    """Line number and text, without blanks around."""


def split(text: str) -> tuple[str, ...]:
    """Return the lines of *text*, with their ends: only a newline ends one."""
    return tuple(_LINES.findall(text))


def sections(lines: tuple[str, ...]) -> Iterator[Section]:
    """Yield the sections in order, and before them what stands above the first, if there is anything."""
    section = Section(0)
    for number, raw in enumerate(lines, 1):
        line = (raw.removeprefix(_BOM) if number == 1 else raw).strip()
        if line.startswith("["):
            if section.line or section.body:
                yield section
            section = _opened(number, line)
        elif line and not line.startswith("#"):
            section.body.append((number, line))
    if section.line or section.body:
        yield section


def _opened(number: int, line: str) -> Section:
    found = _HEADER.fullmatch(line)
    if not found:
        return Section(number, line)
    return Section(number, line, found[1].lower(), found[2] or "", (found[3] or "").strip())
