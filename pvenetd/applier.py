"""One thread that does all work on the machine: it observes, plans, runs, verifies, and puts back.

The kernel works inside sendmsg(), so the event loop must not wait for it, and a thread is not cancelled
half-way.  Its queue is the applier's: no locks, no two plans at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pvenetd.errors import Conflict, KernelError, PvenetError, VerifyError
from pvenetd.firewall.flow import Flow
from pvenetd.firewall.tally import Tally
from pvenetd.forwarding import Heard
from pvenetd.machine import Machine
from pvenetd.measure import Took, change, measured, unmeasured
from pvenetd.plan import Op, plan, steps, undo, uprooted
from pvenetd.precedence import Turns
from pvenetd.primary import Order, order, reordered
from pvenetd.resource import Key, Resource
from pvenetd.state import GUESTS, Chains, State

log = logging.getLogger("pvenetd.engine")

T = TypeVar("T")

_TOLD = 10
"""Chains that are named in one line of the log."""

_TRIES = 2
"""How often is tried what must not fail as a whole: the second time what was in the way may be gone."""
AS_IT_WAS = "rolled back: the host is as it was"


class Applier:
    """Keeps each owner's State, and the machine in step with it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._applier = Turns("applier")
        self._desired: dict[str, State] = {}
        self._sharers: dict[Key, set[str]] = {}
        """What guests share → those who want it."""
        self._unrestored = False
        """Whether somebody has changed nftables, and our chains have not been looked at since."""
        self.failed: dict[str, str] = {}
        """Owner → why its last apply failed."""
        self.told: Callable[[str, Mapping[str, Any]], None] = _nobody
        """Called, in the event loop or the applier, with what has happened: an event's name and its facts."""
        self.took: Took = unmeasured
        """Called in the applier, of an apply in the event loop."""
        self.loaded: Callable[[str], object] = str
        """Called in the applier with the name of a piece of the firewall that was loaded."""
        self.wanted: Callable[[str, State], object] = _nobody
        """Called in the applier with an owner and what it wants from now on."""

    def close(self) -> None:
        """Let the applier end."""
        self._applier.shutdown(wait=True)

    async def work(self, job: Callable[[], T]) -> T:
        """Run *job* in the applier thread, after what is queued there, to its end even if the caller is cancelled.

        A question's waits for those of changes (`precedence`).
        """
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._applier, job))

    def desired(self) -> dict[Key, Resource]:
        """Return the union of all owners' States."""
        return {key: resource for wanted in self._desired.values() for key, resource in wanted.items()}

    def owners(self) -> dict[str, State]:
        """Return each owner's State."""
        return dict(self._desired)

    def sharers(self, key: Key) -> set[str]:
        """Return the guests that want what they share under *key*."""
        return set(self._sharers.get(key, ()))

    def wants(self, owner: str) -> State:
        """Return what *owner* wants, whatever others there are."""
        return self._desired.get(owner, {})

    async def observe(self, keys: Collection[Key] = ()) -> State:
        """Return what the machine has."""
        return await self.work(lambda: self._machine.observe(keys))

    async def changed(self) -> set[Key]:
        """Return the keys of links, addresses and routes that came, went or changed since this was last asked."""
        return await self.work(self._machine.changed)

    async def counters(self, names: Collection[str]) -> dict[str, dict[str, int]]:
        """Return what links have counted, those of *names* that are there: ``rx_bytes`` and its like."""
        return await self.work(lambda: self._machine.counters(names))

    async def forwarding(self) -> tuple[Heard, ...]:
        """Return the forwarding tables of bridges and VXLANs."""
        return await self.work(self._machine.forwarding)

    async def tallies(self, pieces: Collection[str]) -> tuple[Tally, ...]:
        """Return what the rules of *pieces* that are loaded have counted."""
        return await self.work(lambda: self._machine.tallies(pieces))

    async def lacking(self, abilities: Collection[str]) -> frozenset[str]:
        """Return those of *abilities* (`firewall.abilities`) that the machine does not have."""
        return await self.work(lambda: self._machine.lacking(abilities))

    async def cut(self, flows: Collection[Flow], *, at_host: bool) -> int:
        """Cut connections; return how many there were.  Raises `KernelError`."""
        return await self.work(lambda: self._machine.cut(flows, at_host=at_host))

    async def look(self, keys: Collection[Key]) -> State:
        """Return what the machine has of *keys* alone."""
        return await self.work(lambda: self._machine.observe(keys, only=True))

    async def plan(self, owner: str, wanted: State) -> tuple[Op, ...]:
        """Return what `desire` or `apply` would do."""
        return (await self.forecast(owner, wanted))[0]

    async def forecast(self, owner: str, wanted: State) -> tuple[tuple[Op, ...], State]:
        """Return what `desire` or `apply` would do, and what there is now."""

        def job() -> tuple[tuple[Op, ...], State]:
            keys, union, owners = self._aim(owner, wanted)
            if keys is None:
                return self._planned(owner, union)
            before = self._observe(keys, union)
            return self._plan(union, before, owners), before

        return await self.work(job)

    async def adopt(self, owner: str, wanted: State) -> None:
        """Take *wanted* for what *owner* desires without touching the machine: it was applied by an earlier run."""
        await self.work(lambda: self._want(owner, wanted))

    async def desire(self, owner: str, wanted: State) -> tuple[Op, ...]:
        """Bring the machine to what *owner* wants now, and return what was done.

        On failure what was touched is put back as it was, and *owner* wants what it wanted before.
        Raises `KernelError`, `VerifyError`, `Conflict`.
        """
        return await self.work(lambda: self._converge(owner, wanted))

    async def bring(
        self, owner: str, wanted: State, only: Collection[Key] | None = None
    ) -> tuple[tuple[Op, ...], dict[Key, str]]:
        """Bring the machine to *wanted* as far as it goes; return what was done, and what failed with its reason.

        Nothing is rolled back: at boot, what fails must keep nothing else down.  With *only*, other
        keys stay as they are.
        """
        return await self.work(lambda: self._bring(owner, wanted, only))

    async def restore(self) -> tuple[Op, ...]:
        """Load again the chains that somebody has taken away or changed, and return what was done.

        Without them guests would be open: ``nft flush ruleset`` is how other programs begin.
        """
        return await self.work(self._restore)

    # What follows runs in the applier thread.

    def _converge(self, owner: str, wanted: State) -> tuple[Op, ...]:
        """Bring one guest, or the firewall, to *wanted*; its rollback needs no disk: a restart converges anyway."""
        with measured(self.took) as work:
            keys, union, owners = self._aim(owner, wanted)
            before = self._observe(keys, union)
            ops = self._plan(union, before, owners)
            work.name = change(owner, self.wants(owner), wanted) if ops else ""
            touched = {op.resource.key for op in ops}
            self._run(owner, ops, before, lambda: plan(union, self._observe(keys, union, touched), owners))
            self._keep(owner, wanted)
        return ops

    def _plan(self, wanted: State, there: State, owners: Collection[str]) -> tuple[Op, ...]:
        with measured(self.took, "plan"):
            return plan(wanted, there, owners)

    def _bring(self, owner: str, wanted: State, only: Collection[Key] | None) -> tuple[tuple[Op, ...], dict[Key, str]]:
        union = self._union(owner, wanted)
        done: list[Op] = []
        failed: dict[Key, str] = {}
        for _ in range(_TRIES):
            commands = {key: why for key, why in failed.items() if key[0] == "hook"}
            before = self._observe(None, union)
            target = union if only is None else _changed(before, union, only)
            others = _in_conflict(target, before, owner)
            ops = self._plan({key: one for key, one in target.items() if key not in others}, before, {owner})
            failed = {**commands, **others}
            done += self._as_far_as_it_goes(owner, [op for op in ops if op.resource.key not in commands], failed)
        self._keep(owner, wanted)
        if failed:
            self.failed[owner] = "\n".join(failed.values())
        return tuple(done), failed

    def _as_far_as_it_goes(self, owner: str, ops: Iterable[Op], failed: dict[Key, str]) -> list[Op]:
        """Run *ops* but for those that need what has failed; add to *failed*."""
        done = []
        for op in ops:
            key = op.resource.key
            if lost := [need for need in op.resource.needs if need in failed and op.verb != "-"]:
                failed[key] = f"{op}: {' '.join(lost[0])} has failed"
                continue
            try:
                self._steps(owner, [op])
                done.append(op)
            except KernelError as error:
                failed[key] = str(error)
                log.error("%s", error, extra={"owner": owner, "op": str(op)})  # noqa: TRY400
                self.told("failed", {"owner": owner, "error": str(error), "outcome": "carried on without"})
        return done

    def _restore(self) -> tuple[Op, ...]:
        self._unrestored |= self._machine.disturbed()
        if not self._unrestored:
            return ()
        chains = {key: one for key, one in self.desired().items() if isinstance(one, Chains)}
        wanted = {key: chains[key] for key in sorted(chains, key=_closing_first)}
        live = self._machine.observe(wanted.keys(), only=True)
        ops = plan(wanted, live)
        if ops:
            log.warning("somebody has changed our chains: %s", _some(ops))
        self._steps("firewall", ops)
        self._unrestored = False
        return ops

    def _run(self, owner: str, ops: tuple[Op, ...], before: State, left: Callable[[], tuple[Op, ...]]) -> None:
        if not ops:
            return
        try:
            self._steps(owner, ops)
            if rest := left():
                raise VerifyError(rest)
        except BaseException as error:
            back = undo(ops, before)
            touched = {op.resource.key for op in ops} | back.keys()
            self._give_up(owner, error, lambda: self._put_back(touched, back, order(touched, before)))
            raise

    def _steps(self, owner: str, ops: Iterable[Op]) -> None:
        for step in steps(ops):
            facts = [{"owner": owner, "op": str(op), "origin": op.resource.origin} for op in step]
            for fact in facts:
                log.info("%s%s", fact["op"], f"  # {fact['origin']}" if fact["origin"] else "", extra=fact)
            self._machine.apply(*step)
            for op, fact in zip(step, facts, strict=True):
                self.told("op", fact)
                if isinstance(op.resource, Chains) and op.verb != "-":
                    self.loaded(op.resource.name)

    def _give_up(self, owner: str, error: BaseException, back: Callable[[], object]) -> None:
        """Put things back, and say in *error* what has become of the host."""
        outcome = AS_IT_WAS
        try:
            back()
        except (PvenetError, OSError) as worse:
            outcome = f"not all of it could be rolled back: {worse}"
            log.exception("rollback failed", extra={"owner": owner})
        self.failed[owner] = f"{error}; {outcome}"
        if isinstance(error, PvenetError):
            error.outcome = outcome
        self.told("failed", {"owner": owner, "error": str(error), "outcome": outcome})

    def _put_back(self, touched: Collection[Key], back: State, order: Order) -> None:
        """Bring *touched* back, however many of them fail on the way; then say what could not be.

        Addresses come into their *order*.
        """
        for last in (False, True):
            now = self._machine.observe(touched, anew=touched)
            wanted = {**{key: value for key, value in now.items() if key not in touched}, **back}
            todo = plan(wanted, now)
            for op in todo:
                try:
                    self._machine.apply(op)
                except KernelError:
                    if last:
                        raise
                    log.warning("not undone at once: %s", op)
        for op in reordered(order, self._machine.observe(touched, anew=touched)):
            self._machine.apply(op)
        now = self._machine.observe(touched, anew=touched)
        wanted = {**{key: value for key, value in now.items() if key not in touched}, **back}
        if left := plan(wanted, now):
            raise VerifyError(left)

    def _planned(self, owner: str, union: State) -> tuple[tuple[Op, ...], State]:
        """Return the plan for *owner*, and what there is, the forwarding entries that the plan takes along too."""
        before = self._observe(None, union)
        ops = self._plan(union, before, {owner})
        if torn := uprooted(ops, before):
            before = {**before, **self._machine.observe([("fdb", name) for name in torn], only=True)}
            ops = plan(union, before, {owner})
        return ops, before

    def _union(self, owner: str, wanted: State) -> State:
        """Return what all want, *owner* now *wanted*."""
        others = (state for name, state in self._desired.items() if name != owner)
        return {key: value for state in (*others, wanted) for key, value in state.items()}

    def _aim(self, owner: str, wanted: State) -> tuple[set[Key] | None, State, set[str]]:
        """Return the keys a plan for *owner* is about (None: all there is), what all want of them, and whose it is."""
        keys = self._scope(owner, wanted)
        if keys is None:
            return None, self._union(owner, wanted), {owner}
        return keys, {**self._shared(owner, keys), **wanted}, {owner, GUESTS}

    def _scope(self, owner: str, wanted: State) -> set[Key] | None:
        """Return the keys a guest's plan is about, None for owners whose plan is about all there is."""
        if owner != GUESTS and not owner.startswith("vm:"):
            return None
        keys = {*wanted, *self._desired.get(owner, {}), *self._machine.owned(owner), ("chains", owner)}
        return keys | {need for resource in wanted.values() for need in resource.needs}

    def _shared(self, owner: str, keys: Collection[Key]) -> State:
        """Return what others than *owner* want of *keys* together with him: it stays when he goes."""
        there = {key for key, one in self._desired.get(owner, {}).items() if one.owner == GUESTS}
        asked = keys if owner == GUESTS else there
        others = ((key, name) for key in asked for name in sorted(self._sharers.get(key, ())) if name != owner)
        return {key: self._desired[name][key] for key, name in others}

    def _observe(self, keys: Collection[Key] | None, union: State, anew: Collection[Key] = ()) -> State:
        if keys is None:
            return self._machine.observe(union.keys(), anew=anew)
        return self._machine.observe(keys, only=True, anew=anew)

    def _keep(self, owner: str, wanted: State) -> None:
        self.failed.pop(owner, None)
        self._want(owner, wanted)

    def _want(self, owner: str, wanted: State) -> None:
        before, after = _shared(self._desired.get(owner, {})), _shared(wanted)
        self.wanted(owner, wanted)
        if wanted:
            self._desired[owner] = wanted
        else:
            self._desired.pop(owner, None)
        for key in after - before:
            self._sharers.setdefault(key, set()).add(owner)
        for key in before - after:
            self._sharers[key].discard(owner)
            if not self._sharers[key]:
                del self._sharers[key]


