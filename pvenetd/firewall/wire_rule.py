"""One rule → nfnetlink messages, as nft itself would send them.

Sources: linux/netfilter/nf_tables.h; libnftnl's udata.h for sets' byte order; nft's datatype.h for the types of
sets, which only its listing reads.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Literal

from pvenetd.firewall import leases
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.nft_words import LOG_GROUP, counts, decided, link_option, prefix, queues, set_name, state_bits
from pvenetd.firewall.ruleset import ICMP, IP, Addresses, Chain, Limit, Rule, SetRef, Span, TcpFlags
from pvenetd.firewall.wire_format import (
    ACCEPT,
    APPEND,
    COUNTER,
    CREATE,
    DROP,
    FAMILIES,
    GOTO,
    JUMP,
    NESTED,
    NEWRULE,
    NEWSET,
    NEWSETELEM,
    RETURN,
    VerdictTo,
    attribute,
    comment,
    expression,
    in_family,
    mark,
    message,
    port_key,
    set_key,
    text,
    with_elements,
)

_ANONYMOUS, _CONSTANT, _INTERVAL, _INTERVAL_END = 1, 2, 4, 1
"""NFT_SET_*, NFT_SET_ELEM_INTERVAL_END."""
_PROTOCOL, _MARK, _IIFNAME, _OIFNAME, _L4PROTO = 1, 3, 6, 7, 16
"""NFT_META_*."""
_LINK, _NETWORK, _TRANSPORT = 0, 1, 2
"""NFT_PAYLOAD_*_HEADER."""
_EQ, _NEQ, _LTE, _GTE = 0, 1, 3, 5
"""NFT_CMP_*."""
_BYPASS = 1
"""NFT_QUEUE_FLAG_BYPASS."""
_STATES = {"invalid": 1, "established": 2, "related": 4}
"""NF_CT_STATE_BIT, NF_CT_STATE_INVALID_BIT (linux/netfilter/nf_conntrack_common.h)."""
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_IPV4 = struct.pack("!H", IP)
_ADVERTISEMENT = bytes((136,))
_IPADDR, _IP6ADDR, _ETHERTYPE, _SERVICE, _ICMP_TYPE, _ICMP6_TYPE = 7, 8, 10, 13, 14, 29
"""Types of nft's own."""
_BIG_ENDIAN = bytes((0, 4)) + struct.pack("=I", 2)
"""NFTNL_UDATA_SET_KEYBYTEORDER: most significant byte first."""
_SET = b"__set%d\0"
"""The kernel puts a number there."""

_numbers = count(1)
"""A set without a name has a number, which is nobody else's within its transaction."""
_REGISTER_1 = struct.pack("!I", 1)
"""NFT_REG_1: 16 bytes."""
_REGISTER_OF_THIRD = 14
"""NFT_REG32_06: behind a port's name and a MAC, which takes eight bytes."""


class Unsaid(Exception):
    """There are no words for it here: the text has them."""


def rule_messages(chain: Chain, rule: Rule, line: str, design: Design, *, to_guest: bool) -> Iterator[bytes]:
    """Yield the messages of one rule, whose text is *line*: the sets it looks into, then the rule."""
    if chain.hook or chain.table == "inet" or rule.fragment or rule.to_host or rule.routed or rule.translated:
        raise Unsaid
    sets: list[bytes] = []
    expressions = b"".join(
        [
            *_frame(rule, sets),
            *_packet(rule, sets),
            _state(rule, design) if rule.state else b"",
            _limit(rule.limit) if rule.limit else b"",
            COUNTER if counts(rule, chain) else b"",
            _verdict(rule, chain, to_guest=to_guest),
        ]
    )
    family = FAMILIES[chain.table]
    yield from (in_family(one, family) for one in sets)
    yield message(
        NEWRULE,
        CREATE | APPEND,
        text(1, "pvenetd"),
        text(2, chain.name),
        attribute(4 | NESTED, expressions),
        attribute(7, (comment(rule.note) if rule.origin else b"") + mark(line)),
        family=family,
    )


