"""From files and NICs to chains: who is filtered, in what order, and what of it is written how."""

from __future__ import annotations

import pytest

from pvenetd.errors import ConfigError
from pvenetd.firewall import listing, nft
from pvenetd.firewall.compile import Guest, Nic, compile_guest, compile_ruleset
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.ruleset import Piece, Rule, Span, merge
from pvenetd.firewall.syntax import parse_bridge, parse_cluster, parse_guest, parse_host
from pvenetd.state import Chains, Sysctl

ON = parse_cluster("[OPTIONS]\nenable: 1\n")
NIC = Nic("tap100i0", firewall=True, mac="02:00:00:00:00:01")


def guest(text: str = "[OPTIONS]\nenable: 1\n", *, firewall: bool = True) -> Guest:
    return Guest(100, parse_guest(text, "etc/100.fw"), {0: Nic("tap100i0", firewall=firewall, mac="02:00:00:00:00:0A")})


@pytest.mark.parametrize(
    ("cluster", "host", "guest_text", "firewall", "names"),
    [
        (1, "", "[OPTIONS]\nenable: 1\n", True, ["groups", "host", "vm:100"]),
        (0, "", "[OPTIONS]\nenable: 1\n", True, []),
        (1, "", "[OPTIONS]\nenable: 0\n", True, ["groups", "host", "vm:100 open"]),
        (1, "", "", True, ["groups", "host", "vm:100 open"]),
        (1, "", "[OPTIONS]\nenable: 1\n", False, ["groups", "host", "vm:100 open"]),
        (1, "[OPTIONS]\nenable: 0\n", "[OPTIONS]\nenable: 1\n", True, ["groups", "vm:100"]),
    ],
)
def test_three_switches_filter_a_guest(
    cluster: int, host: str, guest_text: str, firewall: bool, names: list[str]
) -> None:
    found = compile_ruleset(
        parse_cluster(f"[OPTIONS]\nenable: {cluster}\n"), parse_host(host), [guest(guest_text, firewall=firewall)]
    )
    assert [piece.name if piece.chains else f"{piece.name} open" for piece in found.pieces] == names


def test_a_broken_file_is_never_compiled() -> None:
    with pytest.raises(ConfigError):
        compile_ruleset(parse_cluster("[OPTIONS]\nenable: yes\n"), parse_host(""))
    with pytest.raises(ConfigError):
        compile_guest(guest("[OPTIONS]\nenable: true\n"), ON)


def test_a_nic_without_a_mac_is_not_left_open_to_forgery() -> None:
    nics = {0: Nic("tap100i0", firewall=True, mac="")}
    with pytest.raises(ConfigError, match="net0 has no MAC"):
        compile_guest(Guest(100, guest().config, nics), ON)
    off = parse_guest("[OPTIONS]\nenable: 1\nmacfilter: 0\n", "100.fw")
    assert compile_guest(Guest(100, off, nics), ON)


def rules(piece: Piece | None, chain: str) -> tuple[Rule, ...]:
    assert piece
    return next(one.rules for one in piece.chains if one.name.endswith(chain))


def origins(text: str, chain: str) -> list[str]:
    return [rule.origin for rule in rules(compile_guest(guest(f"[OPTIONS]\nenable: 1\n{text}"), ON), chain)]