def _shared(wanted: State) -> set[Key]:
    """Return the keys of what guests share."""
    return {key for key, one in wanted.items() if one.owner == GUESTS}


def _closing_first(key: Key) -> bool:
    """Return whether chains can wait for others: until the guard is there, everybody's port is open."""
    return key != ("chains", "guard")


def _some(ops: Sequence[Op]) -> str:
    """Return what *ops* are about, in a line that can be read."""
    names = [op.resource.describe() for op in ops[:_TOLD]]
    return ", ".join(names) + (f" and {len(ops) - _TOLD} more" if len(ops) > _TOLD else "")


def _changed(before: State, wanted: State, only: Collection[Key]) -> State:
    """Return *before*, but for *only*, which is as *wanted*."""
    kept = {key: one for key, one in before.items() if key not in only}
    return {**kept, **{key: wanted[key] for key in only if key in wanted}}


def _in_conflict(wanted: State, there: State, owner: str) -> dict[Key, str]:
    """Return the links that somebody else's link of that name keeps from being made."""
    found = {}
    for key in (key for key in wanted if key[0] == "link" and key in there):
        try:
            plan({key: wanted[key]}, {key: there[key]}, {owner})
        except Conflict as error:
            found[key] = str(error)
    return found


def _nobody(what: object, facts: object) -> None:
    """Hear what has happened, where nobody listens."""
    del what, facts
