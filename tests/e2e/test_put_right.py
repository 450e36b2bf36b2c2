"""What somebody does to a guest's tap, or its bridge, is put right by the kernel's word alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.patience import until
from tests.sandbox.client import hook, request
from tests.sandbox.world import TAP, VMID, World

pytestmark = pytest.mark.netns


def test_a_tap_that_nobody_tells_of_is_plugged(world: World) -> None:
    world.start_tap()
    until_plugged(world)


@pytest.mark.reliability(
    "somebody moves a guest's tap to another bridge, out of it, or sets it down",
    guarantee="put back as it was",
)
@pytest.mark.parametrize("words", [("nomaster",), ("master", "other"), ("down",)], ids=" ".join)
def test_a_tap_that_somebody_moves_or_sets_down_is_put_back(world: World, words: tuple[str, ...]) -> None:
    world.host.run("ip", "link", "add", "other", "type", "bridge")
    world.start_tap()
    hook(world.root, "up", TAP)
    before = port(world)
    world.host.run("ip", "link", "set", TAP, *words)
    until_plugged(world)
    assert port(world) == before


def test_what_was_unplugged_by_hand_stays_so_through_a_restart_and_is_forgotten_with_its_tap(world: World) -> None:
    tap = world.start_tap()
    hook(world.root, "up", TAP)
    world.ctl("vm", "unplug", VMID)
    world.restart_daemon()
    assert "link: pulled" in world.ctl("vm", "show", VMID)
    assert "master" not in port(world)
    tap.stop()
    world.start_tap()
    until_plugged(world)


def until_plugged(world: World) -> None:
    """Ask the daemon until the guest's NIC is in its bridge, and up."""
    until(lambda: is_plugged(request(world.root, "GET", f"vms/{VMID}")["nics"][0], world), "the NIC is plugged")


def is_plugged(nic: dict[str, Any], world: World) -> bool:
    return bool(nic["plugged"] and nic["up"] and port(world).get("master") == nic["bridge"])


def port(world: World) -> dict[str, Any]:
    (found,) = world.host.show("ip", "-j", "link", "show", TAP)
    return {name: found.get(name) for name in ("master", "ifalias", "flags", "address", "mtu") if name in found}
