"""Which connections that stand the rules would not let begin: by every way they may take, and each class asked once."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvenetd.firewall.compile import Guest, Nic, compile_ruleset
from pvenetd.firewall.flow import Ends, Flow
from pvenetd.firewall.judge import Judge, Where
from pvenetd.firewall.ruleset import ICMP, TCP, UDP
from pvenetd.firewall.simulate import Map, Place
from pvenetd.firewall.syntax import parse_cluster, parse_guest, parse_host

CLUSTER = """\
[OPTIONS]
enable: 1
policy_forward: DROP
[IPSET near]
192.0.2.0/28
[RULES]
FORWARD ACCEPT -p udp
IN ACCEPT -p tcp -dport 8006
"""
RULES = """\
[OPTIONS]
enable: 1
[RULES]
IN ACCEPT -p tcp -dport 80:82
IN ACCEPT -p tcp -dport 83 -source +near
IN ACCEPT -p tcp -dport 84 -sport 1000:2000
IN ACCEPT -p udp
IN DROP -p icmp
OUT DROP -p tcp -dport 25
"""


def number(text: str) -> int:
    return int(ip_address(text))


def nic(vmid: int, bridge: str) -> Place:
    return Place(f"vm/{vmid}/net0", f"tap{vmid}i0", (bridge, 0), bridge, at_uplink=bridge == "vmbr0")


NICS = {100: nic(100, "vmbr0"), 101: nic(101, "vmbr0"), 102: nic(102, "vmbr1")}
WEB, MAIL, BEHIND, HOST, NEAR, FAR = (
    "192.0.2.100",
    "192.0.2.101",
    "198.51.100.102",
    "192.0.2.1",
    "192.0.2.9",
    "203.0.113.7",
)
NETWORKS = {
    "vmbr0": [(4, number("192.0.2.0"), number("192.0.2.255"))],
    "vmbr1": [(4, number("198.51.100.0"), number("198.51.100.255"))],
}
WHERE = Where(
    Map(own=[(4, number(HOST)), (4, number("198.51.100.1"))], networks=NETWORKS),
    {(4, number(one)): (NICS[vmid],) for one, vmid in ((WEB, 100), (MAIL, 101), (BEHIND, 102))},
    {name: Place("outside", segment=(name, 0), link=name, at_uplink=True) for name in NETWORKS},
)


def judge(rules: str = RULES, where: Where = WHERE) -> Judge:
    config = parse_guest(rules, "100.fw")
    guests = [
        Guest(vmid, config, {0: Nic(place.port, firewall=True, mac=f"02:00:00:00:00:{vmid - 99:02x}")})
        for vmid, place in NICS.items()
    ]
    return Judge(compile_ruleset(parse_cluster(CLUSTER), parse_host(""), guests), where)


def flow(source: str, dest: str, dport: int, protocol: int = TCP, sport: int = 40000) -> Flow:
    asked = Ends(number(source), number(dest), sport, dport)
    return Flow(4, protocol, asked, Ends(asked.dest, asked.source, dport, sport), None, status=0, told=b"")


@pytest.mark.parametrize(
    ("one", "refusal"),
    [
        (flow(NEAR, WEB, 81), ""),
        (flow(NEAR, WEB, 85), "policy_in"),
        (flow(NEAR, WEB, 83), ""),
        (flow("192.0.2.200", WEB, 83), "policy_in"),
        (flow(NEAR, WEB, 84), "policy_in"),
        (flow(NEAR, WEB, 84, sport=1500), ""),
        (flow(WEB, MAIL, 81), ""),
        (flow(WEB, MAIL, 25), "100.fw:9"),
        (flow(WEB, FAR, 25), "100.fw:9"),
        (flow(WEB, FAR, 26), ""),
        (flow(HOST, WEB, 85), "policy_in"),
        (flow(FAR, HOST, 8006), ""),
        (flow(FAR, HOST, 8007), "policy_in"),
        # Another router may bring it from bridge to bridge; that the host does is known of guests alone.
        (flow(FAR, BEHIND, 81), ""),
        (flow(WEB, BEHIND, 81), "policy_forward"),
        (flow(WEB, BEHIND, 81, UDP), ""),
        # Groups and all, strangers on both sides, what another connection led to: nobody knows.
        (flow(WEB, "239.1.1.1", 25), ""),
        (flow(WEB, "255.255.255.255", 25), ""),
        (flow(FAR, NEAR, 85), ""),
        (flow(WEB, FAR, 25)._replace(status=1), ""),
        (flow(NEAR, WEB, 0, ICMP, 0)._replace(icmp=(8, 0)), "100.fw:8"),
    ],
)
def test_a_connection_is_refused_that_would_not_begin(one: Flow, refusal: str) -> None:
    assert judge().refusal(one) == refusal


def test_nothing_is_refused_that_one_of_those_who_may_have_it_lets_in() -> None:
    seen = {**WHERE.seen, (4, number(WEB)): (NICS[100], Place("vm/109/net0", "tap109i0", ("vmbr0", 0), "vmbr0"))}
    assert judge(where=replace(WHERE, seen=seen)).refusal(flow(NEAR, WEB, 85)) == ""


def test_without_rules_nothing_is_refused() -> None:
    assert judge(RULES.replace("enable: 1", "enable: 0")).refusal(flow(NEAR, WEB, 85)) == ""


ADDRESSES = st.sampled_from([WEB, MAIL, BEHIND, HOST, NEAR, FAR, "192.0.2.15", "192.0.2.16", "192.0.2.200"])
PORTS = st.sampled_from([1, 25, 26, 79, 80, 82, 83, 84, 999, 1000, 2000, 2001, 40000, 65535])


@settings(deadline=None)
@given(st.lists(st.builds(flow, ADDRESSES, ADDRESSES, PORTS, st.sampled_from([TCP, UDP]), PORTS), max_size=30))
def test_who_is_asked_with_others_of_its_class_is_told_the_same_as_alone(flows: list[Flow]) -> None:
    together = judge()
    assert [together.refusal(one) for one in flows] == [judge().refusal(one) for one in flows]
