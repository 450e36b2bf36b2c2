"""Who goes first: changes before questions, where both want the event loop or the applier.

A question steps aside while a change has precedence, and answers leave one at a time, so that a guest that is plugged
never waits for all who read.  Precedence ends after `FIRST` seconds, as an apply may take a minute.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

FIRST = 0.25
"""Seconds for which a change has precedence."""
UNKNOWN = 0.02
"""Seconds for which has precedence what may become a change."""
PATIENCE = 0.05
"""Seconds that a question steps aside at most, before each slice and each answer: changes may never end."""
LONGEST_REST = 0.01
"""Seconds."""
_IN_A_ROW = 16
"""Jobs of changes after which one of a question has its turn."""

ASKING: ContextVar[Precedence | None] = ContextVar("ASKING", default=None)
"""Set where a question is answered: what is done there can wait."""

P = ParamSpec("P")
T = TypeVar("T")


class Precedence:
    """Of one event loop."""

    def __init__(self) -> None:
        self._first = 0
        """Changes that have precedence."""
        self._free: asyncio.Future[None] | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._letting: asyncio.Task[None] | None = None

    @contextmanager
    def first(self) -> Iterator[None]:
        """Have precedence."""
        end = self.begin(FIRST)
        try:
            yield
        finally:
            end()

    def begin(self, seconds: float, over: Callable[[], object] = bool) -> Callable[[], None]:
        """Have precedence for *seconds* at most; return what ends it, which does no harm afterwards.

        *over* is called when it has ended, whichever way.
        """
        self._first += 1
        is_over = False

        def end() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                timer.cancel()
                self._ended()
                over()

        timer = asyncio.get_running_loop().call_later(seconds, end)
        return end

    def _ended(self) -> None:
        self._first -= 1
        if not self._first and self._free:
            self._free.set_result(None)
            self._free = None

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Be a question: what is done within steps aside."""
        before = ASKING.set(self)
        try:
            yield
        finally:
            ASKING.reset(before)

    async def aside(self, seconds: float = PATIENCE) -> None:
        """Let others have their turn, and changes all of theirs, *seconds* at most."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        await asyncio.sleep(0)
        while self._first and (left := until - loop.time()) > 0:
            if self._free is None:
                self._free = loop.create_future()
            await asyncio.wait([self._free], timeout=left)

    async def through(self) -> None:
        """Wait for one's turn among the questions: one at a time, and none before a change."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if self._letting is None or self._letting.done():
            self._letting = loop.create_task(self._let())
        await turn

    async def rest(self, since: float) -> None:
        """Where many ask, do nothing for as long as was worked *since*: a change finds the event loop free."""
        if self._waiting:
            await asyncio.sleep(min(asyncio.get_running_loop().time() - since, LONGEST_REST))

    async def _let(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await self.aside()
            if not (turn := self._waiting.popleft()).done():
                began = loop.time()
                turn.set_result(None)
                await asyncio.sleep(0)  # which he takes
                await self.rest(began)


async def aside(since: float | None = None) -> None:
    """Let others have their turn, within a question changes all of theirs; *since* then was worked."""
    if asked := ASKING.get():
        if since is not None:
            await asked.rest(since)
        await asked.aside()
    else:
        await asyncio.sleep(0)


class Turns(Executor):
    """One thread that runs jobs in turn, those of questions after others'."""

    def __init__(self, name: str) -> None:
        self._changes: deque[Callable[[], None]] = deque()
        self._questions: deque[Callable[[], None]] = deque()
        self._news: SimpleQueue[bool] = SimpleQueue()
        """True for each job that was queued; False at the end."""
        self._row = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._begun = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a job; whether it can wait tells the context of who asks."""
        found: Future[T] = Future()
        (self._questions if ASKING.get() else self._changes).append(lambda: _run(found, fn, *args, **kwargs))
        self._news.put(item=True)
        if not self._begun:
            self._begun = True
            self._thread.start()
        return found

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End when all is done that is queued."""
        del cancel_futures
        self._news.put(item=False)
        if wait and self._begun:
            self._thread.join()

    def _run(self) -> None:
        while self._news.get():
            is_fair = self._row < _IN_A_ROW or not self._questions
            self._row = self._row + 1 if self._changes and is_fair else 0
            (self._changes if self._row else self._questions).popleft()()


def _run(found: Future[T], fn: Callable[..., T], *args: Any, **kwargs: Any) -> None:
    if not found.set_running_or_notify_cancel():
        return
    try:
        found.set_result(fn(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001 - whoever asked is told
        found.set_exception(error)
