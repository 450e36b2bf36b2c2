"""Who must still answer after an apply: the default gateways, the peer of the session that asked, the admin's choice.

A target is known by its role: a gateway that is replaced by another has to answer in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from typing import Protocol

from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link
from pvenetd.plan import Op
from pvenetd.state import Address, Route, State

BEFORE = 1.0
"""Seconds that targets have to answer before an apply; who does not is not asked after it."""
AFTER = 5.0
"""Seconds that they have after it, unless the settings say otherwise: for carrier, ARP and IPv6's DAD."""
EVERY = 0.25
"""Seconds between two tries."""
LACP = 3.0
"""Seconds a bond may take to agree with its partner, who is asked every second at first (IEEE 802.1AX)."""
_TIMERS = 2
"""Times the forward delay that a port with STP is silent: listening, then learning (IEEE 802.1D)."""


@dataclass(frozen=True, slots=True)
class Target:
    """Someone who is asked for an answer."""

    role: str
    """``default gateway``, ``peer of the session``, ``probe``, each with what tells it from its like."""
    address: str
    dev: str = ""
    """The link it is a neighbour on: asked by ARP or ND there; empty: it is behind a router."""
    ping: bool = True
    """Whether an answer to a ping counts too; routers may not give any."""

    def __str__(self) -> str:
        how = [f"{'ND' if ':' in self.address else 'ARP'} on {self.dev}"] if self.dev else []
        return f"{self.role} {self.address} ({', '.join([*how, *(['ping'] if self.ping else [])])})"


class Prober(Protocol):
    """Asks, and listens."""

    def answering(self, targets: Collection[Target], seconds: float, every: float) -> set[Target]:
        """Return who of *targets* answers within *seconds*, asked anew *every* so many; at once if all do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is probed around an apply."""

    peer: str = ""
    """The other end of the session that asked, where there is one."""
    chosen: tuple[str, ...] = ()
    """Addresses that the settings name."""
    seconds: float = AFTER
    """Patience after the operations; what the plan itself makes wait is added."""

    def targets(self, state: State) -> list[Target]:
        """Return whom to ask on a host that is *state*."""
        found = [*_gateways(state)]
        if self.peer:
            found.append(Target("peer of the session", self.peer, neighbour_on(self.peer, state)))
        return found + [Target("probe", address) for address in self.chosen]

    def patience(self, ops: Iterable[Op], state: State) -> float:
        """Return the seconds within which targets have to answer after *ops*, which lead to *state*."""
        touched = [state.get(op.resource.key) for op in ops if isinstance(op.resource, Link) and op.verb != "-"]
        links = {link for link in touched if isinstance(link, Link)}
        above = {state.get(("link", link.master or "")) for link in links}
        delays = [_TIMERS * one.forward_delay for one in above | links if isinstance(one, Bridge) and one.stp]
        bonds = [(one.miimon + one.updelay) / 1000 + LACP for one in above | links if isinstance(one, Bond)]
        return self.seconds + max(delays, default=0) + max(bonds, default=0)


def compared(targets: Iterable[Target], alive: Collection[Target], *, changed: bool) -> list[Target]:
    """Return who of *targets*, those of now, has to answer, as who was *alive* before did in the same role.

    With *changed*, also one that has taken another's place: a new gateway.  Where an apply waits to be
    confirmed, that is the admin's to see.
    """
    before = {(target.role, "" if changed else target.address) for target in alive}
    return [target for target in targets if (target.role, "" if changed else target.address) in before]


def _gateways(state: State) -> Iterator[Target]:
    for route in state.values():
        if isinstance(route, Route) and route.dst == "default" and route.via:
            kind = f"{'IPv6 ' if route.family == 'inet6' else ''}default gateway"
            more = f", metric {route.metric}" if route.metric else ""
            yield Target(f"{kind}{more}", route.via, route.dev, ping=False)


def neighbour_on(address: str, state: State) -> str:
    """Return the link on whose network *address* is, empty where a router leads there."""
    there = ip_address(address)
    near = [
        (ip_interface(one.address).network.prefixlen, one.dev)
        for one in state.values()
        if isinstance(one, Address) and there in ip_interface(one.address).network
    ]
    return max(near, default=(0, ""))[1]
