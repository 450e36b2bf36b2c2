"""Packets of an interface, streamed as a file that other people's programs read."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pvenetd.daemon import capture
from pvenetd.drivers.sniffer import Sniffer
from tests.api.server import OURS, Api, fake, served
from tests.netns import Namespaces, fresh, run, show
from tests.patience import PATIENCE, until

pytestmark = pytest.mark.netns

CAPTURE = f"{OURS}/capture"
TAGGED = bytes.fromhex("02005e005301 02005e005302 8100 0005 88b5") + b"tagged".ljust(60)
LARGE = bytes.fromhex("02005e005301 02005e005302 88b6") + b"x" * 1000
EMPTY_FILE_ENDS = struct.pack("<I", 5)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[tuple[Api, Namespaces]]:
    """A daemon in a network namespace of its own, with a cable in eth0."""
    with fresh() as namespaces:
        namespaces.cable("eth0")
        run("ip", "link", "set", "eth0", "up")
        async with served(tmp_path, fake()) as api:
            api.daemon.captures.start = Sniffer
            yield api, namespaces


class Reader:
    """Who asked for a capture."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def rest(self) -> bytes:
        """Return all that comes, to the end."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read()

    async def frame(self) -> bytes:
        """Return what comes next."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read(1 << 20)

    def go(self) -> None:
        self._writer.close()


@asynccontextmanager
async def capturing(api: Api, limit: int = 1 << 20, **asked: Any) -> AsyncIterator[Reader]:
    """Yield a reader whose capture has begun."""
    reader, writer = await asyncio.open_unix_connection(api.socket, limit=limit)
    body = "&".join(f"{name}={value}" for name, value in asked.items()).encode()
    head = f"POST {CAPTURE} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    try:
        async with asyncio.timeout(PATIENCE):
            told = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in told.partition(b"\r\n")[0], told
        assert b"Content-Type: application/x-pcapng\r\n" in told
        yield Reader(reader, writer)
    finally:
        writer.close()


def send(namespaces: Namespaces, *frames: bytes, times: int = 1) -> None:
    """Send frames from the other end of the cable."""
    with namespaces.away(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as there:
        there.bind(("eth0", 0))
        for _ in range(times):
            for frame in frames:
                there.send(frame)


async def over(api: Api) -> None:
    """Wait until nothing is captured any more."""
    await asyncio.to_thread(until, lambda: api.daemon.captures.running == 0, "the capture ends")


async def test_tcpdump_reads_it_with_tags_that_the_kernel_had_taken_off(
    host: tuple[Api, Namespaces], tmp_path: Path
) -> None:
    api, namespaces = host
    asked = {"target": "eth0", "count": 2, "snaplen": 64, "filter": "ether proto 0x88b6 or (vlan 5)"}
    async with capturing(api, **asked) as reader:
        send(namespaces, LARGE, b"\xff" * 60, TAGGED)
        (tmp_path / "file").write_bytes(await reader.rest())
    text = run("tcpdump", "-e", "-n", "-r", str(tmp_path / "file"))
    first, second = (line for line in text.splitlines() if "02:00:5e:00:53:02 >" in line)
    assert f"length {len(LARGE)}:" in first  # though 64 bytes of it were kept
    assert "vlan 5, " in second
    assert "88b5" in second
    assert b"\xff" * 60 not in (tmp_path / "file").read_bytes()


@pytest.mark.parametrize(
    ("asked", "field", "reason"),
    [
        ({"target": "eth9"}, "target", "no interface eth9 is there"),
        ({"target": "a/b"}, "target", "should be an interface, bridge/NAME, vm/VMID or vm/VMID/netN"),
        ({"target": "tun0"}, "target", "tun0 is no Ethernet interface: see tcpdump on the host"),
        ({"target": "eth0", "filter": "host ("}, "filter", "can't parse filter expression: syntax error"),
        ({"target": "eth0", "filter": "-wx"}, "filter", "can't parse filter expression: syntax error"),
        ({"target": "eth0", "filter": "a\nb"}, "filter", "no control characters"),
        ({"target": "eth0", "snaplen": "1"}, "snaplen", "Input should be greater than or equal to 64"),
    ],
)
async def test_what_is_wrong_is_told_before_anything_is_sent(
    host: tuple[Api, Namespaces], asked: dict[str, str], field: str, reason: str
) -> None:
    api, _ = host
    run("ip", "tuntap", "add", "tun0", "mode", "tun")
    words = [word for name, value in asked.items() for word in ("--data-urlencode", f"{name}={value}")]
    status, body = await api.ask("POST", CAPTURE, *words)
    assert (status, body["errors"]) == (400, {field: reason})
    assert api.daemon.captures.running == 0


@pytest.mark.parametrize(("target", "status"), [("vm/999", 404), ("vm/100/net5", 404), ("down0", 409)])
async def test_who_is_not_there_or_down_is_told_of(host: tuple[Api, Namespaces], target: str, status: int) -> None:
    api, _ = host
    run("ip", "link", "add", "down0", "type", "bridge")
    assert (await api.ask("POST", CAPTURE, "-d", f"target={target}"))[0] == status


@pytest.mark.parametrize("bound", [{"seconds": 0.1}, {"count": 3}, {"max_bytes": 300}])
async def test_it_ends_by_itself_and_leaves_nothing(host: tuple[Api, Namespaces], bound: dict[str, float]) -> None:
    api, namespaces = host
    async with capturing(api, target="eth0", filter="ether%20proto%200x88b6", **bound) as reader:
        if "seconds" not in bound:
            send(namespaces, LARGE, times=3)
        told = await reader.rest()
    assert EMPTY_FILE_ENDS in told[-80:]
    assert api.daemon.captures.running == 0
    assert show("ip", "-d", "-j", "link", "show", "eth0")[0]["promiscuity"] == 0


async def test_it_ends_when_the_interface_goes_and_when_the_reader_goes(host: tuple[Api, Namespaces]) -> None:
    api, _ = host
    run("ip", "link", "add", "gone0", "up", "type", "bridge")
    async with capturing(api, target="gone0") as reader:
        run("ip", "link", "del", "gone0")
        assert EMPTY_FILE_ENDS in (await reader.rest())[-80:]
    async with capturing(api, target="eth0") as reader:
        await reader.frame()
        reader.go()
        await over(api)


async def test_a_slow_reader_keeps_nobody_and_loses_what_he_does_not_take(host: tuple[Api, Namespaces]) -> None:
    api, namespaces = host
    made: list[Sniffer] = []
    api.daemon.captures.start = lambda *asked: made.append(Sniffer(*asked)) or made[-1]  # type: ignore[func-returns-value]
    async with capturing(api, limit=1 << 10, target="eth0", seconds=PATIENCE) as slow:
        while not made[0].counts()[1]:
            await asyncio.to_thread(send, namespaces, LARGE, times=500)
            assert (await api.ask("GET", f"{OURS}/plan"))[0] == 200
        slow.go()
        await over(api)


async def test_there_are_so_many_and_no_more(host: tuple[Api, Namespaces], monkeypatch: pytest.MonkeyPatch) -> None:
    api, _ = host
    monkeypatch.setattr(capture, "MOST", 1)
    async with capturing(api, target="lo"):
        assert (await api.ask("POST", CAPTURE, "-d", "target=lo"))[0] == 429
