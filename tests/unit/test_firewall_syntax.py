"""Firewall files: what a line means, and every line that is wrong, with its number."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.errors import ConfigError
from pvenetd.firewall.ruleset import Addresses, IcmpType, Span
from pvenetd.firewall.syntax import Config, parse_cluster, parse_guest, parse_host


def rules(*lines: str) -> Config:
    return parse_guest("[RULES]\n" + "".join(f"{line}\n" for line in lines), "100.fw")


def addresses(*ends: tuple[str, str]) -> Addresses:
    spans = tuple(Span(int(ip_address(first)), int(ip_address(last))) for first, last in ends)
    return Addresses(ip_address(ends[0][0]).version, spans)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("IN ACCEPT", "direction", "in"),
        ("out REJECT", "action", "REJECT"),
        ("IN DROP -p tcp", "proto", 6),
        ("IN DROP --proto ipv6-icmp", "proto", 58),
        ("IN DROP -p 47", "proto", 47),
        ("IN ACCEPT -p tcp -dport 22", "dport", (Span(22, 22),)),
        ("IN ACCEPT -p tcp -dport ssh,http", "dport", (Span(22, 22), Span(80, 80))),
        ("IN ACCEPT -p tcp -dport 80:90,85:95,22", "dport", (Span(22, 22), Span(80, 95))),
        ("IN ACCEPT -p udp -sport 53", "sport", (Span(53, 53),)),
        ("IN ACCEPT -source 192.0.2.1", "source", addresses(("192.0.2.1", "192.0.2.1"))),
        ("IN ACCEPT -source 192.0.2.77/24", "source", addresses(("192.0.2.0", "192.0.2.255"))),
        ("IN ACCEPT --dest 192.0.2.9-192.0.2.12", "dest", addresses(("192.0.2.9", "192.0.2.12"))),
        ("IN ACCEPT -source 192.0.2.1,192.0.2.2", "source", addresses(("192.0.2.1", "192.0.2.2"))),
        ("IN ACCEPT -source 2001:db8::/127,::1", "source", addresses(("::1", "::1"), ("2001:db8::", "2001:db8::1"))),
        ("IN ACCEPT -p icmp -icmp-type ping", "icmp", (IcmpType(8),)),
        ("IN ACCEPT -p icmp -dport host-unreachable", "icmp", (IcmpType(3, 1),)),
        ("IN ACCEPT -p icmpv6 -icmp-type 128,1/4", "icmp", (IcmpType(128), IcmpType(1, 4))),
        ("IN ACCEPT -p icmp -icmp-type any", "icmp", ()),
        ("IN ACCEPT -i net1", "iface", "net1"),
        ("IN ACCEPT -log info", "log", "info"),
        ("IN ACCEPT # web, the öld one", "comment", "web, the öld one"),
        ("|IN ACCEPT", "enabled", False),
        ("  | IN   ACCEPT  -p   tcp ", "proto", 6),
    ],
)
def test_a_rule_says(text: str, field: str, value: object) -> None:
    config = rules(text)
    assert not config.broken, config.problems
    assert getattr(config.rules[0], field) == value


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("IN", "syntax", "not DIRECTION ACTION"),
        ("IN DENY", "syntax", "unknown action 'DENY'"),
        ("IN accept", "syntax", "unknown action 'accept'"),
        ("INOUT ACCEPT", "syntax", "unknown direction"),
        ("FORWARD ACCEPT", "syntax", "cannot stand in a guest's file"),
        ("IN ACCEPT -x 1", "syntax", "unknown option '-x'"),
        ("IN ACCEPT --i net0", "syntax", "unknown option '--i'"),
        ("IN ACCEPT -p", "syntax", "no value"),
        ("IN ACCEPT -p tcp -p udp", "syntax", "stands twice"),
        ("IN ACCEPT -p nonsense", "syntax", "unknown protocol"),
        ("IN ACCEPT -p 256", "syntax", "unknown protocol"),
        ("IN ACCEPT -dport 22", "syntax", "-dport needs -proto"),
        ("IN ACCEPT -p gre -sport 22", "syntax", "-sport needs -proto"),
        ("IN ACCEPT -p tcp -dport 65536", "syntax", "no port"),
        ("IN ACCEPT -p tcp -dport 90:80", "syntax", "backwards"),
        ("IN ACCEPT -p tcp -dport no-such-port", "syntax", "unknown port"),
        ("IN ACCEPT -p tcp -dport 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", "syntax", "more than 15"),
        ("IN ACCEPT -p tcp -dport 22,", "syntax", "unknown port"),
        ("IN ACCEPT -source 192.0.2.300", "syntax", "192.0.2.300"),
        ("IN ACCEPT -source 192.0.2.1/33", "syntax", "192.0.2.1/33"),
        ("IN ACCEPT -source 192.0.2.9-192.0.2.1", "syntax", "backwards"),
        ("IN ACCEPT -source 192.0.2.1,::1", "syntax", "mixed"),
        ("IN ACCEPT -source 192.0.2.1 -dest ::1", "syntax", "mixed in one rule"),
        ("IN ACCEPT -p icmp -dest ::1", "syntax", "mixed in one rule"),
        ("IN ACCEPT -source 192.0.2.1-192.0.2.2,192.0.2.9", "syntax", "cannot stand"),
        ("IN ACCEPT -source fe80::1%eth0", "syntax", "cannot stand"),
        ("IN ACCEPT -icmp-type ping", "syntax", "needs -proto icmp"),
        ("IN ACCEPT -p icmp -icmp-type pang", "syntax", "unknown ICMP type"),
        ("IN ACCEPT -p icmp -icmp-type 300", "syntax", "unknown ICMP type"),
        ("IN ACCEPT -i eth0", "syntax", "net0 to net31"),
        ("IN ACCEPT -log loud", "syntax", "-log loud"),
        ("IN SSHH(ACCEPT)", "syntax", "unknown macro 'SSHH'"),
        ("GROUP w", "syntax", "not the name of a security group"),
        ("IN ACCEPT -source +blocked!", "syntax", "not the name of an IP set"),
    ],
)
def test_a_wrong_rule_breaks_its_file(text: str, code: str, message: str) -> None:
    config = rules("IN ACCEPT", text)
    assert [(one.path, one.line, one.code) for one in config.problems] == [("100.fw", 3, code)]
    assert message in config.problems[0].message
    with pytest.raises(ConfigError):
        config.require()
    assert not rules(f"|{text}").broken  # switched off, it harms nobody


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[OPTIONS]\nenable: yes\n", "f:2: error unknown-value: enable: 'yes' is not 0 or 1 (did you mean 1?)"),
        (
            "[OPTIONS]\nenable: 1700000000\n",
            (
                "f:2: error unknown-value: enable: '1700000000' is not 0 or 1"
                " (for a trial that ends by itself: pvenetctl firewall apply --confirm SECONDS)"
            ),
        ),
        (
            "[OPTIONS]\npolicy_in: DENY\n",
            "f:2: error unknown-value: policy_in: 'DENY' is not ACCEPT, DROP or REJECT (did you mean DROP?)",
        ),
        ("[OPTIONS]\nenabel: 1\n", "f:2: error unknown-option: unknown option 'enabel' (did you mean enable?)"),
        ("[OPTIONS]\nenable 1\n", "f:2: error syntax: 'enable 1' is not KEY: VALUE"),
        ("enable: 1\n", "f:1: error syntax: 'enable: 1' stands before the first section ([OPTIONS] or [RULES])"),
        ("[OPTION]\nenable: 1\n", "f:1: error syntax: unknown section [OPTION] (did you mean [OPTIONS]?)"),
        ("[IPSET]\n", "f:1: error syntax: unknown section [IPSET] ([IPSET name])"),
        ("[rules]\nFORWARD REJECT\n", "f:2: error syntax: FORWARD has no REJECT (DROP)"),
        ('[RULES]\nIN DROP -i x"\n', 'f:2: error syntax: -i x": not the name of a network interface'),
        ("[OPTIONS]\nenable: 0\nenable: 1\n", "f:3: warning syntax: enable is set in line 2 already; this one counts"),
    ],
)
def test_a_wrong_line_is_named(text: str, problem: str) -> None:
    assert [str(one) for one in parse_cluster(text, "f").problems] == [problem]


def test_an_option_without_effect_is_named() -> None:
    problems = parse_host("[OPTIONS]\nprotection_limit: 1\n", "f").problems
    assert [str(one) for one in problems] == [
        "f:2: warning unsupported: protection_limit: has no effect in this version"
    ]


def test_all_problems_are_told_at_once() -> None:
    config = parse_host(
        "[OPTIONS]\nenable: maybe\nnf_conntrack_max: 5\n\n[RULES]\nIN DENY\nOUT ACCEPT -p x\n", "host.fw"
    )
    assert [one.line for one in config.problems] == [2, 3, 6, 7]


def test_what_proxmox_writes_is_read() -> None:
    text = """\
# head
[OPTIONS]

Enable: 1
policy_in:ACCEPT
log_level_in: nolog

[RULES]

IN ACCEPT -i net0 -source 192.0.2.0/24 -p tcp -dport 22 -log nolog # ssh
"""
    config = parse_guest(text, "100.fw")
    assert config.problems == ()
    assert config.flag("enable", default=False)
    assert config.option("policy_in", "DROP") == "ACCEPT"
    assert config.option("policy_out", "ACCEPT") == "ACCEPT"
    assert config.rules[0].line == 10


def test_only_a_newline_ends_a_line() -> None:
    config = rules("IN DROP # \u2028IN ACCEPT\x0bIN ACCEPT\rIN ACCEPT")
    assert len(config.rules) == 1


@given(st.text() | st.text(alphabet="[]OPTIONSRULES\nenable: 01INACEPTDROP-p tcp|#,./:9"))
def test_any_text_is_parsed_and_kept(text: str) -> None:
    for parse in (parse_cluster, parse_host, parse_guest):
        config = parse(text, "x.fw")
        assert "".join(config.lines) == text
        assert all(1 <= one.line <= len(config.lines) for one in config.problems)
