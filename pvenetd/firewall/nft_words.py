"""One rule of the intermediate form → lines of nft's language.

Sources: nft(8); linux/netfilter/nf_log.h for the length of a log's prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from pvenetd.firewall import leases, nft_nat
from pvenetd.firewall.answer import ANSWER
from pvenetd.firewall.nft_base import ESTABLISHED, INVALID, Design
from pvenetd.firewall.ruleset import (
    ICMP,
    IP,
    IP6,
    Addresses,
    Chain,
    IcmpType,
    Rule,
    SetRef,
    Span,
    TcpFlags,
)

LOG_GROUP = 0
"""Of NFLOG."""

_PREFIX = 127
"""Bytes of a log's prefix (NF_LOG_PREFIXLEN less its end)."""
_ETHERTYPES = {0x0800: "ip", 0x0806: "arp", 0x8100: "8021q", 0x86DD: "ip6", 0x88A8: "8021ad"}
_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr")
_OWN = {"learn": "learn", "bound": "flows"}
"""Chains of the base that are asked by a verdict of their own."""
_RULE = re.compile(r"^\t\t(?!(?:type|typeof|flags|size|timeout|l3proto|elements) |[\t ]).*", re.MULTILINE)
"""A line of a block that is none of its attributes."""
_SAFE = re.compile(r"[\w.:@ /-]*")
"""What may stand between quotes in nft's language: nothing that ends a string, nothing that is a wildcard."""


def spelled(chain: Chain, design: Design, *, to_guest: bool = False) -> Iterator[str]:
    """Yield the lines of a chain's rules; none of a rule that nothing can match, or that says nothing in its table."""
    for place, rule in enumerate(chain.rules):
        for one in said(rule, chain, design):
            yield _line(one, chain, design, place, to_guest=to_guest)


def rules(text: str) -> list[str]:
    """Return the lines of *text* that are rules, in our spelling or nft's."""
    return _RULE.findall(text)


def said(rule: Rule, chain: Chain, design: Design) -> Iterator[Rule]:
    """Yield *rule* as the kernel is told: for each family where sources are counted, not at all where it is empty."""
    helps_nobody = rule.verdict == "helper" and chain.table == "bridge" and design == "mark"
    if helps_nobody or _is_empty(rule) or _is_elsewhere(rule, chain):
        return
    if rule.limit and rule.limit.per_source and not {IP, IP6} & set(rule.all_ethertypes):
        yield from (replace(rule, ethertypes=(kind,)) for kind in (IP, IP6))
    else:
        yield rule


def _is_elsewhere(rule: Rule, chain: Chain) -> bool:
    """Return whether it is about frames that IP's hooks never see."""
    if chain.table != "inet":
        return False
    kinds = set(rule.all_ethertypes)
    return bool(kinds) and not kinds & {IP, IP6}


def _is_empty(rule: Rule) -> bool:
    """Return whether nothing can match, as nft has no words for: an empty list, or all but everything."""
    for side in (rule.source, rule.dest):
        if isinstance(side, Addresses) and not side.spans:
            return True
    for side in (rule.not_source, rule.not_dest, rule.not_arp_source, rule.not_nd_target):
        if isinstance(side, Addresses) and side.is_all:
            return True
    return False


def meter(rule: Rule, chain: Chain, place: int) -> str:
    """Return the name of the set in which a rule's sources are counted; *place* is the rule's in its chain."""
    return f"limit-{chain.name}-{place}-v{4 if IP in rule.all_ethertypes else 6}"


def helper(rule: Rule) -> str:
    """Return the name of the object that stands for a connection tracking helper of one protocol."""
    return f"{rule.helper}-{rule.protocol}"


def _line(rule: Rule, chain: Chain, design: Design, place: int, *, to_guest: bool) -> str:
    words = [
        *_frame(rule, chain),
        *_packet(rule),
        *nft_nat.matches(rule),
        *_state(rule, chain, design),
        *_limit(rule, chain, place),
        *(("counter",) if counts(rule, chain) else ()),
        _verdict(rule, chain, to_guest=to_guest),
    ]
    return " ".join(words) + (f' comment "{quotable(rule.note)}"' if rule.origin else "")


def counts(rule: Rule, chain: Chain) -> bool:
    """Return whether a rule counts: not where another does for it, nor where one of ours only leads on to others."""
    elsewhere = chain.name.startswith(ANSWER) and rule.verdict not in ("log", "reject")
    return not elsewhere and (not rule.target or rule.origin != rule.target)


def _frame(rule: Rule, chain: Chain) -> Iterator[str]:
    if rule.iif:
        yield f'iifname "{quotable(rule.iif)}"'
    if rule.oif:
        yield f'oifname "{quotable(rule.oif)}"'
    # Said by us, for nft's own guess (ether type) reads the VLAN tag's type off a tagged frame.
    if types := rule.all_ethertypes:
        names = [_ETHERTYPES.get(kind, f"{kind:#06x}") for kind in types]
        yield f"meta protocol {_set(names)}" if chain.table != "inet" else f"meta nfproto {_set(_nfproto(names))}"
    if rule.not_mac:
        yield f"ether saddr != {quotable(rule.not_mac)}"
    if rule.not_arp_mac:
        yield f"arp saddr ether != {quotable(rule.not_arp_mac)}"
    if rule.not_arp_source:
        yield "arp ptype 0x0800"
        yield from _outside("arp saddr ip", rule.not_arp_source)
        if rule.unless_learnt:
            yield unleased(4, "@nh,112,32")
    if rule.smurf:
        yield "fib saddr type { broadcast, multicast }"


