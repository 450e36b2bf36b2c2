"""Packets of an interface, as a file that Wireshark and tcpdump read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pvenetd.api.route import OfNode, Routes
from pvenetd.daemon.capture import Wanted
from pvenetd.daemon.daemon import Daemon
from pvenetd.errors import Unavailable

routes = Routes()


class Capture(OfNode):
    """What is captured, and when it is enough: whatever comes first."""

    target: Annotated[str, Field(min_length=1, max_length=40)]
    """``vm/100/net0``, ``vm/100`` (its first NIC), ``bridge/vmbr0``, or any interface: ``tap100i0``, ``eno1``."""
    filter: Annotated[str, Field(max_length=2000)] = ""
    """Which packets: pcap-filter(7); without, all."""
    count: Annotated[int, Field(ge=1, le=100_000_000)] = 100_000
    """Packets."""
    seconds: Annotated[float, Field(gt=0, le=3600)] = 60
    """How long."""
    max_bytes: Annotated[int, Field(ge=1, le=10 << 30)] = 100 << 20
    """Bytes of the file."""
    snaplen: Annotated[int, Field(ge=64, le=262_144)] = 262_144
    """Bytes of each packet that are kept."""

    def wanted(self, besides: str) -> Wanted:
        """Return what is to be captured, but for what is not *besides*."""
        return Wanted(self.target, self.filter, besides, self.snaplen, self.count, self.seconds, self.max_bytes)


@routes.post("/nodes/{node}/pvenetd/capture")
async def capture(daemon: Daemon, params: Capture) -> None:
    """Stream the packets of an interface as pcapng, until there are enough or the reader goes.

    The filter is checked before the answer begins. At most four captures run at a time. Packets that the reader is
    too slow for are dropped; the interface statistics at the file's end count them. From the network, the connection
    that the packets are sent by is left out.
    """
    del daemon, params
    raise Unavailable("packets are streamed: ask by HTTP")
