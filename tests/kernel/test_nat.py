"""NAT on a real kernel, by real connections, in front of guests that are filtered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pvenetd.firewall.nft_base import Design
from tests.kernel.firewall import DESIGNS, Guarded, desired, have_bridge_netfilter, load
from tests.kernel.talk import PATIENCE, SILENCE, Listeners
from tests.kernel.world import World, world

GUEST = """\
[OPTIONS]
enable: 1
policy_in: DROP
[RULES]
IN ACCEPT -p tcp -dport 80
IN ACCEPT -p udp -dport 80
IN ACCEPT -p tcp -dport 7000:7002
IN ACCEPT -p udp -dport 5000:5002
"""
CLUSTER = "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n"
PORTS = (80, 81, 5001, 7002, 8080, 9000)


@contextmanager
def made(lines: str, design: Design, *, filtered: bool = True) -> Iterator[World]:
    """Make a world whose vmbr1 has *lines* in its stanza, and with public addresses for guests."""
    if design == "mark":
        have_bridge_netfilter()
    with world(bridge_nf=design == "mark") as there:
        # Not preferred: of two, the kernel would masquerade with either.
        there.ip("host", "addr add 192.0.2.9/32 dev vmbr0", "addr add 2001:db8::9/128 dev vmbr0 nodad preferred_lft 0")
        files = {"cluster.fw": CLUSTER, "102.fw": GUEST, "nat": lines} if filtered else {"nat": lines}
        load(there, desired(files, design, Guarded() if filtered else None))
        yield there


def verdicts(there: World, asked: list[tuple[str, str, str, int, str]]) -> list[tuple[str, str, str, int, str]]:
    """Return *asked*, (zone, protocol, address, port, what is expected of it), with what became of each."""
    with Listeners(there, *(zone for zone in there.names if zone != "host"), ports=PORTS) as listening:
        return [
            (*one[:4], listening.ask(*one[:4], patience=SILENCE if one[4] == "silence" else PATIENCE)) for one in asked
        ]


FORWARDS = """\
nat-masquerade vmbr0
nat-forward tcp,udp 8080 198.51.100.102:80
nat-forward tcp 8081 198.51.100.102:81
nat-forward udp 5000-5002 198.51.100.102
nat-forward tcp 192.0.2.9:6000-6002 198.51.100.102:7000-7002
nat-forward tcp 8082 198.51.100.102:80 in vmbr0
nat-forward tcp,udp 8080 [2001:db8:1::66]:80
nat-forward tcp 8081 [2001:db8:1::66]:81
nat-forward udp 5000-5002 2001:db8:1::66
nat-forward tcp [2001:db8::9]:6000-6002 [2001:db8:1::66]:7000-7002
nat-forward tcp 8082 [2001:db8:1::66]:80 in vmbr0
"""

FORWARDED = [
    # From outside, by the host's address; the guest sees who asks.
    ("outside", "tcp", "192.0.2.1", 8080, "vm/102:80 from 192.0.2.254"),
    ("outside", "udp", "192.0.2.1", 8080, "vm/102:80 from 192.0.2.254"),
    ("outside", "tcp", "2001:db8::1", 8080, "vm/102:80 from 2001:db8::fe"),
    ("outside", "udp", "2001:db8::1", 8080, "vm/102:80 from 2001:db8::fe"),
    # By each address of the host.
    ("outside", "tcp", "192.0.2.9", 8080, "vm/102:80 from 192.0.2.254"),
    ("outside", "tcp", "2001:db8::9", 8080, "vm/102:80 from 2001:db8::fe"),
    # The guest's rules are about the port that it gets.
    ("outside", "tcp", "192.0.2.1", 8081, "silence"),
    ("outside", "tcp", "2001:db8::1", 8081, "silence"),
    ("outside", "tcp", "192.0.2.1", 80, "refused"),
    # A range; one that becomes another, each port its own.
    ("outside", "udp", "192.0.2.1", 5001, "vm/102:5001 from 192.0.2.254"),
    ("outside", "udp", "2001:db8::1", 5001, "vm/102:5001 from 2001:db8::fe"),
    ("outside", "tcp", "192.0.2.9", 6002, "vm/102:7002 from 192.0.2.254"),
    ("outside", "tcp", "2001:db8::9", 6002, "vm/102:7002 from 2001:db8::fe"),
    ("outside", "tcp", "192.0.2.1", 6002, "refused"),
    # From a guest on another bridge, and from the host itself.
    ("vm/100", "tcp", "192.0.2.1", 8080, "vm/102:80 from 192.0.2.100"),
    ("vm/100", "tcp", "2001:db8::1", 8080, "vm/102:80 from 2001:db8::64"),
    ("host", "tcp", "192.0.2.1", 8080, "vm/102:80 from 192.0.2.1"),
    ("host", "tcp", "2001:db8::1", 8080, "vm/102:80 from 2001:db8::1"),
    ("host", "tcp", "127.0.0.1", 8080, "refused"),
    # From a guest of the same network: by way of the host.
    ("vm/104", "tcp", "192.0.2.1", 8080, "vm/102:80 from 198.51.100.1"),
    ("vm/104", "udp", "192.0.2.1", 8080, "vm/102:80 from 198.51.100.1"),
    ("vm/104", "tcp", "2001:db8::1", 8080, "vm/102:80 from 2001:db8:1::1"),
    ("vm/104", "udp", "2001:db8::1", 8080, "vm/102:80 from 2001:db8:1::1"),
    ("vm/104", "tcp", "192.0.2.9", 6002, "vm/102:7002 from 198.51.100.1"),
    ("vm/104", "tcp", "192.0.2.1", 8081, "silence"),
    # The address that guests know the host by is its own; and each other they know without it.
    ("vm/104", "tcp", "198.51.100.1", 8080, "refused"),
    ("vm/104", "tcp", "2001:db8:1::1", 8080, "refused"),
    ("vm/104", "tcp", "198.51.100.102", 80, "vm/102:80 from 198.51.100.104"),
    ("vm/104", "tcp", "2001:db8:1::66", 80, "vm/102:80 from 2001:db8:1::68"),
    # Only what comes in at one interface, or from the guests.
    ("outside", "tcp", "192.0.2.1", 8082, "vm/102:80 from 192.0.2.254"),
    ("outside", "tcp", "2001:db8::1", 8082, "vm/102:80 from 2001:db8::fe"),
    ("vm/104", "tcp", "192.0.2.1", 8082, "vm/102:80 from 198.51.100.1"),
    ("host", "tcp", "192.0.2.1", 8082, "refused"),
    # What is asked of others on the bridge, with the same port, is theirs.
    ("outside", "tcp", "192.0.2.100", 8080, "vm/100:8080 from 192.0.2.254"),
    ("vm/101", "udp", "192.0.2.100", 8080, "vm/100:8080 from 192.0.2.101"),
    # Out through masquerade, and back; into the guest, nobody unasked.
    ("vm/102", "tcp", "192.0.2.254", 9000, "outside:9000 from 192.0.2.1"),
    ("vm/102", "udp", "192.0.2.254", 9000, "outside:9000 from 192.0.2.1"),
    ("vm/102", "tcp", "2001:db8::fe", 9000, "outside:9000 from 2001:db8::1"),
    ("outside", "tcp", "198.51.100.102", 81, "silence"),
    # An error about a packet belongs to it, and is translated with it.
    ("vm/102", "udp", "192.0.2.254", 9999, "refused"),
    ("vm/102", "udp", "2001:db8::fe", 9999, "refused"),
    ("outside", "udp", "192.0.2.1", 5000, "refused"),
    ("outside", "udp", "2001:db8::1", 5000, "refused"),
    ("outside", "tcp", "198.51.100.102", 80, "vm/102:80 from 192.0.2.254"),
    ("vm/100", "tcp", "198.51.100.102", 80, "vm/102:80 from 192.0.2.100"),
]


@pytest.mark.parametrize("design", DESIGNS)
def test_a_forward_reaches_its_guest_and_the_guest_filters_it(design: Design) -> None:
    with made(FORWARDS, design) as there:
        assert verdicts(there, FORWARDED) == FORWARDED


ONE_TO_ONE = """\
nat-masquerade vmbr0
nat-one-to-one vmbr0 192.0.2.9 198.51.100.102
nat-one-to-one vmbr0 2001:db8::9 2001:db8:1::66
nat-forward tcp 192.0.2.9:8080 198.51.100.104:80
"""

ALL_TO_ONE = [
    ("outside", "tcp", "192.0.2.9", 80, "vm/102:80 from 192.0.2.254"),
    ("outside", "udp", "2001:db8::9", 80, "vm/102:80 from 2001:db8::fe"),
    ("outside", "tcp", "192.0.2.9", 81, "silence"),
    ("outside", "tcp", "192.0.2.9", 8080, "vm/104:80 from 192.0.2.254"),
    ("outside", "tcp", "192.0.2.1", 80, "refused"),
    ("host", "tcp", "192.0.2.9", 80, "vm/102:80 from 192.0.2.9"),
    ("vm/104", "tcp", "192.0.2.9", 80, "vm/102:80 from 198.51.100.1"),
    ("vm/104", "tcp", "2001:db8::9", 80, "vm/102:80 from 2001:db8:1::1"),
    ("vm/102", "tcp", "192.0.2.254", 9000, "outside:9000 from 192.0.2.9"),
    ("vm/102", "udp", "2001:db8::fe", 9000, "outside:9000 from 2001:db8::9"),
    ("vm/104", "tcp", "192.0.2.254", 9000, "outside:9000 from 192.0.2.1"),
    ("vm/102", "tcp", "198.51.100.104", 80, "vm/104:80 from 198.51.100.102"),
]


@pytest.mark.parametrize("design", DESIGNS)
def test_an_address_of_its_own_is_the_guests_both_ways(design: Design) -> None:
    with made(ONE_TO_ONE, design) as there:
        assert verdicts(there, ALL_TO_ONE) == ALL_TO_ONE


COMMANDS = """\
iptables -t nat -A POSTROUTING -s 198.51.100.0/24 -o vmbr0 -j SNAT --to-source 192.0.2.9
ip6tables -t nat -A POSTROUTING -s 2001:db8:1::/64 -o vmbr0 -j SNAT --to-source 2001:db8::9
iptables -t nat -A PREROUTING -i vmbr0 -p tcp --dport 8080 -j DNAT --to-destination 198.51.100.102:80
ip6tables -t nat -A PREROUTING -i vmbr0 -p tcp --dport 8080 -j DNAT --to-destination [2001:db8:1::66]:80
iptables -t nat -A PREROUTING -i vmbr1 -p udp --dport 9000 -j DNAT --to-destination 198.51.100.102:80
"""

COMMANDED = [
    ("outside", "tcp", "192.0.2.1", 8080, "vm/102:80 from 192.0.2.254"),
    ("outside", "tcp", "2001:db8::1", 8080, "vm/102:80 from 2001:db8::fe"),
    ("vm/102", "tcp", "192.0.2.254", 9000, "outside:9000 from 192.0.2.9"),
    ("vm/102", "tcp", "2001:db8::fe", 9000, "outside:9000 from 2001:db8::9"),
    # By way of the host to others than itself, too: iptables has no word for it.
    ("vm/104", "udp", "192.0.2.254", 9000, "vm/102:80 from 198.51.100.1"),
    # But not what the bridge passes on.
    ("outside", "tcp", "192.0.2.100", 8080, "vm/100:8080 from 192.0.2.254"),
    ("vm/100", "tcp", "2001:db8::fe", 8080, "outside:8080 from 2001:db8::64"),
    ("vm/104", "udp", "198.51.100.102", 9000, "silence"),
]


@pytest.mark.parametrize("design", DESIGNS)
def test_a_command_does_what_it_would_do_in_iptables(design: Design) -> None:
    """… and leaves alone what iptables would get to see of bridged packets by br_netfilter."""
    with made(COMMANDS, design) as there:
        assert verdicts(there, COMMANDED) == COMMANDED


@pytest.mark.parametrize("design", DESIGNS)
def test_without_a_firewall_nat_is_the_same(design: Design) -> None:
    asked = [one for one in FORWARDED if " from " in one[4]]
    with made(FORWARDS, design, filtered=False) as there:
        assert verdicts(there, asked) == asked
