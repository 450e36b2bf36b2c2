"""The rest of Proxmox's language: names, sets, groups, macros, FORWARD; where each may stand, and what it says."""

from __future__ import annotations

import re

import pytest

from pvenetd.firewall.ethertypes import ethertypes
from pvenetd.firewall.macros import MACROS
from pvenetd.firewall.options import helpers, queues, rate_limit
from pvenetd.firewall.ruleset import IcmpType, Limit, Span
from pvenetd.firewall.syntax import Config, parse_bridge, parse_cluster, parse_guest, parse_host
from pvenetd.firewall.values import Ref, Wrong, addresses, near, protocol

PARSERS = {"cluster": parse_cluster, "host": parse_host, "guest": parse_guest, "bridge": parse_bridge}


def parsed(scope: str, text: str) -> Config:
    return PARSERS[scope](text, "f")


def problems(scope: str, text: str) -> list[str]:
    return [str(one).removeprefix("f:") for one in parsed(scope, text).problems]


def test_every_section_is_read_in_any_case_and_names_are_folded() -> None:
    config = parsed(
        "cluster",
        """\
\ufeff[options] # how
POLICY_IN: reject
[Aliases]
Mail\t192.0.2.25/24 # the öld one
[ipset Servers]# all
192.0.2.1
! MAIL # not this
dc/Mail
[RULES]
forward drop -source +SERVERS
FORWARD DROP -source +Servers -dest DC/mail # way
GROUP Web -i vmbr0
[RULES]
in http/3(ACCEPT)
[GROUP web] # pages
IN https(ACCEPT)
""",
    )
    assert [str(one) for one in config.problems] == [
        "f:10: error syntax: unknown action 'drop' (ACCEPT or DROP) (did you mean DROP?)"
    ]
    assert config.option("policy_in", "") == "REJECT"
    mail = config.aliases["mail"]
    assert (mail.line, mail.addresses, mail.comment) == (4, addresses("192.0.2.0/24"), "the öld one")
    servers = config.sets["servers"]
    assert (servers.line, servers.comment) == (5, "all")
    assert [(one.line, one.excluded, one.value, one.comment) for one in servers.entries] == [
        (6, False, addresses("192.0.2.1"), ""),
        (7, True, Ref("alias", "", "mail"), "not this"),
        (8, False, Ref("alias", "dc", "mail"), ""),
    ]
    forward, group, in_ = config.rules
    assert (forward.direction, forward.source, forward.dest) == (
        "forward",
        Ref("set", "", "servers"),
        Ref("alias", "dc", "mail"),
    )
    assert (group.direction, group.action, group.group, group.iface) == ("group", "", "web", "vmbr0")
    assert (in_.macro, in_.action, in_.line) == ("HTTP/3", "ACCEPT", 14)
    web = config.groups["web"]
    assert (web.line, web.comment, [one.macro for one in web.rules]) == (15, "pages", ["HTTPS"])


SECTION = "[OPTIONS], [RULES]"


