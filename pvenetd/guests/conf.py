"""``<vmid>.conf``: guests as Proxmox VE's files have them, VMs and containers: ``key: value`` lines.

After them comes a section for each snapshot, and one for what waits for the guest's next start; only what
stands before the first section is how the guest is now.

Sources: qm.conf(5), pct.conf(5) of Proxmox VE.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import MappingProxyType

from pvenetd.errors import ConfigError, Problem
from pvenetd.guests.guest import Guest, Source
from pvenetd.guests.nic import Nic, Wrong

_FILE = re.compile(r"([1-9][0-9]{2,8})\.conf")
_KEY_VALUE = re.compile(r"([a-zA-Z][a-zA-Z0-9_-]*)[ \t]*:[ \t]*(.*)", re.DOTALL)
_NET = re.compile(r"net(0|[1-9][0-9]{0,3})")
_NET_LIKE = re.compile(rf"{_NET.pattern}\b")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a file of one kind of guest has of its own."""

    source: Source
    name: str
    """The key of the guest's name."""
    read: Callable[[str, int, str, int], Nic]
    """netN string, N, path, line → NIC; raises `ConfigError`."""
    doubts: Callable[[Nic], Iterable[Wrong]]
    """What is to be warned of in a NIC that can be read."""
    other: re.Pattern[str]
    """Lines that are no ``key: value``, and are another program's."""


def vmid_of(file: str) -> int | None:
    """Return the VMID in the file name ``100.conf``, None where it is no guest's."""
    found = _FILE.fullmatch(file)
    return int(found[1]) if found else None


def parse(text: str | bytes, vmid: int, path: str, dialect: Dialect) -> Guest:
    """Return guest *vmid*; nothing is refused, `Guest.problems` says what is wrong.

    Keys but the name's and ``netN`` are ignored.  Bytes that are no UTF-8 survive (PEP 383).
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    found = _Lines(path, dialect)
    for number, row in enumerate(text.split("\n"), 1):
        content = row.strip(" \t\r")
        if content.startswith("["):
            break
        if content and not content.startswith("#"):
            found.line(number, content)
    nics, lines = MappingProxyType(found.nics), MappingProxyType(found.lines)
    return Guest(vmid, found.name, nics, lines, path, text, tuple(found.problems), dialect.source)


@dataclass(slots=True)
class _Lines:
    """A guest, as its lines are read."""

    path: str
    dialect: Dialect
    name: str = ""
    nics: dict[int, Nic] = field(default_factory=dict)
    lines: dict[int, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, number: int, content: str) -> None:
        """Read the line *content*."""
        found = _KEY_VALUE.fullmatch(content)
        if not found:
            if net := _NET_LIKE.match(content):
                self.lines.setdefault(int(net[1]), number)
                message = f"'{content}' is no NIC: there is no colon behind '{net[0]}'"
                wrong = Problem(self.path, number, "syntax", message, hint=f"{net[0]}: VALUE", interface=net[0])
                self.problems.append(wrong)
            elif not self.dialect.other.fullmatch(content):
                message = f"'{content}' is ignored"
                self.problems.append(Problem(self.path, number, "syntax", message, "warning", "KEY: VALUE"))
        elif found[1] == self.dialect.name:
            self.name = found[2]
        elif net := _NET.fullmatch(found[1]):
            self._net(int(net[1]), number, found[2])

    def _net(self, index: int, number: int, value: str) -> None:
        if index in self.lines:
            message = f"net{index} is there already, in line {self.lines[index]}"
            self.problems.append(Problem(self.path, number, "syntax", message, "error", "keep one", f"net{index}"))
            return
        self.lines[index] = number
        try:
            nic = self.nics[index] = self.dialect.read(value, index, self.path, number)
        except ConfigError as error:
            self.problems += error.problems
            return
        self.problems += [
            Problem(self.path, number, code, message, "warning", hint, f"net{index}", key)
            for code, key, message, hint in self.dialect.doubts(nic)
        ]
