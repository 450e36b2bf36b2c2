"""The difference between two States, as operations in an order the kernel accepts.

One function serves apply, verify, rollback, dry run and drift.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from pvenetd.commands import Hook
from pvenetd.errors import Conflict
from pvenetd.kinds.ethtool import Ethtool
from pvenetd.kinds.link import Link, wants_down
from pvenetd.resource import Changes, Key, Resource, spell
from pvenetd.state import State

_AT_ONCE = 64
"""Links deleted in one step, or guests' chains loaded."""


@dataclass(frozen=True, slots=True)
class Op:
    """One step: *resource* is what is wanted, or, for ``-``, what there is."""

    verb: Literal["+", "-", "~"]
    resource: Resource
    changes: Changes = field(default_factory=dict)
    """For ``~``: field → (value now, value wanted)."""

    @property
    def deletes_link(self) -> bool:
        """Return whether it deletes a link, and does not only let go of one."""
        return self.verb == "-" and self.resource.noun == "link" and self.resource.deletable

    @property
    def is_guests_chains(self) -> bool:
        """Return whether it loads a guest's chains, or takes them away."""
        return self.resource.noun == "chains" and self.resource.owner.startswith("vm:")

    def __str__(self) -> str:
        words = [self.verb, self.resource.describe()]
        if self.verb == "+":
            words += self.resource.details()
        words += [f"{name}={_short(name, value)}" for name, (_, value) in self.changes.items()]
        return " ".join(words)


def _short(name: str, value: object) -> str:
    return spell(value)[:12] if name == "digest" else spell(value)


def plan(desired: State, current: State, owners: Collection[str] | None = None) -> tuple[Op, ...]:
    """Return the operations that turn *current* into *desired*, in an order the kernel accepts.

    With *owners*, only what they own is brought to what is desired; others' resources appear
    where an operation takes them along: a port whose bridge is made anew is plugged again.

    Links are deleted first, dependents before what they stand on; then resources are added and
    changed, the other way round.  Routes and addresses are deleted last: with the old one gone
    before the new one is there, the kernel would drop every route that uses the link.

    Raises `Conflict` where something that is not pvenetd's would have to be deleted.
    """
    if impossible := [key for key, resource in desired.items() if not resource.possible(desired)]:
        desired = {key: resource for key, resource in desired.items() if key not in impossible}
    gone = _unwanted(desired, current, owners) | _remade(desired, current, owners)
    gone |= _redone(desired, current, owners, gone)
    last = {key for key in gone if key not in desired and key[0] in ("route", "address")}
    died = _cascade(current, gone) | _flushed(current, gone - last)
    lost = died | _deleted(current, gone)
    wanted = {**desired, **_restored(desired, current, gone, died, owners)}
    left = {key: resource.after(lost) for key, resource in current.items() if key not in gone | died}
    waiting = _waiting(wanted, left)
    added = [
        op
        for key, resource in wanted.items()
        if key not in waiting
        and (_owned(resource, owners) or left.get(key) is not current.get(key))
        and (op := _bring(resource, left.get(key)))
    ]
    doomed = [current[key] for key in sorted(gone, reverse=True) if not _taken_along(key, current, lost, gone)]
    late = [resource for resource in doomed if resource.key in last]
    early = [resource for resource in doomed if resource.key not in last]
    return (
        *(Op("-", resource) for resource in reversed(_sorted(early))),
        *_sorted_ops(added),
        *(Op("-", resource) for resource in reversed(_sorted(late))),
    )


def again(desired: State, ops: Iterable[Op]) -> tuple[Op, ...]:
    """Return *ops* with the commands that run at every apply, whatever has changed."""
    ops = tuple(ops)
    there = {op.resource.key for op in ops}
    late = [hook for key, hook in desired.items() if isinstance(hook, Hook) and hook.always and key not in there]
    return (
        *(Op("~", hook, {"again": (False, True)}) for hook in late if hook.run and not hook.order),
        *ops,
        *(Op("~", hook, {"again": (False, True)}) for hook in late if hook.run and hook.order),
    )


def uprooted(ops: Iterable[Op], current: State) -> tuple[str, ...]:
    """Return the links whose forwarding entries *ops* take along: made anew, or a port of what is made anew."""
    made = {op.resource.key for op in ops if op.verb == "+"} & current.keys()
    return tuple(
        link.name
        for link in current.values()
        if isinstance(link, Link)
        and (("link", link.master) in made or (link.key in made and (link.master or link.kind == "vxlan")))
    )


