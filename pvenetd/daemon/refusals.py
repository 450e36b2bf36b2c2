"""Whether any guest refuses anything: only then who sends by way of the host is to be told of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pvenetd.engine import Engine
from pvenetd.errors import PvenetError
from pvenetd.firewall.sent import refuses
from pvenetd.state import Chains, State

log = logging.getLogger("pvenetd.guard")


class Refusals:
    """Follows what guests want, one by one: looking at all of them would cost each more, the more there are."""

    def __init__(self, engine: Engine, changed: Callable[[], Awaitable[object]]) -> None:
        self._changed = changed
        """Called in the event loop when the first guest refuses something, and when the last does no more."""
        self._refusing: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[asyncio.Future[None]] = set()
        engine.wanted = self._wanted

    @property
    def any(self) -> bool:
        """Return whether any guest refuses anything."""
        return bool(self._refusing)

    def follow(self) -> None:
        """Tell of changes from now on, in this event loop."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Tell of nothing any more."""
        self._loop = None
        for task in self._running:
            task.cancel()

    def _wanted(self, owner: str, wanted: State) -> None:
        """Note what *owner* wants; called in the applier thread."""
        before, chains = self.any, wanted.get(("chains", owner))
        if isinstance(chains, Chains) and refuses(chains.text):
            self._refusing.add(owner)
        else:
            self._refusing.discard(owner)
        if self._loop and self.any != before:
            self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        task = asyncio.ensure_future(self._tell())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _tell(self) -> None:
        try:
            await self._changed()
        except PvenetError as error:
            log.error("refusals of what the host sends: %s", error)  # noqa: TRY400
