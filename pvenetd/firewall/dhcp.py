"""DHCP packets that a guest gets or sends → what they say of its addresses.

Nobody vouches for their bytes: whatever is not as it has to be says nothing, and what is said is bounded.

Sources: RFC 2131 and 2132 (DHCP), RFC 3396 (options in parts), RFC 8415 (DHCPv6), RFC 791, RFC 8200, RFC 768.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from pvenetd.firewall.claims import LINK_LOCAL
from pvenetd.firewall.leases import UNTOLD
from pvenetd.firewall.ruleset import IP, IP6, UDP, Span

Kind = Literal["leased", "asked", "refused", "returned"]
"""A server has given addresses, a client asks for some, a server says no to that, a client gives some back."""

LONGEST = 365 * 86400
"""Seconds that a lease lasts at most; one without an end is as long."""
MOST = 16
"""Addresses that one packet is believed."""

_ACK, _NAK, _REQUEST, _DECLINE, _RELEASE = 5, 6, 3, 4, 7
_COOKIE = bytes((99, 130, 83, 99))
_PAD, _ASKED, _TIME, _OVERLOAD, _TYPE, _SERVER_ID, _END = 0, 50, 51, 52, 53, 54, 255
_FILE, _NAME, _OPTIONS = slice(108, 236), slice(44, 108), 240
"""Where BOOTP has its file, its server's name, and options."""
_REPLY6, _REQUEST6, _RENEW6, _REBIND6, _RELEASE6, _DECLINE6 = 7, 3, 5, 6, 8, 9
_IA_NA, _IA_TA, _IAADDR, _STATUS, _IA_PD, _IAPREFIX = 3, 4, 5, 13, 25, 26
_SHORTEST_PREFIX = 32
"""Bits: nobody delegates more than a provider has."""
_LOOPBACK4 = Span(127 << 24, (128 << 24) - 1)
_FIRST_GROUP4, _FIRST_GROUP6 = 224 << 24, 0xFF << 120


@dataclass(frozen=True, slots=True)
class Leased:
    """An address, or a prefix, and for how long."""

    version: int
    span: Span
    seconds: int
    """None left: it was taken away."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one packet says."""

    kind: Kind
    mac: str
    """The client's; empty over IPv6, where the frame tells it."""
    exchange: bytes
    """What question and answer have in common."""
    addresses: tuple[Leased, ...]
    """Those it is about: of a refusal nothing, the question says it."""
    server: str
    """Where it comes from, by its own words; of a client's nothing."""


def said(ethertype: int, packet: bytes) -> Said | None:
    """Return what a *packet* says that begins with its IP header, None where that is nothing of addresses."""
    try:
        if ethertype == IP:
            source, data = _in_ipv4(packet)
            return _dhcp(source, data)
        if ethertype == IP6:
            source, data = _in_ipv6(packet)
            return _dhcpv6(source, data)
    except (ValueError, IndexError, struct.error):
        return None
    return None


def _in_ipv4(packet: bytes) -> tuple[str, bytes]:
    """Return the source and what UDP carries.  Raises `ValueError`, `IndexError`, `struct.error`."""
    size = (packet[0] & 15) * 4
    if packet[0] >> 4 != 4 or size < 20 or packet[9] != UDP:
        raise ValueError("not UDP")
    return str(IPv4Address(packet[12:16])), _in_udp(packet[size:])


def _in_ipv6(packet: bytes) -> tuple[str, bytes]:
    if packet[0] >> 4 != 6 or packet[6] != UDP:  # no server of addresses puts other headers in between
        raise ValueError("not UDP")
    return str(IPv6Address(packet[8:24])), _in_udp(packet[40:])


def _in_udp(packet: bytes) -> bytes:
    (size,) = struct.unpack_from("!H", packet, 4)
    if not 8 <= size <= len(packet):
        raise ValueError("not all of it")
    return packet[8:size]


def _dhcp(source: str, data: bytes) -> Said | None:
    if data[1:3] != b"\x01\x06" or data[236:240] != _COOKIE:
        return None
    options = _options4(data)
    kind = options.get(_TYPE, b"")[:1]
    what = _OF_SERVERS if data[0] == 2 else _OF_CLIENTS
    if kind not in what:
        return None
    seconds, found = LONGEST, b""
    if what[kind] == "leased":
        seconds, found = min(_number(options.get(_TIME, b""), UNTOLD), LONGEST), data[16:20]
    elif kind == bytes((_RELEASE,)):
        found = data[12:16]
    elif what[kind] != "refused":
        found = options.get(_ASKED, b"") or data[12:16]
    span = _address(4, found)
    if what[kind] == "leased" and not span:
        return None  # an answer to DHCPINFORM gives no address
    addresses = (Leased(4, span, seconds),) if span else ()
    server = _server(options.get(_SERVER_ID, b"")) or source if data[0] == 2 else ""
    return Said(what[kind], data[28:34].hex(":"), data[4:8], addresses, server)


