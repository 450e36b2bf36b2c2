"""Does a rule match a packet?  Yes, no, or: it depends on something nobody said of the packet.

Sources: nft(8), "PAYLOAD EXPRESSIONS", "CONNTRACK EXPRESSIONS"; RFC 826 (ARP), RFC 9293 (TCP).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pvenetd.firewall.ruleset import (
    ARP,
    IP,
    IP6,
    TCP,
    WITH_PORTS,
    Addresses,
    IcmpType,
    NamedSet,
    Rule,
    SetRef,
    Span,
)

State = Literal["new", "established", "related", "invalid", "untracked"]

_GROUPS = {
    0: (),
    4: (Span(0xE0000000, 0xEFFFFFFF), Span(0xFFFFFFFF, 0xFFFFFFFF)),
    6: (Span(0xFF << 120, 2**128 - 1),),
}
"""Addresses of groups and of all, by IP version (RFC 5771, RFC 919, RFC 4291)."""

ADVERTISEMENT = 136
"""ICMPv6 type of a neighbour advertisement (RFC 4861)."""

SYN, ACK = 0x02, 0x10
"""Flags of TCP's header: what begins a connection has the first alone, what goes on the second."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What is known of a packet; None is what nobody said."""

    ethertype: int = IP
    """Behind one VLAN tag, which all chains look through."""
    protocol: int | None = None
    source: Span | None = None
    """As far as it is known: one address, or those it may be one of."""
    dest: Span | None = None
    sport: Span | None = None
    dport: Span | None = None
    icmp: IcmpType | None = None
    state: State = "new"
    mac: str = ""
    """The frame's source, where it is not the sender's own."""
    arp_mac: str = ""
    """The sender an ARP packet names, where it is another than the frame's."""
    arp_source: int | None = None
    """The IPv4 address an ARP packet says it is from."""
    nd_target: int | None = None
    """The address a neighbour advertisement is about, where it is not the sender's own."""
    client_mac: str = ""
    """The client a DHCP request names, where it is another than the sender."""
    relayed: bool = False
    """Whether it says that a relay has passed it on."""
    link_mac: str = ""
    """The link-layer address that neighbour discovery names first, where it is another than the sender's own."""
    tcp_flags: int | None = None
    """Unknown, those that fit its state."""
    to_all: bool = False
    """Whether the frame is for a group, or all: a broadcast or a multicast."""

    @property
    def version(self) -> int:
        """Return the IP version, 0 for what is no IP packet."""
        return {IP: 4, IP6: 6}.get(self.ethertype, 0)

    @property
    def flags(self) -> int:
        """Return the flags of its TCP header."""
        if self.tcp_flags is not None:
            return self.tcp_flags
        return SYN if self.state == "new" else ACK


Learnt = Mapping[str, Collection[tuple[int, Span]]]
"""Port → what was leased to its NIC: IP version, addresses."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule is asked about beside the packet: where it is, and the sets beside the chains."""

    iif: str = ""
    oif: str = ""
    sets: Mapping[tuple[str, int], NamedSet] = field(default_factory=dict)
    """By name and IP version."""
    to_host: bool | None = False
    """Whether it is for one of the host's own addresses."""
    routed: bool = False
    """Whether it goes on by another link than it came in at."""
    translated: bool = False
    """Whether its connection's destination was changed."""
    learnt: Learnt | None = field(default_factory=dict)
    """None where nobody knows."""


def matches(rule: Rule, packet: Packet, facts: Facts) -> bool | None:
    """Return whether *rule* matches; None where it would for some values of what is unknown.

    A limit counts what one packet cannot tell: it is taken as not reached.
    """
    unknown = False
    for answer in _answers(rule, packet, facts):
        if answer is False:
            return False
        unknown |= answer is None
    return None if unknown else True


