"""What is wrong with tunnels, veth pairs, VRFs and macvlans is said with its code and its line."""

from __future__ import annotations

import pytest

from pvenetd.compile import compile_interfaces
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse
from pvenetd.kinds.link import Link

NICS = ("eth0", "eth1")
VETH = "iface va\n link-type veth\n veth-peer-name vb\n"
VRF = "iface red\n vrf-table 10\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("iface va\n link-type veth\n", [(2, "unknown-value")]),
        ("iface va\n veth-peer-name va\n", [(2, "unknown-value")]),
        ("iface va\n veth-peer-name a/b\n", [(2, "unknown-value"), (1, "unknown-value")]),
        (VETH + "iface vb\n", []),
        (VETH + "iface vb\n link-type veth\n", []),
        (VETH + "iface vb\n veth-peer-name va\n", []),
        (VETH + "iface vb\n veth-peer-name vc\n", [(3, "unknown-value")]),
        (VETH + "iface vc\n veth-peer-name vb\n", [(5, "unknown-value")]),
        (VETH + "iface vb\n vxlan-id 5\n", [(3, "unknown-value")]),
        (VETH + "iface br0\n bridge-ports vb\n", []),
        (VRF + "iface eth0\n vrf red\n", []),
        ("iface eth0\n vrf red\n", [(2, "missing-parent")]),
        ("iface eth0\n vrf eth1\niface eth1\n", [(2, "parent-type")]),
        (VRF + "iface eth0\n vrf red\niface br0\n bridge-ports eth0\n", [(4, "member-used-twice")]),
        (VRF + "iface blue\n vrf-table 10\n", [(4, "unknown-value")]),
        ("iface red\n vrf-table auto\n", []),
        ("iface red\n vrf-table none\n", [(2, "unknown-value")]),
        ("iface m0\n macvlan-raw-device eth9\n", [(2, "missing-parent")]),
        ("iface m0\n link-type macvlan\n", [(1, "missing-parent")]),
        ("iface m0\n macvlan-raw-device eth0\n macvlan-mode fast\n", [(3, "unknown-value")]),
        ("iface m0\n macvlan-raw-device eth0\n mtu 9000\n", [(3, "mtu")]),
        ("iface m0\n macvlan-raw-device m1\niface m1\n macvlan-raw-device m0\n", [(2, "loop"), (4, "loop")]),
        ("iface t0\n tunnel-mode gre\n tunnel-endpoint 2001:db8::1\n", [(3, "address")]),
        ("iface t0\n tunnel-mode ip6gre\n tunnel-endpoint 192.0.2.1\n", [(3, "address")]),
        ("iface t0\n tunnel-mode gres\n", [(2, "unknown-value")]),
        ("iface t0 inet tunnel\n mode GRE\n endpoint 192.0.2.1\n", []),
        ("iface t0 inet tunnel\n endpoint 192.0.2.1\n", [(1, "unknown-value")]),
        ("iface t0\n tunnel-mode gre\n tunnel-dev eth9\n", [(3, "missing-parent")]),
        ("iface t0\n tunnel-mode gre\n tunnel-key 1.2.3\n", [(3, "unknown-value")]),
        ("iface t0\n tunnel-mode gre\n tunnel-dev eth0\n mtu 1500\n", [(4, "mtu")]),
        ("iface g0\n geneve-id 5\n", [(1, "address")]),
        ("iface g0\n geneve-id 5\n geneve-remote 192.0.2.300\n", [(3, "address")]),
        ("iface g0\n geneve-id 16777216\n geneve-remote 192.0.2.3\n", [(2, "vxlan")]),
        ("iface v0\n vxlan-id 5\n vxlan-svcnodeip 239.1.1.1\n", [(3, "vxlan")]),
        ("iface v0\n vxlan-id 5\n vxlan-remoteip 192.0.2.1 2001:db8::1\n", [(1, "vxlan")]),
        ("iface v0\n vxlan-id 5\niface v1\n vxlan-id 5\n", [(4, "vxlan")]),
        ("iface v0\n vxlan-id 5\niface v1\n vxlan-id 5\n vxlan-port 4790\n", []),
    ],
)
def test_what_is_wrong_is_found(text: str, found: list[tuple[int, str]]) -> None:
    problems = compile_interfaces(single(parse(text, "interfaces")), NICS).problems
    assert sorted((problem.line, problem.code) for problem in problems) == sorted(found), problems


@pytest.mark.parametrize(
    ("options", "mtu"),
    [
        ("vxlan-id 5", 1500),
        ("vxlan-id 5\n vxlan-remoteip 192.0.2.1\n vxlan-physdev eth0", 8950),
        ("vxlan-id 5\n vxlan-remoteip 2001:db8::1\n vxlan-physdev eth0", 8930),
        ("tunnel-mode gretap\n tunnel-dev eth0", 8962),
        ("tunnel-mode ip6gre\n tunnel-key 5", 1444),
        ("tunnel-mode ip6gre\n tunnel-encaplimit 0", 1456),
        ("macvlan-raw-device eth0", 9000),
        ("vrf-table 10", 65575),
    ],
)
def test_what_is_not_said_of_an_mtu_follows_from_what_carries_it(options: str, mtu: int) -> None:
    text = f"auto x0\niface x0\n {options}\niface eth0\n mtu 9000\n"
    link = compile_interfaces(single(parse(text, "interfaces")), NICS).checked()["link", "x0"]
    assert isinstance(link, Link)
    assert link.mtu == mtu
