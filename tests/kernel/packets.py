"""Play packets between zones, and tell each one's verdict from what arrived where.

ACCEPT: it reached the other side's sockets, and an answer came back.  REJECT: it did not, and the
sender was told.  DROP: neither.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.kernel.world import PROTOCOLS, World, inside, transport

QUIET = 0.4
"""Seconds without any packet after which nothing more comes: veth delivers at once, ARP asks once."""

FIRST_PORT = 40000


@dataclass(frozen=True)
class Packet:
    source: str
    dest: str
    proto: str
    """tcp, udp, icmp; tcp6, udp6, icmp6 over IPv6."""
    dport: int
    """Destination port, or ICMP type."""
    sport: int | None = None

    @property
    def version(self) -> int:
        return 6 if self.proto.endswith("6") else 4


class Player:
    """Raw sockets in every zone: they get what the firewall has let through, after the input hook."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sockets: dict[tuple[str, str], socket.socket] = {}
        for zone, name in world.names.items():
            with inside(name):
                for proto, number in PROTOCOLS.items():
                    family = socket.AF_INET6 if proto.endswith("6") else socket.AF_INET
                    made = socket.socket(family, socket.SOCK_RAW, number)
                    made.setblocking(False)
                    self.sockets[zone, proto] = made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for made in self.sockets.values():
            made.close()

    def verdicts(self, packets: list[Packet]) -> list[str]:
        """Send all, and return the verdict of each: ACCEPT, DROP, REJECT, or ONE-WAY where no answer came back."""
        self._drain()
        ports = [packet.sport or FIRST_PORT + at for at, packet in enumerate(packets)]
        for packet, port in zip(packets, ports, strict=True):
            self._send(packet, packet.source, self.world.address(packet.dest, packet.version), port, packet.dport)
        seen = self._collect()
        reached = [
            (packet.dest, packet.proto, port, packet.dport) in seen for packet, port in zip(packets, ports, strict=True)
        ]
        for packet, port, there in zip(packets, ports, reached, strict=True):
            if there and packet.proto.startswith("udp"):
                answer = seen[packet.dest, packet.proto, port, packet.dport]
                self._send(packet, packet.dest, answer, packet.dport, port)
        back = {**seen, **self._collect()}
        return [self._verdict(one, port, back, there) for one, port, there in zip(packets, ports, reached, strict=True)]

    def _verdict(self, packet: Packet, port: int, back: dict[tuple[str, str, int, int], str], reached: bool) -> str:
        ends = (packet.dport, port)
        if packet.proto.startswith("icmp"):
            ends = (port, {8: 0, 128: 129}.get(packet.dport, -1))
        answered = (packet.source, packet.proto, *ends) in back
        refused = (packet.source, f"error {packet.proto}", port, packet.dport) in back
        if reached:
            return "ACCEPT" if answered or ends[1] == -1 else "ONE-WAY"
        return "REJECT" if answered or refused else "DROP"

    def _send(self, packet: Packet, zone: str, dest: str, sport: int, dport: int) -> None:
        body = transport(packet.proto, self._source(zone, dest, packet.version), dest, sport, dport)
        with suppress(PermissionError):  # the host's own output hook says no at once
            self.sockets[zone, packet.proto].sendto(body, (dest, 0))

    def _source(self, zone: str, dest: str, version: int) -> str:
        if zone == "host" and dest.startswith(("198.51.100.", "2001:db8:1:")):
            return {4: "198.51.100.1", 6: "2001:db8:1::1"}[version]
        return self.world.address(zone, version)

    def _drain(self) -> None:
        for made in self.sockets.values():
            while _read(made):
                pass

    def _collect(self) -> dict[tuple[str, str, int, int], str]:
        """Return (zone, proto, sport, dport) → sender of all that arrives until it is quiet."""
        seen: dict[tuple[str, str, int, int], str] = {}
        names = {made: key for key, made in self.sockets.items()}
        until = time.monotonic() + QUIET
        while (left := until - time.monotonic()) > 0:
            for made in select.select(list(names), [], [], left)[0]:
                zone, proto = names[made]
                while found := _read(made):
                    data, sender = found
                    if not proto.endswith("6"):
                        data = data[(data[0] & 15) * 4 :]
                    for name, sport, dport in _identify(proto, data):
                        until = time.monotonic() + QUIET
                        seen[zone, name, sport, dport] = sender
        return seen


def _read(made: socket.socket) -> tuple[bytes, str] | None:
    try:
        data, sender = made.recvfrom(2048)
    except BlockingIOError:
        return None
    return data, sender[0]


def _identify(proto: str, data: bytes) -> list[tuple[str, int, int]]:
    """Return what a message is: (proto, sport, dport), or the same of the packet an ICMP error is about."""
    if not proto.startswith("icmp"):
        return [(proto, *struct.unpack("!HH", data[:4]))]
    if data[0] in ((1, 3) if proto == "icmp6" else (3, 11)):
        about = data[8:]
        number, inner = (about[6], about[40:]) if proto == "icmp6" else (about[9], about[(about[0] & 15) * 4 :])
        names = [
            name for name, known in PROTOCOLS.items() if known == number and name.endswith("6") == (proto == "icmp6")
        ]
        return [(f"error {name}", *_ports(name, inner)) for name in names]
    return [(proto, *_ports(proto, data))]


def _ports(proto: str, data: bytes) -> tuple[int, int]:
    if proto.startswith("icmp"):
        return struct.unpack("!H", data[4:6])[0], data[0]
    sport, dport = struct.unpack("!HH", data[:4])
    return sport, dport
