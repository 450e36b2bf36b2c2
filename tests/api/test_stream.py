"""Events as a stream: each reader at his own pace, and nobody waits for him."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pvenetd.api import stream
from tests.api.server import OURS, Api
from tests.patience import PATIENCE

EVENTS = f"{OURS}/events"
ACCEPT = ("-N", "-H", f"Accept: {stream.KIND}")


@asynccontextmanager
async def curl(api: Api, *options: str) -> AsyncIterator[asyncio.StreamReader]:
    """Yield what a reader's curl prints."""
    command = ["curl", "-s", *ACCEPT, "--unix-socket", str(api.socket), *options, f"http://localhost{EVENTS}"]
    made = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert made.stdout
    try:
        yield made.stdout
    finally:
        made.kill()
        await made.wait()


async def event(reader: asyncio.StreamReader) -> dict[str, str]:
    """Return the next event, or comment, by its fields."""
    async with asyncio.timeout(PATIENCE):
        text = (await reader.readuntil(b"\n\n")).decode()
    return {line.partition(": ")[0]: line.partition(": ")[2] for line in text.splitlines() if line}


async def records(reader: asyncio.StreamReader, count: int) -> list[dict[str, Any]]:
    """Return the next records, which may have others than records between them."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        told = await event(reader)
        found += [json.loads(told["data"])] if "id" in told else []
    return found


async def test_a_reader_gets_what_was_what_is_and_after_a_pause_what_he_has_not_seen(api: Api) -> None:
    before = api.daemon.events.newest
    api.daemon.events.add({"event": "first"})
    async with curl(api, "-H", f"Last-Event-ID: {before}") as reader:
        assert await records(reader, 1) == [{"id": before + 1, "event": "first"}]
        api.daemon.events.add({"event": "second"})
        assert await records(reader, 1) == [{"id": before + 2, "event": "second"}]
    api.daemon.events.add({"event": "third"})
    async with curl(api, "-H", f"Last-Event-ID: {before + 2}") as reader:
        assert await records(reader, 1) == [{"id": before + 3, "event": "third"}]


async def test_an_id_of_a_daemon_that_has_ended_is_before_all(api: Api) -> None:
    api.daemon.events.add({"event": "first"})
    async with curl(api, "-H", "Last-Event-ID: 123456") as reader:
        assert (await records(reader, 1))[0]["id"] == api.daemon.events.oldest


async def test_who_hears_nothing_knows_that_he_is_connected(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "KEEPALIVE", 0.01)
    async with curl(api, "-H", f"Last-Event-ID: {api.daemon.events.newest}") as reader:
        assert await event(reader) == {"retry": "2000"}
        assert await event(reader) == {"": "still here"}


@asynccontextmanager
async def connected(api: Api) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield a connection that has asked, and whose reader has room for little."""
    reader, writer = await asyncio.open_unix_connection(api.socket, limit=1 << 10)
    writer.write(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\nAccept: {stream.KIND}\r\n\r\n".encode())
    try:
        assert b" 200 " in await reader.readline()
        yield reader, writer
    finally:
        writer.close()


async def test_a_slow_reader_keeps_nobody_and_is_told_what_he_has_missed(api: Api) -> None:
    large = {"event": "large", "text": "x" * 10_000}
    total = 5000
    async with connected(api) as (slow, _), curl(api) as quick:
        told = 0
        while told < total:  # as much as is remembered at a time
            for _ in range(100):
                api.daemon.events.add(large)
            told += 100
            while (await records(quick, 1))[0]["id"] < api.daemon.events.newest:
                pass
        assert (await api.ask("GET", f"{OURS}/plan"))[0] == 200
        text = b""
        async with asyncio.timeout(PATIENCE):
            while b"event: missed\ndata: {" not in text[-200_000:]:
                text += await slow.read(1 << 16)
                assert text


async def test_there_are_so_many_streams_and_no_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST", 1)
    async with connected(api):
        status, body = await api.ask("GET", EVENTS, *ACCEPT)
        assert (status, body["data"]) == (429, None)
    assert (await api.ask("GET", f"{OURS}/plan", *ACCEPT))[0] == 200
