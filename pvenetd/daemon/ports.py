"""Every port with its counters, and who is behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, cast

from typing_extensions import TypedDict

from pvenetd.daemon.definitions import Definitions
from pvenetd.daemon.guest_records import Counted, is_filtered
from pvenetd.daemon.slices import in_slices
from pvenetd.engine import Engine
from pvenetd.errors import NotFound
from pvenetd.forwarding import Origin
from pvenetd.kinds.link import Link
from pvenetd.option import ZeroOne
from pvenetd.state import State


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

    def __init__(self, engine: Engine, definitions: Definitions) -> None:
        self._engine = engine
        self._definitions = definitions

    async def behind(self, live: State) -> dict[str, Behind]:
        """Return whose NIC each guest's port is, by guests as they were last read: a file that changes is read."""
        return {
            guest.device(index): {
                "vmid": guest.vmid,
                "name": guest.name,
                "nic": f"net{index}",
                "filtered": is_filtered(guest, index, live),
            }
            async for guest in in_slices(self._definitions.remembered().values())
            for index in guest.lines
        }

    async def records(self) -> list[PortRecord]:
        """Return every link with what it has counted."""
        live = await self._engine.observe()
        links = [link for link in live.values() if isinstance(link, Link)]
        counted, behind = await self._engine.counters([link.name for link in links]), await self.behind(live)
        return [_record(link, counted.get(link.name, {}), behind) async for link in in_slices(links)]

    async def forwarding(self, bridge: str | None) -> list[ForwardingRecord]:
        """Return who is behind which port, of one bridge or of all.  Raises `NotFound`."""
        live = await self._engine.observe()
        if bridge and ("link", bridge) not in live:
            raise NotFound(f"no interface {bridge} is there")
        behind = await self.behind(live)
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
