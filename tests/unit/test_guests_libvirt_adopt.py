"""A domain's XML with our wiring: what is written, and what stays."""

from __future__ import annotations

import re
from difflib import unified_diff

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.guests.guest import Guest
from pvenetd.guests.libvirt_adopt import Network, adopted, networks_of, parse_network
from pvenetd.guests.libvirt_xml import parse_domain
from pvenetd.guests.wiring import IFUP, SPACE

DOMAIN = """\
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web</name>
  <uuid>6d0b3c9a-52f4-4c5e-9d7e-0123456789ab</uuid>
  <!-- kept -->
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"/>
  </metadata>
  <devices>
    <interface type='bridge'>
      <mac address='52:54:00:00:53:01'/>
      <source bridge='vmbr0'/>
      <vlan>
        <tag id='20'/>
      </vlan>
      <port isolated='yes'/>
      <model type='virtio'/>
      <address type='pci' slot='0x03'/>
    </interface>
    <interface type='network'>
      <mac address='52:54:00:00:53:02'/>
      <source network='lan' portgroup='dmz'/>
      <model type='e1000'/>
    </interface>
    <interface type='network'>
      <mac address='52:54:00:00:53:03'/>
      <source network='default'/>
    </interface>
    <interface type='user'>
      <mac address='52:54:00:00:53:04'/>
    </interface>
  </devices>
  <qemu:commandline/>
</domain>
"""
LAN = """\
<network><name>lan</name><forward mode='bridge'/><bridge name='vmbr1'/>
<portgroup name='dmz'><vlan><tag id='30'/></vlan></portgroup></network>"""
DEFAULT = "<network><name>default</name><forward mode='nat'/><bridge name='virbr0' stp='on'/></network>"
NETWORKS = {("lan", "dmz"): parse_network(LAN, "dmz"), ("default", ""): parse_network(DEFAULT)}

CHANGES = f"""\
     <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"/>
+    <pvenetd:guest xmlns:pvenetd="{SPACE}" vmid="100">
+      <pvenetd:net index="0" bridge="vmbr0" tag="20" isolated="1"/>
+      <pvenetd:net index="1" bridge="vmbr1" tag="30"/>
+    </pvenetd:guest>
-    <interface type='bridge'>
+    <interface type='ethernet'>
+      <script path='{IFUP}'/>
+      <target dev='tap100i0'/>
-      <source bridge='vmbr0'/>
-      <vlan>
-        <tag id='20'/>
-      </vlan>
-      <port isolated='yes'/>
-    <interface type='network'>
+    <interface type='ethernet'>
+      <script path='{IFUP}'/>
+      <target dev='tap100i1'/>
-      <source network='lan' portgroup='dmz'/>
+      <target dev='tap100i2'/>
"""


def test_what_changes_is_the_wiring_and_nothing_else() -> None:
    found = adopted(DOMAIN, 100, NETWORKS)
    diff = list(unified_diff(DOMAIN.splitlines(), found.splitlines(), n=0, lineterm=""))[2:]
    expected = [line for line in CHANGES.splitlines() if line[:1] in "+-"]
    assert sorted(line for line in diff if not line.startswith("@")) == sorted(expected)


def test_the_guest_is_the_same_with_its_taps_called_after_it() -> None:
    guest = parse_domain(adopted(DOMAIN, 100, NETWORKS)).guest
    assert guest
    assert {index: str(nic) for index, nic in guest.nics.items()} == {
        0: "virtio=52:54:00:00:53:01,bridge=vmbr0,tag=20",
        1: "e1000=52:54:00:00:53:02,bridge=vmbr1,tag=30",
        2: "rtl8139=52:54:00:00:53:03",
        3: "rtl8139=52:54:00:00:53:04",
    }
    assert guest.nics[0].isolated
    assert guest.devices == {}
    assert guest.problems == ()


def test_adopted_twice_is_adopted_once() -> None:
    once = adopted(DOMAIN, 100, NETWORKS)
    assert adopted(once, 100, NETWORKS) == once


def test_another_vmid_renames_the_taps() -> None:
    found = adopted(adopted(DOMAIN, 100, NETWORKS), 200, NETWORKS)
    assert found == adopted(DOMAIN, 200, NETWORKS)


@pytest.mark.parametrize(
    "metadata", ["", "<metadata/>", "<metadata></metadata>", "<metadata>\n<a xmlns='u:a'/></metadata>"]
)
def test_the_metadata_are_made_where_there_are_none(metadata: str) -> None:
    uuid = "<uuid>6d0b3c9a-52f4-4c5e-9d7e-0123456789ab</uuid>"
    found = adopted(f"<domain><name>a</name>{uuid}{metadata}<devices/></domain>", 100, {})
    assert found.count("<metadata>") == 1
    assert ("u:a" in found) == ("u:a" in metadata)
    guest = parse_domain(found).guest
    assert guest
    assert guest.vmid == 100


def test_what_is_announced_stays_so() -> None:
    once = adopted(DOMAIN, 100, NETWORKS)
    more = once.replace(
        "    </pvenetd:guest>", '      <net index="5" mac="52:54:00:00:53:05" bridge="vmbr0"/>\n    </pvenetd:guest>'
    )
    found = adopted(more, 200, NETWORKS)
    assert '<pvenetd:net index="5" mac="52:54:00:00:53:05" bridge="vmbr0"/>' in found


def test_a_nic_keeps_its_number_under_another_vmid() -> None:
    once = adopted(DOMAIN, 100, NETWORKS).replace("tap100i1", "tap100i7").replace('index="1"', 'index="7"')
    guest = parse_domain(adopted(once, 200, NETWORKS)).guest
    assert guest
    assert str(guest.nics[7]) == "e1000=52:54:00:00:53:02,bridge=vmbr1,tag=30"


def test_a_network_tells_its_bridge_and_its_vlans() -> None:
    assert parse_network(LAN, "dmz") == Network("bridge", "vmbr1", {"tag": "30"})
    assert parse_network(LAN) == Network("bridge", "vmbr1", {})
    assert parse_network("<network/>") == Network("", "", {})
    assert list(networks_of(DOMAIN)) == [("lan", "dmz"), ("default", "")]


CHILDREN = st.lists(
    st.sampled_from(
        [
            "<source bridge='vmbr1'/>",
            "<target dev='vnet0'/>",
            "<script path='/bin/true'/>",
            "<vlan><tag id='7'/></vlan>",
            "<mtu size='1400'/>",
            "<link state='down'/>",
            "<model type='virtio'/>",
            "<!-- note -->",
            "<boot order='1'/>\n",
        ]
    ),
    max_size=5,
    unique=True,
)


@given(st.lists(st.tuples(st.sampled_from(["bridge", "ethernet", "user"]), CHILDREN), max_size=4))
def test_the_network_of_any_guest_stays_what_it_was(interfaces: list[tuple[str, list[str]]]) -> None:
    devices = "".join(f"<interface type='{kind}'>{''.join(children)}</interface>" for kind, children in interfaces)
    text = re.sub("<devices>.*</devices>", f"<devices>{devices}</devices>", DOMAIN, flags=re.DOTALL)
    text = text.replace("dev='vnet0'", "").replace("<name>web", "<name>web-100")
    before, after = parse_domain(text).guest, parse_domain(adopted(text, 100, {})).guest
    assert before
    assert after
    assert _nics(before) == _nics(after)
    assert after.devices == {}


def _nics(guest: Guest) -> dict[int, str]:
    return {index: str(nic) for index, nic in guest.nics.items()}
