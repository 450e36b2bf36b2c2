"""Rules on trial: unless somebody confirms them in time, those that were loaded before count again.

What counted before is on disk before anything is loaded, so a daemon that is killed meanwhile, or a host that loses
its power, comes back with it.  The files stay as they were edited; they do not count until they are changed once
more, or applied.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pvenetd.daemon.rule_files import KEPT, RuleFiles
from pvenetd.daemon.staging import Files
from pvenetd.errors import Conflict

log = logging.getLogger("pvenetd.firewall")

RECORD = f"{KEPT}/trial.json"


@dataclass(frozen=True, slots=True)
class Pending:
    """A trial that waits to be confirmed."""

    id: str
    deadline: float
    """The event loop's time at which it is rolled back."""

    def left(self) -> float:
        """Return the seconds until then."""
        return self.deadline - asyncio.get_running_loop().time()


Load = Callable[[], Awaitable[dict[str, str]]]


class Trial:
    """Whether rules are on trial, and what becomes of it."""

    def __init__(
        self,
        files: Files,
        rule_files: RuleFiles,
        load: Load,
        told: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self._files = files
        self._rule_files = rule_files
        self._load = load
        self._told = told
        self._timer: asyncio.TimerHandle | None = None
        self._rollback: asyncio.Task[object] | None = None
        self.pending: Pending | None = None

    async def begin(self, seconds: float, apply: Load) -> dict[str, str]:
        """Have *apply* load what the files say, to be rolled back after *seconds*; return owner → error.

        What was followed in the minutes before is part of it.  Raises `Conflict` where one waits already.
        """
        self.require_none()
        before = self._rule_files.checkpoint()
        pending = Pending(secrets.token_hex(4), asyncio.get_running_loop().time() + seconds)
        self._files.put(RECORD, json.dumps({"id": pending.id, "before": before}).encode())
        self._wait(pending)
        self._told("waiting", {"firewall": pending.id, "seconds": seconds})
        return await apply()

    def require_none(self) -> None:
        """Raise `Conflict` where rules are on trial."""
        if self.pending:
            raise Conflict(f"firewall apply {self.pending.id} waits to be confirmed: pvenetctl confirm, or rollback")

    def confirm(self, apply: str = "") -> str:
        """Keep the rules that are loaded; return the id of the trial.  Raises `Conflict` where it does not wait."""
        pending = self._waiting(apply)
        self._end()
        self._files.put(RECORD, None)
        self._rule_files.settle()
        self._told("confirmed", {"firewall": pending.id})
        return pending.id

    def extend(self, seconds: float, apply: str = "") -> Pending:
        """Have it wait *seconds* longer.  Raises `Conflict` where it does not wait."""
        pending = self._waiting(apply)
        pending = Pending(pending.id, pending.deadline + seconds)
        self._wait(pending)
        self._told("extended", {"firewall": pending.id, "seconds": seconds})
        return pending

    async def roll_back(self) -> None:
        """Have the rules count again that did before.  Raises `Conflict` where none are on trial."""
        pending = self._waiting("")
        self._end()
        self.recover()
        await self._load()
        self._told("rolled back", {"firewall": pending.id})

    def recover(self) -> bool:
        """Have the texts count again that did before a trial that nobody has confirmed; return whether there was one.

        They have still to be loaded.
        """
        if not (data := self._files.read(RECORD)):
            return False
        try:
            self._rule_files.return_to(json.loads(data)["before"])
            self._files.put(RECORD, None)
        except OSError as error:  # they count nevertheless, and the next start finds the record
            log.error("what counts again cannot be kept for after a restart: %s", error)  # noqa: TRY400
        return True

    def forget(self) -> None:
        """Have no earlier trial be rolled back."""
        self._files.put(RECORD, None)

    def close(self) -> None:
        """Wait for nobody; the next start rolls back."""
        self._end()
        if self._rollback:
            self._rollback.cancel()

    def _waiting(self, apply: str) -> Pending:
        if not (pending := self.pending):
            raise Conflict("nothing waits to be confirmed")
        if apply and apply != pending.id:
            raise Conflict(f"apply {apply} does not wait to be confirmed: {pending.id} does")
        return pending

    def _wait(self, pending: Pending) -> None:
        self._end()
        self.pending = pending
        self._timer = asyncio.get_running_loop().call_at(pending.deadline, self._time_is_up)

    def _end(self) -> None:
        self.pending = None
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        log.warning("rules were not confirmed in time: those before count again")
        self._rollback = asyncio.ensure_future(self.roll_back())
