"""The lines of a firewall file that is being changed: which there are of a section, and lines put in and taken out."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from pvenetd.errors import NotFound
from pvenetd.firewall.sections import Section, sections, split

_ORDER = ("options", "aliases", "ipset", "rules", "group")
"""Of sections in a file, as Proxmox writes them."""
_HEADERS = {"options": "[OPTIONS]", "aliases": "[ALIASES]", "rules": "[RULES]"}


class Sheet:
    """Lines; a row is a line's place among them, 0 the first."""

    def __init__(self, text: str) -> None:
        self.lines = list(split(text))
        self._open = bool(text) and not text.endswith("\n")
        self._end = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"

    def text(self) -> str:
        """Return the text; one without a newline at its end stays so."""
        lines = self.ended(self.lines)
        if self._open and lines and lines[-1].rstrip("\r\n"):
            lines[-1] = lines[-1].removesuffix("\n").removesuffix("\r" if self._end == "\r\n" else "")
        return "".join(lines)

    def digest(self, kind: str, name: str = "") -> str:
        """Return the SHA-1 of what is in all sections of a kind, or in the one with this name."""
        found = self.sections(kind, name)
        raw = [self.lines[number - 1] for section in found for number, _ in [(section.line, ""), *section.body]]
        return hashlib.sha1("".join(raw).encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()

    def sections(self, kind: str, name: str = "") -> list[Section]:
        """Return the sections of a kind, or the one with this name, in any case."""
        return [
            section
            for section in sections(tuple(self.lines))
            if section.kind == kind and section.line and name.lower() in ("", section.name.lower())
        ]

    def section(self, kind: str, name: str) -> Section:
        """Return a set or a group by its name.  Raises `NotFound`."""
        found = self.sections(kind, name)
        if not found or not name:
            raise NotFound(f"no {kind} {name}")
        return found[0]

    def rows(self, kind: str, name: str = "") -> list[int]:
        """Return the rows of what is in them."""
        return [number - 1 for section in self.sections(kind, name) for number, _ in section.body]

    def above(self, row: int) -> int:
        """Return where the comment directly above a row begins, or the row."""
        while row and self.lines[row - 1].lstrip().startswith("#"):
            row -= 1
        return row

    def after(self, first: int) -> int:
        """Return where the section that begins in a row ends: where the next, with the comment above it, begins."""
        following = next((one.line - 1 for one in sections(tuple(self.lines)) if one.line - 1 > first), None)
        return len(self.lines) if following is None else max(self.above(following), first + 1)

    def ended(self, lines: list[str]) -> list[str]:
        """Return *lines*, each with its end."""
        return [line if line.endswith("\n") else line + self._end for line in lines]

    def insert(self, row: int, *texts: str) -> None:
        """Put lines above a row."""
        if row and not self.lines[row - 1].endswith("\n"):
            self.lines[row - 1] += self._end
        self.lines[row:row] = [text + self._end for text in texts]

    def delete(self, rows: Collection[int]) -> None:
        """Take rows out."""
        for row in sorted(rows, reverse=True):
            del self.lines[row]

    def append(self, kind: str, name: str, text: str) -> None:
        """Put a line below the last one of a section, which is made where there is none.

        Raises `NotFound` where one with that *name* is not there.
        """
        if name:
            self.section(kind, name)  # raises where there is none
        found = self.sections(kind, name)
        if not found:
            self.open(kind)
            found = self.sections(kind)
        rows = [number for section in found for number, _ in section.body]
        if rows:
            self.insert(rows[-1], text)
            return
        row = found[-1].line
        if row + 1 < self.after(row - 1) and is_blank(self.lines[row]):
            row += 1
        self.insert(row, text)

    def open(self, kind: str, name: str = "", comment: str = "") -> None:
        """Make a section below the last of those that come before it in a file, a blank line on either side."""
        header = f"[{'IPSET' if kind == 'ipset' else kind} {name}]" if name else _HEADERS[kind]
        header += f" # {comment}" if comment else ""
        there = [one for one in sections(tuple(self.lines)) if one.line]
        before = [one for one in there if one.kind in _ORDER[: _ORDER.index(kind) + 1]]
        row = self.after(before[-1].line - 1) if before else self.above(there[0].line - 1) if there else None
        if row is None or row == len(self.lines):
            last = self.lines[-1] if self.lines else ""
            if last.endswith("\n") and is_blank(last):
                self.insert(len(self.lines), header, "")
            else:
                self.insert(len(self.lines), *([""] if last else []), header)
        else:
            self.insert(row, header, "")


def is_blank(line: str) -> bool:
    """Return whether a line says nothing at all."""
    return not line.strip()
