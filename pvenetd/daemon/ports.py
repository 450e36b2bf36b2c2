"""Every port with its counters, and who is behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, cast

from typing_extensions import TypedDict

from pvenetd.daemon.guest_records import Counted
from pvenetd.daemon.guests import Guests
from pvenetd.engine import Engine
from pvenetd.forwarding import Origin
from pvenetd.kinds.link import Link
from pvenetd.option import ZeroOne


class Behind(TypedDict):
    """Whose NIC is behind a port."""

    vmid: int
    name: str
    nic: str
    filtered: ZeroOne


class PortRecord(Counted):
    """A link and what it has counted, from the host's side: ``rx`` came in by it."""

    name: str
    kind: str
    up: ZeroOne
    master: str
    mtu: int | None
    mac: str
    guest: NotRequired[Behind]


class ForwardingRecord(TypedDict):
    """A MAC in a forwarding table."""

    bridge: str
    """Empty for the table of the port itself, a VXLAN's."""
    port: str
    mac: str
    vlan: int | None
    dst: str
    """The other end point of a VXLAN; empty for none."""
    origin: Origin
    """From frames, entered by somebody, or the port's own address."""
    seconds: int
    """Since a frame came from it; 0 for what does not age."""
    guest: NotRequired[Behind]


class Ports:
    """The questions."""

    def __init__(self, engine: Engine, guests: Guests) -> None:
        self._engine = engine
        self._guests = guests

    async def behind(self) -> dict[str, Behind]:
        """Return whose NIC each guest's port is."""
        return {
            nic["tap"]: {"vmid": guest["vmid"], "name": guest["name"], "nic": nic["nic"], "filtered": nic["filtered"]}
            for guest in await self._guests.records()
            for nic in guest["nics"]
        }

    async def records(self) -> list[PortRecord]:
        """Return every link with what it has counted."""
        live = await self._engine.observe()
        links = [link for link in live.values() if isinstance(link, Link)]
        counted, behind = await self._engine.counters([link.name for link in links]), await self.behind()
        return [_record(link, counted.get(link.name, {}), behind) for link in links]

    async def forwarding(self, bridge: str | None) -> list[ForwardingRecord]:
        """Return who is behind which port, of one bridge or of all."""
        behind = await self.behind()
        found = [one for one in await self._engine.forwarding() if bridge in (None, one.bridge)]
        records = [{**one._asdict(), "vlan": one.vlan or None} for one in found]
        for one in records:
            if guest := behind.get(str(one["port"])):
                one["guest"] = guest
        return cast("list[ForwardingRecord]", records)


def _record(link: Link, counted: Mapping[str, int], behind: Mapping[str, Behind]) -> PortRecord:
    found = {
        "name": link.name,
        "kind": link.kind,
        "up": int(link.up),
        "master": link.master or "",
        "mtu": link.mtu,
        "mac": link.mac or "",
        **counted,
        **({"guest": behind[link.name]} if link.name in behind else {}),
    }
    return cast("PortRecord", found)
