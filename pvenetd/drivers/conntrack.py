"""What the kernel tracks of connections, and at which ports it has seen which address; some are cut.

A host may have 100,000 connections: those of somebody's addresses alone are told apart by their bytes, and nothing
else is made of the others.

Sources: linux/netfilter/nfnetlink_conntrack.h (IPCTNL_MSG_CT_GET, CTA_*);
linux/netfilter/nf_tables.h (NFT_MSG_GETSETELEM).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

from pvenetd.firewall.flow import Address, Ends, Flow
from pvenetd.firewall.wire_format import attribute, attributes
from pvenetd.nat.flows import Connection

_NETLINK_NETFILTER = 12
_CT_GET, _CT_DELETE, _GETSETELEM = 1 << 8 | 1, 1 << 8 | 2, 10 << 8 | 13
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_ORIG, _REPLY, _STATUS, _ID, _ZONE = 1, 2, 3, 12, 18
_NESTED = 0x8000
_HEADER = 20
"""Bytes before a message's first attribute: nlmsghdr, nfgenmsg."""
_RECEIVED = 1 << 20
"""Bytes of one answer: the kernel fills what it is offered, up to 32 KiB."""
_FAMILIES = ((4, socket.AF_INET), (6, socket.AF_INET6))
_BRIDGE = 7
"""NFPROTO_BRIDGE."""

# A tuple of TCP, UDP, SCTP or DCCP as the kernel writes it: nests of fixed size, one after the other.
_TUPLES = {
    4: struct.Struct("!12x4s4x4s8xB7xH6xH2x12x4s4x4s8xB7xH6xH2x4xI"),
    6: struct.Struct("!12x16s4x16s8xB7xH6xH2x12x16s4x16s8xB7xH6xH2x4xI"),
}
_SIZES = {4: 52, 6: 76}
_PROTO_SIZE = 28
"""Of CTA_TUPLE_PROTO with its number and two ports."""


class Tracked:
    """What the network namespace of the thread that asks has; a socket for each question, so any thread may ask."""

    def seen(self) -> dict[Address, set[str]]:
        """Return the ports at which addresses were seen, nothing where no chains of ours are.  Raises OSError."""
        found: dict[Address, set[str]] = {}
        for version, _ in _FAMILIES:
            for key in _elements(f"seen-v{version}"):
                address = (version, int.from_bytes(key[16 : 20 if version == 4 else 32], "big"))
                found.setdefault(address, set()).add(key[:16].rstrip(b"\0").decode())
        return found

    def flows(self, addresses: Collection[Address] | None = None) -> list[Flow]:
        """Return the connections, those of *addresses* alone where some are named.  Raises OSError."""
        found: list[Flow] = []
        for version, family in _FAMILIES:
            wanted = None if addresses is None else _packed(version, addresses)
            if wanted is None or wanted:
                found += (flow for data in _dump(_CT_GET, family) if (flow := _flow(version, data, wanted)))
        return found


def delete(flows: Iterable[Flow]) -> int:
    """Have the kernel forget connections; return how many it still had.  Raises OSError."""
    count = 0
    with _asking() as asking:
        for flow in flows:
            family = dict(_FAMILIES)[flow.version]
            asking.send(_message(_CT_DELETE, _REQUEST | _ACK, family, _handle(flow.told)))
            for kind, body in _messages(asking.recv(1 << 16)):
                number = -struct.unpack_from("=i", body)[0] if kind == _ERROR else 0
                if number not in (0, errno.ENOENT):  # it may have ended by itself meanwhile
                    raise OSError(number, os.strerror(number))
                count += not number
    return count


def forget(which: Callable[[Connection], bool]) -> int:
    """Have the kernel forget the connections that *which* picks; return how many it still had.  Raises OSError."""
    return delete([flow for flow in Tracked().flows() if which(_connection(flow))])


def _connection(flow: Flow) -> Connection:
    make = IPv4Address if flow.version == 4 else IPv6Address
    return Connection(
        flow.protocol,
        make(flow.asked.dest),
        flow.asked.dport,
        make(flow.answer.source),
        forwarded=flow.forwarded,
        answered=flow.answered,
    )


