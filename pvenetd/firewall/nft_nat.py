"""Translation of addresses in nft's language: what a rule of a ``nat`` chain asks beside, and what it does.

Sources: nft(8), "NAT STATEMENTS" and "FIB EXPRESSIONS"; net/netfilter/nft_fib.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from pvenetd.firewall.ruleset import Rule, Span, Translation


def matches(rule: Rule) -> Iterator[str]:
    """Yield what *rule* asks of where a packet goes, and of its connection."""
    if rule.to_host:
        yield "fib daddr type local"
    if rule.routed:
        # No way to the destination by the link it came in at; none is asked for a local one.
        yield "fib daddr . iif oif missing"
    if rule.translated:
        yield "ct status dnat"


def verdict(rule: Rule) -> str:
    """Return ``dnat ip to 198.51.100.2:80`` and its like, for the verdicts that translate."""
    if rule.verdict == "masquerade" or rule.to is None:
        return rule.verdict
    return f"{rule.verdict} {'ip' if rule.to.version == 4 else 'ip6'} to {_target(rule, rule.to)}"


def _target(rule: Rule, to: Translation) -> str:
    make: type[IPv4Address] | type[IPv6Address] = IPv4Address if to.version == 4 else IPv6Address
    first, last = make(to.address.first), make(to.address.last)
    text = str(first) if first == last else f"{first}-{last}"
    if to.ports is None:
        return text
    text = f"[{text}]" if to.version == 6 else text
    if pairs := _one_by_one(rule.dport, to.ports):
        return f"{text} : th dport map {{ {', '.join(f'{port} : {other}' for port, other in pairs)} }}"
    ports = to.ports
    return f"{text}:{ports.first}" + ("" if ports.first == ports.last else f"-{ports.last}")


def _one_by_one(matched: tuple[Span, ...], ports: Span) -> list[tuple[int, int]]:
    """Return (port, port it becomes) for as many ports as there are matched ones, nothing for one or another number.

    The kernel gives a range of ports in no order, so that each has to be said.
    """
    asked = [port for span in matched for port in range(span.first, span.last + 1)]
    if len(asked) == 1 or len(asked) != ports.last - ports.first + 1:
        return []
    return list(zip(asked, range(ports.first, ports.last + 1), strict=True))
