"""The rules nobody writes: what a host and a guest get before, or after, the user's own.

Sources: Proxmox VE's administration guide, chapter "Firewall"; RFC 4890 (ICMPv6 a firewall must
let through), RFC 8415 (DHCPv6), RFC 3810 (MLDv2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from pvenetd.firewall.claims import unspecified
from pvenetd.firewall.logs import Way
from pvenetd.firewall.resolve import Operand
from pvenetd.firewall.ruleset import (
    ARP,
    ICMP,
    ICMP6,
    IGMP,
    IP,
    IP6,
    QINQ,
    RARP,
    TCP,
    UDP,
    VLAN,
    Addresses,
    Chain,
    IcmpType,
    Rule,
    Span,
    Table,
)
from pvenetd.firewall.screen import CLOSED, noise

MANAGEMENT = (Span(22, 22), Span(3128, 3128), Span(5900, 5999), Span(8006, 8006), Span(60000, 60050))
"""TCP ports of the host its own network always reaches: SSH, SPICE proxy, VNC, API, migration."""

COROSYNC = (Span(5404, 5412),)
"""UDP ports of corosync's links between the nodes of a cluster (corosync.conf(5))."""

ROUTER_ADVERTISEMENT = IcmpType(134)
ND = (IcmpType(133), IcmpType(135), IcmpType(136))
"""Router and neighbour solicitation, neighbour advertisement (RFC 4861)."""
MLD_QUERY = (IcmpType(130),)
MLD_REPORT = (IcmpType(131), IcmpType(132), IcmpType(143))
"""Without them a snooping bridge forgets the groups that neighbour discovery runs on."""
ERRORS4 = (IcmpType(3), IcmpType(11), IcmpType(12))
ERRORS6 = (IcmpType(1), IcmpType(2), IcmpType(3), IcmpType(4))
"""Errors a host cannot do without: path MTU discovery stops with them (RFC 4890, 4.3.1)."""

ESTABLISHED = Rule("accept", state=("established", "related"), origin="established")
"""The kernel knows connections of IP alone, so nothing else is ever let through by it."""
NESTED = Rule("drop", ethertypes=(VLAN, QINQ), origin="nested VLAN tag")
"""A second VLAN tag hides the packet from every rule below, so no policy lets it through."""


def shared(*into: Rule, out: tuple[Rule, ...] = ()) -> tuple[Chain, ...]:
    """Return the chains that guests' chains jump to: the same rules once, not once a guest.

    *into* and *out* are a backend's own, about what belongs to no connection that is known.
    """
    dhcp_in = udp(source=67, dest=68, source6=547, dest6=546, origin="dhcp")
    dhcp_out = udp(source=68, dest=67, source6=546, dest6=547, origin="dhcp")
    return (
        Chain("bridge", "any-in", (NESTED, *into, *_rest(), Rule("accept", ethertypes=(ARP,), origin="arp"))),
        # RARP is how QEMU tells the switches where a guest is after it has moved.
        Chain("bridge", "any-out", (NESTED, *out, Rule("accept", ethertypes=(ARP, RARP), origin="arp"))),
        unspecified(),
        Chain("bridge", "dhcp-in", tuple(dhcp_in)),
        Chain("bridge", "dhcp-out", tuple(dhcp_out)),
        Chain("bridge", "ndp-in", (_icmp6((*MLD_QUERY, *ND, ROUTER_ADVERTISEMENT), "ndp"),)),
        Chain("bridge", "ndp-out", (_icmp6((*MLD_REPORT, *ND), "ndp"),)),
        *noises("bridge", "noise"),
    )


def noises(table: Table, name: str) -> Iterator[Chain]:
    """Yield what a policy stops without a word, for each policy and way: chains such as ``NAME-drop-in``."""
    for verdict in CLOSED:
        for way in ("in", "out"):
            yield Chain(table, f"{name}-{verdict}-{way}", tuple(noise(verdict)))


def _rest() -> Iterator[Rule]:
    """Yield what lets the rest of a packet follow its first part, which has the ports that rules ask for.

    Bridges show whole packets.  In parts comes what the host has routed or sent, after it was judged whole; a guest
    that does not get the first part makes nothing of the others.
    """
    for family in (IP, IP6):
        yield Rule("accept", ethertypes=(family,), fragment=True, origin="fragment")


def _icmp6(types: tuple[IcmpType, ...], origin: str) -> Rule:
    return Rule("accept", protocol=ICMP6, icmp=types, origin=origin)


def vital(*, ndp: bool) -> Iterator[Rule]:
    """Yield what a host cannot live without, whatever its rules say; errors before "invalid" can hit them."""
    yield ESTABLISHED
    yield Rule("accept", protocol=ICMP, icmp=ERRORS4, origin="icmp")
    yield _icmp6(ERRORS6, "icmp")
    yield from neighbours(ndp=ndp)


def neighbours(*, ndp: bool) -> Iterator[Rule]:
    """Yield what neighbours tell each other of groups, and with *ndp* of themselves and their routers."""
    yield Rule("accept", protocol=IGMP, origin="igmp")
    yield _icmp6((*MLD_QUERY, *MLD_REPORT), "igmp")
    if ndp:
        yield _icmp6((*ND, ROUTER_ADVERTISEMENT), "ndp")


def services(way: Way, managers: Iterable[Operand], nodes: Iterable[Addresses]) -> Iterator[Rule]:
    """Yield the host's own services: management by *managers*, corosync between the nodes."""
    management = Rule("accept", protocol=TCP, dport=MANAGEMENT, origin="management")
    corosync = Rule("accept", protocol=UDP, dport=COROSYNC, origin="corosync")
    for rule, peers in ((management, managers), (corosync, nodes)):
        for peer in peers:
            yield replace(rule, source=peer) if way == "in" else replace(rule, dest=peer)


@cache
def dhcp_servers(but: frozenset[int]) -> tuple[Rule, ...]:
    """Return what stops the answers of DHCP servers, for IPv4 and IPv6; *but* those from some ports."""
    answers = udp(source=67, dest=68, source6=547, dest6=546, origin="dhcp server")
    return tuple(replace(rule, verdict="drop") for rule in answers if rule.sport[0].first not in but)


def udp(*, source: int, dest: int, source6: int, dest6: int, origin: str) -> Iterator[Rule]:
    """Yield the rules for one service on its IPv4 and on its IPv6 ports."""
    for family, sport, dport in ((IP, source, dest), (IP6, source6, dest6)):
        ports = (Span(sport, sport),), (Span(dport, dport),)
        yield Rule("accept", ethertypes=(family,), protocol=UDP, sport=ports[0], dport=ports[1], origin=origin)
