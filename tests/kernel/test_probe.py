"""Who answers, and who does not: ARP, ND and pings in real namespaces."""

from __future__ import annotations

import time

import pytest

from pvenetd.drivers.probe import Probes
from pvenetd.reach import Target
from tests.netns import Namespaces, run
from tests.patience import PATIENCE

pytestmark = pytest.mark.netns

NEAR, NEAR6, FAR, FAR6 = "192.0.2.1", "2001:db8::1", "203.0.113.9", "2001:db8:9::9"
EVERY = 0.05
A_WHILE = 4.0
"""Seconds in which who is there answers, and who is not has not."""


@pytest.fixture(autouse=True)
def peer(namespaces: Namespaces) -> None:
    """Make a host with addresses on eno1, a router outside of it, and what lies behind that."""
    namespaces.cable("eno1")
    with namespaces.away():
        for address in (f"{NEAR}/24", f"{NEAR6}/64", f"{FAR}/32", f"{FAR6}/128"):
            run("ip", "address", "add", address, "dev", "eno1", "nodad")
    run("ip", "link", "set", "eno1", "up")
    for address in ("192.0.2.2/24", "2001:db8::2/64"):
        run("ip", "address", "add", address, "dev", "eno1", "nodad")
    run("ip", "route", "add", "default", "via", NEAR)
    run("ip", "-6", "route", "add", "default", "via", NEAR6)


@pytest.mark.parametrize(
    "target",
    [
        Target("gateway", NEAR, "eno1", ping=False),
        Target("gateway", NEAR6, "eno1", ping=False),
        Target("probe", FAR),
        Target("probe", FAR6),
    ],
    ids=str,
)
def test_who_is_there_answers_at_once(target: Target) -> None:
    began = time.monotonic()
    assert Probes().answering([target], PATIENCE, EVERY) == {target}
    assert time.monotonic() - began < PATIENCE / 2


@pytest.mark.parametrize(
    "target",
    [
        Target("gateway", "192.0.2.77", "eno1", ping=False),
        Target("gateway", "2001:db8::77", "eno1", ping=False),
        Target("gateway", NEAR, "eno9", ping=False),
        Target("gateway", NEAR6, "eno9", ping=False),
        Target("gateway", NEAR, "lo", ping=False),
        Target("probe", "203.0.113.77"),
        Target("probe", "2001:db8:9::77"),
    ],
    ids=str,
)
def test_who_is_not_there_does_not(target: Target) -> None:
    there = Target("gateway", NEAR, "eno1")
    assert Probes().answering([target, there], A_WHILE, EVERY) == {there}


def test_a_link_that_comes_late_is_waited_for() -> None:
    run("ip", "link", "set", "eno1", "down")
    target = Target("gateway", NEAR, "eno1", ping=False)
    assert Probes().answering([target], 0.2, EVERY) == set()
    run("ip", "link", "set", "eno1", "up")
    assert Probes().answering([target], PATIENCE, EVERY) == {target}