def _nfproto(names: list[str]) -> list[str]:
    return [{"ip": "ipv4", "ip6": "ipv6"}[name] for name in names]


def _packet(rule: Rule) -> Iterator[str]:
    if (protocol := rule.all_protocol) is not None:
        yield f"meta l4proto {protocol}"
    yield from _ends(rule)
    if rule.fragment:
        yield "ip frag-off & 0x1fff != 0" if IP in rule.ethertypes else "frag frag-off != 0"
    for ports, word in ((rule.sport, "sport"), (rule.dport, "dport")):
        if ports and ports != (Span(0, 65535),):
            yield f"th {word} {_set(_range(span) for span in ports)}"
    if rule.tcp_flags:
        yield _tcp_flags(rule.tcp_flags)
    if rule.icmp:
        yield _icmp("icmp" if rule.protocol == ICMP else "icmpv6", rule.icmp)
    yield from _told(rule)


def _told(rule: Rule) -> Iterator[str]:
    """Yield what matches by what a packet says beside its headers."""
    if rule.not_nd_target:
        yield "icmpv6 type 136"
        yield from (f"@th,64,128 != {_number(span)}" for span in rule.not_nd_target.spans)
        if rule.unless_learnt:
            yield unleased(6, "@th,64,128")
    if rule.lease_mac:
        yield from _answer(rule)
    if rule.not_client_mac:
        yield "@th,64,8 1"
        if rule.direct:
            yield "@th,256,32 0"
        yield f"@th,288,48 != {_bits(rule.not_client_mac)}"
    if rule.not_link_mac:
        at, kind = link_option(rule)
        yield f"@th,{8 * at},16 {256 * kind + 1:#06x} @th,{8 * at + 16},48 != {_bits(rule.not_link_mac)}"


def _ends(rule: Rule) -> Iterator[str]:
    for side, word in ((rule.source, "saddr"), (rule.dest, "daddr")):
        if side and (found := networks(side)):
            yield f"{family(side.version)} {word} {_set(found)}"
    for side, word in ((rule.not_source, "saddr"), (rule.not_dest, "daddr")):
        if side:
            yield from _outside(f"{family(side.version)} {word}", side)
    if rule.not_source and rule.unless_learnt:
        yield unleased(rule.not_source.version, "@nh,96,32" if rule.not_source.version == 4 else "@nh,64,128")


def unleased(version: int, field: str) -> str:
    """Return what matches where an address was not leased to who sends it: in bits, as the kernel fills the set."""
    return f"iifname . @ll,48,48 . {field} != @{leases.SETS[version]}"


def _answer(rule: Rule) -> Iterator[str]:
    """Yield what matches an answer to one client that is to be believed."""
    mac = quotable(rule.lease_mac)
    yield f"@th,288,48 {_bits(mac)}" if IP in rule.ethertypes else f"ether daddr {mac}"
    yield f"meta mark & {leases.MUTED:#010x} == 0"


def _bits(mac: str) -> str:
    return f"0x{quotable(mac).replace(':', '')}"


def link_option(rule: Rule) -> tuple[int, int]:
    """Return where the first option of neighbour discovery stands, in bytes, and the one that names a link's address.

    Source: RFC 4861, 4.1, 4.3, 4.4 and 4.6.1.
    """
    return _OPTION[rule.icmp[0].type]


_OPTION = {133: (8, 1), 135: (24, 1), 136: (24, 2)}
"""ICMPv6 type → bytes of its header, with a target where it has one; 1 is the source's address, 2 the target's."""


def _number(span: Span) -> str:
    """Return an address or a range of a target, for which nft 1.0.6 has no word yet."""
    return f"{span.first:#034x}" if span.first == span.last else f"{span.first:#034x}-{span.last:#034x}"


def _outside(what: str, side: Addresses | SetRef) -> Iterator[str]:
    """Yield what matches addresses other than these; everything is outside of none."""
    if isinstance(side, SetRef) or side.spans:
        yield f"{what} != {_set(networks(side))}"


def _tcp_flags(flags: TcpFlags) -> str:
    names = [
        " | ".join(name for bit, name in enumerate(_FLAGS) if number >> bit & 1) for number in (flags.mask, flags.set)
    ]
    return f"tcp flags & ({names[0]}) == {names[1] or '0x0'}"


def _icmp(name: str, types: tuple[IcmpType, ...]) -> str:
    if all(one.code is None for one in types):
        return f"{name} type {_set(str(number) for number in sorted(one.type for one in types))}"
    if len(types) == 1:
        return f"{name} type {types[0].type} {name} code {types[0].code}"
    whole = {one.type for one in types if one.code is None}
    pairs = [f"{kind} . 0-255" for kind in sorted(whole)]
    pairs += [f"{one.type} . {one.code}" for one in types if one.type not in whole]
    return f"{name} type . {name} code {{ {', '.join(pairs)} }}"