def _frame(rule: Rule, sets: list[bytes]) -> Iterator[bytes]:
    for name, key in ((rule.iif, _IIFNAME), (rule.oif, _OIFNAME)):
        if name:
            yield _meta(key) + _compare(_EQ, port_key(name))
    if types := rule.all_ethertypes:
        yield _meta(_PROTOCOL) + _among([struct.pack("!H", kind) for kind in types], _ETHERTYPE, sets)
    if rule.not_mac:
        yield _payload(_LINK, 6, 6) + _compare(_NEQ, _mac(rule.not_mac))
    if rule.not_arp_mac:
        yield _payload(_NETWORK, 8, 6) + _compare(_NEQ, _mac(rule.not_arp_mac))
    if rule.not_arp_source:
        yield _payload(_NETWORK, 2, 2) + _compare(_EQ, _IPV4)
        yield _addresses(rule.not_arp_source, 14, sets, outside=True)
        if rule.unless_learnt:
            yield _unleased(4, _NETWORK, 14)
    if rule.smurf:
        raise Unsaid


def _packet(rule: Rule, sets: list[bytes]) -> Iterator[bytes]:
    if (protocol := rule.all_protocol) is not None:
        yield _meta(_L4PROTO) + _compare(_EQ, bytes((protocol,)))
    yield from _ends(rule.source, rule.dest, sets, outside=False)
    yield from _ends(rule.not_source, rule.not_dest, sets, outside=True)
    if rule.not_source and rule.unless_learnt:
        yield _unleased(rule.not_source.version, _NETWORK, 12 if rule.not_source.version == 4 else 8)
    for ports, offset in ((rule.sport, 0), (rule.dport, 2)):
        if ports and ports != (Span(0, 65535),):
            yield _payload(_TRANSPORT, offset, 2) + _within(ports, 2, _SERVICE, sets)
    if rule.tcp_flags:
        yield _tcp_flags(rule.tcp_flags)
    if rule.icmp:
        yield _icmp(rule, sets)
    yield from _told(rule)


def _told(rule: Rule) -> Iterator[bytes]:
    if rule.not_nd_target:
        yield _payload(_TRANSPORT, 0, 1) + _compare(_EQ, _ADVERTISEMENT)
        yield from map(_beside, rule.not_nd_target.spans)
        if rule.unless_learnt:
            yield _unleased(6, _TRANSPORT, 8)
    if rule.not_client_mac:
        yield _payload(_TRANSPORT, 8, 1) + _compare(_EQ, b"\x01")
        if rule.direct:
            yield _payload(_TRANSPORT, 32, 4) + _compare(_EQ, bytes(4))
        yield _payload(_TRANSPORT, 36, 6) + _compare(_NEQ, _mac(rule.not_client_mac))
    if rule.not_link_mac:
        at, kind = link_option(rule)
        yield _payload(_TRANSPORT, at, 2) + _compare(_EQ, bytes((kind, 1)))
        yield _payload(_TRANSPORT, at + 2, 6) + _compare(_NEQ, _mac(rule.not_link_mac))
    if rule.lease_mac:
        yield _payload(_TRANSPORT, 36, 6) if IP in rule.ethertypes else _payload(_LINK, 0, 6)
        yield _compare(_EQ, _mac(rule.lease_mac))
        yield _meta(_MARK) + _masked(struct.pack("=I", leases.MUTED)) + _compare(_EQ, bytes(4))


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _ends(
    source: Addresses | SetRef | None, dest: Addresses | SetRef | None, sets: list[bytes], *, outside: bool
) -> Iterator[bytes]:
    for side, offsets in ((source, (12, 8)), (dest, (16, 24))):
        if side is None:
            continue
        offset = offsets[0] if side.version == 4 else offsets[1]
        if isinstance(side, SetRef):
            yield _payload(_NETWORK, offset, 4 if side.version == 4 else 16)
            yield _looked_up(set_name(side.name, side.version).encode() + b"\0", outside=outside)
        elif not side.is_all:
            yield _addresses(side, offset, sets, outside=outside)


def _unleased(version: int, base: int, offset: int) -> bytes:
    """Return what matches where the address at *offset* was not leased to who sends the frame."""
    size = 4 if version == 4 else 16
    key = _meta(_IIFNAME) + _payload(_LINK, 6, 6, 2) + _payload(base, offset, size, _REGISTER_OF_THIRD)
    return key + _looked_up(leases.SETS[version].encode() + b"\0", outside=True)


def _tcp_flags(flags: TcpFlags) -> bytes:
    return _payload(_TRANSPORT, 13, 1) + _masked(bytes((flags.mask,))) + _compare(_EQ, bytes((flags.set,)))


def _beside(span: Span) -> bytes:
    """Return what matches where the target of a neighbour advertisement is none of *span*."""
    first, last = (number.to_bytes(16, "big") for number in (span.first, span.last))
    return _payload(_TRANSPORT, 8, 16) + _between(first, last, outside=True)


