"""The clock jumps while an apply, and then rules, wait to be confirmed: a window is as long as was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.test_confirm import CLUSTER, LOCKED_OUT, addresses, host_chain, move_address_away
from tests.patience import until
from tests.reliability import Outcome
from tests.sandbox.world import HOST, World

pytestmark = pytest.mark.lab

WINDOW = 4
LONG = 3600
DAY = 86400.0


@pytest.fixture
def jump() -> Iterator[Callable[[float], None]]:
    """Set the clock of this machine, which is the lab's; it is put right in the end."""
    assert "User Mode Linux" in Path("/proc/cpuinfo").read_text(), "nobody else's clock is set"
    right = time.time() - time.monotonic()

    def by(seconds: float) -> None:
        time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)

    yield by
    time.clock_settime(time.CLOCK_REALTIME, right + time.monotonic())


@pytest.mark.reliability(
    "the clock steps back by an hour, or on by a day, in a confirm window",
    guarantee="the window ends when its seconds have passed, not earlier, not later",
)
def test_a_clock_that_jumps(world: World, jump: Callable[[float], None], outcome: Outcome) -> None:
    assert world.daemon
    lasted = []
    for seconds in (-3600.0, DAY):
        move_address_away(world)
        began = time.monotonic()
        world.ctl("apply", "--no-probe", "--confirm", WINDOW)
        jump(seconds)
        world.daemon.expect("not confirmed in time: rolling back")
        lasted.append(time.monotonic() - began)
        until(lambda: addresses(world) == {HOST}, "the address is back")
    assert min(lasted) >= WINDOW

    world.ctl("apply", "--no-probe", "--confirm", LONG)
    jump(DAY)
    assert "waiting for confirmation" in world.ctl("status")
    world.ctl("confirm")
    move_address_away(world)

    world.write(CLUSTER, LOCKED_OUT)
    world.ctl("firewall", "apply", "--confirm", WINDOW)
    jump(-DAY)
    world.daemon.expect("not confirmed in time: those before count again")
    until(lambda: "192.0.2.1" not in host_chain(world), "the rules before are loaded")
    outcome(tried=4, seen=f"windows of {WINDOW} s ended after {', '.join(f'{one:.1f} s' for one in lasted)}")
