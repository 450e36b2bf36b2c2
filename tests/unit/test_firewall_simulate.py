"""What a rule matches of what is known, where zones are, and what a path is made of.

That the verdicts are the kernel's is shown by tests/kernel/test_firewall_packets.py.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pvenetd.ctl.main import main
from pvenetd.firewall.match import Facts, Packet, matches
from pvenetd.firewall.ruleset import ARP, ICMP, IP6, TCP, UDP, Addresses, IcmpType, Limit, NamedSet, Rule, SetRef, Span
from pvenetd.firewall.ruleset import TcpFlags as Flags
from pvenetd.firewall.simulate import priority
from tests.netns import fresh


def one(number: int) -> Span:
    return Span(number, number)


NEAR = Addresses(4, (Span(10, 19),))
SYN = Packet(protocol=TCP, source=one(15), dest=one(30), sport=one(40000), dport=one(22))
PING = Packet(protocol=ICMP, icmp=IcmpType(8, 0))
SETS = {("dc-near", 4): NamedSet("dc-near", 4, NEAR.spans)}


@pytest.mark.parametrize(
    ("rule", "packet", "answer"),
    [
        (Rule("drop"), SYN, True),
        (Rule("drop", protocol=TCP, dport=(one(22),)), SYN, True),
        (Rule("drop", protocol=TCP, dport=(one(23),)), SYN, False),
        (Rule("drop", protocol=UDP), SYN, False),
        (Rule("drop", protocol=TCP, dport=(one(22),)), replace(SYN, dport=None), None),
        (Rule("drop", protocol=TCP, dport=(one(22),), iif="tap9"), replace(SYN, dport=None), False),
        (Rule("drop", protocol=TCP), replace(SYN, protocol=None), None),
        (Rule("drop", source=NEAR), SYN, True),
        (Rule("drop", source=NEAR), replace(SYN, source=Span(12, 25)), None),
        (Rule("drop", source=NEAR), replace(SYN, source=None), None),
        (Rule("drop", source=NEAR), replace(SYN, source=Span(20, 25)), False),
        (Rule("drop", source=NEAR), replace(SYN, ethertype=IP6), False),
        (Rule("drop", source=Addresses(4, ())), replace(SYN, source=None), False),
        (Rule("drop", source=Addresses(4, (Span(0, 2**32 - 1),))), replace(SYN, source=None), True),
        (Rule("drop", not_source=NEAR), SYN, False),
        (Rule("drop", not_source=NEAR), replace(SYN, source=one(25)), True),
        (Rule("drop", not_source=NEAR), replace(SYN, source=None), False),
        (Rule("drop", source=SetRef("dc-near", 4)), SYN, True),
        (Rule("drop", source=SetRef("dc-gone", 4)), SYN, False),
        (Rule("drop", icmp=(IcmpType(8),), protocol=ICMP), PING, True),
        (Rule("drop", icmp=(IcmpType(8, 1),), protocol=ICMP), PING, False),
        (Rule("drop", state=("established", "related")), SYN, False),
        (Rule("drop", state=("established",)), replace(SYN, state="established"), True),
        (Rule("drop", tcp_flags=Flags(0x17, 0x02)), SYN, True),
        (Rule("drop", tcp_flags=Flags(0x17, 0x02)), replace(SYN, state="established"), False),
        (Rule("drop", limit=Limit(1, "second", 5)), SYN, True),
        (Rule("drop", limit=Limit(1, "second", 5, over=True)), SYN, False),
        (Rule("drop", not_mac="02:00:00:00:00:01"), SYN, False),
        (Rule("drop", not_mac="02:00:00:00:00:01"), replace(SYN, mac="02:00:00:00:00:09"), True),
        (Rule("drop", smurf=True), replace(SYN, source=one(0xFFFFFFFF)), True),
        (Rule("drop", smurf=True), SYN, False),
        (Rule("drop", not_arp_source=NEAR), Packet(ARP, arp_source=30), True),
        (Rule("drop", not_arp_source=NEAR), Packet(ARP), False),
        (Rule("drop", not_arp_source=NEAR), SYN, False),
    ],
)
def test_a_rule_matches_what_is_known(rule: Rule, packet: Packet, answer: bool | None) -> None:
    assert matches(rule, packet, Facts(sets=SETS)) is answer


@pytest.mark.parametrize(
    ("text", "number"), [("filter", 0), ("dstnat - 5", -105), ("srcnat+1", 101), ("-10", -10), ("raw", -300)]
)
def test_priorities_have_names(text: str, number: int) -> None:
    assert priority(text) == number


FILES = {
    "network/interfaces": """\
