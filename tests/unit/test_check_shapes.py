"""Each code of `interfaces check` in many shapes: spellings, places, numbers, several lines, other files.

A row is a code and a text; ``|`` ends a line, and ``→`` begins the one that the problem is told of.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.compile import Compiled, compile_interfaces
from pvenetd.errors import Problem
from pvenetd.interfaces.config import single
from pvenetd.interfaces.includes import Disk, load
from pvenetd.interfaces.syntax import parse

NICS = ("eth0", "eth1", "eth2")
AWARE = "iface vmbr0 inet manual|bridge-ports eth0|bridge-vlan-aware yes|"
OVS = "iface ovs0 inet manual|ovs_type OVSBridge|"

ERRORS = [
    ("missing-member", "iface bond0|→ bond_slaves eth0 eth9"),
    ("missing-member", "iface bond0 inet manual|→ slaves eth9"),
    ("missing-member", "iface bond0 inet6 manual|→ bond-ports eth9 eth0"),
    ("missing-member", "iface vmbr0 inet static|address 10.0.0.1/24|→ bridge_ports eth9"),
    ("missing-member", "iface vmbr0 inet manual|bridge-ports eth0|→ bridge-ports eth9|bridge-ports eth1"),
    ("missing-member", "iface vmbr0 inet manual|→ bridge-ports eth0 \\|    eth9"),
    ("missing-member", "iface vmbr0 inet manual|→ bridge-ports eth9.5"),
    ("missing-member", "iface vmbr0 inet manual|bridge-fd soon|→ bridge-ports eth9"),
    ("missing-member", "iface t inet manual|→ bridge-ports eth9|iface vmbr0 inet manual inherits t"),
    ("missing-member", "iface vmbr0 inet manual|→ bridge-ports ETH0"),
    ("missing-member", f"{OVS}→ ovs_ports eth0 eth9"),
    ("missing-member", "iface b inet manual|ovs_type OVSBond|→ ovs_bonds eth9"),
    ("member-used-twice", "iface vmbr0|bridge-ports eth0|iface vmbr1|→ bridge-ports eth1 eth0"),
    ("member-used-twice", "iface vmbr0|bridge-ports eth0.5|iface vmbr1|→ bridge_ports eth0.5"),
    ("member-used-twice", "iface bond0|slaves eth0|iface bond1|→ bond-ports eth0"),
    ("member-used-twice", f"{OVS}ovs_ports eth0|iface vmbr0|→ bridge-ports eth0"),
    ("member-used-twice", "iface eth0|iface vmbr0|bridge-ports regex eth0|iface vmbr1|→ bridge-ports eth0"),
    ("address-on-port", "iface eth0|iface eth0 inet6 static|→ address 2001:db8::1/64|iface vmbr0|bridge-ports eth0"),
    ("address-on-port", "iface bond0|bond_slaves eth0|iface eth0|→ address 10.0.0.1/24"),
    ("address-on-port", "iface vmbr0|bridge-ports eth0|iface eth0:1 inet static|→ address 10.0.0.1/24"),
    ("address-on-port", "iface vmbr0|bridge-ports eth0.5|iface eth0.5 inet static|→ address 10.0.0.1|netmask 24"),
    ("address-on-port", "iface eth0 inet static|address 0.0.0.0|→ address 10.0.0.1/24|iface vmbr0|bridge-ports eth0"),
    ("vlan-id-range", "→ iface eth0.4095 inet6 manual"),
    ("vlan-id-range", "→ iface eth0.5000|mtu 1400"),
    ("vlan-id-range", "→ iface vlan0 inet manual|vlan-raw-device eth0"),
    ("vlan-id-range", "→ iface vlan4095|vlan_raw_device eth0"),
    ("vlan-id-range", "iface data|vlan-raw-device eth0|→ vlan_id 4096"),
    ("vlan-id-range", "iface data|→ vlan-id 0x10|vlan-raw-device eth0"),
    ("vlan-id-range", "iface data|→ vlan-id 1_0|vlan-raw-device eth0"),
    ("vlan-id-range", "iface data|→ vlan-id -5|vlan-raw-device eth0"),
    ("vlan-id-range", "iface data|→ vlan-id 5.0|vlan-raw-device eth0"),
    ("vlan-id-range", "iface vmbr0|→ bridge-ports eth0.4095"),
    ("vlan-id-range", f"{AWARE}→ bridge_vids 0-10"),
    ("vlan-id-range", f"{AWARE}→ bridge-vids 20-10"),
    ("vlan-id-range", f"{AWARE}→ bridge-vids 2 3 many"),
    ("vlan-id-range", f"{AWARE}→ bridge-pvid 4095"),
    ("vlan-id-range", f"{AWARE}iface eth0|→ bridge_access 4095"),
    ("vlan-id-range", f"{AWARE}iface eth0|→ bridge-vids 1 5000"),
    ("missing-parent", "→ iface eth9.10"),
    ("missing-parent", "→ iface eth9.10.20 inet manual"),
    ("missing-parent", "iface vlan5 inet manual|→ vlan_raw_device eth9"),
    ("missing-parent", "iface eth0.5 inet manual|→ vlan-raw-device eth9"),
    ("missing-parent", "iface data inet6 manual|vlan-id 5|→ vlan-raw-device eth9"),
    ("missing-parent", "→ iface eth9:0 inet static|address 10.0.0.1/24"),
    ("missing-parent", "iface data|→ vlan-id 5"),
    ("parent-type", "→ iface lo.5|vlan-id 5"),
    ("parent-type", "iface vlan5|→ vlan_raw_device lo"),
    ("parent-type", "iface eth0:1 inet static|address 10.0.0.1/24|iface vlan5|→ vlan-raw-device eth0:1"),
    ("parent-type", "iface vx|vxlan-id 9|→ iface vx.5"),
    ("parent-type", "iface vx|vxlan_id 9|iface vlan5|→ vlan-raw-device vx"),
    ("parent-type", f"{OVS}iface vlan5 inet manual|→ vlan-raw-device ovs0"),
    ("vlan-id-missing", "iface store|→ vlan_raw_device eth0"),
    ("vlan-id-missing", "iface vlan inet static|address 10.0.0.1/24|→ vlan-raw-device eth0"),
    ("vlan-id-missing", "iface vlan5a inet6 manual|→ vlan-raw-device eth0"),
    ("bond-mode", "iface bond0|bond-slaves eth0|→ bond_mode lacp"),
    ("bond-mode", "iface bond0|slaves eth0|→ bond-mode 7"),
    ("bond-mode", "iface bond0 inet6 manual|bond-slaves eth0|→ bond-mode 802.3AD."),
    ("bond-mode", "iface bond0|bond-slaves none|→ bond-mode -1"),
    ("bond-mode", "iface b|ovs_type OVSBond|ovs_bonds eth0 eth1|→ ovs_options tag=1 bond_mode=turbo"),
    ("bond-primary", "iface bond0|bond_slaves eth0|bond-mode 1|→ bond_primary eth1"),
    ("bond-primary", "iface bond0|slaves eth0 eth1|→ bond-primary eth9"),
    ("bond-primary", "iface bond0|bond-mode active-backup|→ bond-primary eth0|bond-slaves none"),
    ("mtu", "iface vmbr0|bridge_ports eth0|→ mtu 1501"),
    ("mtu", "iface eth0|mtu 9000|iface vmbr0 inet manual|bridge-ports eth0 eth1|→ mtu 9000"),
    ("mtu", "iface vmbr0|bridge-ports eth0.5|→ mtu 9000"),
    ("mtu", "iface eth0|mtu 1400|iface eth0.5|iface vmbr0|bridge-ports eth0.5|→ mtu 1450"),
    ("mtu", "iface eth0|mtu 1400|iface vmbr0|bridge-ports eth0.5.6|→ mtu 1450"),
    ("mtu", "iface bond0|bond-slaves eth0|iface vmbr0|bridge-ports bond0|→ mtu 9000"),
    ("mtu", "iface eth0 inet6 manual|→ mtu 9000|iface bond0|bond_slaves eth0|mtu 8999"),
    ("mtu", "iface vlan5|vlan_raw_device eth0|→ mtu 1504"),
    ("mtu", "iface eth0|mtu 9000|iface eth0.5|mtu 2000|iface eth0.5.6|→ mtu 3000"),
    ("mtu", "iface eth0|→ mtu 0x5dc"),
    ("mtu", "iface eth0|→ mtu 1_500"),
    ("mtu", "iface eth0|→ mtu big"),
    ("mtu", "iface eth0|→ mtu 67"),
    ("mtu", "iface eth0|→ mtu 65536"),
    ("mtu", "iface eth0 inet static|address 10.0.0.1/24|iface vx|vxlan-id 9|vxlan-local-tunnelip 10.0.0.1|→ mtu 1451"),
    ("mtu", f"{OVS}ovs_ports eth0|iface eth0|ovs_type OVSPort|→ ovs_mtu 9000"),
    ("port-option", "iface eth0|→ bridge_access 5"),
    ("port-option", "iface bond0|bond-slaves eth0|iface eth0|→ bridge-vids 5"),
    ("port-option", "iface eth0|→ bridge_learning off"),
    ("port-option", "iface vmbr0|bridge-ports eth0.5|iface eth0.5|→ bridge-pvid 5"),
    ("port-option", "iface vmbr0|bridge_ports eth0|bridge_vlan_aware no|iface eth0|→ bridge-access 5"),
    ("port-option", "iface vmbr0|bridge-ports regex eth.*|iface eth0 inet6 manual|→ bridge-vids 2-4"),
    ("vxlan", "iface a|vxlan_id 9|iface b|→ vxlan-id 9"),
    ("vxlan", "iface a|vxlan-id 9|iface b inet6 manual|→ vxlan-id 009"),
    ("vxlan", "iface a|→ vxlan-id 0"),
    ("vxlan", "iface a|→ vxlan-id 0x9"),
    ("vxlan", "iface a|→ vxlan-id nine"),
    ("vxlan", "iface a|vxlan-id 9|→ vxlan-svcnodeip 239.0.0.1"),
    ("vxlan", "iface a|vxlan-id 9|→ vxlan_physdev eth0"),
    ("vxlan", "iface a|vxlan-id 9|vxlan-physdev eth0|→ vxlan-svcnodeip 239.0.0.1|vxlan-remoteip 192.0.2.1"),
    ("vlan-protocol", "iface eth0.5|→ vlan_protocol 802.1"),
    ("vlan-protocol", "iface data|vlan-id 5|vlan-raw-device eth0|→ vlan-protocol 0x8100"),
    ("vlan-protocol", "iface vlan5 inet6 manual|vlan-raw-device eth0|→ vlan-protocol qinq"),
    ("loop", "iface vmbr0|→ bridge_ports vmbr0"),
    ("loop", "iface a|vlan-id 5|→ vlan-raw-device b|iface b|vlan-id 6|vlan-raw-device a"),
    ("loop", "iface a|vlan-id 5|vlan-raw-device b|iface b|vlan-id 6|→ vlan-raw-device a"),
    ("loop", "iface vmbr0|→ bridge-ports vmbr0.5"),
    ("loop", "iface vmbr0|→ bridge-ports vmbr0.5.6"),
    ("loop", "iface vmbr0|bridge-ports bond0|iface bond0|→ bond-slaves vmbr0.5|iface vmbr0.5"),
    ("loop", "iface bond0|→ slaves bond1|iface bond1|bond-slaves bond0"),
    ("loop", "iface vmbr0|→ bridge-ports eth0 x|iface x|vlan-id 5|vlan-raw-device br|iface br|bridge-ports vmbr0"),
    ("loop", "iface v|vlan-id 5|→ vlan-raw-device v"),
    ("loop", "iface vrf1|vrf-table 10|→ vrf vrf1"),
    ("loop", "iface vrf1|vrf-table 10|→ vrf vmbr0.5|iface vmbr0|bridge-ports eth0|iface vmbr0.5|vrf vrf1"),
    ("address", "iface eth0 inet static|→ address 10.0.0"),
    ("netmask", "iface eth0 inet static|→ address 10.0.0.1/"),
    ("address", "iface eth0 inet static|→ address 010.0.0.1/24"),
    ("address", "iface eth0 inet static|→ address 10.0.0.1 /24"),
    ("address", "iface eth0 inet static|→ address 0xa000001/8"),
    ("address", "iface eth0 inet6 static|→ address 2001:db8::g/64"),
    ("address", "iface eth0 inet6 static|→ address 2001:db8:::1/64"),
    ("address", "iface eth0|→ address eth1"),
    ("address", "iface eth0|address 10.0.0.1/24|→ address 10.0.0.300/24"),
    ("address", "iface eth0 inet static|→ address 2001:db8::1/64"),
    ("address", "iface eth0 inet static|→ address 224.0.0.1/24"),
    ("address", "iface eth0 inet6 static|→ address ff02::1/64"),
    ("address", "iface eth0 inet static|address 10.0.0.1/24|→ gateway 10.0.0"),
    ("address", "iface eth0 inet static|address 10.0.0.1/24|→ gateway eth0"),
    ("address", "iface eth0 inet static|address 10.0.0.1/24|→ broadcast 10.0.0.256"),
    ("address", "iface vx|vxlan-id 9|→ vxlan_local_tunnelip 10.0.0.300"),
    ("address", "iface vx|vxlan-id 9|→ vxlan-remoteip peer"),
    ("netmask", "iface eth0 inet static|→ address 10.0.0.1/33"),
    ("netmask", "iface eth0 inet static|→ address 10.0.0.1/255.0.255.0"),
    ("netmask", "iface eth0 inet static|→ address 10.0.0.1/0x18"),
    ("netmask", "iface eth0 inet static|→ address 10.0.0.1/-1"),
    ("netmask", "iface eth0 inet6 static|→ address 2001:db8::1/129"),
    ("netmask", "iface eth0 inet static|address 10.0.0.1|→ netmask 255.255.255"),
    ("netmask", "iface eth0 inet static|address 10.0.0.1|→ netmask 255.255.0.255"),
    ("netmask", "iface eth0 inet static|address 10.0.0.1|→ netmask /24"),
    ("netmask", "iface eth0 inet static|address 10.0.0.1|→ netmask -1"),
    ("netmask", "iface eth0 inet6 static|address 2001:db8::1|→ netmask 129"),
    ("duplicate-address", "iface eth0|address 10.0.0.1/24|→ address 10.0.0.1/24"),
    ("duplicate-address", "iface eth0|address 10.0.0.1/24|iface vmbr0|bridge-ports none|→ address 10.0.0.1/16"),
    ("duplicate-address", "iface eth0|address 10.0.0.1/24|iface eth0:1 inet static|→ address 10.0.0.1|netmask 24"),
    ("duplicate-address", "iface eth0|address 2001:db8::1/64|iface eth1 inet6 static|→ address 2001:DB8:0::0:1/64"),
    ("ifname", "→ iface abcdefghijklmnop"),
    ("ifname", "→ iface a/b inet manual"),
    ("ifname", "→ iface .. inet6 manual"),
    ("ifname", "→ iface ééééééééé inet manual"),
    ("ifname", "iface enp65s0f0np0|iface vmbr0|→ bridge-ports enp65s0f0np0.1234"),
    ("member-type", "iface vmbr0|→ bridge_ports vmbr1|iface vmbr1|bridge-ports none"),
    ("member-type", "iface vmbr0|→ bridge-ports lo"),
    ("member-type", "iface bond0|→ slaves eth0.5|iface eth0.5"),
    ("member-type", "iface bond0|→ bond_slaves eth0.5"),
    ("member-type", "iface bond0|→ bond-slaves vmbr0 eth0|iface vmbr0|bridge-ports none"),
    ("member-type", "iface vmbr0|→ bridge-ports eth0:1|iface eth0:1 inet static|address 10.0.0.1/24"),
    ("member-type", f"{OVS}iface vmbr0|→ bridge-ports ovs0"),
    ("member-type", f"{OVS}→ ovs_ports vmbr0|iface vmbr0|bridge-ports none"),
    ("member-type", "iface vrf1|vrf-table 10|iface vmbr0|→ bridge-ports vrf1"),
    ("member-type", "iface m|macvlan-raw-device eth0|iface vmbr0|→ bridge-ports m"),
    ("unknown-value", "iface vmbr0|bridge-ports none|→ bridge_stp 2"),
    ("unknown-value", "iface vmbr0|bridge-ports none|→ bridge-vlan-aware maybe"),
    ("unknown-value", "iface vmbr0|bridge-ports none|→ bridge_fd -1"),
    ("unknown-value", "iface bond0|bond-slaves none|→ bond-miimon 1e2"),
    ("unknown-value", "iface eth0|→ hwaddress 02:00"),
    ("unknown-value", "iface eth0 inet static|address 10.0.0.1/24|gateway 10.0.0.2|→ metric ²"),
    ("duplicate-vlan", "iface eth0.5|iface data|→ vlan-id 5|vlan-raw-device eth0"),
    ("duplicate-vlan", "iface data|vlan-id 5|vlan-raw-device eth0|iface vmbr0|→ bridge-ports eth0.5"),
    ("gateway-unreachable", "iface eth0|address 10.0.0.1/24|→ gateway 10.0.0.1"),
    ("syntax", "iface eth0 inet manual|→ bridge-ports|mtu 1500"),
    ("syntax", "→ iface eth0 inet7 manual"),
    ("syntax", "→ mtu 1500|iface eth0"),
    ("syntax", "auto eth0|→ mtu 1500|iface eth0"),
    ("syntax", "mapping eth*|→ mtu 1500|script /bin/true"),
]  # fmt: skip

WARNINGS = [
    ("unknown-option", "iface eth0|→ mtuu 1500"),
    ("unknown-option", "iface vmbr0|bridge-ports none|→ bridge_stpp on"),
    ("unknown-option", "iface bond0 inet6 manual|bond-slaves eth0|→ bond-slave eth1"),
    ("duplicate-gateway", "iface eth0|address 10.0.0.1/24|gateway 10.0.0.2|→ gateway 10.0.0.3"),
    ("duplicate-gateway", "iface eth0|address 1.0.0.1/8|gateway 1.0.0.2|iface eth1|address 2.0.0.1|→ gateway 2.0.0.2"),
    ("duplicate-gateway", "iface eth0|address db8::1/64|gateway fe80::1|iface eth1|address ::9/64|→ gateway fe80::1"),
    ("gateway-unreachable", "iface eth0 inet static|address 10.0.0.1|netmask 255.255.255.0|→ gateway 10.0.1.1"),
    ("gateway-unreachable", "iface eth0 inet6 static|address 2001:db8::1/64|→ gateway 2001:db8:1::1"),
    ("gateway-unreachable", "iface eth0|address 10.0.0.1/32|→ gateway 10.0.0.2"),
    ("missing-member", "iface vmbr0|→ bridge-ports tap100i0"),
    ("member-used-twice", "iface vmbr0|→ bridge-ports eth0 eth0"),
    ("address", "iface eth0|→ address 10.0.0.0/24"),
    ("address", "iface eth0 inet static|→ address 10.0.0.255|netmask 24"),
    ("address", "iface eth0|→ address 2001:db8::/64"),
    ("duplicate-address", "iface eth0|address 10.0.0.1/26|iface vmbr0|bridge-ports none|→ address 10.0.0.1/32"),
    ("overlapping-networks", "iface eth0|address 10.0.0.1/24|iface eth1|→ address 10.0.0.2/24"),
    ("overlapping-networks", "iface eth0|address 10.0.0.1/8|iface eth1 inet static|→ address 10.9.0.2|netmask 24"),
    ("overlapping-networks", "iface eth1|→ address 10.9.0.2/24|iface eth0|address 10.0.0.1/8"),
    ("overlapping-networks", "iface eth0|address 2001:db8::1/64|iface eth1|→ address 2001:db8::2/64"),
    ("port-option", "iface vmbr0|bridge-ports eth0|→ bridge-vids 2-4"),
    ("bond-primary", "iface bond0|bond-slaves eth0|bond-mode 802.3ad|→ bond-primary eth0"),
    ("bond-mode", "iface bond0|bond-slaves eth0|bond-mode 1|→ bond-lacp-rate 1"),
    ("unknown-value", "iface bond0|bond-slaves eth0|→ bond-updelay 150"),
    ("mtu", "iface eth0|address 10.0.0.1/24|→ iface vx|vxlan-id 9|vxlan-local-tunnelip 10.0.0.1"),
    ("parent-type", "iface bond0|bond-slaves eth0|→ iface eth0.5"),
    ("missing-parent", "→ iface eth0:1 inet static|address 10.0.0.1/24"),
    ("missing-stanza", "iface eth0|→ auto eth0 eth1"),
    ("missing-stanza", "→ allow-hotplug eth1|iface eth0"),
    ("missing-stanza", "iface vmbr0|bridge-ports none|→ auto vmbr"),
    ("syntax", "iface eth0 inet manual|→ iface eth1 inet manual # uplink"),
]  # fmt: skip

CLEAN = [
    "iface eth0|address 10.0.0.0/31|iface eth1|address 10.0.1.1/32",
    "iface eth0|address 2001:db8::/127",
    "iface eth0 inet static|address 0.0.0.0|iface vmbr0|bridge-ports eth0",
    "iface eth0|address fe80::1/64|iface eth1|address fe80::1/64",
    "iface eth0|address 10.0.0.1/24|address 10.0.0.2/24|iface eth0:1 inet static|address 10.0.0.3/24",
    "iface eth0 inet static|address 10.0.0.1|netmask 255.255.255.255|pointopoint 10.9.9.9|gateway 10.9.9.9",
    "iface eth0|address 10.0.0.1/24|iface eth1|address 10.0.1.1/24|iface eth2|address 2001:db8::1/64",
    "auto eth0 /eth*/1 eth1=home|iface eth0|iface home inet manual",
    "auto eth0|mapping eth*|script /bin/true",
    "iface vmbr0|bridge_ports none|iface vmbr1 inet manual|bridge-ports none",
    "iface eth0|mtu 9000|iface eth0.5.6|mtu 9000|iface vmbr0|bridge-ports eth0.5.6|mtu 9000",
    "iface eth0.5|vlan-protocol 802.1AD|iface eth0.6|vlan-protocol 802.1Q",
    "iface bond0|bond-slaves none|bond-mode 4|bond-lacp-rate 1",
    "iface bond0|bond-slaves eth0 eth1|bond-mode active-backup|bond-primary eth1",
    "iface eth0|address 10.0.0.1/24|iface vx|vxlan-id 9|vxlan-local-tunnelip 10.0.0.1|mtu 1450",
    "iface vx|vxlan-id 9|vxlan-local-tunnelip 10.0.0.9|vxlan-remoteip 10.0.0.8",
]  # fmt: skip


def spelled(row: str) -> tuple[str, int]:
    lines = row.split("|")
    at = next((number for number, line in enumerate(lines, 1) if line.startswith("→")), 0)
    return "\n".join(
        line.removeprefix("→").strip() if at == number else line for number, line in enumerate(lines, 1)
    ), at


def compiled(text: str | bytes) -> Compiled:
    return compile_interfaces(single(parse(text)), NICS)


def places(problems: tuple[Problem, ...], severity: str) -> set[tuple[str, int]]:
    return {(problem.code, problem.line) for problem in problems if problem.severity == severity}


@pytest.mark.parametrize(("code", "row"), ERRORS)
def test_an_error_has_its_code_and_line(code: str, row: str) -> None:
    text, line = spelled(row)
    found = compiled(text)
    assert (code, line) in places(found.problems, "error"), [*map(str, found.problems)]


@pytest.mark.parametrize(("code", "row"), WARNINGS)
def test_a_warning_has_its_code_and_line_and_refuses_nothing(code: str, row: str) -> None:
    text, line = spelled(row)
    found = compiled(text)
    assert found.errors == ()
    assert (code, line) in places(found.problems, "warning"), [*map(str, found.problems)]


@pytest.mark.parametrize("row", CLEAN)
def test_nothing_is_wrong_with(row: str) -> None:
    assert [*map(str, compiled(spelled(row)[0]).problems)] == []


@pytest.mark.parametrize("ending", ["\r\n", "  \n", "\t\n"])
@pytest.mark.parametrize(("code", "row"), ERRORS[::7])
def test_whitespace_makes_no_difference(code: str, row: str, ending: str) -> None:
    text, line = spelled(row)
    found = compiled(text.replace("\\\n", "").replace("\n", f"{ending}\t ") + ending)
    assert (code, line) in places(found.problems, "error") or "\\" in text


@pytest.mark.parametrize(("code", "row"), ERRORS)
def test_in_a_file_that_is_sourced_it_is_told_of_there(code: str, row: str, tmp_path: Path) -> None:
    text, line = spelled(row)
    below = tmp_path / "etc/network"
    (below / "interfaces.d").mkdir(parents=True)
    (below / "interfaces").write_text("# comment\n\nauto lo\niface lo inet loopback\nsource interfaces.d/*\n")
    (below / "interfaces.d/one").write_text(text)
    found = compile_interfaces(load("/etc/network/interfaces", Disk(tmp_path)), NICS)
    assert ("/etc/network/interfaces.d/one", code, line) in {
        (problem.path, problem.code, problem.line) for problem in found.errors
    }


def test_what_is_wrong_between_files_is_told_of_in_the_later(tmp_path: Path) -> None:
    below = tmp_path / "etc/network"
    (below / "d").mkdir(parents=True)
    (below / "interfaces").write_text("source d/a\niface vmbr1\n bridge-ports eth0\nsource d/b\nsource d/missing\n")
    (below / "d/a").write_text("iface vmbr0\n bridge-ports eth0\niface eth1\n address 10.0.0.1/24\n")
    (below / "d/b").write_text("iface eth2\n address 10.0.0.1/24\n mtu x\n")
    found = compile_interfaces(load("/etc/network/interfaces", Disk(tmp_path)), NICS)
    assert {(problem.path.rpartition("/")[2], problem.code, problem.line) for problem in found.problems} == {
        ("interfaces", "member-used-twice", 3),
        ("interfaces", "source-missing", 5),
        ("b", "duplicate-address", 2),
        ("b", "mtu", 3),
    }


SPELLINGS = (
    "iface auto allow-hotplug mapping source rename template inherits inet inet6 static manual dhcp loopback lo eth0 "
    "eth1 eth9 eth0.5 eth0.5.6 eth0.٥ eth0.99999999999999999999 vlan5 vlan² vmbr0 vmbr0.5 vmbr1 bond0 bond1 eth0:1 vx "
    "address netmask gateway metric broadcast pointopoint mtu hwaddress bridge-ports bridge_ports bridge-vlan-aware "
    "bridge-vids bridge-access bridge-pvid bridge-fd bridge-stp bond-slaves slaves bond-mode bond-primary bond-miimon "
    "bond-updelay vlan-id vlan-raw-device vlan-protocol vxlan-id vxlan-local-tunnelip vxlan-remoteip vxlan-physdev "
    "vxlan-svcnodeip ovs_type ovs_ports ovs_bonds ovs_options bond_mode=x OVSBridge vrf up post-up regex glob noregex "
    "eth.* eth[ ( * none yes no 0 1 5 -1 ² 0x1f 1_0 1.0 4095 9000 99999999999 10.0.0.1/24 10.0.0.2 10.0.0.1/33 24 "
    "vrf-table auto link-type veth dummy veth-peer-name macvlan-raw-device macvlan-mode geneve-id geneve-remote "
    "tunnel-mode gre gretap sit mode tunnel-local tunnel-endpoint bond-master requires "
    "255.255.255.0 255.0.255.0 2001:db8::1/64 fe80::1 ::/0 0.0.0.0 nat-masquerade # \\ \0 \udcff"
)
WORDS = st.sampled_from(SPELLINGS.split())
SOUP = st.lists(st.lists(WORDS, min_size=1, max_size=4).map(" ".join), max_size=12).map("\n".join)
COUNTED = "address netmask gateway metric mtu vlan-id bridge-ports bridge-vids bridge-fd ovs_mtu preferred-lifetime"
NUMBERED = st.builds(
    lambda options, digits: "iface eth0.5\n" + "".join(f"{option} {'9' * digits}\n" for option in options),
    st.lists(st.sampled_from(COUNTED.split())),
    st.sampled_from([1, 3, 4, 9, 10, 20, 400, 4301]),
)


@given(st.text() | SOUP | NUMBERED)
def test_no_text_breaks_it(text: str) -> None:
    found = compiled(text)
    assert found.errors or found.state is not None
    lines = text.count("\n") + 1
    assert all(1 <= problem.line <= lines and problem.message for problem in found.problems)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"iface b{n}\n bridge-ports b{n + 1}\n" for n in range(3000)) + "iface b3000\n bridge-ports b0\n",
        "".join(f"iface v{n}\n vlan-id 5\n vlan-raw-device v{n + 1}\n" for n in range(3000)),
        "".join(f"iface d{n}\n address 10.0.0.{n % 250 + 1}/8\n gateway 10.0.0.1\n" for n in range(3000)),
        "iface vmbr0\n bridge-ports " + " ".join(f"eth0.{n}" for n in range(1, 4095)),
        "iface vmbr0\n bridge-ports a" + ".1" * 20000,
        "iface eth0\n"
        + "".join(f" address 10.{n >> 8}.{n & 255}.1/24\n gateway 10.0.0.{n % 250}\n" for n in range(3000)),
        "iface eth0\nauto " + " ".join(f"e{n}" for n in range(3000)),
        "iface x\n" + "".join(f" option-{n} 1\n" for n in range(1000)),
    ],
    ids=["circle", "chain", "overlap", "trunk", "dots", "addresses", "autos", "unknown"],
)
def test_it_takes_no_longer_the_more_it_is_tangled(text: str) -> None:
    """A question of order: a quadratic one takes minutes here, and the run's time limit ends it."""
    assert compiled(text).devices
