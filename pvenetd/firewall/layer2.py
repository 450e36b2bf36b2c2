"""What of a `Ruleset` nftables keeps where iptables has the rest: what is no IP, and what iptables cannot ask.

Each filtered port's chains in ``bridge pvenetd`` let IP pass to iptables and ask their own rules of all else: ARP,
RARP, other protocols, tagged frames within tagged ones.  What a neighbour advertisement is about is asked before that.
The maps of ports are the same as the other backend's, and so is the guard.  ``inet pvenetd`` keeps NAT, conntrack's
helpers, and the zones that keep a connection apart in each bridge that it crosses.

ebtables could do most of it, but it has no transactions, and would be one more program.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pvenetd.firewall.builtin import shared
from pvenetd.firewall.leases import untaught
from pvenetd.firewall.nft import chains, sealed, sysctls, text_of
from pvenetd.firewall.nft_base import Design, layer2_text
from pvenetd.firewall.ruleset import IP, IP6, Chain, Piece, Rule, Ruleset
from pvenetd.resource import Resource
from pvenetd.state import Chains

_DESIGN: Design = "mark"
"""Whichever: no rule here asks for a connection."""
_FIREWALL = "firewall"
_PASS = Rule("jump", ethertypes=(IP, IP6), target="pass", origin="iptables")
_EMPTY = frozenset({"dhcp-in", "dhcp-out", "ndp-in", "ndp-out", "unspecified", "screen-in", "screen-out"})
"""Chains that are about IP alone."""


def layer2(ruleset: Ruleset, *others: Chains) -> list[Resource]:
    """Return what nftables is to have: sysctls that show iptables what bridges forward, chains, *others* (NAT).

    Nothing at all when there is neither a piece nor another.
    """
    if not ruleset.pieces and not others:
        return []
    guests = any(piece.ports and piece.chains for piece in ruleset.pieces)
    found = map(layer2_chains, ruleset.pieces)
    return [*(sysctls(_DESIGN) if guests else ()), layer2_base(), *(one for one in found if one), *others]


def layer2_base() -> Chains:
    """Return the hooks, the maps and the chains that guests share."""
    found = [one for one in map(_chain, shared()) if one.name not in _EMPTY]
    return sealed("base", layer2_text() + text_of(found, _DESIGN), owner=_FIREWALL)


def layer2_chains(piece: Piece) -> Chains | None:
    """Return a piece's chains, None where it has none that are asked of guests' frames, nor any for helpers."""
    piece = untaught(piece)
    if helping := [one for one in piece.chains if one.table == "inet" and any(map(_helps, one.rules))]:
        return chains(replace(piece, chains=tuple(helping)), _DESIGN, answering=False)
    if piece.bridge or not (piece.ports or piece.name == "groups"):
        return None
    found = [_chain(one) for one in piece.chains if one.table == "bridge" and not one.hook and one.name not in _EMPTY]
    led = {name for port in piece.ports for name in (port.into, port.out)}
    placed = (replace(one, rules=tuple(_first(one))) if one.name in led else one for one in found)
    return chains(replace(piece, chains=tuple(placed), sets=()), _DESIGN, answering=False)


def _chain(chain: Chain) -> Chain:
    """Return *chain* with the rules alone that any frame can meet here."""
    return replace(chain, rules=tuple(rule for rule in chain.rules if _is_here(rule)))


def _helps(rule: Rule) -> bool:
    return rule.verdict == "helper"


def _is_here(rule: Rule) -> bool:
    if rule.is_raw:
        return True
    if rule.verdict == "bound":
        return False
    kinds = rule.all_ethertypes
    if rule.all_protocol is not None or (kinds and set(kinds) <= {IP, IP6}):
        return False
    return not rule.state and rule.target not in _EMPTY


def _first(chain: Chain) -> Iterator[Rule]:
    """Yield the rules of a port's chain: IP passes, but for what iptables cannot ask about it."""
    yield from (rule for rule in chain.rules if rule.is_raw)
    yield _PASS
    yield from (rule for rule in chain.rules if not rule.is_raw)
