"""Who means harm, at the installed daemon's port: old TLS, smuggled requests, bombs, heads that never end."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.api.hostile import BOMBS, FIRST, HEADS, PATHS, SMUGGLED, bomb
from tests.host.https import ADDRESS, CERTIFICATE, URL, curl, served
from tests.host.machine import SERVICE, ctl, main_pid
from tests.netns import run
from tests.patience import PATIENCE
from tests.reliability import Outcome

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("installed")]

TOKEN = "root@pam!tries"
REFUSED = (b"400", b"401", b"404")
SILENT = 100
"""Connections that are begun and not gone on with, half of them within TLS."""
MOST = 128 << 20
"""Bytes that the daemon may take more for all of it, at its worst."""


@pytest.fixture(scope="module", autouse=True)
def port() -> Iterator[None]:
    with served():
        yield


@pytest.fixture
def token() -> Iterator[bytes]:
    """The header of who may do all."""
    secret = json.loads(ctl("--json", "token", "create", TOKEN, "--role", "admin"))["value"]
    yield f"Authorization: PVEAPIToken={TOKEN}={secret}\r\n".encode()
    ctl("token", "delete", TOKEN)


def connected(**bounds: object) -> ssl.SSLSocket:
    """Return a connection by TLS, as *bounds* say."""
    context = ssl.create_default_context(cafile=CERTIFICATE)
    for name, value in bounds.items():
        setattr(context, name, value)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # what this side would refuse by itself
    return context.wrap_socket(socket.create_connection(ADDRESS, PATIENCE), server_hostname=ADDRESS[0])


def said(sent: bytes) -> bytes:
    """Return all that is answered, until the other end closes: in the middle of what is sent, where that is enough."""
    answer = b""
    with connected() as made, suppress(ConnectionError, ssl.SSLError):
        with suppress(ConnectionError, ssl.SSLError):
            made.sendall(sent)
        while data := made.recv(1 << 16):
            answer += data
    return answer


def memory() -> int:
    """Return the bytes that the daemon has had in memory at its worst."""
    status = Path(f"/proc/{main_pid()}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


@pytest.mark.reliability("clients of old TLS, at the host's port", guarantee="refused: 1.2 or newer")
def test_no_old_tls() -> None:
    old = ssl.TLSVersion.TLSv1_1
    with (
        pytest.warns(DeprecationWarning, match="deprecated"),
        pytest.raises((ssl.SSLError, ConnectionError)) as refused,
    ):
        connected(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=old)
    assert "NO_PROTOCOLS_AVAILABLE" not in str(refused.value), "this side would have gone on"
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with connected(minimum_version=version, maximum_version=version) as made:
            assert made.version() == version.name.replace("_", ".")


@pytest.mark.reliability(
    "smuggled requests, paths that lead astray, and bodies that are bombs, from outside and by who may do all",
    guarantee="each is refused; the daemon stays the same process, and its memory within bounds",
)
def test_requests_of_who_means_harm_are_refused(token: bytes, outcome: Outcome) -> None:
    pid, before = main_pid(), memory()
    for head in HEADS:
        answer = said(FIRST + head + SMUGGLED)
        assert (answer.split(b" ", 2)[1], answer.count(b"HTTP/1."), b"release" in answer) == (b"400", 1, False), head
    for who in (b"", token):
        for path in PATHS:
            answer = said(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode() + who + b"\r\n")
            assert answer.split(b" ", 2)[1] in REFUSED, path
            assert b"root:" not in answer
        for body, headers in BOMBS:
            answer = said(bomb(body, headers + who.decode()))
            assert answer.split(b" ", 2)[1] == (b"400" if who else b"401"), body[:24]
    more = memory() - before
    assert (main_pid(), more < MOST) == (pid, True)
    tried = len(HEADS) + 2 * (len(PATHS) + len(BOMBS))
    outcome(tried=tried, seen=f"all refused; the daemon has {max(more, 0) >> 20} MiB more at its worst")


@pytest.mark.reliability(
    "100 connections that say nothing or half a head, heads without an end",
    guarantee="others are answered meanwhile; what never ends is ended",
)
def test_who_never_ends_holds_nobody_up(outcome: Outcome) -> None:
    pid, before = main_pid(), memory()
    with ExitStack() as stack:
        for number in range(SILENT):
            if number % 2:
                stack.enter_context(connected()).sendall(FIRST)
            else:
                stack.enter_context(socket.create_connection(ADDRESS))
        assert curl(f"{URL}/version")[0] == 401
        for piece in (b"X: " + b"a" * (8 << 20), b"X: a\r\n" * (1 << 20)):
            answer = said(FIRST + piece)
            assert not answer or answer.split(b" ", 2)[1] == b"400"
        assert curl(f"{URL}/version")[0] == 401
    more = memory() - before
    assert (main_pid(), more < MOST) == (pid, True)
    outcome(tried=SILENT + 2, seen=f"others were answered; the daemon has {max(more, 0) >> 20} MiB more at its worst")


def test_no_bug_was_met() -> None:
    assert "Traceback" not in run("journalctl", "-q", "-o", "cat", "-u", SERVICE)
