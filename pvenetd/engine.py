"""An apply of the interfaces: recorded, probed, confirmed or undone.

What one changes is on disk before its first operation; until it is committed, whatever happens leads back.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pvenetd.applier import AS_IT_WAS
from pvenetd.crowd import Crowd
from pvenetd.errors import Conflict, PvenetError, Unreachable, VerifyError
from pvenetd.journal import Journal, merged, record
from pvenetd.machine import Machine
from pvenetd.measure import measured
from pvenetd.plan import Op, again, plan, undo
from pvenetd.primary import order
from pvenetd.reach import BEFORE, EVERY, Prober, Target, Wanted, compared
from pvenetd.state import INTERFACES, State, from_json

__all__ = ["AS_IT_WAS", "Engine", "Machine", "Pending", "Terms"]

log = logging.getLogger("pvenetd.engine")


def _permit(ops: tuple[Op, ...], before: State) -> None:
    """Permit everything."""
    del ops, before


@dataclass(frozen=True, slots=True)
class Terms:
    """What an apply depends on."""

    replace: bool = False
    """Take the place of one that waits: undone, it leads back to before that one."""
    probe: Wanted | None = None
    """Who has to answer after it, if he did before; None: nobody is asked."""
    permit: Callable[[tuple[Op, ...], State], None] = _permit
    """Raises for a plan that must not be run; given the operations and what there is."""


AS_USUAL = Terms()


@dataclass(frozen=True, slots=True)
class _Change:
    """An apply that is asked for."""

    wanted: State
    files: Mapping[str, list[str | None]]
    confirm: float | None
    terms: Terms


@dataclass(frozen=True, slots=True)
class Pending:
    """An apply that waits to be confirmed."""

    id: str
    deadline: float
    """The event loop's time at which it is rolled back: no clock that somebody sets."""
    ops: tuple[Op, ...]
    seconds: float


@dataclass(slots=True)
class _Done:
    """An apply whose operations have been run."""

    id: str
    ops: tuple[Op, ...] = ()
    alive: frozenset[Target] = frozenset()
    """Who answered before it."""
    patience: float = 0
    open: bool = False
    """Whether its record waits for a decision."""


