"""What rules have counted: read from nft's listing, told by the comment that says where a rule comes from.

Source: nft(8), "COUNTER STATEMENT".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pvenetd.firewall.answer import ANSWER

_CHAIN = re.compile(r"^table (inet|bridge|netdev) pvenetd \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_RULES = re.compile(r"^\tchain ([\w-]+) \{\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_RULE = re.compile(r'^\t\t(.*?)counter packets ([0-9]+) bytes ([0-9]+) ?(.*?)(?: comment "([^"]*)")?$', re.MULTILINE)
_LOGS = re.compile(r"(?:^| )(?:log prefix|-j NFLOG) ")


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


def together(found: Iterable[Tally]) -> tuple[Tally, ...]:
    """Return *found* with what chains that answer have refused (`firewall.answer`) counted where it is decided."""
    kept: dict[tuple[str, str, bool], int] = {}
    all_: list[Tally] = []
    answered: list[Tally] = []
    for one in found:
        if one.chain.startswith(ANSWER):
            answered.append(one)
            continue
        if one.table == "bridge" and one.origin:
            kept.setdefault((one.chain, one.origin, logs(one)), len(all_))
        all_.append(one)
    chains = {chain for chain, *_ in kept}
    for one in answered:
        name = one.chain.removeprefix(ANSWER)
        while name not in chains and "-" in name:  # what answers for one port has its name behind the chain's
            name = name.rpartition("-")[0]
        if (at := kept.get((name, one.origin, logs(one)))) is not None:
            all_[at] = all_[at]._replace(packets=all_[at].packets + one.packets, bytes=all_[at].bytes + one.bytes)
    return tuple(all_)


def logs(one: Tally) -> bool:
    """Return whether a rule only logs: what it does is counted by the one behind it, too, which has no limit."""
    return bool(_LOGS.search(one.text))
