"""Stanzas become State: what is brought up, what stands on what, and what follows without being said."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.commands import Hook
from pvenetd.compile import Compiled, compile_interfaces
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse
from pvenetd.kinds import KINDS
from pvenetd.kinds.link import options
from pvenetd.state import Chains, to_json
from pvenetd.vocabulary import PHASES, PORT_OPTIONS


def compiled(text: str, nics: tuple[str, ...] = ("eth0", "eth1")) -> Compiled:
    found = compile_interfaces(single(parse(text, "interfaces")), nics)
    assert [str(problem) for problem in found.errors] == []
    return found


def link(found: Compiled, name: str) -> dict[str, object]:
    return found.state["link", name].model_dump(exclude_unset=True, exclude={"name", "owner", "origin"})


def test_only_auto_and_what_it_stands_on_is_brought_up() -> None:
    found = compiled(
        "auto vmbr0\niface vmbr0 inet manual\n bridge-ports eth0.5\niface eth0 inet manual\niface eth1 inet manual\n"
    )
    assert [key[1] for key in found.state] == ["vmbr0", "eth0", "eth0.5"]


def test_a_dotted_port_needs_no_stanza() -> None:
    found = compiled("auto vmbr0\niface vmbr0 inet manual\n bridge-ports eth0.5\n")
    assert link(found, "eth0.5") == {"raw_device": "eth0", "vlan_id": 5, "master": "vmbr0", "mtu": 1500}


@pytest.mark.parametrize(
    ("ports", "more", "below"),
    [
        ("eth1 eth0", "", ("eth1",)),
        ("none", "", None),
        ("tap100i0 eth0", "", ("eth0",)),
        ("eth0.5", "", ("eth0.5", "eth0")),
        ("vlan5", "iface vlan5 inet manual\n vlan-raw-device eth1\n", ("vlan5", "eth1")),
        ("bond0", "iface bond0 inet manual\n bond-slaves eth1 eth0\n", ("bond0", "eth1")),
    ],
)
def test_a_bridge_knows_whose_mac_it_takes(ports: str, more: str, below: tuple[str, ...] | None) -> None:
    found = compiled(f"auto vmbr0\niface vmbr0 inet manual\n bridge-ports {ports}\n{more}")
    assert link(found, "vmbr0").get("mac_of") == below
    if "bond0" in ports:
        assert link(found, "bond0")["mac_of"] == ("eth1",)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("iface eth0.5 inet manual", "eth0.5"),
        ("iface vlan5 inet manual\n vlan-raw-device eth0", "vlan5"),
        ("iface vlan5 inet manual\n vlan_raw_device eth0", "vlan5"),
        ("iface storage inet manual\n vlan-raw-device eth0\n vlan-id 5", "storage"),
    ],
)
def test_a_vlan_has_three_spellings(spelling: str, name: str) -> None:
    assert link(compiled(f"auto {name}\n{spelling}\n"), name) == {"raw_device": "eth0", "vlan_id": 5, "mtu": 1500}


def test_a_vlan_aware_bridge_carries_its_own_vlans_itself() -> None:
    found = compiled(
        "auto vmbr0\niface vmbr0 inet manual\n bridge-ports eth0 eth1\n bridge-vlan-aware yes\n bridge-vids 10 20-30\n"
        "auto vmbr0.20\niface vmbr0.20 inet manual\n"
        "iface eth1 inet manual\n bridge-access 99\n"
    )
    assert (link(found, "vmbr0")["pvid"], link(found, "vmbr0")["vids"]) == (1, "1,20")
    assert (link(found, "eth0")["pvid"], link(found, "eth0")["vids"]) == (1, "1,10,20-30")
    assert (link(found, "eth1")["pvid"], link(found, "eth1")["vids"]) == (99, "99")


def test_mtus_follow_what_is_below() -> None:
    found = compiled(
        "auto vmbr0 bond0.7\niface eth0 inet manual\n mtu 9000\n"
        "iface bond0 inet manual\n bond-slaves eth0 eth1\n mtu 9000\n"
        "iface bond0.7 inet manual\niface vmbr0 inet manual\n bridge-ports bond0\n"
    )
    assert {name: link(found, name)["mtu"] for name in ("eth0", "eth1", "bond0", "bond0.7", "vmbr0")} == dict.fromkeys(
        ("eth0", "eth1", "bond0", "bond0.7", "vmbr0"), 9000
    )


def test_an_alias_is_a_label_on_its_link() -> None:
    found = compiled(
        "auto eth0 eth0:web\niface eth0 inet manual\niface eth0:web inet static\n address 192.0.2.72\n netmask 24\n"
    )
    address = found.state["address", "eth0", "192.0.2.72/24"]
    assert address.model_dump()["label"] == "eth0:web"
    assert ("link", "eth0:web") not in found.state


def test_addresses_of_both_families_and_their_gateways() -> None:
    found = compiled(
        "auto eth0\niface eth0 inet static\n address 192.0.2.1/24\n address 192.0.2.2/24\n gateway 192.0.2.254\n"
        "iface eth0 inet6 static\n address 2001:db8::1\n netmask 64\n gateway fe80::1\n"
    )
    assert [key for key in found.state if key[0] != "link"] == [
        ("address", "eth0", "192.0.2.1/24"),
        ("address", "eth0", "192.0.2.2/24"),
        ("address", "eth0", "2001:db8::1/64"),
        ("route", "inet", "default", "0"),
        ("route", "inet6", "default", "0"),
    ]


def test_a_gateway_outside_its_network_is_on_the_link() -> None:
    found = compiled("auto eth0\niface eth0 inet static\n address 192.0.2.1/32\n gateway 198.51.100.1\n")
    assert found.state["route", "inet", "default", "0"].model_dump()["onlink"] is True


NAT = """auto vmbr1
iface vmbr1 inet static
\taddress 10.10.10.1/24
\tbridge-ports none

