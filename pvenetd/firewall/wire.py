"""One guest's piece → nfnetlink messages, as nft itself would send them.

nft's library lists every chain and set of the host before it sends a rule, so what one guest costs
would grow with how many there are.  What these messages cannot say is left to the text (`Unsaid`), and
tests compare the kernel's listing of both.

Sources: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pvenetd.firewall.answer import Lead, reached
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.nft_words import rules, said
from pvenetd.firewall.ruleset import Chain, Piece
from pvenetd.firewall.wire_format import (
    ACCEPT,
    ATTRIBUTES,
    COUNTED,
    COUNTER,
    CREATE,
    DELCHAIN,
    DELRULE,
    DELSETELEM,
    FAMILIES,
    JUMP,
    NESTED,
    NEWCHAIN,
    NEWRULE,
    NEWSETELEM,
    SUBSYSTEM,
    VerdictTo,
    attribute,
    comment,
    message,
    port_key,
    set_key,
    text,
    with_elements,
)
from pvenetd.firewall.wire_rule import Unsaid, rule_messages


@dataclass(frozen=True, slots=True)
class Messages:
    """What makes the messages of a guest's piece: only once it is loaded, for most are loaded already."""

    piece: Piece
    seal: str
    design: Design
    answering: tuple[Chain, ...] = ()
    leads: tuple[Lead, ...] = ()

    def __call__(self, text: str) -> bytes:
        """Return the messages of the piece that says *text*, none where nothing but that can say it."""
        try:
            return add(self.piece, self.seal, rules(text), self.design, self.answering, self.leads)
        except Unsaid:
            return b""


def add(
    piece: Piece,
    seal: str,
    lines: Iterable[str],
    design: Design,
    answering: Sequence[Chain] = (),
    leads: Sequence[Lead] = (),
) -> bytes:
    """Return the messages that add a guest's chains, what leads to them, and the piece's *seal*.

    *lines* are the rules as text, *answering* are the chains that answer for it, *leads* what leads to those.
    Raises `Unsaid`.
    """
    into = {chain.name for port in piece.ports for chain in reached(piece, port.into)}
    chains = (*piece.chains, *answering)
    found = [
        message(NEWCHAIN, CREATE, text(1, "pvenetd"), text(3, chain.name), family=FAMILIES[chain.table])
        for chain in chains
    ]
    told = [(chain, one) for chain in chains for rule in chain.rules for one in said(rule, chain, design)]
    for (chain, one), line in zip(told, lines, strict=True):
        found += rule_messages(chain, one, line, design, to_guest=chain.name in into)
    for way in ("in", "out"):
        elements = [_lead(port.name, port.into if way == "in" else port.out, piece.name) for port in piece.ports]
        if elements:
            found.append(with_elements(NEWSETELEM, way, elements))
    if leads:
        listed = [_element(map_key("answers", mac), VerdictTo(JUMP, chain)) for mac, chain in leads]
        for table in dict.fromkeys(chain.table for chain in answering):
            found.append(with_elements(NEWSETELEM, "answers", listed, family=FAMILIES[table]))
    found.append(with_elements(NEWSETELEM, "pieces", [set_key(port_key(piece.name)) + attribute(6, comment(seal))]))
    return b"".join(found)


def remove(
    name: str,
    emptied: Iterable[tuple[str, str]],
    gone: Iterable[tuple[str, str]],
    elements: Sequence[tuple[str, str, str]],
    *,
    sealed: bool,
) -> bytes:
    """Return the messages that make room for a guest's piece, or for nothing, where there is one.

    *elements* go first, as (table, map, key), and rules, for they hold chains: those of the chains that are
    *emptied*, (table, chain); then the chains that are *gone*.  *sealed* tells whether the piece's digest is in the set
    of pieces.
    """
    found = []
    for table, way in dict.fromkeys((table, way) for table, way, _ in elements):
        keys = [map_key(way, key) for *other, key in elements if other == [table, way]]
        found.append(with_elements(DELSETELEM, way, keys, family=FAMILIES[table]))
    for kind, at, chains in ((DELRULE, 2, emptied), (DELCHAIN, 3, gone)):
        for table, chain in chains:
            found.append(message(kind, 0, text(1, "pvenetd"), text(at, chain), family=FAMILIES[table]))
    if sealed:
        found.append(with_elements(DELSETELEM, "pieces", [set_key(port_key(name))]))
    return b"".join(found)


def counting(messages: bytes, counters: Mapping[tuple[str, str], Sequence[tuple[int, int] | None]]) -> bytes:
    """Return *messages* of `add` with the rules of each chain counting from (packets, bytes) on, in their order."""
    told = bytearray(messages)
    left = {name: list(reversed(values)) for name, values in counters.items()}
    at = 0
    while at < len(told):
        size, kind = struct.unpack_from("=IH", told, at)
        if kind == SUBSYSTEM | NEWRULE:
            values = left.get((_TABLES[told[at + _FAMILY]], _chain_of(told, at)))
            if values and (value := values.pop()):
                place = told.index(COUNTER, at, at + size) + len(COUNTER) - COUNTED
                struct.pack_into("!Q", told, place, value[1])
                struct.pack_into("!Q", told, place + COUNTED - 8, value[0])
        at += size
    return bytes(told)


_TABLES = {family: table for table, family in FAMILIES.items()}
_FAMILY = 16
"""Bytes before nfgenmsg, which begins with the family."""


def _chain_of(told: bytearray, at: int) -> str:
    """Return the chain of the rule whose message is *at*: its second attribute, behind the table."""
    place = at + ATTRIBUTES
    size = struct.unpack_from("=H", told, place)[0]
    place += size + -size % 4
    size = struct.unpack_from("=H", told, place)[0]
    return told[place + 4 : place + size - 1].decode()


def map_key(way: str, name: str) -> bytes:
    """Return the key of a map's element: a port's, or a MAC address's."""
    return set_key(bytes.fromhex(name.replace(":", "")) if way == "answers" else port_key(name))


def _lead(port: str, chain: str, piece: str) -> bytes:
    """Return a map's element: the chain that the frames of a port are led to; without one they pass."""
    verdict = VerdictTo(JUMP, chain) if chain else VerdictTo(ACCEPT)
    note = b"" if chain else attribute(6, comment(piece))
    return _element(map_key("", port), verdict) + note


def _element(key: bytes, verdict: VerdictTo) -> bytes:
    return key + attribute(2 | NESTED, verdict.data())
