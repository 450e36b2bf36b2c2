"""What is wrong with a configuration is said with its code and its line, and nothing else is called wrong."""

import json
from pathlib import Path

import pytest

from pvenetd.compile import Compiled, compile_interfaces
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse

DATA = Path(__file__).parent.parent / "data" / "interfaces"
CASES = json.loads((DATA / "manifest.json").read_text())
LINES = {
    "i01-bond-slave-missing": 5,
    "i03-slave-and-port": 8,
    "i05-port-with-address": 5,
    "i07-vlan-id-4095": 4,
    "i09-vlan-parent-missing": 4,
    "i11-custom-vlan-without-id": 5,
    "i13-bond-mode-unknown": 6,
    "i15-mtu-bridge-above-port": 8,
    "i17-mtu-slave-above-bond": 5,
    "i19-bridge-access-not-vlan-aware": 5,
    "i21-vxlan-duplicate-id": 9,
    "i23-vlan-protocol": 5,
    "i25-bridge-mutual-loop": 5,
    "i27-bad-address": 5,
    "i29-name-too-long": 4,
}
AWARE = "iface vmbr0 inet manual\n bridge-ports eth0\n bridge-vlan-aware yes\n"


def compiled(text: str | bytes, nics: tuple[str, ...] = ("eth0", "eth1")) -> Compiled:
    return compile_interfaces(single(parse(text, "interfaces")), nics)


@pytest.mark.parametrize("case", [case for case in CASES if "invalid" in case], ids=lambda case: case["id"])
def test_what_is_invalid_is_refused_with_its_code_and_line(case: dict[str, str]) -> None:
    found = compiled((DATA / case["file"]).read_bytes(), tuple(case.get("nics", ())))
    assert (case["invalid"], LINES[case["id"]]) in {(problem.code, problem.line) for problem in found.errors}
    assert not found.state