\tpost-up   echo 1 > /proc/sys/net/ipv4/ip_forward
\tpost-up   iptables -t nat -A POSTROUTING -s '10.10.10.0/24' -o eth0 -j MASQUERADE
\tpost-down iptables -t nat -D POSTROUTING -s '10.10.10.0/24' -o eth0 -j MASQUERADE
"""


def test_the_documented_masquerade_is_no_command_any_more() -> None:
    found = compiled(NAT)
    hook = found.state["hook", "vmbr1", "up", "inet"]
    assert isinstance(hook, Hook)
    assert hook.run == (("post-up", "echo 1 > /proc/sys/net/ipv4/ip_forward"),)
    assert found.state["sysctl", "net/ipv4/ip_forward"].model_dump()["value"] == "1"
    assert found.nat[0].origin == "interfaces:7"


def test_both_spellings_of_masquerade_load_the_same_rule_once() -> None:
    command = compiled(NAT).state["chains", "nat"]
    twice = compiled(NAT + "\tpost-up iptables -t nat -A POSTROUTING -s 10.10.10.0/24 -o eth0 -j MASQUERADE\n").state[
        "chains", "nat"
    ]
    option = compiled(
        "auto vmbr1\niface vmbr1 inet static\n address 10.10.10.1/24\n bridge-ports none\n nat-masquerade eth0\n"
    ).state["chains", "nat"]
    for chains in (command, twice, option):
        assert isinstance(chains, Chains)
        assert chains.text.count("masquerade") == 1


OPTIONS = sorted(
    {spelling for kind in KINDS.values() for spelling in options(kind)}
    | {*PORT_OPTIONS, *PHASES, "address", "netmask", "gateway", "broadcast", "pointopoint", "metric", "nat-masquerade"}
)
VALUES = [
    "none",
    "yes",
    "0",
    "1",
    "5",
    "4095",
    "5-6",
    "eth0",
    "vmbr0",
    "lo",
    "eth0:1",
    "10.0.0.1/24",
    "10.0.0.1",
    "2001:db8::1/64",
    "fe80::1",
    "-1",
    "99999999999",
    "1.5",
    "٣",
    "802.1ad",
    "00:11:22:33:44:55",
    "$IFACE",
    "2-4094",
    "\x01",
    "é",
    "regex",
    "(",
    "glob",
    "*",
    "[",
]
NAMES = ["eth0", "vmbr0", "vmbr1", "bond0", "eth0.5", "vlan7", "storage", "vx1", "lo", "eth0:1", "eth9.5", "a.b.5"]
HEADS = ("inet static", "inet manual", "inet6 static", "inet dhcp", "inet loopback", "")

lines = st.tuples(st.sampled_from(OPTIONS), st.lists(st.sampled_from(VALUES), max_size=3)).map(
    lambda pair: f"\t{pair[0]} {' '.join(pair[1])}\n"
)
stanzas = st.builds(
    lambda name, head, body: f"auto {name}\niface {name} {head}\n{''.join(body)}",
    st.sampled_from(NAMES),
    st.sampled_from(HEADS),
    st.lists(lines, max_size=5),
)


@given(st.lists(stanzas, max_size=4).map("".join))
def test_whatever_is_written_is_either_refused_or_compiled(text: str) -> None:
    found = compile_interfaces(single(parse(text, "interfaces")), ("eth0", "eth1"))
    assert not (found.errors and found.state)
    assert json.loads(json.dumps(to_json(found.state))) is not None
