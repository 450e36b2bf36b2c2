"""What iptables and ipset are told, on a real kernel: by chain, nothing else is touched, either variant takes it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvenetd.firewall.iptables import part, parts
from pvenetd.firewall.iptables_commit import Seen, commit
from pvenetd.firewall.iptables_parts import Part, comment, parse_part
from pvenetd.firewall.ruleset import Ruleset
from tests.kernel.firewall import compiled, have_bridge_netfilter, sections
from tests.kernel.fwbr import bring, run, seen
from tests.kernel.test_firewall_rulesets import CASES, files, rule_lines
from tests.kernel.world import World, inside, world

VARIANTS = ("nft", "legacy")


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def host() -> Iterator[World]:
    have_bridge_netfilter()
    with world(bridge_nf=True) as made:
        yield made


@pytest.fixture(autouse=True)
def empty(host: World, variant: str) -> Iterator[None]:
    yield
    bring(host, Ruleset(), variant)


pytestmark = pytest.mark.netns


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_it_is_loaded_and_taken_away_again(case: Path, host: World, variant: str) -> None:
    before = seen(host, variant)
    ruleset = compiled(sections(case.read_text())).ruleset
    bring(host, ruleset, variant)
    bring(host, Ruleset(), variant)
    after = seen(host, variant)
    assert ours(after) == ours(before) == []
    assert after.sets == {}


def ours(there: Seen) -> list[str]:
    """Return the chains and rules that are not the kernel's own."""
    rules = [rule for found in there.chains.values() for rules in found.values() for rule in rules]
    return [name for found in there.chains.values() for name in found if not name.isupper()] + rules


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_part_s_text_is_all_of_it(case: Path) -> None:
    for one in parts(compiled(sections(case.read_text())).ruleset):
        assert parse_part(one.text) == replace(one, chains=_sorted(one), jumps=parse_part(one.text).jumps)
        assert parse_part(one.text).digest == one.digest


def _sorted(one: Part) -> tuple[object, ...]:
    tables = ("raw", "mangle", "filter")
    return tuple(sorted(one.chains, key=lambda chain: (chain.family, tables.index(chain.table))))


HEAD = "[OPTIONS]\nenable: 1\n[RULES]\n"
CLUSTER = {"cluster.fw": "[OPTIONS]\nenable: 1\n[IPSET web]\n192.0.2.0/24\n[group web]\nIN ACCEPT -p tcp -dport 99\n"}
TWO = {"100.fw": HEAD + "IN ACCEPT -p tcp -dport 22 -source +dc/web\n", "101.fw": HEAD + "OUT DROP -p udp -dport 53\n"}


def rules(guest: str = "") -> Ruleset:
    """Return the rules of two guests, with other *guest* rules for the first."""
    return compiled({**CLUSTER, **TWO, **({"100.fw": HEAD + guest} if guest else {})}).ruleset


def count(host: World, variant: str) -> None:
    """Have every rule count from a number on."""
    with inside(host.names["host"]):
        saved = subprocess.run([f"iptables-{variant}-save", "-c"], capture_output=True, text=True, check=True).stdout
        told = saved.replace("[0:0] -A", "[7:700] -A")
        subprocess.run([f"iptables-{variant}-restore", "-c"], input=told, text=True, check=True)


def counts(host: World, variant: str, chain: str) -> set[str]:
    """Return what the rules of *chain* have counted."""
    with inside(host.names["host"]):
        saved = subprocess.run([f"iptables-{variant}-save", "-c"], capture_output=True, text=True, check=True).stdout
    return {line.partition(" ")[0] for line in saved.splitlines() if f"-A {chain} " in line}


def test_what_is_not_changed_goes_on_counting(host: World, variant: str) -> None:
    bring(host, rules(), variant)
    count(host, variant)
    made = bring(host, rules("IN ACCEPT -p tcp -dport 23\n"), variant)
    assert ":tap100i0-IN " in made.v4
    assert ":tap100i0-OUT " not in made.v4
    assert "tap101i0" not in made.v4 + made.v6
    assert counts(host, variant, "tap100i0-IN") == {"[0:0]"}
    for chain in ("tap100i0-OUT", "tap101i0-IN", "PVEFW-HOST-IN", "PVEFW-FWBR-IN"):
        assert counts(host, variant, chain) == {"[7:700]"}


