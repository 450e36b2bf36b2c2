"""Firewall files drawn at random: nothing crashes, and no line is passed over in silence."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from pvenetd.firewall.fields import RuleText, rule_text
from pvenetd.firewall.macros import MACROS
from pvenetd.firewall.resolve import Names, named_sets
from pvenetd.firewall.rule import ACTIONS
from pvenetd.firewall.ruleset import WITH_PORTS, Addresses, SetRef
from pvenetd.firewall.syntax import Config, parse_bridge, parse_cluster, parse_guest, parse_host

PARSERS: list[Callable[[str, str], Config]] = [parse_cluster, parse_host, parse_guest, parse_bridge]

NAMES = st.sampled_from(["aa", "Bb", "cc-1", "local_network", "d_d", "x", "9a"])
ADDRESSES = st.sampled_from(
    ["192.0.2.1", "192.0.2.77/24", "192.0.2.1-192.0.2.9", "192.0.2.1,198.51.100.0/24", "2001:db8::1", "2001:db8::/32",
     "::/0", "0.0.0.0/0", "192.0.2.300", "192.0.2.0/33", "fe80::1%x", "::ffff:192.0.2.1", "1", ","]
)  # fmt: skip
REFERENCES = st.tuples(st.sampled_from(["", "+"]), st.sampled_from(["", "dc/", "guest/", "sdn/", "x/"]), NAMES).map(
    "".join
)
SIDES = ADDRESSES | REFERENCES
MACRO_NAMES = st.sampled_from([*(one.name for one in MACROS.values()), "ssh", "HTTP/4", ""])
VERDICTS = st.sampled_from([*ACTIONS, "DENY", "accept", ""])
HEADS = st.tuples(st.sampled_from(["IN", "OUT", "forward", "GROUP", "X"]), VERDICTS | NAMES).map(" ".join) | st.tuples(
    st.sampled_from(["IN", "out", "FORWARD"]), MACRO_NAMES, VERDICTS
).map(lambda one: f"{one[0]} {one[1]}({one[2]})")
OPTIONS = st.one_of(
    st.tuples(st.sampled_from(["-source", "--source", "-dest"]), SIDES),
    st.tuples(
        st.sampled_from(["-p", "-proto"]),
        st.sampled_from(["tcp", "udp", "icmp", "icmpv6", "ipv6-icmp", "47", "0", "no"]),
    ),
    st.tuples(
        st.sampled_from(["-sport", "--dport"]), st.sampled_from(["22", "ssh,80", "80:90", "90:80", "8", "ping", ""])
    ),
    st.tuples(st.just("-icmp-type"), st.sampled_from(["any", "8", "3/1", "echo-request", "ttl-exceeded", "999"])),
    st.tuples(st.just("-log"), st.sampled_from(["info", "nolog", "loud"])),
    st.tuples(st.sampled_from(["-i", "--i"]), st.sampled_from(["net0", "net32", "vmbr0", "a" * 20, '"'])),
    st.tuples(st.text(max_size=3), st.text(max_size=3)),
).map(" ".join)
RULES = st.builds(
    lambda bar, head, options, comment: " ".join([bar + head, *options, *comment]),
    st.sampled_from(["", "", "", "|"]),
    HEADS,
    st.lists(OPTIONS, max_size=4),
    st.lists(st.text(max_size=5).map("#".__add__), max_size=1),
)
ENTRIES = st.tuples(st.sampled_from(["", "!", "! "]), SIDES, st.sampled_from(["", " # c", "#", " x"])).map("".join)
SETTINGS = st.tuples(
    st.sampled_from(["enable", "Policy_IN", "dhcp", "log_ratelimit", "ips_queues", "nf_conntrack_max", "what"]),
    st.sampled_from([":", ": ", " : ", " "]),
    st.sampled_from(["0", "1", "2", "ACCEPT", "deny", "rate=5/hour", "burst=a,", "0:3", "9:3", "40000", ""]),
).map("".join)
HEADERS = st.sampled_from(
    [
        "[OPTIONS]",
        "[ aliases ]",
        "[IPSET aa]",
        "[ipset  Bb ]#x",
        "[ipset]",
        "[RULES]",
        "[group aa] # y",
        "[GROUP x]",
        "[",
    ]
)
LINES = st.one_of(
    RULES, ENTRIES, st.tuples(NAMES, st.just(" "), SIDES).map("".join), SETTINGS, HEADERS, st.text(max_size=9)
)
TEXTS = st.lists(LINES | HEADERS | RULES, max_size=14).map("\n".join) | st.text() | st.binary().map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)  # fmt: skip


def told(config: Config) -> set[int]:
    """Return the lines that have come to something: a value, or a problem."""
    found = {problem.line for problem in config.problems}
    found |= {int(line) for one in config.problems for line in re.findall("line ([0-9]+)", one.message)}
    found |= {one.line for one in (config.options or {}).values()}
    found |= {rule.line for rule in config.rules}
    found |= {one.line for one in config.aliases.values()}
    for held in config.sets.values():
        found |= {held.line, *(entry.line for entry in held.entries)}
    for group in config.groups.values():
        found |= {group.line, *(rule.line for rule in group.rules)}
    return found


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_no_line_is_passed_over(text: str) -> None:
    for parse in PARSERS:
        config = parse(text, "x.fw")
        assert "".join(config.lines) == text
        assert all(1 <= one.line <= len(config.lines) for one in config.problems)
        known, unread = told(config), False
        for number, raw in enumerate(config.lines, 1):
            line = (raw.removeprefix("\ufeff") if number == 1 else raw).strip()
            if line.startswith("["):
                unread = any(one.line == number and one.severity == "error" for one in config.problems)
                plain = re.fullmatch(r"\[\s*(options|aliases|rules)\s*\]\s*(#.*)?", line, re.IGNORECASE)
                assert plain or number in known, line
            elif line and not line.startswith("#") and not unread:
                assert number in known, line


@settings(max_examples=200, deadline=None)
@given(cluster=TEXTS, guest=TEXTS)
def test_whatever_is_right_can_be_resolved(cluster: str, guest: str) -> None:
    files = parse_cluster(cluster, "cluster.fw"), parse_guest(guest, "100.fw")
    everybody = Names(files[0])
    shared = {f"dc-{name}" for name in files[0].sets}
    for names, config in ((everybody, files[0]), (Names(*files), files[1])):
        wrong = {one.line for one in names.problems(config)}
        for rule in (*config.rules, *(rule for group in config.groups.values() for rule in group.rules)):
            if rule.line in wrong or rule.direction == "group":
                continue
            for match in names.expand(rule):
                sides = [side for side in (match.source, match.dest) if side]
                assert all(side.version == match.version for side in sides)
                assert all(side.spans for side in sides if isinstance(side, Addresses))
                assert {side.name for side in sides if isinstance(side, SetRef)} <= shared
                assert not (match.sport or match.dport) or match.proto in WITH_PORTS
    if not everybody.problems(files[0]):
        for one in named_sets(everybody, files[0]):
            assert list(one.spans) == sorted(one.spans)
            assert all(a.last + 1 < b.first for a, b in zip(one.spans, one.spans[1:], strict=False))


GOOD = """\
[OPTIONS]
enable: 1
policy_in: DROP
[ALIASES]
aa 192.0.2.1
[IPSET bb]
192.0.2.0/24
!aa
[RULES]
IN ACCEPT -source +bb -p tcp -dport 22
OUT DROP -dest aa
GROUP cc
[group cc]
IN SSH(DROP) -log info
"""


@settings(max_examples=200, deadline=None)
@given(at=st.integers(1, 14), garbage=(st.text(min_size=1) | LINES).filter(lambda text: "\n" not in text))
def test_garbage_in_place_of_a_line_breaks_the_file_or_means_something_else(at: int, garbage: str) -> None:
    head = "".join(line + "\n" for line in GOOD.splitlines()[:at])
    config = parse_cluster(head + garbage, "cluster.fw")
    line = garbage.strip()
    if not line or line.startswith(("#", "|")):
        assert config.broken == parse_cluster(head, "cluster.fw").broken or line.startswith("|")
    elif not config.broken and not re.fullmatch(r"\[\s*(options|aliases|rules)\s*\]\s*(#.*)?", line, re.IGNORECASE):
        assert at + 1 in told(config)


FIELDS = st.fixed_dictionaries(
    {"type": st.sampled_from(["in", "out"]), "action": st.sampled_from(ACTIONS)},
    optional={
        "macro": st.sampled_from(["SSH", "DNS"]),
        "enable": st.sampled_from(["0", "1"]),
        "iface": st.just("net3"),
        "source": st.sampled_from(["192.0.2.1", "+set", "alias"]),
        "dest": st.just("192.0.2.0/24"),
        "sport": st.just("1024:65535"),
        "log": st.just("info"),
        "comment": st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=1),
    },
)


@given(values=FIELDS)
def test_a_rule_that_is_written_is_read_again(values: dict[str, str]) -> None:
    text = rule_text(values)
    assert RuleText(text).fields() == {"enable": "1"} | values
    if "macro" in values or "sport" not in values:
        config = parse_guest(f"[RULES]\n{text}\n", "100.fw")
        assert not config.broken, config.problems
        rule = config.rules[0]
        assert (rule.macro, rule.action, rule.enabled) == (
            values.get("macro", ""),
            values["action"],
            values.get("enable") != "0",
        )
