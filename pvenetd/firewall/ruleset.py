"""The intermediate form every backend renders and the simulator walks: pieces, chains, rules.

A `Rule` is one flat record: a field that says nothing matches everything, and all that do
must match.  What only one backend needs (hooks of bridges, marks, maps) is not in here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["accept", "drop", "reject", "masquerade", "jump"]
Table = Literal["inet", "bridge"]
Connection = Literal["established", "related", "invalid"]

IP, ARP, RARP, VLAN, IP6, QINQ = 0x0800, 0x0806, 0x8035, 0x8100, 0x86DD, 0x88A8
"""Ethertypes (IEEE 802 numbers)."""

ICMP, IGMP, TCP, UDP, DCCP, ICMP6, SCTP, UDPLITE = 1, 2, 6, 17, 33, 58, 132, 136
"""IP protocol numbers (IANA)."""

WITH_PORTS = frozenset({TCP, UDP, DCCP, SCTP, UDPLITE})
"""Protocols whose header begins with source and destination port."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The numbers from *first* to *last*, both included: ports, or addresses as integers."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Addresses:
    """Spans of one family (*version* 4 or 6), sorted, none touching another."""

    version: int
    spans: tuple[Span, ...]

    @property
    def is_all(self) -> bool:
        """Return whether these are all addresses of the family."""
        return self.spans == (Span(0, 2 ** (32 if self.version == 4 else 128) - 1),)


@dataclass(frozen=True, slots=True)
class IcmpType:
    """An ICMP or ICMPv6 type, with a code where only one is meant."""

    type: int
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do with a packet that matches every field that is set."""

    verdict: Verdict
    ethertypes: tuple[int, ...] = ()
    iif: str = ""
    oif: str = ""
    protocol: int | None = None
    source: Addresses | None = None
    dest: Addresses | None = None
    sport: tuple[Span, ...] = ()
    dport: tuple[Span, ...] = ()
    icmp: tuple[IcmpType, ...] = ()
    state: tuple[Connection, ...] = ()
    not_mac: str = ""
    """Matches when the frame's source address is another than this."""
    not_arp_mac: str = ""
    """Matches an ARP packet whose sender's hardware address is another than this."""
    target: str = ""
    """The chain to jump to, and to come back from where it does not decide."""
    origin: str = ""
    """``FILE:LINE`` of a user's rule, or the word that names ours: ``policy_in``, ``macfilter``."""

    @property
    def note(self) -> str:
        """Return its origin as its comment has it: the kernel keeps 128 bytes."""
        return self.origin[-120:]

    @property
    def all_ethertypes(self) -> tuple[int, ...]:
        """Return the ethertypes it is about: those that are said, or what its addresses or its ICMP speak of."""
        if self.ethertypes:
            return self.ethertypes
        if side := self.source or self.dest:
            return (IP,) if side.version == 4 else (IP6,)
        return {ICMP: (IP,), ICMP6: (IP6,)}.get(self.protocol or 0, ())


@dataclass(frozen=True, slots=True)
class Hook:
    """Where the kernel enters a chain (nft(8), "CHAINS")."""

    type: Literal["filter", "nat"]
    hook: Literal["input", "output", "postrouting"]
    priority: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in order; the first that matches decides, past the last the packet goes on."""

    table: Table
    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """A guest's port on its bridge, and the chains its frames go to and come through; without them, it is open."""

    name: str
    into: str = ""
    """The chain of what is sent to the guest."""
    out: str = ""
    """The chain of what the guest sends."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What is loaded and replaced as one: ``host``, ``nat``, or one guest, ``vm:100``."""

    name: str
    chains: tuple[Chain, ...]
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All pieces, in the order they are loaded."""

    pieces: tuple[Piece, ...] = ()


def merge(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """Return *spans* sorted, with overlapping and touching ones joined: kernels refuse overlaps in a set."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.first <= joined[-1].last + 1:
            joined[-1] = Span(joined[-1].first, max(span.last, joined[-1].last))
        else:
            joined.append(span)
    return tuple(joined)
