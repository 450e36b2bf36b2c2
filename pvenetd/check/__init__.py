"""How devices stand to each other: members, parents, loops, MTUs, addresses, gateways.

Every problem is found, not only the first.  The codes are those of ``pvenetctl interfaces check``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from pvenetd.check import addresses, members, mtu, nat, networks, options, selection, stack, tunnels
from pvenetd.check.scene import Scene
from pvenetd.devices import Device
from pvenetd.errors import Problem
from pvenetd.interfaces.config import Config
from pvenetd.ports import memberships

_CHECKS: tuple[Callable[[Scene], Iterator[Problem]], ...] = (
    selection.unknown,
    members.members,
    members.used_twice,
    members.open_vswitch,
    stack.parents,
    stack.loops,
    stack.same_vlan,
    options.bonds,
    options.bridges,
    options.port_options,
    options.vrfs,
    options.commands,
    nat.wrong,
    nat.duplicates,
    nat.places,
    nat.own_ports,
    nat.forwarding,
    nat.advertised,
    nat.needless,
    tunnels.vxlans,
    mtu.mtus,
    mtu.tunnels,
    addresses.on_ports,
    addresses.hosts,
    addresses.without_ipv6,
    addresses.duplicates,
    addresses.gateways,
    networks.overlaps,
)


def check(config: Config, devices: Mapping[str, Device], nics: Collection[str]) -> list[Problem]:
    """Return all that is wrong between the *devices* of *config*; *nics* are the links that are there without it."""
    scene = Scene(config, devices, nics, memberships(devices, nics))
    return [problem for find in _CHECKS for problem in find(scene)]
