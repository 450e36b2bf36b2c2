"""Monitors at real sockets: guests that behave, and peers that do not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from pvenetd.sources import monitors, qmp
from pvenetd.sources.monitors import Monitors
from tests.patience import PATIENCE

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Host:
    """What the monitors tell, and what they are told of links."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str, dict[str, Any]]] = []
        self.looked: list[int] = []
        self.wanted: dict[int, dict[int, bool]] = {}
        self.news = asyncio.Event()

    def links(self, vmid: int) -> Mapping[int, bool]:
        return self.wanted.get(vmid, {})

    def happened(self, vmid: int, what: str, facts: Mapping[str, Any]) -> None:
        self.told.append((vmid, what, dict(facts)))
        self.news.set()

    async def changed(self, vmid: int) -> None:
        self.looked.append(vmid)
        self.news.set()

    def facts(self, vmid: int, what: str) -> list[dict[str, Any]]:
        return [facts for one, name, facts in self.told if (one, name) == (vmid, what)]

    async def until(self, seen: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not seen():
                self.news.clear()
                await self.news.wait()


class Guest:
    """A guest that answers as QEMU does, and has no device but net0."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(GREETING + b'{"event": "RESUME"}\n')
        async for line in reader:
            record = json.loads(line)
            self.asked.append((record["execute"], record.get("arguments", {})))
            self._host.news.set()
            more = {"id": record["id"]} if "id" in record else {}
            if record.get("arguments", {}).get("name", "net0") != "net0":
                writer.write(json.dumps({"error": {"class": "DeviceNotFound", "desc": "no"}, **more}).encode() + b"\n")
            else:
                found = [{"name": "net0", "main-mac": "02:00:5e:00:53:01", "promiscuous": False}]
                answer = found if record["execute"] == "query-rx-filter" else {}
                writer.write(json.dumps({"return": answer, **more}).encode() + b"\n")

    def says(self, event: str, **data: Any) -> None:
        self.writers[-1].write(json.dumps({"event": event, "data": data, "timestamp": {}}).encode() + b"\n")


@asynccontextmanager
async def following(directory: Path, host: Host) -> AsyncIterator[Monitors]:
    followed = Monitors(directory / "*.qmp", host)
    task = asyncio.create_task(followed.run())
    try:
        yield followed
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def serving(path: Path, serve: Serve) -> AsyncIterator[None]:
    """Serve *path* as QEMU does: unlinked in the end."""
    tasks: set[asyncio.Task[Any]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(ConnectionError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_unix_server(one, path)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)  # noqa: ASYNC240
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_guests_do_is_told_with_their_vmid(tmp_path: Path) -> None:
    host = Host()
    guest, other = Guest(host), Guest(host)
    place = tmp_path / "qemu-server"
    async with following(place, host):
        place.mkdir()
        async with serving(place / "100.qmp", guest):
            async with serving(place / "101.qmp", other), serving(place / "web.qmp", Guest(host)):
                await host.until(lambda: host.facts(100, "connected") and host.facts(101, "connected"))
                guest.says("SHUTDOWN", guest=True, reason="guest-shutdown")
                guest.says("BLOCK_JOB_READY", device="drive0")
                guest.says("DEVICE_DELETED", device="net1", path="/machine/peripheral/net1")
                other.says("RESET", guest=True, reason="guest-reset")
                guest.says("STOP")
                await host.until(lambda: host.facts(100, "STOP") and host.facts(101, "RESET") and host.looked)
            await host.until(lambda: host.facts(101, "gone"))
            assert not host.facts(100, "gone")
        await host.until(lambda: host.facts(100, "gone"))
    assert [(what, facts) for vmid, what, facts in host.told if vmid == 100] == [
        ("connected", {}),
        ("SHUTDOWN", {"guest": 1, "reason": "guest-shutdown"}),
        ("DEVICE_DELETED", {"device": "net1", "path": "/machine/peripheral/net1"}),
        ("STOP", {}),
        ("gone", {}),
    ]
    assert {100, 101} == {vmid for vmid, *_ in host.told}
    assert sorted(host.looked) == [100, 100, 101]


async def test_links_follow_the_configuration_and_a_nic_that_is_not_there_is_told_of_once(tmp_path: Path) -> None:
    host = Host()
    guest = Guest(host)
    host.wanted[100] = {0: False, 1: False, 2: True}

    def links() -> list[dict[str, Any]]:
        return [given for command, given in guest.asked if command == "set_link"]

    async with following(tmp_path, host) as followed, serving(tmp_path / "100.qmp", guest):
        await host.until(lambda: len(links()) == 3)
        host.wanted[100] = {0: True, 1: False}
        followed.refresh(100)
        followed.refresh(101)
        await host.until(lambda: len(links()) == 4)
        guest.says("NIC_RX_FILTER_CHANGED", name="net0")  # a driver has begun to use it: perhaps it is another device
        await host.until(lambda: len(links()) == 5)
    down, up = ({"name": "net0", "up": up} for up in (False, True))
    assert links() == [down, {"name": "net1", "up": False}, {"name": "net2", "up": True}, up, up]
    assert host.facts(100, "link") == [{"nic": "net0", "up": 0}, {"nic": "net0", "up": 1}]
    assert host.facts(100, "link stays up") == [{"nic": "net1", "error": "no"}]
    assert host.facts(100, "filter") == [{"device": "net0", "mac": "02:00:5e:00:53:01", "promiscuous": 0}]


async def test_a_guest_that_hangs_up_and_is_still_there_is_not_gone(tmp_path: Path) -> None:
    host = Host()
    guest = Guest(host)
    async with following(tmp_path, host), serving(tmp_path / "100.qmp", guest):
        await host.until(lambda: host.facts(100, "connected"))
        guest.writers[-1].close()
        await host.until(lambda: len(host.facts(100, "connected")) == 2)
        assert not host.facts(100, "gone")


async def test_the_socket_of_a_killed_guest_is_taken_up_by_the_next(tmp_path: Path) -> None:
    host, path = Host(), tmp_path / "100.qmp"
    async with following(tmp_path, host):
        async with serving(path, Guest(host)):
            await host.until(lambda: host.facts(100, "connected"))
            path.rename(tmp_path / "kept")
        (tmp_path / "kept").rename(path)  # nobody listens at it any more
        await host.until(lambda: host.facts(100, "gone"))
        path.unlink()
        async with serving(path, Guest(host)):
            await host.until(lambda: len(host.facts(100, "connected")) == 2)


async def garbage(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff" * 100 + b"\n")


async def endless_line(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * (1 << 16))
        await writer.drain()


async def deep(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"[" * 100_000 + b"\n")


async def odd_records(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GREETING + b'{"return": {}}\n')
    for record in (
        {"event": ["STOP"]},
        {"event": "STOP", "data": 7},
        {"event": "SHUTDOWN", "data": {"reason": {"\n": ["\x1b[2J"] * 100}}},
        {"id": [1], "return": {}},
        {"id": 10**30, "error": None},
        {"event": "NIC_RX_FILTER_CHANGED", "data": {"name": 5}},
    ):
        writer.write(json.dumps(record).encode() + b"\n")
    async for line in reader:
        number = json.loads(line).get("id")
        writer.write(json.dumps({"id": number, "return": [None, 3, {"name": []}, {"name": 5}]}).encode() + b"\n")


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GREETING + b'{"return": {}}\n')
    await reader.read()


async def refuses(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GREETING + b'{"error": {"class": "GenericError", "desc": "not for you"}}\n')


@pytest.mark.parametrize("peer", [garbage, endless_line, deep, odd_records, silent, never_answers, refuses])
async def test_a_peer_that_does_not_behave_keeps_nobody_else_from_being_heard(
    tmp_path: Path, peer: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qmp, "PATIENCE", 0.1)
    host, tries = Host(), 0
    host.wanted[99999] = {0: False}

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        host.news.set()
        await peer(reader, writer)

    async with following(tmp_path, host), serving(tmp_path / "99999.qmp", counted):
        await host.until(lambda: tries > 1 or host.facts(99999, "filter"))
        async with serving(tmp_path / "100.qmp", Guest(host)):
            await host.until(lambda: host.facts(100, "connected"))
        await host.until(lambda: host.facts(100, "gone"))
    texts = [str(value) for *_, facts in host.told for value in facts.values()]
    assert all(text.isprintable() and len(text) <= 80 for text in texts)


async def test_a_peer_that_greets_and_hangs_up_is_tried_less_and_less(tmp_path: Path) -> None:
    host, times = Host(), list[float]()

    async def flighty(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        times.append(asyncio.get_running_loop().time())
        writer.write(GREETING + b'{"return": {}}\n')
        host.news.set()

    async with following(tmp_path, host), serving(tmp_path / "100.qmp", flighty):
        await host.until(lambda: len(times) == 6)
    assert times[-1] - times[0] >= sum(monitors.SHORTEST * 2**n for n in range(5))


async def test_a_flood_of_events_is_told_in_measure_and_does_not_starve_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qmp, "_PACE", 1 << 16)
    monkeypatch.setattr(monitors, "_TOLD_EVERY", 1e9)
    host, sent = Host(), 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(GREETING + b'{"return": {}}\n')
        while True:
            sent += 1
            writer.write(b'{"event": "RESET"}\n')
            if sent == 100:
                writer.write(b'{"event": "DEVICE_DELETED", "data": {"device": "net1"}}\n')
            await writer.drain()

    async with following(tmp_path, host), serving(tmp_path / "101.qmp", flood):
        await host.until(lambda: len(host.facts(101, "RESET")) == 30)
        await host.until(lambda: host.facts(101, "DEVICE_DELETED"))  # of another kind
        async with serving(tmp_path / "100.qmp", Guest(host)):
            await host.until(lambda: host.facts(100, "connected"))
    assert len(host.facts(101, "RESET")) < 60, "30, and one a second"
    assert sent < 1 << 20
