"""Where pvenetd owns the interfaces: what a start does with what it finds, and with devices that come later."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pvenetd.commands import OWNER
from pvenetd.daemon.boot import BOOT, HOOKS, TAKEN_OVER
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.store import ACTIVE, STAGED, Store
from pvenetd.drivers.fake import Fake
from pvenetd.drivers.files import Files, Journal
from pvenetd.engine import Engine
from pvenetd.errors import KernelError
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.link import Link
from pvenetd.plan import Op
from pvenetd.resource import Resource
from pvenetd.settings import Interfaces, Settings
from pvenetd.state import INTERFACES

BRIDGE = """\
auto vmbr0
iface vmbr0 inet static
	address 192.0.2.1/24
	bridge-ports eno1
	up true bridge
"""
LATE = """\
auto usb0
iface usb0 inet static
	address 198.51.100.1/24
	up true usb
auto usb0.5
iface usb0.5 inet static
	address 203.0.113.1/24
"""


class Refusing(Fake):
    """A kernel that refuses operations that begin with one of `words`."""

    words: tuple[str, ...] = ()

    def apply(self, *ops: Op) -> None:
        if refused := [str(op) for op in ops if str(op).startswith(self.words)]:
            raise KernelError(refused[0], 5, "Input/output error")
        super().apply(*ops)


class Host:
    """A host with pvenetd-ifupdown installed."""

    def __init__(self, root: Path) -> None:
        self.files = Files(root)
        self.files.write(OWNER, b"")
        self.machine = Refusing([Ethernet.model_construct(name="eno1", kind="ethernet", up=False)])
        self.settings = Settings()
        self.engines: list[Engine] = []

    async def start(self) -> Daemon:
        """Start a daemon: the host's first, or the next."""
        engine = Engine(self.machine, Journal(self.files))
        self.engines.append(engine)
        daemon = Daemon(Store(self.files), engine, Journal(self.files), self.settings, "ct")
        await daemon.start()
        return daemon

    def text(self, *parts: str) -> None:
        self.files.write(ACTIVE, "".join(parts).encode())

    def addresses(self) -> set[str]:
        return {key[2] for key in self.machine.observe() if key[0] == "address" and key[1] != "lo"}

    def turn_up(self, name: str) -> None:
        nic = Ethernet.model_construct(name=name, kind="ethernet", up=False, mtu=1500, group=0, master="")
        self.machine._now[nic.key] = nic

    def vanish(self, name: str) -> None:
        gone = {("link", name)}
        while more := {key for key, one in self.machine._now.items() if one.dies_with & gone} - gone:
            gone |= more
        for key in gone:
            del self.machine._now[key]

    def ran(self) -> list[str]:
        """Return what commands and scripts have been run since the last call."""
        ran, self.machine.ran = self.machine.ran, []
        return [f"{phase} {words}" for phase, words in ran]


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    found = Host(tmp_path)
    yield found
    for engine in found.engines:
        engine.close()


async def test_a_start_brings_the_host_up_with_scripts_around_and_the_next_changes_nothing(host: Host) -> None:
    host.text(BRIDGE, "no-scripts eno1\niface eno1 inet manual\n")
    daemon = await host.start()
    assert host.addresses() == {"192.0.2.1/24"}
    assert host.ran() == [
        "+ scripts --all meta pre-up",
        "+ scripts vmbr0 pre-up",
        "up true bridge",
        "+ scripts vmbr0 up",
        "+ scripts --all meta up",
    ]
    assert not daemon.engine.failed
    before = host.machine.observe()
    await host.start()
    assert (host.machine.observe(), host.ran()) == (before, [])


async def test_where_ifupdown_owns_the_interfaces_a_start_leaves_them(host: Host) -> None:
    host.files.remove(OWNER)
    host.text(BRIDGE)
    before = host.machine.observe()
    await host.start()
    assert host.machine.observe() == before


@pytest.mark.parametrize(("setting", "address"), [(False, "192.0.2.1/24"), (True, "192.0.2.9/24")])
async def test_a_staged_edit_goes_live_by_a_start_only_where_the_setting_says_so(
    host: Host, setting: bool, address: str
) -> None:
    host.settings = Settings(interfaces=Interfaces(staged_at_boot=setting))
    host.text(BRIDGE)
    host.files.write(STAGED, BRIDGE.replace("192.0.2.1/24", "192.0.2.9/24").encode())
    await host.start()
    assert host.addresses() == {address}
    assert (host.files.read(STAGED) is None) == setting


@pytest.mark.parametrize("left", ["", "\n", "# all of it\n", "source interfaces.d/*\n"])
async def test_a_file_that_a_crash_has_left_empty_is_broken(host: Host, left: str) -> None:
    host.text(BRIDGE)
    await host.start()
    host.text(left)
    for _ in range(2):
        daemon = await host.start()
        assert host.addresses() == {"192.0.2.1/24"}
        assert "/etc/network/interfaces:0: error syntax: nothing is configured" in daemon.engine.failed[BOOT]


async def test_a_file_that_was_applied_empty_stays_so(host: Host) -> None:
    host.text(BRIDGE)
    daemon = await host.start()
    host.text("")
    await daemon.interfaces.apply()
    daemon = await host.start()
    assert host.addresses() == set()
    assert BOOT not in daemon.engine.failed


