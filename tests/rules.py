"""Rules of the intermediate form in a few words, for tests to compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from pvenetd.firewall.ruleset import (
    ARP,
    IP,
    IP6,
    QINQ,
    RARP,
    VLAN,
    Addresses,
    IcmpType,
    Limit,
    Log,
    Piece,
    Rule,
    SetRef,
    Span,
    TcpFlags,
)

_KINDS = {IP: "ip", IP6: "ip6", ARP: "arp", RARP: "rarp", VLAN: "vlan", QINQ: "qinq"}


def words(rule: Rule) -> str:
    """Return a rule as ``origin: verdict field=value …``, without the fields that say nothing."""
    said = [
        f"{one.name}={_value(value)}"
        for one in fields(rule)
        if one.name not in ("verdict", "origin", "target") and (value := getattr(rule, one.name)) != one.default
        if one.default is not MISSING
    ]
    verdict = f"{rule.verdict} {rule.target}" if rule.target else rule.verdict
    return f"{rule.origin}: {' '.join([verdict, *said])}"


def chain(piece: Piece | None, name: str, table: str = "") -> list[str]:
    """Return the rules of a chain, in words."""
    assert piece
    return [words(rule) for one in piece.chains if one.name == name and table in ("", one.table) for rule in one.rules]


def _value(value: object) -> str:
    match value:
        case Addresses():
            return ",".join(_networks(value))
        case SetRef():
            return f"@{value.name}-v{value.version}"
        case Span():
            return str(value.first) if value.first == value.last else f"{value.first}-{value.last}"
        case IcmpType():
            return str(value.type) if value.code is None else f"{value.type}/{value.code}"
        case Limit():
            each = " each" if value.per_source else ""
            return f"<{'over ' if value.over else ''}{value.rate}/{value.per} burst {value.burst}{each}>"
        case Log():
            return f"<{value.vmid} {value.level} {value.way} {value.what}>"
        case TcpFlags():
            return f"{value.set:#x}/{value.mask:#x}"
        case tuple():
            return ",".join(_KINDS.get(one, str(one)) if isinstance(one, int) else _value(one) for one in value)
    return str(value)


def _networks(side: Addresses) -> Iterator[str]:
    for span in side.spans:
        make: type[IPv4Address | IPv6Address] = IPv4Address if side.version == 4 else IPv6Address
        yield from (str(net) for net in summarize_address_range(make(span.first), make(span.last)))  # type: ignore[type-var]