def family(version: int) -> str:
    """Return what nft calls the addresses of a family."""
    return "ip" if version == 4 else "ip6"


def networks(side: Addresses | SetRef) -> list[str]:
    """Return a set's name, or CIDRs and ranges; nothing for all there are, which the ethertype says already."""
    if isinstance(side, SetRef):
        return [f"@{set_name(side.name, side.version)}"]
    if side.is_all:
        return []
    return [network(span, side.version) for span in side.spans]


def set_name(name: str, version: int) -> str:
    """Return what a set's addresses of one family are called in the kernel."""
    return f"{name}-v{version}"


def network(span: Span, version: int) -> str:
    """Return an address, a network or a range."""
    first: IPv4Address | IPv6Address
    last: IPv4Address | IPv6Address
    make = IPv4Address if version == 4 else IPv6Address
    first, last = make(span.first), make(span.last)
    if first == last:
        return str(first)
    nets = list(summarize_address_range(first, last))
    return str(nets[0]) if len(nets) == 1 else f"{first}-{last}"


def _range(span: Span) -> str:
    return str(span.first) if span.first == span.last else f"{span.first}-{span.last}"


def _set(items: Iterable[str]) -> str:
    found = list(items)
    return found[0] if len(found) == 1 else f"{{ {', '.join(found)} }}"


def _state(rule: Rule, chain: Chain, design: Design) -> Iterator[str]:
    if rule.state and (chain.table == "inet" or design == "ct"):
        yield f"ct state {','.join(rule.state)}"
    elif rule.state:
        yield f"meta mark & {state_bits(rule):#010x} != 0"


def state_bits(rule: Rule) -> int:
    """Return the bits of the mark that tell of a connection's state where bridges do not track connections."""
    known = INVALID if "invalid" in rule.state else 0
    return known | (ESTABLISHED if {"established", "related"} & set(rule.state) else 0)


def _limit(rule: Rule, chain: Chain, place: int) -> Iterator[str]:
    if not (limit := rule.limit):
        return
    words = f"limit rate {'over ' if limit.over else ''}{limit.rate}/{limit.per} burst {limit.burst} packets"
    if not limit.per_source:
        yield words
        return
    source = "ip saddr" if IP in rule.all_ethertypes else "ip6 saddr & ffff:ffff:ffff:ffff::"
    yield f"update @{meter(rule, chain, place)} {{ {source} {words} }}"


def _verdict(rule: Rule, chain: Chain, *, to_guest: bool) -> str:
    if to := decided(rule, chain, to_guest=to_guest):
        return f"goto {to}"
    match rule.verdict:
        case "jump":
            return f"jump {rule.target}"
        case "log":
            return f'log prefix "{quotable(prefix(rule))}" group {LOG_GROUP}'
        case "queue":
            return f"queue flags bypass to {_range(queues(rule))}"
        case "learn" | "bound":
            return f"jump {_OWN[rule.verdict]}"
        case "mute":
            return f"meta mark set meta mark | {leases.MUTED:#010x}"
        case "tell":
            return f'log prefix "{leases.TOLD}" group {leases.GROUP}'
        case "helper":
            return f'ct helper set "{quotable(helper(rule))}"'
    return nft_nat.verdict(rule)


def decided(rule: Rule, chain: Chain, *, to_guest: bool) -> str:
    """Return the chain of the base that does what *rule* says, nothing where the kernel has a word for it."""
    if rule.verdict == "accept" and chain.table == "netdev":
        return "pass"
    if rule.verdict != "reject":
        return ""
    return refusal(to_guest=to_guest) if chain.table == "bridge" else "refuse"


def refusal(*, to_guest: bool) -> str:
    """Return the chain to which a bridge's chain sends a frame that is to be refused.

    Where bridges track connections, they answer only where a frame comes in (`firewall.answer`); where it leaves for
    a guest's port it is only dropped.
    """
    return "refuse-in" if to_guest else "refuse-out"


def prefix(rule: Rule, size: int = _PREFIX) -> str:
    """Return what a log line begins with: ``:100:6:in: DROP: 100.fw:3``; of an origin too long for *size*, its end."""
    if not (log := rule.log):
        raise ValueError(f"{rule.origin}: a log rule says what of")
    head = f":{log.vmid}:{log.level}:{log.way}: {log.what}: "[:size]
    room = size - len(head)
    return head + (rule.origin[-room:] if room else "")


def queues(rule: Rule) -> Span:
    """Return the numbers of the queues that a rule's packets go to."""
    return rule.queue or Span(0, 0)


def is_quotable(text: str) -> bool:
    """Return whether *text* can stand between quotes."""
    return _SAFE.fullmatch(text) is not None


def quotable(text: str) -> str:
    """Return *text* if it can stand between quotes, else raise `ValueError`."""
    if not is_quotable(text):
        raise ValueError(f"{text!r} cannot be written in nft's language")
    return text
