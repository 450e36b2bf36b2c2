"""One rule of the intermediate form → rules of iptables, for one family.

What iptables can only say of one thing at a time takes several: each ICMP type, each fifteen ports.

Sources: iptables-extensions(8); net/netfilter/xt_limit.c, xt_multiport.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from itertools import product

from pvenetd.firewall.iptables_names import REJECT, chain_name, list_name, set_name
from pvenetd.firewall.iptables_parts import Family, IpSet
from pvenetd.firewall.nft_words import LOG_GROUP, prefix, queues, quotable
from pvenetd.firewall.quota import BURST, RATE
from pvenetd.firewall.ruleset import (
    ICMP,
    ICMP6,
    IP,
    IP6,
    TCP,
    UDP,
    WITH_PORTS,
    Addresses,
    IcmpType,
    Limit,
    Rule,
    SetRef,
    Span,
)

_PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}
_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
_PORTS = 15
"""Numbers that one multiport match holds; a range takes two."""
_PREFIX = 63
"""Bytes of a log's prefix (linux/netfilter/xt_NFLOG.h, less its end)."""
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_BEGUN = Limit(RATE, "second", BURST, over=True)
_FASTEST = 10000
"""Packets a second that the match ``limit`` can count, and at once."""
_ANY_TYPE = 255
"""An ICMP type that iptables takes for all of them."""
_DEVICE = re.compile(r"[\w.:@-]{1,15}", re.ASCII)


@dataclass
class Lists:
    """The sets that hold the lists of addresses that stand in the rules of *piece*."""

    piece: str
    found: dict[str, IpSet] = field(default_factory=dict)

    def name(self, side: Addresses) -> str:
        """Return the name of the set that holds *side*."""
        entries = networks(side)
        name = list_name(self.piece, side.version, " ".join(entries))
        self.found[name] = IpSet(6 if side.version == 6 else 4, name, entries)
        return name


@dataclass(frozen=True, slots=True)
class Place:
    """Where rules stand: what their interfaces are, and what their refusals and lists are called."""

    family: Family
    lists: Lists
    bridged: bool = False
    """Whether interfaces are ports of a bridge, not the host's own links."""
    port: str = ""
    """The port whose chain it is: what leads there has asked for it already."""
    meter: str = ""
    """What names the counts of sources, with the rule's number."""


def lines(rules: Iterable[Rule], place: Place) -> Iterator[str]:
    """Yield *rules* of a chain, without its name; none of a rule that nothing here can match."""
    for number, rule in enumerate(rules):
        if not _is_here(rule, place):
            continue
        note = f'-m comment --comment "{quotable(rule.note)}"' if rule.origin else ""
        told = [_head(rule, place), *_protocol(rule, place.family), [_rest(rule, place, number)]]
        for words in product(*told):
            yield " ".join(word for word in (*words, note, f"-j {_verdict(rule)}") if word)


def _is_here(rule: Rule, place: Place) -> bool:
    """Return whether IP's chains of this family can see any packet it is about.

    No fragments: connection tracking has put them together.
    """
    kind, version = (IP, 4) if place.family == 4 else (IP6, 6)
    sides = (rule.source, rule.dest, rule.not_source, rule.not_dest)
    if (kinds := rule.all_ethertypes) and kind not in kinds:
        return False
    if any(side and side.version != version for side in sides) or rule.fragment:
        return False
    if rule.not_arp_mac or rule.not_arp_source or rule.is_raw:
        return False  # `firewall.layer2` asks that
    if any(isinstance(side, Addresses) and not side.spans for side in (rule.source, rule.dest)):
        return False
    if any(isinstance(side, Addresses) and side.is_all for side in (rule.not_source, rule.not_dest)):
        return False
    if place.port and (rule.iif or rule.oif) not in ("", place.port):
        return False
    # Protocol 0 stands for all in iptables, and no packet has it.
    return rule.all_protocol != 0 and rule.protocol != (ICMP6 if place.family == 4 else ICMP)


