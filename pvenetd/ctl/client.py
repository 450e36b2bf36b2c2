"""One HTTP/1.1 request over the daemon's UNIX socket (RFC 9112); http.client would cost half of the start-up time."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

SOCKET = "run/pvenetd/api.sock"
HOST = "/api2/json/nodes/localhost"
NODE = f"{HOST}/pvenetd"
PATIENCE = 300.0
"""Seconds an answer may take; an apply of thousands of links takes some."""
_PAUSE = 0.1
"""Seconds between two tries to reach a daemon that is not there."""
_LOOK = 1.0
"""Seconds after which it is said what is waited for."""
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
"""Bytes that stand for themselves in a path (RFC 3986, unreserved)."""


class Request(NamedTuple):
    """What is asked of the daemon."""

    method: str
    path: tuple[str, ...]
    """Below `below`, each part as it is, not encoded."""
    params: Mapping[str, Any] = MappingProxyType({})
    seconds: float = PATIENCE
    """How long the answer may take."""
    below: str = NODE
    """What *path* is below."""
    patient: bool = False
    """Whether a daemon that is not there is waited for, as long: it may be starting."""

    @property
    def target(self) -> str:
        """Return the path, percent-encoded."""
        return "/".join([self.below, *map(quote, self.path)])


class NoDaemonError(Exception):
    """Nobody answers at the socket, or not to this user."""


class NoAnswerError(Exception):
    """The daemon is there, and did not answer."""


def ask(root: str, request: Request, waiting: Callable[[], None] | None = None) -> tuple[int, dict[str, Any]]:
    """Return the status and the record that the daemon of *root* answers; *waiting* is called each second until then.

    Raises `NoDaemonError`, `NoAnswerError`.
    """
    until = time.monotonic() + request.seconds
    while True:
        try:
            return _ask(root, request, until, waiting)
        except NoDaemonError as error:
            if not request.patient:
                raise
            if time.monotonic() + _PAUSE > until:
                raise NoDaemonError(f"{error}; waited for it for {request.seconds:g} s") from error
            time.sleep(_PAUSE)


class RefusedError(Exception):
    """The daemon says no: *body* is what it says."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        super().__init__(str(body.get("message", "refused")))


def stream(root: str, request: Request, kind: str = "*/*") -> socket.socket:
    """Return the connection by which an answer of a *kind* comes that goes on, from behind its head.

    Raises `NoDaemonError`, `NoAnswerError`, `RefusedError`.
    """
    until = time.monotonic() + request.seconds
    there = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _told(root, request):
            _connect(there, _address(root), request.seconds)
            there.sendall(_bytes(request, "1.0", kind))  # so what comes is as it is, not in chunks
            head = _head(there)
            if 0 < _status(head) < 400:  # HTTP: refused
                there.settimeout(None)
                return there
            raise RefusedError(_read(head + _all(there, until))[1])
    except BaseException:
        there.close()
        raise


def quote(text: str) -> str:
    """Return *text* percent-encoded, as UTF-8."""
    data = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data)


def hint(root: str) -> str:
    """Return where it is told why the daemon of *root* does not answer, in brackets; nothing where nobody tells."""
    return " (systemctl status pvenetd tells why)" if _address(root) == f"/{SOCKET}" else ""


def _ask(root: str, request: Request, until: float, waiting: Callable[[], None] | None) -> tuple[int, dict[str, Any]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as there, _told(root, request):
        _connect(there, _address(root), max(until - time.monotonic(), _PAUSE))
        there.sendall(_bytes(request))
        answer = _all(there, until, waiting)
    return _read(answer)


def _address(root: str) -> str:
    return f"{root.rstrip('/')}/{SOCKET}"


@contextmanager
def _told(root: str, request: Request) -> Iterator[None]:
    """Tell what the system says in words that say what to do."""
    address = _address(root)
    try:
        yield
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoDaemonError(f"pvenetd is not running: nobody answers at {address}{hint(root)}") from error
    except PermissionError as error:
        raise NoDaemonError(f"may not talk to pvenetd at {address}: be root, or in the group pvenetd") from error
    except TimeoutError as error:
        what = f"within {request.seconds:g} s (waited for {request.method} {request.target})"
        raise NoAnswerError(f"pvenetd did not answer {what}{hint(root)}") from error
    except OSError as error:
        raise NoAnswerError(f"pvenetd hung up: {error.strerror or error}") from error


def _connect(there: socket.socket, address: str, seconds: float) -> None:
    """Connect by way of /proc: an address has at most 107 bytes, and a path may have more."""
    there.settimeout(seconds)
    place, _, name = address.rpartition("/")
    directory = os.open(place, os.O_PATH | os.O_DIRECTORY)
    try:
        there.connect(f"/proc/self/fd/{directory}/{name}")
    finally:
        os.close(directory)


def _bytes(request: Request, version: str = "1.1", kind: str = "*/*") -> bytes:
    target, body = request.target, b""
    if request.method == "GET" and request.params:
        target += "?" + "&".join(f"{quote(name)}={quote(str(value))}" for name, value in request.params.items())
    elif request.params:
        body = json.dumps(dict(request.params)).encode()
    head = f"{request.method} {target} HTTP/{version}\r\nHost: localhost\r\nAccept: {kind}\r\nConnection: close\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def _all(there: socket.socket, until: float, waiting: Callable[[], None] | None = None) -> bytes:
    found = bytearray()
    while True:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        there.settimeout(min(left, _LOOK) if waiting else left)
        try:
            data = there.recv(1 << 16)
        except TimeoutError:
            if not waiting:
                raise
            waiting()
            continue
        if not data:
            return bytes(found)
        found += data


def _head(there: socket.socket) -> bytes:
    """Take an answer's head, and nothing behind it: that is for who goes on reading."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        if not (byte := there.recv(1)):
            break
        head += byte
    return bytes(head)


def _status(head: bytes) -> int:
    words = head.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def _read(answer: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    try:
        status, record = int(words[1]), json.loads(body)
    except (IndexError, ValueError):
        raise NoAnswerError("pvenetd's answer is cut off: has it just ended?") from None
    if not isinstance(record, dict):
        raise NoAnswerError("pvenetd's answer is no record")
    return status, record
