"""Firewall files and guests' NICs → `Ruleset`: what a file says, in the order the kernel asks it.

Three switches make a guest filtered: ``enable: 1`` in cluster.fw, ``enable: 1`` in VMID.fw, and
``firewall=1`` on the NIC.  The host needs the first, and no ``enable: 0`` in host.fw.

Source: Proxmox VE's administration guide, chapter "Firewall".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import PurePath

from pvenetd.errors import ConfigError, Problem
from pvenetd.firewall.builtin import ROUTER_ADVERTISEMENT, services, udp, vital
from pvenetd.firewall.rule import Direction, RuleLine
from pvenetd.firewall.ruleset import (
    ARP,
    ICMP6,
    IP,
    IP6,
    Addresses,
    Chain,
    Hook,
    Piece,
    Port,
    Rule,
    Ruleset,
    Span,
    Verdict,
)
from pvenetd.firewall.syntax import Config
from pvenetd.firewall.values import Ref

_VERDICTS: dict[str, Verdict] = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject"}


@dataclass(frozen=True, slots=True)
class Nic:
    """What the firewall has to know of a guest's NIC."""

    port: str
    """Its port on the bridge: ``tap100i0``."""
    firewall: bool
    mac: str
    """The guest's MAC address, ``02:00:00:00:00:01``."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest's file, and its NICs by index (net0 is 0)."""

    vmid: int
    config: Config
    nics: Mapping[int, Nic]


def compile_ruleset(
    cluster: Config,
    host: Config,
    guests: Iterable[Guest] = (),
    *,
    local_network: str | IPv4Network | IPv6Network | None = None,
    cluster_nodes: Iterable[IPv4Address | IPv6Address] = (),
) -> Ruleset:
    """Return the pieces of the host and of every guest that is filtered.

    *local_network* is where the host is always managed from; *cluster_nodes* are its peers.
    Raises ConfigError when one of the files is broken: leave it out, or keep what is loaded.
    """
    if not cluster.require().flag("enable", default=False):
        return Ruleset()
    _supported(cluster)
    _supported(host)
    pieces = [compile_guest(guest) for guest in guests]
    if host.require().flag("enable", default=True):
        local = _addresses(ip_network(local_network, strict=False)) if local_network else None
        nodes = [_addresses(ip_network(node)) for node in cluster_nodes]
        pieces.insert(0, _host(cluster, host, local, nodes))
    return Ruleset(tuple(piece for piece in pieces if piece))


def compile_guest(guest: Guest) -> Piece | None:
    """Return the chains of one guest and where its ports lead to, None when it has no port (cluster.fw's switch apart).

    What is not to be filtered is named too: the guard stops who is not.
    """
    config, name = _supported(guest.config), f"vm-{guest.vmid}"
    enabled = config.flag("enable", default=False)
    nics = {f"net{index}": nic for index, nic in sorted(guest.nics.items()) if nic.firewall and enabled}
    open_ports = tuple(Port(nic.port) for nic in guest.nics.values() if not (nic.firewall and enabled))
    if not nics:
        return Piece(f"vm:{guest.vmid}", (), open_ports) if open_ports else None
    if config.flag("macfilter", default=True):
        _require_macs(config, nics)
    into = (*_into(config), *_own(config, "in", nics), _policy(config, "in"))
    out = (*_out(config, nics), *_own(config, "out", nics), _policy(config, "out"))
    return Piece(
        f"vm:{guest.vmid}",
        (Chain("bridge", f"{name}-in", into), Chain("bridge", f"{name}-out", out)),
        (*(Port(nic.port, f"{name}-in", f"{name}-out", nic.mac) for nic in nics.values()), *open_ports),
    )


def _supported(config: Config) -> Config:
    """Return *config*, or raise for what would not be done as it says."""
    config.require()
    found = [(one.line, f"IP set '{one.name}'") for one in config.sets.values() if one.name in _SPECIAL]
    found += [(one.line, f"IP set '{one.name}'") for one in config.sets.values() if one.name.startswith("ipfilter-")]
    for rule in config.rules:
        words = [side for side in (rule.source, rule.dest) if isinstance(side, Ref)]
        if rule.enabled and (words or rule.macro or rule.direction in ("group", "forward")):
            what = words[0] if words else rule.macro or rule.group or "FORWARD"
            found.append((rule.line, f"'{what}'"))
    problems = [Problem(config.path, line, "unsupported", f"{what} is not supported yet") for line, what in found]
    if problems:
        raise ConfigError(problems)
    return config.require()


_SPECIAL = ("management", "blacklist")


