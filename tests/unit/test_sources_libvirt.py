"""libvirt's events, from the hypervisor that libvirt has for tests: real calls, real threads, no QEMU."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import libvirt
import pytest

from pvenetd.errors import Conflict, NotFound, Unavailable
from pvenetd.sources import libvirt as libvirt_source
from pvenetd.sources.libvirt import Libvirt
from tests.patience import PATIENCE

UUID = "6d0b3c9a-52f4-4c5e-9d7e-0123456789ab"
HARDWARE = "<memory>1024</memory><os><type>hvm</type></os>"
XML = f"<domain type='test'><name>web-100</name><uuid>{UUID}</uuid>{HARDWARE}</domain>"
NODE = f"<node><domain type='test'><name>first</name>{HARDWARE}</domain></node>"


class Notes:
    """What was told of domains."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self.domains: dict[str, str | None] = {}
        self.marks: dict[str, int] = {}
        self.changed = asyncio.Condition()

    @property
    def connection(self) -> str:
        return self._connection

    @connection.setter
    def connection(self, text: str) -> None:
        self._connection = text
        self.told.put_nowait(text)

    def running(self) -> set[str]:
        return {uuid for uuid, xml in self.domains.items() if xml is not None}

    def mark(self, uuid: str) -> int:
        return self.marks.get(uuid, 0)

    async def seen(self, uuid: str, xml: str | None, mark: int) -> bool:
        if mark != self.mark(uuid):
            return False
        async with self.changed:
            self.domains[uuid] = xml
            self.changed.notify_all()
        return True

    async def until(self, there: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self.changed:
            await self.changed.wait_for(there)


class Host:
    """A hypervisor with one domain, followed, and a connection of the test's own to it."""

    def __init__(self, uri: str) -> None:
        self.notes = Notes()
        self.source = Libvirt(uri, self.notes)
        self.virt: Any = None
        self.task = asyncio.create_task(self.source.run())

    async def stop(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    (tmp_path / "node.xml").write_text(NODE)
    found = Host(f"test://{tmp_path}/node.xml")
    await found.notes.until(lambda: len(found.notes.running()) == 1)
    found.virt = found.source._connection  # every connection to such a host is a host of its own
    yield found
    await found.stop()


async def test_a_domain_is_followed_through_its_life(host: Host) -> None:
    domain = await asyncio.to_thread(host.virt.createXML, XML)
    await host.notes.until(lambda: "web-100" in (host.notes.domains.get(UUID) or ""))
    assert "id='2'" in (host.notes.domains[UUID] or "")
    await asyncio.to_thread(
        domain.setMetadata, libvirt.VIR_DOMAIN_METADATA_ELEMENT, "<guest vmid='100'/>", "pvenetd", "urn:x"
    )
    await host.notes.until(lambda: 'vmid="100"' in (host.notes.domains[UUID] or ""))
    await asyncio.to_thread(domain.destroy)
    await host.notes.until(lambda: host.notes.domains[UUID] is None)


async def test_a_domain_that_a_hook_has_told_of_meanwhile_is_looked_at_again(host: Host) -> None:
    marks = iter([1, 2, 2])

    def changing(_: str) -> int:
        return next(marks, 2)

    host.notes.mark = changing  # type: ignore[method-assign]
    await asyncio.to_thread(host.virt.createXML, XML)
    await host.notes.until(lambda: UUID in host.notes.running())


async def test_what_no_event_tells_of_is_seen_all_the_same(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt_source, "AGAIN", 0.05)
    host.source._due = 0.0
    domain = await asyncio.to_thread(host.virt.createXML, XML)
    await host.notes.until(lambda: UUID in host.notes.running())
    await asyncio.to_thread(domain.setMemory, 512)
    await host.notes.until(lambda: "<currentMemory unit='KiB'>512<" in (host.notes.domains[UUID] or ""))


async def test_a_configuration_is_read_and_kept(host: Host) -> None:
    await asyncio.to_thread(host.virt.defineXML, XML)
    xml, runs = await host.source.xml("web-100")
    assert ("web-100" in xml, runs) == (True, False)
    await host.source.define(xml.replace("<memory", "<title>a</title><memory"))
    assert "<title>a</title>" in (await host.source.xml("web-100"))[0]
    with pytest.raises(Conflict, match="libvirt refuses the new configuration"):
        await host.source.define("<domain/>")
    with pytest.raises(NotFound, match="libvirt has no domain web-101"):
        await host.source.xml("web-101")
    with pytest.raises(NotFound, match="libvirt has no network lan"):
        await host.source.network("lan")


async def test_who_cannot_be_reached_is_told_and_tried_again(tmp_path: Path) -> None:
    host = Host(f"test://{tmp_path}/none.xml")
    async with asyncio.timeout(PATIENCE):
        assert (await host.notes.told.get()).endswith(" yet")
        assert "none.xml: " in await host.notes.told.get()
        (tmp_path / "none.xml").write_text(NODE)
    with pytest.raises(Unavailable, match="libvirt cannot be asked: not connected to"):
        await host.source.xml("web")
    await host.notes.until(lambda: len(host.notes.running()) == 1)
    assert host.notes.connection == f"connected to test://{tmp_path}/none.xml"
    await host.stop()