def steps(ops: Iterable[Op]) -> Iterator[tuple[Op, ...]]:
    """Yield *ops* in order, each by itself, but for links deleted one after the other: some go in one step.

    For each step the kernel waits until nobody looks at the links any more, some 20 ms; and as long as
    it is at it nobody else's link can be changed.  Guests' chains are loaded so, too: for each transaction the
    kernel walks all chains there are, and in a very long one all that came before.
    """
    for (deletes, loads), run in groupby(ops, lambda op: (op.deletes_link, op.is_guests_chains)):
        alike = tuple(run)
        size = _AT_ONCE if deletes or loads else 1
        yield from (alike[first : first + size] for first in range(0, len(alike), size))


def waiting(desired: State, current: State) -> tuple[Key, ...]:
    """Return the keys that no plan can bring yet: a NIC that is not there, and what stands on it."""
    found = _waiting(desired, current)
    return tuple(key for key in desired if key in found)


def undo(ops: Iterable[Op], before: State) -> dict[Key, Resource]:
    """Return what to plan for so that what *ops* touch, or take along, is again as *before*.

    Of a link that was only changed, only the fields that were changed are asked for: the kernel
    follows up on its own (a bridge's MAC is its lowest port's), and so it does backwards.
    """
    ops = tuple(ops)
    deleted = frozenset(op.resource.key for op in ops if op.verb == "-" and op.resource.key in before)
    died = _cascade(before, deleted) | _flushed(before, deleted)
    back = {key: before[key] for key in deleted | died | _set_down(ops, before)}
    lost = died | _deleted(before, deleted)
    changed = {op.resource.key: set(op.changes) for op in ops if op.verb == "~"}
    for key, was in before.items():
        if key in back:
            continue
        left = was.after(lost)
        fields = changed.get(key, set())
        if left is not was:
            fields |= {name for name, value in was if getattr(left, name) != value}
        if fields:
            back[key] = _only(fields, was)
    return back


def _set_down(ops: Iterable[Op], before: State) -> frozenset[Key]:
    """Return what links lose that *ops* set down, if only for a moment: IPv6 addresses, and routes."""
    down = {op.resource.key for op in ops if op.verb == "~" and isinstance(op.resource, Link) and _goes_down(op)}
    return frozenset(
        key
        for key, one in before.items()
        if (key[0] == "route" or (key[0] == "address" and ":" in key[2])) and one.needs & down
    )


def _goes_down(op: Op) -> bool:
    wanted = {name: new for name, (_, new) in op.changes.items()}
    return (
        wanted.get("up") is False
        or "master" in wanted
        or (isinstance(op.resource, Link) and wants_down(op.resource, wanted))
    )


def _only(fields: set[str], was: Resource) -> Resource:
    """Return *was*, of a link and its card only *fields*; a port that comes back has to be told all it was told."""
    if isinstance(was, Ethtool):
        return was.model_copy(update={name: None for name, _ in was if name not in fields | was.named | was.silent})
    if not isinstance(was, Link):
        return was
    kept = fields | was.named | {"owner", "kind", "made_here"} | (was.port_only if "master" in fields else set())
    return was.model_copy(update={name: None for name, _ in was if name not in kept})


def _owned(resource: Resource, owners: Collection[str] | None) -> bool:
    return owners is None or resource.owner in owners


def _unwanted(desired: State, current: State, owners: Collection[str] | None) -> frozenset[Key]:
    return frozenset(
        key
        for key, resource in current.items()
        if resource.owner and key not in desired and _owned(resource, owners) and not resource.kept(desired)
    )


def _remade(desired: State, current: State, owners: Collection[str] | None) -> frozenset[Key]:
    remade = set()
    for key, resource in desired.items():
        if key in current and _owned(resource, owners) and resource.remade(current[key]):
            if not current[key].owner and current[key].noun == "link":
                raise Conflict(f"{resource.describe()} is there already, of another kind, and not pvenetd's: delete it")
            remade.add(key)
    return frozenset(remade)


