"""A guest that goes takes no MAC of the host with it: its neighbours would lose the host for half a minute."""

from __future__ import annotations

import pytest

from tests.sandbox.client import hook
from tests.sandbox.world import HOST, TAP, World

LOWEST = "00:00:00:00:00:01"
"""A MAC that any bridge would take for its own."""


@pytest.mark.netns
def test_the_host_is_reached_while_guests_come_and_go(world: World) -> None:
    world.write("etc/pvenetd/qemu-server/100.conf", "net0: virtio=02:00:00:00:01:00,bridge=vmbr0,firewall=1\n")
    before = mac(world, "vmbr0")
    guest = world.start_tap()
    world.host.run("ip", "link", "set", TAP, "address", LOWEST)
    hook(world.root, "up", TAP)
    assert mac(world, "vmbr0") == before == mac(world, "eth0")

    world.provider.run("ip", "neighbour", "flush", "all")
    neighbour = world.ping(world.provider, HOST)
    hook(world.root, "down", TAP)
    guest.stop()
    assert mac(world, "vmbr0") == before
    neighbour.go_on()
    assert neighbour.lost() == []


@pytest.mark.netns
def test_a_bridge_without_a_port_keeps_its_mac_for_all_its_guests(world: World) -> None:
    before = mac(world, "vmbr1")
    guest = world.start_tap()
    world.host.run("ip", "link", "set", TAP, "address", LOWEST)
    hook(world.root, "up", TAP)
    assert mac(world, "vmbr1") == before
    hook(world.root, "down", TAP)
    guest.stop()
    assert mac(world, "vmbr1") == before


def mac(world: World, name: str) -> str:
    found: str = world.host.show("ip", "-j", "link", "show", name)[0]["address"]
    return found
