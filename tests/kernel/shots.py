"""Frames to play from zone to zone of a `World`, and whether each gets there."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.kernel.world import checksum, frame, guest_mac, in_ip, ip_packet, mac_bytes, transport
from tests.patience import PATIENCE

OUTSIDE, GUEST, OTHER = "02:00:00:00:0f:fe", guest_mac(100), guest_mac(101)
FORGED = "02:00:00:00:00:77"
ALL = "ff:ff:ff:ff:ff:ff"
Q, AD = (0x8100, 10), (0x88A8, 20)


@dataclass(frozen=True)
class Shot:
    """One frame, from *source* to *dest*, and whether it is to get there."""

    name: str
    source: str
    dest: str
    data: bytes
    passes: bool


def udp(
    name: str,
    dport: int,
    source: str,
    dest: str,
    *tags: tuple[int, int],
    passes: bool,
    six: bool = False,
    mac: str = "",
) -> Shot:
    macs = {"outside": OUTSIDE, "vm/100": GUEST, "vm/101": OTHER}
    last = {"outside": "fe", "vm/100": "64", "vm/101": "65"}
    ends = [f"2001:db8::{last[zone]}" if six else f"192.0.2.{int(last[zone], 16)}" for zone in (source, dest)]
    packet = ip_packet("udp6" if six else "udp", ends[0], ends[1], _sport(name), dport)
    return Shot(
        name, source, dest, frame(mac or macs[source], macs[dest], 0x86DD if six else 0x0800, packet, *tags), passes
    )


def _sport(name: str) -> int:
    return 20000 + sum(name.encode()) * 7 % 9973


def arp(mac: str, sender: str, kind: int = 0x0806, operation: int = 1) -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac_bytes(sender) + socket.inet_aton("192.0.2.100")
    return frame(mac, ALL, kind, body + bytes(6) + socket.inet_aton("192.0.2.254"))


def nd(kind: int, source: str) -> bytes:
    return frame(source, "33:33:00:00:00:01", 0x86DD, ip_packet("icmp6", "fe80::77", "ff02::1", kind, kind))


def dhcp(source: str, sport: int, dport: int) -> bytes:
    return frame(source, ALL, 0x0800, ip_packet("udp", "0.0.0.0", "255.255.255.255", sport, dport))


def passes(shot: Shot, ears: dict[str, socket.socket]) -> bool:
    """Return whether a frame gets there.

    What is switched through a bridge arrives within the send, so a short wait is plenty for what is to be stopped.
    """
    ears[shot.source].send(shot.data)
    payload = shot.data[-28:]  # behind every tag, which the kernel keeps apart from the frame
    until = time.monotonic() + (PATIENCE if shot.passes else 0.05)
    while (left := until - time.monotonic()) > 0:
        for ear in select.select([ears[shot.dest]], [], [], left)[0]:
            if payload in ear.recv(2048):
                return True
    return False


PRIORITY = (0x8100, 0)
"""A tag of no VLAN (IEEE 802.1Q, priority-tagged)."""
_ENDS = {"vm/100": (OUTSIDE, GUEST, "outside"), "outside": (OTHER, OUTSIDE, "vm/101")}
"""Who gets a malformed packet: by whom, to whom it is sent."""
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _OPTIONS = 0, 43, 44, 60
"""IPv6's next headers (RFC 8200)."""


def malformed(dest: str, port: int, closed: int) -> Iterator[Shot]:
    """Yield what no stack sends, to *port*, which is open, or to one that is *closed*: none of it gets through."""
    four, six = {"vm/100": ("254", "100"), "outside": ("101", "254")}[dest], 17
    plain = ip_packet("udp", f"192.0.2.{four[0]}", f"192.0.2.{four[1]}", 30000, port)
    for name, data in (
        ("a header of 16 bytes", b"\x44" + plain[1:]),
        ("a header of 60 bytes", b"\x4f" + plain[1:]),
        ("version 6 in IPv4", b"\x65" + plain[1:]),
        ("a length beyond the frame", plain[:2] + struct.pack("!H", 900) + plain[4:]),
        ("a length of less than the header", plain[:2] + struct.pack("!H", 10) + plain[4:]),
        ("a wrong checksum", plain[:10] + b"\xff\xff" + plain[12:]),
        ("twelve bytes of a header", plain[:12]),
        ("a tiny first fragment", _fragment(plain, 0x2000, 8)),
        ("a fragment within the ports", _fragment(plain, 0x0001, 8)),
        ("a last fragment alone", _fragment(plain, 0x0100, 16)),
    ):
        yield _odd(name, dest, 0x0800, data)
    ends = [f"2001:db8::{int(one):x}" for one in four]
    shut = transport("udp6", *ends, 30001, closed)
    for name, first, data in (
        ("a closed port behind options", _HOP_BY_HOP, bytes((six, 0, 1, 4, 0, 0, 0, 0)) + shut),
        ("a closed port in a whole fragment", _FRAGMENT, bytes((six, 0, 0, 0, 0, 0, 0, 7)) + shut),
        (
            "a closed port behind forty headers",
            _OPTIONS,
            bytes((_OPTIONS, 0, 1, 4, 0, 0, 0, 0)) * 39 + bytes((six, 0, 1, 4, 0, 0, 0, 0)) + shut,
        ),
        ("options that never end", _OPTIONS, bytes((_OPTIONS, 255, 1, 4, 0, 0, 0, 0)) + shut),
        ("a route by others", _ROUTING, bytes((six, 2, 0, 1, 0, 0, 0, 0)) + bytes(16) + shut),
    ):
        yield _odd(name, dest, 0x86DD, in_ip(first, *ends, data))


def _odd(name: str, dest: str, kind: int, data: bytes) -> Shot:
    source_mac, mac, source = _ENDS[dest]
    return Shot(f"to {dest}: {name}", source, dest, frame(source_mac, mac, kind, data), passes=False)


def _fragment(packet: bytes, offset: int, size: int) -> bytes:
    """Return a part of *packet* with its flags and *offset*, and a header that is right."""
    head = packet[:2] + struct.pack("!HHH", 20 + size, 7, offset) + packet[8:10] + bytes(2) + packet[12:20]
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + packet[20 : 20 + size]
