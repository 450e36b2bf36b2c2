"""iptables commands in stanzas: which ask for NAT that we model, and which stay commands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.nat.command import is_modelled, is_needless, recognise, recognise_removal
from pvenetd.nat.model import Forward, Nat, Outgoing
from pvenetd.nat.rules import compile_nat

MASQUERADE = "iptables -t nat -A POSTROUTING -s '10.10.10.0/24' -o vmbr0 -j MASQUERADE"
SNAT = "iptables -t nat -A POSTROUTING -s 10.10.10.0/24 -o vmbr0 -j SNAT --to-source 192.0.2.7"
DNAT = "iptables -t nat -A PREROUTING -i vmbr0 -p tcp --dport 8080 -j DNAT --to-destination 10.10.10.2:80"
ZONE = "iptables -t raw -I PREROUTING -i fwbr+ -j CT --zone 1"

WORDS = [*MASQUERADE.split(), *SNAT.split(), *DNAT.split(), *ZONE.split(), "!", "-m", "--comment", "'", "-w", "8:9"]


def rules(*nats: Nat) -> list[str]:
    """Return the rules as nft has them, without their comments."""
    text = "".join(chains.text for chains in compile_nat(nats))
    return [line.strip().partition(" comment ")[0] for line in text.splitlines() if " counter " in line]


@pytest.mark.parametrize(
    "command",
    [
        MASQUERADE,
        'iptables -t nat -A POSTROUTING -s "10.10.10.0/24" -o vmbr0 -j MASQUERADE',
        "/sbin/iptables -t nat -I POSTROUTING -s 10.10.10.0/24 -o vmbr0 -j MASQUERADE",
        "/usr/sbin/iptables-nft -w -t nat -I POSTROUTING 1 -j MASQUERADE -o vmbr0 -s 10.10.10.0/24",
        "iptables -w 5 --table nat --append POSTROUTING --source 10.10.10.7/24 --out-interface vmbr0 --jump MASQUERADE",
        f"{MASQUERADE} -m comment --comment 'guests go out'",
    ],
)
def test_every_way_to_write_it_is_one_masquerade(command: str) -> None:
    (found,) = recognise(command)
    assert isinstance(found, Outgoing)
    assert (str(found.network), found.out, found.to) == ("10.10.10.0/24", "vmbr0", None)
    assert recognise_removal(command) == ()


@pytest.mark.parametrize("command", [MASQUERADE, SNAT, DNAT])
def test_its_removal_is_recognised(command: str) -> None:
    assert recognise(command)
    assert recognise_removal(command.replace("-A", "-D")) == recognise(command)
    assert is_modelled("post-up", command)
    assert is_modelled("post-down", command.replace("-A", "-D"))


@pytest.mark.parametrize("phase", ["down", "post-down"])
def test_what_is_switched_on_when_the_interface_goes_stays_a_command(phase: str) -> None:
    assert not is_modelled(phase, MASQUERADE)
    assert not is_modelled("post-up", MASQUERADE.replace("-A", "-D"))


@pytest.mark.parametrize(
    "command",
    [
        "",
        "iptables",
        "iptables -t nat -A POSTROUTING -s 'oops -o vmbr0 -j MASQUERADE",
        f"{MASQUERADE} --to-ports 1024-2048",
        f"{MASQUERADE}; echo done",
        f"{MASQUERADE} || true",
        f"{MASQUERADE} !",
        f"{MASQUERADE} -m",
        f"{MASQUERADE} -m owner",
        MASQUERADE.replace("-o vmbr0", "! -o vmbr1"),
        MASQUERADE.replace("-o vmbr0", ""),
        MASQUERADE.replace("-o vmbr0", "-o $IFACE"),
        MASQUERADE.replace("-o vmbr0", "-o vmbr+"),
        MASQUERADE.replace("POSTROUTING", "PREROUTING"),
        MASQUERADE.replace("-t nat ", ""),
        MASQUERADE.replace("MASQUERADE", "SNAT"),
        MASQUERADE.replace("10.10.10.0/24", "2001:db8::/64"),
        SNAT.replace("192.0.2.7", "2001:db8::7"),
        SNAT.replace("192.0.2.7", "192.0.2.9-192.0.2.7"),
        SNAT.replace("192.0.2.7", "192.0.2.7:1024-2048"),
        f"{SNAT} --random",
        DNAT.replace("-i vmbr0 ", ""),
        DNAT.replace("-p tcp ", ""),
        DNAT.replace("-p tcp", "-p 6"),
        DNAT.replace("--dport 8080", "--dport http-alt"),
        DNAT.replace("--dport 8080", "-m multiport --dports 80,443"),
        DNAT.replace("--dport 8080", "-m multiport --dports 80,"),
        DNAT.replace("--dport 8080", "-m multiport --sports 80"),
        f"{MASQUERADE} -p tcp -m multiport --dports 80,443",
        DNAT.replace("--dport 8080", "--dport 8080:8090").replace(":80", ":80-90"),
        DNAT.replace("PREROUTING", "OUTPUT"),
        DNAT.replace("10.10.10.2:80", "10.10.10.2:0"),
        DNAT.replace("10.10.10.2:80", "10.10.10.2-10.10.10.5:80"),
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
    ],
)
def test_what_says_more_or_less_stays_a_command(command: str) -> None:
    assert recognise(command) == ()
    assert not is_needless(command)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (SNAT, ['oifname "vmbr0" meta nfproto ipv4 ip saddr 10.10.10.0/24 counter snat ip to 192.0.2.7']),
        (
            SNAT.replace("192.0.2.7", "192.0.2.7-192.0.2.9"),
            ['oifname "vmbr0" meta nfproto ipv4 ip saddr 10.10.10.0/24 counter snat ip to 192.0.2.7-192.0.2.9'],
        ),
        (
            "iptables -t nat -A POSTROUTING -s 10.10.10.0/24 ! -d 10.10.10.0/24 -j MASQUERADE",
            ["meta nfproto ipv4 ip saddr 10.10.10.0/24 ip daddr != 10.10.10.0/24 counter masquerade"],
        ),
        (
            DNAT,
            [
                (
                    'iifname "vmbr0" meta nfproto ipv4 meta l4proto 6 th dport 8080 fib daddr . iif oif missing '
                    "counter dnat ip to 10.10.10.2:80"
                )
            ],
        ),
        (
            DNAT.replace("-p tcp", "-p tcp -m tcp").replace("-i vmbr0", "-d 192.0.2.7 -i vmbr0"),
            [
                (
                    'iifname "vmbr0" meta nfproto ipv4 meta l4proto 6 ip daddr 192.0.2.7 th dport 8080 '
                    "counter dnat ip to 10.10.10.2:80"
                )
            ],
        ),
        (
            "iptables -t nat -A PREROUTING -d 192.0.2.9 -j DNAT --to 10.10.10.9",
            ["meta nfproto ipv4 ip daddr 192.0.2.9 counter dnat ip to 10.10.10.9"],
        ),
        (
            "iptables -t nat -A PREROUTING -i vmbr0 -p udp --dport 5000:5010 -j DNAT --to-destination 10.10.10.2",
            [
                (
                    'iifname "vmbr0" meta nfproto ipv4 meta l4proto 17 th dport 5000-5010 fib daddr . iif oif missing '
                    "counter dnat ip to 10.10.10.2"
                )
            ],
        ),
        (
            "iptables -t nat -A PREROUTING -i vmbr0 -p tcp -m multiport --dports 80,8000:8010 -j DNAT --to 10.10.10.2",
            [
                (
                    f'iifname "vmbr0" meta nfproto ipv4 meta l4proto 6 th dport {ports} fib daddr . iif oif missing '
                    "counter dnat ip to 10.10.10.2"
                )
                for ports in ("80", "8000-8010")
            ],
        ),
        (
            "ip6tables -t nat -A PREROUTING -i vmbr0 -p tcp --dport 443 -j DNAT --to-destination [2001:db8:1::2]:8443",
            [
                (
                    'iifname "vmbr0" meta nfproto ipv6 meta l4proto 6 th dport 443 fib daddr . iif oif missing '
                    "counter dnat ip6 to [2001:db8:1::2]:8443"
                )
            ],
        ),
    ],
)
def test_a_command_is_the_rule_that_it_would_have_made(command: str, expected: list[str]) -> None:
    """… but for packets that a bridge only passes on, which it never meant."""
    assert rules(*recognise(command)) == expected


@given(
    st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=14).map(" ".join),
    st.sampled_from(["pre-up", "post-up", "post-down"]),
)
def test_no_command_is_more_than_not_recognised(command: str, phase: str) -> None:
    for text in (command, f"iptables -t nat -A POSTROUTING {command}", f"iptables -t nat -I PREROUTING {command}"):
        found = recognise(text)
        assert is_modelled(phase, text) in (True, False)
        assert not found or rules(*found)


def test_ipv6_has_its_own_program() -> None:
    (found,) = recognise("ip6tables -t nat -A POSTROUTING -s 2001:db8:1::/64 -o vmbr0 -j MASQUERADE")
    assert isinstance(found, Outgoing)
    assert str(found.network) == "2001:db8:1::/64"


@pytest.mark.parametrize(
    ("command", "needless"),
    [
        (ZONE, True),
        (ZONE.replace("-I", "-D"), True),
        (ZONE.replace("iptables", "ip6tables"), True),
        (ZONE.replace("--zone 1", "--zone 7"), True),
        (ZONE.replace("fwbr+", "eth0"), False),
        (ZONE.replace("-t raw", "-t nat"), False),
        (ZONE.replace("--zone 1", "--notrack"), False),
        (f"{ZONE} -s 10.0.0.0/8", False),
    ],
)
def test_a_zone_for_firewall_bridges_is_needless(command: str, needless: bool) -> None:
    assert is_needless(command) == needless
    assert is_modelled("post-up", command) == needless


def test_a_command_of_a_pair_of_ports_and_an_address_is_a_forward() -> None:
    (found,) = recognise(DNAT, "interfaces:9", "vmbr1")
    assert isinstance(found, Forward)
    assert (str(found.to), found.way, found.iface, found.origin) == ("10.10.10.2", "vmbr0", "vmbr1", "interfaces:9")
