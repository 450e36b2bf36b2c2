"""Plugs and unplugs by chance leave nothing behind (`make soak` does 10,000)."""

from __future__ import annotations

import random

import pytest

from tests.soak import soak

TIMES, TAPS = 300, 20
_ROOM = 1.15
"""Of memory: so few times do not show a leak, and the allocator is still at its beginning."""


@pytest.mark.netns
def test_nothing_is_left_of_guests_that_came_and_went() -> None:
    seed = random.SystemRandom().getrandbits(32)
    told = soak(TIMES, TAPS, 240.0, random.Random(seed))
    grown = told["leaked"].pop("rss_kib", (1, 1))
    assert not told["leaked"], f"seed {seed}: {told}"
    assert grown[1] < grown[0] * _ROOM, f"seed {seed}: {told}"
    assert sum(told["done"].values()) > TIMES, "all of them were done"
