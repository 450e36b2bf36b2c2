"""Guests on the fake: whatever happens in whatever order, what comes of it follows from what is."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.guest_records import record
from pvenetd.daemon.store import Store
from pvenetd.drivers.fake import Fake
from pvenetd.drivers.files import Files, Journal
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError
from pvenetd.guests.qm_conf import parse_conf
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.veth import Veth
from pvenetd.settings import Settings
from tests.happening import Event, Scene, events
from tests.harness import Failing, run_async
from tests.patience import PATIENCE


class Others:
    """Others on a fake."""

    def __init__(self) -> None:
        self.machine = Fake()

    def appear(self, device: str) -> None:
        self.machine.appear(Tap(name=device, up=False, made_here=False))

    def vanish(self, device: str) -> None:
        if ("link", device) in self.machine.observe():
            self.machine.vanish(device)

    def bridge(self, name: str) -> None:
        self.machine.appear(Bridge(name=name))

    def meddle(self, device: str, master: str, *, up: bool) -> None:
        self.machine.meddle(device, master=master, up=up)

    def restart(self) -> None:
        pass


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(events())
def test_what_a_guest_has_follows_from_what_is(happening: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as root:
        run_async(Scene(Path(root), Others()).play(happening))


class Host:
    """A daemon on a fake with a plain bridge and one that is VLAN-aware; all guests run."""

    def __init__(self, root: Path) -> None:
        self.machine = Fake([Bridge(name="vmbr0"), Bridge(name="vmbr1", vlan_aware=True)])
        self.files = Files(root)
        self.files.write("etc/network/interfaces", b"auto lo\niface lo inet loopback\n")
        self.engine = Engine(self.machine, Journal(self.files))
        self.daemon = Daemon(Store(self.files), self.engine, Journal(self.files), Settings(), "ct")
        self.guests = self.daemon.guests

    def guest(self, vmid: int, *nics: str) -> None:
        """Define a guest that QEMU runs."""
        self.define(vmid, *nics)
        for index in range(len(nics)):
            self.machine.appear(Tap(name=f"tap{vmid}i{index}", up=False, made_here=False))

    def define(self, vmid: int, *nics: str) -> None:
        """Write a guest's file."""
        text = "".join(f"net{index}: virtio,{nic}\n" for index, nic in enumerate(nics))
        self.files.write(f"etc/pvenetd/qemu-server/{vmid}.conf", text.encode())

    def port(self, device: str) -> Tap:
        link = self.machine.observe()["link", device]
        assert isinstance(link, Tap)
        return link


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    found = Host(tmp_path)
    await found.daemon.start()
    yield found
    found.daemon.close()
    found.engine.close()


async def test_a_bridge_that_comes_back_gets_its_guests_again(host: Host) -> None:
    host.guest(100, "bridge=vmbr0", "bridge=vmbr1")
    await host.daemon.noticed()
    host.machine.vanish("vmbr0")
    await host.daemon.noticed()
    assert "100.conf:1: error missing-parent: bridge: there is no bridge 'vmbr0'" in host.engine.failed["vm:100"]
    assert (host.port("tap100i0").master, host.port("tap100i1").master) == ("", "vmbr1")
    host.machine.appear(Bridge(name="vmbr0"))
    await host.daemon.noticed()
    assert host.port("tap100i0").master == "vmbr0"
    assert "vm:100" not in host.engine.failed


async def test_a_nic_that_is_broken_takes_nothing_from_the_others_and_keeps_what_it_has(host: Host) -> None:
    host.guest(100, "bridge=vmbr0", "bridge=vmbr1,tag=5")
    await host.daemon.noticed()
    host.define(100, "bridge=vmbr1", "bridge=vmbr1,tag=5000")
    assert "tag: '5000'" in (await host.guests.load([100]))["vm:100"]
    assert (host.port("tap100i0").master, host.port("tap100i1").pvid) == ("vmbr1", 5)
    with pytest.raises(ConfigError, match="tag: '5000'"):
        await host.guests.plug(100, 1, made_here=False)
    await host.guests.plug(100, 0, made_here=False)


