"""One guest's piece → nfnetlink messages, as nft itself would send them.

nft's library lists every chain and set of the host before it sends a rule, so what one guest costs
would grow with how many there are.  What this module cannot say is left to the text (`Unsaid`), and
tests compare the kernel's listing of both.

Sources: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h; libnftnl's udata.h for comments
and sets' byte order; nft's datatype.h for the types of sets, which only its listing reads.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

from pvenetd.firewall.ruleset import ICMP, Addresses, Chain, Piece, Rule, SetRef, Span

BRIDGE = 7
"""NFPROTO_BRIDGE (linux/netfilter.h)."""
NEWCHAIN, DELCHAIN, NEWRULE, DELRULE, NEWSET, NEWSETELEM, DELSETELEM = 3, 5, 6, 8, 9, 12, 14
"""NFT_MSG_*."""
_SUBSYSTEM = 10 << 8
_REQUEST, _CREATE, _APPEND = 0x1, 0x400, 0x800
"""NLM_F_* (linux/netlink.h)."""
_NESTED = 0x8000
_ANONYMOUS, _CONSTANT, _INTERVAL, _INTERVAL_END = 1, 2, 4, 1
"""NFT_SET_*, NFT_SET_ELEM_INTERVAL_END."""
_PROTOCOL, _IIFNAME, _OIFNAME, _L4PROTO = 1, 6, 7, 16
"""NFT_META_*."""
_LINK, _NETWORK, _TRANSPORT = 0, 1, 2
"""NFT_PAYLOAD_*_HEADER."""
_EQ, _NEQ, _LTE, _GTE = 0, 1, 3, 5
"""NFT_CMP_*."""
_REGISTER = 1
"""NFT_REG_1: 16 bytes."""
_DROP, _ACCEPT, _JUMP, _GOTO = 0, 1, -3, -4
"""NF_DROP, NF_ACCEPT, NFT_JUMP, NFT_GOTO."""
_IPADDR, _IP6ADDR, _ETHERTYPE, _SERVICE, _ICMP_TYPE, _ICMP6_TYPE = 7, 8, 10, 13, 14, 29
"""Types of nft's own."""
_BIG_ENDIAN = bytes((0, 4)) + struct.pack("=I", 2)
"""NFTNL_UDATA_SET_KEYBYTEORDER: most significant byte first."""
_SET = b"__set%d\0"
"""The kernel puts a number there."""
_NAME = 16
"""IFNAMSIZ."""

_numbers = count(1)
"""A set without a name has a number, which is nobody else's within its transaction."""


class Unsaid(Exception):
    """There are no words for it here: the text has them."""


def add(piece: Piece, seal: str) -> bytes:
    """Return the messages that add a guest's chains, what leads to them, and the piece's *seal*.

    Raises `Unsaid`.
    """
    into = {port.into for port in piece.ports}
    found = [_message(NEWCHAIN, _CREATE, _text(1, "pvenetd"), _text(3, chain.name)) for chain in piece.chains]
    for chain in piece.chains:
        for rule in chain.rules:
            found += _rule(chain, rule, to_guest=chain.name in into)
    for way in ("in", "out"):
        elements = [_lead(port.name, port.into if way == "in" else port.out, piece.name) for port in piece.ports]
        if elements:
            found.append(_elements(NEWSETELEM, way, elements))
    found.append(_elements(NEWSETELEM, "pieces", [_key(_port(piece.name)) + _attribute(6, _comment(seal))]))
    return b"".join(found)


def remove(name: str, chains: Iterable[str], ports: Sequence[tuple[str, str]], *, sealed: bool) -> bytes:
    """Return the messages that delete a guest's piece: elements first, and rules, for they hold chains.

    *ports* are (map, port); *sealed* tells whether the piece's digest is in the set of pieces.
    """
    chains = list(chains)
    found = []
    for way in ("in", "out"):
        keys = [_key(_port(port)) for other, port in ports if other == way]
        if keys:
            found.append(_elements(DELSETELEM, way, keys))
    for kind in (DELRULE, DELCHAIN):
        chain_attribute = 2 if kind == DELRULE else 3
        found += [_message(kind, 0, _text(1, "pvenetd"), _text(chain_attribute, chain)) for chain in chains]
    if sealed:
        found.append(_elements(DELSETELEM, "pieces", [_key(_port(name))]))
    return b"".join(found)


def _rule(chain: Chain, rule: Rule, *, to_guest: bool) -> Iterator[bytes]:
    """Yield the messages of one rule: the sets it looks into, then the rule."""
    if rule.state or chain.hook or chain.table != "bridge":
        raise Unsaid
    sets: list[bytes] = []
    expressions = b"".join(
        [
            *_frame(rule, sets),
            *_packet(rule, sets),
            _COUNTER,
            _verdict(rule, to_guest=to_guest),
        ]
    )
    yield from sets
    yield _message(
        NEWRULE,
        _CREATE | _APPEND,
        _text(1, "pvenetd"),
        _text(2, chain.name),
        _attribute(4 | _NESTED, expressions),
        _attribute(7, _comment(rule.note)) if rule.origin else b"",
    )


