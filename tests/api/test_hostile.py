"""Requests of who means harm, at the socket: smuggled, compressed, nested, and what stands where the socket belongs."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from pvenetd.api.peer import listening
from pvenetd.errors import Conflict
from tests.api.far import PASSWORD, by_ticket, far_off
from tests.api.hostile import BOMBS, FIRST, HEADS, PATHS, SMUGGLED, bomb
from tests.api.server import NODE, OURS, Api, fake, served
from tests.patience import PATIENCE


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with served(tmp_path, fake()) as found:
        yield found


async def said(api: Api, sent: bytes) -> bytes:
    """Return all that is answered to bytes, until the server closes the connection."""
    reader, writer = await asyncio.open_unix_connection(str(api.socket))
    try:
        writer.write(sent)
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.reliability(
    "requests that two servers would take for different ones (CL and TE, two lengths, folded or broken headers)",
    guarantee="such a request is refused and its connection closed: nothing behind it is answered",
)
async def test_nothing_is_smuggled(api: Api, head: bytes) -> None:
    answer = await said(api, FIRST + head + SMUGGLED)
    assert answer.split(b" ", 2)[1] == b"400", answer
    assert answer.count(b"HTTP/1.") == 1
    assert b"release" not in answer


async def test_a_head_by_line_feeds_alone_says_one_thing(api: Api) -> None:
    """Whether it is taken or refused: what is behind the blank line is the next request, for everybody."""
    answer = await said(api, FIRST.replace(b"\r\n", b"\n") + b"Content-Length: 45\n\n" + SMUGGLED)
    assert b"release" not in answer


@pytest.mark.parametrize(("body", "headers"), BOMBS, ids=lambda value: repr(value[:24]))
@pytest.mark.reliability(
    "bodies that are bombs: compressed, nested 500,000 times, numbers and names of half a megabyte, members twice",
    guarantee="such a body is refused, in little time and memory, and the next request is answered",
)
async def test_a_bomb_is_refused(api: Api, body: bytes, headers: str) -> None:
    answer = await said(api, bomb(body, headers))
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:300]
    found = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert found["data"] is None
    assert found["errors"]
    assert (await api.ask("GET", f"{NODE}/version"))[0] in (200, 404)


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_leads_astray(api: Api, path: str) -> None:
    answer = await said(api, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ", 2)[1] in (b"400", b"404"), answer
    assert b"root:" not in answer


def _other_daemon(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))


def _symlink(path: Path) -> None:
    (path.parent / "victim").write_text("as it was")
    path.symlink_to("victim")


@pytest.mark.parametrize(
    ("make", "served_there"),
    [
        (Path.touch, True),
        (os.mkfifo, True),
        (_symlink, True),
        (lambda path: path.symlink_to(path), True),
        (_other_daemon, True),
        (Path.mkdir, False),
    ],
    ids=["file", "fifo", "symlink", "loop", "socket", "directory"],
)
@pytest.mark.parametrize("name", ["api.sock", "lock"])
@pytest.mark.reliability(
    "something else stands where the API's socket, or its lock, belongs: a file, FIFO, link, directory, socket",
    guarantee="it is replaced, or the daemon says what is in its way; what a link leads to stays as it was",
)
def test_what_stands_where_the_socket_belongs(
    tmp_path: Path, name: str, make: Callable[[Path], object], *, served_there: bool
) -> None:
    make(tmp_path / name)
    in_the_way = name == "lock" and make not in (Path.touch, os.mkfifo)
    if in_the_way or not served_there:
        with pytest.raises(Conflict, match=name), listening(tmp_path / "api.sock"):
            pass
    else:
        with listening(tmp_path / "api.sock"), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "api.sock"))
    if (tmp_path / "victim").exists():
        assert (tmp_path / "victim").read_text() == "as it was"
    assert not [one.name for one in tmp_path.iterdir() if one.name.startswith(".")]


@pytest.mark.reliability(
    "passwords, tickets and tokens given where they belong, where they do not, and wrong ones",
    guarantee="none is in the log of the whole run, in an answer that refuses, in an event, or in a file in clear",
)
async def test_a_whole_session_leaves_no_secret_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    typo, version = "correct hosre", "/api2/json/version"
    with caplog.at_level(logging.DEBUG):
        async with far_off(tmp_path) as far:
            issued = await far.login()
            root = by_ticket(issued)
            path = "/api2/json/access/users/root@pam/token/mine"
            token = (await far.ask("POST", path, root, comment="plays"))[1]["data"]["value"]
            bearer = {"Authorization": f"PVEAPIToken=root@pam!mine={token}"}
            secrets = [PASSWORD, typo, token, issued["ticket"], issued["CSRFPreventionToken"]]
            assert (await far.ask("GET", version, bearer))[0] == 200
            refusals = [
                await far.ask("POST", "/api2/json/access/ticket", username="root@pam", password=typo),
                await far.ask("POST", "/api2/json/access/ticket", username=typo, password=PASSWORD),
                await far.ask("GET", version, {"Authorization": f"PVEAPIToken=root@pam!other={token}"}),
                await far.ask("GET", version, {"Cookie": f"PVEAuthCookie={issued['ticket']}x"}),
                await far.ask("POST", path, by_ticket({**issued, "CSRFPreventionToken": "x"})),
                await far.ask("PUT", path, root, password=PASSWORD, ticket=issued["ticket"]),
                await far.ask("GET", f"{version}?password={typo.replace(' ', '+')}&ticket={token}", bearer),
                await far.ask("POST", f"{OURS}/apply", bearer, confirm=token),
            ]
            events = await far.ask("GET", f"{OURS}/events", bearer)
    assert all(400 <= status < 500 for status, _ in refusals)
    told = json.dumps([*refusals, events]) + caplog.text + _files(tmp_path)
    assert [secret for secret in secrets if secret in told] == []


def _files(root: Path) -> str:
    """Return what all files below *root* hold."""
    return b"".join(one.read_bytes() for one in root.rglob("*") if one.is_file()).decode(errors="replace")
