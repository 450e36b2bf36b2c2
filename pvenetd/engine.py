"""When, in what order, and back: the one place that changes the machine.

All work runs in one applier thread: the kernel works inside sendmsg(), so the event loop must not
wait for it, and a thread is not cancelled half-way.  Its queue is the engine's: no locks, no two plans at once.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pvenetd.errors import Conflict, KernelError, PvenetError, VerifyError
from pvenetd.journal import Journal
from pvenetd.plan import Op, again, plan, undo
from pvenetd.resource import Key, Resource
from pvenetd.state import INTERFACES, Chains, State, from_json, to_json

log = logging.getLogger("pvenetd.engine")

T = TypeVar("T")

AS_IT_WAS = "rolled back: the host is as it was"


class Machine(Protocol):
    """The seam to the machine: the kernel, or a fake of it."""

    def observe(self, keys: Collection[Key] = (), *, only: bool = False, anew: Collection[Key] = ()) -> State:
        """Return what there is, the sysctls among *keys* too; with *only*, nothing but *keys*.

        *anew* are read anew even where no event told of a change.
        """

    def owned(self, owner: str) -> list[Key]:
        """Return the links marked as *owner*'s."""

    def apply(self, op: Op) -> None:
        """Carry out one operation.  Raises `KernelError`."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An apply that waits to be confirmed."""

    id: str
    deadline: float
    """The event loop's time at which it is rolled back."""
    ops: tuple[Op, ...]
    seconds: float


