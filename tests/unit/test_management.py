"""What an admin's session stands on, and which plans would take it away."""

from __future__ import annotations

import pytest

from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.vlan import Vlan
from pvenetd.management import Session, Way, losses, path
from pvenetd.plan import plan
from pvenetd.resource import Key, Resource
from pvenetd.state import INTERFACES, Address, Route, State, state

FAR = Session("198.51.100.9", "192.0.2.2")
NEAR = Session("192.0.2.9", "192.0.2.2")
BY_ROUTER = Way("vmbr0.20", "192.0.2.1")


def ours(of: type[Resource], /, **values: object) -> Resource:
    return of.model_validate({"owner": INTERFACES, **values})


HOST: dict[Key, Resource] = state(
    [
        ours(Ethernet, name="eno1", kind="ethernet", master="bond0"),
        ours(Ethernet, name="eno2", kind="ethernet", master="bond0"),
        ours(Ethernet, name="eno3", kind="ethernet"),
        ours(Bond, name="bond0", mode="active-backup", master="vmbr0", pvid=1, vids="1,20"),
        ours(Bridge, name="vmbr0", vlan_aware=True, pvid=1, vids="1,20"),
        Tap(name="tap100i0", owner="vm:100", master="vmbr0", group=100),
        ours(Vlan, name="vmbr0.20", raw_device="vmbr0", vlan_id=20),
        ours(Address, dev="vmbr0.20", address="192.0.2.2/24"),
        ours(Address, dev="vmbr0.20", address="192.0.2.3/24"),
        ours(Route, family="inet", dst="default", via="192.0.2.1", dev="vmbr0.20"),
        ours(Route, family="inet", dst="203.0.113.0/24", via="192.0.2.7", dev="vmbr0.20"),
    ]
)


def without(*keys: Key) -> State:
    return {key: one for key, one in HOST.items() if key not in keys}


def changed(key: Key, **values: object) -> State:
    return {**HOST, key: HOST[key].model_copy(update=values)}


def added(of: type[Resource], /, **values: object) -> State:
    one = ours(of, **values)
    return {**HOST, one.key: one}


def test_a_session_stands_on_address_route_and_all_links_below() -> None:
    found = path(FAR, BY_ROUTER, HOST)
    assert found
    assert found.address == ("address", "vmbr0.20", "192.0.2.2/24")
    assert found.route == ("route", "inet", "default", "0")
    assert found.links == ("vmbr0.20", "vmbr0", "bond0", "eno1", "eno2"), "and no guest's port, no other NIC"
    assert found.vlans == {20}


def test_a_neighbour_needs_no_route() -> None:
    found = path(NEAR, Way("vmbr0.20"), HOST)
    assert found
    assert found.route is None


def test_a_session_to_an_address_that_is_gone_is_none() -> None:
    assert path(Session("192.0.2.9", "203.0.113.5"), BY_ROUTER, HOST) is None


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            without(("address", "vmbr0.20", "192.0.2.2/24")),
            "the address 192.0.2.2/24 of vmbr0.20, which your session uses, goes",
        ),
        (
            {
                **without(("address", "vmbr0.20", "192.0.2.2/24")),
                **state([ours(Address, dev="vmbr0", address="192.0.2.2/25")]),
            },
            "the address 192.0.2.2/24, which your session uses, moves from vmbr0.20 to vmbr0 as 192.0.2.2/25",
        ),
        (without(("route", "inet", "default", "0")), "the route default, by which you are reached, goes"),
        (
            changed(("route", "inet", "default", "0"), via="192.0.2.8"),
            "the route default, by which you are reached, changes: dev=vmbr0.20 via=192.0.2.8",
        ),
        (
            added(Route, family="inet", dst="198.51.100.0/24", via="192.0.2.7", dev="vmbr0.20"),
            "the new route 198.51.100.0/24 leads your session's packets elsewhere: dev=vmbr0.20 via=192.0.2.7",
        ),
        (changed(("link", "bond0"), mode="802.3ad"), "bond0, which your session goes by, is made anew"),
        (changed(("link", "bond0"), master=""), "bond0, which your session goes by, leaves vmbr0"),
        (changed(("link", "bond0"), up=False), "bond0, which your session goes by, is set down"),
        (changed(("link", "vmbr0"), vlan_aware=False), "vmbr0, which your session goes by, ceases to filter VLANs"),
        (
            changed(("link", "vmbr0"), stp=True),
            "vmbr0, which your session goes by, begins with STP: its ports are silent for 30 s",
        ),
        (changed(("link", "bond0"), vids="1,30"), "bond0, which your session goes by, no longer carries VLAN 20"),
        (changed(("link", "bond0"), pvid=0), "bond0, which your session goes by, takes untagged frames for VLAN none"),
        (
            {**HOST, **state([ours(Ethernet, name=name, kind="ethernet", master="") for name in ("eno1", "eno2")])},
            "eno2, which your session goes by, leaves bond0",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_lost_is_said(wanted: State, said: str) -> None:
    found = path(FAR, BY_ROUTER, HOST)
    assert found
    assert said in losses(plan(wanted, HOST, {INTERFACES}), HOST, found)


@pytest.mark.parametrize(
    "wanted",
    [
        HOST,
        without(("address", "vmbr0.20", "192.0.2.3/24")),
        without(("route", "inet", "203.0.113.0/24", "0")),
        changed(("link", "eno1"), master=""),
        changed(("link", "eno3"), up=False),
        changed(("link", "vmbr0"), ageing=120),
        changed(("link", "vmbr0"), stp=False),
        changed(("link", "bond0"), vids="1,20,30"),
        changed(("link", "bond0"), mtu=9000),
        added(Route, family="inet", dst="203.0.113.128/25", via="192.0.2.7", dev="vmbr0.20"),
        added(Address, dev="vmbr0.20", address="192.0.2.4/24"),
    ],
    ids=[
        "nothing", "another address", "another route", "one slave of two", "another NIC", "an option", "STP stays off",
        "one VLAN more", "MTU", "a route elsewhere", "one address more",
    ],
)  # fmt: skip
def test_what_does_not_concern_it_is_no_loss(wanted: State) -> None:
    found = path(FAR, BY_ROUTER, HOST)
    assert found
    assert losses(plan(wanted, HOST, {INTERFACES}), HOST, found) == []