auto vmbr0 vmbr1 vmbr2
iface vmbr0 inet static
	address 192.0.2.1/24
	gateway 192.0.2.254
	bridge-ports eno1
	bridge-vlan-aware yes
iface vmbr1 inet static
	address 198.51.100.1/24
	bridge-ports none
	nat-masquerade vmbr0
	nat-forward tcp 8080 198.51.100.102:80
iface vmbr2 inet manual
	bridge-ports eno2
iface eno1 inet manual
iface eno2 inet manual
""",
    "pvenetd/firewall/cluster.fw": "[OPTIONS]\nenable: 1\n",
    "pvenetd/firewall/100.fw": "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 22 -source 192.0.2.0/24 # ssh\n",
    "pvenetd/firewall/102.fw": "[OPTIONS]\nenable: 1\npolicy_in: REJECT\n[RULES]\nIN ACCEPT -p tcp -dport 80\n",
    "pvenetd/firewall/103.fw": "[OPTIONS]\nenable: yes\n",
    "pvenetd/qemu-server/100.conf": """\
net0: virtio=02:00:00:00:00:01,bridge=vmbr0,firewall=1
net1: virtio=02:00:00:00:01:01,bridge=vmbr0,firewall=1,tag=20
net2: virtio=02:00:00:00:02:01,bridge=vmbr2,firewall=0
""",
    "pvenetd/qemu-server/102.conf": "net0: virtio=02:00:00:00:00:03,bridge=vmbr1,firewall=1\n",
    "pvenetd/qemu-server/103.conf": "net0: virtio=02:00:00:00:00:04,bridge=vmbr0,firewall=1\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "etc" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "etc" / name).write_text(text)
    return tmp_path


def simulated(root: Path, words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    start, end, *more = words.split()
    asked = ["--root", str(root), "--json", "firewall", "simulate", "--from", start, "--to", end, *more]
    assert main(asked) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(
    ("words", "verdict", "points", "rules"),
    [
        ("outside vm/100 --proto tcp --dport 22", "ACCEPT", ["vm/100/net0 gets"], ["100.fw:4"]),
        ("outside vm/100 --proto tcp --dport 22 --source 203.0.113.5", "DROP", ["vm/100/net0 gets"], ["policy_in"]),
        (
            "outside vm/100 --proto tcp --dport 23 --state established",
            "ACCEPT",
            ["vm/100/net0 gets"],
            ["established"],
        ),
        # Another VLAN of the same bridge, in which the host has no address: a router outside brings it there.
        (
            "vm/100 vm/100/net1 --proto tcp --dport 22 --source 192.0.2.7",
            "ACCEPT",
            ["vm/100/net0 sends", "outside", "vm/100/net1 gets"],
            ["policy_out", "100.fw:4"],
        ),
        (
            "vm/102 outside --proto udp --dport 53",
            "ACCEPT",
            ["vm/102/net0 sends", "the host sends on"],
            ["policy_out", "interfaces:10"],
        ),
        # The forward leads to the only guest that is on that bridge.
        (
            "outside host --proto tcp --dport 8080",
            "ACCEPT",
            ["the host gets", "vm/102/net0 gets"],
            ["interfaces:11", "102.fw:5"],
        ),
        ("outside vm/100/net2 --proto tcp", "ACCEPT", ["vm/100/net2 gets"], []),
        ("vm/100/net2 host --proto tcp", "DROP", ["vm/100/net2 sends", "to host"], []),
        ("outside vm/103 --proto tcp", "DROP", ["vm/103/net0 gets"], ["broken rules"]),
        ("bridge/vmbr1 vm/102 --proto tcp --dport 81", "REJECT", ["vm/102/net0 gets"], ["102.fw:3"]),
        ("bridge/vmbr1 vm/102 --proto tcp --dport 80", "ACCEPT", ["vm/102/net0 gets"], ["102.fw:5"]),
    ],
)
def test_the_files_tell_the_way_and_the_rules(
    root: Path, capsys: pytest.CaptureFixture[str], words: str, verdict: str, points: list[str], rules: list[str]
) -> None:
    found = simulated(root, words, capsys)
    assert (found["verdict"], [step["point"] for step in found["path"]]) == (verdict, points)
    assert [hit["origin"] for hit in found["rules"]] == rules


def test_what_is_left_out_is_assumed_and_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = simulated(root, "outside vm/100 --proto tcp --dport 22", capsys)
    assert found["assumed"] == [
        "source: any of 192.0.2.0 to 192.0.2.255, the network of vmbr0",
        "destination: any of 192.0.2.0 to 192.0.2.255, the network of vmbr0",
        "source port: any of 32768 to 60999",
        "with an address outside that no rule names it is DROP",
    ]
    assert found["rules"][0]["text"] == "IN ACCEPT -p tcp -dport 22 -source 192.0.2.0/24 # ssh"
    depends = simulated(root, "vm/102 vm/100 --proto tcp", capsys)["depends"]
    assert "100.fw:4" in [one["origin"] for one in depends]


@pytest.mark.netns
@pytest.mark.parametrize(("end", "verdict"), [("vm/100", "ACCEPT"), ("vm/102", "REJECT"), ("host", "ACCEPT")])
def test_a_host_without_an_uplink_is_asked_as_if_the_bridge_had_one(
    root: Path, capsys: pytest.CaptureFixture[str], end: str, verdict: str
) -> None:
    bare = "auto vmbr{0}\niface vmbr{0} inet static\n\taddress {1}/24\n\tbridge-ports none\n"
    (root / "etc/network/interfaces").write_text(bare.format(0, "192.0.2.1") + bare.format(1, "198.51.100.1"))
    with fresh():
        found = simulated(root, f"outside {end} --proto tcp --dport 22", capsys)
    bridge = "vmbr1" if end == "vm/102" else "vmbr0"
    assert f"outside: there is no uplink, so it is taken to be in {bridge}" in found["assumed"]
    assert found["verdict"] == verdict


def test_a_broken_file_is_told_of(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "103.fw:2: " in simulated(root, "outside vm/103 --proto tcp", capsys)["problems"][0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("outside vm/105", "no guest 105"),
        ("outside vm/100/net5", "guest 100 has no net5 on a bridge"),
        ("outside outside", "from outside to itself nothing is asked"),
        ("outside vm/100 --source 192.0.2.1 --dest 2001:db8::1", "IPv4 and IPv6 are mixed"),
        ("outside nowhere", "to: should be outside, host, vm/VMID, vm/VMID/netN or bridge/NAME"),
        ("outside host --proto tpc", "proto: unknown protocol 'tpc'"),
        ("outside host --proto icmp --icmp-type ecco", "icmp-type: unknown ICMP type 'ecco'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    start, end, *more = words.split()
    assert main(["--root", str(root), "firewall", "simulate", "--from", start, "--to", end, *more]) == 1
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.netns
def test_no_addresses_are_assumed_where_the_host_has_none(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aware = "auto vmbr0\niface vmbr0\n\taddress 192.0.2.1/24\n\tbridge-ports none\n\tbridge-vlan-aware yes\n"
    (root / "etc/network/interfaces").write_text(aware)
    (root / "etc/pvenetd/qemu-server/100.conf").write_text("net0: virtio=02:00:00:00:01:00,bridge=vmbr0,tag=30\n")
    with fresh():
        found = simulated(root, "outside vm/100 --proto tcp --dport 22", capsys)
    assert "source: any address, so no rule about addresses matches" in found["assumed"]
    assert "destination: any address, so no rule about addresses matches" in found["assumed"]
