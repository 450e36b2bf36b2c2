"""Fragments put together, as their receiver would (RFC 791, RFC 8200 4.5)."""

from __future__ import annotations

import struct

_FRAGMENT = 44
"""IPv6's next header."""

Parts = dict[bytes, dict[int, tuple[bytes, bool]]]
"""Whose parts: its identification, with what it is → offset → bytes there, and whether more follow."""


def whole(raw: bytes, parts: Parts) -> bytes | None:
    """Return the packet that *raw* is, or completes; None where some of it is missing yet."""
    part = _part(raw)
    if part is None:
        return raw
    name, head, offset, data, more = part
    known = parts.setdefault(name, {})
    known[offset] = (data, more)
    at, body = 0, b""
    while at in known:
        data, more = known[at]
        body += data
        at += len(data)
        if not more:
            return head + body
    return None


def _part(raw: bytes) -> tuple[bytes, bytes, int, bytes, bool] | None:
    """Return whose part it is, its header without that, where its bytes belong, and whether more follow."""
    if raw[0] >> 4 == 4 and len(raw) >= 20:
        offset = struct.unpack("!H", raw[6:8])[0]
        if offset & 0x3FFF == 0:
            return None
        head, size = raw[: (raw[0] & 15) * 4], struct.unpack("!H", raw[2:4])[0]
        return (
            head[4:6] + head[9:10] + head[12:20],
            head,
            (offset & 0x1FFF) * 8,
            raw[len(head) : size],
            bool(offset & 0x2000),
        )
    if raw[0] >> 4 == 6 and len(raw) >= 48 and raw[6] == _FRAGMENT:
        offset = struct.unpack("!H", raw[42:44])[0]
        head = raw[:6] + raw[40:41] + raw[7:40]
        return raw[44:48] + raw[8:40], head, offset & 0xFFF8, raw[48:], bool(offset & 1)
    return None
