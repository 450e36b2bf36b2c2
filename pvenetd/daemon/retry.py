"""What failed is tried again, later and later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

FIRST, MOST = 1.0, 60.0
"""Seconds until the first time, and the longest between two; each is twice the one before."""


class Retry:
    """Calls *again* for what failed, until it is done."""

    def __init__(self, again: Callable[[int], Awaitable[object]], first: float = FIRST) -> None:
        self._again = again
        self._first = first
        self._waits: dict[int, float] = {}
        """Seconds that were waited last for each that is not done."""
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._running: set[asyncio.Future[object]] = set()

    def failed(self, what: int) -> None:
        """Have *what* tried again; if it waits for that already, no sooner and no later."""
        if what in self._timers:
            return
        wait = self._waits[what] = min(self._waits.get(what, self._first / 2) * 2, MOST)
        self._timers[what] = asyncio.get_running_loop().call_later(wait, self._try, what)

    def done(self, what: int) -> None:
        """Forget *what*."""
        self._waits.pop(what, None)
        if timer := self._timers.pop(what, None):
            timer.cancel()

    def close(self) -> None:
        """Try nothing any more."""
        for what in list(self._waits):
            self.done(what)
        for task in self._running:
            task.cancel()

    def _try(self, what: int) -> None:
        del self._timers[what]
        task = asyncio.ensure_future(self._again(what))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