def _head(rule: Rule, place: Place) -> list[str]:
    """Return addresses and interfaces, as the only way to say them."""
    words = [
        *_side(rule.source, "s", place),
        *_side(rule.not_source, "s", place, "! "),
        *_side(rule.dest, "d", place),
        *_side(rule.not_dest, "d", place, "! "),
    ]
    for name, letter, way in ((rule.iif, "i", "in"), (rule.oif, "o", "out")):
        if name and not place.port:
            words.append(f"-m physdev --physdev-{way} {device(name)}" if place.bridged else f"-{letter} {device(name)}")
    return [" ".join(words)]


def device(name: str) -> str:
    """Return the name of a device if it means that one alone in iptables, else raise `ValueError`."""
    if not _DEVICE.fullmatch(name):
        raise ValueError(f"{name!r} cannot be written in iptables' language")
    return name


def _side(side: Addresses | SetRef | None, letter: str, place: Place, sign: str = "") -> Iterator[str]:
    if side is None:
        return
    way = {"s": "src", "d": "dst"}[letter]
    if isinstance(side, SetRef):
        yield f"-m set {sign}--match-set {set_name(side.name, side.version)} {way}"
    elif side.is_all or not side.spans:
        return
    elif len(side.spans) == 1:
        first, last = _ends(side.spans[0], side.version)
        nets = list(summarize_address_range(first, last))
        one = f"-{letter} {nets[0]}" if len(nets) == 1 else f"--{way}-range {first}-{last}"
        yield f"{sign}{one}" if len(nets) == 1 else f"-m iprange {sign}{one}"
    else:
        yield f"-m set {sign}--match-set {place.lists.name(side)} {way}"


def _ends(span: Span, version: int) -> tuple[IPv4Address, IPv4Address] | tuple[IPv6Address, IPv6Address]:
    if version == 4:
        return IPv4Address(span.first), IPv4Address(span.last)
    return IPv6Address(span.first), IPv6Address(span.last)


def networks(side: Addresses) -> tuple[str, ...]:
    """Return CIDRs as ipset lists them; it has no word for all addresses at once, but for either half."""
    found = []
    for span in side.spans:
        for net in summarize_address_range(*_ends(span, side.version)):
            parts = [net] if net.prefixlen else list(net.subnets())
            found += [str(one.network_address if one.prefixlen == one.max_prefixlen else one) for one in parts]
    return tuple(found)


def _protocol(rule: Rule, family: Family) -> Iterator[list[str]]:
    """Yield the ways to say protocol, ports, flags, types: each list's words stand for each other."""
    number = rule.all_protocol
    if number is None:
        return
    yield [f"-p {_PROTOCOLS.get(number, str(number))}"]
    if number in (TCP, UDP) and len(rule.sport) < 2 and len(rule.dport) < 2:
        yield [_own_match(rule, _PROTOCOLS[number])]
    elif number in WITH_PORTS:
        for ports, word in ((rule.sport, "sports"), (rule.dport, "dports")):
            if ports:
                yield [f"-m multiport --{word} {some}" for some in _some_ports(ports)]
        if rule.tcp_flags:
            yield [f"-m tcp {_flags(rule)}"]
    if rule.icmp:
        yield [_icmp(one, family) for one in rule.icmp]


def _own_match(rule: Rule, name: str) -> str:
    words = [
        f"--{word} {_ports(span)}"
        for ports, word in ((rule.sport, "sport"), (rule.dport, "dport"))
        for span in ports
        if span != Span(0, 65535)
    ]
    if rule.tcp_flags:
        words.append(_flags(rule))
    return " ".join(("-m", name, *words)) if words else ""


