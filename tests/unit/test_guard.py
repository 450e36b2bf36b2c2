"""Who is guarded, who is let through, and when."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.store import Store
from pvenetd.drivers.fake import Fake
from pvenetd.drivers.files import Files, Journal
from pvenetd.engine import Engine
from pvenetd.firewall.guard import guard, is_guarded, may_be_a_guests
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.veth import Veth
from pvenetd.kinds.vlan import Vlan
from pvenetd.settings import Settings
from pvenetd.state import Chains

FILES = {
    "etc/network/interfaces": "iface eth0 inet manual\n\niface vmbr0 inet manual\n\tbridge-ports eth0\n",
    "etc/pvenetd/firewall/cluster.fw": "[OPTIONS]\nenable: 1\n",
    "etc/pvenetd/qemu-server/100.conf": "net0: virtio=02:00:5E:00:53:01,bridge=vmbr0\n",
}


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("tap100i0", True),
        ("veth100i0", True),
        ("vnet3", True),
        ("tap0", False),
        ("tap1", False),
        ("tap100i32", False),
        ("veth1a2b3c4", False),
        ("veth100", False),
    ],
)
def test_whose_name_may_be_a_guests(name: str, may: bool) -> None:
    assert may_be_a_guests(name) is may


def test_bridges_for_a_vlan_belong_to_the_one_they_are_named_after() -> None:
    assert [is_guarded(name, {"vmbr0"}) for name in ("vmbr0", "vmbr0v20", "vmbr01", "docker0")] == [
        True,
        True,
        False,
        False,
    ]
    text = told(guard(["vmbr0", "vmbr0v20", "vmbr1", "a-name-of-fift"], (), tells_bridge=True))
    assert 'ibrname != { "a-name-of-fift", "vmbr0", "vmbr1", "vmbr0v*", "vmbr1v*" } accept' in text


@pytest.mark.parametrize(("bridges", "tells"), [(["vmbr0", 'odd"name'], True), (["vmbr0"], False)])
def test_all_bridges_are_guarded_where_one_cannot_be_named(bridges: list[str], tells: bool) -> None:
    text = told(guard(bridges, ("tap0", 'tap"'), tells_bridge=tells))
    assert "brname" not in text
    assert 'iifname { "tap0" } accept' in text


def test_without_a_bridge_there_is_nothing_to_guard() -> None:
    assert guard((), (), tells_bridge=True) is None


def told(chains: Chains | None) -> str:
    assert chains
    return chains.text


@contextmanager
def daemon(root: Path, fake: Fake) -> Iterator[Daemon]:
    files = Files(root)
    for name, text in FILES.items():
        files.write(name, text.encode())
    journal = Journal(files)
    engine = Engine(fake, journal)
    try:
        yield Daemon(Store(files), engine, journal, Settings(), "ct")
    finally:
        engine.close()


def host() -> Fake:
    return Fake([Ethernet(name="eth0"), Bridge(name="vmbr0"), Bridge(name="docker0")], ["net/ipv4/ip_forward"])


async def test_who_turns_out_to_be_nobodys_guest_is_let_through_as_long_as_it_is_there(tmp_path: Path) -> None:
    fake = host()
    with daemon(tmp_path, fake) as found:
        await found.load()
        assert "tap0" not in passing(fake)
        for link in (
            Tap(name="tap0", master="vmbr0"),
            Tap(name="tap300i0", master="vmbr0"),
            Tap(name="vnet7", master="vmbr0"),
            Veth(name="veth1a2b3c4", peer="eth9", master="docker0"),
        ):
            fake.appear(link)
        await found.noticed()
        assert '{ "tap0" } accept' in passing(fake)
        assert (await found.filtering())["stopped"] == ["tap300i0", "vnet7"]

        found.guard.nobodys = frozenset({"vnet7"})
        await found.guard.follow()
        assert '{ "tap0", "vnet7" } accept' in passing(fake)
        assert (await found.filtering())["stopped"] == ["tap300i0"]
        assert (await found.filtering())["drift"] == []


async def test_the_guard_goes_with_the_firewall_and_stays_where_files_are_broken(tmp_path: Path) -> None:
    fake = host()
    with daemon(tmp_path, fake) as found:
        await found.load()
        loaded = passing(fake)
        files = Files(tmp_path)
        files.write("etc/pvenetd/firewall/cluster.fw", b"[OPTIONS]\nenable: perhaps\n")
        await found.load()
        assert passing(fake) == loaded
        files.write("etc/pvenetd/firewall/cluster.fw", b"[OPTIONS]\nenable: 0\n")
        await found.load()
        assert ("chains", "guard") not in fake.observe()


async def test_a_firewall_that_was_switched_on_is_guarded_once_it_is_loaded(tmp_path: Path) -> None:
    fake, place = host(), "etc/pvenetd/firewall/cluster.fw"
    with daemon(tmp_path, fake) as found:
        Files(tmp_path).write(place, b"")
        await found.load()
        Files(tmp_path).write(place, FILES[place].encode())
        fake.appear(Tap(name="tap0", master="vmbr0"))
        await found.noticed()  # of the link; the file's turn comes later
        assert not [key for key in fake.observe() if key[0] == "chains"]
        assert await found.load() == {}
        assert '{ "tap0" } accept' in passing(fake)


async def test_the_guard_stands_where_the_hosts_own_rules_are_broken(tmp_path: Path) -> None:
    fake = host()
    with daemon(tmp_path, fake) as found:
        Files(tmp_path).write("etc/pvenetd/firewall/host.fw", b"[RULES]\nIN ACCEPT -p tcp -dport 99999\n")
        Files(tmp_path).remove("etc/pvenetd/qemu-server/100.conf")
        assert (await found.load()).keys() == {"firewall"}
        assert {key[1] for key in fake.observe() if key[0] == "chains"} >= {"base", "guard"}


async def test_a_bridge_that_is_configured_is_guarded(tmp_path: Path) -> None:
    fake = host()
    with daemon(tmp_path, fake) as found:
        await found.load()
        assert '{ "vmbr0", "vmbr0v*" }' in passing(fake)
        text = FILES["etc/network/interfaces"] + "\niface vmbr1 inet manual\n\tbridge-ports none\n"
        Files(tmp_path).write("etc/network/interfaces", text.encode())
        await asyncio.gather(found.guard.follow(), found.guard.follow())
        assert '{ "vmbr0", "vmbr1", "vmbr0v*", "vmbr1v*" }' in passing(fake)


async def test_refusals_are_told_to_who_sends_by_way_of_the_host_while_a_guest_refuses(tmp_path: Path) -> None:
    fake = host()
    with daemon(tmp_path, fake) as found:
        await found.load()
        assert ("chains", "sent") not in fake.observe()

        place = tmp_path / "etc/pvenetd/firewall/100.fw"
        place.write_text("[OPTIONS]\nenable: 1\n[RULES]\nIN REJECT -p tcp -dport 22\n")
        text = FILES["etc/pvenetd/qemu-server/100.conf"].replace("vmbr0", "vmbr0,firewall=1")
        Files(tmp_path).write("etc/pvenetd/qemu-server/100.conf", text.encode())
        await found.guests.load([100])
        await found.restore()  # as the kernel tells of every change of nftables, ours too
        assert asked(fake) == ["vmbr0"]

        for link in (Bridge(name="vmbr0v20"), Vlan(name="vmbr0.30", raw_device="vmbr0", vlan_id=30)):
            fake.appear(link)
        await found.noticed()
        assert asked(fake) == ["vmbr0", "vmbr0.30", "vmbr0v20"]
        assert (await found.filtering())["drift"] == []

        place.write_text("[OPTIONS]\nenable: 1\n[RULES]\nIN DROP -p tcp -dport 22\n")
        await found.guests.load([100])
        await found.restore()
        assert ("chains", "sent") not in fake.observe()


def asked(fake: Fake) -> list[str]:
    """Return the devices at which what the host sends is asked."""
    found = fake.observe()["chains", "sent"]
    assert isinstance(found, Chains)
    return re.findall(r'egress device "([^"]+)"', found.text)


def passing(fake: Fake) -> str:
    """Return the text of the guard that is loaded."""
    found = fake.observe()["chains", "guard"]
    assert isinstance(found, Chains)
    return found.text
