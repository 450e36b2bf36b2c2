"""An apply that cuts the admin off is undone: when its time is up, or when the daemon comes back."""

from __future__ import annotations

import signal

import pytest

from tests.patience import until
from tests.reliability import Outcome
from tests.sandbox.world import HOST, World

WINDOW = 3
SLACK = 30
"""Seconds beyond the window: the apply and the rollback themselves, on a machine that does other things."""
INTERFACES = "etc/network/interfaces"
STAGED = "etc/network/interfaces.new"
CLUSTER = "etc/pvenetd/firewall/cluster.fw"

pytestmark = pytest.mark.netns


@pytest.mark.reliability(
    "an apply with --confirm that cuts the admin off",
    guarantee="the host is back when the window has ended, and no later",
)
def test_an_apply_that_cuts_the_admin_off_is_rolled_back(world: World, outcome: Outcome) -> None:
    before = world.read(INTERFACES)
    admin = world.ping(world.provider, HOST)
    move_address_away(world)
    world.ctl("apply", "--confirm", WINDOW)
    assert addresses(world) == {"198.51.100.2"}
    assert world.daemon
    world.daemon.expect("not confirmed in time: rolling back")
    admin.go_on()
    assert WINDOW - 1 < admin.longest_silence() < WINDOW + SLACK, "cut off for the window, and no longer"
    assert addresses(world) == {HOST}
    assert world.read(INTERFACES) == before
    (world.root / STAGED).unlink()
    assert world.ctl("plan") == ""
    outcome(seen=f"cut off for {admin.longest_silence():.1f} s of a window of {WINDOW} s")


def test_a_confirmed_apply_stays(world: World) -> None:
    move_address_away(world)
    world.ctl("apply", "--confirm", 600)
    world.ctl("confirm")
    world.restart_daemon()
    assert addresses(world) == {"198.51.100.2"}
    assert world.ctl("plan") == ""


@pytest.mark.reliability(
    "`kill -9` of the daemon while an apply waits to be confirmed",
    guarantee="rolled back before the next daemon serves",
)
def test_a_daemon_killed_before_the_confirmation_rolls_back_when_it_starts(world: World) -> None:
    before = world.read(INTERFACES)
    admin = world.ping(world.provider, HOST)
    move_address_away(world)
    world.ctl("apply", "--confirm", 600)
    world.restart_daemon(signal.SIGKILL)
    assert addresses(world) == {HOST}
    assert world.read(INTERFACES) == before
    admin.go_on()


def move_address_away(world: World) -> None:
    world.write(
        STAGED, world.read(INTERFACES).replace("192.0.2.2/24", "198.51.100.2/24").replace("192.0.2.1", "198.51.100.1")
    )


def addresses(world: World) -> set[str]:
    (link,) = world.host.show("ip", "-j", "-4", "address", "show", "vmbr0")
    return {address["local"] for address in link["addr_info"]}


LOCKED_OUT = "[OPTIONS]\nenable: 1\n[RULES]\nIN DROP -source 192.0.2.1\n"


@pytest.mark.reliability(
    "rules with --confirm that lock the admin out",
    guarantee="the rules before count again when the window has ended",
)
def test_rules_that_lock_the_admin_out_are_rolled_back(world: World) -> None:
    rules = world.read(CLUSTER)
    world.write(CLUSTER, LOCKED_OUT)
    world.ctl("firewall", "apply", "--confirm", WINDOW)
    assert world.daemon
    assert "192.0.2.1" in host_chain(world)
    world.daemon.expect("not confirmed in time: those before count again")
    until(lambda: "192.0.2.1" not in host_chain(world), "the rules before are loaded")
    assert world.read(CLUSTER) == LOCKED_OUT, "the file stays"
    assert "was not confirmed" in world.ctl("status")
    world.write(CLUSTER, rules)
    until(lambda: "was not confirmed" not in world.ctl("status"), "another text counts")


@pytest.mark.reliability(
    "`kill -9` of the daemon while rules wait to be confirmed",
    guarantee="the rules before count again before the next daemon serves",
)
def test_confirmed_rules_stay_and_those_of_a_daemon_that_is_killed_do_not(world: World) -> None:
    world.write(CLUSTER, LOCKED_OUT)
    world.ctl("firewall", "apply", "--confirm", 600)
    assert "pvenetctl confirm" in world.ctl("firewall", "status")
    with pytest.raises(AssertionError, match="waits to be confirmed"):
        world.ctl("apply", "--confirm", 600)
    world.ctl("confirm")
    world.restart_daemon()
    assert "192.0.2.1" in host_chain(world)
    world.write(CLUSTER, LOCKED_OUT.replace("192.0.2.1", "192.0.2.7"))
    world.ctl("firewall", "apply", "--confirm", 600)
    assert "192.0.2.7" in host_chain(world)
    world.restart_daemon(signal.SIGKILL)
    assert "192.0.2.7" not in host_chain(world)
    assert "192.0.2.1" in host_chain(world)


def host_chain(world: World) -> str:
    return world.host.run("nft", "list", "chain", "inet", "pvenetd", "host-in")
