"""Forwarding tables as they are: what was learned, too (bridge(8) "fdb show").

Sources: linux/neighbour.h (struct ndmsg, NDA_*, struct nda_cacheinfo).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from pvenetd.drivers.netlink.wire import Wire, attributes, raw
from pvenetd.forwarding import Heard, Origin
from pvenetd.option import USER_HZ

_GETNEIGH = 30
_BODY = struct.Struct("=BxxxiHBB")
"""struct ndmsg: family, index, state, flags, type."""
_FIRST = 28
"""Bytes before the attributes: nlmsghdr, ndmsg."""
_AF_BRIDGE = 7
_DST, _MAC, _CACHE, _VLAN, _MASTER = 1, 2, 3, 5, 9
_AGES = struct.Struct("=IIII")
"""struct nda_cacheinfo: confirmed, used, updated (clock ticks), references."""
_PERMANENT, _NOARP = 0x80, 0x40


def table(wire: Wire, name_of: Callable[[int], str]) -> Iterator[Heard]:
    """Yield every entry that is for one MAC.  Raises `RefusedError`."""
    for body in wire.ask(raw(_GETNEIGH, 0, _BODY.pack(_AF_BRIDGE, 0, 0, 0, 0)), dump=True):
        _, number, state, _, _ = _BODY.unpack_from(body, 16)
        found = dict(attributes(body[_FIRST:]))
        mac = found.get(_MAC, b"")
        if len(mac) != 6 or mac[0] & 1 or not any(mac):  # a group's, or a VXLAN's for all others
            continue
        master = int.from_bytes(found.get(_MASTER, b""), "little")
        origin = _origin(state)
        updated = _AGES.unpack_from(found[_CACHE])[2] if _CACHE in found and origin == "learned" else 0
        yield Heard(
            name_of(master) if master else "",
            name_of(number),
            mac.hex(":"),
            int.from_bytes(found.get(_VLAN, b""), "little"),
            str(ip_address(found[_DST])) if _DST in found else "",
            origin,
            updated // USER_HZ,
        )


def _origin(state: int) -> Origin:
    return "own" if state & _PERMANENT else "static" if state & _NOARP else "learned"
