"""``kill -9`` at random moments under a mixed load (`python -m tests.kills` does 500)."""

from __future__ import annotations

import random

import pytest

from tests.kills import kills
from tests.reliability import Outcome

TIMES = 5


@pytest.mark.reliability(
    "`kill -9` at random moments under applies, plugs and firewall changes at once",
    guarantee="it always converges; files are whole, none is strewn; no link, chain, address or route is left over",
)
@pytest.mark.netns
def test_the_host_converges(outcome: Outcome) -> None:
    seed = random.SystemRandom().getrandbits(32)
    told = kills(TIMES, seed)
    outcome(tried=told["kills"], seen=f"converged each time (seed {seed})")
