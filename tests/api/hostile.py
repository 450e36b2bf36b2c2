"""Requests of who means harm, as bytes: for a daemon of a test's own, and for the host's."""

from __future__ import annotations

import gzip

from tests.api.server import NODE, OURS

SMUGGLED = b"GET /api2/json/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""Behind, or within, a request that is answered with no version."""
FIRST = f"POST {OURS}/confirm HTTP/1.1\r\nHost: x\r\n".encode()

HEADS = [
    b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    b"Content-Length: 0\r\nContent-Length: 45\r\n\r\n",
    b"Content-Length: 45\r\nContent-Length: 0\r\n\r\n",
    b"Content-Length: 0, 45\r\n\r\n",
    b"Content-Length: +45\r\n\r\n",
    b"Content-Length: -1\r\n\r\n",
    b"Content-Length: 0x2d\r\n\r\n",
    b"Content-Length: 4 5\r\n\r\n",
    b"Content-Length: 1_0\r\n\r\n",
    b"Content-Length : 45\r\n\r\n",
    b"Content-Length\t: 45\r\n\r\n",
    b" Content-Length: 45\r\n\r\n",
    b"Content-Length: 4\r\n 5\r\n\r\n",
    b"X: a\r\n\tb\r\nContent-Length: 45\r\n\r\n",
    b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: identity, chunked, chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n-0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n0;\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    b"X: a\x00b\r\n\r\n",
    b"X: a\rb\r\n\r\n",
    b"X\x00: a\r\n\r\n",
    b": a\r\n\r\n",
    b"no colon\r\n\r\n",
]
"""Behind `FIRST`: what two servers would take for different requests."""

BOMBS = [
    (gzip.compress(bytes(64 << 20)), "Content-Encoding: gzip\r\n"),
    (b"{}", "Content-Encoding: br\r\n"),
    (b"[" * 500_000, ""),
    (b'{"a":' * 150_000, ""),
    *((b'{"x": ' + b"[" * levels + b"]" * levels + b"}", "") for levels in (17, 900, 5_000)),
    (b'{"x": ' + b"9" * 500_000 + b"}", ""),
    (b'{"x": 1e999999}', ""),
    (b'{"confirm": 10, "confirm": 20}', ""),
    (b'{"x": {"a": 1, "a": 2}}', ""),
    (b'{"' + b"k" * 900_000 + b'": 1}', ""),
    (b"{" + b",".join(b'"k%d": 1' % number for number in range(60_000)) + b"}", ""),
    (b'{"x": "\\ud800"}', ""),
    (b'{"\\udfff": 1}', ""),
    (b'{"x": "\xff"}', ""),
    (b"\xff\xfe", ""),
]
"""Bodies, each with the headers it needs."""

PATHS = [
    f"{NODE}/network/..%2f..%2fetc",
    f"{NODE}/network/../../../../etc/passwd",
    f"{NODE}/qemu/../../etc/config",
    f"{OURS}/firewall/bridge/..%2f100/rules",
    f"{OURS}/firewall/bridge/..%2F..%2F..%2Fnetwork%2Finterfaces/options",
    "/api2/docs/../../../etc/passwd",
    "/api2/docs/..%2f..%2fapp.py",
    "/api2/docs/%2e%2e/app.py",
    f"{NODE}/network/%00",
    f"{OURS}/firewall/bridge/a%00b/rules",
    "//etc/passwd",
    "/api2/json//nodes",
]
"""Where nothing is, or nothing that is for others."""


def bomb(body: bytes, headers: str) -> bytes:
    """Return the request that brings one."""
    head = f"POST {OURS}/apply HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
