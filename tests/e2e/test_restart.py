"""A restart of the daemon is nothing a guest notices."""

from __future__ import annotations

import signal

import pytest

from tests.reliability import Outcome
from tests.sandbox.world import GUEST, PROVIDER, World


@pytest.mark.reliability(
    "the daemon is stopped, or killed, and started while a guest sends",
    guarantee="no packet is lost, nothing is changed, nothing is left to do",
)
@pytest.mark.netns
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_restart_loses_no_packet_and_leaves_nothing_to_do(world: World, number: int, outcome: Outcome) -> None:
    guest, pump = world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    before = seen(world)
    flow = world.ping(guest, PROVIDER, 0.02)
    flow.go_on(20)
    world.restart_daemon(number)
    assert world.ctl("plan") == ""
    flow.go_on(20)
    assert flow.lost() == []
    assert seen(world) == before
    assert "tap100i0" in world.ctl("vm", "show", "100")
    world.page(f"http://{PROVIDER}:80/")
    pump.stop()
    outcome(seen="no packet of 50 a second was lost")


def seen(world: World) -> tuple[object, ...]:
    """Return the links, addresses and routes of the hypervisor, and its rules without what packets leave in them."""
    links = [(link["ifname"], link["flags"], link.get("master")) for link in world.host.show("ip", "-j", "link")]
    addresses = [
        (link["ifname"], [(one["local"], one["prefixlen"]) for one in link["addr_info"] if one["scope"] != "link"])
        for link in world.host.show("ip", "-j", "address")
    ]
    return links, addresses, world.host.run("ip", "route"), world.rules()


@pytest.mark.reliability(
    "records of the daemon's own that a damaged disk has left unreadable",
    guarantee="they are set aside and told of; the daemon starts, and there is nothing to do",
)
@pytest.mark.parametrize("left", ["", "\0\0\0\0", '{"files": {"etc/netw'])
def test_records_that_cannot_be_read_keep_no_daemon_from_starting(world: World, left: str) -> None:
    assert world.daemon
    world.daemon.stop()
    state = ("previous", "pending", "tokens", "nics", "leases", "trial")
    run = ("choice", "made", "sysctls", "clients", "dns", "strangers")
    names = [*(f"var/lib/pvenetd/{name}.json" for name in state), *(f"run/pvenetd/{name}.json" for name in run)]
    for name in names:
        world.write(name, left)
    world.start_daemon()
    assert world.ctl("plan") == ""
    told = world.ctl("status")
    assert all(f"/{name}" in told for name in names)
    world.restart_daemon()
    assert "set aside" not in world.ctl("status")
