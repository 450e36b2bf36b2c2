"""Frames to play from zone to zone of a `World`, and whether each gets there."""

from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import dataclass

from tests.kernel.world import frame, guest_mac, ip_packet, mac_bytes
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
