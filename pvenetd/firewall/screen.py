"""What no rule of a user's is asked about: packets that nobody sends who means well.

Sources: Proxmox VE's administration guide, chapter "Firewall", "Host Specific Configuration"; RFC 9293, 3.1
(TCP's flags), RFC 1122, 3.2.1.3 (sources that are a broadcast or a group).
"""

from __future__ import annotations

from collections.abc import Iterator

from pvenetd.firewall.ruleset import (
    IP,
    IP6,
    TCP,
    UDP,
    Addresses,
    Chain,
    Hook,
    Limit,
    Rule,
    SetRef,
    Span,
    Table,
    TcpFlags,
    Verdict,
)

BLACKLIST = "dc-blacklist"
"""The cluster's set of sources from which nothing reaches the host or a guest."""

_FIN, _SYN, _RST, _PSH, _ACK, _URG = 1, 2, 4, 8, 16, 32
OPENING = TcpFlags(_FIN | _SYN | _RST | _ACK, _SYN)
"""The first packet of a connection."""
_ALL = _FIN | _SYN | _RST | _PSH | _ACK | _URG
_IMPOSSIBLE = (
    TcpFlags(_ALL, _FIN | _PSH | _URG),
    TcpFlags(_ALL, 0),
    TcpFlags(_SYN | _RST, _SYN | _RST),
    TcpFlags(_FIN | _SYN, _FIN | _SYN),
)

GROUPS4 = Addresses(4, (Span(0xE0000000, 0xEFFFFFFF), Span(0xFFFFFFFF, 0xFFFFFFFF)))
"""IPv4's groups and the broadcast: 224.0.0.0/4 and 255.255.255.255."""
GROUPS6 = Addresses(6, (Span(0xFF << 120, (1 << 128) - 1),))
"""IPv6's groups: ff00::/8."""

_RAW = "-300"
"""Before connection tracking (linux/netfilter_ipv4.h, linux/netfilter_bridge.h); ``bridge`` has no name for it."""


def invalid() -> Rule:
    """Return what drops packets that belong to no connection and begin none."""
    return Rule("drop", ethertypes=(IP, IP6), state=("invalid",), origin="invalid")


def blacklisted() -> tuple[Rule, Rule]:
    """Return what drops all that comes from the cluster's blacklist."""
    return (
        Rule("drop", source=SetRef(BLACKLIST, 4), origin="blacklist"),
        Rule("drop", source=SetRef(BLACKLIST, 6), origin="blacklist"),
    )


def smurfs(table: Table) -> tuple[Rule, ...]:
    """Return what drops IPv4 packets whose answer would go to everybody; a bridge knows no host's own broadcasts."""
    if table == "bridge":
        return (Rule("drop", source=GROUPS4, origin="nosmurfs"),)
    return (Rule("drop", ethertypes=(IP,), smurf=True, origin="nosmurfs"),)


def tcp_flags() -> tuple[Rule, ...]:
    """Return what drops TCP packets with flags that no TCP sets, and those that begin a connection from port 0."""
    return (
        *(Rule("drop", protocol=TCP, tcp_flags=flags, origin="tcpflags") for flags in _IMPOSSIBLE),
        Rule("drop", protocol=TCP, sport=(Span(0, 0),), tcp_flags=OPENING, origin="tcpflags"),
    )


def synflood(rate: int, burst: int) -> tuple[Chain, Chain]:
    """Return what drops connections that one source begins faster than *rate* a second, *burst* at once.

    Bridges have a chain of their own, for guests' frames pass no other where bridges track connections.
    """
    limit = Limit(max(1, rate), "second", max(1, burst), per_source=True, over=True)
    rules = tuple(
        Rule("drop", ethertypes=(kind,), protocol=TCP, tcp_flags=OPENING, limit=limit, origin="protection_synflood")
        for kind in (IP, IP6)
    )
    return (
        Chain("inet", "host-synflood", rules, Hook("filter", "prerouting", _RAW)),
        Chain("bridge", "host-synflood", rules, Hook("filter", "prerouting", _RAW)),
    )


CLOSED: tuple[Verdict, ...] = ("drop", "reject")
"""Policies that stop what no rule lets through."""


def noise(policy: Verdict) -> Iterator[Rule]:
    """Yield what a policy of *policy*, drop or reject, stops without a word: broadcasts, Windows' talk, answers.

    It is not logged, and who sent it is not told, but for Windows' file sharing, whose clients wait.
    """
    yield Rule("drop", dest=GROUPS4, origin="noise")
    yield Rule("drop", dest=GROUPS6, origin="noise")
    for protocol, sport, dport in _WINDOWS:
        yield Rule(policy, protocol=protocol, sport=sport, dport=dport, origin="noise")
    yield Rule("drop", protocol=UDP, dport=(Span(1900, 1900),), origin="noise")
    yield Rule("drop", protocol=UDP, sport=(Span(53, 53),), origin="noise")
    yield Rule("return", protocol=TCP, tcp_flags=OPENING, origin="noise")
    yield Rule("drop", protocol=TCP, origin="noise")


_WINDOWS: tuple[tuple[int, tuple[Span, ...], tuple[Span, ...]], ...] = (
    (UDP, (), (Span(135, 135), Span(137, 139), Span(445, 445))),
    (UDP, (Span(137, 137),), (Span(1024, 65535),)),
    (TCP, (), (Span(135, 135), Span(139, 139), Span(445, 445))),
)
