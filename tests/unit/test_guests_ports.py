"""The port a NIC becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import pytest

from pvenetd.errors import ConfigError
from pvenetd.guests.guest import Guest
from pvenetd.guests.ports import ports
from pvenetd.guests.qm_conf import parse_conf
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.link import Link
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.veth import Veth
from pvenetd.kinds.vlan import Vlan
from pvenetd.pinned import Pinned
from pvenetd.resource import Key, Resource
from pvenetd.shaping import Rate
from pvenetd.state import GUESTS, INTERFACES, state

MAC = "BC:24:11:00:53:01"
FLAT = Bridge(name="vmbr0", mtu=1500)
AWARE = Bridge(name="vmbr0", mtu=1500, vlan_aware=True)


Kind = TypeVar("Kind", bound=Resource)


def guest(text: str) -> Guest:
    return parse_conf(f"\n\nnet1: {text}", 100, "100.conf")


def port(text: str, bridge: Bridge) -> Tap:
    (tap,) = ports(guest(text), 1, state([bridge])).values()
    assert isinstance(tap, Tap)
    return tap


def test_a_nic_is_a_tap_in_its_bridge() -> None:
    assert port(f"virtio={MAC},bridge=vmbr0", FLAT) == Tap(
        name="tap100i1",
        master="vmbr0",
        mac="fe:00:00:00:64:01",
        mtu=1500,
        group=100,
        disable_ipv6=True,
        multi_queue=False,
        owner="vm:100",
        origin="100.conf:3",
    )


@pytest.mark.parametrize(
    ("keys", "bridge", "pvid", "vids"),
    [
        ("", FLAT, None, None),
        ("", AWARE, 1, "1-4094"),
        ("", AWARE.model_copy(update={"port_vids": "10-20"}), 1, "1,10-20"),
        ("", AWARE.model_copy(update={"port_vids": "10-20", "port_pvid": 0}), 0, "10-20"),
        (",tag=5", AWARE, 5, "5"),
        (",tag=5,trunks=10;20-30", AWARE, 5, "5,10,20-30"),
        (",trunks=10;20-30", AWARE, 1, "1,10,20-30"),
    ],
)
def test_vlans_of_a_port(keys: str, bridge: Bridge, pvid: int | None, vids: str | None) -> None:
    tap = port(f"virtio,bridge=vmbr0{keys}", bridge)
    assert (tap.pvid, tap.vids) == (pvid, vids)


@pytest.mark.parametrize(
    ("keys", "bridge_mtu", "mtu"),
    [("", 9000, 9000), (",mtu=1", 9000, 9000), (",mtu=1400", 9000, 1400), (",mtu=1400", None, 1400), ("", None, None)],
)
def test_mtu_of_a_port(keys: str, bridge_mtu: int | None, mtu: int | None) -> None:
    assert port(f"virtio,bridge=vmbr0{keys}", FLAT.model_copy(update={"mtu": bridge_mtu})).mtu == mtu


def of(kind: type[Kind], found: dict[Key, Resource]) -> list[Kind]:
    return [one for one in found.values() if isinstance(one, kind)]


@pytest.mark.parametrize(("rate", "bytes_a_second"), [("12.5", 13107200), ("0.001", 1049), ("1000000000", 10**9 << 20)])
def test_a_rate_holds_both_ways(rate: str, bytes_a_second: int) -> None:
    (limit,) = of(Rate, ports(guest(f"virtio,bridge=vmbr0,rate={rate}"), 1, state([FLAT])))
    assert (limit.dev, limit.to_guest, limit.from_guest) == ("tap100i1", bytes_a_second, bytes_a_second)
    assert limit.owner == "vm:100"


@pytest.mark.parametrize("keys", ["", ",rate=0"])
def test_without_a_rate_there_is_none(keys: str) -> None:
    assert of(Rate, ports(guest(f"virtio,bridge=vmbr0{keys}"), 1, state([FLAT]))) == []


@pytest.mark.parametrize(("bridge", "keys", "vids"), [(FLAT, "", ""), (AWARE, ",tag=5,trunks=7-9", "5,7-9")])
def test_on_a_bridge_that_does_not_learn_the_mac_is_pinned(bridge: Bridge, keys: str, vids: str) -> None:
    bridge = bridge.model_copy(update={"disable_learning": True})
    found = ports(guest(f"virtio={MAC},bridge=vmbr0{keys}"), 1, state([bridge]))
    (pinned,), (tap,) = of(Pinned, found), of(Tap, found)
    assert (pinned.dev, pinned.mac, pinned.bridge, pinned.vids) == ("tap100i1", MAC.lower(), "vmbr0", vids)
    assert (tap.learning, tap.unicast_flood) == (False, False)


ENO1 = Ethernet(name="eno1", master="vmbr0", mtu=9000, owner=INTERFACES)


def test_a_tag_on_a_plain_bridge_is_a_bridge_of_its_own() -> None:
    flat = FLAT.model_copy(update={"ageing": 10, "stp": True})
    bond, tap = Bond(name="bond0", master="vmbr0", mtu=1400), Tap(name="tap101i0", master="vmbr0")
    found = ports(guest("virtio,bridge=vmbr0,tag=20"), 1, state([flat, ENO1, bond, tap]))
    assert list(found) == [("link", name) for name in ("vmbr0v20", "eno1.20", "bond0.20", "tap100i1")]
    (bridge,), vlans, (port,) = of(Bridge, found), of(Vlan, found), of(Tap, found)
    assert (bridge.mtu, bridge.ageing, bridge.stp, bridge.owner) == (1500, 10, True, GUESTS)
    assert [(one.raw_device, one.vlan_id, one.master, one.mtu, one.owner) for one in vlans] == [
        ("eno1", 20, "vmbr0v20", 1500, GUESTS),
        ("bond0", 20, "vmbr0v20", 1400, GUESTS),
    ]
    assert (port.master, port.pvid, port.owner) == ("vmbr0v20", None, "vm:100")


def test_a_bridge_of_that_name_that_is_configured_is_used_as_it_is() -> None:
    own = Bridge(name="vmbr0v20", mtu=1400, owner=INTERFACES)
    (tap,) = ports(guest("virtio,bridge=vmbr0,tag=20"), 1, state([FLAT, ENO1, own])).values()
    assert isinstance(tap, Tap)
    assert (tap.master, tap.mtu) == ("vmbr0v20", 1400)


@pytest.mark.parametrize(
    ("bridge", "links", "expected"),
    [
        (
            "vmbr0",
            [],
            "port-option: tag: '20' on vmbr0, which is not VLAN-aware and has no physical port (bridge-vlan-",
        ),
        ("vmbr0", [Tap(name="tap101i0", master="vmbr0")], "port-option: tag: '20' on vmbr0, which is not VLAN-aware"),
        (
            "abcdefghijklm",
            [Ethernet(name="a", master="abcdefghijklm")],
            "ifname: tag: '20' on abcdefghijklm: abcdefghijklm",
        ),
        ("vmbr0", [Ethernet(name="enp129s0f1np0", master="vmbr0")], "ifname: tag: '20' on vmbr0: enp129s0f1np0.20 is "),
        (
            "vmbr0",
            [ENO1, Vlan(name="eno1.20", raw_device="eno1", vlan_id=20, owner=INTERFACES, origin="interfaces:9")],
            "member-used-twice: tag: '20': VLAN 20 of eno1 is eno1.20 already (interfaces:9) (bridge-ports eno1.20 for",
        ),
        (
            "vmbr0",
            [ENO1, Vlan(name="storage", raw_device="eno1", vlan_id=20)],
            "member-used-twice: tag: '20': VLAN 20 of eno1 is storage already (bridge-ports storage for",
        ),
        (
            "vmbr0",
            [ENO1, Tap(name="eno1.20")],
            "member-used-twice: tag: '20': VLAN 20 of eno1 is eno1.20 already (bridge-ports eno1.20",
        ),
    ],
)
def test_a_tag_that_no_bridge_can_be_made_for_is_refused(bridge: str, links: list[Link], expected: str) -> None:
    there = state([FLAT.model_copy(update={"name": bridge}), *links])
    with pytest.raises(ConfigError) as refused:
        ports(guest(f"virtio,bridge={bridge},tag=20"), 1, there)
    assert str(refused.value.problems[0]).startswith(f"100.conf:3: error {expected}")


@pytest.mark.parametrize(
    "vlan",
    [
        Vlan(name="eno1.20", raw_device="eno1", vlan_id=20, master="vmbr0v20", owner=GUESTS),
        Vlan(name="eno1.20", raw_device="eno1", vlan_id=20, master="vmbr0v20"),
        Vlan(name="storage", raw_device="eno2", vlan_id=20),
        Vlan(name="storage", raw_device="eno1", vlan_id=20, protocol="802.1ad"),
    ],
)
def test_a_vlan_that_is_in_nobodys_way(vlan: Vlan) -> None:
    there = state([FLAT, ENO1, vlan])
    assert ("link", "eno1.20") in ports(guest("virtio,bridge=vmbr0,tag=20"), 1, there)


def test_a_containers_port_is_the_end_of_a_pair_that_lxc_makes() -> None:
    links = state([FLAT.model_copy(update={"disable_learning": True})])
    found = ports(replace(guest(f"virtio={MAC},bridge=vmbr0,rate=1"), source="lxc"), 1, links)
    assert found["rate", "veth100i1"].needs == {("link", "veth100i1")}
    assert found["pinned", "veth100i1"].needs == {("link", "veth100i1"), ("link", "vmbr0")}
    (veth,) = of(Veth, found)
    assert (veth.master, veth.creatable, veth.peer) == ("vmbr0", False, None)


def test_queues_and_a_pulled_cable() -> None:
    tap = port("virtio,bridge=vmbr0,queues=4,link_down=1", FLAT)
    assert (tap.multi_queue, tap.up) == (True, False)


def test_a_tap_of_qemu_is_not_made() -> None:
    (tap,) = ports(guest("virtio,bridge=vmbr0"), 1, state([FLAT]), made_here=False).values()
    assert isinstance(tap, Tap)
    assert (tap.creatable, tap.multi_queue) == (False, None)


def test_a_nic_without_a_bridge_has_no_port() -> None:
    assert ports(guest("virtio"), 1, {}) == {}


@pytest.mark.parametrize(
    ("keys", "bridge", "expected"),
    [
        ("", None, ["missing-parent: bridge: there is no bridge 'vmbr0'"]),
        (",tag=5", FLAT, ["port-option: tag: '5' on vmbr0, which is not VLAN-aware and has no physical port ("]),
        (",tag=5,trunks=7;9", FLAT, ["port-option: tag: '5'", "port-option: trunks: '7;9'"]),
        ("", FLAT.model_copy(update={"disable_learning": True}), ["address: macaddr: vmbr0 learns no MAC of a guest"]),
        (",mtu=1501", FLAT, ["mtu: mtu: '1501' should be 576 to 1500, the MTU of vmbr0 (mtu=1 follows"]),
        (",mtu=100", FLAT, ["mtu: mtu: '100' should be 576 to 1500"]),
        (",mtu=100", Bridge(name="vmbr0"), ["mtu: mtu: '100' should be 576 to 65520"]),
    ],
)
def test_a_port_that_does_not_fit_is_refused(keys: str, bridge: Bridge | None, expected: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        ports(guest(f"virtio,bridge=vmbr0{keys}"), 1, state([bridge] if bridge else []))
    for problem, start in zip(refused.value.problems, expected, strict=True):
        assert str(problem).startswith(f"100.conf:3: error {start}")


@pytest.mark.parametrize(
    ("told", "device"),
    [({}, "tap100i1"), ({"source": "lxc"}, "veth100i1"), ({"source": "libvirt", "devices": {1: "vnet3"}}, "vnet3")],
)
def test_a_port_is_the_device_that_its_guest_has(told: dict[str, Any], device: str) -> None:
    assert ("link", device) in ports(replace(guest("virtio,bridge=vmbr0"), **told), 1, state([FLAT]))


def test_a_tap_with_a_name_of_libvirts_answers_to_its_own() -> None:
    named = replace(guest("virtio,bridge=vmbr0"), source="libvirt", devices={1: "vnet3"})
    tap, usual = (ports(one, 1, state([FLAT]))["link", one.device(1)] for one in (named, guest("virtio,bridge=vmbr0")))
    assert (getattr(tap, "altname", ""), getattr(usual, "altname", "")) == ("tap100i1", None)
