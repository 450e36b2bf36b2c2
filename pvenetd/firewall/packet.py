"""The head of a packet → what its headers say, in the words and the order of the kernel's own log lines.

Sources: RFC 791, 768, 792, 826, 8200, 9293; net/ipv4/netfilter/nf_log_syslog.c for the words.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from pvenetd.firewall.ruleset import ARP, ICMP, ICMP6, IP, IP6, SCTP, TCP, UDP, UDPLITE

_NAMES = {ICMP: "ICMP", TCP: "TCP", UDP: "UDP", ICMP6: "ICMPv6", SCTP: "SCTP", UDPLITE: "UDPLITE"}
_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
_EXTENSIONS = frozenset({0, 43, 60})
"""Hop-by-hop options, routing, destination options: headers of one shape (RFC 8200, 4.2)."""
_FRAGMENT = 44

Word = tuple[str, str]
"""A name and what it has; a flag has nothing."""


def words(ethertype: int, packet: bytes) -> tuple[Word, ...]:
    """Return what the headers say, as far as they are there: ``("SRC", "192.0.2.1"), …``."""
    found: list[Word] = []
    reader = {IP: _ipv4, IP6: _ipv6, ARP: _arp}.get(ethertype)
    try:
        found += reader(packet) if reader else [("MACPROTO", f"{ethertype:04x}")]
    except (struct.error, ValueError):
        found.append(("INCOMPLETE", f"[{len(packet)} bytes]"))
    return tuple(found)


def _ipv4(packet: bytes) -> Iterator[Word]:
    first, tos, length, ident, fragment, ttl, protocol = struct.unpack_from("!BBHHHBB", packet)
    yield "SRC", str(IPv4Address(packet[12:16]))
    yield "DST", str(IPv4Address(packet[16:20]))
    yield "LEN", str(length)
    yield "TOS", f"0x{tos & 0x1E:02X}"
    yield "PREC", f"0x{tos & 0xE0:02X}"
    yield "TTL", str(ttl)
    yield "ID", str(ident)
    if fragment & 0x4000:
        yield "DF", ""
    if fragment & 0x2000:
        yield "MF", ""
    if fragment & 0x1FFF:
        yield "FRAG:", str(fragment & 0x1FFF)
    yield "PROTO", _NAMES.get(protocol, str(protocol))
    if not fragment & 0x1FFF:
        yield from _transport(protocol, packet[4 * (first & 0xF) :])


def _ipv6(packet: bytes) -> Iterator[Word]:
    first, length, protocol, hops = struct.unpack_from("!IHBB", packet)
    yield "SRC", str(IPv6Address(packet[8:24]))
    yield "DST", str(IPv6Address(packet[24:40]))
    yield "LEN", str(length + 40)
    yield "TC", str(first >> 20 & 0xFF)
    yield "HOPLIMIT", str(hops)
    yield "FLOWLBL", str(first & 0xFFFFF)
    at = 40
    while protocol in _EXTENSIONS or protocol == _FRAGMENT:
        following, size = struct.unpack_from("!BB", packet, at)
        if protocol == _FRAGMENT:
            offset = struct.unpack_from("!H", packet, at + 2)[0] >> 3
            yield "FRAG:", str(offset)
            if offset:
                yield "PROTO", _NAMES.get(following, str(following))
                return
            size = 0
        protocol, at = following, at + 8 * (size + 1)
    yield "PROTO", _NAMES.get(protocol, str(protocol))
    yield from _transport(protocol, packet[at:])


def _transport(protocol: int, body: bytes) -> Iterator[Word]:
    if protocol in (UDP, UDPLITE, SCTP, TCP):
        sport, dport = struct.unpack_from("!HH", body)
        yield "SPT", str(sport)
        yield "DPT", str(dport)
    if protocol in (UDP, UDPLITE):
        yield "LEN", str(struct.unpack_from("!H", body, 4)[0])
    elif protocol == TCP:
        sequence, acknowledged, _, flags, window = struct.unpack_from("!IIBBH", body, 4)
        yield "SEQ", str(sequence)
        yield "ACK", str(acknowledged)
        yield "WINDOW", str(window)
        yield from ((name, "") for bit, name in enumerate(_FLAGS) if flags >> bit & 1)
    elif protocol in (ICMP, ICMP6):
        kind, code = struct.unpack_from("!BB", body)
        yield "TYPE", str(kind)
        yield "CODE", str(code)


def _arp(packet: bytes) -> Iterator[Word]:
    operation = struct.unpack_from("!H", packet, 6)[0]
    sender, source, target, dest = struct.unpack_from("!6s4s6s4s", packet, 8)
    yield "PROTO", "ARP"
    yield "OPCODE", str(operation)
    yield "MACSRC", sender.hex(":")
    yield "IPSRC", str(IPv4Address(source))
    yield "MACDST", target.hex(":")
    yield "IPDST", str(IPv4Address(dest))
