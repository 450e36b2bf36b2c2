"""Frames written by hand, for guests that are nothing but a tap."""

from __future__ import annotations

import socket
import struct


def tcp_syn(source_mac: str, dest_mac: str, source: str, dest: str, port: int) -> bytes:
    """Return the first frame of a TCP connection (RFC 791, RFC 9293)."""
    addresses = socket.inet_aton(source) + socket.inet_aton(dest)
    tcp = struct.pack("!HHIIBBHHH", 40000, port, 1, 0, 5 << 4, 0x02, 65535, 0, 0)
    pseudo = addresses + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", _checksum(pseudo + tcp)) + tcp[18:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, socket.IPPROTO_TCP, 0) + addresses
    header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
    return _mac(dest_mac) + _mac(source_mac) + b"\x08\x00" + header + tcp


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
