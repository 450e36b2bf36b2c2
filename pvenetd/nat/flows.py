"""Which connections a change of the piece ``nat`` takes back: those of forwards that are gone.

The kernel decides once, by a connection's first packet, where it goes; so one that stands would be forwarded on.
Likewise a sender of UDP that nobody answered would go on to be nobody's, though there is a forward for it now.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address
from typing import NamedTuple

from pvenetd.firewall.ruleset import UDP
from pvenetd.nat.model import PROTOCOLS, Address

_CHAIN = re.compile(r"^\tchain nat-prerouting \{\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r"ip to ([0-9.]+)(.*)|ip6 to \[?([0-9a-f:.]+)\]?(.*)")
_PROTOCOL = re.compile(rf"\bmeta l4proto ([0-9]+)\b|\b({'|'.join(PROTOCOLS)}) dport\b")
_DEST = re.compile(r"\bip6? daddr ([0-9a-f:.]+)(?= )")
_PORTS = re.compile(r"\bdport ([0-9]+)(?:-([0-9]+))?\b")


class Forwarded(NamedTuple):
    """What one rule forwards, whichever way it comes in."""

    protocol: int | None
    dest: Address | None
    """None: more than one."""
    ports: tuple[int, int] | None
    to: Address
    others: str
    """The ports it gets there, however they are told."""


class Connection(NamedTuple):
    """One that the kernel tracks."""

    protocol: int
    dest: Address
    """Whom it was made to."""
    port: int
    """Of *dest*; 0 where the protocol has none."""
    answers: Address
    """Who answers: somebody else than *dest* where it is forwarded."""
    forwarded: bool
    answered: bool


def forwarded(text: str) -> frozenset[Forwarded]:
    """Return what the rules of a piece forward, in our own words or in nft's listing."""
    lines = [line for block in _CHAIN.findall(text) for line in block.splitlines()]
    return frozenset(one for line in lines if (one := _forwarded(line)))


def _forwarded(line: str) -> Forwarded | None:
    rule, _, _ = line.partition(" comment ")
    before, _, action = rule.partition(" dnat ")
    found = _TARGET.match(action)
    if not found:
        return None
    protocol, dest, ports = _PROTOCOL.search(before), _DEST.search(before), _PORTS.search(before)
    number = int(protocol[1]) if protocol and protocol[1] else PROTOCOLS[protocol[2]] if protocol else None
    return Forwarded(
        number,
        ip_address(dest[1]) if dest else None,
        (int(ports[1]), int(ports[2] or ports[1])) if ports else None,
        ip_address(found[1] or found[3]),
        "".join(re.findall(r"[0-9]+", found[2] or found[4] or "")),
    )


def outdated(one: Connection, gone: Collection[Forwarded], come: Collection[Forwarded]) -> bool:
    """Return whether a connection is one of forwards that are *gone*, or is kept from one that has *come*."""
    if one.forwarded:
        return any(_is_for(rule, one) and rule.to == one.answers for rule in gone)
    return one.protocol == UDP and not one.answered and any(_is_for(rule, one) for rule in come)


def _is_for(rule: Forwarded, one: Connection) -> bool:
    return (
        rule.protocol in (None, one.protocol)
        and rule.to.version == one.dest.version
        and rule.dest in (None, one.dest)
        and (rule.ports is None or rule.ports[0] <= one.port <= rule.ports[1])
    )
