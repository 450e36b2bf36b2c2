"""What a file of interfaces(5) is made of: lines, and the stanzas they make.

Sources: as of `pvenetd.interfaces.syntax`, which reads them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from pvenetd.errors import Problem, Severity

FAMILIES = ("inet", "inet6", "ipx", "can")
"""Address families of an iface line."""

BLANKS = " \t\r\v\f"
"""What parts words, and what a line may begin and end with: isspace() in the C locale."""

GAP = re.compile(f"[{BLANKS}]+")
"""What stands between two words."""

OPENERS = frozenset(
    (
        "auto", "iface", "mapping", "no-auto-down", "no-scripts", "rename", "source", "source-directory", "template",
        "vlan",
    )
)  # fmt: skip
"""First words that begin something new; ``allow-CLASS`` does so too."""


@lru_cache(maxsize=1 << 12)
def canonical(name: str) -> str:
    """Return how an option is looked up: ifupdown2 takes ``_`` for ``-``; all lines of one name share it."""
    return name.replace("_", "-")


@lru_cache(maxsize=64)
def _all_words(value: str) -> frozenset[str]:
    return frozenset(GAP.split(value)) if value else frozenset()


class Line(NamedTuple):
    """A line with those that continue it; a file has tens of thousands, and a tuple is made in no time."""

    path: str
    line: int
    """Number of its first line in the file, from 1."""
    raw: str
    """As it is written, line ends included."""
    name: str
    """Its first word, as it is spelt; empty for blank lines and comments."""
    value: str
    """The rest: continuations joined, blanks around it removed, those within it kept."""
    key: str
    """The name as options are looked up."""

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words of the value."""
        return tuple(GAP.split(self.value)) if self.value else ()

    def has(self, word: str) -> bool:
        """Return whether *word* is one of them; asked of each of thousands in turn, it stays quick."""
        return word in _all_words(self.value)

    @property
    def origin(self) -> str:
        """Return ``FILE:LINE``."""
        return f"{self.path}:{self.line}"

    @property
    def opens_stanza(self) -> bool:
        """Return whether it begins something new, so that no option after it belongs to what was before."""
        return self.name in OPENERS or (self.name.startswith("allow-") and self.name != "allow-")

    def problem(
        self, message: str, hint: str = "", *, severity: Severity = "error", interface: str = "", option: str = ""
    ) -> Problem:
        """Return a `Problem` of the syntax of this line."""
        return Problem(self.path, self.line, "syntax", message, severity, hint, interface, option)


Option = Line
"""A line inside a stanza."""


@dataclass(slots=True, eq=False)
class Stanza:
    """What one line, and the options below it, say; two are the same only if they stand at one place of one text.

    Once read, it is not changed.  It is not frozen: setting the fields of thousands by way of
    object.__setattr__ is felt.
    """

    head: Line

    @property
    def path(self) -> str:
        """Return the file it stands in."""
        return self.head.path

    @property
    def line(self) -> int:
        """Return the line it begins at."""
        return self.head.line


@dataclass(slots=True, eq=False)
class Iface(Stanza):
    """``iface NAME [FAMILY [METHOD]] [inherits TEMPLATE]``, and ``template`` and ``vlan`` of the same shape."""

    name: str
    family: str | None
    """One of `FAMILIES`; None where it is not said (ifupdown2)."""
    method: str | None
    inherits: str | None
    options: tuple[Option, ...]
    """In order; an option may stand there more than once, an empty value is reported."""

    @property
    def is_interface(self) -> bool:
        """Return whether it is about an interface: a ``template`` or ``vlan`` stanza is not."""
        return self.head.name == "iface"


@dataclass(slots=True, eq=False)
class Mapping(Stanza):
    """``mapping PATTERN…``: a script that chooses the iface stanza of a device."""

    patterns: tuple[str, ...]
    script: str
    maps: tuple[str, ...]


@dataclass(slots=True, eq=False)
class Selection(Stanza):
    """``auto``, ``allow-CLASS``, ``no-auto-down``, ``no-scripts``: a list of names or patterns."""

    names: tuple[str, ...]

    @property
    def group(self) -> str | None:
        """Return the class whose interfaces are brought up together; ``allow-auto`` is ``auto``."""
        word = self.head.name
        return word.removeprefix("allow-") if word == "auto" or word.startswith("allow-") else None


@dataclass(slots=True, eq=False)
class Rename(Stanza):
    """``rename CUR=NEW…``."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(slots=True, eq=False)
class Source(Stanza):
    """``source PATTERN…`` and ``source-directory PATTERN…``."""

    patterns: tuple[str, ...]

    @property
    def is_directory(self) -> bool:
        """Return whether the patterns name directories."""
        return self.head.name == "source-directory"


@dataclass(frozen=True, slots=True)
class File:
    """A file: every line in order, the stanzas they make, and what is wrong with them."""

    path: str
    lines: tuple[Line, ...]
    stanzas: tuple[Stanza, ...]
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        return "".join(line.raw for line in self.lines)

    def __bytes__(self) -> bytes:
        return str(self).encode("utf-8", "surrogateescape")
