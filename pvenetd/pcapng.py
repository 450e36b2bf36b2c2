"""Captured frames as a file that Wireshark and tcpdump read: pcapng.

Source: draft-ietf-opsawg-pcapng, sections 3.5 (options), 4.1 (section header), 4.2 (interface description), 4.3
(enhanced packet), 4.6 (interface statistics).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pvenetd import __version__

KIND = "application/x-pcapng"
"""Media type, as Wireshark registers it with the desktop."""
_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_BYTE_ORDER, _UNKNOWN_LENGTH = 0x1A2B3C4D, 0xFFFFFFFFFFFFFFFF
_ETHERNET = 1
"""LINKTYPE_ETHERNET."""
_USERAPPL = 4
_NAME, _DESCRIPTION, _TSRESOL, _FILTER = 2, 3, 9, 11
_FLAGS = 2
_STARTED, _ENDED, _RECEIVED, _DROPPED = 2, 3, 4, 5
_NANOSECONDS = b"\x09"
"""if_tsresol: 10^-9 s."""
_BY_LIBPCAP = b"\x00"
"""if_filter: what follows is a filter as libpcap takes it."""


class Frame(NamedTuple):
    """An Ethernet frame, as one interface sent or received it."""

    time: int
    """Nanoseconds since 1970."""
    data: bytes
    """As much of it as was kept."""
    length: int
    """Its bytes, on the wire."""
    flags: int
    """Direction (bits 0 and 1: 1 in, 2 out) and kind of reception (bits 2 to 4), as epb_flags has them."""


def beginning(name: str, about: str, expression: str, snaplen: int) -> bytes:
    """Return what a file begins with whose only interface is *name*."""
    section = struct.pack("=IHHQ", _BYTE_ORDER, 1, 0, _UNKNOWN_LENGTH)
    section += _options((_USERAPPL, f"pvenetd {__version__}".encode()))
    interface = struct.pack("=HHI", _ETHERNET, 0, snaplen) + _options(
        (_NAME, name.encode(errors="replace")),
        (_DESCRIPTION, about.encode(errors="replace")),
        (_TSRESOL, _NANOSECONDS),
        *([(_FILTER, _BY_LIBPCAP + expression.encode(errors="replace"))] if expression else []),
    )
    return _block(_SECTION, section) + _block(_INTERFACE, interface)


def packet(frame: Frame) -> bytes:
    """Return *frame* of the file's interface."""
    head = struct.pack("=IIIII", 0, *_stamp(frame.time), len(frame.data), frame.length)
    flags = _options((_FLAGS, struct.pack("=I", frame.flags)))
    return _block(_PACKET, head + _padded(frame.data) + flags)


def end(began: int, ended: int, received: int, dropped: int) -> bytes:
    """Return what a file ends with: times in nanoseconds since 1970, and how many frames were lost on the way."""
    times = ((_STARTED, struct.pack("=II", *_stamp(began))), (_ENDED, struct.pack("=II", *_stamp(ended))))
    counts = ((_RECEIVED, struct.pack("=Q", received)), (_DROPPED, struct.pack("=Q", dropped)))
    return _block(_STATISTICS, struct.pack("=III", 0, *_stamp(ended)) + _options(*times, *counts))


def _stamp(time: int) -> tuple[int, int]:
    return time >> 32, time & 0xFFFFFFFF


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("=I", len(body) + 12)
    return struct.pack("=I", kind) + size + body + size


def _options(*pairs: tuple[int, bytes]) -> bytes:
    written = b"".join(struct.pack("=HH", code, len(value)) + _padded(value) for code, value in pairs)
    return written + struct.pack("=HH", 0, 0)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