@pytest.mark.parametrize("change", [{"vids": "1", "pvid": 1}, {"master": ""}, {"up": False}])
async def test_what_somebody_does_to_a_port_is_put_right(host: Host, change: dict[str, Any]) -> None:
    host.guest(100, "bridge=vmbr1,tag=5")
    host.guest(101, "bridge=vmbr1,tag=6")
    await host.daemon.noticed()
    before = host.port("tap100i0")
    assert (before.pvid, before.vids, before.up) == (5, "5", True)
    host.machine.meddle("tap100i0", **change)
    assert host.port("tap100i0") != before
    told: list[str] = []
    host.engine.told = lambda _, facts: told.append(facts["owner"])
    await host.daemon.noticed()
    assert host.port("tap100i0") == before
    assert {*told} == {"vm:100"}


async def test_two_nics_with_one_mac_on_one_bridge_are_told_of_on_both_sides(host: Host) -> None:
    host.guest(100, "bridge=vmbr0,macaddr=BC:24:11:00:53:01", "bridge=vmbr1,macaddr=BC:24:11:00:53:02")
    host.guest(101, "bridge=vmbr0,macaddr=bc:24:11:00:53:01", "bridge=vmbr0,macaddr=BC:24:11:00:53:02")
    told = [problem for record in await host.guests.records() for problem in record["problems"]]
    what = "warning duplicate-address: bc:24:11:00:53:01 on vmbr0 is the MAC of guest"
    assert [text.partition(" (")[0] for text in told] == [
        f"/etc/pvenetd/qemu-server/100.conf:1: {what} 101 net0, too",
        f"/etc/pvenetd/qemu-server/101.conf:1: {what} 100 net0, too",
    ]
    assert [str(problem) for problem in await host.daemon.firewall.problems()] == told


async def test_a_device_of_another_kind_is_left_alone_and_told_of(host: Host) -> None:
    host.files.write("etc/pvenetd/qemu-server/100.conf", b"net0: virtio,bridge=vmbr0\n")
    host.machine.appear(Veth(name="tap100i0", peer="far", up=False))
    await host.daemon.noticed()
    assert "tap100i0 is there, and is a veth, no tap" in host.engine.failed["vm:100"]
    assert getattr(host.machine.observe()["link", "tap100i0"], "owner", None) == ""


async def test_what_is_made_here_is_made_again_even_if_it_goes_while_nobody_looks(host: Host) -> None:
    host.files.write("etc/pvenetd/qemu-server/100.conf", b"net0: virtio,bridge=vmbr0\n")
    await host.guests.plug(100)
    host.machine.vanish("tap100i0")
    engine = Engine(host.machine, Journal(host.files))
    daemon = Daemon(Store(host.files), engine, Journal(host.files), Settings(), "ct")
    await daemon.start()
    engine.close()
    assert host.port("tap100i0").master == "vmbr0"


def test_counters_are_told_from_the_guests_side() -> None:
    guest = parse_conf("net0: virtio,bridge=vmbr0\n", 100, "100.conf")
    counters = {"tap100i0": {"rx_bytes": 1, "tx_bytes": 2, "rx_dropped": 3, "tx_dropped": 4}}
    (nic,) = record(100, guest, {}, counters)["nics"]
    assert [nic[name] for name in ("tx_bytes", "rx_bytes", "tx_dropped", "rx_dropped")] == [1, 2, 3, 4]


async def test_what_the_kernel_refuses_is_told_and_tried_again(tmp_path: Path) -> None:
    host = Host(tmp_path)
    refusing = Failing(host.machine, 0)
    engine = Engine(refusing, Journal(host.files))
    daemon = Daemon(Store(host.files), engine, Journal(host.files), Settings(), "ct")
    await daemon.start()
    host.guest(100, "bridge=vmbr0")
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    engine.told = lambda what, _: loop.call_soon_threadsafe(done.set) if what == "op" else None
    await daemon.noticed()
    assert "Input/output error" in engine.failed["vm:100"]
    assert host.port("tap100i0").master == ""
    async with asyncio.timeout(PATIENCE):
        await done.wait()
        while "vm:100" in engine.failed:
            await engine.observe()
    assert host.port("tap100i0").master == "vmbr0"
    daemon.close()
    engine.close()
    host.engine.close()
