"""What there is of guests' devices and bridges, and which guests a change in the kernel is about."""

from __future__ import annotations

from collections.abc import Collection

from pvenetd.daemon.definitions import Definitions
from pvenetd.engine import Engine
from pvenetd.guests.guest import Guest
from pvenetd.guests.ports import bridges, neighbours, scene
from pvenetd.guests.wanted import Seen, due, pulled
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link
from pvenetd.names import parse_fwbr
from pvenetd.resource import Key, Resource
from pvenetd.state import INTERFACES


class Sight:
    """Looks at the machine for guests, and knows which bridges matter to whom."""

    def __init__(self, definitions: Definitions, engine: Engine) -> None:
        self._definitions = definitions
        self._engine = engine
        self._on: dict[int, frozenset[str]] = {}
        """VMID → bridges of the NICs that are to be plugged."""
        self._bridges: dict[str, dict[str, object]] = {}
        """Those bridges, as they were when a guest was last brought to them."""
        self.stanzas: dict[str, Bridge] = {}
        """Bridges as the file has them: what it says of their ports, no kernel tells."""

    async def look(self, guest: Guest, made: frozenset[int]) -> Seen:
        """Return what there is of a guest's devices and bridges; *made* are NICs whose devices are made here."""
        nics = guest.nics.values()
        names = {guest.device(index) for index in guest.lines}
        keys = {("link", name) for name in names} | bridges(nics)
        live = await self._engine.look(keys)
        links: dict[Key, Resource] = {
            key: bridge for key in bridges(nics) if (bridge := self._configured(live.get(key)))
        }
        if more := neighbours(nics, links):
            live = await self._engine.look(keys | more)
            others = scene(self._engine.wants(INTERFACES), live)
            links = {key: one for key, one in others.items() if key not in bridges(nics)} | links
        devices = {name: link for name in names if isinstance(link := live.get(("link", name)), Link)}
        return Seen(devices, links, made, pulled=pulled(guest, devices))

    def follow(self, guest: Guest, seen: Seen) -> None:
        """Remember which bridges matter to a guest, and how they were *seen*."""
        named = bridges(nic for index in due(guest, seen) if (nic := guest.nics.get(index)))
        self._bridges |= {key[1]: _facts(seen.links.get(key)) for key in named}
        if named:
            self._on[guest.vmid] = frozenset(key[1] for key in named)
        else:
            self.forget(guest.vmid)

    def forget(self, vmid: int) -> None:
        """Have no bridge matter to a guest."""
        self._on.pop(vmid, None)

    def running(self) -> list[int]:
        """Return the guests with a NIC that is plugged, or should be."""
        return sorted(self._on)

    async def concerned(self, changed: Collection[Key]) -> set[int]:
        """Return the guests that links which have *changed* are about."""
        keys = {key for key in changed if key[0] == "link"}
        live = await self._engine.look(keys)
        found: set[int] = set()
        for key in keys:
            name, there = key[1], live.get(key)
            link = there if isinstance(there, Link) else None
            vmid = self._vmid(name, link)
            if vmid is not None and not _is_right(self._engine.wants(f"vm:{vmid}").get(key), link):
                found.add(vmid)
            for owner in self._engine.sharers(key):
                if not _is_right(self._engine.wants(owner).get(key), link):
                    found.add(int(owner[3:]))
            if name in self._bridges and self._bridges[name] != _facts(self._configured(link)):
                found |= {one for one, named in self._on.items() if name in named}
        return found

    def _vmid(self, name: str, link: Link | None) -> int | None:
        """Return whose device it is: by its name, or by our mark where nothing defines that guest any more."""
        if held := self._definitions.holder(name) or parse_fwbr(name):
            return held[0]
        noun, _, number = link.owner.partition(":") if link else ("", "", "")
        return int(number) if noun == "vm" and number.isdecimal() else None

    def _configured(self, there: Resource | None) -> Bridge | None:
        """Return a bridge that is there as it is configured, and else as it is; None for anything else."""
        if not isinstance(there, Bridge):
            return None
        wanted = self._engine.wants(INTERFACES).get(there.key)
        if isinstance(wanted, Bridge):
            return wanted.filled(there)
        stanza = self.stanzas.get(there.name)
        return there.model_copy(update={name: getattr(stanza, name) for name in _OF_PORTS}) if stanza else there


_OF_PORTS = ("port_pvid", "port_vids", "disable_learning")
"""What only a bridge's stanza says, whoever has made the bridge."""


def _is_right(wanted: Resource | None, there: Link | None) -> bool:
    """Return whether a device is as its guest wants it; what is new has yet to be asked about."""
    if wanted is None or there is None:
        return wanted is there
    return not wanted.changes(there)


def _facts(bridge: Resource | None) -> dict[str, object]:
    """Return what a guest's port may depend on; a bridge's MAC comes and goes with its ports."""
    return {name: value for name, value in bridge if name != "mac"} if bridge else {}
