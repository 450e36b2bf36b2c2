"""Who else keeps a network here, and what of theirs stops our guests' packets."""

from __future__ import annotations

import pytest

from pvenetd.neighbours import Chain, Guarded, Seen, owner, remarks

DROPS = Chain("ip", "filter", "FORWARD", "forward", "drop")
DOCKER = (DROPS, Chain("ip", "filter", "DOCKER-USER"))
HERE = Guarded(frozenset({"vmbr0", "vmbr1"}), frozenset({"vmbr1"}))


def warnings(seen: Seen, here: Guarded = HERE, design: str = "mark") -> list[str]:
    return [f"{one.text} ({one.hint})" for one in remarks(seen, here, design) if one.severity == "warning"]


@pytest.mark.parametrize(
    ("table", "chain", "who"),
    [
        ("filter", "DOCKER", "Docker"),
        ("filter", "DOCKER-USER", "Docker"),
        ("docker-bridges", "filter-forward", "Docker"),
        ("netavark", "FORWARD", "Podman"),
        ("nat", "NETAVARK-HOSTPORT-DNAT", "Podman"),
        ("libvirt_network", "guest_output", "libvirt"),
        ("firewalld", "filter_FORWARD", "firewalld"),
        ("filter", "ufw-user-forward", "ufw"),
        ("filter", "FORWARD", ""),
        ("mine", "DOCKERS", ""),
    ],
)
def test_a_chain_tells_by_its_name_whose_it_is(table: str, chain: str, who: str) -> None:
    assert owner(Chain("ip", table, chain)) == who


def test_what_is_there_is_told_once_for_each() -> None:
    here = Guarded(names={"docker0": ["veth1a2b3c4"], "br-0123456789ab": [], "podman0": ["a", "b"], "vmbr9": []})
    seen = Seen((*DOCKER, Chain("ip", "nat", "DOCKER"), Chain("inet", "netavark", "INPUT")))
    assert [(one.who, one.text) for one in remarks(seen, here, "ct")] == [
        (
            "Docker",
            "bridge br-0123456789ab (0 ports), bridge docker0 (1 port), table ip filter, table ip nat: left alone",
        ),
        ("Podman", "bridge podman0 (2 ports), table inet netavark: left alone"),
    ]


def test_nobody_is_no_remark() -> None:
    assert remarks(Seen(), HERE, "ct") == ()


@pytest.mark.parametrize(
    ("seen", "bridges"),
    [
        (Seen(DOCKER), ""),
        (Seen(DOCKER, forwards=True), "vmbr1"),
        (Seen(DOCKER, calls_iptables=True), "vmbr0, vmbr1"),
        (Seen((Chain("ip", "filter", "FORWARD", "forward", "accept"),), calls_iptables=True), ""),
        (Seen((Chain("bridge", "filter", "FORWARD", "forward", "drop"),), calls_iptables=True), ""),
        (Seen((Chain("ip", "filter", "INPUT", "input", "drop"),), calls_iptables=True), ""),
        (
            Seen(
                (Chain("ip", "filter", "FORWARD", "forward", "drop", passes=frozenset({"vmbr0"})),), calls_iptables=True
            ),
            "vmbr1",
        ),
    ],
)
def test_a_policy_that_drops_is_warned_of_where_guests_meet_it(seen: Seen, bridges: str) -> None:
    found = warnings(seen)
    assert len(found) == bool(bridges)
    assert all(f" of guests on {bridges} (" in one for one in found)


@pytest.mark.parametrize(
    ("chains", "hint"),
    [
        (DOCKER, "iptables -I DOCKER-USER -i vmbr1 -j ACCEPT and iptables -I DOCKER-USER -o vmbr1 -j ACCEPT"),
        ((DROPS,), "iptables -I FORWARD -i vmbr1 -j ACCEPT and iptables -I FORWARD -o vmbr1 -j ACCEPT"),
        (
            (Chain("ip6", "filter", "FORWARD", "forward", "drop", legacy=True),),
            "ip6tables-legacy -I FORWARD -i vmbr1 -j ACCEPT and ip6tables-legacy -I FORWARD -o vmbr1 -j ACCEPT",
        ),
        (
            (Chain("inet", "mine", "fwd", "forward", "drop"),),
            "nft insert rule inet mine fwd iifname vmbr1 accept and nft insert rule inet mine fwd oifname vmbr1 accept",
        ),
    ],
)
def test_the_way_out_is_the_admins_own_rule(chains: tuple[Chain, ...], hint: str) -> None:
    (found,) = warnings(Seen(chains, forwards=True))
    assert found.endswith(f"({hint})")


def test_br_netfilter_that_came_later_is_told() -> None:
    (found,) = warnings(Seen(calls_iptables=True), design="ct")
    assert "tracked twice (systemctl restart pvenetd)" in found
    assert warnings(Seen(calls_iptables=True), design="mark") == []
    assert warnings(Seen(calls_iptables=True), Guarded(), "ct") == []


@pytest.mark.parametrize(
    ("filtered", "calls", "design", "told"),
    [
        (True, False, "mark", ["br_netfilter"]),
        (True, True, "mark", []),
        (True, False, "ct", []),
        (False, False, "mark", []),
    ],
)
def test_bridged_packets_that_the_inet_hooks_do_not_see_are_told_where_the_firewall_stands_on_that(
    filtered: bool, calls: bool, design: str, told: list[str]
) -> None:
    found = remarks(Seen(calls_iptables=calls), Guarded(frozenset({"vmbr0"}), filtered=filtered), design)
    assert [one.who for one in found] == told


@pytest.mark.parametrize(
    ("chains", "legacy", "told"),
    [
        ((Chain("ip", "filter", "INPUT", "input", "accept"),), True, True),
        ((Chain("ip", "filter", "INPUT", "input", "accept"),), False, False),
        ((Chain("ip", "filter", "FORWARD", "forward", "drop", legacy=True),), True, False),
        ((Chain("inet", "mine", "in", "input", "accept"),), True, False),
    ],
)
def test_two_kinds_of_iptables_at_once_are_told(chains: tuple[Chain, ...], legacy: bool, told: bool) -> None:
    assert any(one.who == "iptables" for one in remarks(Seen(chains, legacy=legacy), Guarded(), "ct")) == told
