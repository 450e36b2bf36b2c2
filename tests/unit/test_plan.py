"""The difference between two States, and its order; golden cases show the common ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from pvenetd.commands import Hook
from pvenetd.drivers.fake import Fake
from pvenetd.errors import Conflict
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.vlan import Vlan
from pvenetd.kinds.vxlan import Vxlan
from pvenetd.plan import plan, undo, waiting
from pvenetd.state import INTERFACES, Address, Chains, Route, State, Sysctl, from_json, state, to_json
from tests.harness import plain
from tests.states import NICS, wanted_states

GUEST = "vm:100"


def ours(**values: Any) -> dict[str, Any]:
    return {**values, "owner": INTERFACES}


def printed(desired: State, current: State, *owners: str) -> list[str]:
    return [str(op) for op in plan(desired, current, set(owners) or None)]


NIC = Ethernet(**ours(name="eno1"))
BRIDGE = Bridge(**ours(name="vmbr0"))
VXLAN = Vxlan(**ours(name="vx", vni=100, master="vmbr0"))
VLAN = Vlan(**ours(name="vx.5", raw_device="vx", vlan_id=5))
ADDRESS = Address(**ours(dev="vx.5", address="192.0.2.1/24"))
ROUTE = Route(**ours(family="inet", dev="vx.5", via="192.0.2.254"))
CHAINS = Chains(name=GUEST, digest="1" * 64, owner=GUEST)
TAP = Tap(name="tap100i0", owner=GUEST, group=100, master="vmbr0")


def test_nothing_unmarked_is_deleted() -> None:
    there = [resource.model_copy(update={"owner": ""}) for resource in (BRIDGE, VXLAN, ADDRESS, ROUTE)]
    assert printed({}, state(there)) == []


def test_only_what_its_owner_no_longer_wants_is_deleted() -> None:
    current = state([BRIDGE, CHAINS, TAP])
    assert printed({}, current, GUEST) == ["- link tap100i0", "- chains vm:100"]
    assert printed({}, current, INTERFACES) == ["- link vmbr0"]
    assert printed({}, current, "vm:101") == []


def test_chains_are_there_before_the_port_and_until_after_it() -> None:
    current = state([BRIDGE])
    wanted = state([BRIDGE, TAP, CHAINS])
    assert [op.resource.noun for op in plan(wanted, current, {GUEST})] == ["chains", "link"]
    assert [op.resource.noun for op in plan(current, wanted, {GUEST})] == ["link", "chains"]


def test_what_stood_on_a_link_made_anew_comes_back_with_it() -> None:
    current = state(
        [BRIDGE, VXLAN, VLAN, ADDRESS, ROUTE, ADDRESS.model_copy(update={"address": "10.0.0.1/8", "owner": ""})]
    )
    anew = VXLAN.model_copy(update={"vni": 101})
    assert [
        str(op).split(" vlan ")[0] for op in plan(state([BRIDGE, anew, VLAN, ADDRESS, ROUTE]), current, {INTERFACES})
    ] == [
        "- link vx",
        "+ link vx vxlan master=vmbr0 vni=101",
        "+ link vx.5",
        "+ address vx.5 192.0.2.1/24",
        "+ address vx.5 10.0.0.1/8",
        "+ route default dev=vx.5 via=192.0.2.254",
    ]


def test_a_guests_tap_is_plugged_again_into_a_bridge_made_anew() -> None:
    other = Vxlan(**ours(name="vmbr0", vni=1))
    current = state([other, TAP.model_copy(update={"master": "vmbr0"}), CHAINS])
    assert printed(state([BRIDGE]), current, INTERFACES) == [
        "- link vmbr0",
        "+ link vmbr0 bridge",
        "+ link tap100i0 tap master=vmbr0" if ("link", "tap100i0") not in current else "~ link tap100i0 master=vmbr0",
    ]


def test_somebody_elses_link_of_another_kind_is_never_made_anew() -> None:
    theirs = Vxlan.model_construct(name="vmbr0", vni=1)
    with pytest.raises(Conflict, match="link vmbr0 is there already, of another kind"):
        plan(state([BRIDGE]), state([theirs]), {INTERFACES})


def test_a_nic_that_is_not_there_waits_with_all_that_stands_on_it() -> None:
    wanted = state(
        [
            NIC,
            Vlan(**ours(name="eno1.5", raw_device="eno1", vlan_id=5)),
            Address(**ours(dev="eno1.5", address="192.0.2.1/24")),
            Hook(**ours(iface="eno1.5", phase="up", run=(("up", "true"),))),
            BRIDGE,
        ]
    )
    assert printed(wanted, {}) == ["+ link vmbr0 bridge"]
    assert waiting(wanted, {}) == (
        ("link", "eno1"),
        ("link", "eno1.5"),
        ("address", "eno1.5", "192.0.2.1/24"),
        ("hook", "eno1.5", "up", "inet"),
    )


def test_addresses_are_made_before_they_are_broken() -> None:
    link = state([VLAN, VXLAN])
    new = Address(**ours(dev="vx.5", address="192.0.2.2/24"))
    assert printed({**link, **state([new])}, {**link, **state([ADDRESS])}) == [
        "+ address vx.5 192.0.2.2/24",
        "- address vx.5 192.0.2.1/24",
    ]


def test_an_address_with_another_label_goes_first_and_takes_the_links_routes_along() -> None:
    link = state([VLAN, VXLAN])
    named = ADDRESS.model_copy(update={"label": "vx.5:0"})
    assert printed({**link, **state([named, ROUTE])}, {**link, **state([ADDRESS, ROUTE])}) == [
        "- address vx.5 192.0.2.1/24",
        "+ address vx.5 192.0.2.1/24 label=vx.5:0",
        "+ route default dev=vx.5 via=192.0.2.254",
    ]


def test_the_hosts_sysctl_is_set_and_never_reset() -> None:
    name = "net/ipv4/ip_forward"
    on = Sysctl(name=name, value="1", owner=INTERFACES)
    assert printed(state([on]), state([Sysctl(name=name, value="0")])) == ["~ sysctl net/ipv4/ip_forward value=1"]
    assert printed(state([on]), state([Sysctl(name=name, value="1")])) == []
    assert printed({}, state([Sysctl(name=name, value="1")])) == []


def test_an_interfaces_sysctl_goes_with_it_or_back() -> None:
    name = "net/ipv4/conf/vx.5/forwarding"
    on = Sysctl(name=name, value="1", dev="vx.5", owner=INTERFACES)
    links = state([VLAN, VXLAN])
    assert printed({**links, **state([on])}, {**links, **state([Sysctl(name=name, value="1", dev="vx.5")])}) == [
        f"~ sysctl {name} owner=interfaces"
    ]
    assert printed(links, {**links, **state([on])}) == [f"- sysctl {name}"]
    assert printed(state([VXLAN]), {**links, **state([on])}) == ["- link vx.5"]


def test_none_means_leave_it() -> None:
    there = Ethernet.model_construct(name="eno1", mac="02:00:5e:00:53:01", mtu=1500, owner=INTERFACES)
    assert printed(state([NIC]), state([there])) == []


def test_undoing_a_change_asks_for_what_was_changed_alone() -> None:
    before = state([BRIDGE.model_copy(update={"mac": "02:00:5e:00:53:01", "mtu": 1500})])
    ops = plan(state([BRIDGE.model_copy(update={"ageing": 600})]), before)
    (back,) = undo(ops, before).values()
    assert isinstance(back, Bridge)
    assert (back.ageing, back.mac, back.mtu, back.up) == (300, None, None, None)


@settings(deadline=None)
@given(wanted_states(), wanted_states())
def test_from_anywhere_to_anywhere_and_back(first: State, second: State) -> None:
    """Every plan is taken by a kernel, leaves nothing to do, and can be undone after any of its steps."""
    nics = [Ethernet.model_construct(name=name, kind="ethernet", mtu=1500) for name in NICS]
    foreign = Address.model_construct(dev="eno1", address="203.0.113.1/24", scope="global")
    machine = Fake([*nics, foreign])
    for op in plan(first, machine.observe()):
        machine.apply(op)
    before = machine.observe()
    assert plan(first, before) == ()
    ops = plan(second, before)
    for step in (*range(len(ops)), len(ops)):
        for op in ops[:step]:
            machine.apply(op)
        back = undo(ops, before)
        touched = {op.resource.key for op in ops} | back.keys()
        for _ in range(2):
            now = machine.observe()
            for op in plan({**{key: one for key, one in now.items() if key not in touched}, **back}, now):
                machine.apply(op)
        assert plain(machine.observe()) == plain(before)
    for op in ops:
        machine.apply(op)
    assert plan(second, machine.observe()) == ()
    assert ("address", "eno1", "203.0.113.1/24") in machine.observe()


@given(wanted_states())
def test_a_state_survives_json(wanted: State) -> None:
    assert plain(from_json(to_json(wanted))) == plain(wanted)