@pytest.mark.parametrize(
    ("text", "into", "out"),
    [
        (
            "",
            ["established", "any-in", "screen-in", "dhcp-in", "ndp-in", "policy_in"],
            [
                *("macfilter", "macfilter", "no dhcp server", "established", *["macfilter"] * 4),
                *("connection_limit", "any-out", "screen-out", "dhcp-out", "radv", "ndp-out"),
                *("dhcp server", "dhcp server", "policy_out"),
            ],
        ),
        (
            "dhcp: 0\nmacfilter: 0\n",
            ["established", "any-in", "screen-in", "ndp-in", "policy_in"],
            [
                *("no dhcp server", "established", "connection_limit", "any-out", "screen-out", "radv", "ndp-out"),
                *("dhcp server", "dhcp server", "policy_out"),
            ],
        ),
        (
            "ndp: 0\n[RULES]\nIN DROP\n|IN DROP\nOUT DROP -i net0\nOUT DROP -i net1\n",
            ["established", "any-in", "screen-in", "dhcp-in", "100.fw:5", "policy_in"],
            [
                *("macfilter", "macfilter", "no dhcp server", "established", *["macfilter"] * 4),
                *("connection_limit", "any-out", "screen-out", "dhcp-out", "radv", "100.fw:7"),
                *("dhcp server", "dhcp server", "policy_out"),
            ],
        ),
        (
            "ipfilter_learn: 1\ndhcp: 0\n[RULES]\nIN ACCEPT -p tcp\nIN ACCEPT -p udp -source 192.0.2.9\n",
            [
                *("ipfilter_learn", "ipfilter_learn", "established", "any-in", "screen-in", "ndp-in"),
                *("100.fw:6", "ipfilter_learn", "100.fw:7", "policy_in"),
            ],
            [
                *("macfilter", "macfilter", "ipfilter", "ipfilter", "unspecified", "no dhcp server", "ipfilter_learn"),
                *(
                    "ipfilter_learn",
                    "established",
                    *["macfilter"] * 4,
                    "ipfilter",
                    "ipfilter",
                    "connection_limit",
                    "any-out",
                    "screen-out",
                ),
                *("radv", "ndp-out", "dhcp server", "dhcp server", "policy_out"),
            ],
        ),
    ],
)
def test_the_order_of_a_guests_rules(text: str, into: list[str], out: list[str]) -> None:
    assert (origins(text, "-in"), origins(text, "-out")) == (into, out)


def test_a_guests_interface_is_its_port() -> None:
    found = compile_guest(guest("[OPTIONS]\nenable: 1\n[RULES]\nIN DROP -i net0\nOUT DROP -i net0\n"), ON)
    assert [(rule.iif, rule.oif) for rule in rules(found, "-in") if rule.origin == "100.fw:4"] == [("", "tap100i0")]
    assert [(rule.iif, rule.oif) for rule in rules(found, "-out") if rule.origin == "100.fw:5"] == [("tap100i0", "")]


def test_the_hosts_own_rules_come_before_the_clusters_and_management_before_the_policy() -> None:
    cluster = parse_cluster("[OPTIONS]\nenable: 1\npolicy_out: REJECT\n[RULES]\nIN DROP -i eth0\n", "cluster.fw")
    host = parse_host("[RULES]\nIN ACCEPT -i eth0\n", "host.fw")
    _, piece = compile_ruleset(cluster, host, local_network="192.0.2.7/24").pieces
    found = rules(piece, "host-in")
    assert [rule.origin for rule in found[-4:]] == ["host.fw:2", "cluster.fw:5", "management", "policy_in"]
    assert {rule.iif for rule in found[-4:-2]} == {"eth0"}
    assert rules(piece, "host-out")[-1] == Rule("reject", origin="policy_out")


def text_of(line: str) -> str:
    config = parse_guest(f"[OPTIONS]\nenable: 1\n[RULES]\n{line}\n", "100.fw")
    assert not config.broken, config.problems
    piece = compile_guest(Guest(100, config, {0: NIC}), ON)
    assert piece
    found = [one for one in nft.chains(piece, "ct").text.splitlines() if '"100.fw:4"' in one]
    return found[0].strip().removesuffix(' comment "100.fw:4"')


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("IN ACCEPT", "counter accept"),
        ("IN REJECT", "counter goto refuse-in"),
        ("OUT REJECT", "counter goto refuse-out"),
        ("IN ACCEPT -p tcp -dport 22", "meta l4proto 6 th dport 22 counter accept"),
        ("IN ACCEPT -p udp -sport 1:2,9", "meta l4proto 17 th sport { 1-2, 9 } counter accept"),
        ("IN ACCEPT -p udp -dport 0:65535", "meta l4proto 17 counter accept"),
        ("IN DROP -source 192.0.2.0/25", "meta protocol ip ip saddr 192.0.2.0/25 counter drop"),
        ("IN DROP -source 192.0.2.1-192.0.2.9", "meta protocol ip ip saddr 192.0.2.1-192.0.2.9 counter drop"),
        ("IN DROP -source 192.0.2.0-192.0.2.3", "meta protocol ip ip saddr 192.0.2.0/30 counter drop"),
        ("IN DROP -dest 0.0.0.0/0", "meta protocol ip counter drop"),
        ("IN DROP -dest ::/0 -p tcp", "meta protocol ip6 meta l4proto 6 counter drop"),
        ("IN DROP -dest ::1,::9", "meta protocol ip6 ip6 daddr { ::1, ::9 } counter drop"),
        ("IN DROP -p icmp", "meta protocol ip meta l4proto 1 counter drop"),
        (
            "IN DROP -p icmp -icmp-type 8,0",
            "meta protocol ip meta l4proto 1 icmp type { 0, 8 } counter drop",
        ),
        (
            "IN DROP -p icmpv6 -icmp-type 1/4",
            "meta protocol ip6 meta l4proto 58 icmpv6 type 1 icmpv6 code 4 counter drop",
        ),
        (
            "IN DROP -p icmp -icmp-type 3/4,3/1,8,3",
            "meta protocol ip meta l4proto 1 icmp type . icmp code { 3 . 0-255, 8 . 0-255 } counter drop",
        ),
    ],
)
def test_a_rule_in_nfts_language(line: str, text: str) -> None:
    assert text_of(line) == text


