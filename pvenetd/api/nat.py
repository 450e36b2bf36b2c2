"""NAT: what is translated, and how often it was."""

from __future__ import annotations

from pvenetd.api.route import OfNode, Routes
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.nat import NatRecord

routes = Routes()


@routes.get("/nodes/{node}/pvenetd/nat")
async def nat(daemon: Daemon, params: OfNode) -> list[NatRecord]:
    """Return masquerade, SNAT, forwards and one-to-one addresses, each with its line and what it has counted."""
    del params
    return await daemon.nat.records()
