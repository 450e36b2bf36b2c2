"""A container is a namespace with a pair whose other end is on the host: what LXC's script does, without LXC."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.sandbox.space import CHECKOUT, Space
from tests.sandbox.world import PROVIDER, World

VETH = "veth200i0"
ADDRESS, GATEWAY = "10.10.10.20", "10.10.10.1"
MAC = "02:00:00:00:02:00"
NIC = f"name=eth0,bridge=vmbr1,firewall=1,hwaddr={MAC}"
RULES = "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p icmp\nOUT DROP -p tcp -dport 9999\n"
HOOK = CHECKOUT / "hooks/lxc-net"


@pytest.fixture
def made(world: World) -> Space:
    """Return a container whose pair LXC has made."""
    return make(world, NIC)


def make(world: World, net0: str) -> Space:
    (world.root / "etc/pvenetd/lxc").mkdir()
    world.write("etc/pvenetd/lxc/200.conf", f"hostname: dns\nnet0: {net0}\n")
    world.write("etc/pvenetd/firewall/200.fw", RULES)
    space = world.space("ct200")
    world.host.run("ip", "link", "add", VETH, "type", "veth", "peer", "name", "eth0", "netns", space.name)
    world.host.run("ip", "link", "set", VETH, "up")
    return space


def hook(world: World, phase: str, *, check: bool = True) -> str:
    return world.host.run(HOOK, "dns", "net", phase, "veth", VETH, env=world.env(), check=check)


def link(world: World) -> dict[str, Any]:
    (found,) = world.host.show("ip", "-d", "-j", "link", "show", VETH)
    return found


def come_up(space: Space) -> None:
    """Do what LXC does when its script was successful."""
    space.run("ip", "link", "set", "eth0", "address", MAC, "up")
    space.run("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
    space.run("ip", "route", "add", "default", "via", GATEWAY)


@pytest.mark.netns
def test_a_container_from_its_start_to_its_end(world: World, made: Space) -> None:
    hook(world, "up")
    come_up(made)
    assert made.pings(GATEWAY)
    assert made.pings(PROVIDER)
    assert link(world)["master"] == "vmbr1"
    assert hook(world, "up") == "nothing to do\n"
    (nic,) = json.loads(world.ctl("--json", "vm", "show", "200"))["nics"]
    assert (nic["tap"], nic["plugged"], nic["filtered"], nic["source"]) == (VETH, 1, 1, "lxc")
    world.restart_daemon()
    assert made.pings(PROVIDER)
    for _ in range(2):
        hook(world, "down")
    assert "master" not in link(world)
    assert "UP" not in link(world)["flags"]


@pytest.mark.netns
def test_a_change_while_it_runs_is_live_at_once(world: World, made: Space) -> None:
    hook(world, "up")
    come_up(made)
    assert world.ctl("vm", "set", "200", f"net0={NIC},link_down=1").split("  ")[0] == f"~ link {VETH} up=no"
    assert made.run("cat", "/sys/class/net/eth0/carrier") == "0\n"
    world.ctl("vm", "set", "200", f"net0={NIC}")
    assert made.pings(GATEWAY)


@pytest.mark.netns
def test_its_rules_hold(world: World, made: Space) -> None:
    hook(world, "up")
    come_up(made)
    outside = world.capture(world.host, "eth0", "tcp")
    get = [sys.executable, "-m", "tests.sandbox.web", "get"]
    assert made.run(*get, f"http://{PROVIDER}:9999/", 1, env={"PYTHONPATH": str(CHECKOUT)}, check=False) == ""
    assert made.run(*get, f"http://{PROVIDER}:80/", env={"PYTHONPATH": str(CHECKOUT)}) == "hello 192.0.2.2\n"
    outside.expect(rf"> {PROVIDER}\.80: Flags \[S\]")
    assert not outside.seen(rf"{PROVIDER}\.9999")


@pytest.mark.netns
def test_a_container_that_ends_without_a_word_is_forgotten(world: World, made: Space) -> None:
    hook(world, "up")
    made.run("ip", "link", "delete", "eth0")
    assert json.loads(world.ctl("--json", "vm", "show", "200"))["nics"][0]["plugged"] == 0


@pytest.mark.netns
@pytest.mark.parametrize(
    ("net0", "reason"),
    [
        (NIC.replace("vmbr1", "vmbr9"), "there is no bridge 'vmbr9'"),
        (f"{NIC},tag=4095", "tag: '4095'"),
        (f"{NIC},trunks=5", "trunks: '5' on vmbr1, which is not VLAN-aware"),
    ],
)
def test_a_nic_that_cannot_be_refuses_the_start(world: World, net0: str, reason: str) -> None:
    make(world, net0)
    with pytest.raises(AssertionError) as refused:
        hook(world, "up")
    assert reason in str(refused.value)
    assert "master" not in link(world)


@pytest.mark.netns
@pytest.mark.usefixtures("made")
def test_without_a_daemon_a_container_may_end(world: World) -> None:
    assert world.daemon
    world.daemon.stop()
    hook(world, "down")
