"""host.fw and the cluster's rules → the host's own chains: what it gets, sends and routes.

Source: Proxmox VE's administration guide, chapter "Firewall", "Host Specific Configuration".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pvenetd.firewall.builtin import ESTABLISHED, noises, services, udp, vital
from pvenetd.firewall.compile_cluster import screened
from pvenetd.firewall.logs import Book, Way, limit_of
from pvenetd.firewall.own import Writer, closing, file_name
from pvenetd.firewall.resolve import LOCAL_NETWORK, Names, Operand
from pvenetd.firewall.ruleset import Addresses, Chain, Hook, Piece, Rule
from pvenetd.firewall.screen import invalid, synflood
from pvenetd.firewall.syntax import Config
from pvenetd.firewall.tracking import connection_logs, helper_chains
from pvenetd.firewall.values import Ref, Wrong

MANAGEMENT = Ref("set", "dc", "management")
"""The cluster's set of those who manage the hosts, beside the local network."""

_NOISE = "host-noise"


@dataclass(frozen=True, slots=True)
class Site:
    """The host's file, and what it stands in."""

    cluster: Config
    host: Config
    names: Names
    nodes: tuple[Addresses, ...]
    """Its peers in the cluster."""

    def level(self, way: Way) -> str:
        """Return the log level of one way."""
        return self.host.option(f"log_level_{way}", "")

    def rules(self, way: Way) -> Iterator[Rule]:
        """Yield the users' rules: the host's own before the cluster's."""
        book = Book(way, limit_of(self.cluster))

        def place(iface: str) -> tuple[str, str] | None:
            device = self.names.device(iface)
            if not device:
                return None
            return ("", device) if way == "out" else (device, "")

        for config in (self.host, self.cluster):
            yield from Writer(file_name(config), self.names, book, place).rules(config.rules)

    def closing(self, way: Way, default: str) -> Iterator[Rule]:
        """Yield the end of a chain."""
        noise = "" if way == "forward" else _NOISE
        return closing(self.cluster, Book(way, limit_of(self.cluster)), default, self.level(way), noise)

    def local(self) -> tuple[Operand, ...]:
        """Return the network the host is managed from, nothing where nobody knows it."""
        try:
            return self.names.resolve(Ref("alias", "dc", LOCAL_NETWORK))
        except Wrong:
            return ()

    def managers(self) -> tuple[Operand, ...]:
        """Return who manages the host."""
        known = MANAGEMENT.name in self.cluster.sets
        return (*(self.names.resolve(MANAGEMENT) if known else ()), *self.local())


def host_piece(site: Site) -> Piece | None:
    """Return what is loaded for the host, None where there is nothing.

    Its ``enable: 0`` switches off what it gets, sends and routes itself; not what protects its guests too.
    """
    enabled = site.host.flag("enable", default=True)
    chains = (*(_chains(site) if enabled else ()), *_before(site.host))
    return Piece("host", chains) if chains else None


def _chains(site: Site) -> Iterator[Chain]:
    into = Chain("inet", "host-in", tuple(_into(site)), Hook("filter", "input", "filter"))
    out = Chain("inet", "host-out", tuple(_out(site)), Hook("filter", "output", "filter"))
    targets = {rule.target for chain in (into, out) for rule in chain.rules}
    yield from (chain for chain in noises("inet", _NOISE) if chain.name in targets)
    yield from (into, out)
    routed = (*site.rules("forward"), *site.closing("forward", "ACCEPT"))
    if any(rule.origin != "policy_forward" or rule.verdict != "accept" for rule in routed):
        yield Chain("inet", "host-forward", (*_known(site), *routed), Hook("filter", "forward", "filter"))


def _into(site: Site) -> Iterator[Rule]:
    yield Rule("accept", iif="lo", origin="loopback")
    yield from vital(ndp=site.host.flag("ndp", default=True))
    yield invalid()
    yield from screened("inet", site.cluster, site.host)
    yield from udp(source=67, dest=68, source6=547, dest6=546, origin="dhcp")
    yield from site.rules("in")
    yield from services("in", site.managers(), site.nodes)
    yield from site.closing("in", "DROP")


def _out(site: Site) -> Iterator[Rule]:
    yield Rule("accept", oif="lo", origin="loopback")
    yield from vital(ndp=site.host.flag("ndp", default=True))
    yield from udp(source=68, dest=67, source6=546, dest6=547, origin="dhcp")
    yield from site.rules("out")
    yield from services("out", site.local(), site.nodes)
    yield from site.closing("out", "ACCEPT")


def _known(site: Site) -> Iterator[Rule]:
    yield ESTABLISHED
    if not site.host.flag("nf_conntrack_allow_invalid", default=False):
        yield invalid()


def _before(host: Config) -> Iterable[Chain]:
    """Yield what stands before all chains, and concerns guests as well."""
    if host.flag("protection_synflood", default=False):
        rate, burst = (int(host.option(f"protection_synflood_{name}", default)) for name, default in _FLOOD)
        yield from synflood(rate, burst)
    yield from helper_chains(host)
    yield from connection_logs(host)


_FLOOD = (("rate", "200"), ("burst", "1000"))
"""Connections a second, and at once, that one source may begin."""