def _answers(rule: Rule, packet: Packet, facts: Facts) -> Iterator[bool | None]:
    yield not rule.iif or rule.iif == facts.iif
    yield not rule.oif or rule.oif == facts.oif
    if types := rule.all_ethertypes:
        yield packet.ethertype in types
    yield not rule.state or packet.state in rule.state
    yield not rule.not_mac or packet.mac not in ("", rule.not_mac)
    if rule.not_arp_mac or rule.not_arp_source:
        yield packet.ethertype == ARP
        yield not rule.not_arp_mac or _sender(packet) not in ("", rule.not_arp_mac)
    if rule.not_arp_source:
        yield packet.arp_source is not None and not _has(rule.not_arp_source, packet.arp_source)
    if rule.limit:
        yield not rule.limit.over
    if rule.verdict == "bound":
        yield False
    yield not rule.to_host or facts.to_host
    yield not rule.routed or facts.routed
    yield not rule.translated or facts.translated
    yield from _about_ip(rule, packet, facts)
    if rule.unless_learnt:
        leased = None if facts.learnt is None else _is_learnt(packet, facts.learnt.get(facts.iif, ()))
        yield None if leased is None else not leased


def _is_learnt(packet: Packet, leased: Collection[tuple[int, Span]]) -> bool | None:
    """Return whether what a packet says of its sender was leased to it."""
    version, told = packet.version, packet.source
    if packet.ethertype == ARP:
        version, told = 4, None if packet.arp_source is None else Span(packet.arp_source, packet.arp_source)
    elif packet.nd_target is not None:
        told = Span(packet.nd_target, packet.nd_target)
    own = tuple(span for family, span in leased if family == version)
    return False if told is None or packet.mac else _in(told, own)


def _sender(packet: Packet) -> str:
    """Return the hardware address an ARP packet names, nothing where it is the sender's own, which nobody forged."""
    return packet.arp_mac or packet.mac


def _about_ip(rule: Rule, packet: Packet, facts: Facts) -> Iterator[bool | None]:
    for side, address in ((rule.source, packet.source), (rule.dest, packet.dest)):
        if side:
            yield packet.version == side.version
            yield True if _is_all(side) else _in(address, _spans(side, facts))
    for side, address in ((rule.not_source, packet.source), (rule.not_dest, packet.dest)):
        if side:
            yield packet.version == side.version
            yield address is not None and _in(address, _spans(side, facts)) is False
    if rule.smurf:
        yield packet.version != 0
        yield packet.source is not None and _in(packet.source, _GROUPS[packet.version]) is True
    yield from _about_transport(rule, packet)


def _about_transport(rule: Rule, packet: Packet) -> Iterator[bool | None]:
    if rule.protocol is not None:
        yield packet.version != 0
        yield None if packet.protocol is None else packet.protocol == rule.protocol
    yield not rule.fragment  # whole packets are asked about
    if rule.sport or rule.dport:
        yield None if packet.protocol is None else packet.protocol in WITH_PORTS
    yield not rule.sport or _in(packet.sport, rule.sport)
    yield not rule.dport or _in(packet.dport, rule.dport)
    if rule.icmp:
        yield None if packet.icmp is None else any(_is_type(packet.icmp, one) for one in rule.icmp)
    if rule.not_client_mac:
        yield packet.client_mac not in ("", rule.not_client_mac)
        yield not (rule.direct and packet.relayed)
    yield not rule.not_link_mac or packet.link_mac not in ("", rule.not_link_mac)
    if rule.not_nd_target:
        yield packet.icmp is not None and packet.icmp.type == ADVERTISEMENT
        yield packet.nd_target is not None and not _has(rule.not_nd_target, packet.nd_target)
    if flags := rule.tcp_flags:
        yield None if packet.protocol is None else packet.protocol == TCP
        yield packet.flags & flags.mask == flags.set


def _has(addresses: Addresses, one: int) -> bool:
    return any(span.first <= one <= span.last for span in addresses.spans)


def _is_all(side: Addresses | SetRef) -> bool:
    return isinstance(side, Addresses) and side.is_all


def _spans(side: Addresses | SetRef, facts: Facts) -> tuple[Span, ...]:
    if isinstance(side, Addresses):
        return side.spans
    found = facts.sets.get((side.name, side.version))
    return found.spans if found else ()


def _in(known: Span | None, spans: tuple[Span, ...]) -> bool | None:
    """Return whether a number is within *spans*, None where only some of those it may be are."""
    if not spans:
        return False
    if known is None:
        return None
    if any(span.first <= known.first and known.last <= span.last for span in spans):
        return True
    return None if any(span.first <= known.last and known.first <= span.last for span in spans) else False


def _is_type(found: IcmpType, wanted: IcmpType) -> bool:
    return found.type == wanted.type and wanted.code in (None, found.code or 0)
