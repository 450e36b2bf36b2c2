"""Play packets between zones, and tell each one's verdict from what arrived where.

ACCEPT: it reached the other side, and an answer came back.  REJECT: it did not, and the sender was told.  DROP:
neither.  ONE-WAY: it got there, and no answer came back.

Every packet carries its number, which is looked for in all that arrives anywhere: at the host by sockets behind its
input hook, elsewhere by what the cable brings.  What should arrive is waited for with patience; what should not has
the time that veth and ARP need.
"""

from __future__ import annotations

import re
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Self

from pvenetd.sources.nflog import Nflog
from tests.kernel.fragments import Parts, whole
from tests.kernel.frames import body, ethernet
from tests.kernel.lines import Line
from tests.kernel.world import PROTOCOLS, STATIONS, World, in_ip, inside, packet_socket
from tests.patience import PATIENCE

QUIET = 0.3
"""Seconds without any packet after which nothing more comes: veth delivers at once, ARP asks once."""
FIRST = 20000
"""The first packet's number, and its source port."""
OUTGOING = 4
"""PACKET_OUTGOING (linux/if_packet.h): a frame of one's own."""


@dataclass(frozen=True)
class Heard:
    """A packet, or an answer to it, as it was where it arrived."""

    source: str
    dest: str
    sport: int
    dport: int
    raw: bytes
    """All of it, from its IP header on."""


@dataclass(frozen=True)
class Played:
    """What became of a line's packet."""

    verdict: str
    heard: Heard | None
    """As it arrived."""
    logged: tuple[str, ...]
    """What was logged of it, as `spelled` has it."""


Ears = dict[tuple[str, int], Heard]
"""What was heard last, by zone and number."""


class Player:
    """Ears and mouths in every zone."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ears: dict[socket.socket, str] = {}
        self.mouths: dict[tuple[str, int], socket.socket] = {}
        self.cables: dict[str, socket.socket] = {}
        self.logged: dict[int, list[str]] = {}
        """By the packet's number, in the order they came."""
        with inside(world.names["host"]):
            self.log = Nflog()
        self.parts: dict[socket.socket, Parts] = {}
        self.number = FIRST
        for zone, name in world.names.items():
            with inside(name):
                self._open(zone)
            if zone != "host":
                self.cables[zone] = packet_socket(name)
                self.ears[self.cables[zone]] = zone
        for ear in self.ears:
            ear.setblocking(False)
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)

    def _open(self, zone: str) -> None:
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            self.mouths[zone, version] = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self.mouths[zone, version].setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if zone == "host":
                numbers = {number for name, number in PROTOCOLS.items() if name.endswith("6") == (version == 6)}
                for number in {*numbers, *OTHERS}:
                    self.ears[socket.socket(family, socket.SOCK_RAW, number)] = zone

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (*self.ears, *self.mouths.values(), self.log):
            one.close()

    def verdicts(self, lines: list[Line]) -> list[str]:
        """Send all, and return the verdict of each."""
        return [played.verdict for played in self.play(lines)]

    def play(self, lines: list[Line]) -> list[Played]:
        """Send all, and return what became of each."""
        numbered = list(enumerate(lines, self.number))
        shift = len(lines)
        self.number += 2 * shift
        openers = {number + shift: opener(line, number) for number, line in numbered if line.follows}
        for number, line in openers.items():
            self._send(number, line)
        before = self._hear({(line.dest, number) for number, line in openers.items()}) if openers else {}
        for number, line in numbered:
            self._send(number, line, before.get((line.source, number + shift)))
        wanted = {(line.end, number) for number, line in numbered if line.verdict == "ACCEPT"}
        wanted |= {(line.source, number) for number, line in numbered if line.verdict == "REJECT"}
        heard = self._hear(wanted)
        due = {(line.source, number) for number, line in numbered if line.is_answered and (line.end, number) in heard}
        for number, line in numbered:
            if (line.source, number) in due and line.proto.startswith("udp"):
                self._answer(number, line, heard[line.end, number])
        back = heard | (self._hear(due - heard.keys()) if due - heard.keys() else {})
        self._read_log({number: len(line.logs) for number, line in numbered})
        return [
            Played(
                _verdict(line, number, heard, back),
                heard.get((line.end, number)),
                tuple(self.logged.get(number, ())),
            )
            for number, line in numbered
        ]

    def _read_log(self, wanted: dict[int, int]) -> None:
        """Read what was logged until there is as much of each packet as *wanted*, and all that is there."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for one in self.log.packets()[0]:
                for number in _markers(one.packet)[-1:]:
                    self.logged.setdefault(number, []).append(spelled(one.prefix))
            missing = any(len(self.logged.get(number, ())) < count for number, count in wanted.items())
            if not missing or not select.select([self.log], [], [], max(deadline - time.monotonic(), 0))[0]:
                return

    def _send(self, number: int, line: Line, about: Heard | None = None) -> None:
        """Send one packet, *about* the one that it answers or complains of."""
        dest = line.options.get("dest") or self._address(line.dest, line.source, line.version)
        source = line.options.get("source") or self._address(line.source, line.dest, line.version)
        if about:
            dest = about.source
        marker = b"pv%06d" % number
        payload = body(line, source, dest, int(line.options.get("sport", number)), marker, about.raw if about else b"")
        data = in_ip(line.number, source, dest, payload) if line.number else payload
        if "size" in line.options:
            self._say_in_pieces(line, payload, dest)
        elif line.is_frame:
            self.cables[line.source].send(ethernet(line, dest, data))
        else:
            self._say(line.source, line.version, data, dest)

    def _answer(self, number: int, line: Line, found: Heard) -> None:
        """Answer a datagram as its receiver would."""
        back = Line(line.end, line.source, line.proto, found.sport)
        data = body(back, found.dest, found.source, found.dport, b"pv%06d" % number)
        self._say(line.end, line.version, in_ip(line.number, found.dest, found.source, data), found.source)

    def _say(self, zone: str, version: int, data: bytes, dest: str) -> None:
        with suppress(PermissionError):  # the host's own output hook says no at once
            self.mouths[zone, version].sendto(data, (dest, 0))

    def _say_in_pieces(self, line: Line, payload: bytes, dest: str) -> None:
        """Have the kernel make the IP header, and as many fragments as it takes."""
        family = socket.AF_INET if line.version == 4 else socket.AF_INET6
        with inside(self.world.names[line.source]):
            mouth = socket.socket(family, socket.SOCK_RAW, line.number)
        with mouth:
            mouth.sendto(payload, (dest, 0))

    def _address(self, zone: str, other: str, version: int) -> str:
        """Return the address of *zone*, the host's that is nearest to the *other*."""
        if zone == "host" and other in STATIONS:
            return self.world.host_address(other, version)
        return self.world.address(zone, version)

    def _hear(self, wanted: set[tuple[str, int]]) -> Ears:
        """Return all that arrives until what is *wanted* has, and it is quiet."""
        heard: Ears = {}
        now = time.monotonic()
        deadline, until = now + PATIENCE, now + QUIET
        while (left := (until if wanted <= heard.keys() else deadline) - time.monotonic()) > 0:
            for ear in select.select(list(self.ears), [], [], left)[0]:
                found = {
                    (self.ears[ear], number): packet for number, packet in _read(ear, self.parts.setdefault(ear, {}))
                }
                if found:  # hosts chatter of their own accord: multicast groups, routers
                    until = time.monotonic() + QUIET
                    heard |= found
        return heard


