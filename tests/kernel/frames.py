"""Lines of a case as bytes: what a packet carries, and the frame around it."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address, ip_address

from tests.kernel.lines import Line
from tests.kernel.world import BRIDGE_MACS, PROTOCOLS, STATIONS, checksum, frame, in_ip, mac_bytes, transport

ALL = "ff:ff:ff:ff:ff:ff"
_ARP = {"arp": (0x0806, 1), "arp-reply": (0x0806, 2), "rarp": (0x8035, 3)}
"""Ethertype and operation (RFC 826, RFC 903)."""
_ND = {"rs": 133, "ra": 134, "ns": 135, "na": 136, "mld": 143}
_INVALID = 0x03
"""SYN and FIN: no TCP sends both."""


def body(line: Line, source: str, dest: str, sport: int, marker: bytes, about: bytes = b"") -> bytes:
    """Return what the packet of *line* has behind its IP header; *about* is the packet that an error quotes."""
    if line.proto in _ARP:
        return _arp(line, dest) + marker.ljust(18, b"\0")
    if line.proto in _ND:
        return _nd(line, source, dest, marker)
    if line.state in ("related", "invalid") and line.proto.startswith("icmp"):
        quoted = about or in_ip(17, dest, source, struct.pack("!HHHH", sport, 9, 8, 0))
        return _icmp(line, source, dest, bytes(4), quoted + marker)
    if line.proto in PROTOCOLS:
        size = int(line.options.get("size", 0))
        flags = {"flags": _INVALID} if line.state == "invalid" else {}
        seq = int(marker[2:]) << 8
        made = transport(
            line.proto,
            source,
            dest,
            sport,
            line.port,
            _bootp(line) + (marker + marker.rjust(size - 8, b".") if size else marker),
            seq=seq,
            **flags,
        )
        code = int(line.options.get("code", 0))
        return _icmp(line, source, dest, made[4:8], made[8:]) if code else made
    if line.number in (132, 33, 136):
        return struct.pack("!HHII", sport, line.port, 0, 0) + marker  # ports stand first in all of them
    return marker * 4


def _icmp(line: Line, source: str, dest: str, rest: bytes, data: bytes) -> bytes:
    made = struct.pack("!BBH", line.port, int(line.options.get("code", 0)), 0) + rest + data
    return _summed(made, source, dest) if line.version == 6 else made[:2] + _sum(made) + made[4:]


def _sum(data: bytes) -> bytes:
    return struct.pack("!H", checksum(data))


def _summed(made: bytes, source: str, dest: str) -> bytes:
    """Return an ICMPv6 message with its checksum."""
    head = ip_address(source).packed + ip_address(dest).packed + struct.pack("!II", len(made), PROTOCOLS["icmp6"])
    return made[:2] + _sum(head + made) + made[4:]


def _nd(line: Line, source: str, dest: str, marker: bytes) -> bytes:
    """Return a message of neighbour discovery, its number in an option of an experiment (RFC 4727)."""
    target = IPv6Address(line.options.get("target", dest if line.proto == "ns" else source)).packed
    middle = {"rs": bytes(4), "ra": bytes(12), "mld": bytes(4)}.get(line.proto, bytes(4) + target)
    option = struct.pack("!BB", 253, 2) + marker.ljust(14, b"\0")
    if link := line.options.get("link"):
        option = struct.pack("!BB", 2 if line.proto == "na" else 1, 1) + mac_bytes(link) + option
    return _summed(struct.pack("!BBH", _ND[line.proto], 0, 0) + middle + option, source, dest)


def _bootp(line: Line) -> bytes:
    """Return a request of a DHCP client up to its options, where the line says who that is (RFC 951)."""
    if "chaddr" not in line.options:
        return b""
    relay = ip_address(line.options.get("giaddr", "0.0.0.0")).packed
    return struct.pack("!BBBB", 1, 1, 6, 0) + bytes(20) + relay + mac_bytes(line.options["chaddr"]) + bytes(202)


def _arp(line: Line, dest: str) -> bytes:
    operation = _ARP[line.proto][1]
    own = STATIONS[line.source]
    mac = line.options.get("arp-mac") or line.options.get("mac") or own.mac
    sender = line.options.get("arp-ip") or f"{'192.0.2.' if own.bridge == 'vmbr0' else '198.51.100.'}{own.number}"
    ends = mac_bytes(mac) + ip_address(sender).packed + bytes(6) + ip_address(dest).packed
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + ends


def ethernet(line: Line, dest: str, data: bytes) -> bytes:
    """Return the frame that carries *data*."""
    kind = _ARP[line.proto][0] if line.proto in _ARP else int(line.proto, 16) if line.proto.startswith("0x") else 0
    kind = kind or (0x0800 if line.version == 4 else 0x86DD)
    source = line.options.get("mac") or STATIONS[line.source].mac
    return frame(source, _mac(line, dest), kind, data, *map(_tag, filter(None, line.options.get("tag", "").split(","))))


def _mac(line: Line, dest: str) -> str:
    """Return whom the frame is for: a group or all, the other side, or the host where it routes."""
    address = ip_address(dest)
    if line.proto in _ARP or dest == "255.255.255.255":
        return ALL
    if address.is_multicast:
        low = address.packed[-4:] if address.version == 6 else bytes([0, address.packed[1] & 0x7F, *address.packed[2:]])
        return ("33:33:" if address.version == 6 else "01:00:") + (
            low.hex(":") if address.version == 6 else "5e:" + low[1:].hex(":")
        )
    bridge = STATIONS[line.source].bridge
    there = STATIONS.get(line.dest)
    return there.mac if there and there.bridge == bridge else BRIDGE_MACS[bridge]


def _tag(text: str) -> tuple[int, int]:
    return (0x88A8, int(text[2:])) if text.startswith("ad") else (0x8100, int(text))