def test_others_rules_stay(host: World, variant: str) -> None:
    with inside(host.names["host"]):
        for rule in ("INPUT -p tcp --dport 1 -j ACCEPT", "FORWARD -j DROP"):
            subprocess.run([f"iptables-{variant}", "-A", *rule.split()], check=True)
        bring(host, rules(), variant)
        listed = subprocess.run([f"iptables-{variant}", "-S", "FORWARD"], capture_output=True, text=True, check=True)
        assert [line.rpartition(" ")[2] for line in listed.stdout.splitlines()[1:]] == ["PVEFW-FORWARD", "DROP"]
        bring(host, Ruleset(), variant)
        for rule in ("INPUT -p tcp --dport 1 -j ACCEPT", "FORWARD -j DROP"):
            subprocess.run([f"iptables-{variant}", "-D", *rule.split()], check=True)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("iptables-{} -F tap100i0-IN", "vm:100"),
        ("ip6tables-{} -D tap101i0-OUT 1", "vm:101"),
        ("iptables-{} -F PVEFW-FWBR-IN", "vm:100"),
        ("iptables-{} -F FORWARD", "base"),
        ("ipset add PVEFW-0-web-v4 203.0.113.1", "sets"),
    ],
)
def test_what_somebody_has_changed_is_seen_and_mended(command: str, name: str, host: World, variant: str) -> None:
    bring(host, rules(), variant)
    whole = {one.name: one.digest for one in parts(rules())}
    with inside(host.names["host"]):
        subprocess.run(command.format(variant).split(), check=True)
    found = {key: one.digest for key, one in seen(host, variant).parts.items()}
    assert found.get(name) != whole[name]
    bring(host, rules(), variant)


def test_a_chain_stays_as_long_as_others_lead_to_it(host: World, variant: str) -> None:
    bring(host, rules("GROUP web\n"), variant)
    groups = next(one for one in rules().pieces if one.name == "groups")
    without = part(replace(groups, chains=tuple(one for one in groups.chains if not one.name.startswith("group-"))))
    run(host, commit(seen(host, variant), [without]), variant)
    there = seen(host, variant)
    assert there.parts["groups"].digest == without.digest
    assert "GROUP-web-IN" in there.chains[4, "filter"]
    run(host, commit(there, [], ["vm:100"]), variant)
    assert "GROUP-web-IN" not in seen(host, variant).chains[4, "filter"]


def test_a_set_in_use_is_exchanged(host: World, variant: str) -> None:
    bring(host, rules(), variant)
    more = "".join(f"192.0.2.{number}\n" for number in range(1, 255, 2))
    changed = compiled({**CLUSTER, **TWO, "cluster.fw": CLUSTER["cluster.fw"].replace("192.0.2.0/24\n", more)}).ruleset
    made = bring(host, changed, variant)
    assert "swap " in made.sets
    assert "tap100i0" not in made.v4
    assert len(seen(host, variant).sets["PVEFW-0-web-v4"].entries) == 127


def test_a_set_that_nothing_asks_any_more_goes(host: World, variant: str) -> None:
    listed = "IN ACCEPT -p tcp -dport 22 -source 192.0.2.1,192.0.2.3\n"
    bring(host, rules(listed), variant)
    (name,) = (one for one in seen(host, variant).sets if one.startswith("PVEFW-100-"))
    assert sorted(seen(host, variant).sets[name].entries) == ["192.0.2.1", "192.0.2.3"]
    assert f"destroy {name}\n" in bring(host, rules(), variant).left


def test_rules_tell_the_line_they_come_from(host: World, variant: str) -> None:
    bring(host, rules(), variant)
    listed = seen(host, variant).chains[4, "filter"]
    assert "100.fw:4" in [comment(rule) for rule in listed["tap100i0-IN"]]
    assert "101.fw:4" in [comment(rule) for rule in listed["tap101i0-OUT"]]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(rule_lines(), max_size=6),
    guest=st.lists(rule_lines(), max_size=6),
    policy=st.sampled_from(["ACCEPT", "DROP", "REJECT"]),
)
def test_the_kernel_takes_whatever_can_be_written(
    lines: list[str], guest: list[str], policy: str, host: World, variant: str
) -> None:
    """… and what it then has is what was wanted."""
    bring(host, compiled(files(lines, guest, policy)).ruleset, variant)