OTHERS = (2, 47, 132)
"""Protocols without ports of their own here, that the host listens for: IGMP, GRE, SCTP."""


def opener(line: Line, number: int) -> Line:
    """Return the packet that *line* answers, or is an error about: sent by its receiver."""
    port = line.options.get("sport", str(number))
    own = str(line.port) if line.state == "established" else str(number)
    return Line(line.dest, line.source, "udp6" if line.version == 6 else "udp", int(port), options={"sport": own})


def _verdict(line: Line, number: int, heard: Ears, back: Ears) -> str:
    told = (line.source, number) in back
    if (line.end, number) not in heard:
        return "REJECT" if told else "DROP"
    return "ACCEPT" if told or not line.is_answered else "ONE-WAY"


def _read(ear: socket.socket, parts: Parts) -> Iterator[tuple[int, Heard]]:
    """Yield the numbers of all that waits at *ear*, with what it is."""
    while True:
        try:
            data, sender = ear.recvfrom(1 << 16)
        except BlockingIOError:
            return
        if ear.family != socket.AF_PACKET:
            # IPv6's raw sockets get what is behind the header.
            raw = data if ear.family == socket.AF_INET else in_ip(ear.proto, sender[0].partition("%")[0], "::", data)
        elif sender[2] == OUTGOING:
            continue
        else:
            whole_packet = whole(data[14:], parts)
            if whole_packet is None:
                continue
            raw = whole_packet
        found = _look(raw)
        if number := _number(raw, found):
            yield number, found


def _number(raw: bytes, found: Heard) -> int:
    if markers := _markers(raw):
        return markers[-1]  # an error quotes what it is about, with its number, before its own
    # What a reset answers to is its sequence number plus one, and the marker's length.
    return int.from_bytes(found.raw[-12:-8], "big") >> 8 if len(found.raw) in (40, 60) else 0


def _markers(raw: bytes) -> list[int]:
    return [int(one) for one in re.findall(rb"pv(\d{6})", raw)]


def spelled(prefix: str) -> str:
    """Return a log line's prefix as lines of a case spell it, without the rule's line: ``100:6:in:policy_DROP``."""
    vmid, level, way, what = prefix.strip(":").split(":", 3)
    return f"{vmid}:{level}:{way}:{what.partition(':')[0].strip().replace(' ', '_')}"


def _look(raw: bytes) -> Heard:
    """Return a packet's addresses and ports, as far as it has some."""
    if raw[0] >> 4 == 4 and len(raw) >= 20:
        head, ends = (raw[0] & 15) * 4, (raw[12:16], raw[16:20])
    elif raw[0] >> 4 == 6 and len(raw) >= 40:
        head, ends = 40, (raw[8:24], raw[24:40])
    else:
        return Heard("", "", 0, 0, raw)
    sport, dport = struct.unpack("!HH", raw[head : head + 4].ljust(4, b"\0"))
    return Heard(str(ip_address(ends[0])), str(ip_address(ends[1])), sport, dport, raw)