def _some_ports(ports: tuple[Span, ...]) -> Iterator[str]:
    """Yield lists of ports, each no longer than one match takes."""
    words: list[str] = []
    room = _PORTS
    for span in ports:
        size = 1 if span.first == span.last else 2
        if size > room:
            yield ",".join(words)
            words, room = [], _PORTS
        words.append(_ports(span))
        room -= size
    yield ",".join(words)


def _ports(span: Span) -> str:
    return str(span.first) if span.first == span.last else f"{span.first}:{span.last}"


def _flags(rule: Rule) -> str:
    if not (flags := rule.tcp_flags):
        return ""
    mask, those = (
        ",".join(name for bit, name in enumerate(_FLAGS) if number >> bit & 1) for number in (flags.mask, flags.set)
    )
    return f"--tcp-flags {mask} {those or 'NONE'}"


def _icmp(one: IcmpType, family: Family) -> str:
    if family == 4 and one.type == _ANY_TYPE:
        return _last_type(one.code)
    name, option = ("icmp", "icmp-type") if family == 4 else ("icmp6", "icmpv6-type")
    return f"-m {name} --{option} {one.type}" + ("" if one.code is None else f"/{one.code}")


def _last_type(code: int | None) -> str:
    """Return what matches ICMP type 255 alone: a program that loads it, with its code, from behind the IP header."""
    load, value = (80, _ANY_TYPE) if code is None else (72, _ANY_TYPE << 8 | code)
    return f'-m bpf --bytecode "5,177 0 0 0,{load} 0 0 0,21 0 1 {value},6 0 0 1,6 0 0 0"'


def _rest(rule: Rule, place: Place, number: int) -> str:
    words = []
    if rule.not_mac:
        words.append(f"-m mac ! --mac-source {quotable(rule.not_mac)}")
    if rule.smurf:
        words.append("-m addrtype --src-type BROADCAST,MULTICAST")
    if rule.state:
        words.append(f"-m conntrack --ctstate {','.join(rule.state).upper()}")
    if rule.verdict == "bound":
        words.append("-m conntrack --ctstate NEW ! --ctstatus CONFIRMED")
        words.append(_hashed(_BEGUN, replace(place, meter=f"{place.port}-{place.family}"), number))
    if limit := rule.limit:
        words.append(_hashed(limit, place, number) if limit.per_source or limit.over else _limit(limit))
    return " ".join(words)


def _limit(limit: Limit) -> str:
    """Return the nearest that the match can count: it has room for what a day brings."""
    seconds = _SECONDS[limit.per]
    rate = max(1, min(limit.rate, _FASTEST * seconds))
    burst = max(1, min(limit.burst, _FASTEST, _SECONDS["day"] * rate // seconds))
    return f"-m limit --limit {rate}/{limit.per} --limit-burst {burst}"


def _hashed(limit: Limit, place: Place, number: int) -> str:
    mode = f" --hashlimit-mode srcip --hashlimit-srcmask {32 if place.family == 4 else 64}" if limit.per_source else ""
    return (
        f"-m hashlimit --hashlimit-{'above' if limit.over else 'upto'} {limit.rate}/{limit.per}"
        f" --hashlimit-burst {limit.burst}{mode} --hashlimit-name {place.meter}-{number}"
        " --hashlimit-htable-expire 60000"
    )


def _verdict(rule: Rule) -> str:
    match rule.verdict:
        case "jump":
            return chain_name(rule.target)
        case "reject":
            return REJECT
        case "log":
            return f'NFLOG --nflog-prefix "{quotable(prefix(rule, _PREFIX))}" --nflog-group {LOG_GROUP}'
        case "queue":
            numbers = queues(rule)
            several = f"--queue-balance {numbers.first}:{numbers.last}"
            one = f"--queue-num {numbers.first}"
            return f"NFQUEUE {one if numbers.first == numbers.last else several} --queue-bypass"
        case "bound":
            return "DROP"
        case "accept" | "drop" | "return":
            return rule.verdict.upper()
    raise ValueError(f"{rule.origin}: {rule.verdict} is not of the filter's")