def _state(rule: Rule, design: Design) -> bytes:
    if design == "mark":
        return _meta(_MARK) + _any_bit(state_bits(rule))
    bits = sum(_STATES[state] for state in rule.state)
    return expression("ct", attribute(2, struct.pack("!I", 0)), attribute(1, _REGISTER_1)) + _any_bit(bits)


def _any_bit(bits: int) -> bytes:
    return _masked(struct.pack("=I", bits)) + _compare(_NEQ, bytes(4))


def _limit(limit: Limit) -> bytes:
    if limit.per_source:
        raise Unsaid
    return expression(
        "limit",
        attribute(1, struct.pack("!Q", limit.rate)),
        attribute(2, struct.pack("!Q", _SECONDS[limit.per])),
        attribute(3, struct.pack("!I", limit.burst)),
        attribute(4, struct.pack("!I", 0)),
        attribute(5, struct.pack("!I", int(limit.over))),
    )


def _icmp(rule: Rule, sets: list[bytes]) -> bytes:
    first = rule.icmp[0]
    if len(rule.icmp) == 1 and first.code is not None:
        return _payload(_TRANSPORT, 0, 2) + _compare(_EQ, bytes((first.type, first.code)))
    if any(one.code is not None for one in rule.icmp):
        raise Unsaid
    types = [bytes((number,)) for number in sorted(one.type for one in rule.icmp)]
    return _payload(_TRANSPORT, 0, 1) + _among(types, _ICMP_TYPE if rule.protocol == ICMP else _ICMP6_TYPE, sets)


def _addresses(side: Addresses, offset: int, sets: list[bytes], *, outside: bool = False) -> bytes:
    size = 4 if side.version == 4 else 16
    operator = _NEQ if outside else _EQ
    if not side.spans:
        return b""
    if len(side.spans) == 1 and (length := _prefix(side.spans[0], size * 8)):
        whole, rest = divmod(length, 8)
        first = side.spans[0].first.to_bytes(size, "big")
        if not rest:
            return _payload(_NETWORK, offset, whole) + _compare(operator, first[:whole])
        mask = ((1 << size * 8) - (1 << size * 8 - length)).to_bytes(size, "big")
        return _payload(_NETWORK, offset, size) + _masked(mask) + _compare(operator, first)
    kind = _IPADDR if size == 4 else _IP6ADDR
    return _payload(_NETWORK, offset, size) + _within(side.spans, size, kind, sets, outside=outside)


def _prefix(span: Span, width: int) -> int:
    """Return the length of the prefix that *span* is, 0 where it is none."""
    size = span.last - span.first + 1
    return width + 1 - size.bit_length() if not size & (size - 1) and not span.first % size else 0


def _among(values: Sequence[bytes], kind: int, sets: list[bytes], *, outside: bool = False) -> bytes:
    """Return what compares the register with *values*."""
    if len(values) == 1:
        return _compare(_NEQ if outside else _EQ, values[0])
    return _lookup([set_key(value) for value in values], len(values[0]), kind, 0, sets, outside=outside)


def _within(spans: Sequence[Span], size: int, kind: int, sets: list[bytes], *, outside: bool = False) -> bytes:
    """Return what compares the register with *spans* of numbers of *size* bytes, sorted and apart."""
    if len(spans) == 1:
        return _between(*(number.to_bytes(size, "big") for number in (spans[0].first, spans[0].last)), outside=outside)
    if all(span.first == span.last for span in spans):
        return _among([span.first.to_bytes(size, "big") for span in spans], kind, sets, outside=outside)
    end = attribute(3, struct.pack("!I", _INTERVAL_END))
    keys = [] if spans[0].first == 0 else [set_key(bytes(size)) + end]
    for span in spans:
        keys.append(set_key(span.first.to_bytes(size, "big")))
        if span.last < (1 << size * 8) - 1:
            keys.append(set_key((span.last + 1).to_bytes(size, "big")) + end)
    return _lookup(keys, size, kind, _INTERVAL, sets, outside=outside)


def _between(first: bytes, last: bytes, *, outside: bool) -> bytes:
    if first == last:
        return _compare(_NEQ if outside else _EQ, first)
    if not outside:
        return _compare(_GTE, first) + _compare(_LTE, last)
    ends = (attribute(kind | NESTED, attribute(1, value)) for kind, value in ((3, first), (4, last)))
    return expression("range", attribute(1, _REGISTER_1), attribute(2, struct.pack("!I", _NEQ)), *ends)


