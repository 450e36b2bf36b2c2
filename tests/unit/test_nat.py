"""NAT by options: what a line asks for, the rules that come of it, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.compile import Compiled, compile_interfaces
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse
from pvenetd.nat.option import OPTIONS, Wrong, read
from pvenetd.state import Chains

UPLINK = """\
auto vmbr0 vmbr1
iface vmbr0
	bridge-ports eth0
	address 192.0.2.1/24
	address 192.0.2.9/32
	address 2001:db8::1/64
"""
BRIDGE = """\
iface vmbr1
	bridge-ports none
	address 10.10.10.1/24
	address 2001:db8:1::1/64
	address fe80::1/64
"""
LOOPBACK = "ip daddr != { 10.10.10.1, 127.0.0.0/8 }"
LOOPBACK6 = "ip6 daddr != { ::1, 2001:db8:1::1, fe80::/10 }"

WORDS = """
    tcp udp tcp,udp 80 80-90 0 65536 in out vmbr0 vmbr1 10.0.0.1 10.0.0.1:80 [2001:db8::1]:80 2001:db8::1 10.0.0.0/8
    [ ] : - [] 10.0.0.1-10.0.0.9 ::% fe80::1%x " ; }
""".split()  # noqa: SIM905 - thirty quoted words are harder to read


def compiled(*lines: str) -> Compiled:
    """Return what two bridges ask for, the private one with *lines*."""
    text = UPLINK + BRIDGE + "".join(f"\t{line}\n" for line in lines)
    return compile_interfaces(single(parse(text, "interfaces")), ["eth0"])


def rules(*lines: str) -> list[str]:
    """Return the rules for *lines* of the private bridge, each behind the hook that it is in."""
    found, chain = [], ""
    piece = compiled(*lines).checked()["chains", "nat"]
    assert isinstance(piece, Chains)
    for line in piece.text.splitlines():
        if line.startswith("\tchain nat-"):
            chain = line.split()[1].removeprefix("nat-")
        elif " counter " in line:
            found.append(f"{chain}: {line.strip().partition(' comment ')[0]}")
    return found


def problems(*lines: str) -> list[tuple[int, str, str]]:
    """Return (number of the line among *lines*, from 1; code; severity) of all that is wrong with them."""
    before = len((UPLINK + BRIDGE).splitlines())
    return [(one.line - before, one.code, one.severity) for one in compiled(*lines).problems]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "nat-masquerade vmbr0",
            [
                'postrouting: oifname "vmbr0" meta nfproto ipv4 ip saddr 10.10.10.0/24 counter masquerade',
                'postrouting: oifname "vmbr0" meta nfproto ipv6 ip6 saddr 2001:db8:1::/64 counter masquerade',
            ],
        ),
        (
            "nat-masquerade vmbr0 10.20.0.0/16",
            ['postrouting: oifname "vmbr0" meta nfproto ipv4 ip saddr 10.20.0.0/16 counter masquerade'],
        ),
        (
            "nat-masquerade vmbr1 10.20.0.0/16",
            [
                (
                    'postrouting: oifname "vmbr1" meta nfproto ipv4 ip saddr 10.20.0.0/16 ip daddr != 10.20.0.0/16 '
                    "counter masquerade"
                )
            ],
        ),
        (
            "nat-snat vmbr0 192.0.2.9",
            ['postrouting: oifname "vmbr0" meta nfproto ipv4 ip saddr 10.10.10.0/24 counter snat ip to 192.0.2.9'],
        ),
        (
            "nat-snat vmbr0 192.0.2.9-192.0.2.11 10.20.0.0/16",
            [
                (
                    'postrouting: oifname "vmbr0" meta nfproto ipv4 ip saddr 10.20.0.0/16 '
                    "counter snat ip to 192.0.2.9-192.0.2.11"
                )
            ],
        ),
        (
            "nat-snat vmbr0 2001:db8::9",
            [
                (
                    'postrouting: oifname "vmbr0" meta nfproto ipv6 ip6 saddr 2001:db8:1::/64 '
                    "counter snat ip6 to 2001:db8::9"
                )
            ],
        ),
        (
            "nat-forward tcp 8080 10.10.10.2:80",
            [
                (
                    f"prerouting: meta nfproto ipv4 meta l4proto 6 {LOOPBACK} th dport 8080 fib daddr type local "
                    "counter dnat ip to 10.10.10.2:80"
                ),
                (
                    f"output: meta nfproto ipv4 meta l4proto 6 {LOOPBACK} th dport 8080 fib daddr type local "
                    "counter dnat ip to 10.10.10.2:80"
                ),
                (
                    "postrouting: meta nfproto ipv4 meta l4proto 6 ip saddr 10.10.10.0/24 ip daddr 10.10.10.2 "
                    "th dport 80 ct status dnat counter masquerade"
                ),
            ],
        ),
        (
            "nat-forward udp 8080 [2001:db8:1::2]:80 in vmbr0",
            [
                f'prerouting: iifname "{way}" meta nfproto ipv6 meta l4proto 17 {LOOPBACK6} th dport 8080 '
                "fib daddr type local counter dnat ip6 to [2001:db8:1::2]:80"
                for way in ("vmbr0", "vmbr1")
            ]
            + [
                (
                    "postrouting: meta nfproto ipv6 meta l4proto 17 ip6 saddr 2001:db8:1::/64 ip6 daddr 2001:db8:1::2 "
                    "th dport 80 ct status dnat counter masquerade"
                ),
            ],
        ),
        (
            "nat-forward sctp 192.0.2.9:5000-5002 10.10.10.2",
            [
                f"{chain}: meta nfproto ipv4 meta l4proto 132 ip daddr 192.0.2.9 th dport 5000-5002 "
                "counter dnat ip to 10.10.10.2"
                for chain in ("prerouting", "output")
            ]
            + [
                (
                    "postrouting: meta nfproto ipv4 meta l4proto 132 ip saddr 10.10.10.0/24 ip daddr 10.10.10.2 "
                    "th dport 5000-5002 ct status dnat counter masquerade"
                ),
            ],
        ),
        (
            "nat-forward tcp 192.0.2.9:5000-5001 10.10.10.2:6000-6001 in vmbr0",
            [
                f'prerouting: iifname "{way}" meta nfproto ipv4 meta l4proto 6 ip daddr 192.0.2.9 th dport 5000-5001 '
                "counter dnat ip to 10.10.10.2 : th dport map { 5000 : 6000, 5001 : 6001 }"
                for way in ("vmbr0", "vmbr1")
            ]
            + [
                (
                    "postrouting: meta nfproto ipv4 meta l4proto 6 ip saddr 10.10.10.0/24 ip daddr 10.10.10.2 "
                    "th dport 6000-6001 ct status dnat counter masquerade"
                ),
            ],
        ),
        (
            "nat-one-to-one vmbr0 192.0.2.9 10.10.10.9",
            [
                "prerouting: meta nfproto ipv4 ip daddr 192.0.2.9 counter dnat ip to 10.10.10.9",
                "output: meta nfproto ipv4 ip daddr 192.0.2.9 counter dnat ip to 10.10.10.9",
                (
                    "postrouting: meta nfproto ipv4 ip saddr 10.10.10.0/24 ip daddr 10.10.10.9 ct status dnat "
                    "counter masquerade"
                ),
                'postrouting: oifname "vmbr0" meta nfproto ipv4 ip saddr 10.10.10.9 counter snat ip to 192.0.2.9',
            ],
        ),
    ],
)
def test_a_line_is_these_rules(line: str, expected: list[str]) -> None:
    assert rules(line) == expected
    assert problems(line) == []


def test_the_narrower_rule_stands_first_wherever_its_line_does() -> None:
    found = rules(
        "nat-masquerade vmbr0",
        "nat-one-to-one vmbr0 192.0.2.9 10.10.10.9",
        "nat-forward tcp 443 10.10.10.2",
        "nat-forward tcp 443 10.10.10.3 in vmbr0",
        "nat-forward tcp 192.0.2.9:443 10.10.10.4",
    )
    targets = [rule.rpartition(" ")[2] for rule in found if rule.startswith("prerouting")]
    assert targets == ["10.10.10.4", "10.10.10.3", "10.10.10.3", "10.10.10.2", "10.10.10.9"]
    assert next(rule.partition(" counter ")[2] for rule in found if " oifname " in rule) == "snat ip to 192.0.2.9"


def test_the_example_has_nothing_wrong() -> None:
    text = Path(__file__).parents[2].joinpath("examples/nat-forwards/etc/network/interfaces").read_text()
    found = compile_interfaces(single(parse(text, "interfaces")), ["eth0"])
    assert found.problems == ()
    assert [one.kind for one in found.nat] == ["masquerade", *["forward"] * 4, "one-to-one", "forward"]


def test_source_addresses_are_of_the_stanza_that_says_so() -> None:
    found = rules("nat-masquerade vmbr0", "", "iface vmbr1 inet6 static", "address 2001:db8:2::1/64")
    assert [rule.split(" saddr ")[1].split()[0] for rule in found] == ["10.10.10.0/24", "2001:db8:1::/64"]
    found = rules("", "iface vmbr1 inet6 static", "address 2001:db8:2::1/64", "nat-masquerade vmbr0")
    assert [rule.split(" saddr ")[1].split()[0] for rule in found] == ["2001:db8:2::/64"]


def test_several_ports_are_a_rule_each() -> None:
    found = rules("nat-forward tcp 192.0.2.9:80,443,5000-5010 10.10.10.2")
    before = [rule.partition(" th dport ")[2] for rule in found if rule.startswith("prerouting")]
    assert [rule.split()[0] for rule in before] == ["80", "443", "5000-5010"]


def test_several_protocols_are_several_forwards_and_the_same_wish_is_loaded_once() -> None:
    twice = rules("nat-forward tcp,udp 53 10.10.10.2", "nat-forward udp 53 10.10.10.2:53")
    assert len([rule for rule in twice if rule.startswith("prerouting")]) == 2


def test_nat_has_the_host_route_the_families_it_is_about() -> None:
    assert ("sysctl", "net/ipv4/ip_forward") in compiled("nat-forward tcp 80 10.10.10.2").state
    found = compiled("nat-forward tcp 80 [2001:db8:1::2]").state
    assert ("sysctl", "net/ipv6/conf/all/forwarding") in found
    assert ("sysctl", "net/ipv4/ip_forward") not in found


@pytest.mark.parametrize(
    ("lines", "code", "severity"),
    [
        (["nat-masquerade a/b"], "unknown-value", "error"),
        (["nat-masquerade vmbr0;reboot"], "unknown-value", "error"),
        (["nat-masquerade vmbr0 10.0.0.1/8"], "unknown-value", "error"),
        (["nat-snat vmbr0"], "unknown-value", "error"),
        (["nat-snat 192.0.2.9 vmbr0"], "unknown-value", "error"),
        (["nat-snat vmbr0 192.0.2.9-192.0.2.7"], "unknown-value", "error"),
        (["nat-snat vmbr0 192.0.2.9-2001:db8::9"], "nat-family", "error"),
        (["nat-snat vmbr0 192.0.2.9 2001:db8:5::/64"], "nat-family", "error"),
        (["nat-forward tcp 80"], "unknown-value", "error"),
        (["nat-forward icmp 80 10.10.10.2"], "unknown-value", "error"),
        (["nat-forward tcp 80 10.10.10.2 out vmbr0"], "unknown-value", "error"),
        (["nat-forward tcp 80 10.10.10.2 in"], "unknown-value", "error"),
        (["nat-forward tcp 192.0.2.9 10.10.10.2"], "unknown-value", "error"),
        (["nat-forward tcp 80 8080"], "unknown-value", "error"),
        (["nat-forward tcp 80 2001:db8:1::2:80:"], "unknown-value", "error"),
        (["nat-forward tcp 80 127.0.0.1"], "unknown-value", "error"),
        (["nat-forward tcp 80 [10.10.10.2]:80"], "unknown-value", "error"),
        (["nat-forward tcp 0 10.10.10.2"], "nat-ports", "error"),
        (["nat-forward tcp 65536 10.10.10.2"], "nat-ports", "error"),
        (["nat-forward tcp 90-80 10.10.10.2"], "nat-ports", "error"),
        (["nat-forward tcp 80- 10.10.10.2"], "nat-ports", "error"),
        (["nat-forward tcp 80, 10.10.10.2"], "nat-ports", "error"),
        (["nat-forward tcp 80,443 10.10.10.2:8000"], "nat-ports", "error"),
        (["nat-forward tcp 80,443 10.10.10.2", "nat-forward tcp 443 10.10.10.3"], "nat-duplicate", "error"),
        (["nat-forward tcp 80-89 10.10.10.2:80"], "nat-ports", "error"),
        (["nat-forward tcp 80 10.10.10.2:80-89"], "nat-ports", "error"),
        (["nat-forward tcp 10000-12000 10.10.10.2:20000-22000"], "nat-ports", "error"),
        (["nat-forward tcp 192.0.2.9:80 [2001:db8:1::2]:80"], "nat-family", "error"),
        (["nat-one-to-one 192.0.2.9 10.10.10.9"], "unknown-value", "error"),
        (["nat-one-to-one vmbr0 192.0.2.9 2001:db8:1::9"], "nat-family", "error"),
        (["nat-one-to-one vmbr0 192.0.2.9 192.0.2.9"], "unknown-value", "error"),
        (["nat-forward tcp 80-90 10.10.10.2", "nat-forward tcp 85 10.10.10.3"], "nat-duplicate", "error"),
        (["nat-forward tcp,udp 53 10.10.10.2", "nat-forward udp 53 10.10.10.3"], "nat-duplicate", "error"),
        (["nat-one-to-one vmbr0 192.0.2.9 10.10.10.9", "nat-one-to-one vmbr0 192.0.2.9 10.10.10.8"],
         "nat-duplicate", "error"),
        (["nat-masquerade vmbr0", "nat-snat vmbr0 192.0.2.9"], "nat-duplicate", "error"),
        (["nat-masquerade eth9"], "nat-interface", "warning"),
        (["nat-forward tcp 80 10.10.10.2 in eth9"], "nat-interface", "warning"),
        (["nat-forward tcp 80 10.10.99.2"], "nat-unreachable", "warning"),
        (["nat-one-to-one vmbr0 192.0.2.77 10.10.10.9"], "nat-unreachable", "warning"),
        (["nat-forward tcp 192.0.2.77:80 10.10.10.9"], "nat-unreachable", "warning"),
        (["nat-forward tcp 22 10.10.10.2"], "nat-own-port", "warning"),
        (["nat-forward tcp 8000-9000 10.10.10.2 in vmbr0"], "nat-own-port", "warning"),
        (["nat-one-to-one vmbr0 192.0.2.1 10.10.10.9"], "nat-own-port", "warning"),
        (["ip-forward no", "nat-forward tcp 80 10.10.10.2"], "nat-forwarding", "warning"),
        (["post-up iptables -t raw -I PREROUTING -i fwbr+ -j CT --zone 1"], "nat-needless", "warning"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_the_line_that_has_it(lines: list[str], code: str, severity: str) -> None:
    assert problems(*lines) == [(len(lines), code, severity)]


@pytest.mark.parametrize(
    "lines",
    [
        ["nat-forward tcp 80 10.10.10.2", "nat-forward udp 80 10.10.10.3"],
        ["nat-forward tcp 80 10.10.10.2", "nat-forward tcp 192.0.2.9:80 10.10.10.3"],
        ["nat-forward tcp 80 10.10.10.2", "nat-forward tcp 80 10.10.10.3 in vmbr0"],
        ["nat-forward tcp 80 10.10.10.2", "nat-forward tcp 80 [2001:db8:1::2]"],
        ["nat-forward tcp 80 10.10.10.2", "nat-forward tcp 80 10.10.10.2"],
        ["nat-one-to-one vmbr0 192.0.2.9 10.10.10.9", "nat-forward tcp 192.0.2.9:80 10.10.10.3"],
        ["nat-one-to-one vmbr0 203.0.113.9 10.10.10.9"],
        ["nat-masquerade vmbr0", "nat-snat vmbr0 192.0.2.9 10.20.0.0/16"],
    ],
)
def test_what_fits_is_taken(lines: list[str]) -> None:
    assert problems(*lines) == []


@pytest.mark.parametrize(("more", "told"), [("", True), ("\taccept-ra 2\n", False)])
def test_who_gets_his_route_by_advertisements_has_to_heed_them_though_he_routes(more: str, told: bool) -> None:
    text = f"{UPLINK}iface eth1 inet6 dhcp\n{more}{BRIDGE}\tnat-forward tcp 80 [2001:db8:1::2]\n"
    found = compile_interfaces(single(parse(text, "interfaces")), ["eth0", "eth1"])
    assert [one.code for one in found.problems] == ["nat-forwarding"] * told


def test_names_that_nft_has_no_words_for_are_told_of_or_spelt_otherwise() -> None:
    odd = 'iface a"b\n\tbridge-ports none\n\taddress 10.10.10.1/24\n\tnat-forward tcp 80 10.10.10.2'
    for way, codes in ((" in vmbr0", ["unknown-value"]), ("", [])):
        text = f'auto vmbr0 a"b\n{UPLINK.partition(chr(10))[2]}{odd}{way}\n'
        found = compile_interfaces(single(parse(text, 'x/in"ter + faces')), ["eth0"])
        assert [one.code for one in found.problems] == codes
    piece = found.checked()["chains", "nat"]
    assert isinstance(piece, Chains)
    assert 'comment "in_ter _ faces:10"' in piece.text


def test_a_second_forward_that_a_command_asks_for_is_only_told_of() -> None:
    command = "post-up iptables -t nat -A PREROUTING -i vmbr0 -p tcp --dport 80 -j DNAT --to-destination 10.10.10.{}"
    assert problems(command.format(2), command.format(3)) == [(2, "nat-duplicate", "warning")]


@given(
    option=st.sampled_from(sorted(OPTIONS)),
    value=st.lists(
        st.sampled_from(WORDS) | st.text(max_size=12),
        max_size=6,
    ).map(" ".join),
)
def test_no_value_is_more_than_wrong(option: str, value: str) -> None:
    try:
        found = read(option, value, "vmbr1", ["10.10.10.1/24", "2001:db8:1::1/64"])
    except Wrong:
        return
    assert found
