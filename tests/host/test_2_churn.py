"""The installed service: nothing is left of guests that come and go, and it converges whenever it is killed.

The soak and the kills that the checkout's daemon has in namespaces, for a short time (`make soak HOST=1`, `make kills
HOST=1`).  In the end the host has its configuration back, which is a fresh host's: commands of its file would be run
twice.
"""

from __future__ import annotations

import random

import pytest

from tests.host.world import Installed
from tests.kills import kills
from tests.reliability import Outcome
from tests.soak import soak

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("installed")]

TIMES, GUESTS = 60, 10
KILLS = 3
_ROOM = 1.15
"""Of memory: so few times do not show a leak, and the allocator is still at its beginning."""


@pytest.fixture
def seed() -> int:
    return random.SystemRandom().getrandbits(32)


@pytest.mark.reliability(
    "on a Debian host, guests of the installed service come, go and vanish, rules are edited, the API is read",
    guarantee="no link, qdisc, chain, descriptor, thread or file is left over; memory stays as it was",
)
def test_nothing_is_left_of_guests_that_came_and_went(seed: int, outcome: Outcome) -> None:
    told = soak(TIMES, GUESTS, 60.0, random.Random(seed), Installed)
    told["leaked"].pop("plug_ms", None)  # of so few, what the machine does beside them
    grown = told["leaked"].pop("rss_kib", (1, 1))
    assert not told["leaked"], f"seed {seed}: {told}"
    assert grown[1] < grown[0] * _ROOM, f"seed {seed}: {told}"
    assert (told["vlans"], told["rates"]) == (True, True), "this kernel has them"
    outcome(tried=sum(told["done"].values()), seen=f"nothing was left over (seed {seed})")


@pytest.mark.reliability(
    "on a Debian host, `kill -9` of the installed service at random moments under applies, plugs and firewall changes",
    guarantee="systemd starts another, which converges; files are whole; no link, chain, address or route is left over",
)
def test_the_host_converges(seed: int, outcome: Outcome) -> None:
    told = kills(KILLS, seed, Installed)
    outcome(tried=told["kills"], seen=f"converged each time (seed {seed})")