@pytest.mark.parametrize("case", [case for case in CASES if "invalid" not in case], ids=lambda case: case["id"])
def test_what_real_hosts_have_is_not_refused(case: dict[str, str]) -> None:
    found = compiled((DATA / case["file"]).read_bytes(), tuple(case.get("nics", ())))
    assert [str(problem) for problem in found.errors] == []


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("iface bond0 inet manual\n bond-slaves eth0 eth1\n bond-mode 1\n bond-primary eth2", "bond-primary", 4),
        (
            "iface eth0 inet static\n address 10.0.0.1/24\niface eth1 inet static\n address 10.0.0.1/16",
            "duplicate-address",
            4,
        ),
        ("iface eth0 inet static\n address 10.0.0.1\n netmask 255.0.255.0", "netmask", 3),
        ("iface eth0 inet static\n address 10.0.0.1/33", "netmask", 2),
        ("iface eth0 inet static\n address 10.0.0.1\n netmask 33", "netmask", 3),
        ("iface eth0 inet static\n gateway 10.0.0.1", "address", 1),
        ("iface eth0 inet6 static\n address 10.0.0.1/24", "address", 2),
        ("iface eth0 inet static\n address 10.0.0.1/24\n gateway 10.0.0.256", "address", 3),
        ("iface vmbr0 inet manual\n bridge-ports vmbr0", "loop", 2),
        ("iface vmbr0 inet manual\n bridge-ports lo\niface lo inet loopback", "member-type", 2),
        ("iface vmbr0 inet manual\n bridge-ports none\niface bond0 inet manual\n bond-slaves vmbr0", "member-type", 4),
        (
            "iface vmbr0 inet manual\n bridge-ports eth0\niface vmbr1 inet manual\n bridge-ports eth0",
            "member-used-twice",
            4,
        ),
        ("iface vmbr0 inet manual\n bridge-ports eth0\niface eth0 inet dhcp", "address-on-port", 3),
        ("iface eth0.0 inet manual", "vlan-id-range", 1),
        ("iface v inet manual\n vlan-id 5", "missing-parent", 2),
        ("iface lo.5 inet manual\niface lo inet loopback", "parent-type", 1),
        ("iface eth0.5 inet manual\n mtu 9000", "mtu", 2),
        ("iface eth0 inet manual\n mtu 20", "mtu", 2),
        (
            "iface eth0:1 inet static\n address 10.0.0.1/24\niface eth9:1 inet static\n address 10.0.0.2/24",
            "missing-parent",
            3,
        ),
        ("iface et/h0 inet manual", "ifname", 1),
        ("iface vmbr0 inet manual\n bridge-ports none\n bridge-stp maybe", "unknown-value", 3),
        ("iface vmbr0 inet manual\n bridge-ports none\n bridge-stp on\n bridge-fd soon", "unknown-value", 4),
        ("iface eth0 inet manual\n hwaddress ether 01:00:5e:00:53:01", "unknown-value", 2),
        ("iface eth0 inet manual\n hwaddress 00:00:00:00:00:00", "unknown-value", 2),
        (f"{AWARE} bridge-vlan-protocol 802.1x", "vlan-protocol", 4),
        (
            "iface vmbr0 inet manual\n bridge-vlan-aware yes\n bridge-vids 2-5000\n bridge-ports none",
            "vlan-id-range",
            3,
        ),
        ("iface vx inet manual\n vxlan-id 16777216", "vxlan", 2),
        ("iface eth0 inet manual\n bridge-access 5", "port-option", 2),
        ("iface vmbr0 inet manual\n bridge-ports eth0\n bridge-pathcosts eth1=10", "port-option", 3),
        ("iface vmbr0 inet manual\n bridge-ports eth0\n bridge_portprio eth1 10", "port-option", 3),
        ("iface vmbr0 inet manual\n bridge-ports eth0\n bridge-learning eth0=perhaps", "unknown-value", 3),
        ("iface vmbr0 inet manual\n bridge-ports eth0\n bridge-portprios eth0=64", "unknown-value", 3),
        ("iface eth0 inet manual\n bridge-hairpin on", "port-option", 2),
        ("iface vmbr0 inet manual\n bridge-ports eth0\n bridge-mcast-vlan-snooping on", "unknown-value", 3),
        ("iface vmbr0 inet manual\n bridge-ports eth0\n bridge-group-fwd-mask 1", "unknown-value", 3),
        ("iface eth0 inet manual\n bond-master bond7", "missing-member", 2),
        ("iface bond0\n bond-slaves eth0\n bond-arp-interval 100\n bond-miimon 100", "unknown-value", 3),
        ("iface bond0\n bond-slaves eth0\n bond-arp-ip-target 2001:db8::1", "unknown-value", 3),
        ("iface eth0.5 inet manual\n vlan-egress-qos-map 1:8", "unknown-value", 2),
        ("iface eth0.5 inet manual\n vlan-ingress-qos-map 1", "unknown-value", 2),
        ("iface eth0 inet manual\n link-duplex both", "unknown-value", 2),
        ("iface eth0 inet manual\n ethernet-wol x", "unknown-value", 2),
        ("iface eth0 inet manual\n ring-rx most", "unknown-value", 2),
        (f"{AWARE}iface eth0 inet manual\n bridge-access 5-6", "vlan-id-range", 5),
        (f"{AWARE}iface eth0 inet manual\n bridge-access 0", "vlan-id-range", 5),
        (f"{AWARE}iface eth0 inet manual\n bridge-pvid 4095", "vlan-id-range", 5),
        (f"{AWARE}iface eth0 inet manual\n bridge-vids 2-5000", "vlan-id-range", 5),
        ("iface vmbr1 inet static\n address 10.0.0.1/24\n bridge-ports none\n nat-masquerade a/b", "unknown-value", 4),
        (
            "iface vmbr0\n bridge-ports eth0.5\n bridge-vlan-aware yes\niface eth0 inet manual\n bridge-vids 5",
            "port-option",
            5,
        ),
    ],
)
def test_every_error_has_its_code_and_line(text: str, code: str, line: int) -> None:
    assert (code, line) in {(problem.code, problem.line) for problem in compiled(text).errors}


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        (
            "iface vmbr0 inet manual\n bridge-ports none\n bridge-agein 5",
            "unknown-option",
            "did you mean bridge-ageing?",
        ),
        (
            "iface eth0 inet static\n address 10.0.0.1/24\n gateway 10.1.0.1",
            "gateway-unreachable",
            "it is taken to be on the link",
        ),
        (
            """iface eth0 inet static\n address 10.0.0.1/24\n gateway 10.0.0.2
            iface eth1 inet static\n address 10.1.0.1/24\n gateway 10.1.0.2""",
            "duplicate-gateway",
            "only one can hold: drop it, or give it a metric",
        ),
        (
            "iface vmbr0 inet manual\n bridge-ports none\n bridge-stp on\n bridge-fd 0",
            "unknown-value",
            "2 to 30 seconds, or bridge-stp off",
        ),
        ("iface eth0 inet statik\n address 10.0.0.1/24", "unknown-value", "did you mean static?"),
        ("iface eth0 inet\n address 10.0.0.1/24", "unknown-value", "say it: ifupdown wants one"),
        ("iface x inet manual\n link-type dumy", "unknown-value", ""),
    ],
)
def test_warnings_refuse_nothing(text: str, code: str, hint: str) -> None:
    found = compiled(text)
    assert [(problem.severity, problem.code, problem.hint) for problem in found.problems] == [("warning", code, hint)]


