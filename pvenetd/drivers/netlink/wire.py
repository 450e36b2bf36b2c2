"""A netlink socket: many messages in one send, every answer told apart (netlink(7)).

This carries the messages that others spell.  pyroute2's own socket would run an event loop of its own, and
the kernel does its work inside sendmsg() anyway: so this is called from the one applier thread.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence

HEADER = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence number, port."""
_NLA = struct.Struct("=HH")
"""struct nlattr: length, type."""
ERROR, DONE = 2, 3
REQUEST, ACK, DUMP, TLVS = 0x1, 0x4, 0x300, 0x200
REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400
_SOL_NETLINK, _EXT_ACK, _CAP_ACK, _STRICT_CHECK = 270, 11, 10, 12
_SO_RCVBUFFORCE = 33
_RECEIVE_BUFFER = 16 << 20
"""Bytes: 1,600 links made in one go were lost at 1 MiB, none at 16."""
_TIMEOUT = 30.0
"""Seconds: the kernel answers in microseconds; only a stuck RTNL lock takes this long."""


class RefusedError(Exception):
    """The kernel's answer to one message was an error."""

    def __init__(self, number: int, reason: str) -> None:
        self.errno = number
        self.reason = reason or os.strerror(number)
        super().__init__(self.reason)


class Wire:
    """One netlink socket, used by one thread."""

    def __init__(self, groups: Sequence[int] = (), protocol: int = socket.NETLINK_ROUTE) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        for option in (_EXT_ACK, _CAP_ACK, _STRICT_CHECK):
            self.socket.setsockopt(_SOL_NETLINK, option, 1)
        self.socket.bind((0, 0))
        for group in groups:
            self.socket.setsockopt(_SOL_NETLINK, 1, group)  # NETLINK_ADD_MEMBERSHIP
        if groups:
            self.socket.setblocking(False)
        else:
            self.socket.settimeout(_TIMEOUT)
        self._sequence = 0

    def close(self) -> None:
        """Give the socket back."""
        self.socket.close()

    def change(self, messages: Sequence[bytes]) -> None:
        """Send *messages*, all in one go, and wait for the answers.

        Raises `RefusedError` with the first message's error; those behind it have been tried too.
        """
        if errors := [error for error in self.attempt(messages) if error]:
            raise errors.pop(0)  # not by a name: what it is raised in would know it, and both stay until looked for

    def attempt(self, messages: Sequence[bytes]) -> list[RefusedError | None]:
        """Send *messages*, all in one go, and return the answer to each: its error, or None."""
        if not messages:
            return []
        first = self._send(messages, REQUEST | ACK)
        errors: dict[int, RefusedError] = {}
        open_answers = set(range(first, first + len(messages)))
        while open_answers:
            for kind, flags, sequence, body in _split(self.socket.recv(1 << 16)):
                if kind == ERROR and sequence in open_answers:
                    open_answers.discard(sequence)
                    if _refuses(body):
                        errors[sequence] = _error(flags, body)
        return [errors.get(first + number) for number in range(len(messages))]

    def ask(self, message: bytes, *, dump: bool = False) -> Iterator[bytes]:
        """Yield each answer to *message*, header included.  Raises `RefusedError`."""
        sequence = self._send([message], REQUEST | (DUMP if dump else ACK))
        while True:
            for kind, flags, number, body in _split(self.socket.recv(1 << 18)):
                if number != sequence:
                    continue
                if kind == ERROR:
                    if _refuses(body):
                        raise _error(flags, body)
                    return
                if kind == DONE:
                    if code := int.from_bytes(body[16:20], "little", signed=True):
                        raise RefusedError(-code, "")
                    return
                yield body

    def events(self) -> Iterator[tuple[int, bytes]]:
        """Yield (type, message) of what has come in.

        Raises OSError(ENOBUFS) when the kernel had to drop some: then only a dump tells the truth.
        """
        while True:
            try:
                data = self.socket.recv(1 << 18)
            except BlockingIOError:
                return
            for kind, _, _, body in _split(data):
                yield kind, body

    def _send(self, messages: Sequence[bytes], flags: int) -> int:
        first = self._sequence + 1
        out = bytearray()
        for message in messages:
            self._sequence = (self._sequence + 1) & 0xFFFFFFFF
            length, kind, own, _, _ = HEADER.unpack_from(message)
            out += HEADER.pack(length, kind, own | flags, self._sequence, 0) + message[16:]
            out += bytes(-len(out) % 4)
        self.socket.send(out)
        return first


def raw(kind: int, flags: int, body: bytes) -> bytes:
    """Return the bytes of one message whose *body* is spelled already."""
    return HEADER.pack(HEADER.size + len(body), kind, flags, 0, 0) + body


def nla(kind: int, payload: bytes) -> bytes:
    """Return one attribute (struct nlattr), padded to four bytes."""
    return _NLA.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def attributes(data: bytes) -> list[tuple[int, bytes]]:
    """Return (type, payload) of the attributes in *data*."""
    found = []
    at, last = 0, len(data) - 4
    while at <= last:
        length, kind = _NLA.unpack_from(data, at)
        if length < 4:
            break
        found.append((kind & 0x3FFF, data[at + 4 : at + length]))
        at += (length + 3) & ~3
    return found


def has(body: bytes, at: int, wanted: int) -> bool:
    """Return whether an attribute of type *wanted* is among those that begin at *at* of *body*."""
    last = len(body) - 4
    while at <= last:
        length, kind = _NLA.unpack_from(body, at)
        if length < 4 or kind & 0x3FFF == wanted:
            return bool(length >= 4)
        at += (length + 3) & ~3
    return False


def _split(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
        if length < HEADER.size:
            return
        yield kind, flags, sequence, data[at : at + length]
        at += (length + 3) & ~3


def _refuses(body: bytes) -> bool:
    """Return whether an answer is more than an acknowledgement."""
    return any(body[16:20])


def _error(flags: int, body: bytes) -> RefusedError:
    number = -int.from_bytes(body[16:20], "little", signed=True)
    reason = ""
    if flags & TLVS:
        for kind, payload in attributes(body[36:]):
            if kind == 1:  # NLMSGERR_ATTR_MSG
                reason = payload.rstrip(b"\0").decode(errors="replace")
    return RefusedError(number, f"{os.strerror(number)}: {reason}" if reason else "")


def lost_events(error: OSError) -> bool:
    """Return whether *error* says that the kernel had to drop events."""
    return error.errno == errno.ENOBUFS