def _frame(rule: Rule, sets: list[bytes]) -> Iterator[bytes]:
    for name, key in ((rule.iif, _IIFNAME), (rule.oif, _OIFNAME)):
        if name:
            yield _meta(key) + _compare(_EQ, _port(name))
    if types := rule.all_ethertypes:
        yield _meta(_PROTOCOL) + _among([struct.pack("!H", kind) for kind in types], _ETHERTYPE, sets)
    if rule.not_mac:
        yield _payload(_LINK, 6, 6) + _compare(_NEQ, bytes.fromhex(rule.not_mac.replace(":", "")))
    if rule.not_arp_mac:
        yield _payload(_NETWORK, 8, 6) + _compare(_NEQ, bytes.fromhex(rule.not_arp_mac.replace(":", "")))


def _packet(rule: Rule, sets: list[bytes]) -> Iterator[bytes]:
    if rule.protocol is not None:
        yield _meta(_L4PROTO) + _compare(_EQ, bytes((rule.protocol,)))
    for side, offsets in ((rule.source, (12, 8)), (rule.dest, (16, 24))):
        if isinstance(side, SetRef):
            raise Unsaid
        if side and not side.is_all:
            four = side.version == 4
            yield _addresses(side, offsets[0] if four else offsets[1], sets)
    for ports, offset in ((rule.sport, 0), (rule.dport, 2)):
        if ports and ports != (Span(0, 65535),):
            yield _payload(_TRANSPORT, offset, 2) + _within(ports, 2, _SERVICE, sets)
    if rule.icmp:
        yield _icmp(rule, sets)


def _icmp(rule: Rule, sets: list[bytes]) -> bytes:
    first = rule.icmp[0]
    if len(rule.icmp) == 1 and first.code is not None:
        return _payload(_TRANSPORT, 0, 2) + _compare(_EQ, bytes((first.type, first.code)))
    if any(one.code is not None for one in rule.icmp):
        raise Unsaid
    types = [bytes((number,)) for number in sorted(one.type for one in rule.icmp)]
    return _payload(_TRANSPORT, 0, 1) + _among(types, _ICMP_TYPE if rule.protocol == ICMP else _ICMP6_TYPE, sets)


def _addresses(side: Addresses, offset: int, sets: list[bytes]) -> bytes:
    size = 4 if side.version == 4 else 16
    if len(side.spans) == 1 and (length := _prefix(side.spans[0], size * 8)):
        whole, rest = divmod(length, 8)
        first = side.spans[0].first.to_bytes(size, "big")
        if not rest:
            return _payload(_NETWORK, offset, whole) + _compare(_EQ, first[:whole])
        mask = ((1 << size * 8) - (1 << size * 8 - length)).to_bytes(size, "big")
        return _payload(_NETWORK, offset, size) + _masked(mask) + _compare(_EQ, first)
    return _payload(_NETWORK, offset, size) + _within(side.spans, size, _IPADDR if size == 4 else _IP6ADDR, sets)


def _prefix(span: Span, width: int) -> int:
    """Return the length of the prefix that *span* is, 0 where it is none."""
    size = span.last - span.first + 1
    return width + 1 - size.bit_length() if not size & (size - 1) and not span.first % size else 0


def _among(values: Sequence[bytes], kind: int, sets: list[bytes]) -> bytes:
    """Return what compares the register with *values*."""
    if len(values) == 1:
        return _compare(_EQ, values[0])
    return _lookup([_key(value) for value in values], len(values[0]), kind, 0, sets)


def _within(spans: Sequence[Span], size: int, kind: int, sets: list[bytes]) -> bytes:
    """Return what compares the register with *spans* of numbers of *size* bytes, sorted and apart."""
    if len(spans) == 1:
        first, last = (number.to_bytes(size, "big") for number in (spans[0].first, spans[0].last))
        return _compare(_EQ, first) if first == last else _compare(_GTE, first) + _compare(_LTE, last)
    if all(span.first == span.last for span in spans):
        return _among([span.first.to_bytes(size, "big") for span in spans], kind, sets)
    end = _attribute(3, struct.pack("!I", _INTERVAL_END))
    keys = [] if spans[0].first == 0 else [_key(bytes(size)) + end]
    for span in spans:
        keys.append(_key(span.first.to_bytes(size, "big")))
        if span.last < (1 << size * 8) - 1:
            keys.append(_key((span.last + 1).to_bytes(size, "big")) + end)
    return _lookup(keys, size, kind, _INTERVAL, sets)


