"""The way the kernel sends a packet: RTM_GETROUTE for one destination (rtnetlink(7), linux/rtnetlink.h)."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import Any

from pvenetd.drivers.netlink.shape import Attributes, spelled
from pvenetd.drivers.netlink.wire import RefusedError, Wire, raw
from pvenetd.management import Way

_GETROUTE = 26
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_ROUTE = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, destination's and source's prefix length, TOS, table, protocol, scope, type, flags."""
_FIRST = 28
"""Bytes before the attributes: nlmsghdr, rtmsg."""


def way(wire: Wire, peer: str, local: str) -> Way | None:
    """Return how packets from *local* get to *peer*, None where they do not."""
    there, here = ip_address(peer), ip_address(local)
    fields = _ROUTE.pack(_FAMILIES[there.version], there.max_prefixlen, here.max_prefixlen, 0, 0, 0, 0, 0, 0)
    attrs: list[tuple[str, Any]] = [("RTA_DST", peer), ("RTA_SRC", local)]
    try:
        (body,) = wire.ask(raw(_GETROUTE, 0, fields + spelled("route", attrs)))
        top = Attributes(body[_FIRST:], "route")
        return Way(socket.if_indextoname(top.get("RTA_OIF")), top.get("RTA_GATEWAY") or "")
    except (RefusedError, OSError):  # no route, an unreachable one, a link that has just gone
        return None
