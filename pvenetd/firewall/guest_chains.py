"""The chains of a guest that is filtered: what it gets, what it sends.

Source: Proxmox VE's administration guide, chapter "Firewall", "VM/Container configuration".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import IPv4Interface, IPv6Interface
from typing import Protocol

from pvenetd.firewall.builtin import ESTABLISHED, ROUTER_ADVERTISEMENT, dhcp_servers
from pvenetd.firewall.claims import LINK_LOCAL, ip_filter, link_local, mac_filter
from pvenetd.firewall.ethertypes import ethertypes
from pvenetd.firewall.leases import SERVERS, learning, let_in, muting, telling
from pvenetd.firewall.logs import Book, Way, limit_of
from pvenetd.firewall.options import queues
from pvenetd.firewall.own import Writer, closing, file_name, group_chain
from pvenetd.firewall.quota import BOUND, NAME
from pvenetd.firewall.resolve import Names
from pvenetd.firewall.ruleset import ARP, ICMP6, IP, IP6, UDP, Addresses, Chain, Connection, Rule, Span
from pvenetd.firewall.syntax import Config, Entry, IpSet


class Card(Protocol):
    """A guest's NIC."""

    @property
    def port(self) -> str:
        """Return the name of its port."""

    @property
    def mac(self) -> str:
        """Return its MAC."""

    @property
    def addresses(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """Return what its configuration gives it."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """A guest that is filtered, and what its rules refer to."""

    vmid: int
    config: Config
    nics: Mapping[str, Card]
    """Those that are filtered, by the names rules have for them: ``net0``."""
    names: Names
    cluster: Config

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a 0/1 option as a bool."""
        return self.config.flag(name, default=default)

    def is_ip_filtered(self, name: str) -> bool:
        """Return whether what the NIC *name* sends is held against its addresses."""
        return self.learns() or self.flag("ipfilter", default=False) or _ip_set(name) in self.config.sets

    def learns(self) -> bool:
        """Return whether addresses that are leased to a NIC are its own."""
        return self.flag("ipfilter_learn", default=False)

    def level(self, way: Way) -> str:
        """Return the log level of one way."""
        return self.config.option(f"log_level_{way}", "")

    def book(self, way: Way) -> Book:
        """Return where one way's chain is written down."""
        return Book(way, limit_of(self.cluster), self.vmid)

    def is_below_ip(self) -> bool:
        """Return whether ARP and other protocols beside IP are filtered, which Proxmox VE leaves to ebtables."""
        return self.cluster.flag("ebtables", default=True)

    def queue(self) -> Span | None:
        """Return the NFQUEUE numbers that what is let in goes to, None where it goes to the guest."""
        if not self.flag("ips", default=False):
            return None
        return queues(self.config.option("ips_queues", "0"))

    def protocols(self) -> tuple[int, ...]:
        """Return the ethertypes it may send beside IP's, nothing where it may send any."""
        said = self.config.option("layer2_protocols", "") if self.is_below_ip() else ""
        return tuple(sorted(ethertypes(said))) if said else ()


def into(guest: Filtered) -> Iterator[Rule]:
    """Yield what is decided about a frame to the guest.

    What belongs to a connection is asked for first: by far the most do, and each rule before would cost them.
    """
    queue, book = guest.queue(), guest.book("in")
    yield from _learning(guest, ESTABLISHED.state)
    yield Rule("queue", state=ESTABLISHED.state, queue=queue, origin="ips") if queue else ESTABLISHED
    yield _jump("any-in")
    yield from _listed(guest)
    yield _jump("screen-in")
    if dhcp := guest.flag("dhcp", default=True):
        yield from _learning(guest)
        yield _jump("dhcp-in")
    if guest.flag("ndp", default=True):
        yield _jump("ndp-in")
    own = (
        *_writer(guest, book).rules(guest.config.rules),
        *closing(guest.config, book, "DROP", guest.level("in"), "noise"),
    )
    yield from _queued(own if dhcp else _learning_by(guest, own), queue)


def _learning(guest: Filtered, state: tuple[Connection, ...] = ()) -> Iterator[Rule]:
    """Yield what learns the addresses that are leased to a guest by what is let in next, if it is to."""
    for nic in guest.nics.values() if guest.learns() else ():
        yield from learning(nic.port, nic.mac.lower(), state)


def _learning_by(guest: Filtered, own: Iterable[Rule]) -> Iterator[Rule]:
    """Yield the guest's *own* rules; who lets servers' answers in chooses whom to believe."""
    for rule in own:
        for nic in guest.nics.values() if guest.learns() else ():
            yield from let_in(rule, nic.port, nic.mac.lower())
        yield rule


def out(guest: Filtered, received: Collection[Rule]) -> Iterator[Rule]:
    """Yield what is decided about a frame from the guest, whose other chain has *received*.

    Who it says it is comes first: established connections and DHCP have to pass that too.  What it tells its
    neighbours belongs to no connection, so that is asked where connections are through.
    """
    book, level = guest.book("out"), guest.level("out")
    served = _served(received)
    claims = [rule for rule in _claims(guest, relays=67 in served) if guest.is_below_ip() or rule.ethertypes != (ARP,)]
    told = [rule for rule in claims if rule.not_arp_mac or rule.not_arp_source or rule.protocol == ICMP6]
    for rule in claims:
        if rule not in told:
            yield from book.told(rule, level, f"{rule.origin} DROP")
    if any(map(guest.is_ip_filtered, guest.nics)):
        yield _jump("unspecified")
    if others := [port for port in SERVERS if port not in served]:
        yield muting(*others)
    for nic in guest.nics.values() if guest.learns() else ():
        yield from telling(nic.port)
    yield ESTABLISHED
    for rule in told:
        yield from book.told(rule, level, f"{rule.origin} DROP")
    yield from _bounds(guest)
    yield _jump("any-out")
    yield from _listed(guest)
    yield _jump("screen-out")
    yield from _own_services(guest, book, level)
    yield from _writer(guest, book).rules(guest.config.rules)
    if guest.config.option("policy_out", "ACCEPT") == "ACCEPT":
        for rule in dhcp_servers(served):
            yield from book.told(rule, level, "dhcp server DROP")
    yield from closing(guest.config, book, "ACCEPT", level, "noise")


def _bounds(guest: Filtered) -> Iterator[Rule]:
    """Yield what stops a connection too many, and protocols that are not listed."""
    if guest.flag(NAME, default=True):
        yield BOUND
    if guest.protocols():
        yield Rule("jump", target=_protocols(guest), origin="layer2_protocols")


def _own_services(guest: Filtered, book: Book, level: str) -> Iterator[Rule]:
    """Yield what is let out before the user's rules are asked, and router advertisements, which others obey."""
    ndp = guest.flag("ndp", default=True)
    if guest.flag("dhcp", default=True):
        yield _jump("dhcp-out")
    if not guest.flag("radv", default=False):
        yield from book.told(_ADVERTISEMENT, level, "radv DROP")
    elif ndp:
        yield replace(_ADVERTISEMENT, verdict="accept")
    if ndp:
        yield _jump("ndp-out")


_ADVERTISEMENT = Rule("drop", protocol=ICMP6, icmp=(ROUTER_ADVERTISEMENT,), origin="radv")


def protocols(guest: Filtered) -> Iterator[Chain]:
    """Yield the chain that stops what is neither IP nor in ``layer2_protocols``."""
    if listed := guest.protocols():
        kinds = tuple(sorted({IP, IP6, *listed}))
        stop = Rule("drop", origin="layer2_protocols")
        rules = guest.book("out").told(stop, guest.level("out"), "layer2_protocols DROP")
        yield Chain("bridge", _protocols(guest), (Rule("return", ethertypes=kinds, origin="layer2_protocols"), *rules))


def queued_groups(guest: Filtered) -> Iterator[Chain]:
    """Yield the groups of a guest whose packets go to a queue: what the shared ones accept would pass it by."""
    queue, names = guest.queue(), {line.group for line in guest.config.rules if line.group and line.enabled}
    if queue:
        writer = _writer(guest, guest.book("in"), file_name(guest.cluster), guest.names.common())
        for name in sorted(names):
            rules = writer.rules(guest.names.group(name).rules)
            yield Chain("bridge", _group(guest, name, "in"), tuple(_queued(rules, queue)))


def _protocols(guest: Filtered) -> str:
    return f"vm-{guest.vmid}-protocols"


def _group(guest: Filtered, name: str, way: Way) -> str:
    return f"vm-{guest.vmid}-{group_chain(name, way)}" if way == "in" and guest.queue() else group_chain(name, way)


def _writer(guest: Filtered, book: Book, file: str = "", names: Names | None = None) -> Writer:
    def place(iface: str) -> tuple[str, str] | None:
        nic = guest.nics.get(iface)
        if not nic:  # one that isn't filtered meets no chain
            return None
        return ("", nic.port) if book.way == "in" else (nic.port, "")

    def group(name: str, way: Way) -> str:
        return _group(guest, name, way)

    return Writer(file or file_name(guest.config), names or guest.names, book, place, group)


def _queued(rules: Iterable[Rule], queue: Span | None) -> Iterator[Rule]:
    """Yield *rules*; what they accept goes to *queue* instead, if there is one."""
    for rule in rules:
        yield replace(rule, verdict="queue", queue=queue) if queue and rule.verdict == "accept" else rule


def _listed(guest: Filtered) -> Iterator[Rule]:
    """Yield what lets pass the protocols beside IP that the file names: no rule could."""
    if others := tuple(kind for kind in guest.protocols() if kind not in (IP, IP6)):
        yield Rule("accept", ethertypes=others, origin="layer2_protocols")


def _claims(guest: Filtered, *, relays: bool) -> Iterator[Rule]:
    for name, nic in guest.nics.items():
        port = nic.port if len(guest.nics) > 1 else ""  # no other port leads here
        if guest.flag("macfilter", default=True):
            yield from mac_filter(port, nic.mac.lower(), relays=relays)
        if guest.is_ip_filtered(name):
            yield from ip_filter(port, *_addresses(guest, name, nic), learns=guest.learns())


def _addresses(guest: Filtered, name: str, nic: Card) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Return the IPv4 and IPv6 addresses that a NIC may have: its set's, its configuration's, and its link's own."""
    said = guest.config.sets.get(_ip_set(name))
    own = [Addresses(one.version, (Span(int(one.ip), int(one.ip)),)) for one in nic.addresses]
    own.append(Addresses(6, (link_local(nic.mac),)))
    entries = (
        *(said.entries if said else ()),
        Entry(0, excluded=True, value=Addresses(6, (LINK_LOCAL,))),
        *(Entry(0, excluded=False, value=one) for one in own),
    )
    found = {one.version: one.spans for one in guest.names.addresses(IpSet(0, name, entries))}
    return found.get(4, ()), found.get(6, ())


def _ip_set(name: str) -> str:
    return f"ipfilter-{name}"


def _served(received: Iterable[Rule]) -> frozenset[int]:
    """Return the ports of DHCP servers that the guest's own rules let requests in to: 67, 547 for IPv6."""
    let_in = [rule for rule in received if rule.protocol == UDP and rule.verdict in ("accept", "queue")]
    spans = [span for rule in let_in for span in rule.dport]
    return frozenset(port for port in SERVERS if any(span.first <= port <= span.last for span in spans))


@cache
def _jump(chain: str) -> Rule:
    return Rule("jump", target=chain, origin=chain)
