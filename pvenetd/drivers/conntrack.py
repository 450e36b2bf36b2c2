"""Connections that the kernel tracks: looked through, and some forgotten; the next packet of one is a first one again.

Sources: linux/netfilter/nfnetlink_conntrack.h (IPCTNL_MSG_CT_GET, CTA_*), nf_conntrack_common.h (IPS_*).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address

from pvenetd.nat.flows import Connection

_NETLINK_NETFILTER = 12
_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2
"""NFNL_SUBSYS_CTNETLINK, and its messages."""
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_ORIG, _REPLY, _STATUS, _ID, _ZONE = 1, 2, 3, 12, 18
_KIND = 0x3FFF
"""Of an attribute's type, without the flags (NLA_TYPE_MASK)."""
_NESTED = 0x8000
_SEEN_REPLY, _DST_NAT = 1 << 1, 1 << 5
_HEADER = 20
"""Bytes before a message's first attribute: nlmsghdr, nfgenmsg."""
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_GONE = 2
"""ENOENT: it has ended by itself meanwhile."""


def forget(which: Callable[[Connection], bool]) -> int:
    """Have the kernel forget the connections that *which* picks; return how many.  Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as asking:
        asking.bind((0, 0))
        chosen = [
            (family, attributes)
            for family in _FAMILIES
            for attributes in _dump(asking, family)
            if (one := _connection(attributes)) and which(one)
        ]
        for family, attributes in chosen:
            _delete(asking, family, attributes)
    return len(chosen)


def _dump(asking: socket.socket, family: int) -> Iterator[dict[int, bytes]]:
    asking.send(struct.pack("=IHHIIBBH", _HEADER, _GET, _REQUEST | _DUMP, 0, 0, family, 0, 0))
    while True:
        for kind, body in _messages(asking.recv(1 << 18)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                _raise(body)
            yield _attributes(body[4:])


def _delete(asking: socket.socket, family: int, attributes: dict[int, bytes]) -> None:
    said = b"".join(
        _attribute(kind | (_NESTED if kind == _ORIG else 0), attributes[kind])
        for kind in (_ORIG, _ID, _ZONE)
        if kind in attributes
    )
    head = struct.pack("=IHHIIBBH", _HEADER + len(said), _DELETE, _REQUEST | _ACK, 0, 0, family, 0, 0)
    asking.send(head + said)
    for kind, body in _messages(asking.recv(1 << 16)):
        if kind == _ERROR and struct.unpack_from("=i", body)[0] not in (0, -_GONE):
            _raise(body)


def _raise(body: bytes) -> None:
    number = -struct.unpack_from("=i", body)[0]
    if number:
        raise OSError(number, os.strerror(number))


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind of each message, and what is behind its nlmsghdr."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from("=IH", data, at)
        yield kind, data[at + 16 : at + size]
        at += size + -size % 4


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        found[kind & _KIND] = data[at + 4 : at + size]
        at += size + -size % 4
    return found


def _attribute(kind: int, value: bytes) -> bytes:
    size = 4 + len(value)
    return struct.pack("=HH", size, kind) + value + bytes(-size % 4)


def _connection(attributes: dict[int, bytes]) -> Connection | None:
    """Return the connection of a message's *attributes*, None for one without addresses."""
    if not {_ORIG, _REPLY, _STATUS} <= attributes.keys():
        return None
    asked, answer = _attributes(attributes[_ORIG]), _attributes(attributes[_REPLY])
    there, back = _attributes(asked.get(1, b"")), _attributes(answer.get(1, b""))
    proto = _attributes(asked.get(2, b""))
    status = int.from_bytes(attributes[_STATUS], "big")
    for source, dest, make in ((1, 2, IPv4Address), (3, 4, IPv6Address)):
        if dest in there and source in back and 1 in proto:
            return Connection(
                proto[1][0],
                make(there[dest]),
                int.from_bytes(proto.get(3, b""), "big"),
                make(back[source]),
                forwarded=bool(status & _DST_NAT),
                answered=bool(status & _SEEN_REPLY),
            )
    return None
