"""The intermediate form every backend renders and the simulator walks: pieces, chains, rules.

A `Rule` is one flat record: a field that says nothing matches everything, and all that do
must match.  What only one backend needs (hooks of bridges, marks, maps) is not in here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal[
    "accept",
    "drop",
    "reject",
    "return",
    "jump",
    "log",
    "queue",
    "helper",
    "masquerade",
    "snat",
    "dnat",
    "learn",
    "tell",
    "mute",
    "bound",
]
"""``log`` and ``helper`` decide nothing: the next rule is asked; ``return`` goes back to who jumped here.

Nothing is decided either by those about leases (`firewall.leases`): ``learn`` an address if the guest gets the packet,
``tell`` the daemon of it, ``mute`` it: nobody learns by it.  ``bound`` drops what would be one connection too many of
its sender's (`firewall.quota`); what one packet is asked, it decides nothing.
"""

ABOUT_LEASES: frozenset[Verdict] = frozenset({"learn", "tell", "mute"})
"""Verdicts that the nftables backend alone knows."""

Table = Literal["inet", "bridge", "netdev"]
"""``netdev`` has chains that answer alone (`firewall.answer`)."""
Connection = Literal["established", "related", "invalid", "new"]
"""``new`` is asked of the host's hooks alone, and of bridges that track connections themselves."""

IP, ARP, RARP, VLAN, IP6, QINQ = 0x0800, 0x0806, 0x8035, 0x8100, 0x86DD, 0x88A8
"""Ethertypes (IEEE 802 numbers)."""

ICMP, IGMP, TCP, UDP, DCCP, ICMP6, SCTP, UDPLITE = 1, 2, 6, 17, 33, 58, 132, 136
"""IP protocol numbers (IANA)."""

WITH_PORTS = frozenset({TCP, UDP, DCCP, SCTP, UDPLITE})
"""Protocols whose header begins with source and destination port."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The numbers from *first* to *last*, both included: ports, or addresses as integers."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Addresses:
    """Spans of one family (*version* 4 or 6), sorted, none touching another."""

    version: int
    spans: tuple[Span, ...]

    @property
    def is_all(self) -> bool:
        """Return whether these are all addresses of the family."""
        return self.spans == (Span(0, 2 ** (32 if self.version == 4 else 128) - 1),)


@dataclass(frozen=True, slots=True)
class SetRef:
    """The addresses of one family of a set that stands beside the chains, a `NamedSet`."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class NamedSet:
    """Addresses that several pieces ask for, of one family; exclusions (``!``) are taken out of *spans* already."""

    name: str
    """Of the cluster's set ``servers``: ``dc-servers``."""
    version: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """So many packets a time, with *burst* at once (nft(8), "LIMIT STATEMENT")."""

    rate: int
    per: Literal["second", "minute", "hour", "day"]
    burst: int
    per_source: bool = False
    """Counted for each source on its own: an IPv4 address, an IPv6 network of 64 bits."""
    over: bool = False
    """Matches what is more than that, not what is within."""


@dataclass(frozen=True, slots=True)
class Log:
    """What a log line says beside the packet: as Proxmox's, ``VMID LEVEL CHAIN TIME WHAT: …``."""

    vmid: int
    """0 for the host."""
    level: int
    """0 (emerg) to 7 (debug), as syslog(3) has them."""
    way: Literal["in", "out", "forward"]
    what: str
    """``policy DROP``, ``REJECT``, …"""


@dataclass(frozen=True, slots=True)
class Translation:
    """What an address is translated to: one or one of a range, and ports where they change too.

    As many *ports* as the rule matches are theirs in order, the first for the first; several for another number
    are any of them.
    """

    version: int
    address: Span
    ports: Span | None = None


@dataclass(frozen=True, slots=True)
class TcpFlags:
    """Matches where, of the flags in *mask*, exactly those in *set* are set (RFC 9293, 3.1; FIN is 1, SYN 2, …)."""

    mask: int
    set: int


