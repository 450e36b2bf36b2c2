"""What rules have counted: read from nft's listing, told by the comment that says where a rule comes from.

Source: nft(8), "COUNTER STATEMENT".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_CHAIN = re.compile(r"^table (inet|bridge) pvenetd \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_RULES = re.compile(r"^\tchain ([\w-]+) \{\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_RULE = re.compile(r'^\t\t(.*?)counter packets ([0-9]+) bytes ([0-9]+) ?(.*?)(?: comment "([^"]*)")?$', re.MULTILINE)


class Tally(NamedTuple):
    """One rule, and what it has counted."""

    table: str
    chain: str
    text: str
    """The rule as nft has it, without its counter and its comment."""
    packets: int
    """In a chain of NAT, connections: only the first packet of one is asked about."""
    bytes: int
    origin: str
    """``FILE:LINE``, or the word that names one of ours; empty for those of the base."""
    piece: str = ""
    """The piece, where the chain's name does not tell it: ``vm:100`` of iptables' ``tap100i0-IN``."""


def tallies(listing: str) -> Iterator[Tally]:
    """Yield the rules of a listing of our tables that count, in its order."""
    for table, body in _CHAIN.findall(listing):
        for chain, rules in _RULES.findall(body):
            for before, packets, octets, after, origin in _RULE.findall(rules):
                yield Tally(table, chain, f"{before}{after}", int(packets), int(octets), origin)
