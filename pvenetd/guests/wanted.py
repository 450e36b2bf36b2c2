"""Which of a guest's NICs are plugged, by what is alone: the order of events has no say.

A NIC is to be plugged if its configuration names a bridge, and its device is there or one that we make, and
nobody has pulled it.  A device that libvirt puts into its bridge counts from when it is in one, or carries our mark.
Who pulled a NIC leaves a word in the device's alias, `PULLED`: so it lasts as long as the device, and no longer,
whatever becomes of the daemon meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pvenetd.errors import ConfigError, Problem
from pvenetd.guests.guest import Guest
from pvenetd.guests.ports import ports
from pvenetd.kinds.link import Link
from pvenetd.names import fwbr_names
from pvenetd.resource import Key, Resource
from pvenetd.state import GUESTS, State

PULLED = "unplugged by hand"
"""The alias, after the mark, of a device that stays out of its bridge until it is gone or plugged again."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is, as far as it concerns one guest."""

    devices: Mapping[str, Link]
    """Its NICs' devices that exist, by name."""
    links: State
    """The bridges that its NICs name, those that exist, and what else `ports` asks for."""
    made: frozenset[int] = frozenset()
    """NICs whose devices are made here."""
    asked: frozenset[int] = frozenset()
    """NICs that somebody who knows asks to be plugged now."""
    pulled: frozenset[int] = frozenset()
    """NICs that somebody unplugged by hand."""
    had: Mapping[Key, Resource] = field(default_factory=dict)
    """What the guest wanted before: a NIC that is broken now keeps it."""
    barred: Mapping[int, tuple[Problem, ...]] = field(default_factory=dict)
    """NICs that must not be plugged, with the reasons: their rules are broken."""
    fwbr: frozenset[int] = frozenset()
    """NICs whose device stands in a bridge of its own."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a guest is to have."""

    state: dict[Key, Resource]
    plugged: frozenset[int]
    """The NICs that are ports in it."""
    refused: dict[int, tuple[Problem, ...]]
    """NICs that should be plugged and cannot: they stay as they are."""


def pulled(guest: Guest, devices: Mapping[str, Link]) -> frozenset[int]:
    """Return the NICs that were pulled by hand, as their *devices* say."""
    return frozenset(
        index for index in guest.lines if (link := devices.get(guest.device(index))) and link.alias == PULLED
    )


def is_port(guest: Guest, index: int) -> bool:
    """Return whether a NIC has a port on the host; one whose line cannot be read may have."""
    return index not in guest.nics or bool(guest.nics[index].bridge)


def due(guest: Guest, seen: Seen) -> frozenset[int]:
    """Return the NICs that are to be plugged, if it can be."""
    return frozenset(
        index
        for index in guest.lines
        if is_port(guest, index) and index not in seen.pulled and (index in seen.made or _is_there(guest, index, seen))
    )


def _is_there(guest: Guest, index: int, seen: Seen) -> bool:
    """Return whether a NIC's device is there, and nobody else is about to put it into its bridge."""
    link = seen.devices.get(guest.device(index))
    if link is None:
        return False
    return bool(index not in guest.bridged or index in seen.asked or link.master or link.owner == f"vm:{guest.vmid}")


def wanted(guest: Guest, seen: Seen) -> Wanted:
    """Return the ports of *guest* as they are to be, its chains apart."""
    state: dict[Key, Resource] = {}
    refused: dict[int, tuple[Problem, ...]] = {}
    here = due(guest, seen)
    for index in sorted(guest.lines):
        link = seen.devices.get(guest.device(index))
        if index in here:
            try:
                state |= _port(guest, index, seen)
            except ConfigError as error:
                refused[index] = error.problems
                state |= _kept(link, seen.had, f"vm:{guest.vmid}", fwbr_names(guest.vmid, index))
        elif link and is_port(guest, index) and index in seen.pulled and not _is_ours(link, made=index in seen.made):
            state[link.key] = _out(guest, link)
    return Wanted(state, here - refused.keys(), refused)


def _port(guest: Guest, index: int, seen: Seen) -> dict[Key, Resource]:
    """Return what NIC *index* is to have.  Raises `ConfigError`."""
    wrong = [one for one in guest.problems if one.severity == "error" and one.interface in ("", f"net{index}")]
    if wrong or index in seen.barred:
        raise ConfigError([*wrong, *seen.barred.get(index, ())])
    found = ports(guest, index, seen.links, made_here=index in seen.made, fwbr=index in seen.fwbr)
    link, there = found.get(("link", guest.device(index))), seen.devices.get(guest.device(index))
    if isinstance(link, Link) and there:
        if link.kind != there.kind:
            message = f"{there.name} is there, and is a {there.kind or 'device'}, no {link.kind}"
            raise ConfigError(
                [Problem(guest.path, guest.lines[index], "member-type", message, interface=f"net{index}")]
            )
        if there.alias == PULLED:
            found[link.key] = link.model_copy(update={"alias": ""})
    return found


def _is_ours(link: Link, *, made: bool) -> bool:
    """Return whether a device is one that we have made, and not somebody else's of that name."""
    return made and link.made_here and bool(link.owner)


def _kept(link: Link | None, had: Mapping[Key, Resource], owner: str, between: Collection[str]) -> dict[Key, Resource]:
    """Return what a NIC has whose *link* is a port of ours: broken configuration takes nothing away.

    *between* are the links that may stand between it and its bridge.
    """
    if link is None or link.owner != owner:
        return {}
    names = {link.name, *between}
    found: dict[Key, Resource] = {
        key: one for key, one in had.items() if key[1] in names or getattr(one, "dev", "") in names
    }
    masters = {getattr(one, "master", "") for one in (link, *found.values())} - {""}
    found |= {key: one for key, one in had.items() if one.owner == GUESTS and getattr(one, "master", "") in masters}
    found[link.key] = link
    open_needs = {need for one in found.values() for need in one.needs}
    while more := {key: had[key] for key in open_needs - found.keys() if key in had}:
        found |= more
        open_needs = {need for one in more.values() for need in one.needs}
    return found


def _out(guest: Guest, link: Link) -> Link:
    """Return *link* as a port of nothing, down, with the word that says so."""
    told = {"master": "", "up": False, "alias": PULLED, "owner": f"vm:{guest.vmid}", "made_here": False}
    named = link.named | {"kind"}
    silent = {name: None for name, _ in link if name not in named | told.keys() | {"origin", "altnames"}}
    return link.model_copy(update={**silent, **told})
