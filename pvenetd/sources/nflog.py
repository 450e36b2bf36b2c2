"""Packets that rules log: NFLOG groups of this network namespace.

The kernel copies the head of each packet with the rule's prefix.  One group has one listener: another
program's that was first (ulogd) keeps it.

Sources: linux/netfilter/nfnetlink_log.h; net/netfilter/nfnetlink_log.c.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from pvenetd.firewall.log import Logged
from pvenetd.firewall.nft_words import LOG_GROUP

HEADERS = 128
"""Bytes of a packet: all headers that are told of."""
WHOLE = 2048
"""Bytes of a packet: more than a frame has."""
_AT_ONCE = 200
"""Packets of one read: what comes faster is counted as lost by the kernel, and keeps nobody waiting."""

_NETLINK_NETFILTER, _SUBSYSTEM, _PACKET, _CONFIG = 12, 4 << 8, 0, 1
_BIND, _COPY_PACKET = 1, 2
_CMD, _MODE, _TIMEOUT, _THRESHOLD = 1, 2, 4, 5
_HEADER, _TIME, _IN, _OUT, _PHYSIN, _PHYSOUT, _ADDRESS, _PAYLOAD, _PREFIX, _LINK_HEADER = 1, 3, 4, 5, 6, 7, 8, 9, 10, 16
_VLAN, _VLAN_TCI = 20, 2
_ACKNOWLEDGED, _REQUEST = 4, 1
_BUFFER = 1 << 20
_ERROR = 2
"""NLMSG_ERROR."""
_GENERAL = 4
"""Bytes of struct nfgenmsg; the first is the family."""
_NETDEV, _ETHERNET = 5, 14
"""NFPROTO_NETDEV: what leaves by a device has its Ethernet header yet, of so many bytes, and a bridge is no port."""


class Nflog:
    """A socket that tells of logged packets."""

    def __init__(self, group: int = LOG_GROUP, copied: int = HEADERS, *, at_once: bool = False) -> None:
        """Listen to *group* for the first *copied* bytes of its packets.  Raises OSError: EPERM where another does.

        With *at_once*, each packet is told of by itself, not with those of the next 50 ms.
        """
        self._group = group
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._ask(_attribute(_CMD, bytes((_BIND,))))
            mode = _attribute(_MODE, struct.pack("!IBx", copied, _COPY_PACKET))
            self._ask(
                mode,
                _attribute(_TIMEOUT, struct.pack("!I", 5)),
                _attribute(_THRESHOLD, struct.pack("!I", 1)) if at_once else b"",
            )
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """Return what can be read when a packet was logged."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def packets(self) -> tuple[list[Logged], bool]:
        """Return what was logged since the last call, some 200 at most, and whether some was lost."""
        found: list[Logged] = []
        lost = False
        while len(found) < _AT_ONCE:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            found += (_logged(body) for kind, body in _messages(data) if kind == _SUBSYSTEM | _PACKET)
        return found, lost

    def _ask(self, *attributes: bytes) -> None:
        body = struct.pack("!BBH", socket.AF_UNSPEC, 0, self._group) + b"".join(attributes)
        kind, flags = _SUBSYSTEM | _CONFIG, _REQUEST | _ACKNOWLEDGED
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body)
        for kind, answer in _messages(self._socket.recv(1 << 16)):
            if kind == _ERROR and (number := -struct.unpack_from("=i", answer)[0]):
                raise OSError(number, f"NFLOG group {self._group}: {_reason(number)}")


def _reason(number: int) -> str:
    busy = number in (errno.EBUSY, errno.EPERM)  # whose the group is, is asked before whether it is bound
    return "another program listens there" if busy else errno.errorcode.get(number, str(number))


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and body of each message."""
    at = 0
    while at + 16 <= len(data):
        size, kind = struct.unpack_from("=IH", data, at)
        yield kind, data[at + 16 : at + size]
        at += max(16, size + -size % 4)


def _logged(body: bytes) -> Logged:
    found: dict[int, bytes] = {}
    at = _GENERAL
    while at + 4 <= len(body):
        size, kind = struct.unpack_from("=HH", body, at)
        found[kind & 0x3FFF] = body[at + 4 : at + size]
        at += max(4, size + -size % 4)
    names = {kind: _name(found.get(kind, b"")) for kind in (_IN, _OUT, _PHYSIN, _PHYSOUT)}
    header = _ETHERNET if body[0] == _NETDEV and names[_OUT] else 0
    seconds, micros = struct.unpack("!QQ", found[_TIME]) if len(found.get(_TIME, b"")) == 16 else (0, 0)
    return Logged(
        prefix=found.get(_PREFIX, b"").rstrip(b"\0").decode("utf-8", "replace"),
        seconds=seconds + micros / 1e6,
        ethertype=int.from_bytes(found.get(_HEADER, b"\0\0")[:2], "big"),
        packet=found.get(_PAYLOAD, b"")[header:],
        device_in=names[_IN],
        device_out=names[_OUT],
        port_in=names[_PHYSIN],
        port_out=names[_PHYSOUT],
        link_header=found.get(_PAYLOAD, b"")[:header] or found.get(_LINK_HEADER, b""),
        vlan=_tag(found.get(_VLAN, b"")),
    )


def _tag(nested: bytes) -> int:
    """Return the VLAN id of NFULA_VLAN, 0 without any."""
    at = 0
    while at + 4 <= len(nested):
        size, kind = struct.unpack_from("=HH", nested, at)
        if kind & 0x3FFF == _VLAN_TCI:
            return int.from_bytes(nested[at + 4 : at + 6], "big") & 0xFFF
        at += max(4, size + -size % 4)
    return 0


def _name(index: bytes) -> str:
    """Return the device of an index, nothing where there is none, or it is gone."""
    try:
        return socket.if_indextoname(int.from_bytes(index, "big")) if index else ""
    except OSError:
        return ""


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
