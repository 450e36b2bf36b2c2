"""A guest's file to its chains: what each option adds, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_interface

import pytest

from pvenetd.errors import ConfigError
from pvenetd.firewall.compile import Guest, Nic, compile_guest
from pvenetd.firewall.ruleset import Piece
from pvenetd.firewall.syntax import parse_cluster, parse_guest
from tests.rules import chain

CLUSTER = """\
[OPTIONS]
enable: 1
log_ratelimit: enable=1,rate=2/minute,burst=9
[ALIASES]
router 192.0.2.1
[IPSET servers]
192.0.2.8
[group web]
IN HTTP(ACCEPT) -log info
OUT REJECT -p udp
"""
MAC = "BC:24:11:00:53:01"
LINK = "fe80::be24:11ff:fe00:5301/128"


def compiled(text: str, cluster: str = CLUSTER, *addresses: str) -> Piece:
    nics = {
        0: Nic("tap100i0", firewall=True, mac=MAC, addresses=tuple(ip_interface(one) for one in addresses)),
        1: Nic("tap100i1", firewall=True, mac="BC:24:11:00:53:02"),
        2: Nic("tap100i2", firewall=False, mac="BC:24:11:00:53:03"),
    }
    config = parse_guest(f"[OPTIONS]\nenable: 1\n{text}", "100.fw")
    piece = compile_guest(Guest(100, config, nics), parse_cluster(cluster))
    assert piece
    return piece


def told(rules: list[str], *origins: str) -> list[str]:
    return [rule for rule in rules if rule.startswith(tuple(f"{origin}:" for origin in origins))]


NICS = (("tap100i0", "bc:24:11:00:53:01"), ("tap100i1", "bc:24:11:00:53:02"))


def _claim(port: str, mac: str) -> Iterator[str]:
    yield f"iif={port} not_mac={mac}"
    yield f"ethertypes=ip iif={port} protocol=17 dport=67 not_client_mac={mac}"


def _told(port: str, mac: str) -> Iterator[str]:
    yield f"ethertypes=arp iif={port} not_arp_mac={mac}"
    yield from (f"iif={port} protocol=58 icmp={kind} not_link_mac={mac}" for kind in (133, 135, 136))


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (
            "",
            [
                *(f"macfilter: drop {rule}" for nic in NICS for rule in _claim(*nic)),
                *(f"macfilter: drop {rule}" for nic in NICS for rule in _told(*nic)),
            ],
        ),
        ("macfilter: 0\n", []),
    ],
)
def test_what_a_guest_may_say_it_is(text: str, rules: list[str]) -> None:
    assert told(chain(compiled(text), "vm-100-out"), "macfilter", "ipfilter", "unspecified") == rules


@pytest.mark.parametrize(("rule", "relays"), [("IN ACCEPT -p udp -dport 67", True), ("IN ACCEPT -p udp", False)])
def test_who_lets_requests_in_may_pass_on_what_other_clients_ask_for(rule: str, relays: bool) -> None:
    rules = chain(compiled(f"[RULES]\n{rule}\n"), "vm-100-out")
    assert {"direct" in one for one in rules if "not_client_mac" in one} == {relays}


def allowed(text: str, *addresses: str) -> dict[str, str]:
    """Return the addresses of net0 by the field that they stand in."""
    rules = told(chain(compiled(f"macfilter: 0\n{text}", CLUSTER, *addresses), "vm-100-out"), "ipfilter")
    ends = [rule.rpartition(" ")[2].partition("=") for rule in rules if "tap100i0" in rule]
    return {field: value for field, _, value in ends}


@pytest.mark.parametrize(
    ("text", "addresses", "four", "six"),
    [
        ("[IPSET ipfilter-net0]\n192.0.2.100\n", [], "192.0.2.100/32", LINK),
        ("[IPSET IPFilter-Net0]\n192.0.2.64/26\n!192.0.2.64/27\n", [], "192.0.2.96/27", LINK),
        (
            "[IPSET ipfilter-net0]\ndc/router\nother\n[ALIASES]\nother 192.0.2.9\n",
            [],
            "192.0.2.1/32,192.0.2.9/32",
            LINK,
        ),
        ("[IPSET ipfilter-net0]\n2001:db8::7\nfe80::/10\n", [], "", f"2001:db8::7/128,{LINK}"),
        ("[IPSET ipfilter-net0]\nfe80::7\n", [], "", f"fe80::7/128,{LINK}"),
        ("[IPSET ipfilter-net0]\n!192.0.2.100\n", [], "", LINK),
        ("ipfilter: 1\n", [], "", LINK),
        ("ipfilter: 1\n", ["192.0.2.200/24", "2001:db8::c8/64"], "192.0.2.200/32", f"2001:db8::c8/128,{LINK}"),
        ("[IPSET ipfilter-net0]\n192.0.2.100\n", ["192.0.2.200/24"], "192.0.2.100/32,192.0.2.200/32", LINK),
    ],
)
def test_the_addresses_a_nic_may_have(text: str, addresses: list[str], four: str, six: str) -> None:
    """The probes of who has none yet (0.0.0.0, ::) pass here, to be judged by the chain ``unspecified``."""
    assert allowed(text, *addresses) == {
        "not_arp_source": f"0.0.0.0/32{',' * bool(four)}{four}",
        "not_source": f"::/128,{six}",
        "not_nd_target": six,
    }


@pytest.mark.parametrize(
    ("text", "filtered"),
    [
        ("", []),
        ("ipfilter: 1\n", ["i0", "i1"]),
        ("[IPSET ipfilter-net1]\n192.0.2.7\n", ["i1"]),
        ("[IPSET ipfilter-net2]\n", []),
    ],
)
def test_the_nics_whose_addresses_are_filtered(text: str, filtered: list[str]) -> None:
    rules = chain(compiled(text), "vm-100-out")
    assert [nic for nic in ("i0", "i1", "i2") if any(f"tap100{nic} not_source" in rule for rule in rules)] == filtered
    assert ("unspecified: jump unspecified" in rules) == bool(filtered)


def test_who_a_guest_is_stands_before_what_passes_by_its_connection() -> None:
    rules = chain(compiled("ipfilter: 1\nlayer2_protocols: ARP\n"), "vm-100-out")
    origins = [rule.partition(":")[0] for rule in rules]
    at = origins.index("established")
    assert (set(origins[:at]), at) == (
        {"macfilter", "ipfilter", "unspecified", "no dhcp server"},
        2 * 2 + 2 * 2 + 1 + 1,
    )
    assert all(re.search("not_mac=|not_client_mac=|not_source=", rule) for rule in rules[: at - 2])
    told_neighbours = [rule for rule in rules[at + 1 :] if rule.startswith(("macfilter", "ipfilter"))]
    assert told_neighbours == rules[at + 1 : at + 1 + 2 * 4 + 2 * 2]
    assert origins.index("layer2_protocols") < origins.index("any-out")


@pytest.mark.parametrize(
    ("text", "drops"),
    [
        ("", ["67 dport=68", "547 dport=546"]),
        ("policy_out: DROP\n", []),
        ("[RULES]\nIN DHCPfwd(ACCEPT)\n", ["547 dport=546"]),
        ("[RULES]\nIN ACCEPT -p udp -dport 67\nIN ACCEPT -p udp -dport 547\n", []),
        (
            "[RULES]\nIN ACCEPT -p udp\nIN DROP -p udp -dport 67\n|IN ACCEPT -p udp -dport 67\n",
            ["67 dport=68", "547 dport=546"],
        ),
        ("ips: 1\n[RULES]\nIN ACCEPT -p udp -dport 67\n", ["547 dport=546"]),
    ],
)
def test_a_guest_serves_dhcp_where_its_rules_let_requests_in(text: str, drops: list[str]) -> None:
    rules = chain(compiled(text), "vm-100-out")
    kinds = {"67 dport=68": "ip", "547 dport=546": "ip6"}
    assert told(rules, "dhcp server") == [
        f"dhcp server: drop ethertypes={kinds[ports]} protocol=17 sport={ports}" for ports in drops
    ]


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("", ["dhcp-out: jump dhcp-out", "radv: drop protocol=58 icmp=134", "ndp-out: jump ndp-out"]),
        ("radv: 1\n", ["dhcp-out: jump dhcp-out", "radv: accept protocol=58 icmp=134", "ndp-out: jump ndp-out"]),
        ("radv: 1\nndp: 0\ndhcp: 0\n", []),
        ("ndp: 0\ndhcp: 0\n", ["radv: drop protocol=58 icmp=134"]),
    ],
)
def test_what_a_guest_may_send_without_rules_of_its_own(text: str, rules: list[str]) -> None:
    assert told(chain(compiled(text), "vm-100-out"), "dhcp-out", "radv", "ndp-out") == rules


@pytest.mark.parametrize(
    ("text", "way", "end"),
    [
        ("", "in", ["policy_in: drop"]),
        ("", "out", ["policy_out: accept"]),
        ("policy_in: ACCEPT\nlog_level_in: info\n", "in", ["policy_in: accept"]),
        ("policy_in: REJECT\n", "in", ["noise: jump noise-reject-in", "policy_in: reject"]),
        (
            "log_level_in: err\n",
            "in",
            [
                "noise: jump noise-drop-in",
                "policy_in: log limit=<2/minute burst 9> log=<100 3 in policy DROP>",
                "policy_in: drop",
            ],
        ),
        (
            "policy_out: REJECT\nlog_level_out: debug\n",
            "out",
            [
                "noise: jump noise-reject-out",
                "policy_out: log limit=<2/minute burst 9> log=<100 7 out policy REJECT>",
                "policy_out: reject",
            ],
        ),
    ],
)
def test_the_end_of_a_chain(text: str, way: str, end: list[str]) -> None:
    assert told(chain(compiled(text), f"vm-100-{way}"), "noise", f"policy_{way}") == end


def test_with_a_level_whatever_is_dropped_is_written_down() -> None:
    rules = chain(compiled("ipfilter: 1\nlog_level_out: info\nlayer2_protocols: LLDP\n"), "vm-100-out")
    drops = [at for at, rule in enumerate(rules) if ": drop" in rule]
    before = [rules[at - 1].partition(" log=")[2] for at in drops]
    assert before == [f"<100 6 out {rules[at].partition(':')[0]} DROP>" for at in drops]


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("IN ACCEPT -p tcp -dport 22", ["accept protocol=6 dport=22"]),
        (
            "IN DROP -log warning",
            ["log limit=<2/minute burst 9> log=<100 4 in DROP>", "drop"],
        ),
        ("IN DROP -log nolog", ["drop"]),
        ("IN REJECT -i net1", ["reject oif=tap100i1"]),
        ("IN ACCEPT -i net2", []),
        ("IN ACCEPT -i net9", []),
        ("|IN ACCEPT", []),
        ("OUT ACCEPT", []),
        ("IN Ping(DROP)", ["drop ethertypes=ip protocol=1 icmp=8", "drop ethertypes=ip6 protocol=58 icmp=128"]),
        ("IN ACCEPT -source router", ["accept ethertypes=ip source=192.0.2.1/32"]),
        (
            "IN ACCEPT -source +servers",
            ["accept ethertypes=ip source=@dc-servers-v4", "accept ethertypes=ip6 source=@dc-servers-v6"],
        ),
        ("IN ACCEPT -source +own", ["accept ethertypes=ip source=192.0.2.7/32"]),
        ("GROUP web -i net0", ["jump group-web-in oif=tap100i0"]),
        ("GROUP WEB", ["jump group-web-in"]),
        ("GROUP web -i net2", []),
    ],
)
def test_a_rule(line: str, rules: list[str]) -> None:
    found = chain(compiled(f"[IPSET own]\n192.0.2.7\n[RULES]\n{line}\n"), "vm-100-in")
    assert told(found, "100.fw:6") == [f"100.fw:6: {rule}" for rule in rules]


def test_a_group_is_asked_in_both_directions() -> None:
    rules = chain(compiled("[RULES]\nGROUP web -i net0\n"), "vm-100-out")
    assert told(rules, "100.fw:4") == ["100.fw:4: jump group-web-out iif=tap100i0"]


def test_what_is_let_in_goes_to_the_queues() -> None:
    piece = compiled(
        "ips: 1\nips_queues: 4:7\npolicy_in: ACCEPT\n[RULES]\nIN ACCEPT -p tcp\nIN DROP -p udp\nGROUP web\n"
    )
    assert chain(piece, "vm-100-in") == [
        "ips: queue state=established,related queue=4-7",
        "any-in: jump any-in",
        "screen-in: jump screen-in",
        "dhcp-in: jump dhcp-in",
        "ndp-in: jump ndp-in",
        "100.fw:7: queue protocol=6 queue=4-7",
        "100.fw:8: drop protocol=17",
        "100.fw:9: jump vm-100-group-web-in",
        "policy_in: queue queue=4-7",
    ]
    assert chain(piece, "vm-100-group-web-in") == [
        "cluster.fw:9: log protocol=6 dport=80 limit=<2/minute burst 9> log=<100 6 in ACCEPT>",
        "cluster.fw:9: queue protocol=6 dport=80 queue=4-7",
    ]
    assert not any("queue" in rule for rule in chain(piece, "vm-100-out"))
    assert "100.fw:9: jump group-web-out" in chain(piece, "vm-100-out")


def test_a_group_means_the_clusters_names_whoever_asks_it() -> None:
    cluster = "[OPTIONS]\nenable: 1\n[ALIASES]\nwho 192.0.2.1\n[group web]\nIN ACCEPT -source who\n"
    guest = "[OPTIONS]\nenable: 1\nips: 1\n[ALIASES]\nwho 192.0.2.2\n[RULES]\nGROUP web\n"
    found = Guest(100, parse_guest(guest, "100.fw"), {0: Nic("tap100i0", firewall=True, mac="02:00:00:00:00:01")})
    rules = chain(compile_guest(found, parse_cluster(cluster)), "vm-100-group-web-in")
    assert rules == ["cluster.fw:6: queue ethertypes=ip source=192.0.2.1/32 queue=0"]


def test_protocols_beside_ip_are_those_of_the_list() -> None:
    piece = compiled("layer2_protocols: IPv4, lldp,0x88b5\n")
    accept = "layer2_protocols: accept ethertypes=34997,35020"
    assert told(chain(piece, "vm-100-in"), "layer2_protocols") == [accept]
    assert told(chain(piece, "vm-100-out"), "layer2_protocols") == ["layer2_protocols: jump vm-100-protocols", accept]
    assert chain(piece, "vm-100-protocols") == [
        "layer2_protocols: return ethertypes=ip,ip6,34997,35020",
        "layer2_protocols: drop",
    ]


def test_without_ebtables_only_what_is_ip_is_held_against_who_a_guest_is() -> None:
    cluster = CLUSTER.replace("enable: 1\n", "enable: 1\nebtables: 0\n")
    rules = chain(compiled("ipfilter: 1\nlayer2_protocols: ARP\n", cluster), "vm-100-out")
    assert "macfilter: drop iif=tap100i0 not_mac=bc:24:11:00:53:01" in rules
    assert any("not_source" in rule for rule in rules)
    assert not any("arp" in rule or "layer2" in rule for rule in rules)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[RULES]\nIN ACCEPT -source +nobody\n", "100.fw:4: error unknown-name: there is no IP set '\\+nobody'"),
        ("[RULES]\nIN ACCEPT -source nobody\n", "100.fw:4: error unknown-name: there is no alias 'nobody'"),
        ("[RULES]\nGROUP nobody\n", "100.fw:4: error unknown-name: there is no security group 'nobody'"),
        ("[IPSET x1]\nnobody\n", "100.fw:4: error unknown-name: there is no alias 'nobody'"),
        ("[RULES]\nIN ACCEPT -source +dc/ipfilter-net0\n", "there is no IP set"),
        ("macfilter: maybe\n", "100.fw:3: error unknown-value: macfilter"),
    ],
)
def test_what_is_wrong_in_its_file_is_said_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compiled(text)


@pytest.mark.parametrize(
    "text", ["", "macfilter: 0\nipfilter: 1\n", "macfilter: 0\n[IPSET ipfilter-net0]\n192.0.2.1\n"]
)
def test_a_nic_without_a_mac_cannot_be_filtered_by_it(text: str) -> None:
    config = parse_guest(f"[OPTIONS]\nenable: 1\n{text}", "100.fw")
    with pytest.raises(ConfigError, match="net0 has no MAC"):
        compile_guest(Guest(100, config, {0: Nic("tap100i0", firewall=True, mac="")}), parse_cluster(CLUSTER))


def test_what_a_rule_that_is_off_names_harms_nobody() -> None:
    assert compiled("[RULES]\n|GROUP nobody\n|IN ACCEPT -source +nobody\n")
