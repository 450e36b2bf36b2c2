"""Which links are ports of which: ``bridge-ports`` and ``bond-slaves`` with their patterns resolved.

Sources: bridge-utils-interfaces(5): ``regex``, ``noregex``; ifupdown2's ``glob``, ``noglob``; ifenslave's
``bond-master``.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from pvenetd.devices import Device, members
from pvenetd.kinds.bond import Bond

_MODES = {"regex": "regex", "glob": "glob", "noregex": "", "noglob": ""}
_ALL = ("regex", "eth.*", "em.*", "p[0-9].*", "noregex")
"""What ``all`` stands for among a bridge's ports (bridge-utils-interfaces(5))."""
_LATE = re.compile(r"(tap|veth|fwpr|vnet)\d")
"""Names of guests' ports: they come and go with the guest."""


@dataclass(frozen=True, slots=True)
class Membership:
    """A port and what it is a port of."""

    master: Device
    name: str
    certain: bool
    """Named as such; False for what a pattern found, or stands beside one, and for a guest's port."""


def is_guests(name: str) -> bool:
    """Return whether *name* is a guest's port, by its look."""
    return bool(_LATE.match(name))


def memberships(devices: Mapping[str, Device], nics: Collection[str]) -> list[Membership]:
    """Return every port of every bridge and bond, in order; a pattern's matches are sorted."""
    named = [
        found
        for device in devices.values()
        if (words := members(device))
        for found in _of(device, words, devices, nics)
    ]
    known = {(found.master.name, found.name) for found in named}
    return named + [found for found in _by_slave(devices) if (found.master.name, found.name) not in known]


def _by_slave(devices: Mapping[str, Device]) -> Iterator[Membership]:
    """Yield the slaves that name their bond in their own stanza: ``bond-master bond0`` (ifenslave)."""
    for device in devices.values():
        line = device.lines.get("bond-master")
        master = devices.get(line.value) if line else None
        if master is not None and isinstance(master.link, Bond):
            yield Membership(master, device.name, certain=True)


def _of(
    master: Device, words: tuple[str, ...], devices: Mapping[str, Device], nics: Collection[str]
) -> list[Membership]:
    if words[:1] == ("all",) and "all" not in devices and "all" not in nics:
        words = (*_ALL, *words[1:])
    patterned = not _MODES.keys().isdisjoint(words)
    there = sorted({*nics, *(name for name in devices if ":" not in name)}) if patterned else []
    found: list[Membership] = []
    mode = ""
    for word in words:
        if word in _MODES:
            mode = _MODES[word]
        elif mode:
            matches = _matcher(mode, word)
            found += [
                Membership(master, name, certain=False) for name in there if name != master.name and matches(name)
            ]
        else:
            found.append(Membership(master, word, certain=not patterned and not is_guests(word)))
    return found


def _matcher(mode: str, word: str) -> Callable[[str], object]:
    if mode == "glob":
        return lambda name: fnmatch.fnmatchcase(name, word)
    try:
        return re.compile(word).fullmatch
    except re.error:
        return lambda name: name == word