_OF_SERVERS: dict[bytes, Kind] = {bytes((_ACK,)): "leased", bytes((_NAK,)): "refused"}
_OF_CLIENTS: dict[bytes, Kind] = {
    bytes((_REQUEST,)): "asked",
    bytes((_DECLINE,)): "returned",
    bytes((_RELEASE,)): "returned",
}


def _options4(data: bytes) -> dict[int, bytes]:
    """Return the options; parts of one are one.  Some may stand where file and name are else."""
    found: dict[int, bytes] = {}
    _take_options(found, data[_OPTIONS:])
    overload = found.get(_OVERLOAD, b"\0")[:1]
    for bit, place in ((1, _FILE), (2, _NAME)):
        if overload and overload[0] & bit:
            _take_options(found, data[place])
    return found


def _take_options(found: dict[int, bytes], data: bytes) -> None:
    at = 0
    while at < len(data) and data[at] != _END:
        if data[at] == _PAD:
            at += 1
            continue
        size = data[at + 1]
        if at + 2 + size > len(data):
            raise ValueError("an option is cut off")
        found[data[at]] = found.get(data[at], b"") + data[at + 2 : at + 2 + size]
        at += 2 + size


def _number(data: bytes, otherwise: int) -> int:
    return int.from_bytes(data, "big") if len(data) == 4 else otherwise


def _server(data: bytes) -> str:
    return str(IPv4Address(data)) if len(data) == 4 else ""


def _address(version: int, data: bytes) -> Span | None:
    """Return an address that somebody may have, None for any other bytes."""
    if len(data) != (4 if version == 4 else 16):
        return None
    number = int.from_bytes(data, "big")
    if version == 4:
        is_none = number < 1 << 24 or number >= _FIRST_GROUP4 or _LOOPBACK4.first <= number <= _LOOPBACK4.last
    else:
        is_none = number <= 1 or number >= _FIRST_GROUP6 or LINK_LOCAL.first <= number <= LINK_LOCAL.last
    return None if is_none else Span(number, number)


def _dhcpv6(source: str, data: bytes) -> Said | None:
    kind = _KINDS6.get(data[0])
    if kind is None:
        return None
    found = tuple(_granted(data[4:]))[:MOST]
    if kind == "leased" and not found:
        return None
    return Said(kind, "", data[1:4], found, source if kind == "leased" else "")


_KINDS6: dict[int, Kind] = {
    _REPLY6: "leased",
    _REQUEST6: "asked",
    _RENEW6: "asked",
    _REBIND6: "asked",
    _RELEASE6: "returned",
    _DECLINE6: "returned",
}


def _granted(data: bytes) -> Iterator[Leased]:
    """Yield the addresses and prefixes in DHCPv6 options; what a status says no to is none."""
    for code, body in _options6(data):
        if code not in (_IA_NA, _IA_TA, _IA_PD):
            continue
        inner = list(_options6(body[4 if code == _IA_TA else 12 :]))
        if any(one == _STATUS and told[:2] != b"\0\0" for one, told in inner):
            continue
        for one, told in inner:
            if one == _IAADDR and code != _IA_PD and (span := _address(6, told[:16])):
                yield Leased(6, span, min(struct.unpack_from("!I", told, 20)[0], LONGEST))
            elif one == _IAPREFIX and code == _IA_PD and (prefix := _prefix(told)):
                yield Leased(6, prefix, min(struct.unpack_from("!I", told, 4)[0], LONGEST))


def _options6(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        code, size = struct.unpack_from("!HH", data, at)
        if at + 4 + size > len(data):
            raise ValueError("an option is cut off")
        yield code, data[at + 4 : at + 4 + size]
        at += 4 + size


def _prefix(told: bytes) -> Span | None:
    length = told[8]
    first = _address(6, told[9:25])
    size = 1 << max(0, 128 - length)
    if not first or not _SHORTEST_PREFIX <= length <= 128 or first.first % size:
        return None
    return Span(first.first, first.first + size - 1)
