"""Connections that stand, asked whether they would be let begin by the rules as they are now.

It is asked again as a first packet in the direction of its first packet (`firewall.simulate`).  What is known of where
its ends are may leave several ways for it, bridged or routed, by this link or that one: it is refused only where the
rules refuse it by each of them, and none of what is unknown could have made a difference.

Many connections differ in nothing that any rule asks for: numbers that lie between the same bounds of all rules are
one class, and each class is asked once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from pvenetd.firewall.flow import Address, Flow
from pvenetd.firewall.match import Packet
from pvenetd.firewall.ruleset import IP, IP6, WITH_PORTS, Addresses, IcmpType, Ruleset, Span
from pvenetd.firewall.simulate import Board, Map, Outcome, Place, simulate

HOST = Place("host")
_GROUPS = {4: 0xE0000000, 6: 0xFF << 120}
"""The first address of IPv4's groups, which the broadcast is behind, and of IPv6's (RFC 5771, RFC 4291)."""


@dataclass(frozen=True, slots=True)
class Where:
    """Where who is."""

    host: Map
    seen: Mapping[Address, tuple[Place, ...]]
    """Guests' NICs by the addresses they were seen with."""
    links: Mapping[str, Place] = field(default_factory=dict)
    """The outside by each of the host's links, by their names."""


class Judge:
    """Asks connections again."""

    def __init__(self, ruleset: Ruleset, where: Where) -> None:
        self._board = Board(ruleset)
        self._where = where
        self._own = frozenset(where.host.own)
        self._addresses, self._ports = _bounds(self._board, where.host)
        self._known: dict[tuple[object, ...], str] = {}

    def refusal(self, flow: Flow) -> str:
        """Return what refuses a connection now, ``FILE:LINE`` or a word of ours; nothing where it may go on."""
        if flow.related or flow.asked.dest >= _GROUPS[flow.version]:
            return ""
        key = self._class(flow)
        if key not in self._known:
            self._known[key] = self._asked(flow)
        return self._known[key]

    def is_at_host(self, flow: Flow) -> bool:
        """Return whether it is the host that meets what is answered, not the port of a guest."""
        asked, answers = ((flow.version, one) for one in (flow.asked.source, flow.answer.source))
        return answers in self._own or (asked in self._own and answers not in self._where.seen)

    def _class(self, flow: Flow) -> tuple[object, ...]:
        if flow.translated:
            return flow.version, flow.protocol, flow.icmp, flow.asked, flow.answer
        asked, version = flow.asked, flow.version
        return (
            version,
            flow.protocol,
            flow.icmp,
            *(self._of_address(version, one) for one in (asked.source, asked.dest)),
            *(bisect_right(self._ports, one) for one in (asked.sport, asked.dport)),
        )

    def _of_address(self, version: int, number: int) -> tuple[int, bool]:
        """Return who it is where that makes a difference, else between which bounds it is."""
        if (version, number) in self._where.seen or (version, number) in self._own:
            return number, True
        return bisect_right(self._addresses[version], number), False

    def _asked(self, flow: Flow) -> str:
        said = ""
        for number, outcome in enumerate(self._outcomes(flow)):
            if outcome.verdict == "ACCEPT" or outcome.depends:
                return ""
            said = said if number else _reason(outcome)
        return said

    def _outcomes(self, flow: Flow) -> Iterator[Outcome]:
        """Yield what becomes of it by each way that it may take."""
        packet, host = _packet(flow), self._where.host
        here, there = (flow.version, flow.asked.source), (flow.version, flow.answer.source)
        if there[1] == flow.asked.dest:
            for start, end in self._ways(here, there, routed=flow.translated):
                yield simulate(self._board, host, packet, start, end)
            return
        for start, last in self._ways(here, there, routed=True):  # forwarded: rules of NAT find the one who answers
            if last.port:
                forwarding = replace(host, stations={there: last})
                public = (flow.version, flow.asked.dest)
                end = HOST if public in self._own else replace(last, zone="outside", port="")
                yield simulate(self._board, forwarding, packet, start, end)

    def _ways(self, here: Address, there: Address, *, routed: bool) -> Iterator[tuple[Place, Place]]:
        """Yield the places of both ends: guests' NICs, the host, the outside by each link that it may be behind."""
        starts, ends = self._places(here), self._places(there)
        if starts and ends:
            yield from ((start, end) for start, end in product(starts, ends) if start != end)
        elif starts:
            yield from ((start, end) for start in starts for end in self._outside(there, start, routed=routed))
        elif ends:
            yield from ((start, end) for end in ends for start in self._outside(here, end, routed=routed))

    def _places(self, address: Address) -> tuple[Place, ...]:
        return (HOST,) if address in self._own else self._where.seen.get(address, ())

    def _outside(self, address: Address, other: Place, *, routed: bool) -> Iterator[Place]:
        """Yield where somebody unknown may be, as *other* sees it: beside it in its bridge, or behind the host."""
        near = self._near(address)
        if other.zone != "host" and not (routed and near != [other.link]):
            yield Place("outside", segment=other.segment, link=other.link, at_uplink=True)
        if other.zone == "host" or other.link:
            for name in near or self._where.links:
                if name != other.link and name in self._where.links:
                    yield self._where.links[name]

    def _near(self, address: Address) -> list[str]:
        """Return the host's links in whose networks an address is."""
        version, number = address
        return [
            name
            for name, networks in self._where.host.networks.items()
            if any(family == version and first <= number <= last for family, first, last in networks)
        ]


def refused(judge: Judge, flows: Iterable[Flow]) -> list[tuple[Flow, str]]:
    """Return the connections that the rules refuse now, and what does."""
    return [(flow, reason) for flow in flows if (reason := judge.refusal(flow))]


def _packet(flow: Flow) -> Packet:
    asked, has_ports = flow.asked, flow.protocol in WITH_PORTS
    return Packet(
        IP if flow.version == 4 else IP6,
        flow.protocol,
        Span(asked.source, asked.source),
        Span(asked.dest, asked.dest),
        Span(asked.sport, asked.sport) if has_ports else None,
        Span(asked.dport, asked.dport) if has_ports else None,
        IcmpType(*flow.icmp) if flow.icmp else None,
    )


def _reason(outcome: Outcome) -> str:
    hits = [hit for step in outcome.steps for hit in step.hits]
    return (hits[-1].rule.origin if hits else outcome.steps[-1].note if outcome.steps else "") or "the rules"


def _bounds(board: Board, host: Map) -> tuple[dict[int, list[int]], list[int]]:
    """Return the numbers at which an address, by IP version, or a port begins to be another to any rule."""
    addresses: dict[int, set[int]] = {version: set() for version in (4, 6)}
    ports: set[int] = set()
    rules = [rule for chain in board.chains.values() for rule in chain.rules]
    for rule in rules:
        for side in (rule.source, rule.dest, rule.not_source, rule.not_dest):
            if isinstance(side, Addresses):
                addresses[side.version].update(_begins(side.spans))
        ports.update(_begins((*rule.sport, *rule.dport)))
    for one in board.sets.values():
        addresses[one.version].update(_begins(one.spans))
    for networks in host.networks.values():
        for version, first, last in networks:
            addresses[version].update(_begins((Span(first, last),)))
    return {version: sorted(found) for version, found in addresses.items()}, sorted(ports)


def _begins(spans: Iterable[Span]) -> Iterator[int]:
    for span in spans:
        yield from (span.first, span.last + 1)