class Engine:
    """Keeps each owner's State, and the machine in step with it."""

    def __init__(self, machine: Machine, journal: Journal) -> None:
        self._machine = machine
        self._journal = journal
        self._applier = ThreadPoolExecutor(max_workers=1, thread_name_prefix="applier")
        self._desired: dict[str, State] = {}
        self._before: dict[str, State] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rollback: asyncio.Task[None] | None = None
        self._applying: asyncio.Task[tuple[Op, ...]] | None = None
        self.pending: Pending | None = None
        self.failed: dict[str, str] = {}
        """Owner → why its last apply failed."""
        self.told: Callable[[str, Mapping[str, Any]], None] = _nobody
        """Called, in the event loop or the applier, with what has happened: an event's name and its facts."""

    def close(self) -> None:
        """Let the applier end."""
        if self._timer:
            self._timer.cancel()
        self._applier.shutdown(wait=True)

    async def work(self, job: Callable[[], T]) -> T:
        """Run *job* in the applier thread, after what is queued there, to its end even if the caller is cancelled."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._applier, job))

    def desired(self) -> dict[Key, Resource]:
        """Return the union of all owners' States."""
        return {key: resource for wanted in self._desired.values() for key, resource in wanted.items()}

    def owners(self) -> dict[str, State]:
        """Return each owner's State."""
        return dict(self._desired)

    async def observe(self, keys: Collection[Key] = ()) -> State:
        """Return what the machine has."""
        return await self.work(lambda: self._machine.observe(keys))

    async def look(self, keys: Collection[Key]) -> State:
        """Return what the machine has of *keys* alone."""
        return await self.work(lambda: self._machine.observe(keys, only=True))

    async def plan(self, owner: str, wanted: State) -> tuple[Op, ...]:
        """Return what `desire` or `apply` would do."""

        def job() -> tuple[Op, ...]:
            union = self._union(owner, wanted)
            return plan(union, self._observe(None, union), {owner})

        return await self.work(job)

    async def adopt(self, owner: str, wanted: State) -> None:
        """Take *wanted* for what *owner* desires without touching the machine: it was applied by an earlier run."""
        await self.work(lambda: self._desired.__setitem__(owner, wanted))

    async def desire(self, owner: str, wanted: State) -> tuple[Op, ...]:
        """Bring the machine to what *owner* wants now, and return what was done.

        On failure what was touched is put back as it was, and *owner* wants what it wanted before.
        Raises `KernelError`, `VerifyError`, `Conflict`.
        """
        return await self.work(lambda: self._converge(owner, wanted))

    async def restore(self) -> tuple[Op, ...]:
        """Load again the chains that somebody has taken away or changed, and return what was done.

        Without them guests would be open: ``nft flush ruleset`` is how other programs begin.
        """
        return await self.work(self._restore)

    async def apply(
        self, wanted: State, files: Mapping[str, list[str | None]], confirm: float | None = None
    ) -> tuple[Op, ...]:
        """Bring the interfaces to *wanted*, with a record on disk before the first operation.

        *files* are contents before and after, as `Journal` keeps them.  With *confirm*, it is rolled
        back after so many seconds unless `confirm` is called.  Raises as `desire` does.
        """
        if self.pending:
            raise Conflict("an apply waits to be confirmed: pvenetctl confirm, or pvenetctl rollback")
        if any(task and not task.done() for task in (self._applying, self._rollback)):
            raise Conflict("another apply, or its rollback, is running")
        if self.stuck():
            raise Conflict("an earlier apply could not be rolled back: pvenetctl rollback tries again")
        # A task of its own: a caller that goes away must not take the deadline with it.
        self._applying = asyncio.create_task(self._apply_and_wait(wanted, files, confirm))
        return await asyncio.shield(self._applying)

    async def _apply_and_wait(
        self, wanted: State, files: Mapping[str, list[str | None]], confirm: float | None
    ) -> tuple[Op, ...]:
        before = self._desired.get(INTERFACES, {})
        ops = await self.work(lambda: self._apply(wanted, files, keep=confirm is not None))
        if confirm is not None:
            self._wait(ops, confirm, before)
        return ops

    def stuck(self) -> bool:
        """Return whether a rollback failed: its record is still there, and nothing waits to be confirmed."""
        return self.pending is None and self._journal.pending() is not None

    async def confirm(self) -> None:
        """Keep what waits.  Raises `Conflict` where nothing does."""
        pending = self._end_wait()
        await self.work(self._journal.commit)
        self.told("confirmed", {"apply": pending.id})

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

    def _wait(self, ops: tuple[Op, ...], seconds: float, before: State) -> None:
        loop = asyncio.get_running_loop()
        self.pending = Pending(secrets.token_hex(4), loop.time() + seconds, ops, seconds)
        self._before[INTERFACES] = before
        self._timer = loop.call_later(seconds, self._time_is_up)
        self.told("waiting", {"apply": self.pending.id, "seconds": seconds})

    def _end_wait(self) -> Pending:
        if not (pending := self.pending):
            raise Conflict("nothing waits to be confirmed")
        self.pending = None
        if self._timer:
            self._timer.cancel()
            self._timer = None
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

    def _converge(self, owner: str, wanted: State) -> tuple[Op, ...]:
        """Bring one guest, or the firewall, to *wanted*; its rollback needs no disk: a restart converges anyway."""
        keys = self._scope(owner, wanted)
        union = self._union(owner, wanted) if keys is None else wanted
        before = self._observe(keys, union)
        ops = plan(union, before, {owner})
        touched = {op.resource.key for op in ops}
        self._run(owner, ops, before, lambda: plan(union, self._observe(keys, union, touched), {owner}))
        self._keep(owner, wanted)
        return ops

    def _restore(self) -> tuple[Op, ...]:
        wanted = {key: one for key, one in self.desired().items() if isinstance(one, Chains)}
        live = self._machine.observe(wanted.keys(), only=True)
        ops = plan(wanted, live)
        if ops:
            log.warning("somebody has changed our chains: %s", ", ".join(op.resource.describe() for op in ops))
        self._steps("firewall", ops)
        return ops

    def _apply(self, wanted: State, files: Mapping[str, list[str | None]], *, keep: bool) -> tuple[Op, ...]:
        union = self._union(INTERFACES, wanted)
        before = self._observe(None, union)
        ops = again(union, plan(union, before, {INTERFACES}))
        unchanged = all(before == after for before, after in files.values()) and self._journal.previous() is not None
        if not ops and unchanged and not keep:
            self._keep(INTERFACES, wanted)
            return ops
        back = undo(ops, before)
        touched = {op.resource.key for op in ops} | back.keys()
        record = {"touched": [list(key) for key in touched], "back": to_json(back), "files": dict(files)}
        try:
            self._journal.begin(record)
            self._steps(INTERFACES, ops)
            if left := plan(union, self._observe(None, union, touched), {INTERFACES}):
                raise VerifyError(left)
        except BaseException as error:
            self._give_up(INTERFACES, error, lambda: self._undo_pending(keep_desired=True))
            raise
        if not keep:
            self._journal.commit()
        self._keep(INTERFACES, wanted)
        return ops

    def _undo_pending(self, *, keep_desired: bool = False) -> bool:
        record = self._journal.pending()
        if record is None:
            return False
        self._put_back({tuple(key) for key in record["touched"]}, from_json(record["back"]))
        self._journal.undo(record)
        if not keep_desired and INTERFACES in self._before:
            self._desired[INTERFACES] = self._before.pop(INTERFACES)
        return True

    def _run(self, owner: str, ops: tuple[Op, ...], before: State, left: Callable[[], tuple[Op, ...]]) -> None:
        if not ops:
            return
        try:
            self._steps(owner, ops)
            if rest := left():
                raise VerifyError(rest)
        except BaseException as error:
            back = undo(ops, before)
            self._give_up(owner, error, lambda: self._put_back({op.resource.key for op in ops} | back.keys(), back))
            raise

    def _steps(self, owner: str, ops: Iterable[Op]) -> None:
        for op in ops:
            log.info("%s", op, extra={"owner": owner, "op": str(op), "origin": op.resource.origin})
            self._machine.apply(op)
            self.told("op", {"owner": owner, "op": str(op), "origin": op.resource.origin})

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

    def _put_back(self, touched: Collection[Key], back: State) -> None:
        """Bring *touched* back, however many of them fail on the way; then say what could not be."""
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
        now = self._machine.observe(touched, anew=touched)
        wanted = {**{key: value for key, value in now.items() if key not in touched}, **back}
        if left := plan(wanted, now):
            raise VerifyError(left)

    def _union(self, owner: str, wanted: State) -> State:
        """Return what all want, *owner* now *wanted*."""
        others = (state for name, state in self._desired.items() if name != owner)
        return {key: value for state in (*others, wanted) for key, value in state.items()}

    def _scope(self, owner: str, wanted: State) -> set[Key] | None:
        """Return the keys a guest's plan is about, None for owners whose plan is about all there is."""
        if not owner.startswith("vm:"):
            return None
        keys = {*wanted, *self._desired.get(owner, {}), *self._machine.owned(owner), ("chains", owner)}
        return keys | {need for resource in wanted.values() for need in resource.needs}

    def _observe(self, keys: Collection[Key] | None, union: State, anew: Collection[Key] = ()) -> State:
        if keys is None:
            return self._machine.observe(union.keys(), anew=anew)
        return self._machine.observe(keys, only=True, anew=anew)

    def _keep(self, owner: str, wanted: State) -> None:
        self.failed.pop(owner, None)
        if wanted:
            self._desired[owner] = wanted
        else:
            self._desired.pop(owner, None)


def _nobody(what: str, facts: Mapping[str, Any]) -> None:
    """Hear what has happened, where nobody listens."""
    del what, facts