def _require_macs(config: Config, nics: Mapping[str, Nic]) -> None:
    """Raise where the MAC filter has nothing to compare with: without it the NIC would be open to forgery."""
    problems = [
        Problem(
            config.path, 1, "address", f"{name} has no MAC address to filter by", hint="give it one, or macfilter: 0"
        )
        for name, nic in nics.items()
        if not nic.mac
    ]
    if problems:
        raise ConfigError(problems)


def _into(config: Config) -> Iterator[Rule]:
    """Yield what is decided about a frame to the guest before the user's rules."""
    yield _jump("any-in")
    if config.flag("dhcp", default=True):
        yield _jump("dhcp-in")
    if config.flag("ndp", default=True):
        yield _jump("ndp-in")


def _out(config: Config, nics: Mapping[str, Nic]) -> Iterator[Rule]:
    """Yield what is decided about a frame from the guest before the user's rules.

    The MAC filter comes first: established connections and DHCP have to pass it too.
    """
    if config.flag("macfilter", default=True):
        for nic in nics.values():
            yield Rule("drop", iif=nic.port, not_mac=nic.mac.lower(), origin="macfilter")
            yield Rule("drop", iif=nic.port, ethertypes=(ARP,), not_arp_mac=nic.mac.lower(), origin="macfilter")
    yield _jump("any-out")
    if config.flag("dhcp", default=True):
        yield _jump("dhcp-out")
    ndp = config.flag("ndp", default=True)
    if not config.flag("radv", default=False):
        yield Rule("drop", protocol=ICMP6, icmp=(ROUTER_ADVERTISEMENT,), origin="radv")
    elif ndp:
        yield Rule("accept", protocol=ICMP6, icmp=(ROUTER_ADVERTISEMENT,), origin="radv")
    if ndp:
        yield _jump("ndp-out")


def _jump(chain: str) -> Rule:
    return Rule("jump", target=chain, origin=chain)


def _host(cluster: Config, host: Config, local: Addresses | None, nodes: list[Addresses]) -> Piece:
    ndp = host.flag("ndp", default=True)
    into = (
        Rule("accept", iif="lo", origin="loopback"),
        *vital(ndp=ndp),
        Rule("drop", state=("invalid",), origin="invalid"),
        *udp(source=67, dest=68, source6=547, dest6=546, origin="dhcp"),
        *_own(host, "in"),
        *_own(cluster, "in"),
        *services("in", local, nodes),
        _policy(cluster, "in"),
    )
    out = (
        Rule("accept", oif="lo", origin="loopback"),
        *vital(ndp=ndp),
        *udp(source=68, dest=67, source6=546, dest6=547, origin="dhcp"),
        *_own(host, "out"),
        *_own(cluster, "out"),
        *services("out", local, nodes),
        _policy(cluster, "out"),
    )
    return Piece(
        "host",
        (
            Chain("inet", "host-in", into, Hook("filter", "input", "filter")),
            Chain("inet", "host-out", out, Hook("filter", "output", "filter")),
        ),
    )


def _own(config: Config, direction: Direction, nics: Mapping[str, Nic] | None = None) -> Iterator[Rule]:
    """Yield the user's rules of one direction; one for a NIC that isn't filtered matches nothing."""
    for line in config.rules:
        if line.enabled and line.direction == direction:
            if nics is None:
                yield _rule(config, line, line.iface)
            elif not line.iface:
                yield _rule(config, line, "")
            elif nic := nics.get(line.iface):
                yield _rule(config, line, nic.port)


def _rule(config: Config, line: RuleLine, port: str) -> Rule:
    families: dict[int | None, tuple[int, ...]] = {4: (IP,), 6: (IP6,), None: ()}
    # What a guest sends comes in by its port, what the host gets by one of its own.
    arrives = (line.direction == "out") == (config.scope == "guest")
    if not line.action or isinstance(line.source, Ref) or isinstance(line.dest, Ref):
        raise AssertionError  # _supported
    return Rule(
        _VERDICTS[line.action],
        ethertypes=families[line.version],
        iif=port if arrives else "",
        oif="" if arrives else port,
        protocol=line.proto,
        source=line.source,
        dest=line.dest,
        sport=line.sport,
        dport=line.dport,
        icmp=line.icmp,
        origin=f"{PurePath(config.path).name}:{line.line}",
    )


def _policy(config: Config, direction: Direction) -> Rule:
    """Return the last rule of a chain: for everything, IP or not."""
    name = f"policy_{direction}"
    default = "DROP" if direction == "in" else "ACCEPT"
    return Rule(_VERDICTS[config.option(name, default)], origin=name)


def _addresses(net: IPv4Network | IPv6Network) -> Addresses:
    return Addresses(net.version, (Span(int(net.network_address), int(net.broadcast_address)),))
