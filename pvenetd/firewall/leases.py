"""Addresses that a DHCP server leases to a guest's NIC are its own: the kernel learns them from the answer itself.

An answer that the guest's chains let in puts (port, MAC, address) into a set, in the same moment in which it goes to
the guest: so its first packet finds the address there, whether pvenetd runs or not.  The kernel cannot read how
long the lease lasts, nor DHCPv6's options: a copy of the packet tells the daemon, who sets both right.  IPv6 can
wait that long: who has a new address asks for a second whether it is somebody else's (RFC 4862, 5.4).

What a filtered guest answers teaches nobody, unless its own rules let requests in: its packets are muted.

Sources: RFC 2131, figure 1 (BOOTP's fields), RFC 1497 (the cookie), RFC 2132, 9.6; nft(8), "PAYLOAD EXPRESSION",
"SET STATEMENT".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from pvenetd.firewall.ruleset import ABOUT_LEASES, IP, IP6, UDP, Chain, Connection, Limit, Piece, Rule, Span


@dataclass(frozen=True, slots=True)
class Element:
    """What is in one of the sets: an address, or a prefix, of a NIC."""

    port: str
    mac: str
    version: int
    span: Span

    def __str__(self) -> str:
        return f"{spelled(self.version, self.span)} to {self.mac} at {self.port}"


def spelled(version: int, span: Span) -> str:
    """Return an address or a prefix."""
    make = IPv4Address if version == 4 else IPv6Address
    size = (span.last - span.first).bit_length()
    return f"{make(span.first)}/{128 - size}" if size else str(make(span.first))


SETS = {4: "leases-v4", 6: "leases-v6"}
"""IP version → the set of (port, MAC, address) that was leased."""
GROUP = 126
"""Of NFLOG, where the daemon gets its copies."""
LEARNT, TOLD = ":learnt:", ":told:"
"""What copies begin with: of what a guest gets, of what it sends."""
UNTOLD = 86400
"""Seconds that the kernel takes a lease for as long as nobody has told how long it lasts."""
MUTED = 0x04000000
"""A bit of the packet mark: nobody learns by it."""

_MOST = 65535
"""Leases of one family."""
_PER_NIC = Limit(10, "second", 50)
_SERVER, _CLIENT = {IP: 67, IP6: 547}, {IP: 68, IP6: 546}
SERVERS = (67, 547)
"""UDP ports of DHCP servers, for IPv4 and IPv6."""
_KEY = "oifname . @th,288,48 . @th,192,32"
"""The port, and of BOOTP's fields, behind UDP's eight bytes: chaddr, yiaddr."""
_BOUND = "meta protocol ip meta l4proto 17 @th,64,24 0x020106 @th,192,32 != 0 @th,1952,32 0x63825363"
"""BOOTREPLY to an Ethernet address, with an address, and DHCP's cookie."""
_LEARNT = (
    "@th,1984,24 0x350105",  # DHCPACK is what the first option says,
    "@th,1984,16 0x3604 @th,2032,24 0x350105",  # or the second, behind the server's address
)


def learning(port: str, mac: str, state: tuple[Connection, ...] = ()) -> Iterator[Rule]:
    """Yield what has the kernel learn from servers' answers to a NIC, of connections in some *state* alone.

    It stands before what lets them in.
    """
    for kind in (IP, IP6):
        yield Rule(
            "learn",
            ethertypes=(kind,),
            oif=port,
            protocol=UDP,
            sport=_one(_SERVER[kind]),
            dport=_one(_CLIENT[kind]),
            state=state,
            lease_mac=mac,
            limit=_PER_NIC,
            origin="ipfilter_learn",
        )


def let_in(rule: Rule, port: str, mac: str) -> Iterator[Rule]:
    """Yield what learns from servers' answers to a NIC that a *rule* of its guest's own lets in."""
    if rule.verdict in ("accept", "queue") and rule.oif in ("", port) and rule.protocol in (None, UDP):
        for one in learning(port, mac, rule.state):
            kinds = rule.all_ethertypes
            is_within = _has(rule.sport, one.sport[0]) and _has(rule.dport, one.dport[0])
            if is_within and (not kinds or one.ethertypes[0] in kinds):
                yield replace(one, source=rule.source, dest=rule.dest)


def _has(ports: tuple[Span, ...], wanted: Span) -> bool:
    return not ports or any(span.first <= wanted.first <= span.last for span in ports)


def telling(port: str) -> Iterator[Rule]:
    """Yield what tells the daemon of a NIC's requests: it may give addresses back."""
    for kind in (IP, IP6):
        yield Rule(
            "tell",
            ethertypes=(kind,),
            iif=port,
            protocol=UDP,
            sport=_one(_CLIENT[kind]),
            dport=_one(_SERVER[kind]),
            limit=_PER_NIC,
            origin="ipfilter_learn",
        )


def muting(*ports: int) -> Rule:
    """Return what has nobody learn by answers from servers' *ports*."""
    clients = tuple(_CLIENT[kind] for kind in (IP, IP6) if _SERVER[kind] in ports)
    return Rule(
        "mute",
        protocol=UDP,
        sport=tuple(Span(port, port) for port in sorted(ports)),
        dport=tuple(Span(port, port) for port in sorted(clients)),
        origin="no dhcp server",
    )


def untaught(piece: Piece) -> Piece:
    """Return *piece* for a backend that learns nothing: a NIC has its static addresses alone."""

    def kept(chain: Chain) -> Chain:
        found = (rule for rule in chain.rules if rule.verdict not in ABOUT_LEASES)
        return replace(chain, rules=tuple(replace(rule, unless_learnt=False) for rule in found))

    return replace(piece, chains=tuple(map(kept, piece.chains)))


def _one(port: int) -> tuple[Span]:
    return (Span(port, port),)


MAPS = f"""\
	set {SETS[4]} {{
		typeof {_KEY}
		size {_MOST}
		flags dynamic,timeout
	}}
	set {SETS[6]} {{
		typeof oifname . @ll,48,48 . @nh,64,128
		size {_MOST}
		flags interval,timeout
	}}
"""
"""They outlive every replacement of rules.  Prefixes are delegated over IPv6 alone, so that set has intervals."""

CHAIN = (
    "\tchain learn {\n"
    + "".join(f"\t\t{_BOUND} {kind} update @{SETS[4]} {{ {_KEY} timeout {UNTOLD // 86400}d }}\n" for kind in _LEARNT)
    + f'\t\tlog prefix "{LEARNT}" group {GROUP}\n\t}}\n'
)
"""What answers that are let in are led through."""
