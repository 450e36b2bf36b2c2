"""The netlink driver on the real kernel, judged by ip(8) and bridge(8)."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterable
from typing import Any

import pytest

from pvenetd.drivers.host import Host
from pvenetd.errors import KernelError
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.link import Link
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.vxlan import Vxlan
from pvenetd.plan import Op, plan
from pvenetd.resource import Resource
from pvenetd.state import INTERFACES, Address, Route, state
from tests.kernel.seen import marks
from tests.netns import Namespaces, run, show

netns = pytest.mark.netns
OURS, NOBODYS = 0x7E, 0
"""Marks of addresses (IFA_PROTO)."""
KERNEL, STATIC = "2", "4"
"""Protocols of routes (linux/rtnetlink.h)."""


def bring(host: Host, *wanted: Resource, owners: Iterable[str] = (INTERFACES,)) -> list[str]:
    """Bring the kernel to *wanted*, twice: the second time there is nothing to do."""
    desired = state(wanted)
    ops = plan(desired, host.observe(desired.keys()), set(owners))
    for op in ops:
        host.apply(op)
    assert plan(desired, host.observe(desired.keys(), anew=desired.keys()), set(owners)) == ()
    return [str(op) for op in ops]


def link(name: str) -> dict[str, Any]:
    (found,) = show("ip", "-d", "-j", "address", "show", "dev", name)
    return found


def routes(*words: str) -> list[tuple[str, str, str, str]]:
    found = show("ip", "-j", "-N", *words, "route")  # the package gives our protocol a name
    return [
        (one["dst"], one.get("gateway", ""), one["dev"], one["protocol"]) for one in found if one["protocol"] != KERNEL
    ]


def names() -> set[str]:
    return {one["ifname"] for one in show("ip", "-j", "link")}


def ours(**values: Any) -> dict[str, Any]:
    return {**values, "owner": INTERFACES}


@netns
def test_a_bridge_with_a_port(host: Host) -> None:
    bring(host, Bridge(**ours(name="vmbr0", forward_delay=0)), Ethernet(**ours(name="eno1", master="vmbr0", mtu=9000)))
    assert link("vmbr0")["linkinfo"]["info_data"]["forward_delay"] == 0
    assert link("vmbr0")["ifalias"] == "pvenetd:interfaces"
    assert "UP" in link("vmbr0")["flags"]
    assert (link("eno1")["master"], link("eno1")["mtu"]) == ("vmbr0", 9000)


@netns
def test_a_bridge_has_its_first_ports_mac_and_keeps_it(host: Host, namespaces: Namespaces) -> None:
    namespaces.cable("veth0")
    run("ip", "link", "set", "eno1", "address", "06:00:00:00:00:01")
    run("ip", "link", "set", "veth0", "address", "02:00:00:00:00:01")
    bridge, nic = Bridge(**ours(name="vmbr0", mac_of=("veth9", "eno1"))), Ethernet(**ours(name="eno1"))
    nic, lower = (one.model_copy(update={"master": "vmbr0"}) for one in (nic, Ethernet(**ours(name="veth0"))))
    bring(host, bridge, nic, lower)
    assert link("vmbr0")["address"] == "06:00:00:00:00:01"
    bring(host, bridge, nic.model_copy(update={"master": ""}), lower)
    assert link("vmbr0")["address"] == "06:00:00:00:00:01"


@netns
def test_a_veth_somebody_made_is_configured_and_let_go(host: Host, namespaces: Namespaces) -> None:
    namespaces.cable("veth0")
    bring(host, Bridge(**ours(name="vmbr0")), Ethernet(**ours(name="veth0", master="vmbr0", isolated=True)))
    assert link("veth0")["linkinfo"]["info_slave_data"]["isolated"] is True
    bring(host)
    assert names() == {"lo", "eno1", "veth0"}
    assert "ifalias" not in link("veth0")
    assert "master" not in link("veth0")


@netns
def test_a_vxlan_end_point(host: Host) -> None:
    bring(
        host, Vxlan(**ours(name="vx", vni=7, local="192.0.2.1", remotes=("192.0.2.2",), vxlan_learning=False, mtu=1450))
    )
    data = link("vx")["linkinfo"]["info_data"]
    assert (data["id"], data["port"], data["local"]) == (7, 4789, "192.0.2.1")
    assert data["learning"] is False
    assert link("vx")["mtu"] == 1450


@netns
@pytest.mark.parametrize("multi_queue", [False, True])
def test_a_tap_lives_from_plug_to_unplug(host: Host, *, multi_queue: bool) -> None:
    tap = Tap(name="tap100i0", owner="vm:100", group=100, master="vmbr0", disable_ipv6=True, multi_queue=multi_queue)
    bridge = Bridge(**ours(name="vmbr0"))
    bring(host, bridge, tap, owners=(INTERFACES, "vm:100"))
    found = link("tap100i0")
    assert found["linkinfo"]["info_data"]["type"] == "tap"
    assert found["linkinfo"]["info_data"]["persist"] is True
    assert found["linkinfo"]["info_data"]["vnet_hdr"] is True
    assert found["linkinfo"]["info_data"]["multi_queue"] is multi_queue
    assert (found["ifalias"], found["master"], found["group"]) == ("pvenetd:vm:100", "vmbr0", "100")
    assert found["addr_info"] == [], "no IPv6 of the host's on a guest's port"
    assert host.owned("vm:100")[0] == ("link", "tap100i0")
    bring(host, bridge, owners=("vm:100",))
    assert "tap100i0" not in names()


@netns
def test_a_tap_qemu_made_is_plugged_and_let_go(host: Host) -> None:
    run("ip", "tuntap", "add", "tap101i0", "mode", "tap")
    tap = Tap(name="tap101i0", owner="vm:101", master="vmbr0", made_here=False)
    bridge = Bridge(**ours(name="vmbr0"))
    bring(host, bridge, tap, owners=(INTERFACES, "vm:101"))
    assert link("tap101i0")["master"] == "vmbr0"
    assert link("tap101i0")["ifalias"] == "pvenetd:vm:101 (configured)"
    host.apply(Op("-", tap))
    found = link("tap101i0")
    assert "ifalias" not in found
    assert "master" not in found
    assert "UP" not in found["flags"]


@netns
def test_a_tap_with_a_name_of_libvirts_answers_to_its_guests(host: Host) -> None:
    run("ip", "tuntap", "add", "vnet3", "mode", "tap")
    run("ip", "link", "property", "add", "dev", "vnet3", "altname", "mine")
    tap = Tap(name="vnet3", altname="tap100i0", owner="vm:100", made_here=False)
    assert bring(host, tap, owners=("vm:100",)) == ["~ link vnet3 owner=vm:100 up=yes altname=tap100i0"]
    assert link("tap100i0")["altnames"] == ["mine", "tap100i0"]
    bring(host, tap.model_copy(update={"altname": "tap200i0"}), owners=("vm:100",))
    assert link("vnet3")["altnames"] == ["mine", "tap200i0"]
    host.apply(Op("-", tap.model_copy(update={"altname": "tap200i0"})))
    assert link("vnet3")["altnames"] == ["mine"]


@netns
def test_addresses_carry_our_mark_and_others_are_left_alone(host: Host) -> None:
    run("ip", "address", "add", "198.51.100.1/24", "dev", "eno1")
    bring(
        host,
        Ethernet(**ours(name="eno1")),
        Address(**ours(dev="eno1", address="192.0.2.1/24")),
        Address(**ours(dev="eno1", address="2001:db8::1/64")),
    )
    assert marks("eno1") == {"198.51.100.1/24": NOBODYS, "192.0.2.1/24": OURS, "2001:db8::1/64": OURS}
    bring(host, Ethernet(**ours(name="eno1")))
    assert marks("eno1") == {"198.51.100.1/24": NOBODYS}


@netns
@pytest.mark.parametrize("text", ["192.0.2.1/24", "2001:db8::1/64"])
def test_an_address_is_adopted_in_place(host: Host, text: str) -> None:
    run("ip", "link", "set", "eno1", "up")
    run("ip", "address", "add", text, "dev", "eno1")
    wanted = Address(**ours(dev="eno1", address=text))
    assert bring(host, Ethernet(**ours(name="eno1")), wanted)[1:] == [f"~ address eno1 {text} owner=interfaces"]
    assert marks("eno1") == {text: OURS}
    host.apply(Op("~", wanted.model_copy(update={"owner": ""}), {"owner": (INTERFACES, "")}))
    assert marks("eno1") == {text: NOBODYS}


@netns
def test_deleting_a_networks_first_address_keeps_the_others(host: Host) -> None:
    nic = Ethernet(**ours(name="eno1"))
    one, two = (Address(**ours(dev="eno1", address=f"192.0.2.{number}/24")) for number in (1, 2))
    bring(host, nic, one, two)
    bring(host, nic, two)
    assert marks("eno1") == {"192.0.2.2/24": OURS}


@netns
def test_a_label_and_a_peer(host: Host) -> None:
    bring(
        host,
        Ethernet(**ours(name="eno1")),
        Address(**ours(dev="eno1", address="192.0.2.1/32", peer="192.0.2.9")),
        Address(**ours(dev="eno1", address="198.51.100.1/24", label="eno1:0", broadcast="198.51.100.255")),
    )
    first, second = (one for one in link("eno1")["addr_info"] if one["family"] == "inet")
    assert (first["local"], first["address"]) == ("192.0.2.1", "192.0.2.9")
    assert (second["label"], second["broadcast"]) == ("eno1:0", "198.51.100.255")


@netns
def test_a_new_gateway_replaces_the_old_one(host: Host) -> None:
    nic = Ethernet(**ours(name="eno1"))
    near = [Address(**ours(dev="eno1", address=text)) for text in ("192.0.2.1/24", "2001:db8::1/64")]
    bring(
        host,
        nic,
        *near,
        Route(**ours(family="inet", dev="eno1", via="192.0.2.254")),
        Route(**ours(family="inet6", dev="eno1", via="2001:db8::ff")),
    )
    ops = bring(
        host,
        nic,
        *near,
        Route(**ours(family="inet", dev="eno1", via="192.0.2.253")),
        Route(**ours(family="inet6", dev="eno1", via="2001:db8::fe")),
    )
    assert [op[0] for op in ops] == ["~", "~"]
    assert routes() == [("default", "192.0.2.253", "eno1", "126")]
    assert routes("-6") == [("default", "2001:db8::fe", "eno1", "126")]
    bring(host, nic, *near)
    assert routes() == routes("-6") == []


@netns
def test_a_route_somebody_added_stays_with_its_protocol(host: Host) -> None:
    run("ip", "link", "set", "eno1", "up")
    run("ip", "address", "add", "192.0.2.1/24", "dev", "eno1")
    run("ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.9", "proto", "static", "metric", "7")
    bring(host, Ethernet(**ours(name="eno1")))
    assert routes() == [("203.0.113.0/24", "192.0.2.9", "eno1", STATIC)]


@netns
def test_the_kernels_words_reach_the_user(host: Host) -> None:
    run("ip", "link", "set", "eno1", "up")
    with pytest.raises(KernelError) as caught:
        host.apply(Op("+", Route(**ours(family="inet", dev="eno1", via="192.0.2.254"))))
    assert str(caught.value).startswith("+ route default dev=eno1 via=192.0.2.254: Network is unreachable: Nexthop")
    with pytest.raises(KernelError, match=r"^\+ link eno1 bridge: File exists \(errno 17\)$"):
        host.apply(Op("+", Bridge(**ours(name="eno1"))))
    with pytest.raises(KernelError, match="No such device"):
        host.apply(Op("~", Ethernet(**ours(name="eno9")), {"owner": ("", INTERFACES)}))
    assert names() == {"lo", "eno1"}


@netns
def test_what_others_change_is_seen_without_asking_anew(host: Host) -> None:
    bring(host, Bridge(**ours(name="vmbr0")), Address(**ours(dev="vmbr0", address="192.0.2.1/24")))
    run("ip", "link", "set", "vmbr0", "down", "mtu", "1400")
    run("ip", "address", "delete", "192.0.2.1/24", "dev", "vmbr0")
    run("ip", "address", "add", "2001:db8::7/64", "dev", "lo")
    run("ip", "link", "set", "eno1", "name", "wan0")
    found = host.observe()
    bridge, wan = found["link", "vmbr0"], found["link", "wan0"]
    assert isinstance(bridge, Link)
    assert isinstance(wan, Link)
    assert (bridge.up, bridge.mtu) == (False, 1400)
    assert ("address", "vmbr0", "192.0.2.1/24") not in found
    assert ("address", "lo", "2001:db8::7/64") in found
    assert ("link", "eno1") not in found
    run("ip", "link", "add", "eno1", "type", "bridge")
    assert isinstance(host.observe()["link", "eno1"], Bridge)


@netns
def test_a_name_is_used_again(host: Host) -> None:
    bring(host, Bridge(**ours(name="vmbr0")), Address(**ours(dev="vmbr0", address="192.0.2.1/24")))
    run("ip", "link", "delete", "vmbr0")
    run("ip", "link", "add", "vmbr0", "type", "vxlan", "id", "7", "dstport", "4789")
    found = host.observe()
    assert isinstance(found["link", "vmbr0"], Vxlan)
    assert found["link", "vmbr0"].owner == ""
    assert ("address", "vmbr0", "192.0.2.1/24") not in found


@netns
def test_lost_events_cost_a_dump_and_no_truth(host: Host) -> None:
    host.observe()
    host.events.setsockopt(socket.SOL_SOCKET, 33, 4096)  # SO_RCVBUFFORCE
    batch = "".join(
        f"link add br{number} type bridge\naddress add 192.0.2.{number}/32 dev br{number}\n" for number in range(1, 60)
    )
    (reader, writer) = os.pipe()
    os.write(writer, batch.encode())
    os.close(writer)
    run("ip", "-batch", f"/proc/{os.getpid()}/fd/{reader}")
    os.close(reader)
    found = host.observe()
    assert all(("link", f"br{number}") in found for number in range(1, 60))
    assert all(("address", f"br{number}", f"192.0.2.{number}/32") in found for number in range(1, 60))


@netns
def test_a_guests_plan_is_about_its_keys_alone(host: Host) -> None:
    bring(host, Bridge(**ours(name="vmbr0")))
    keys = {("link", "vmbr0"), ("link", "tap100i0"), ("chains", "vm:100")}
    assert host.observe(keys, only=True).keys() == {("link", "vmbr0")}


@netns
def test_links_go_as_one_group_and_no_other_with_them(host: Host) -> None:
    doomed = [Bridge(**ours(name=f"br{number}")) for number in range(3)]
    port = Vxlan(**ours(name="vx1", vni=1, master="br0"))
    bring(host, *doomed, port, Bridge(**ours(name="kept")))
    there = host.observe()
    run("ip", "link", "set", "br2", "group", "7")
    host.apply(*(Op("-", there[one.key]) for one in (port, *doomed[:2])))
    assert names() == {"lo", "eno1", "br2", "kept"}


@netns
def test_a_group_that_cannot_go_stays_whole(host: Host) -> None:
    bring(host, Bridge(**ours(name="br0")))
    run("ip", "link", "set", "br0", "group", "7")
    there = host.observe()
    with pytest.raises(KernelError):
        host.apply(Op("-", there["link", "br0"]), Op("-", there["link", "lo"]))
    assert names() == {"lo", "eno1", "br0"}
    assert link("br0")["group"] == "7"


@netns
def test_an_entry_that_somebody_made_in_a_vxlans_fdb_stays(host: Host) -> None:
    def sent_to() -> set[str]:
        return {entry["dst"] for entry in show("bridge", "-j", "fdb", "show", "dev", "vx")}

    bring(host, Vxlan(**ours(name="vx", vni=7, remotes=("192.0.2.2", "192.0.2.3"))))
    for mac, address in (("00:00:00:00:00:00", "192.0.2.9"), ("02:00:5e:00:53:01", "192.0.2.8")):
        run("bridge", "fdb", "append", mac, "dst", address, "dev", "vx")
    bring(host, Vxlan(**ours(name="vx", vni=7, remotes=("192.0.2.2", "192.0.2.4"))))
    assert sent_to() == {"192.0.2.2", "192.0.2.4", "192.0.2.8", "192.0.2.9"}
    bring(host, Vxlan(**ours(name="vx", vni=7, alias="w" * 199, remotes=[f"192.0.2.{n}" for n in range(10, 30)])))
    assert sent_to() == {f"192.0.2.{n}" for n in (8, *range(10, 30))}, "a mark without room says that all are ours"
    bring(host, Vxlan(**ours(name="vx", vni=7)))
    assert "192.0.2.8" in sent_to()


@netns
@pytest.mark.parametrize("what", ["some", "many"])
def test_what_changed_is_told_once_whoever_read_the_events(host: Host, what: str) -> None:
    assert {("link", "lo"), ("link", "eno1")} <= host.changed()
    assert host.changed() == set()
    others = [f"vmbr{number}" for number in range(100 if what == "many" else 2)]
    for name in others:
        run("ip", "link", "add", name, "type", "bridge")
    host.observe()
    assert select.select([host.news], [], [], 0)[0], "what nobody has been told of yet wakes somebody"
    assert host.changed() == {("link", name) for name in others}
    run("ip", "link", "set", "eno1", "master", others[0])
    run("ip", "link", "delete", others[1])
    run("ip", "link", "add", others[1], "type", "bridge")
    assert host.changed() >= {("link", "eno1"), ("link", others[1])}
    run("ip", "address", "add", "192.0.2.1/24", "dev", "eno1")
    run("ip", "link", "set", "eno1", "up")
    host.observe()
    assert {("address", "eno1", "192.0.2.1/24"), ("link", "eno1")} <= host.changed()
    run("ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.2")
    host.observe([("link", "eno1")], only=True)
    assert host.changed() == {("route", "inet", "198.51.100.0/24", "0")}
    run("ip", "link", "delete", "eno1")
    assert host.changed() >= {("address", "eno1", "192.0.2.1/24"), ("route", "inet", "198.51.100.0/24", "0")}
    assert not select.select([host.news], [], [], 0)[0]


@netns
@pytest.mark.parametrize("more", [0, 100])
def test_counters_are_those_that_ip_shows(host: Host, more: int) -> None:
    run("ping", "-c", "2", "127.0.0.1")
    (shown,) = show("ip", "-s", "-j", "link", "show", "dev", "lo")
    found = host.counters({"lo", "nobody", *(f"nobody{number}" for number in range(more))})
    assert found.keys() == {"lo"}
    stats = {f"{way}_{what}": shown["stats64"][way][what] for way in ("rx", "tx") for what in ("bytes", "packets")}
    assert stats["rx_packets"] >= 4
    assert {name: found["lo"][name] for name in stats} == stats