@pytest.mark.parametrize(
    ("scope", "text", "told"),
    [
        ("host", "[group web]", f"1: [group web] cannot stand here ({SECTION})"),
        ("host", "[IPSET aa]\n192.0.2.1", f"1: [IPSET aa] cannot stand here ({SECTION})"),
        ("bridge", "[ALIASES]", f"1: [ALIASES] cannot stand here ({SECTION})"),
        ("guest", "[group web]", "1: [group web] cannot stand here ([OPTIONS], [ALIASES], [IPSET name]"),
        ("guest", "[RULES x]", "1: unknown section [RULES x] ([RULES])"),
        ("cluster", "[RULE]", "1: unknown section [RULE] (did you mean [RULES]?)"),
        ("cluster", "[IPSET a b]", "1: unknown section [IPSET a b] ([OPTIONS], [ALIASES], "),
        ("cluster", "[IPSET 1a]", "1: '1a' is not the name of an IP set (2 to 64 letters, digits, "),
        ("cluster", "[group g]", "1: 'g' is not the name of a security group (2 to 18 letters, digits, "),
        ("cluster", "[IPSET aa]\n[ipset AA]", "2: IP set 'aa' begins in line 1 already"),
        ("cluster", "[group aa]\n[group AA]", "2: group 'aa' begins in line 1 already"),
        ("cluster", "[group aa]\nGROUP bb", "2: GROUP cannot stand in a security group (IN, OUT or FORWARD)"),
        ("cluster", "[group aa]\nIN DROP -i eth0", "2: -i cannot stand in a security group's rule"),
        ("cluster", "[ALIASES]\naa", "2: 'aa' is not NAME ADDRESS"),
        ("cluster", "[ALIASES]\naa 192.0.2.1 x", "2: 'aa 192.0.2.1 x' is not NAME ADDRESS"),
        (
            "cluster",
            "[ALIASES]\naa ::2,::1",
            "2: '::2,::1': an alias is one address or network ([IPSET name] holds several)",
        ),
        ("cluster", "[ALIASES]\naa bb", "2: 'bb' does not appear to be an IPv4 or IPv6 address"),
        ("cluster", "[ALIASES]\naa ::1\nAA ::2", "3: alias 'AA' is other addresses in line 2"),
        ("cluster", "[ALIASES]\naa ::1\nAA ::1", "3: warning syntax: alias 'AA' stands in line 2 already"),
        ("guest", "[IPSET aa]\n+bb", "2: '+bb': a set holds no other set"),
        (
            "guest",
            "[IPSET aa]\n::/0",
            "2: '::/0': a set does not hold all addresses (leave -source or -dest out of the rule)",
        ),
        ("guest", "[IPSET aa]\n192.0.2.1\n192.0.2.1/32", "3: warning syntax: '192.0.2.1/32' stands in line 2 already"),
        ("guest", "[IPSET aa]\n192.0.2.1\n!192.0.2.1", "3: '!192.0.2.1' contradicts line 2"),
        ("guest", "[IPSET aa]\n192.0.2.1,::1", "2: '192.0.2.1,::1': a line holds one address or network"),
        ("cluster", "[IPSET aa]\nguest/bb", "2: 'guest/bb': guest/ means nothing in this file"),
        ("host", "[RULES]\nIN DROP -source guest/bb", "2: 'guest/bb': guest/ means something in a guest's file alone"),
        ("bridge", "[RULES]\nIN DROP", "2: IN cannot stand in a bridge's file (FORWARD or GROUP)"),
        ("bridge", "[OPTIONS]\npolicy_forward: REJECT", "2: policy_forward: 'REJECT' is not ACCEPT or DROP"),
        ("bridge", "[OPTIONS]\npolicy_in: DROP", "2: unknown option 'policy_in'"),
        (
            "host",
            "[RULES]\nFORWARD DROP -i vmbr0",
            "2: FORWARD takes no -i (-source and -dest, or the bridge's own file)",
        ),
        ("guest", "[RULES]\nGROUP web -p tcp", "2: GROUP takes no -p (only -i)"),
        ("guest", "[RULES]\nGROUP web -i net32", "2: -i net32: a guest's interfaces are net0 to net31"),
        ("guest", "[RULES]\nIN SSH", "2: unknown action 'SSH' (ACCEPT, DROP or REJECT) (did you mean SSH(ACCEPT)?)"),
        ("guest", "[RULES]\nIN DENY", "2: unknown action 'DENY' (ACCEPT, DROP or REJECT) (did you mean DROP?)"),
        ("guest", "[RULES]\nIN SHH(DROP)", "2: unknown macro 'SHH' (did you mean SSH?)"),
        ("guest", "[RULES]\nIN SSH(DROP", "2: 'SSH(DROP' is not MACRO(ACTION)"),
        ("guest", "[RULES]\nIN SSH(drop)", "2: unknown action 'drop' (ACCEPT, DROP or REJECT) (did you mean DROP?)"),
        ("guest", "[RULES]\nIN SSH(DROP) -dport 23", "2: -dport contradicts macro SSH (leave it out)"),
        ("guest", "[RULES]\nIN DNS(DROP) -p udp", "2: -proto contradicts macro DNS (leave it out)"),
        ("guest", "[RULES]\nIN SSH(DROP) -p icmp", "2: -proto contradicts macro SSH (leave it out)"),
        (
            "guest",
            "[RULES]\nIN Ping(DROP) -sport 1",
            "2: ports contradict macro Ping, which has a protocol without ports",
        ),
        ("guest", "[RULES]\nIN DHCPv6(DROP) -source 192.0.2.1", "2: macro DHCPv6 is not for IPv4"),
        ("guest", "[RULES]\nIN DROP -surce ::1", "2: unknown option '-surce' in a rule (did you mean -source?)"),
        ("guest", "[RULES]\nIN DROP -p tpc", "2: unknown protocol 'tpc' (did you mean tcp?)"),
        ("guest", "[RULES]\nIN DROP -log inf", "2: -log inf: not one of nolog, emerg, alert, "),
        (
            "guest",
            "[RULES]\nIN DROP -p icmp -icmp-type echo-reqest",
            "2: unknown ICMP type 'echo-reqest' (did you mean echo-request?)",
        ),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(scope: str, text: str, told: str) -> None:
    (found,) = problems(scope, text)
    assert re.sub("error (syntax|unknown-value|unknown-option): ", "", found).startswith(told)
    switched_off = text.replace("\n", "\n|")
    if "[RULES]" in text or "[group aa]\n" in text:
        assert not parsed(scope, switched_off).broken or "[group AA]" in text


@pytest.mark.parametrize(
    ("rule", "field", "value"),
    [
        ("IN ACCEPT -source a-lias_1", "source", Ref("alias", "", "a-lias_1")),
        ("IN ACCEPT -source beef", "source", Ref("alias", "", "beef")),
        ("IN ACCEPT -source +GUEST/Net", "source", Ref("set", "guest", "net")),
        ("IN ACCEPT -dest +sdn/vnet0-all", "dest", Ref("set", "sdn", "vnet0-all")),
        ("IN ACCEPT -dest ::1-::9", "dest", addresses("::1-::9")),
        ("IN ACCEPT -p TCP -dport 22", "proto", 6),
        ("IN ACCEPT -p ip", "proto", None),
        ("IN ACCEPT -p 0", "proto", None),
        ("IN ACCEPT -proto 58 -icmp-type Echo-Request", "icmp", (IcmpType(128),)),
        ("IN ACCEPT -p 1 -icmp-type TOS-host-redirect", "icmp", (IcmpType(5, 3),)),
        ("IN ACCEPT -p icmp -dport 8", "icmp", (IcmpType(8),)),
        ("IN ACCEPT -iface net1", "iface", "net1"),
        ("IN ACCEPT -log INFO", "log", "info"),
        ("IN SSH(ACCEPT) -sport 1:9", "sport", (Span(1, 9),)),
        ("IN SSH(ACCEPT) -p 6 -dport ssh", "macro", "SSH"),
        ("GROUP Web -i net0 # c", "comment", "c"),
        ("|GROUP Web", "enabled", False),
    ],
)
def test_a_rule_says(rule: str, field: str, value: object) -> None:
    config = parsed("guest", f"[RULES]\n{rule}\n")
    assert not config.problems
    assert getattr(config.rules[0], field) == value


def test_the_longest_lists_are_read() -> None:
    many = ",".join(f"192.0.2.{host}" for host in range(0, 256, 2))
    config = parsed("guest", f"[RULES]\nIN ACCEPT -source {many}\n")
    assert not config.problems
    assert config.rules[0].source == addresses(many)


def test_every_macro_is_a_rule_and_agrees_with_itself() -> None:
    for found in MACROS.values():
        for service in found.services:
            assert service.proto
        config = parsed("guest", f"[RULES]\nIN {found.name.upper()}(ACCEPT)\n")
        assert (config.rules[0].macro, config.rules[0].services) == (found.name, found.services)


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ("1", Limit(1, "second", 5)),
        ("enable=1,rate=20/minute,burst=9", Limit(20, "minute", 9)),
        ("burst=2, rate=1/day", Limit(1, "day", 2)),
        ("enable=0,rate=1/hour", None),
        ("0", None),
    ],
)
def test_a_rate_limit_says(value: str, limit: Limit | None) -> None:
    assert rate_limit(value) == limit


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (rate_limit, "rate=0/second", "rate=0/second: not N/second"),
        (rate_limit, "rate=1/week", "not N/second"),
        (rate_limit, "enable=2", "enable=2: not 0 or 1"),
        (rate_limit, "burst=x", "burst=x: not a number"),
        (rate_limit, "rate=1/day,rate=1/day", "'rate=1/day' is not"),
        (rate_limit, "1,2", "'2' is not enable="),
        (queues, "5:4", "'5:4' is not N or N:M"),
        (queues, "65536", "is not N or N:M"),
        (helpers, "ftp,irk", "unknown conntrack helper 'irk'"),
        (ethertypes, "ARP,IPv5", "unknown Ethernet protocol 'IPv5'"),
        (ethertypes, "0100", "unknown Ethernet protocol '0100'"),
        (protocol, "256", "unknown protocol '256'"),
    ],
)
def test_a_wrong_value_is_named(read: object, value: str, message: str) -> None:
    assert callable(read)
    with pytest.raises(Wrong, match=message.replace("(", r"\(")):
        read(value)


def test_lists_of_options_are_read() -> None:
    assert queues("3") == Span(3, 3)
    assert queues("0:65535") == Span(0, 65535)
    assert helpers("FTP;tftp, ftp") == ("ftp", "tftp")
    assert ethertypes("arp,IPv6;0x88cc") == (0x0806, 0x86DD, 0x88CC)
    assert near("polcy", ["policy_in", "dhcp"]) == "did you mean policy_in?"
