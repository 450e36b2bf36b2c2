"""Asking others for an answer: ARP, Neighbour Discovery and pings over raw sockets, in this process.

Sources: RFC 826 (ARP), RFC 4861 sections 4.3 and 4.4 (ND), RFC 792 and RFC 4443 (echo), packet(7), raw(7), icmp6(7).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Collection
from ipaddress import IPv6Address, ip_address

from pvenetd.reach import Target

_ARP, _ETHER_IPV4, _REQUEST, _REPLY = 0x0806, (1, 0x0800, 6, 4), 1, 2
_ARP_SHAPE = struct.Struct("!HHBBH6s4s6s4s")
_BROADCAST = b"\xff" * 6
_SOLICITATION, _ADVERTISEMENT, _SOURCE_LINK_ADDRESS = 135, 136, b"\x01\x01"
_ECHO, _ECHO_REPLY, _ECHO6, _ECHO6_REPLY = 8, 0, 128, 129
_ICMP6_FILTER = 1
"""linux/icmpv6.h; a bit that is set keeps a type out."""
_ANY_PORT = 9
"""Of the UDP socket that is only asked for its source address: nothing is sent."""


class Probes:
    """The prober (`pvenetd.reach.Prober`) of this network namespace."""

    def answering(self, targets: Collection[Target], seconds: float, every: float) -> set[Target]:
        """Return who of *targets* answers within *seconds*, asked anew *every* so many; at once if all do."""
        until = time.monotonic() + seconds
        questions = [question for target in targets for question in _questions(target)]
        answered: set[Target] = set()
        try:
            while set(targets) - answered and (now := time.monotonic()) < until:
                for question in questions:
                    question.ask()
                _listen(questions, set(targets), answered, min(now + every, until))
        finally:
            for question in questions:
                question.close()
        return answered


def _listen(questions: list[_Question], targets: set[Target], answered: set[Target], until: float) -> None:
    """Add to *answered* who answers before *until*; return at once when nobody of *targets* is left.

    An answer that is there counts, however late this thread gets round to it.
    """
    asking = {question.socket: question for question in questions if question.socket}
    left = until - time.monotonic()
    while targets - answered:
        ready, _, _ = select.select([*asking], [], [], max(0, left))
        for there in ready:
            with contextlib.suppress(OSError):
                if asking[there].answers(there.recv(1 << 16)):
                    answered.add(asking[there].target)
        if left <= 0:
            return
        left = until - time.monotonic()


class _Question:
    """One way to ask one target."""

    make: tuple[int, int, int]
    """Family, type and protocol of the socket that asks and hears the answer."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.dev = target.dev
        self.ip = ip_address(target.address)
        self.socket: socket.socket | None = None

    def ask(self) -> None:
        """Ask, perhaps again; where there is no way to now (no link, no address yet, no route), ask nobody."""
        try:
            if not self.socket:
                family, kind, protocol = self.make
                self.socket = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
                self.prepare(self.socket)
            self.send(self.socket)
        except OSError:
            self.close()

    def close(self) -> None:
        """Give the socket back."""
        if self.socket:
            self.socket.close()
            self.socket = None

    def prepare(self, there: socket.socket) -> None:
        """Have a new socket hear the answer.  Raises OSError."""

    def send(self, there: socket.socket) -> None:
        """Send the question.  Raises OSError."""
        raise NotImplementedError

    def answers(self, data: bytes) -> bool:
        """Return whether *data* is the target's answer."""
        raise NotImplementedError


class _Arp(_Question):
    make = (socket.AF_PACKET, socket.SOCK_DGRAM, 0)

    def prepare(self, there: socket.socket) -> None:
        there.bind((self.dev, _ARP))
        self.mac = there.getsockname()[4]

    def send(self, there: socket.socket) -> None:
        mine = _source(str(self.ip), self.dev)
        body = _ARP_SHAPE.pack(*_ETHER_IPV4, _REQUEST, self.mac, socket.inet_aton(mine), bytes(6), self.ip.packed)
        there.sendto(body, (self.dev, _ARP, 0, 0, _BROADCAST))

    def answers(self, data: bytes) -> bool:
        if len(data) < _ARP_SHAPE.size:
            return False
        *kind, what, _, sender, mac, _ = _ARP_SHAPE.unpack_from(data)
        return (tuple(kind), what, sender, mac) == (_ETHER_IPV4, _REPLY, self.ip.packed, self.mac)


class _Nd(_Question):
    make = (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)

    def prepare(self, there: socket.socket) -> None:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.dev.encode())
        for option in (socket.IPV6_MULTICAST_HOPS, socket.IPV6_UNICAST_HOPS):
            there.setsockopt(socket.IPPROTO_IPV6, option, 255)
        _hear(there, _ADVERTISEMENT)

    def send(self, there: socket.socket) -> None:
        group = IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(self.ip) & 0xFFFFFF)
        body = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + self.ip.packed + _SOURCE_LINK_ADDRESS + _mac(self.dev)
        there.sendto(body, (str(group), 0, 0, socket.if_nametoindex(self.dev)))

    def answers(self, data: bytes) -> bool:
        return data[:1] == bytes([_ADVERTISEMENT]) and data[8:24] == self.ip.packed


class _Ping(_Question):
    make = (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.token = os.urandom(4)
        """Identifier and sequence number: only an answer to this ping counts."""

    def send(self, there: socket.socket) -> None:
        check = _checksum(bytes([_ECHO, 0, 0, 0]) + self.token)
        there.sendto(bytes([_ECHO, 0]) + check + self.token, (str(self.ip), 0))

    def answers(self, data: bytes) -> bool:
        message = data[(data[0] & 0xF) * 4 :]  # behind the IP header
        return message[:1] == bytes([_ECHO_REPLY]) and message[4:8] == self.token


class _Ping6(_Ping):
    make = _Nd.make

    def prepare(self, there: socket.socket) -> None:
        _hear(there, _ECHO6_REPLY)

    def send(self, there: socket.socket) -> None:
        scope = socket.if_nametoindex(self.dev) if self.dev and self.ip.is_link_local else 0
        there.sendto(bytes([_ECHO6, 0, 0, 0]) + self.token, (str(self.ip), 0, 0, scope))

    def answers(self, data: bytes) -> bool:
        return data[:1] == bytes([_ECHO6_REPLY]) and data[4:8] == self.token


def _questions(target: Target) -> list[_Question]:
    v6 = ":" in target.address
    near: list[_Question] = [(_Nd if v6 else _Arp)(target)] if target.dev else []
    return near + ([(_Ping6 if v6 else _Ping)(target)] if target.ping else [])


def _hear(there: socket.socket, kind: int) -> None:
    """Let nothing but messages of type *kind* in."""
    words = [0xFFFFFFFF] * 8
    words[kind // 32] &= ~(1 << kind % 32)
    there.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *words))


def _source(address: str, dev: str) -> str:
    """Return the address of ours that the kernel would ask *address* from.  Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, dev.encode())
        there.connect((address, _ANY_PORT))
        return str(there.getsockname()[0])


def _mac(dev: str) -> bytes:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as there:
        there.bind((dev, 0))
        return bytes(there.getsockname()[4])


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
