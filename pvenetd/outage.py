"""How long guests are without a network while a plan runs: an estimate from its operations.

Counted are the operations from the one that takes a guest's port, or the bridge's way out, to the one
that brings the last of it back, at what they take on a small server; then what the links themselves wait for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link, wants_down
from pvenetd.kinds.tap import Tap
from pvenetd.plan import Op
from pvenetd.reach import LACP
from pvenetd.resource import Key
from pvenetd.state import State

_COST = {"link": 1.5, "chains": 2.0, "hook": 50.0}
"""Milliseconds of one operation by its noun; of a user's command nobody knows."""
_LEAST = 0.3
"""Milliseconds of any other."""


@dataclass(frozen=True, slots=True)
class Outage:
    """What the guests on one bridge lose."""

    bridge: str
    milliseconds: int
    first: int
    """Number of the operation it begins with."""
    why: str

    def __str__(self) -> str:
        return f"guests on {self.bridge} lose about {self.milliseconds} ms: {self.why}"


def outages(ops: Iterable[Op], current: State) -> tuple[Outage, ...]:
    """Return what guests lose while *ops* are run on a host that is *current*, at most one for each bridge."""
    todo = tuple(ops)
    taken = {key: number for number, op in enumerate(todo) if (key := _taken(op, current))}
    back = {op.resource.key: number for number, op in enumerate(todo) if op.verb != "-"}
    found: list[Outage] = []
    guests_of = _guests(current) if taken else {}
    for bridge in current.values():
        if isinstance(bridge, Bridge) and (guests := guests_of.get(bridge.name)):
            found += _outage(bridge, guests, todo, taken, back, current)
    return tuple(found)


def _outage(
    bridge: Bridge,
    guests: list[Key],
    todo: tuple[Op, ...],
    taken: Mapping[Key, int],
    back: Mapping[Key, int],
    current: State,
) -> Iterator[Outage]:
    own = {bridge.key, *guests}
    below = set(_uplinks(bridge.name, current))
    harmed = {key for key in (own | below) & taken.keys() if key in back}
    if not harmed:
        return
    first = min(taken[key] for key in harmed)
    ports = {key for key, number in back.items() if ("link", getattr(todo[number].resource, "master", "")) in harmed}
    awaited = harmed | (ports & current.keys())
    last = max(back[key] for key in awaited)
    window = todo[first : last + 1]
    waits = _waits(
        [todo[back[key]].resource for key in harmed], todo[back[bridge.key]].resource if bridge.key in back else bridge
    )
    cost = sum(_COST.get(op.resource.noun, _LEAST) for op in window) + 1000 * sum(waits.values())
    count = "1 operation" if len(window) == 1 else f"{len(window)} operations"
    until = "their ports are" if harmed & own else f"{', '.join(sorted(key[1] for key in harmed))} is"
    why = "".join([f"{count} until {until} back", *(f", {name} {seconds:g} s" for name, seconds in waits.items())])
    yield Outage(bridge.name, max(1, round(cost)), first, why)


def _taken(op: Op, current: State) -> Key | None:
    """Return the key of a link that carries nothing from *op* on, or for a moment."""
    link = op.resource
    if not isinstance(link, Link) or link.key not in current:
        return None
    changes = {name: new for name, (_, new) in op.changes.items()}
    if op.verb == "-" or "master" in changes or wants_down(link, changes):
        return link.key
    return None


def _guests(current: State) -> dict[str, list[Key]]:
    """Return the guests' ports of each bridge."""
    found: dict[str, list[Key]] = {}
    for link in current.values():
        if isinstance(link, Link) and link.master and (isinstance(link, Tap) or link.owner.startswith("vm:")):
            found.setdefault(link.master, []).append(link.key)
    return found


def _uplinks(name: str, current: State) -> Iterator[Key]:
    for link in current.values():
        if isinstance(link, Link) and link.master == name and not isinstance(link, Tap) and link.name != name:
            yield link.key
            for lower in link.lower:
                yield "link", lower


def _waits(links: Iterable[object], bridge: object) -> dict[str, float]:
    """Return what is waited for beside the operations: words → seconds."""
    found: dict[str, float] = {}
    for link in links:
        if isinstance(link, Bond):
            found["the bond's carrier"] = (link.miimon + link.updelay) / 1000 + (LACP if link.mode == "802.3ad" else 0)
    if isinstance(bridge, Bridge) and bridge.stp:
        found["STP"] = 2 * bridge.forward_delay
    return found