def _packed(version: int, addresses: Collection[Address]) -> frozenset[bytes]:
    return frozenset(one.to_bytes(4 if number == 4 else 16, "big") for number, one in addresses if number == version)


def _elements(name: str) -> Iterator[bytes]:
    """Yield the keys in a set of the bridges' table."""
    said = b"".join(attribute(kind, text.encode() + b"\0") for kind, text in ((1, "pvenetd"), (2, name)))
    try:
        for data in _dump(_GETSETELEM, _BRIDGE, said):
            for _, element in attributes(dict(attributes(data)).get(3, b"")):
                yield dict(attributes(dict(attributes(element))[1]))[1]
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _flow(version: int, data: bytes, wanted: Collection[bytes] | None) -> Flow | None:
    """Return the connection that *data* tells of, None where none of its addresses is *wanted*."""
    size = _SIZES[version]
    proto = size - _PROTO_SIZE
    usual = data[:2] == data[size : size + 2] and data[proto : proto + 2] == _PROTO_SIZE.to_bytes(2, "little")
    if not usual or int.from_bytes(data[:2], "little") != size or data[2 * size + 2 : 2 * size + 4] != b"\3\0":
        return _unusual(version, data, wanted)
    source, dest, protocol, sport, dport, back, to, _, rsport, rdport, status = _TUPLES[version].unpack_from(data)
    if wanted is not None and not (source in wanted or dest in wanted or back in wanted or to in wanted):
        return None
    number = int.from_bytes
    asked = Ends(number(source, "big"), number(dest, "big"), sport, dport)
    answer = Ends(number(back, "big"), number(to, "big"), rsport, rdport)
    return Flow(version, protocol, asked, answer, None, status, data)


def _unusual(version: int, data: bytes, wanted: Collection[bytes] | None) -> Flow | None:
    """Return a connection without ports, or one that is told of in another order."""
    found = dict(attributes(data))
    if not {_ORIG, _REPLY, _STATUS} <= found.keys():
        return None
    (there, proto), (back, answering) = (_tuple(found[kind]) for kind in (_ORIG, _REPLY))
    keys = (1, 2) if version == 4 else (3, 4)
    ends = [side.get(key, b"") for side in (there, back) for key in keys]
    if not all(ends) or 1 not in proto or (wanted is not None and not any(one in wanted for one in ends)):
        return None
    numbers = [int.from_bytes(one, "big") for one in ends]
    ports = [int.from_bytes(side.get(kind, b""), "big") for side in (proto, answering) for kind in (2, 3)]
    kind, code = (5, 6) if version == 4 else (8, 9)
    icmp = (proto[kind][0], proto[code][0]) if kind in proto and code in proto else None
    return Flow(
        version,
        proto[1][0],
        Ends(numbers[0], numbers[1], ports[0], ports[1]),
        Ends(numbers[2], numbers[3], ports[2], ports[3]),
        icmp,
        int.from_bytes(found[_STATUS], "big"),
        data,
    )


def _tuple(data: bytes) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """Return the addresses and the protocol's part of one direction."""
    parts = dict(attributes(data))
    return dict(attributes(parts.get(1, b""))), dict(attributes(parts.get(2, b"")))


def _handle(data: bytes) -> bytes:
    """Return what a deletion names a connection by."""
    return b"".join(
        attribute(kind | (_NESTED if kind == _ORIG else 0), value)
        for kind, value in attributes(data)
        if kind in (_ORIG, _ID, _ZONE)
    )


def _asking() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    made.bind((0, 0))
    return made


def _dump(kind: int, family: int, said: bytes = b"") -> Iterator[bytes]:
    """Yield the attributes of each message of an answer."""
    with _asking() as asking:
        asking.send(_message(kind, _REQUEST | _DUMP, family, said))
        while True:
            for answer, body in _messages(asking.recv(_RECEIVED)):
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    number = -struct.unpack_from("=i", body)[0]
                    raise OSError(number, os.strerror(number))
                yield body[4:]


def _message(kind: int, flags: int, family: int, said: bytes) -> bytes:
    return struct.pack("=IHHIIBBH", _HEADER + len(said), kind, flags, 0, 0, family, 0, 0) + said


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind of each message, and what is behind its nlmsghdr."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from("=IH", data, at)
        yield kind, data[at + 16 : at + size]
        at += size + -size % 4
