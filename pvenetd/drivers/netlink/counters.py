"""What links have counted: read only when somebody asks, as it is half of what the kernel tells of a link.

Source: linux/if_link.h, struct rtnl_link_stats64.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

from pvenetd.drivers.netlink import links
from pvenetd.drivers.netlink.wire import RefusedError, Wire, attributes, raw

_STATS64 = 23
"""IFLA_STATS64."""
_FIRST = struct.Struct("=8Q")
_FIELDS = (
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
)
_MESSAGE = struct.Struct("=BxHiII")
"""struct ifinfomsg."""
_MANY = 64
"""Links from which one dump costs less than a request each."""


def counters(wire: Wire, names: Collection[str]) -> dict[str, dict[str, int]]:
    """Return, for each of *names* that is there, its counters from the host's side.  Raises `RefusedError`."""
    if len(names) > _MANY:
        bodies = list(wire.ask(_request(0), dump=True))
    else:
        bodies = [body for name in names for body in _one(wire, name)]
    found = {links.index_and_name(body)[1]: _counted(body) for body in bodies}
    return {name: found[name] for name in names if name in found}


def _one(wire: Wire, name: str) -> list[bytes]:
    try:
        return list(wire.ask(_request(links.index(name))))
    except RefusedError:
        return []  # it has just gone


def _request(number: int) -> bytes:
    return raw(links.GETLINK, 0, _MESSAGE.pack(0, 0, number, 0, 0))


def _counted(body: bytes) -> dict[str, int]:
    told = dict(attributes(body[32:])).get(_STATS64, bytes(_FIRST.size))
    return dict(zip(_FIELDS, _FIRST.unpack_from(told), strict=True))