def _lookup(keys: Sequence[bytes], size: int, kind: int, flags: int, sets: list[bytes], *, outside: bool) -> bytes:
    """Return what looks the register up in a set of *keys*, which is added to *sets*."""
    number = struct.pack("!I", next(_numbers) & 0xFFFFFFFF)
    sets.append(
        message(
            NEWSET,
            CREATE,
            text(1, "pvenetd"),
            attribute(2, _SET),
            attribute(3, struct.pack("!I", _ANONYMOUS | _CONSTANT | flags)),
            attribute(4, struct.pack("!I", kind)),
            attribute(5, struct.pack("!I", size)),
            attribute(10, number),
            attribute(9 | NESTED, attribute(1, struct.pack("!I", len(keys)))),
            attribute(13, _BIG_ENDIAN),
        )
    )
    sets.append(with_elements(NEWSETELEM, "__set%d", keys, number))
    return _looked_up(_SET, attribute(4, number), outside=outside)


def _looked_up(name: bytes, number: bytes = b"", *, outside: bool) -> bytes:
    inverted = attribute(5, struct.pack("!I", 1)) if outside else b""
    return expression("lookup", attribute(2, _REGISTER_1), attribute(1, name), number, inverted)


def _verdict(rule: Rule, chain: Chain, *, to_guest: bool) -> bytes:
    if to := decided(rule, chain, to_guest=to_guest):
        return _immediate(GOTO, to)
    match rule.verdict:
        case "accept":
            return _immediate(ACCEPT)
        case "return":
            return _immediate(RETURN)
        case "jump":
            return _immediate(JUMP, rule.target)
        case "bound":
            return _immediate(JUMP, "flows")
        case "drop":
            return _immediate(DROP)
        case "log":
            group = attribute(1, struct.pack("!H", LOG_GROUP))
            return expression("log", group, attribute(2, prefix(rule).encode() + b"\0"))
        case "learn" | "tell" | "mute" as verdict:
            return _about_leases(verdict)
        case "queue":
            span = queues(rule)
            numbers = (span.first, span.last - span.first + 1, _BYPASS)
            return expression(
                "queue", *(attribute(kind, struct.pack("!H", one)) for kind, one in enumerate(numbers, 1))
            )
        case _:
            raise Unsaid


def _about_leases(verdict: Literal["learn", "tell", "mute"]) -> bytes:
    if verdict == "learn":
        return _immediate(JUMP, "learn")
    if verdict == "mute":
        return _marked(leases.MUTED)
    return expression("log", attribute(1, struct.pack("!H", leases.GROUP)), attribute(2, leases.TOLD.encode() + b"\0"))


@lru_cache(maxsize=256)
def _immediate(code: int, chain: str = "") -> bytes:
    verdict = VerdictTo(code, chain).data()
    return expression("immediate", attribute(1, struct.pack("!I", 0)), attribute(2 | NESTED, verdict))


@lru_cache(maxsize=64)
def _meta(key: int) -> bytes:
    return expression("meta", attribute(2, struct.pack("!I", key)), attribute(1, _REGISTER_1))


@lru_cache(maxsize=64)
def _payload(base: int, offset: int, size: int, register: int = 1) -> bytes:
    numbers = ((1, register), (2, base), (3, offset), (4, size))
    return expression("payload", *(attribute(kind, struct.pack("!I", number)) for kind, number in numbers))


@lru_cache(maxsize=1024)
def _compare(operator: int, value: bytes) -> bytes:
    return expression(
        "cmp",
        attribute(1, _REGISTER_1),
        attribute(2, struct.pack("!I", operator)),
        attribute(3 | NESTED, attribute(1, value)),
    )


def _marked(bit: int) -> bytes:
    """Return what sets a bit of the packet mark."""
    set_mark = expression("meta", attribute(2, struct.pack("!I", _MARK)), attribute(3, _REGISTER_1))
    return _meta(_MARK) + _masked(struct.pack("=I", 0xFFFFFFFF ^ bit), struct.pack("=I", bit)) + set_mark


def _masked(mask: bytes, turned: bytes = b"") -> bytes:
    """Return what keeps the bits of *mask*, and turns those of *turned*."""
    return expression(
        "bitwise",
        attribute(1, _REGISTER_1),
        attribute(2, _REGISTER_1),
        attribute(3, struct.pack("!I", len(mask))),
        attribute(4 | NESTED, attribute(1, mask)),
        attribute(5 | NESTED, attribute(1, turned or bytes(len(mask)))),
    )