class Engine(Crowd):
    """The applier, with a journal for what the interfaces' owner wants."""

    def __init__(self, machine: Machine, journal: Journal, prober: Prober | None = None) -> None:
        super().__init__(machine)
        self._journal = journal
        self._prober = prober
        self._before: State | None = None
        """What the interfaces' owner wanted before what waits."""
        self._timer: asyncio.TimerHandle | None = None
        self._rollback: asyncio.Task[None] | None = None
        self._applying: asyncio.Task[tuple[Op, ...]] | None = None
        self.pending: Pending | None = None

    def close(self) -> None:
        """Let the applier end."""
        self._stop_clock()
        super().close()

    async def apply(
        self,
        wanted: State,
        files: Mapping[str, list[str | None]],
        confirm: float | None = None,
        terms: Terms = AS_USUAL,
    ) -> tuple[Op, ...]:
        """Bring the interfaces to *wanted*, with a record on disk before the first operation; return what was done.

        *files* are contents before and after, as `pvenetd.journal` keeps them.  With *confirm*, it is
        rolled back after so many seconds unless `confirm` is called; at once where somebody that *terms*
        name answered before and does not after.  Raises as `desire` does, `Unreachable`, and what the
        terms do not permit.
        """
        if self.pending and not terms.replace:
            raise Conflict(
                f"apply {self.pending.id} waits to be confirmed: pvenetctl confirm, pvenetctl rollback, "
                "or pvenetctl apply --replace"
            )
        if self._is_busy():
            raise Conflict("another apply, or its rollback, is running")
        if self.stuck():
            raise Conflict("an earlier apply could not be rolled back: pvenetctl rollback tries again")
        # A task of its own: a caller that goes away must not take the deadline with it.
        self._applying = asyncio.create_task(self._apply_and_decide(_Change(wanted, files, confirm, terms)))
        return await asyncio.shield(self._applying)

    async def take_for_applied(self, files: Mapping[str, list[str | None]]) -> None:
        """Have the journal know *files* as applied: the machine follows them, as far as it goes."""

        def job() -> None:
            self._journal.begin(record(secrets.token_hex(4), (), {}, files))
            self._journal.commit()

        await self.work(job)

    async def settled(self) -> None:
        """Wait until no apply and no rollback is running."""
        for task in (self._applying, self._rollback):
            if task:
                await asyncio.wait([task])

    def stuck(self) -> bool:
        """Return whether a rollback failed: its record is still there, and nothing waits to be confirmed."""
        return self.pending is None and not self._is_busy() and self._journal.pending() is not None

    async def confirm(self, apply: str = "") -> str:
        """Keep what waits, *apply* if it is named; return its id.  Raises `Conflict` where it does not wait."""
        pending = self._end_wait(apply)
        await self.work(self._journal.commit)
        self._before = None
        self.told("confirmed", {"apply": pending.id})
        return pending.id

    def extend(self, seconds: float, apply: str = "") -> Pending:
        """Have what waits, *apply* if it is named, wait *seconds* longer.  Raises `Conflict` where it does not wait."""
        pending = self._waiting(apply)
        pending = replace(pending, deadline=pending.deadline + seconds)
        self._wait(pending)
        self.told("extended", {"apply": pending.id, "seconds": self.left()})
        return pending

    def left(self) -> float:
        """Return the seconds until what waits is rolled back."""
        return self.pending.deadline - asyncio.get_running_loop().time() if self.pending else 0

    async def roll_back(self) -> None:
        """Undo what waits, or what could not be undone before.

        Raises `Conflict` where there is neither, `PvenetError` where it can't be undone.
        """
        apply = "" if self.stuck() else self._end_wait().id
        await self.work(self._undo_pending)
        self.failed.pop(INTERFACES, None)
        self.told("rolled back", {"apply": apply})

    async def recover(self) -> bool:
        """Undo an apply that an earlier run of the daemon left unconfirmed; return whether there was one."""
        return await self.work(self._undo_pending)

    def _is_busy(self) -> bool:
        return any(task and not task.done() for task in (self._applying, self._rollback))

    async def _apply_and_decide(self, change: _Change) -> tuple[Op, ...]:
        """Run *change*, ask who has to answer, then commit it, or wait, or undo it."""
        with measured(self.took, "apply"):
            return await self._applied_and_decided(change)

    async def _applied_and_decided(self, change: _Change) -> tuple[Op, ...]:
        replaced = self.pending
        self._stop_clock()
        try:
            done = await self.work(lambda: self._apply(change, replaced))
        except BaseException:
            waits = replaced and (self._journal.pending() or {}).get("id") == replaced.id
            self.pending = None
            if replaced and waits:  # refused before anything was touched: that one still waits
                self._wait(replaced)
            raise
        self.pending = None
        if not done.open:
            return done.ops
        if lost := await self._lost(change, done):
            await self.work(lambda: self._abandon(lost))
        if change.confirm is None:
            await self.work(self._journal.commit)
            self._before = None
        else:
            self._wait(Pending(done.id, self._now() + change.confirm, done.ops, change.confirm))
            self.told("waiting", {"apply": done.id, "seconds": change.confirm})
        return done.ops

    async def _lost(self, change: _Change, done: _Done) -> Unreachable | None:
        """Return who of those alive before does not answer any more; carrier, STP and DAD have their time."""
        probe, prober = change.terms.probe, self._prober
        if not (done.alive and probe and prober):
            return None
        asked = compared(probe.targets(await self.observe()), done.alive, changed=change.confirm is None)
        self.told("probing", {"targets": [str(target) for target in asked], "seconds": done.patience})
        answering = await asyncio.to_thread(prober.answering, asked, done.patience, EVERY)
        silent = [target for target in asked if target not in answering]
        return Unreachable(map(str, silent), done.patience, EVERY) if silent else None

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _wait(self, pending: Pending) -> None:
        self._stop_clock()
        self.pending = pending
        self._timer = asyncio.get_running_loop().call_at(pending.deadline, self._time_is_up)

    def _stop_clock(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _waiting(self, apply: str) -> Pending:
        if self._is_busy():
            raise Conflict("an apply, or its rollback, is running")
        if not (pending := self.pending):
            raise Conflict("nothing waits to be confirmed")
        if apply and apply != pending.id:
            raise Conflict(f"apply {apply} does not wait to be confirmed: {pending.id} does")
        return pending

    def _end_wait(self, apply: str = "") -> Pending:
        pending = self._waiting(apply)
        self._stop_clock()
        self.pending = None
        return pending

    def _time_is_up(self) -> None:
        log.warning("not confirmed in time: rolling back")
        self._rollback = asyncio.create_task(self._roll_back_late(self._end_wait()))

    async def _roll_back_late(self, pending: Pending) -> None:
        outcome = AS_IT_WAS
        try:
            await self.work(self._undo_pending)
        except (PvenetError, OSError) as error:
            outcome = f"not all of it could be rolled back: {error}"
            log.exception("rollback failed", extra={"owner": INTERFACES})
        self.failed[INTERFACES] = f"not confirmed in time; {outcome}"
        self.told("rolled back", {"apply": pending.id, "outcome": outcome})

    # What follows runs in the applier thread.

    def _apply(self, change: _Change, replaced: Pending | None) -> _Done:
        union = self._union(INTERFACES, change.wanted)
        planned, before = self._planned(INTERFACES, union)
        ops = again(union, planned)
        change.terms.permit(ops, before)
        done = _Done(secrets.token_hex(4), ops)
        unchanged = all(was == after for was, after in change.files.values()) and self._journal.previous() is not None
        if not ops and unchanged and not replaced:
            self._keep(INTERFACES, change.wanted)
            return done
        if ops and change.terms.probe:
            done.alive = self._alive(change.terms.probe, before)
            done.patience = change.terms.probe.patience(ops, union)
        self._run_recorded(change, done, before)
        done.open = bool(done.alive or change.confirm is not None)
        if self._before is None:
            self._before = self._desired.get(INTERFACES, {})
        self._keep(INTERFACES, change.wanted)
        if not done.open:
            self._journal.commit()
            self._before = None
        return done

    def _alive(self, probe: Wanted, before: State) -> frozenset[Target]:
        """Return who answers now; they are asked before the first operation."""
        targets = probe.targets(before)
        return frozenset(self._prober.answering(targets, BEFORE, EVERY)) if targets and self._prober else frozenset()

    def _run_recorded(self, change: _Change, done: _Done, before: State) -> None:
        union = self._union(INTERFACES, change.wanted)
        back = undo(done.ops, before)
        touched = {op.resource.key for op in done.ops} | back.keys()
        kept = record(done.id, touched, back, change.files, order(touched, before))
        if change.terms.replace and (first := self._journal.pending()):
            kept = merged(first, kept)
        try:
            self._journal.begin(kept)
            self._steps(INTERFACES, done.ops)
            touched = {op.resource.key for op in done.ops}
            if left := plan(union, self._observe(None, union, touched), {INTERFACES}):
                raise VerifyError(left)
        except BaseException as error:
            self._give_up(INTERFACES, error, self._undo_pending)
            raise

    def _abandon(self, lost: Unreachable) -> None:
        log.warning("%s: rolling back", lost)
        self._give_up(INTERFACES, lost, self._undo_pending)
        raise lost

    def _undo_pending(self) -> bool:
        found = self._journal.pending()
        if found is None:
            return False
        self._put_back({tuple(key) for key in found["touched"]}, from_json(found["back"]), found.get("order", {}))
        self._journal.undo(found)
        if self._before is not None:
            self._desired[INTERFACES] = self._before
            self._before = None
        return True
