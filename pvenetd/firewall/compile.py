"""Firewall files and guests' NICs → `Ruleset`: what a file says, in the order the kernel asks it.

Three switches make a guest filtered: ``enable: 1`` in cluster.fw, ``enable: 1`` in VMID.fw, and
``firewall=1`` on the NIC.  The host needs the first, and no ``enable: 0`` in host.fw; a bridge the first,
and ``enable: 1`` in its own file.

Source: Proxmox VE's administration guide, chapter "Firewall".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from pvenetd.errors import ConfigError, Problem
from pvenetd.firewall.compile_bridge import bridge_piece
from pvenetd.firewall.compile_cluster import groups_piece, sets_piece
from pvenetd.firewall.compile_guest import Guest, Nic, compile_guest
from pvenetd.firewall.compile_host import Site, host_piece
from pvenetd.firewall.resolve import Names
from pvenetd.firewall.ruleset import Addresses, Piece, Ruleset, Span
from pvenetd.firewall.syntax import Config
from pvenetd.firewall.tracking import RAISED, host_sysctls

__all__ = [
    "RAISED",
    "Guest",
    "Nic",
    "Refused",
    "compile_guest",
    "compile_ruleset",
    "host_sysctls",
    "network",
]

Network = str | IPv4Network | IPv6Network
Refused = Callable[[str, ConfigError], Piece | None]
"""What is loaded instead of a piece (``vm:100``, ``bridge:vmbr0``) whose own file is wrong."""


def compile_ruleset(
    cluster: Config,
    host: Config,
    guests: Iterable[Guest] = (),
    *,
    bridges: Mapping[str, Config] | None = None,
    local_network: Network | None = None,
    cluster_nodes: Iterable[IPv4Address | IPv6Address] = (),
    devices: Mapping[str, str] | None = None,
    refused: Refused | None = None,
) -> Ruleset:
    """Return all pieces, those first that others refer to: the cluster's, the host's, bridges', guests'.

    *bridges* are bridges' files by their names; *local_network* is where the host is always managed from,
    *cluster_nodes* are its peers, *devices* its interfaces' names by their alternative ones.  A guest or bridge
    whose own file is wrong has what *refused* returns for it.
    Raises ConfigError when cluster.fw or host.fw is broken; without *refused*, when any file is, with all problems.
    """
    local = network(local_network) if local_network else None
    names = Names(cluster, local=local, devices=devices)
    if not names.require(cluster).flag("enable", default=False):
        return Ruleset()
    names.require(host)
    nodes = tuple(network(str(node)) for node in cluster_nodes)
    site = Site(cluster, host, names, nodes)
    pieces = [sets_piece(cluster, names), groups_piece(cluster, host, names), host_piece(site)]
    pieces += _own_files(_makers(cluster, host, guests, bridges or {}, names, local), refused)
    return Ruleset(tuple(piece for piece in pieces if piece))


def _makers(
    cluster: Config,
    host: Config,
    guests: Iterable[Guest],
    bridges: Mapping[str, Config],
    names: Names,
    local: Addresses | None,
) -> Iterator[tuple[str, Callable[[], Piece | None]]]:
    """Yield the pieces that have a file of their own, and what makes them."""
    for name, config in sorted(bridges.items()):
        yield f"bridge:{name}", partial(bridge_piece, name, config, cluster, host, names)
    for guest in guests:
        yield f"vm:{guest.vmid}", partial(compile_guest, guest, cluster, local)


def _own_files(
    makers: Iterable[tuple[str, Callable[[], Piece | None]]], refused: Refused | None
) -> Iterator[Piece | None]:
    problems: list[Problem] = []
    for name, make in makers:
        try:
            yield make()
        except ConfigError as error:
            problems += error.problems
            if refused:
                yield refused(name, error)
    if problems and not refused:
        raise ConfigError(problems)


def network(text: Network) -> Addresses:
    """Return the addresses of a network; an address alone is one."""
    net = ip_network(text, strict=False)
    return Addresses(net.version, (Span(int(net.network_address), int(net.broadcast_address)),))
