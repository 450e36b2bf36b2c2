"""Ports and their counters, forwarding tables, and what the firewall's rules have counted."""

from __future__ import annotations

from typing_extensions import TypedDict

from pvenetd.api.route import Iface, OfNode, Routes, Vmid
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.ports import ForwardingRecord, PortRecord

routes = Routes()


@routes.get("/nodes/{node}/pvenetd/ports", shared=True)
async def ports(daemon: Daemon, params: OfNode) -> list[PortRecord]:
    """Return every link with what it has counted, and the guest behind it."""
    del params
    return await daemon.ports.records()


class Table(OfNode):
    """Whose table."""

    bridge: Iface | None = None
    """One bridge's alone."""


@routes.get("/nodes/{node}/pvenetd/fdb", shared=True)
async def fdb(daemon: Daemon, params: Table) -> list[ForwardingRecord]:
    """Return who is behind which port: the forwarding tables of bridges and VXLANs."""
    return await daemon.ports.forwarding(params.bridge)


class Counter(TypedDict):
    """What a line of a firewall file has counted in one chain."""

    vmid: int
    """The guest whose chain it is, 0 for the host's."""
    chain: str
    origin: str
    """Its ``FILE:LINE``, or a word for rules that no file says."""
    packets: int
    bytes: int


class Counters(OfNode):
    """Whose rules."""

    vmid: Vmid | None = None
    """One guest's alone."""


@routes.get("/nodes/{node}/pvenetd/firewall/counters", shared=True)
async def counters(daemon: Daemon, params: Counters) -> list[Counter]:
    """Return what the loaded rules have counted, without what they say: `firewall/rules` tells that, too."""
    return [
        {key: one[key] for key in ("vmid", "chain", "origin", "packets", "bytes")}  # type: ignore[misc]
        for one in await daemon.rules.records(params.vmid)
    ]
