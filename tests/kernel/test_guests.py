"""Guests on the real kernel: what comes of anything that happens is what comes of it on the fake."""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.store import Store
from pvenetd.drivers.files import Files, Journal
from pvenetd.drivers.host import Host
from pvenetd.engine import Engine
from pvenetd.settings import Settings
from tests.happening import Event, Scene, events
from tests.harness import run_async
from tests.netns import fresh, run, show

_TUNSETIFF, _IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x400454CA, 0x2, 0x1000, 0x4000


class Others:
    """Others in this network namespace: a tap is there as long as somebody has it open."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._taps: dict[str, int] = {}
        self.machine = Host(Files(root))

    def appear(self, device: str) -> None:
        self._taps[device] = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        fcntl.ioctl(self._taps[device], _TUNSETIFF, struct.pack("16sH22x", device.encode(), flags))

    def vanish(self, device: str) -> None:
        if device in self._taps:
            os.close(self._taps.pop(device))
        with suppress(AssertionError):  # it may never have been there
            run("ip", "link", "delete", device)

    def bridge(self, name: str) -> None:
        run("ip", "link", "add", name, "type", "bridge")

    def meddle(self, device: str, master: str, *, up: bool) -> None:
        run("ip", "link", "set", device, *(["master", master] if master else ["nomaster"]), "up" if up else "down")

    def restart(self) -> None:
        self.machine.close()
        self.machine = Host(Files(self._root))

    def close(self) -> None:
        """Let go of all taps, and of the machine."""
        for device in [*self._taps]:
            self.vanish(device)
        self.machine.close()


@pytest.mark.netns
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
@given(events())
def test_what_a_guest_has_follows_from_what_is(happening: list[Event]) -> None:
    with fresh(), tempfile.TemporaryDirectory() as root:
        others = Others(Path(root))
        try:
            run_async(Scene(Path(root), others).play(happening))
        finally:
            others.close()


@asynccontextmanager
async def running(files: Files, machine: Host) -> AsyncIterator[Daemon]:
    """Yield a daemon that is started and left."""
    files.write("etc/network/interfaces", b"auto lo\niface lo inet loopback\n")
    engine = Engine(machine, Journal(files))
    daemon = Daemon(Store(files), engine, Journal(files), Settings(), "ct")
    try:
        await daemon.start()
        yield daemon
    finally:
        daemon.close()
        engine.close()


@pytest.mark.lab
@pytest.mark.usefixtures("namespaces")
def test_a_vlan_that_somebody_takes_from_a_port_comes_back(tmp_path: Path) -> None:
    run("ip", "link", "add", "vmbr0", "type", "bridge", "vlan_filtering", "1")
    files = Files(tmp_path)
    files.write("etc/pvenetd/qemu-server/100.conf", b"net0: virtio,bridge=vmbr0,tag=5,trunks=7;9\n")

    async def job(machine: Host) -> None:
        async with running(files, machine) as daemon:
            await daemon.noticed()
            before = show("bridge", "-j", "vlan", "show", "dev", "tap100i0")
            run("bridge", "vlan", "delete", "dev", "tap100i0", "vid", "7")
            assert show("bridge", "-j", "vlan", "show", "dev", "tap100i0") != before
            await daemon.noticed()
            assert show("bridge", "-j", "vlan", "show", "dev", "tap100i0") == before

    with closing(Others(tmp_path)) as others:
        others.appear("tap100i0")
        run_async(job(others.machine))


@pytest.mark.netns
@pytest.mark.usefixtures("namespaces")
def test_a_containers_port_that_was_unplugged_by_hand_stays_so_until_it_is_plugged_again(tmp_path: Path) -> None:
    run("ip", "link", "add", "vmbr0", "type", "bridge")
    run("ip", "link", "add", "veth100i0", "type", "veth", "peer", "name", "far")
    files = Files(tmp_path)
    files.write("etc/pvenetd/lxc/100.conf", b"net0: name=eth0,bridge=vmbr0\n")

    def port() -> tuple[str | None, str | None]:
        (found,) = show("ip", "-j", "link", "show", "dev", "veth100i0")
        return found.get("master"), found.get("ifalias")

    async def job(machine: Host, what: str) -> None:
        async with running(files, machine) as daemon:
            if what == "unplug":
                assert port() == ("vmbr0", "pvenetd:vm:100 (configured)")
                await daemon.guests.unplug(100)
            await daemon.noticed()
            assert port() == (None, "pvenetd:vm:100 (configured) unplugged by hand")
            if what == "plug":
                await daemon.guests.plug(100, 0, made_here=False)
                assert port() == ("vmbr0", "pvenetd:vm:100 (configured)")
                files.put("etc/pvenetd/lxc/100.conf", None)
                await daemon.guests.load([100])
                assert port() == (None, None), "it is LXC's, and stays"

    for what in ("unplug", "restart", "plug"):
        with closing(Host(files)) as machine:
            run_async(job(machine, what))
