"""How devices stand to each other: members, parents, loops, MTUs, addresses, gateways.

Every problem is found, not only the first.  The codes are those of ``pvenetctl interfaces check``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from pvenetd.check import addresses, members, mtu, options, stack
from pvenetd.check.scene import Scene
from pvenetd.devices import Device
from pvenetd.errors import Problem
from pvenetd.ports import memberships

_CHECKS: tuple[Callable[[Scene], Iterator[Problem]], ...] = (
    members.members,
    members.used_twice,
    stack.parents,
    stack.loops,
    options.bonds,
    options.bridges,
    options.port_options,
    options.vxlans,
    options.commands,
    options.masquerades,
    mtu.mtus,
    addresses.addresses,
    addresses.gateways,
)


def check(devices: Mapping[str, Device], nics: Collection[str]) -> list[Problem]:
    """Return all that is wrong between *devices*; *nics* are the links that are there without them."""
    scene = Scene(devices, nics, memberships(devices, nics))
    return [problem for find in _CHECKS for problem in find(scene)]