def _redone(desired: State, current: State, owners: Collection[str] | None, gone: frozenset[Key]) -> frozenset[Key]:
    """Return what was done for a link that now comes up anew: it is made, made again, or set up."""
    done = {key: link for key, one in current.items() if (link := one.redone_with) and _owned(one, owners)}
    if not done:
        return frozenset()
    torn = {key for key in gone if current[key].deletable} | _cascade(current, gone)
    absent = _waiting(desired, current)

    def comes_up(key: Key) -> bool:
        wanted, there = desired.get(key), current.get(key)
        if wanted is None or key in absent:
            return False
        return there is None or key in torn or (getattr(wanted, "up", False) and getattr(there, "up", True) is False)

    return frozenset(key for key, link in done.items() if key in desired and comes_up(link))


def _cascade(current: State, gone: frozenset[Key]) -> frozenset[Key]:
    """Return what the kernel deletes along with *gone*."""
    lost = _deleted(current, gone)
    died: frozenset[Key] = frozenset()
    while more := frozenset(
        key for key, resource in current.items() if key not in gone | died and resource.dies_with & (lost | died)
    ):
        died |= more
    return died


def _deleted(current: State, gone: frozenset[Key]) -> frozenset[Key]:
    """Return those of *gone* that go; the others are only let go, and take nothing along."""
    return frozenset(key for key in gone if current[key].deletable)


def _taken_along(key: Key, current: State, lost: frozenset[Key], gone: frozenset[Key]) -> bool:
    """Return whether another's deletion takes *key* along; of a pair that goes together, the first is deleted."""
    others = current[key].dies_with & lost
    return any(key not in current[other].dies_with or (other in gone and other < key) for other in others)


def _flushed(current: State, gone: frozenset[Key]) -> frozenset[Key]:
    """Return the IPv4 routes that go because their link loses its last address (fib_disable_ip() in the kernel)."""
    had: dict[str, set[Key]] = {}
    for key in current:
        if key[0] == "address" and ":" not in key[2]:
            had.setdefault(key[1], set()).add(key)
    bare = {("link", dev) for dev, keys in had.items() if keys <= gone}
    return frozenset(
        key
        for key, resource in current.items()
        if key[:2] == ("route", "inet") and resource.needs & bare and key not in gone
    )


def _restored(
    desired: State, current: State, gone: frozenset[Key], died: frozenset[Key], owners: Collection[str] | None
) -> dict[Key, Resource]:
    """Return what nobody here wants but went with a link that comes back: it is not ours to lose."""
    back: dict[Key, Resource] = {}
    lost = died | _deleted(current, gone)
    for key, resource in sorted(current.items(), key=lambda item: item[0]):
        if key in desired or key in gone or (resource.owner and owners is None):
            continue
        torn = resource.after(lost) is not resource
        needs = resource.needs | resource.dies_with
        there = all(need in desired or need not in gone | died for need in needs) and resource.possible(desired)
        if (torn or key in died) and there:
            back[key] = resource
    return back


def _waiting(wanted: State, left: State) -> frozenset[Key]:
    out: frozenset[Key] = frozenset(
        key for key, resource in wanted.items() if key not in left and not resource.creatable
    )
    while more := frozenset(key for key, resource in wanted.items() if key not in out and resource.needs & out):
        out |= more
    return out


def _bring(resource: Resource, current: Resource | None) -> Op | None:
    if current is None:
        return Op("+", resource)
    changes = resource.changes(current)
    return Op("~", resource, changes) if changes else None


def _sorted_ops(ops: list[Op]) -> list[Op]:
    by_key = {op.resource.key: op for op in ops}
    return [by_key[resource.key] for resource in _sorted([op.resource for op in ops])]


def _sorted(resources: list[Resource]) -> list[Resource]:
    """Return *resources* with everything after what it needs; where it is free, by order, then as given."""
    place: Mapping[Key, int] = {resource.key: number for number, resource in enumerate(resources)}
    open_needs = {
        number: {place[need] for need in resources[number].needs if need in place} for number in place.values()
    }
    users: dict[int, list[int]] = {}
    for number, needs in open_needs.items():
        for need in needs:
            users.setdefault(need, []).append(number)
    ready = [(resources[number].order, number) for number, needs in open_needs.items() if not needs]
    heapq.heapify(ready)
    out = []
    while ready:
        _, number = heapq.heappop(ready)
        out.append(resources[number])
        for user in users.get(number, []):
            open_needs[user].discard(number)
            if not open_needs[user]:
                heapq.heappush(ready, (resources[user].order, user))
    return out
