"""The model → rules: the piece ``nat``, with a chain for what comes in, for what the host sends, for what leaves.

In each chain the first rule that matches decides for the whole connection, so the narrower stand first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_network

from pvenetd.firewall.nft import chains
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.ruleset import IP, IP6, Addresses, Chain, Hook, Piece, Rule, Span, Translation, merge
from pvenetd.nat.model import Address, Forward, Nat, Network, OneToOne, Outgoing
from pvenetd.state import INTERFACES, Chains

PIECE = "nat"

_HOOKS = {
    "nat-prerouting": Hook("nat", "prerouting", "dstnat"),
    "nat-output": Hook("nat", "output", "-100"),
    "nat-postrouting": Hook("nat", "postrouting", "srcnat"),
}
_UNSAID = re.compile(r"[^\w.:@ -]", re.ASCII)
_NEVER: dict[int, tuple[Network, ...]] = {
    4: (ip_network("127.0.0.0/8"),),
    6: (ip_network("::1/128"), ip_network("fe80::/10")),
}
"""Addresses of the host's that nothing is ever routed to, nor from."""


def compile_nat(wanted: Iterable[Nat], owner: str = INTERFACES) -> tuple[Chains, ...]:
    """Return the piece ``nat`` for nft, nothing without any rule."""
    found = piece(wanted)
    design: Design = "ct"  # Nothing in it asks for a connection's state, so either will do.
    return (chains(found, design, owner),) if found else ()


def piece(wanted: Iterable[Nat]) -> Piece | None:
    """Return the rules of *wanted*: what is asked for twice, once; chains without any rule are left out."""
    every = list(wanted)
    forwards = sorted((one for one in every if isinstance(one, Forward)), key=_breadth)
    pairs = [one for one in every if isinstance(one, OneToOne)]
    outgoing = [one for one in every if isinstance(one, Outgoing)]
    rules = {
        "nat-prerouting": [*(r for one in forwards for r in _arriving(one)), *(_to_private(one) for one in pairs)],
        "nat-output": [*(r for one in forwards for r in _from_host(one)), *(_to_private(one) for one in pairs)],
        "nat-postrouting": [
            *(r for one in forwards for r in _hairpin(one)),
            *(r for one in pairs for r in _hairpin(one)),
            *(_from_private(one) for one in pairs),
            *(_leaving(one) for one in outgoing),
        ],
    }
    found = [Chain("inet", name, once, _HOOKS[name]) for name, of in rules.items() if (once := tuple(_once(of)))]
    return Piece(PIECE, tuple(found)) if found else None


def note(origin: str) -> str:
    """Return what a rule's comment says of where it comes from, in characters that nft's language takes.

    Staged or active, it is the same line: once applied, the plan has to be empty.
    """
    return _UNSAID.sub("_", origin.rpartition("/")[2].replace(".new:", ":")) or "nat"


def _once(rules: Iterable[Rule]) -> Iterator[Rule]:
    seen: set[Rule] = set()
    for rule in rules:
        plain = replace(rule, origin="")
        if plain not in seen:
            seen.add(plain)
            yield rule


def _breadth(one: Forward) -> tuple[bool, bool, bool]:
    return one.public is None, not one.way, one.ports is None


def _arriving(one: Forward) -> Iterator[Rule]:
    base = _forwarding(one)
    if one.as_written:
        # Bridged packets are shown to this chain too (br_netfilter): those that are only passed on are not meant.
        yield replace(base, iif=one.way, routed=one.public is None)
        return
    for way in dict.fromkeys([one.way, one.iface] if one.way else [""]):
        yield replace(base, iif=way)


def _from_host(one: Forward) -> Iterator[Rule]:
    if not one.as_written and not one.way:
        yield _forwarding(one)


def _forwarding(one: Forward) -> Rule:
    somewhere = one.public is None and not one.as_written
    spared = [*map(ip_network, one.spared), *_NEVER[one.version]]
    return Rule(
        "dnat",
        ethertypes=(_ethertype(one.version),),
        protocol=one.protocol,
        source=_addresses(one.source),
        dest=_addresses(one.public),
        not_dest=_addresses(*spared) if somewhere else None,
        to_host=somewhere,
        dport=(one.ports,) if one.ports else (),
        to=Translation(one.version, _span(one.to), one.to_ports),
        origin=note(one.origin),
    )


def _to_private(one: OneToOne) -> Rule:
    to = Translation(one.version, _span(one.private))
    return Rule("dnat", dest=_addresses(ip_network(one.public)), to=to, origin=note(one.origin))


def _from_private(one: OneToOne) -> Rule:
    to = Translation(one.version, _span(one.public))
    return Rule("snat", oif=one.out, source=_addresses(ip_network(one.private)), to=to, origin=note(one.origin))


def _hairpin(one: Forward | OneToOne) -> Iterator[Rule]:
    """Yield what has the answer to a guest of the same network come by way of the host, which knows whose it is."""
    if one.inside is None:
        return
    protocol, to, ports = None, one.private if isinstance(one, OneToOne) else one.to, None
    if isinstance(one, Forward):
        protocol, ports = one.protocol, one.to_ports or one.ports
    yield Rule(
        "masquerade",
        protocol=protocol,
        source=_addresses(one.inside),
        dest=_addresses(ip_network(to)),
        dport=(ports,) if ports else (),
        translated=True,
        origin=note(one.origin),
    )


def _leaving(one: Outgoing) -> Rule:
    return Rule(
        one.kind,
        ethertypes=() if one.network else (_ethertype(one.version),),
        oif=one.out,
        source=_addresses(one.network),
        dest=_addresses(one.dest),
        not_dest=_addresses(one.not_dest),
        to=Translation(one.version, Span(int(one.to[0]), int(one.to[1]))) if one.to else None,
        origin=note(one.origin),
    )


def _ethertype(version: int) -> int:
    return IP if version == 4 else IP6


def _span(address: Address) -> Span:
    return Span(int(address), int(address))


def _addresses(*networks: Network | None) -> Addresses | None:
    found = [network for network in networks if network is not None]
    if not found:
        return None
    spans = merge(tuple(Span(int(network.network_address), int(network.broadcast_address)) for network in found))
    return Addresses(found[0].version, spans)
