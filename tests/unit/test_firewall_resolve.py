"""Names, sets and macros: what the words of a rule stand for, each family on its own."""

from __future__ import annotations

from ipaddress import ip_address, ip_network, summarize_address_range
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.errors import ConfigError
from pvenetd.firewall.resolve import Match, Names, named_sets
from pvenetd.firewall.ruleset import Addresses, IcmpType, SetRef, Span
from pvenetd.firewall.syntax import Config, parse_cluster, parse_guest
from pvenetd.firewall.values import addresses

CLUSTER = """\
[ALIASES]
Mail 192.0.2.25
mail6 2001:db8::25
both 192.0.2.1
[IPSET Blocked]
198.51.100.0/24
!198.51.100.7
2001:db8:bad::/48
[IPSET empty]
[RULES]
[group web]
IN ACCEPT -p tcp -dport 80
"""
GUEST = """\
[ALIASES]
both 192.0.2.2
[IPSET own]
192.0.2.0/30 # four
!192.0.2.1
dc/mail6
guest/both
[ipset none]
"""


def names(guest: str = GUEST, local: str = "") -> Names:
    known = addresses(local) if local else None
    return Names(parse_cluster(CLUSTER), parse_guest(guest, "100.fw"), local=known)


def expand(rule: str, guest: str = GUEST, local: str = "") -> tuple[Match, ...]:
    config = parse_guest(f"{guest}[RULES]\n{rule}\n", "100.fw")
    assert not config.broken, config.problems
    return names(guest, local).expand(config.rules[0])


def spans(text: str) -> tuple[Span, ...]:
    return addresses(text).spans


BLOCKED = SetRef("dc-blocked", 4), SetRef("dc-blocked", 6)
FOUR = Addresses(4, (*spans("192.0.2.0"), *spans("192.0.2.2-192.0.2.3")))
TCP, UDP = 6, 17


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ("IN ACCEPT", [Match(None)]),
        ("IN ACCEPT -source dc/MAIL", [Match(4, source=addresses("192.0.2.25"))]),
        ("IN ACCEPT -source both", [Match(4, source=addresses("192.0.2.2"))]),
        ("IN ACCEPT -source dc/both", [Match(4, source=addresses("192.0.2.1"))]),
        ("IN ACCEPT -dest mail6 -p udp", [Match(6, UDP, dest=addresses("2001:db8::25"))]),
        ("IN ACCEPT -source +blocked", [Match(4, source=BLOCKED[0]), Match(6, source=BLOCKED[1])]),
        ("IN ACCEPT -source +DC/Blocked -p icmp", [Match(4, 1, source=BLOCKED[0])]),
        ("IN ACCEPT -source +empty -dest ::1", [Match(6, source=SetRef("dc-empty", 6), dest=addresses("::1"))]),
        (
            "IN ACCEPT -source +own",
            [
                Match(4, source=FOUR),
                Match(6, source=addresses("2001:db8::25")),
            ],
        ),
        ("IN ACCEPT -source +none", []),
        ("IN DNS(ACCEPT) -dest +none", []),
        ("IN ACCEPT -source +own -dest 198.51.100.0/24 -p tcp", [Match(4, TCP, FOUR, addresses("198.51.100.0/24"))]),
        ("IN ACCEPT -source +none -dest ::1", []),
        ("IN DNS(ACCEPT)", [Match(None, UDP, dport=(Span(53, 53),)), Match(None, TCP, dport=(Span(53, 53),))]),
        ("IN ping(DROP)", [Match(4, 1, icmp=(IcmpType(8),)), Match(6, 58, icmp=(IcmpType(128),))]),
        ("IN Ping(DROP) -dest mail6", [Match(6, 58, dest=addresses("2001:db8::25"), icmp=(IcmpType(128),))]),
        (
            "IN SSH(ACCEPT) -source mail -sport 1024:65535",
            [Match(4, TCP, addresses("192.0.2.25"), None, (Span(1024, 65535),), (Span(22, 22),))],
        ),
    ],
)
def test_a_rule_matches(rule: str, matches: list[Match]) -> None:
    assert list(expand(rule)) == matches


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("IN ACCEPT -source mial", "there is no alias 'mial' (did you mean mail?)"),
        ("IN ACCEPT -source guest/mail", "there is no alias 'guest/mail'"),
        ("IN ACCEPT -source +dc/own", "there is no IP set '+dc/own'"),
        ("IN ACCEPT -source +sdn/vnet0-all", "there is no IP set '+sdn/vnet0-all'"),
        ("IN ACCEPT -source mail -dest mail6", "IPv4 and IPv6 mixed in one rule"),
        ("IN DHCPv6(ACCEPT) -source mail", "IPv4 and IPv6 mixed in one rule"),
        ("GROUP wep", "there is no security group 'wep' (did you mean web?)"),
    ],
)
def test_a_missing_name_is_named_with_its_line(rule: str, problem: str) -> None:
    config = parse_guest(f"{GUEST}[RULES]\n{rule}\n|{rule}\n", "100.fw")
    line = config.rules[0].line
    told = [f"100.fw:{line}: error unknown-name: {problem}", f"100.fw:{line + 1}: warning unknown-name: {problem}"]
    assert [str(one) for one in names().problems(config)] == told
    with pytest.raises(ConfigError, match="unknown-name"):
        names().require(config)


def test_local_network_is_what_the_host_is_in_unless_a_file_says_otherwise() -> None:
    assert expand("IN ACCEPT -source Local_Network", local="203.0.113.0/24")[0].source == addresses("203.0.113.0/24")
    assert expand("IN ACCEPT -source local_network -dest ::1") == ()
    assert expand("IN DNS(ACCEPT) -source local_network") == ()
    own = "[ALIASES]\nlocal_network 192.0.2.64/26\n"
    rule = "IN ACCEPT -source local_network"
    assert expand(rule, guest=own, local="203.0.113.0/24")[0].source == addresses("192.0.2.64/26")


NETS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 255), st.integers(24, 32)).map(
        lambda one: f"{'!' if one[0] else ''}{ip_network(f'192.0.2.{one[1]}/{one[2]}', strict=False)}"
    ),
    max_size=12,
    unique_by=lambda text: text.lstrip("!"),
)


@given(nets=NETS)
def test_the_most_specific_entry_of_a_set_decides(nets: list[str]) -> None:
    cluster = parse_cluster("[IPSET xx]\n" + "".join(f"{net}\n" for net in nets))
    four, six = named_sets(Names(cluster), cluster)
    held = {str(one) for span in four.spans for net in nets_of(span) for one in net}
    for host in ip_network("192.0.2.0/24"):
        around = [net for net in nets if host in ip_network(net.lstrip("!"))]
        best = max(around, key=lambda net: ip_network(net.lstrip("!")).prefixlen, default="!")
        assert (str(host) in held) == (not best.startswith("!")), host
    assert six.spans == ()


def nets_of(span: Span) -> list[Any]:
    return list(summarize_address_range(ip_address(span.first), ip_address(span.last)))


def test_a_range_in_a_set_is_its_networks() -> None:
    cluster: Config = parse_cluster("[IPSET xx]\n192.0.2.1-192.0.2.6\n!192.0.2.4/31\n0.0.0.0-255.255.255.254\n")
    assert named_sets(Names(cluster), cluster)[0].spans == (
        *spans("0.0.0.0-192.0.2.3"),
        *spans("192.0.2.6-255.255.255.254"),
    )
