"""org.pvenetd1, asked by busctl on a bus of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pvenetd.bus.table import METHODS, PROPERTIES, SIGNALS
from tests.patience import until
from tests.sandbox.bus import Bus
from tests.sandbox.client import hook
from tests.sandbox.process import Process
from tests.sandbox.world import NAT_HOST, TAP, World

pytestmark = pytest.mark.netns


@pytest.fixture
def there() -> Iterator[tuple[World, Bus]]:
    """Yield the example host, applied, and the bus it is on."""
    with World(NAT_HOST) as world:
        bus = Bus(world)
        world.write("etc/pvenetd/pvenetd.toml", f'[dbus]\naddress = "{bus.address}"\n')
        world.serve_pages(80, 9999)
        world.start_daemon()
        world.ctl("apply")
        until(lambda: _is_there(bus), "it has its name")
        yield world, bus


def _is_there(bus: Bus) -> bool:
    return "org.pvenetd1" in bus.busctl("list", "--acquired").stdout


def test_what_is_asked_by_dbus_is_done(there: tuple[World, Bus]) -> None:
    world, bus = there
    assert (bus.property("State"), bus.property("Staged"), bus.property("Guests")) == ("in sync", False, [100])
    world.ctl("interfaces", "set", "vmbr1", "mtu=1400")
    assert (bus.property("State"), bus.property("Staged")) == ("staged", True)
    operations, outcome, name = bus.call("Apply", "u", "600")
    assert any("link vmbr1 mtu=1400" in op for op in operations)
    assert '"who": "root@pam"' in (world.root / "var/lib/pvenetd/tasks.jsonl").read_text()
    assert outcome.startswith("rolled back in 600 s unless")
    assert bus.property("Pending") == name
    assert bus.call("Confirm", "s", name) == ["confirmed", name]
    assert bus.property("Pending") == ""
    assert bus.call("Rollback") == ["rolled back"]
    assert "mtu 1500" in world.host.run("ip", "link", "show", "vmbr1")


def test_a_nic_is_plugged_and_unplugged_and_that_is_told(there: tuple[World, Bus]) -> None:
    world, bus = there
    world.start_tap()
    hook(world.root, "up", TAP)
    listener = world.keep(Process("listener", ["dbus-monitor", "--address", bus.address, "sender='org.pvenetd1'"]))
    listener.expect("member=NameLost")  # who listens to others has no name
    (operations,) = bus.call("UnplugNic", "us", "100", "net0")
    assert any(TAP in op for op in operations)
    listener.expect("interface=org.pvenetd1; member=GuestChanged")
    listener.expect(f'string ".*{TAP}')
    listener.expect("member=PropertiesChanged")
    listener.expect('string "Guests"')
    (operations,) = bus.call("PlugNic", "us", "100", "")
    assert any(TAP in op for op in operations)
    listener.expect("interface=org.pvenetd1; member=GuestChanged")


def test_who_may_not_is_refused_and_what_is_wrong_is_said(there: tuple[World, Bus]) -> None:
    _, bus = there
    place = ("call", "org.pvenetd1", "/org/pvenetd1", "org.pvenetd1")
    wrong = {
        ("PlugNic", "us", "999", ""): "no guest 999",
        ("PlugNic", "us", "100", "eth0; reboot"): "nic: String should match pattern",
        ("Confirm", "s", ""): "nothing waits to be confirmed",
        ("Apply", "s", "now"): "Apply takes 'u', not 's'",
        ("Explode",): "Explode: no such method",
    }
    said = {words: bus.busctl(*place, *words) for words in wrong}
    assert {words: done.stderr for words, done in said.items() if wrong[words] not in done.stderr} == {}
    assert {done.returncode for done in said.values()} == {1}
    assert "can only be read" in bus.busctl("set-property", *place[1:], "State", "s", "x").stderr
    refused = bus.busctl(*place, "Rollback", user=65534)
    assert (refused.returncode, refused.stderr.strip()) == (1, "Call failed: Access denied")


def test_it_says_what_it_has(there: tuple[World, Bus]) -> None:
    _, bus = there
    said = bus.busctl("introspect", "org.pvenetd1", "/org/pvenetd1", "org.pvenetd1").stdout
    found = {tuple(line.split()[:3]) for line in said.splitlines()}
    assert {(f".{one.name}", "method", one.signature or "-") for one in METHODS.values()} <= found
    assert {(f".{one.name}", "property", one.type) for one in PROPERTIES.values()} <= found
    assert {name for name, kind, _ in found if kind == "signal"} == {f".{name}" for name in SIGNALS}
    assert "/org/pvenetd1" in bus.busctl("tree", "org.pvenetd1").stdout


def test_a_bus_that_comes_back_finds_it_again(there: tuple[World, Bus]) -> None:
    world, bus = there
    bus.process.stop()
    world.ctl("interfaces", "set", "vmbr1", "mtu=1400")  # nothing of it is needed
    bus.start()
    until(lambda: _is_there(bus), "it is there again")
    assert bus.property("State") == "staged"
