"""A real libvirtd with a real guest, on this machine; tests/host has those of the lab's Debian host."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.guest.domain import Domain, Wiring, interface, metadata
from tests.patience import until
from tests.reliability import Outcome
from tests.sandbox.client import request
from tests.sandbox.libvirtd import Libvirtd
from tests.sandbox.world import GUEST, TAP, VMID, World

GATEWAY = "10.10.10.1"
PINGS = 200
NET = "bridge='vmbr1' firewall='1'"


@pytest.fixture
def libvirtd(world: World) -> Libvirtd:
    """Return a libvirtd whose guests are those of the example host: of their files, only the rules are left."""
    (world.root / f"etc/pvenetd/qemu-server/{VMID}.conf").unlink()
    world.ctl("reconcile")
    libvirtd = Libvirtd(world)
    libvirtd.libvirt.install_kernel()
    return libvirtd


@pytest.fixture
def domain(libvirtd: Libvirtd) -> Iterator[Callable[..., Domain]]:
    """Define guest 100; however the test ends, nothing is left of it."""
    made: list[Domain] = []

    def define(wiring: Wiring, **rest: Any) -> Domain:
        nic = interface(wiring, bridge="vmbr1", script=libvirtd.script)
        made.append(Domain(libvirtd.libvirt, [nic], metadata=metadata(NET), **rest))
        return made[-1].define()

    yield define
    for one in made:
        one.remove()


def test_a_domain_is_plugged_as_long_as_it_runs_however_it_is_wired(
    world: World, domain: Callable[..., Domain]
) -> None:
    before = host_state(world)
    for wiring in (Wiring.SCRIPT, Wiring.OURS, Wiring.BRIDGE, Wiring.PLAIN):
        guest = domain(wiring)
        for end in (guest.destroy, guest.crash):
            guest.start()
            nic = request(world.root, "GET", f"vms/{VMID}")["nics"][0]
            assert (nic["tap"], nic["plugged"], nic["filtered"]) == (guest.device(), 1, 1), wiring
            link = next(one for one in world.host.show("ip", "-j", "link") if one["ifname"] == nic["tap"])
            assert link["master"] == "vmbr1", wiring
            assert TAP in [link["ifname"], *link.get("altnames", [])], wiring
            end()
            until(lambda: host_state(world)[0] == before[0], f"{wiring}: its links are gone")
        guest.remove()
        until(lambda: host_state(world) == before, f"{wiring}: the host is as before")
    assert world.ctl("plan") == ""


def test_a_guest_keeps_its_flow_through_restarts_of_libvirtd_and_the_daemon(
    world: World, libvirtd: Libvirtd, domain: Callable[..., Domain]
) -> None:
    guest = domain(Wiring.SCRIPT, addresses=[f"{GUEST}/24"])
    guest.start()
    shell = guest.shell()
    shell.ready()
    shell.start(f"ping -i 0.02 -c {PINGS} {GATEWAY}")
    shell.process.expect("seq=10 ")
    for number in (signal.SIGTERM, signal.SIGKILL):
        libvirtd.restart(number)
        world.restart_daemon(number)
        assert guest.state() == "running"
        assert world.ctl("plan") == ""
    status, output = shell.result()
    assert status == 0, output
    assert f"{PINGS} packets transmitted, {PINGS} packets received" in output, output[-200:]
    shell.process.stop()


@pytest.mark.reliability(
    "libvirtd hangs (SIGSTOP)", guarantee="the daemon answers, plugs and says so; it follows libvirt when that goes on"
)
def test_libvirtd_hangs(world: World, libvirtd: Libvirtd, outcome: Outcome) -> None:
    world.write("etc/pvenetd/pvenetd.toml", f'[libvirt]\nuri = "{libvirtd.libvirt.uri}"\n')
    world.restart_daemon()
    until(lambda: told(world).startswith("connected"), "libvirt is followed")
    libvirtd.signal(signal.SIGSTOP)
    try:
        until(lambda: not told(world).startswith("connected"), "that it does not answer is said")
        write_guest(world)
        tap = world.start_tap()
        until(lambda: request(world.root, "GET", f"vms/{VMID}")["nics"][0]["plugged"], "a guest is plugged meanwhile")
        tap.stop()
        assert world.ctl("plan") == ""
    finally:
        libvirtd.signal(signal.SIGCONT)
    until(lambda: told(world).startswith("connected"), "libvirt is followed again")
    outcome(seen="said within 20 s, followed again")


def told(world: World) -> str:
    """Return how it stands with libvirt."""
    return str(request(world.root, "GET", "status")["libvirt"])


def write_guest(world: World) -> None:
    (world.root / f"etc/pvenetd/qemu-server/{VMID}.conf").write_text(
        "net0: virtio=02:00:00:00:01:00,bridge=vmbr1,firewall=1\n"
    )


def host_state(world: World) -> tuple[set[str], str]:
    """Return the links and the rules, without counters."""
    return world.host.links(), world.rules()
