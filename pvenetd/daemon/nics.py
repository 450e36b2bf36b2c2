"""NICs by their names and by what they are: remembered at each commit, missed, pinned."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from typing_extensions import TypedDict

from pvenetd.compile import Compiled
from pvenetd.devices import members
from pvenetd.errors import Conflict, NotFound, Problem
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.nics import (
    LINK_DIRECTORY,
    Found,
    Nic,
    link_file,
    link_path,
    look_alikes,
    of_json,
    remembered,
    to_json,
)

log = logging.getLogger("pvenetd")

_MISSING = ("missing-member", "missing-parent")
RECORD = "var/lib/pvenetd/nics.json"


class Source(Protocol):
    """Where NICs are seen."""

    def present(self, asked: Collection[str] = ()) -> list[Nic]:
        """Return every NIC, with those of the *asked* names that it answers to."""
        ...


class Files(Protocol):
    """Files below the root."""

    root: Path

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None where there is none."""

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*."""

    def put(self, name: str, data: bytes | None) -> None:
        """Make *name* hold *data*, or not be there."""


class Unseen:
    """No NICs: a machine that nobody looks at."""

    def present(self, asked: Collection[str] = ()) -> list[Nic]:
        """Return none."""
        del asked
        return []


class PinnedNic(TypedDict):
    """A .link file that was written, or removed."""

    iface: str
    """The name for good."""
    file: str
    mac: str
    """Empty where the file was removed."""
    now: str
    """The name it has until the next boot."""


class Nics:
    """What is known of the NICs of one host."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.source: Source = Unseen()

    def remember(self, compiled: Compiled) -> None:
        """Write down which NIC has which name, for when it has another."""
        known = remembered(self._recorded(), self.source.present(), _names(compiled))
        try:
            self._files.put(RECORD, json.dumps(to_json(known)).encode() if known else None)
        except OSError as error:  # the apply is done, and more than this would be lost on such a disk
            log.warning("NICs are not remembered: %s", error)

    def gone(self, compiled: Compiled) -> list[Found]:
        """Return the configured NICs that are not there, each with the one that looks like it."""
        wanted = _names(compiled)
        return look_alikes(wanted, self._recorded(), self.source.present(wanted))

    def problems(self, compiled: Compiled) -> list[Problem]:
        """Return a warning for each of those, where the configuration names it first, unless an error tells it."""
        told = {problem.hint for problem in compiled.errors}
        return [_problem(compiled, found) for found in self.gone(compiled) if not found.hint or found.hint not in told]

    def explained(self, compiled: Compiled) -> Compiled:
        """Return *compiled* with a hint where it takes for missing what is there under another name."""
        missing = [problem for problem in compiled.errors if problem.code in _MISSING]
        hints = {found.gone: found.hint for found in self.gone(compiled) if found.hint} if missing else {}
        if not hints:
            return compiled
        return replace(compiled, problems=tuple(_hinted(problem, hints) for problem in compiled.problems))

    def pin(self, names: Collection[str], *, remove: bool) -> list[PinnedNic]:
        """Give NICs their *names* for good, all present ones by default; or take that back.

        A name that no NIC has goes to the one that looks like the NIC that had it.  Raises `NotFound`, and
        `Conflict` for a NIC without a MAC.
        """
        if remove:
            return self._unpin(names)
        present = {nic.name: nic for nic in self.source.present(names)}
        like = {found.gone: found.nic for found in look_alikes(names, self._recorded(), present.values())}
        chosen = {name: present.get(name) or like.get(name) for name in names or present}
        for name, nic in chosen.items():
            if nic is None:
                raise NotFound(f"no NIC {name}, and none that looks like one of that name")
            if not nic.mac:
                raise Conflict(f"{nic.name} has no MAC to know it by")
        for name, nic in chosen.items():
            if nic:
                self._files.put(link_path(name), link_file(name, nic).encode())
        return [
            {"iface": name, "file": f"/{link_path(name)}", "mac": nic.mac, "now": nic.name}
            for name, nic in chosen.items()
            if nic
        ]

    def _unpin(self, names: Collection[str]) -> list[PinnedNic]:
        there = set(self._files.names(LINK_DIRECTORY))
        every = [name[len("70-pvenetd-") : -len(".link")] for name in sorted(there) if name.startswith("70-pvenetd-")]
        for name in names:
            if name not in every:
                raise NotFound(f"{name} is not pinned")
        for name in names or every:
            self._files.put(link_path(name), None)
        return [{"iface": name, "file": f"/{link_path(name)}", "mac": "", "now": ""} for name in names or every]

    def _recorded(self) -> dict[str, Nic]:
        data = self._files.read(RECORD)
        try:
            return of_json(json.loads(data or b"[]"))
        except ValueError:
            return {}


def _hinted(problem: Problem, hints: Mapping[str, str]) -> Problem:
    named = [hint for name, hint in hints.items() if name in problem.message.split()]
    return replace(problem, hint=named[0]) if named and problem.code in _MISSING else problem


def _names(compiled: Compiled) -> list[str]:
    """Return the names that a NIC can have, in the order they are configured."""
    found: dict[str, None] = {}
    for device in compiled.devices.values():
        if isinstance(device.link, Ethernet):
            found[device.name] = None
        found |= dict.fromkeys(members(device))
        found |= dict.fromkeys(device.link.lower if device.link else ())
    others = {device.name for device in compiled.devices.values() if not isinstance(device.link, Ethernet)}
    return [name for name in found if name not in others]


def _problem(compiled: Compiled, found: Found) -> Problem:
    device = compiled.devices.get(found.gone)
    if device:
        return device.problem("", "nic-renamed", str(found), severity="warning")
    user = next(
        device
        for device in compiled.devices.values()
        if found.gone in (*members(device), *(device.link.lower if device.link else ()))
    )
    line = next((line for line in user.lines.values() if found.gone in line.words), user.head)
    return Problem(line.path, line.line, "nic-renamed", str(found), "warning", "", user.name, line.name)
