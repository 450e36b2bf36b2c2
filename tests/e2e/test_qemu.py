"""A real guest in QEMU, plugged by its hooks: on this machine, and on the Debian host of the lab."""

from __future__ import annotations

import os
import signal

from tests.patience import until
from tests.sandbox.client import request
from tests.sandbox.world import PROVIDER, TAP, VMID, World

PINGS = 200


def test_killed_qemu_leaves_nothing(world: World) -> None:
    before = host_state(world)
    guest = world.start_guest()
    guest.ready()
    assert TAP in world.host.links()
    os.kill(guest.process.pid, signal.SIGKILL)
    guest.process.wait()
    until(lambda: is_unplugged(world), "the daemon knows that the guest's NIC is gone")
    until(lambda: host_state(world) == before, "the host is as before")
    assert world.ctl("plan") == ""


def test_a_guest_keeps_its_flow_through_a_restart_of_the_daemon(world: World) -> None:
    guest = world.start_guest()
    guest.ready()
    guest.start(f"ping -i 0.02 -c {PINGS} {PROVIDER}")
    guest.process.expect("seq=10 ")
    world.restart_daemon()
    assert world.ctl("plan") == ""
    world.restart_daemon(signal.SIGKILL)
    assert world.ctl("plan") == ""
    status, output = guest.result()
    assert status == 0, output
    assert f"{PINGS} packets transmitted, {PINGS} packets received" in output, output[-200:]
    assert guest.power_off() == 0
    assert TAP not in world.host.links()


BROKEN = "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 99999\n"


def test_a_guest_whose_rules_are_broken_starts_with_the_last_good_ones(world: World) -> None:
    loaded = world.host.run("nft", "-s", "list", "chain", "bridge", "pvenetd", "vm-100-in")
    world.write("etc/pvenetd/firewall/100.fw", BROKEN)
    guest = world.start_guest()
    guest.ready()
    assert TAP in world.host.links()
    assert world.host.run("nft", "-s", "list", "chain", "bridge", "pvenetd", "vm-100-in") == loaded
    assert "100.fw:4" in world.ctl("vm", "show", "100")
    assert guest.power_off() == 0


def test_a_guest_does_not_start_unprotected(world: World) -> None:
    (world.root / "etc/pvenetd/firewall/100.fw").unlink()
    world.ctl("firewall", "apply")
    world.write("etc/pvenetd/firewall/100.fw", BROKEN)
    guest = world.start_guest()
    assert guest.process.wait() != 0
    assert any("100.fw:4" in line for line in guest.process.lines), guest.process.lines
    assert TAP not in world.host.links()


def is_unplugged(world: World) -> bool:
    return not any(nic["plugged"] for nic in request(world.root, "GET", f"vms/{VMID}")["nics"])


def host_state(world: World) -> tuple[set[str], str]:
    """Return the links and the rules, without counters."""
    return world.host.links(), world.rules()
