"""The picture of the network: every link once, from the outside inwards."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from pvenetd.ctl import topology


def link(name: str, kind: str, **more: Any) -> dict[str, Any]:
    plain = {"up": 1, "master": "", "parent": "", "mtu": 1500, "pvid": None, "vids": "", "addresses": []}
    return {"name": name, "kind": kind, **plain, **more}


def drawn(*links: dict[str, Any]) -> list[str]:
    return [str(line) for line in topology.show(list(links), argparse.Namespace(format="text"))]


GUEST = {"vmid": 100, "name": "web", "nic": "net0", "filtered": 1}


def test_a_host_at_a_glance() -> None:
    assert drawn(
        link("vmbr1", "bridge", addresses=["198.51.100.1/24"]),
        link("eno2", "ethernet", master="bond0", mtu=9000, up=0),
        link("eno1", "ethernet", master="bond0", mtu=9000),
        link("bond0", "bond", master="vmbr0", mtu=9000, pvid=1, vids="1-4094"),
        link("vmbr0", "bridge", pvid=1, vids="1,10"),
        link("vmbr0.10", "vlan", parent="vmbr0", addresses=["192.0.2.1/24", "2001:db8::1/64"]),
        link("tap100i0", "tap", master="vmbr0", pvid=20, vids="20", guest=GUEST),
        link("tap1000i0", "tap", master="vmbr1"),
        link("eno10", "ethernet"),
    ) == [
        "eno1 ethernet mtu 9000 up",
        "eno2 ethernet mtu 9000 DOWN",
        "└─ bond0 bond untagged 1 VLANs 1-4094 mtu 9000 up",
        "   └─ vmbr0 bridge untagged 1 VLANs 10 up",
        "      ├─ tap100i0 tap untagged 20 up  → guest 100 web (net0, filtered)",
        "      └─ vmbr0.10 vlan 192.0.2.1/24 2001:db8::1/64 up",
        "vmbr1 bridge 198.51.100.1/24 up",
        "└─ tap1000i0 tap up",
        "eno10 ethernet up",
    ]


def test_a_bridge_with_two_ways_out_is_drawn_once() -> None:
    assert drawn(
        link("eno1", "ethernet"),
        link("eno1.5", "vlan", parent="eno1", master="vmbr0"),
        link("eno2", "ethernet", master="vmbr0"),
        link("vmbr0", "bridge"),
    ) == [
        "eno1 ethernet up",
        "└─ eno1.5 vlan up",
        "   └─ vmbr0 bridge up",
        "eno2 ethernet up",
        "└─ vmbr0 (above)",
    ]


def test_graphviz_has_each_guest_once_and_each_of_its_nics() -> None:
    taps = [link(f"tap100i{n}", "tap", master="vmbr0", guest={**GUEST, "nic": f"net{n}"}) for n in (0, 1)]
    lines = "\n".join(map(str, topology.show([link("vmbr0", "bridge"), *taps], argparse.Namespace(format="dot"))))
    assert lines.count('\n  "guest 100" [') == 1
    assert lines.count('-> "guest 100"') == 2
    assert lines.startswith("digraph network {")
    assert lines.endswith("}")


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_names_are_quoted_for_graphviz(name: str) -> None:
    (node,) = [line for line in topology.show([link(name, "x")], argparse.Namespace(format="dot")) if "label=" in line]
    assert node.count('"') - node.count('\\"') == 4
    assert "\n" not in node
