"""The way the kernel sends a packet: RTM_GETROUTE for one destination (rtnetlink(7), linux/rtnetlink.h)."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from pyroute2.netlink.rtnl.rtmsg import rtmsg

from pvenetd.drivers.netlink.wire import RefusedError, Wire, message, read
from pvenetd.management import Way

_GETROUTE = 26
_FAMILIES = {4: 2, 6: 10}


def way(wire: Wire, peer: str, local: str) -> Way | None:
    """Return how packets from *local* get to *peer*, None where they do not."""
    there, here = ip_address(peer), ip_address(local)
    fields = {"family": _FAMILIES[there.version], "dst_len": there.max_prefixlen, "src_len": here.max_prefixlen}
    request = message(rtmsg, _GETROUTE, 0, fields, [("RTA_DST", str(there)), ("RTA_SRC", str(here))])
    try:
        (body,) = wire.ask(request)
        top = dict(read(rtmsg, body)["attrs"])
        return Way(socket.if_indextoname(top["RTA_OIF"]), top.get("RTA_GATEWAY", ""))
    except (RefusedError, KeyError, OSError):  # no route, an unreachable one, a link that has just gone
        return None
