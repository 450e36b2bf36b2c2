"""What guests lose while a plan runs: estimated from its operations."""

from __future__ import annotations

import pytest

from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.vxlan import Vxlan
from pvenetd.outage import outages
from pvenetd.plan import plan
from pvenetd.resource import Key, Resource
from pvenetd.state import INTERFACES, State, state


def host(*, bridge: dict[str, object] | None = None, uplink: Resource | None = None, guests: int = 2) -> State:
    slaves = [Ethernet(name="eno1", owner=INTERFACES, kind="ethernet", master="bond0")] if not uplink else []
    taps = [Tap(name=f"tap{100 + n}i0", owner=f"vm:{100 + n}", master="vmbr0") for n in range(guests)]
    return state(
        [
            *slaves,
            uplink or Bond(name="bond0", owner=INTERFACES, mode="active-backup", master="vmbr0"),
            Bridge.model_validate({"name": "vmbr0", "owner": INTERFACES, **(bridge or {})}),
            *taps,
        ]
    )


BOND: Key = ("link", "bond0")


@pytest.mark.parametrize(
    ("now", "wanted", "said"),
    [
        (
            host(),
            {**host(), BOND: Bond(name="bond0", owner=INTERFACES, mode="802.3ad", master="vmbr0")},
            ["guests on vmbr0 lose about 3104 ms: 3 operations until bond0 is back, the bond's carrier 3.1 s"],
        ),
        (
            host(uplink=Vxlan(name="bond0", owner=INTERFACES, vni=5, master="vmbr0")),
            host(uplink=Vxlan(name="bond0", owner=INTERFACES, vni=6, master="vmbr0")),
            ["guests on vmbr0 lose about 3 ms: 2 operations until bond0 is back"],
        ),
        (
            host(bridge={"stp": True}, uplink=Vxlan(name="bond0", owner=INTERFACES, vni=5, master="vmbr0")),
            host(bridge={"stp": True}, uplink=Vxlan(name="bond0", owner=INTERFACES, vni=6, master="vmbr0")),
            ["guests on vmbr0 lose about 30003 ms: 2 operations until bond0 is back, STP 30 s"],
        ),
        (host(), host(bridge={"ageing": 120}), []),
        (
            host(guests=0, uplink=Vxlan(name="bond0", owner=INTERFACES, vni=5, master="vmbr0")),
            host(guests=0, uplink=Vxlan(name="bond0", owner=INTERFACES, vni=6, master="vmbr0")),
            [],
        ),
    ],
    ids=["bond", "tunnel", "STP", "an option", "no guests"],
)
def test_what_guests_lose(now: State, wanted: State, said: list[str]) -> None:
    wanted = {key: one for key, one in wanted.items() if one.owner == INTERFACES}
    assert [str(one) for one in outages(plan(wanted, now, {INTERFACES}), now)] == said


def test_a_bridge_made_anew_costs_until_the_last_guest_is_back() -> None:
    few, many = (host(guests=count) for count in (2, 200))
    found = []
    for now in (few, many):
        link = now["link", "vmbr0"]
        wanted = {key: one for key, one in now.items() if one.owner == INTERFACES}
        ops = plan({**wanted, link.key: link.model_copy(update={"kind": "another"})}, now, {INTERFACES})
        found += outages(ops, now)
    first, second = found
    assert first.bridge == second.bridge == "vmbr0"
    assert second.milliseconds > first.milliseconds + 200
    assert "until their ports are back" in str(first)
