"""A bridge that guests share outlives the daemon, and goes with the last of them; told by ip(8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvenetd.daemon.applies import Asked
from pvenetd.drivers.files import Files
from tests.kernel.ends import news
from tests.kernel.seen import limits, seen
from tests.kernel.test_hitless import ACTIVE, serving
from tests.netns import Namespaces, run, show

pytestmark = pytest.mark.lab
TEXT = """\
auto eno1
iface eno1 inet manual

auto vmbr0
iface vmbr0 inet manual
	bridge-ports eno1
	bridge-fd 0
"""
SHARED = {"vmbr0v20", "eno1.20"}
OTHERS = {"lo", "eno1", "vmbr0"}


def names() -> set[str]:
    return {one["ifname"] for one in show("ip", "-j", "link")}


def configure(root: Path, vmid: int, keys: str) -> None:
    path = f"etc/pvenetd/qemu-server/{vmid}.conf"
    Files(root).write(path, f"net0: virtio=BC:24:11:00:53:{vmid % 100:02X},bridge=vmbr0{keys}\n".encode())


@pytest.fixture
async def root(tmp_path: Path, namespaces: Namespaces) -> Path:
    """Return the root of a host with two guests on VLAN 20, and no daemon any more."""
    namespaces.cable("eno1")
    Files(tmp_path).write(ACTIVE, TEXT.encode())
    async with serving(tmp_path) as daemon:
        await daemon.interfaces.apply(Asked(probe=False))
        for vmid in (100, 101):
            configure(tmp_path, vmid, ",tag=20,rate=10")
            run("ip", "tuntap", "add", f"tap{vmid}i0", "mode", "tap")  # as QEMU does
            await daemon.guests.plug(vmid, made_here=False)
    assert names() == OTHERS | SHARED | {"tap100i0", "tap101i0"}
    return tmp_path


async def test_it_is_the_same_after_a_restart(root: Path) -> None:
    before = seen()
    async with serving(root):
        assert seen() == before
    run("ip", "link", "delete", "tap100i0")
    async with serving(root) as daemon:
        assert names() == OTHERS | SHARED | {"tap101i0"}, "what QEMU took along is not made again"
        await daemon.guests.unplug(101)
        assert names() == OTHERS | {"tap101i0"}


async def test_a_guest_whose_configuration_is_broken_keeps_it(root: Path) -> None:
    configure(root, 101, ",tag=5000")
    async with serving(root) as daemon:
        await daemon.guests.unplug(100)
        assert names() == OTHERS | SHARED | {"tap100i0", "tap101i0"}
        configure(root, 101, ",tag=30")
        await daemon.guests.reconcile(101)
        assert names() == OTHERS | {"vmbr0v30", "eno1.30", "tap100i0", "tap101i0"}


async def test_what_nobody_uses_any_more_is_gone_after_a_restart(root: Path) -> None:
    for vmid in (100, 101):
        run("ip", "link", "delete", f"tap{vmid}i0")
    async with serving(root):
        assert not names() & SHARED


@pytest.mark.parametrize("gone", sorted(SHARED))
async def test_it_is_made_again_where_somebody_takes_it_away(root: Path, gone: str) -> None:
    async with serving(root) as daemon:
        run("ip", "link", "delete", gone)
        await daemon.noticed()
        assert names() == OTHERS | SHARED | {"tap100i0", "tap101i0"}
        assert {one["ifname"] for one in show("ip", "-j", "link", "show", "master", "vmbr0v20")} == {
            "eno1.20",
            "tap100i0",
            "tap101i0",
        }


async def test_another_setting_of_its_bridge_is_one_of_its_own(root: Path) -> None:
    async with serving(root) as daemon:
        Files(root).write(f"{ACTIVE}.new", f"{TEXT}\tbridge-ageing 60\n".encode())
        await daemon.interfaces.apply(Asked(probe=False))
        (bridge,) = show("ip", "-d", "-j", "link", "show", "dev", "vmbr0v20")
        assert bridge["linkinfo"]["info_data"]["ageing_time"] == 6000


async def test_a_bridge_that_is_made_anew_has_its_guests_macs_again(tmp_path: Path, namespaces: Namespaces) -> None:
    namespaces.cable("eno1")
    text = f"{TEXT}\tbridge-vlan-aware yes\n\tbridge-disable-mac-learning yes\n"
    Files(tmp_path).write(ACTIVE, text.encode())
    configure(tmp_path, 100, ",tag=5,trunks=7,rate=10")
    async with serving(tmp_path) as daemon:
        await daemon.interfaces.apply(Asked(probe=False))
        await daemon.guests.plug(100)
        before = entered(), limits("tap100i0")
        assert before[0] == {("bc:24:11:00:53:00", 5), ("bc:24:11:00:53:00", 7)}
        Files(tmp_path).write(f"{ACTIVE}.new", f"{text}\tbridge-vlan-stats-per-port yes\n".encode())
        done = await daemon.interfaces.apply(Asked(probe=False))
        assert [str(op) for op in done.ops if op.verb == "-"] == ["- link vmbr0"]
        assert (entered(), limits("tap100i0")) == before
        assert await daemon.guests.reconcile(100) == ()


def entered() -> set[tuple[str, int]]:
    found = show("bridge", "-j", "fdb", "show", "dev", "tap100i0")
    return {(one["mac"], one["vlan"]) for one in found if one["state"] == "static"}


async def test_what_a_stanza_says_of_ports_holds_on_another_programs_bridge(root: Path) -> None:
    stanza = "\nauto vmbr1\niface vmbr1 inet manual\n\tbridge-ports none\n\tbridge-vlan-aware yes\n"
    words = "\tbridge-vids 2-9\n\tbridge-pvid 3\n\tbridge-disable-mac-learning yes\n"
    Files(root).write(ACTIVE, f"{TEXT}{stanza}{words}".encode())
    run("ip", "link", "add", "vmbr1", "up", "type", "bridge", "vlan_filtering", "1")  # as ifupdown2 does
    Files(root).write("etc/pvenetd/qemu-server/102.conf", b"net0: virtio=BC:24:11:00:53:02,bridge=vmbr1\n")
    async with serving(root) as daemon:
        await daemon.guests.plug(102)
        (port,) = show("ip", "-d", "-j", "link", "show", "dev", "tap102i0")
        assert port["linkinfo"]["info_slave_data"]["learning"] is False
        (vlans,) = show("bridge", "-j", "vlan", "show", "dev", "tap102i0")
        assert {one["vlan"]: "PVID" in one.get("flags", ()) for one in vlans["vlans"]} == {
            vlan: vlan == 3 for vlan in range(2, 10)
        }
        with news(1) as told:
            await daemon.noticed()
            assert await daemon.guests.reconcile(102) == ()
        assert told == []
