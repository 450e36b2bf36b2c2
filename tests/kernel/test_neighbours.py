"""What others have loaded is seen as their own programs show it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from pvenetd.drivers.neighbours import Neighbours
from pvenetd.neighbours import Chain, Seen
from tests.netns import fresh, run

pytestmark = pytest.mark.netns


@pytest.fixture(autouse=True)
def host() -> Iterator[None]:
    with fresh():
        yield


def forward(seen: Seen) -> list[Chain]:
    return [chain for chain in seen.chains if chain.hook == "forward"]


def test_an_empty_host_has_nobody() -> None:
    seen = Neighbours().look()
    assert (seen.chains, seen.forwards) == ((), False)


@pytest.mark.parametrize("policy", ["drop", "accept"])
@pytest.mark.parametrize(("program", "family"), [("iptables", "ip"), ("ip6tables", "ip6")])
def test_the_policy_of_iptables_nft_is_seen(program: str, family: str, policy: str) -> None:
    run(f"{program}-nft", "-P", "FORWARD", policy.upper())
    assert forward(Neighbours().look()) == [Chain(family, "filter", "FORWARD", "forward", policy)]


@pytest.mark.parametrize(("program", "family"), [("iptables", "ip"), ("ip6tables", "ip6")])
def test_the_policy_of_iptables_legacy_is_seen(program: str, family: str) -> None:
    for rule in (["-A", "FORWARD", "-p", "tcp", "--dport", "22", "-j", "ACCEPT"], ["-A", "OUTPUT", "-o", "lo"]):
        run(f"{program}-legacy", *rule)
    assert Neighbours().look().chains == ()
    run(f"{program}-legacy", "-P", "FORWARD", "DROP")
    assert Neighbours().look().chains == (Chain(family, "filter", "FORWARD", "forward", "drop", legacy=True),)


def test_looking_makes_no_table() -> None:
    Neighbours().look()
    assert run("nft", "list", "tables") == ""
    for names in ("ip_tables_names", "ip6_tables_names"):
        assert subprocess.run(["cat", f"/proc/thread-self/net/{names}"], capture_output=True).stdout == b""


def test_what_the_admin_lets_pass_is_seen_one_chain_deep() -> None:
    run("iptables-nft", "-N", "DOCKER-USER")
    run("iptables-nft", "-A", "FORWARD", "-j", "DOCKER-USER")
    run("iptables-nft", "-P", "FORWARD", "DROP")
    run("iptables-nft", "-A", "DOCKER-USER", "-i", "vmbr0", "-j", "ACCEPT")
    run("iptables-nft", "-A", "DOCKER-USER", "-i", "vmbr1", "-p", "tcp", "-j", "ACCEPT")
    run("iptables-nft", "-A", "FORWARD", "-o", "vmbr2", "-j", "ACCEPT")
    assert [chain.passes for chain in forward(Neighbours().look())] == [{"vmbr0", "vmbr2"}]


def test_our_own_chains_are_no_neighbours() -> None:
    run("nft", "add table inet pvenetd; add chain inet pvenetd x { type filter hook forward priority 0; policy drop; }")
    assert Neighbours().look().chains == ()


def test_rules_of_iptables_legacy_are_seen_and_a_table_that_was_only_looked_at_is_not() -> None:
    run("iptables-legacy", "-L")
    assert not Neighbours().look().legacy
    run("ip6tables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    assert Neighbours().look().legacy