@dataclass(frozen=True, slots=True)
class IcmpType:
    """An ICMP or ICMPv6 type, with a code where only one is meant."""

    type: int
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do with a packet that matches every field that is set."""

    verdict: Verdict
    ethertypes: tuple[int, ...] = ()
    iif: str = ""
    oif: str = ""
    protocol: int | None = None
    source: Addresses | SetRef | None = None
    dest: Addresses | SetRef | None = None
    not_source: Addresses | SetRef | None = None
    """Matches packets of that family alone, from elsewhere."""
    not_dest: Addresses | SetRef | None = None
    sport: tuple[Span, ...] = ()
    dport: tuple[Span, ...] = ()
    icmp: tuple[IcmpType, ...] = ()
    fragment: bool = False
    """Matches a part of an IP packet but the first, of the one family in *ethertypes*: it has no ports."""
    state: tuple[Connection, ...] = ()
    not_mac: str = ""
    """Matches when the frame's source address is another than this."""
    not_arp_mac: str = ""
    """Matches an ARP packet whose sender's hardware address is another than this."""
    not_arp_source: Addresses | None = None
    """Matches an ARP packet for IPv4 whose sender's protocol address is another than these."""
    not_nd_target: Addresses | None = None
    """Matches a neighbour advertisement (ICMPv6 type 136) about another address than these."""
    not_client_mac: str = ""
    """Matches a request of a DHCP client (chaddr) with another hardware address than this; IPv4."""
    direct: bool = False
    """Matches, of what `not_client_mac` matches, what no relay says that it passes on (giaddr)."""
    not_link_mac: str = ""
    """Matches neighbour discovery (*icmp*: one type) whose first option is another link-layer address than this."""
    unless_learnt: bool = False
    """Matches, of what `not_source`, `not_arp_source` or `not_nd_target` match, what no lease to the sender covers."""
    lease_mac: str = ""
    """Matches a DHCP server's answer to the client with this address: that it names, over IPv6 the frame's."""
    to_host: bool = False
    """Matches a packet to one of the host's own addresses, whichever link has it."""
    routed: bool = False
    """Matches a packet that does not go on by the link it came in at, as one does that a bridge only passes on."""
    translated: bool = False
    """Matches a packet of a connection whose destination a rule with the verdict ``dnat`` has changed."""
    tcp_flags: TcpFlags | None = None
    smurf: bool = False
    """Matches a packet whose source is a broadcast or multicast address."""
    limit: Limit | None = None
    log: Log | None = None
    """Of the verdict ``log``."""
    to: Translation | None = None
    """Of the verdicts ``snat`` and ``dnat``."""
    queue: Span | None = None
    """Of the verdict ``queue``: NFQUEUE numbers; without anybody who listens, accepted."""
    helper: str = ""
    """Of the verdict ``helper``: the conntrack helper of the connection that begins here, ``ftp``."""
    target: str = ""
    """The chain to jump to, and to come back from where it does not decide."""
    origin: str = ""
    """``FILE:LINE`` of a user's rule, or the word that names ours: ``policy_in``, ``macfilter``."""

    @property
    def note(self) -> str:
        """Return its origin as its comment has it: the kernel keeps 128 bytes."""
        return self.origin[-120:]

    @property
    def all_ethertypes(self) -> tuple[int, ...]:
        """Return the ethertypes it is about: those that are said, or what its addresses or its ICMP speak of."""
        if self.ethertypes:
            return self.ethertypes
        if side := self.source or self.dest or self.not_source or self.not_dest:
            return (IP,) if side.version == 4 else (IP6,)
        if self.not_arp_source:
            return (ARP,)
        if self.not_nd_target:
            return (IP6,)
        return {ICMP: (IP,), ICMP6: (IP6,)}.get(self.protocol or 0, ())

    @property
    def is_raw(self) -> bool:
        """Return whether it asks for what iptables has no words for, of IP's packets."""
        return bool(self.not_nd_target or self.not_client_mac or self.not_link_mac)

    @property
    def all_protocol(self) -> int | None:
        """Return the protocol it is about: the one that is said, or what its flags or its target speak of."""
        return ICMP6 if self.not_nd_target else TCP if self.tcp_flags else self.protocol


@dataclass(frozen=True, slots=True)
class Hook:
    """Where the kernel enters a chain (nft(8), "CHAINS").

    ``inet`` is about what the host itself gets, sends and routes: a packet that a bridge forwards does not enter
    ``forward``.  Chains of ``bridge`` with a hook set helpers and watch for floods; where bridges do not track
    connections, br_netfilter has ``inet`` do so for them, and ``helper`` says nothing in ``bridge``.
    """

    type: Literal["filter", "nat"]
    hook: Literal["prerouting", "input", "forward", "output", "postrouting"]
    priority: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in order; the first that matches decides, past the last the packet goes on.

    In ``bridge`` a name that ends in ``-in`` is of what is sent to guests, their own or shared, one in ``-out`` of
    what they send: a refusal takes another way in each.
    """

    table: Table
    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """A guest's port on its bridge, and the chains its frames go to and come through; without them, it is open."""

    name: str
    into: str = ""
    """The chain of what is sent to the guest."""
    out: str = ""
    """The chain of what the guest sends."""
    mac: str = ""
    """The guest's MAC address there, where it is known: who sends to it can be answered."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What is loaded and replaced as one.

    ``sets`` and ``groups`` (the cluster's, which the others refer to), ``host``, ``nat``, one bridge's rules about
    what is forwarded in it (``bridge:vmbr0``), or one guest, ``vm:100``.  What a chain's name begins with tells
    its piece: ``host-``, ``nat-``, ``vm-100-``, ``bridge-``, and ``group-`` or ``screen-`` of ``groups``.
    """

    name: str
    chains: tuple[Chain, ...]
    ports: tuple[Port, ...] = ()
    sets: tuple[NamedSet, ...] = ()
    """Of ``sets`` alone; every table has them."""
    bridge: str = ""
    """The bridge whose forwarded frames go through the piece's chains."""


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All pieces, in the order they are loaded."""

    pieces: tuple[Piece, ...] = ()


def merge(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """Return *spans* sorted, with overlapping and touching ones joined: kernels refuse overlaps in a set."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.first <= joined[-1].last + 1:
            joined[-1] = Span(joined[-1].first, max(span.last, joined[-1].last))
        else:
            joined.append(span)
    return tuple(joined)
