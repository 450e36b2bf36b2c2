"""Bonds and VLANs by the netlink driver on the full kernel, judged by ip(8) and bridge(8)."""

from __future__ import annotations

from typing import Any

import pytest

from pvenetd.drivers.host import Host
from pvenetd.kinds.bond import MODES, Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.dummy import Dummy
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.link import Link
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.vlan import Vlan
from pvenetd.state import INTERFACES
from tests.kernel.test_netlink import bring, link, names, ours
from tests.netns import Namespaces, run, show

netns = pytest.mark.netns
lab = pytest.mark.lab


@lab
@pytest.mark.parametrize("mode", MODES)
def test_a_bond_of_every_mode(host: Host, namespaces: Namespaces, mode: str) -> None:
    namespaces.cable("eno2")
    bring(
        host,
        Bond(**ours(name="bond0", mode=mode, miimon=50, updelay=100, mtu=1400)),
        Ethernet(**ours(name="eno1", master="bond0", mtu=1400)),
        Ethernet(**ours(name="eno2", master="bond0", mtu=1400)),
    )
    data = link("bond0")["linkinfo"]["info_data"]
    assert (data["mode"], data["miimon"], data["updelay"]) == (mode, 50, 100)
    assert [link(name)["master"] for name in ("eno1", "eno2")] == ["bond0", "bond0"]
    bring(host, Ethernet(**ours(name="eno1")), Ethernet(**ours(name="eno2")))
    assert names() == {"lo", "eno1", "eno2"}
    assert all("UP" in link(name)["flags"] for name in ("eno1", "eno2"))


@lab
@pytest.mark.parametrize("mtu", [1400, 9000])
def test_a_slave_leaves_with_an_mtu_of_its_own(host: Host, mtu: int) -> None:
    bond = Bond(**ours(name="bond0", mtu=9000))
    bring(host, bond, Ethernet(**ours(name="eno1", master="bond0", mtu=9000)))
    bring(host, bond, Ethernet(**ours(name="eno1", mtu=mtu)))
    assert (link("eno1")["mtu"], "UP" in link("eno1")["flags"]) == (mtu, True)


@lab
@pytest.mark.parametrize("protocol", ["802.1q", "802.1ad"])
def test_a_vlan_of_either_tag(host: Host, protocol: str) -> None:
    wanted = Vlan(**ours(name="storage", raw_device="eno1", vlan_id=7, protocol=protocol))
    bring(host, Ethernet(**ours(name="eno1")), wanted)
    found = link("storage")
    assert (found["link"], found["linkinfo"]["info_data"]["id"]) == ("eno1", 7)
    assert found["linkinfo"]["info_data"]["protocol"].lower() == protocol


@lab
def test_a_dummy(host: Host) -> None:
    bring(host, Dummy(**ours(name="dummy0", mac="02:00:5e:00:53:01")))
    assert (link("dummy0")["linkinfo"]["info_kind"], link("dummy0")["address"]) == ("dummy", "02:00:5e:00:53:01")


def vlans(name: str) -> list[tuple[int, int, str]]:
    """Return (first, last, flags) of each range of VLANs."""
    (found,) = (one["vlans"] for one in show("bridge", "-j", "vlan") if one["ifname"] == name)
    ranges: list[tuple[int, int, str]] = []
    for number, flags in ((one["vlan"], ",".join(one.get("flags", []))) for one in found):
        joins = ranges and ranges[-1][1:] == (number - 1, flags)
        ranges[-1:] = [(ranges[-1][0], number, flags)] if joins else [*ranges[-1:], (number, number, flags)]
    return ranges


@lab
def test_port_vlans_in_ranges(host: Host) -> None:
    def with_port(**port: Any) -> None:
        bridge = Bridge(**ours(name="vmbr0", vlan_aware=True, pvid=1, vids="1,5"))
        bring(host, bridge, Ethernet(**ours(name="eno1", master="vmbr0", **port)))

    untagged = "PVID,Egress Untagged"
    with_port(pvid=1, vids="1-4094")
    assert vlans("eno1") == [(1, 1, untagged), (2, 4094, "")]
    assert vlans("vmbr0") == [(1, 1, untagged), (5, 5, "")]
    with_port(pvid=10, vids="2-10,20,30-40")
    assert vlans("eno1") == [(2, 9, ""), (10, 10, untagged), (20, 20, ""), (30, 40, "")]
    with_port(pvid=20, vids="2-10,20,35-50")
    assert vlans("eno1") == [(2, 10, ""), (20, 20, untagged), (35, 50, "")]
    with_port(pvid=0, vids="20")
    assert vlans("eno1") == [(20, 20, "")]
    with_port(pvid=7, vids="7")
    assert vlans("eno1") == [(7, 7, untagged)]


@lab
@pytest.mark.parametrize("name", ["tap100i0", "tap100i1"])
def test_a_guests_tag_is_set_before_its_port_is_up(host: Host, name: str) -> None:
    bridge = Bridge(**ours(name="vmbr0", vlan_aware=True, pvid=1, vids="1"))
    tap = Tap(name=name, owner="vm:100", master="vmbr0", pvid=5, vids="5", disable_ipv6=True)
    bring(host, bridge, tap, owners=(INTERFACES, "vm:100"))
    assert vlans(name) == [(5, 5, "PVID,Egress Untagged")]


@lab
def test_a_bridge_that_lost_its_last_port_takes_vlans(host: Host) -> None:
    nic, bridge = Ethernet(**ours(name="eno1")), Bridge(**ours(name="vmbr0", ports=("eno1",)))
    bring(host, bridge, nic.model_copy(update={"master": "vmbr0"}))
    mac = link("vmbr0")["address"]
    bring(host, bridge, nic)
    assert link("vmbr0")["address"] == "00:00:00:00:00:00"
    bring(host, bridge, nic, Vlan(**ours(name="vmbr0.5", raw_device="vmbr0", vlan_id=5)))
    bring(host, bridge.model_copy(update={"vlan_aware": True, "pvid": 1, "vids": "1,5"}), nic)
    assert [first for first, _, _ in vlans("vmbr0")] == [1, 5]
    assert link("vmbr0")["address"] == mac == link("eno1")["address"]


@lab
def test_a_filtering_bridge_that_others_change_is_seen(host: Host) -> None:
    bring(
        host,
        Bridge(**ours(name="vmbr0", vlan_aware=True, pvid=1, vids="1")),
        Ethernet(**ours(name="eno1", master="vmbr0", pvid=1, vids="1")),
    )
    run("bridge", "vlan", "add", "vid", "10-12", "dev", "eno1")
    run("bridge", "vlan", "add", "vid", "9", "dev", "vmbr0", "self")
    found = host.observe()
    port, bridge = found["link", "eno1"], found["link", "vmbr0"]
    assert isinstance(port, Link)
    assert isinstance(bridge, Link)
    assert (port.vids, bridge.vids) == ("1,10-12", "1,9")
