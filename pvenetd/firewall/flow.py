"""Connections as the kernel tracks them: who began it with whom, and who answers, which NAT may make others."""

from __future__ import annotations

from typing import NamedTuple

Address = tuple[int, int]
"""IP version, and the address as a number."""

_EXPECTED, _SEEN_REPLY, _DST_NAT = 1 << 0, 1 << 1, 1 << 5


class Ends(NamedTuple):
    """Of the packets of one direction, who sends and who gets them."""

    source: int
    dest: int
    sport: int
    """0 where the protocol has no ports."""
    dport: int


class Flow(NamedTuple):
    """A connection."""

    version: int
    """Of IP."""
    protocol: int
    asked: Ends
    """Of its first packet, as it came in."""
    answer: Ends
    """Of what is answered, as who answers sends it."""
    icmp: tuple[int, int] | None
    """Type and code of the first packet."""
    status: int
    """The kernel's flags (IPS_* of linux/netfilter/nf_conntrack_common.h)."""
    told: bytes
    """What the kernel tells of it, for its driver."""

    @property
    def related(self) -> bool:
        """Return whether another connection led to it, so that no rule was asked."""
        return bool(self.status & _EXPECTED)

    @property
    def answered(self) -> bool:
        """Return whether there was an answer."""
        return bool(self.status & _SEEN_REPLY)

    @property
    def forwarded(self) -> bool:
        """Return whether NAT has changed whom it is to."""
        return bool(self.status & _DST_NAT)

    @property
    def translated(self) -> bool:
        """Return whether NAT has changed an address."""
        return (self.asked.source, self.asked.dest) != (self.answer.dest, self.answer.source)

    @property
    def addresses(self) -> frozenset[Address]:
        """Return the addresses of all who take part."""
        ends = (self.asked.source, self.asked.dest, self.answer.source, self.answer.dest)
        return frozenset((self.version, one) for one in ends)