async def test_is_the_configuration_broken_the_last_good_one_is_applied_and_told_of(host: Host) -> None:
    host.text("source interfaces.d/*\n")
    host.files.write("etc/network/interfaces.d/bridge", BRIDGE.encode())
    await host.start()
    host.files.write("etc/network/interfaces.d/bridge", BRIDGE.replace("192.0.2.1/24", "192.0.2.300").encode())
    host.machine = Refusing([Ethernet.model_construct(name="eno1", kind="ethernet", up=False)])
    daemon = await host.start()
    assert host.addresses() == {"192.0.2.1/24"}
    assert "the last good one is applied" in daemon.engine.failed[BOOT]
    assert "192.0.2.300" in (await daemon.status())["errors"][BOOT]
    assert any(event["event"] == "broken" for event in daemon.events)


async def test_with_no_good_one_what_is_right_is_applied(host: Host) -> None:
    host.text(BRIDGE, "auto vmbr1\niface vmbr1 inet static\n\taddress 192.0.2.300\n\tbridge-ports none\n")
    daemon = await host.start()
    assert host.addresses() == {"192.0.2.1/24"}
    assert "what is right of it is applied" in daemon.engine.failed[BOOT]
    assert Journal(host.files).previous() is None


async def test_what_fails_keeps_nothing_else_down(host: Host) -> None:
    host.text(LATE, BRIDGE, "auto vmbr1\niface vmbr1 inet static\n\taddress 203.0.113.9/24\n\tbridge-ports none\n")
    host.turn_up("usb0")
    host.machine.words = ("+ link vmbr1", "+ hook vmbr0")
    daemon = await host.start()
    assert host.addresses() == {"192.0.2.1/24", "198.51.100.1/24", "203.0.113.1/24"}
    assert "link vmbr1" in daemon.engine.failed[INTERFACES]
    assert "hook vmbr0 up" in daemon.engine.failed[INTERFACES]


async def test_a_device_that_turns_up_is_configured_with_what_stands_on_it(host: Host) -> None:
    host.text(LATE, BRIDGE)
    daemon = await host.start()
    assert host.addresses() == {"192.0.2.1/24"}
    host.ran()
    assert await daemon.boot.follow() == ()
    host.turn_up("usb0")
    await daemon.noticed()
    assert host.addresses() == {"192.0.2.1/24", "198.51.100.1/24", "203.0.113.1/24"}
    assert "up true usb" in host.ran()
    assert await daemon.boot.follow() == ()


async def test_a_device_that_comes_back_is_as_it_was_and_its_commands_run_again(host: Host) -> None:
    host.text(LATE, BRIDGE)
    host.turn_up("usb0")
    daemon = await host.start()
    before = host.addresses()
    host.ran()
    for name in ("usb0", "eno1"):
        host.vanish(name)
        await daemon.noticed()
        host.turn_up(name)
        await daemon.noticed()
    assert host.addresses() == before
    assert host.machine.observe()["link", "eno1"].model_dump()["master"] == "vmbr0"
    assert [line for line in host.ran() if line.startswith("up ")] == ["up true usb"]


async def test_a_device_gone_and_back_before_anybody_looks_is_configured(host: Host) -> None:
    host.text(LATE, BRIDGE)
    daemon = await host.start()
    for _ in range(2):
        host.turn_up("usb0")
        await daemon.noticed()
        assert "198.51.100.1/24" in host.addresses()
        host.vanish("usb0")


async def test_auto_is_waited_for_and_hotplug_is_not(host: Host) -> None:
    host.text(LATE.replace("auto", "allow-hotplug"), BRIDGE)
    daemon = await host.start()
    await daemon.boot.settled(60)
    host.text(LATE, BRIDGE)
    daemon = await host.start()
    assert not daemon.boot._complete.is_set()
    host.turn_up("usb0")
    await daemon.noticed()
    await daemon.boot.settled(60)


@pytest.mark.parametrize("told", ["run/network/ifstate", TAKEN_OVER])
async def test_commands_that_ifupdown_has_run_since_boot_are_not_run_again(host: Host, told: str) -> None:
    host.text(BRIDGE)
    await host.start()
    host.files.remove(HOOKS)
    taken_over = Refusing(one for one in host.machine.observe().values() if one.noun not in ("hook", "scripts"))
    host.machine = taken_over
    host.files.write(told, b"vmbr0=vmbr0\n")
    await host.start()
    assert host.files.read(TAKEN_OVER) is None, "it counts for one start"
    records = [json.loads(line)["done"] for line in (host.files.read(HOOKS) or b"").splitlines()]
    assert {(one["noun"], one["iface"]) for one in records} == {
        ("hook", "vmbr0"),
        ("scripts", "vmbr0"),
        ("scripts", "--all"),
    }


async def test_where_ifupdown_owns_the_interfaces_status_says_what_taking_them_over_would_change(host: Host) -> None:
    host.text(BRIDGE)
    await host.start()
    assert "switch" not in (await (await host.start()).status())["interfaces"]
    for name in (OWNER, HOOKS):
        host.files.remove(name)
    unmarked = (replaced(one) for one in host.machine.observe().values() if one.noun not in ("hook", "scripts"))
    host.machine = Refusing(unmarked)
    daemon = await host.start()
    assert (await daemon.status())["interfaces"]["switch"] == []
    host.text(BRIDGE.replace("bridge-ports eno1", "bridge-ports eno1\n\tbridge-ageing 20"))
    assert (await daemon.status())["interfaces"]["switch"] == ["~ link vmbr0 ageing=20"]


def replaced(one: Resource) -> Resource:
    """Return a resource without our mark, as another ifupdown makes it."""
    return one.model_copy(update={"owner": ""}) if isinstance(one, Link) else one