def test_all_problems_come_at_once() -> None:
    text = "iface eth0 inet static\n address 10.0.0.300/24\n mtu 20\niface vmbr0 inet manual\n bridge-ports eth7\n"
    assert [(problem.line, problem.code) for problem in compiled(text).errors] == [
        (2, "address"),
        (3, "mtu"),
        (5, "missing-member"),
    ]


def test_gateways_of_different_metric_are_no_duplicates() -> None:
    text = (
        "iface eth0 inet static\n address 10.0.0.1/24\n gateway 10.0.0.2\n"
        "iface eth1 inet static\n address 10.1.0.1/24\n gateway 10.1.0.2\n metric 100\n"
    )
    assert compiled(text).problems == ()


def test_what_others_inherit_from_need_not_be_whole() -> None:
    text = "iface lan inet static\n netmask 24\niface eth0 inet static inherits lan\n address 10.0.0.1\n"
    assert compiled(text).problems == ()


def test_with_stp_the_forward_delay_is_what_the_kernel_takes() -> None:
    found = compiled("auto vmbr0\niface vmbr0 inet manual\n bridge-ports none\n bridge-stp on\n bridge-fd 0\n")
    assert found.state["link", "vmbr0"].model_dump()["forward_delay"] == 2


def test_all_ports_are_the_hosts_cards() -> None:
    nics = ("eth0", "em1", "p2p1", "tap100i0", "wlan0")
    found = compiled("auto vmbr0\niface vmbr0 inet manual\n bridge_ports all\n", nics)
    assert found.problems == ()
    assert {name for _, name in found.state if found.state["link", name].model_dump()["master"]} == {*nics[:3]}


def test_an_address_is_told_as_it_is_written() -> None:
    text = "iface eth0 inet static\n address 10.0.0.1/24 10.0.0.2/24\n"
    assert [problem.message for problem in compiled(text).errors] == [
        "address: '10.0.0.1/24 10.0.0.2/24' does not appear to be an IPv4 or IPv6 interface"
    ]


def test_a_port_may_have_no_pvid() -> None:
    found = compiled(f"auto vmbr0\n{AWARE}iface eth0 inet manual\n bridge-pvid 0\n bridge-vids 5\n")
    assert found.problems == ()
    assert found.state["link", "eth0"].model_dump()["pvid"] == 0
