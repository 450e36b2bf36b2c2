"""What is asked of the simulator, as people say it → a packet; what they leave out is assumed, and told."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from pvenetd.daemon.places import Picture
from pvenetd.errors import Conflict
from pvenetd.firewall.match import Packet, State
from pvenetd.firewall.ruleset import ICMP, ICMP6, IP, IP6, WITH_PORTS, IcmpType, Span
from pvenetd.firewall.simulate import Place

EPHEMERAL = Span(32768, 60999)
"""Source ports of who does not choose one (net.ipv4.ip_local_port_range)."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is known of the packet."""

    start: str
    """A zone, as `places.ZONE` has them."""
    end: str
    protocol: int | None = None
    version: int | None = None
    """4 or 6, where something says so."""
    source: str | None = None
    dest: str | None = None
    sport: int | None = None
    dport: int | None = None
    icmp: IcmpType | None = None
    mac: str = ""
    """The frame's source, where it is forged."""
    state: State = "new"

    @property
    def family(self) -> int:
        """Return its IP version.  Raises `Conflict` where two things it says do not fit."""
        said = {self.version} | {ip_address(text).version for text in (self.source, self.dest) if text}
        said |= {{ICMP: 4, ICMP6: 6}.get(self.protocol or 0)}
        found = said - {None}
        if len(found) > 1:
            raise Conflict("IPv4 and IPv6 are mixed")
        return found.pop() or 4 if found else 4


@dataclass(slots=True)
class Asked:
    """A packet, with what was assumed to have one."""

    packet: Packet
    assumed: list[str] = field(default_factory=list)
    elsewhere: bool = False
    """Whether its source, or its destination, is assumed to be near the uplink; it may be anywhere."""


def asked(question: Question, picture: Picture, start: Place, end: Place) -> Asked:
    """Return the packet that is asked about between two places."""
    version, told = question.family, list[str]()
    source = _given(question.source) or _usual(picture, start, end, version)
    dest = _given(question.dest) or _usual(picture, end, start, version)
    for what, given, place, span in (
        ("source", question.source, start, source),
        ("destination", question.dest, end, dest),
    ):
        if not given:
            told.append(f"{what}: {_spelled(span, version, place)}")
    has_ports = question.protocol in WITH_PORTS
    sport, dport = _span(question.sport), _span(question.dport)
    if has_ports and sport is None:
        sport = EPHEMERAL
        told.append(f"source port: any of {EPHEMERAL.first} to {EPHEMERAL.last}")
    if has_ports and dport is None:
        told.append("destination port: any, so no rule about ports matches")
    if question.protocol is None:
        told.append("protocol: any, so no rule about one matches")
    to_all = bool(question.dest) and _is_group(ip_address(question.dest or "::"))
    packet = Packet(
        IP if version == 4 else IP6,
        question.protocol,
        source,
        dest,
        sport,
        dport,
        question.icmp,
        question.state,
        question.mac,
        to_all=to_all,
    )
    zones = [place.zone for place, given in ((start, question.source), (end, question.dest)) if not given]
    return Asked(packet, told, elsewhere="outside" in zones)


def _given(text: str | None) -> Span | None:
    return _span(int(ip_address(text))) if text else None


def _span(number: int | None) -> Span | None:
    return None if number is None else Span(number, number)


def _usual(picture: Picture, place: Place, other: Place, version: int) -> Span | None:
    """Return the addresses that somebody there has: of the host the one that is next to the other side."""
    if place.zone != "host":
        return picture.network(place.link, version)
    near = [one for link in (other.link, "") for one in picture.addresses(link) if one.version == version]
    return _span(int(near[0].ip)) if near else None


def _is_group(address: IPv4Address | IPv6Address) -> bool:
    return address.is_multicast or int(address) == 0xFFFFFFFF


def _spelled(span: Span | None, version: int, place: Place) -> str:
    if span is None:
        return "any address, so no rule about addresses matches"
    make = IPv4Address if version == 4 else IPv6Address
    if span.first == span.last:
        return str(make(span.first))
    return f"any of {make(span.first)} to {make(span.last)}, the network of {place.link}"
