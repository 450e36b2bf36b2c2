"""Where a VXLAN end point sends what is for all: entries of its FDB for the MAC of zeros (RFC 7348 section 4.2).

Sources: rtnetlink(7), linux/neighbour.h (struct ndmsg, NDA_*), bridge(8) "fdb".
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from ipaddress import ip_address

from pvenetd.drivers.netlink.wire import CREATE, Wire, attributes, nla, raw

NEWNEIGH, DELNEIGH, _GETNEIGH = 28, 29, 30
_APPEND = 0x800
_BODY = struct.Struct("=BxxxiHBB")
"""struct ndmsg: family, index, state, flags, type."""
_FIRST = 28
"""Bytes before the attributes: nlmsghdr, ndmsg."""
_AF_BRIDGE = 7
_DST, _MAC = 1, 2
_PERMANENT, _SELF, _LEARNED_OUTSIDE = 0x80, 0x2, 0x10
"""NUD_PERMANENT; NTF_SELF; NTF_EXT_LEARNED: a routing daemon's."""
_ALL = bytes(6)


def remotes(wire: Wire, number: int) -> Iterator[str]:
    """Yield where link *number* sends what is for all; what a routing daemon entered is its own affair.

    Raises `RefusedError`.
    """
    for body in wire.ask(raw(_GETNEIGH, 0, _BODY.pack(_AF_BRIDGE, number, 0, 0, 0)), dump=True):
        _, index, _, flags, _ = _BODY.unpack_from(body, 16)
        found = dict(attributes(body[_FIRST:]))
        if index == number and found.get(_MAC) == _ALL and _DST in found and not flags & _LEARNED_OUTSIDE:
            yield str(ip_address(found[_DST]))


def bring(wire: Wire, number: int, wanted: Collection[str], had: Collection[str] | None, except_for: str) -> None:
    """Make our remotes of link *number*, which were *had* (None: all there are), those *wanted*, entry by entry.

    An entry that is somebody else's stays, and the link's group (*except_for*) too.  Raises `RefusedError`.
    """
    there = {*remotes(wire, number)} - {except_for}
    new = [_entry(NEWNEIGH, number, text, CREATE | _APPEND) for text in wanted if text not in there]
    gone = sorted((there if had is None else there & {*had}) - {*wanted})
    wire.change(new + [_entry(DELNEIGH, number, text, 0) for text in gone])


def _entry(kind: int, number: int, text: str, flags: int) -> bytes:
    body = _BODY.pack(_AF_BRIDGE, number, _PERMANENT, _SELF, 0)
    return raw(kind, flags, body + nla(_DST, ip_address(text).packed) + nla(_MAC, _ALL))