def test_what_a_frames_connection_is_asked_for() -> None:
    piece = compile_guest(guest(), ON)
    assert piece
    asked = {design: nft.chains(piece, design).text for design in ("ct", "mark")}
    assert asked["ct"].count("\n\t\tct state established,related counter accept") == 2
    assert asked["mark"].count("\n\t\tmeta mark & 0x10000000 != 0 counter accept") == 2
    assert "ct state" not in nft.base("mark").text.partition("table bridge pvenetd {\n\tchain")[2]


def test_the_pieces_and_who_owns_them() -> None:
    ruleset = compile_ruleset(ON, parse_host(""), [guest()])
    found = nft.pieces(ruleset, "mark")
    assert [one.key for one in found if isinstance(one, Sysctl)] == [
        ("sysctl", "net/bridge/bridge-nf-call-iptables"),
        ("sysctl", "net/bridge/bridge-nf-call-ip6tables"),
        ("sysctl", "net/bridge/bridge-nf-filter-vlan-tagged"),
    ]
    assert [(one.name, one.owner) for one in found if isinstance(one, Chains)] == [
        ("base", "firewall"),
        ("groups", "firewall"),
        ("host", "firewall"),
        ("vm:100", "vm:100"),
    ]
    assert not [one for one in nft.pieces(ruleset, "ct") if isinstance(one, Sysctl)]
    assert nft.pieces(compile_ruleset(parse_cluster(""), parse_host("")), "mark") == []


def test_nothing_gets_into_nfts_language_but_names() -> None:
    piece = compile_guest(
        Guest(100, guest().config, {0: Nic('x"; flush ruleset; "', firewall=True, mac="02:00:00:00:00:01")}), ON
    )
    assert piece
    with pytest.raises(ValueError, match="cannot be written"):
        nft.chains(piece, "ct")


@pytest.mark.parametrize(
    ("spans", "merged"),
    [
        ([(1, 2), (3, 4)], [(1, 4)]),
        ([(5, 9), (1, 20)], [(1, 20)]),
        ([(8, 9), (1, 2)], [(1, 2), (8, 9)]),
        ([], []),
    ],
)
def test_spans_never_touch(spans: list[tuple[int, int]], merged: list[tuple[int, int]]) -> None:
    assert merge(tuple(Span(*ends) for ends in spans)) == tuple(Span(*ends) for ends in merged)


@pytest.mark.parametrize("design", ["ct", "mark"])
def test_a_pieces_own_text_reads_back_as_itself(design: Design) -> None:
    """The driver knows what it has loaded by the text it loaded."""
    ruleset = compile_ruleset(ON, parse_host(""), [guest()])
    for wanted in nft.pieces(ruleset, design):
        if isinstance(wanted, Chains):
            found = listing.pieces(wanted.text)[wanted.name]
            assert found.whole
            assert found.resource(wanted.name).changes(wanted) == {}
            assert found.resource(wanted.name).text.count("meta protocol") == wanted.text.count("meta protocol")


@pytest.mark.parametrize("design", ["ct", "mark"])
@pytest.mark.parametrize(("enable", "hooked"), [(1, True), (0, False)])
def test_what_a_bridge_forwards_is_hooked_where_a_bridge_has_rules(design: Design, enable: int, hooked: bool) -> None:
    bridges = {"vmbr0": parse_bridge(f"[OPTIONS]\nenable: {enable}\n", "vmbr0.fw")}
    found = nft.pieces(compile_ruleset(ON, parse_host(""), bridges=bridges), design)
    texts = {one.name: one.text for one in found if isinstance(one, Chains)}
    assert ("bridges" in texts, "bridge:vmbr0" in texts) == (hooked, hooked)
    assert "vmap @bridges" not in texts["base"]
    assert "vmap @bridges" in texts.get("bridges", "vmap @bridges")
