"""An LACP bond below a VLAN-aware bridge (examples/vlan-bond), and a switch that speaks both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.patience import until
from tests.sandbox.client import request
from tests.sandbox.space import Space
from tests.sandbox.world import EXAMPLES, HOST, PROVIDER, TAP, World

pytestmark = pytest.mark.lab

IN_30, IN_40 = "198.51.100", "203.0.113"
"""Networks of VLAN 30, which the guest is in, and of VLAN 40, which it is not."""


@pytest.fixture
def world() -> Iterator[World]:
    """Yield the host, applied, its two cables in an LACP bond of the provider's, with an address in each VLAN."""
    with World(EXAMPLES / "vlan-bond", cables=("eno1", "eno2")) as built:
        switch = built.provider
        switch.run("ip", "link", "add", "bond0", "type", "bond", "mode", "802.3ad", "miimon", 100, "lacp_rate", "fast")
        for cable in ("customer0", "customer1"):
            switch.run("ip", "link", "set", cable, "down")
            switch.run("ip", "link", "set", cable, "master", "bond0")
        switch.run("ip", "link", "set", "bond0", "up")
        for vlan, address in ((20, PROVIDER), (30, f"{IN_30}.1"), (40, f"{IN_40}.1")):
            switch.run("ip", "link", "add", "link", "bond0", "name", f"bond0.{vlan}", "type", "vlan", "id", vlan)
            switch.run("ip", "address", "add", f"{address}/24", "dev", f"bond0.{vlan}")
            switch.run("ip", "link", "set", f"bond0.{vlan}", "up")
        built.start_daemon()
        built.ctl("apply")
        until(lambda: agree(built), "both ends agree: with fast LACPDUs after three seconds")
        yield built


def test_a_bond_of_two_cables_agrees_with_its_partner(world: World) -> None:
    assert world.ctl("plan") == ""
    assert world.provider.pings(HOST), "the management address, tagged, over the bond"


def test_a_tagged_port_carries_its_vlan_and_no_other(world: World) -> None:
    wire = world.capture(world.host, "bond0", "vlan")
    guest, _ = world.start_namespace_guest(f"{IN_30}.2/24")
    port = world.capture(world.host, TAP)
    guest.run("ip", "address", "add", f"{IN_40}.2/24", "dev", "eth0")

    assert world.provider.pings(f"{IN_30}.2"), "VLAN 30 reaches the guest"
    assert guest.pings(f"{IN_30}.1")
    assert not world.provider.pings(f"{IN_40}.2", 2), "VLAN 40 does not, though the guest has an address there"
    assert not guest.pings(f"{IN_40}.1", 2)
    assert world.provider.pings(f"{IN_30}.2")

    wire.expect(rf"vlan 40\b.*who-has {IN_40}\.2 tell {IN_40}\.1")
    wire.expect(rf"vlan 30\b.*who-has {IN_40}\.1 tell {IN_40}\.2")
    port.expect(rf"{IN_30}\.1 > {IN_30}\.2: ICMP echo request")
    assert not port.seen(rf"tell {IN_40}\.1"), "no frame of VLAN 40 came to the guest"
    assert not port.seen("vlan"), "the guest sees no tag"
    assert not wire.seen(rf"vlan (?!30\b)\d+.*{IN_30}\."), "and its network is in no other VLAN"


def test_a_tag_that_is_edited_is_one_change_of_the_port_and_live_at_once(world: World) -> None:
    guest, _ = world.start_namespace_guest(f"{IN_30}.2/24")
    guest.run("ip", "address", "add", f"{IN_40}.2/24", "dev", "eth0")
    assert world.provider.pings(f"{IN_30}.2")
    config = world.root / "etc/pvenetd/qemu-server/100.conf"
    index, last = link(world.host, TAP)["ifindex"], request(world.root, "GET", "events")[-1]["id"]

    draft = config.with_name(".100.conf.swp")
    draft.write_text(config.read_text().replace("tag=30", "tag=40"))
    draft.replace(config)
    until(lambda: world.provider.pings(f"{IN_40}.2", 2), "the guest is in VLAN 40")
    assert not world.provider.pings(f"{IN_30}.2", 2)
    ops = [one["op"] for one in request(world.root, "GET", "events") if one["id"] > last and one["event"] == "op"]
    assert ops == [f"~ link {TAP} pvid=40 vids=40"]
    assert link(world.host, TAP)["ifindex"] == index

    before = config.read_bytes()
    assert "port-option" not in world.ctl("vm", "set", 100, "net1=virtio,bridge=vmbr0,trunks=5-7")
    world.ctl("vm", "set", 100, "--delete", "net1")
    assert config.read_bytes() == before


def agree(world: World) -> bool:
    """Return whether both ends have both cables in use, with each other for a partner."""
    ends = (world.host, ("eno1", "eno2"), world.provider), (world.provider, ("customer0", "customer1"), world.host)
    for space, cables, other in ends:
        info = link(space, "bond0")["linkinfo"]["info_data"].get("ad_info", {})
        if (info.get("num_ports"), info.get("partner_mac")) != (2, link(other, "bond0")["address"]):
            return False
        if any(link(space, cable)["linkinfo"]["info_slave_data"]["state"] != "ACTIVE" for cable in cables):
            return False
    return True


def link(space: Space, name: str) -> dict[str, Any]:
    (found,) = space.show("ip", "-j", "-d", "link", "show", name)
    return found


def test_a_wrong_vlan_is_noticed_within_seconds(world: World) -> None:
    text = world.read("etc/network/interfaces")
    world.write("etc/network/interfaces.new", text.replace("vmbr0.20", "vmbr0.21"))
    said = world.host.run("sh", "-c", f"{world.bin}/pvenetctl apply 2>&1; echo exit status $?", env=world.env())
    assert f"default gateway {PROVIDER} (ARP on vmbr0.21)" in said
    assert said.endswith("rolled back: the host is as it was\nexit status 1\n")
    assert world.provider.pings(HOST)
