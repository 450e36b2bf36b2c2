"""Lines of firewall files that do nothing."""

from __future__ import annotations

import pytest

from pvenetd.firewall.lint import Files, lint
from pvenetd.firewall.syntax import parse_cluster, parse_guest, parse_host

CLUSTER = """\
[ALIASES]
web 192.0.2.1
old 192.0.2.9
[IPSET servers]
web
192.0.2.64/26
[IPSET none]
[IPSET spare]
192.0.2.200
[group ssh]
IN ACCEPT -p tcp -dport 22
[group idle]
IN ACCEPT -p tcp -dport 23
"""
NEEDED = "[OPTIONS]\nenable: 1\n[RULES]\nGROUP ssh\nIN ACCEPT -source +servers\n"


def warnings(guest: str, nics: dict[int, bool] | None = None, cluster: str = CLUSTER) -> list[str]:
    given = {0: True} if nics is None else nics
    files = Files(parse_cluster(cluster), parse_host(""), {100: parse_guest(guest, "100.fw")}, nics={100: given})
    return [f"{one.path}:{one.line} {one.message}" for one in lint(files)]


def of_guest(rules: str) -> list[str]:
    return [one for one in warnings(f"[OPTIONS]\nenable: 1\n[RULES]\n{rules}") if one.startswith("100.fw")]


def test_names_that_nobody_uses_are_told() -> None:
    assert warnings(NEEDED) == [
        "cluster.fw:3 alias old: nobody uses it",
        "cluster.fw:7 IP set none: nobody uses it",
        "cluster.fw:8 IP set spare: nobody uses it",
        "cluster.fw:12 security group idle: nobody uses it",
    ]


def test_a_guests_own_names_are_its_own() -> None:
    guest = (
        "[OPTIONS]\nenable: 1\n[ALIASES]\nweb 192.0.2.7\n[IPSET ipfilter-net0]\n192.0.2.7\n[IPSET mine]\n192.0.2.7\n"
    )
    assert [one for one in warnings(guest) if one.startswith("100.fw")] == [
        "100.fw:4 alias web: nobody uses it",
        "100.fw:7 IP set mine: nobody uses it",
    ]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("IN DROP", "IN ACCEPT -p tcp -dport 22"),
        ("IN ACCEPT -p tcp -dport 20:30", "IN DROP -p tcp -dport 22,25"),
        ("IN ACCEPT -p tcp -dport 22", "IN ACCEPT -p tcp -dport 22 -i net0"),
        ("IN DROP -source 192.0.2.0/24", "IN ACCEPT -source +servers"),
        ("IN DROP -source +servers", "IN ACCEPT -source 192.0.2.70"),
        ("IN DROP -source +servers -p udp", "IN ACCEPT -source +dc/servers -p udp"),
        ("IN ACCEPT -p icmp", "IN DROP -p icmp -icmp-type echo-request"),
        ("IN ACCEPT -p tcp", "IN SSH(DROP)"),
        ("OUT DROP -dest web", "OUT ACCEPT -p tcp -dest web"),
    ],
)
def test_a_rule_after_one_that_matches_all_of_it_never_decides(earlier: str, later: str) -> None:
    assert of_guest(f"{earlier}\n{later}\n") == ["100.fw:5 never decides: line 4 matches all that it does"]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("IN ACCEPT -p tcp -dport 22", "IN DROP -p tcp"),
        ("IN ACCEPT -p tcp -dport 22 -i net0", "IN DROP -p tcp -dport 22"),
        ("IN ACCEPT -p tcp -dport 22", "OUT DROP -p tcp -dport 22"),
        ("|IN DROP", "IN ACCEPT -p tcp"),
        ("IN DROP -source 192.0.2.65", "IN ACCEPT -source +servers"),
        ("IN DROP -source 2001:db8::/32", "IN ACCEPT -p tcp"),
        ("IN ACCEPT -p tcp -sport 53", "IN ACCEPT -p tcp -dport 53"),
        ("IN ACCEPT -p icmp -icmp-type 3/1", "IN DROP -p icmp -icmp-type 3"),
        ("GROUP ssh", "IN DROP -p tcp -dport 22"),
    ],
)
def test_a_rule_that_may_decide_something_is_not_told_of(earlier: str, later: str) -> None:
    assert of_guest(f"{earlier}\n{later}\n") == []


def test_a_rule_about_an_empty_set_never_matches() -> None:
    assert of_guest("IN ACCEPT -source +none\n") == ["100.fw:4 never matches: the sets that it names are empty"]


@pytest.mark.parametrize(
    ("guest", "nics", "told"),
    [
        ("[RULES]\nIN DROP\n", {0: True}, "100.fw:2 the rules are not asked: [OPTIONS] has no enable: 1"),
        (
            "[OPTIONS]\nenable: 1\n[RULES]\nIN DROP\n",
            {0: False},
            "100.fw:4 the rules are not asked: no NIC of the guest",
        ),
        ("[OPTIONS]\nenable: 1\n[RULES]\nIN DROP -i net1\n", {0: True}, "100.fw:4 never matches: the guest has no"),
    ],
)
def test_rules_for_nobody_are_told(guest: str, nics: dict[int, bool], told: str) -> None:
    (found,) = (one for one in warnings(guest, nics) if one.startswith("100.fw"))
    assert found.startswith(told)
