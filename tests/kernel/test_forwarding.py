"""Who is behind which port, and what ports have counted, judged by bridge(8) and ip(8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.store import Store
from pvenetd.drivers.files import Files, Journal
from pvenetd.drivers.host import Host
from pvenetd.engine import Engine
from pvenetd.errors import NotFound
from pvenetd.settings import Settings
from tests.harness import run_async
from tests.netns import fresh, run, show

pytestmark = pytest.mark.netns

HERE, THERE, ENTERED = "02:00:5e:00:53:01", "02:00:5e:00:53:02", "02:00:5e:00:53:03"


def test_what_was_learned_and_what_was_entered_is_told_with_its_port(tmp_path: Path) -> None:
    with fresh() as namespaces:
        namespaces.cable("eth0")
        run("ip", "link", "add", "vmbr0", "address", HERE, "type", "bridge")
        run("ip", "link", "set", "eth0", "master", "vmbr0", "up")
        run("ip", "address", "add", "192.0.2.1/24", "dev", "vmbr0")
        run("ip", "link", "set", "vmbr0", "up")
        run("bridge", "fdb", "add", ENTERED, "dev", "eth0", "master", "static")
        with namespaces.away():
            run("ip", "link", "set", "eth0", "address", THERE)
            run("ip", "address", "add", "192.0.2.2/24", "dev", "eth0")
            run("ping", "-c", "1", "-W", "60", "192.0.2.1")
        files = Files(tmp_path)
        journal = Journal(files)
        host = Host(files)
        engine = Engine(host, journal)
        try:
            run_async(_judged(Daemon(Store(files), engine, journal, Settings(), "ct")))
        finally:
            engine.close()
            host.close()


async def _judged(daemon: Daemon) -> None:
    entries = await daemon.ports.forwarding("vmbr0")
    found = {(one["port"], one["mac"]): one["origin"] for one in entries}
    assert found["eth0", THERE] == "learned"
    assert found["eth0", ENTERED] == "static"
    assert {origin for (_, mac), origin in found.items() if mac == HERE} == {"own"}
    with pytest.raises(NotFound, match="no interface vmbr9"):
        await daemon.ports.forwarding("vmbr9")
    ports = {one["name"]: one for one in await daemon.ports.records()}
    (link,) = show("ip", "-j", "-s", "link", "show", "eth0")
    assert 0 < ports["eth0"]["rx_packets"] <= link["stats64"]["rx"]["packets"]
    assert ports["eth0"]["master"] == "vmbr0"
