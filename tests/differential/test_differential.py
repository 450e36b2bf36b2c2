"""After our apply the kernel has what it has after ifupdown2's ``ifreload -a``; each difference has its reason here.

A difference without a reason fails, and so does a reason that no difference needs any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.differential.sides import ours, theirs

pytestmark = pytest.mark.lab

CASES = sorted(Path(__file__).parent.glob("*.interfaces"))


@dataclass(frozen=True)
class Difference:
    """One fact on which the two do not agree; None where there is no such fact."""

    case: str
    fact: str
    ours: object
    theirs: object


REASONS: dict[str, Callable[[Difference], bool]] = {
    "what we configure carries our mark, by which a restarted daemon knows it": lambda it: (
        it.fact.startswith("link ") and it.fact.endswith(" ifalias") and it.theirs is None
    ),
    "our routes carry our mark; ifupdown2 says they are the kernel's": lambda it: (
        it.fact.startswith("route default ")
        and it.fact.endswith(" protocol")
        and (it.ours, it.theirs) == ("126", "kernel")
    ),
    "a gateway in a network of the link needs no onlink": lambda it: (
        it.fact.startswith("route default ") and it.fact.endswith(" flags") and it.theirs == "['onlink']"
    ),
    "an alias's address has its name for a label, as in ifupdown; ifupdown2 has no labels": lambda it: (
        it.case == "alias" and it.fact.endswith(" label") and it.ours == "eth0:1"
    ),
    "a VLAN-aware bridge without bridge-vids carries every VLAN; in ifupdown2 none": lambda it: (
        it.case == "bond_bridge_vlan" and it.fact == "vlan bond0" and str(it.ours).endswith("2-4094")
    ),
    "a bond without bond-miimon looks at its links all the same; ifupdown2's never notices": lambda it: (
        it.case == "bond_delays" and it.fact.split()[-1] in ("miimon", "updelay", "downdelay") and it.theirs == "0"
    ),
    "bridge-pvid is the bridge's own pvid, too; ifupdown2 leaves that at 1": lambda it: (
        it.case == "bridge_pvid" and it.fact == "vlan vmbr0" and str(it.theirs).startswith("1 PVID")
    ),
    "a bridge takes its ports' smallest MTU; ifupdown2 leaves 1500 above a VXLAN of 1450": lambda it: (
        it.case == "vxlan_bridge" and it.fact == "link vmbr1 mtu" and (it.ours, it.theirs) == ("1450", "1500")
    ),
    "a port keeps what IPv6 it has; ifupdown2 switches that off, and never on again": lambda it: (
        it.case.startswith(("bridge_", "bond_bridge", "vxlan_bridge"))
        and it.fact.endswith(" disable_ipv6")
        and (it.ours, it.theirs) == ("0", "1")
    ),
    "ifupdown2 takes a multicast router to be behind every VXLAN": lambda it: (
        it.case == "vxlan_bridge" and it.fact.endswith(" multicast_router") and it.theirs == "2"
    ),
}


@pytest.fixture(scope="module")
def needed() -> Iterator[dict[str, int]]:
    """How many differences each reason explains; asked when all cases have run."""
    found: dict[str, int] = {"cases": 0}
    yield found
    if found["cases"] == len(CASES):
        assert [reason for reason in REASONS if reason not in found] == []


_ATTEMPTS = 3
"""On a busy machine ifupdown2 overlooks links that it has just made."""


def test_there_are_enough() -> None:
    assert len(CASES) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
async def test_the_kernel_is_the_same(case: Path, tmp_path: Path, needed: dict[str, int]) -> None:
    needed["cases"] += 1
    mine = await ours(case, tmp_path / "ours")
    unexplained: list[Difference] = []
    for attempt in range(_ATTEMPTS):
        others = theirs(case, tmp_path / f"theirs{attempt}")
        facts = [fact for fact in sorted(mine.keys() | others.keys()) if mine.get(fact) != others.get(fact)]
        found = [Difference(case.stem, fact, mine.get(fact), others.get(fact)) for fact in facts]
        reasons = [(it, reason) for it in found for reason, holds in REASONS.items() if holds(it)]
        explained = [it for it, _ in reasons]
        unexplained = [it for it in found if it not in explained]
        if not unexplained:
            needed.update(dict.fromkeys((reason for _, reason in reasons), 1))
            break
    assert unexplained == []
