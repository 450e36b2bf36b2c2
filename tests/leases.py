"""What DHCP servers and clients say, byte by byte."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, IPv6Network

COOKIE = bytes((99, 130, 83, 99))
ACK, NAK, REQUEST, DECLINE, RELEASE = 5, 6, 3, 4, 7


def option(code: int, value: bytes) -> bytes:
    """Return an option of DHCP's (RFC 2132)."""
    return bytes((code, len(value))) + value


def option6(code: int, value: bytes) -> bytes:
    """Return an option of DHCPv6's (RFC 8415, 21.1)."""
    return struct.pack("!HH", code, len(value)) + value


def kind(number: int) -> bytes:
    """Return the option that says what a message is."""
    return option(53, bytes((number,)))


def dhcp(
    options: bytes, mac: str, *, op: int = 2, address: str = "0.0.0.0", client: str = "0.0.0.0", xid: int = 7,
    file: bytes = b"", name: bytes = b"",
) -> bytes:  # fmt: skip
    """Return a DHCP message with *options* (RFC 2131, figure 1): *address* is yiaddr, *client* ciaddr."""
    head = struct.pack("!BBBBIHH", op, 1, 6, 0, xid, 0, 0)
    head += IPv4Address(client).packed + IPv4Address(address).packed + bytes(8)
    head += bytes.fromhex(mac.replace(":", "")).ljust(16, b"\0") + name.ljust(64, b"\0") + file.ljust(128, b"\0")
    return head + COOKIE + options + b"\xff"


def ack(mac: str, address: str, seconds: int, server: str = "10.10.10.9", xid: int = 7) -> bytes:
    """Return what leases *address* to *mac*."""
    told = option(54, IPv4Address(server).packed) + option(51, struct.pack("!I", seconds))
    return dhcp(kind(ACK) + told, mac, address=address, xid=xid)


def leased6(address: str, seconds: int) -> bytes:
    """Return an IA_NA with one address (RFC 8415, 21.4 and 21.6)."""
    one = IPv6Address(address).packed + struct.pack("!II", seconds, seconds)
    return option6(3, bytes(12) + option6(5, one))


def delegated(prefix: str, seconds: int) -> bytes:
    """Return an IA_PD with one prefix (RFC 8415, 21.21 and 21.22)."""
    network = IPv6Network(prefix)
    one = struct.pack("!IIB", seconds, seconds, network.prefixlen) + network.network_address.packed
    return option6(25, bytes(12) + option6(26, one))


def dhcpv6(number: int, options: bytes) -> bytes:
    """Return a DHCPv6 message (RFC 8415, 8)."""
    return bytes((number, 1, 2, 3)) + options


def in_ipv4(
    data: bytes, source: str = "192.0.2.1", dest: str = "255.255.255.255", ports: tuple[int, int] = (67, 68)
) -> bytes:
    """Return *data* in UDP in IPv4, without checksums."""
    udp = struct.pack("!HHHH", *ports, 8 + len(data), 0) + data
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0)
    return head + IPv4Address(source).packed + IPv4Address(dest).packed + udp


def in_ipv6(data: bytes, source: str = "fe80::1", dest: str = "fe80::2", ports: tuple[int, int] = (547, 546)) -> bytes:
    """Return *data* in UDP in IPv6, without a checksum."""
    udp = struct.pack("!HHHH", *ports, 8 + len(data), 0) + data
    return struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + IPv6Address(source).packed + IPv6Address(dest).packed + udp