def _lookup(keys: Sequence[bytes], size: int, kind: int, flags: int, sets: list[bytes]) -> bytes:
    """Return what looks the register up in a set of *keys*, which is added to *sets*."""
    number = struct.pack("!I", next(_numbers) & 0xFFFFFFFF)
    sets.append(
        _message(
            NEWSET,
            _CREATE,
            _text(1, "pvenetd"),
            _attribute(2, _SET),
            _attribute(3, struct.pack("!I", _ANONYMOUS | _CONSTANT | flags)),
            _attribute(4, struct.pack("!I", kind)),
            _attribute(5, struct.pack("!I", size)),
            _attribute(10, number),
            _attribute(9 | _NESTED, _attribute(1, struct.pack("!I", len(keys)))),
            _attribute(13, _BIG_ENDIAN),
        )
    )
    sets.append(_elements(NEWSETELEM, "__set%d", keys, number))
    return _expression("lookup", _attribute(2, _REGISTER_1), _attribute(1, _SET), _attribute(4, number))


@dataclass(frozen=True, slots=True)
class _Verdict:
    code: int
    chain: str = ""

    def data(self) -> bytes:
        """Return NFTA_DATA_VERDICT."""
        chain = _text(2, self.chain) if self.chain else b""
        return _attribute(2 | _NESTED, _attribute(1, struct.pack("!i", self.code)) + chain)


def _verdict(rule: Rule, *, to_guest: bool) -> bytes:
    match rule.verdict:
        case "accept":
            verdict = _Verdict(_ACCEPT)
        case "jump":
            verdict = _Verdict(_JUMP, rule.target)
        case "reject" if not to_guest:
            verdict = _Verdict(_GOTO, "refuse-out")
        case "drop" | "reject":
            verdict = _Verdict(_DROP)
        case _:
            raise Unsaid
    return _expression("immediate", _attribute(1, struct.pack("!I", 0)), _attribute(2 | _NESTED, verdict.data()))


def _lead(port: str, chain: str, piece: str) -> bytes:
    """Return a map's element: the chain that the frames of a port are led to; without one they pass."""
    verdict = _Verdict(_JUMP, chain) if chain else _Verdict(_ACCEPT)
    note = b"" if chain else _attribute(6, _comment(piece))
    return _key(_port(port)) + _attribute(2 | _NESTED, verdict.data()) + note


def _elements(kind: int, name: str, elements: Iterable[bytes], number: bytes = b"") -> bytes:
    listed = b"".join(_attribute(1 | _NESTED, element) for element in elements)
    return _message(
        kind,
        _CREATE if kind == NEWSETELEM else 0,
        _text(1, "pvenetd"),
        _text(2, name),
        _attribute(3 | _NESTED, listed),
        _attribute(4, number) if number else b"",
    )


def _key(value: bytes) -> bytes:
    return _attribute(1 | _NESTED, _attribute(1, value))


def _port(name: str) -> bytes:
    return name.encode().ljust(_NAME, b"\0")


def _comment(text: str) -> bytes:
    value = text.encode() + b"\0"
    return bytes((0, len(value))) + value


@lru_cache(maxsize=64)
def _meta(key: int) -> bytes:
    return _expression("meta", _attribute(2, struct.pack("!I", key)), _attribute(1, _REGISTER_1))


@lru_cache(maxsize=64)
def _payload(base: int, offset: int, size: int) -> bytes:
    numbers = (_attribute(kind, struct.pack("!I", number)) for kind, number in ((2, base), (3, offset), (4, size)))
    return _expression("payload", _attribute(1, _REGISTER_1), *numbers)


def _compare(operator: int, value: bytes) -> bytes:
    return _expression(
        "cmp",
        _attribute(1, _REGISTER_1),
        _attribute(2, struct.pack("!I", operator)),
        _attribute(3 | _NESTED, _attribute(1, value)),
    )


def _masked(mask: bytes) -> bytes:
    return _expression(
        "bitwise",
        _attribute(1, _REGISTER_1),
        _attribute(2, _REGISTER_1),
        _attribute(3, struct.pack("!I", len(mask))),
        _attribute(4 | _NESTED, _attribute(1, mask)),
        _attribute(5 | _NESTED, _attribute(1, bytes(len(mask)))),
    )


def _expression(name: str, *attributes: bytes) -> bytes:
    return _attribute(1 | _NESTED, _text(1, name) + _attribute(2 | _NESTED, b"".join(attributes)))


def _message(kind: int, flags: int, *attributes: bytes) -> bytes:
    body = struct.pack("!BBH", BRIDGE, 0, 0) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), _SUBSYSTEM | kind, _REQUEST | flags, 0, 0) + body


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


_REGISTER_1 = struct.pack("!I", _REGISTER)
_COUNTER = _expression("counter", _attribute(1, bytes(8)), _attribute(2, bytes(8)))
