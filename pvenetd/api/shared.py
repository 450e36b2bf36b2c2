"""One answer for all who ask the same at the same time.

Nobody is given what was found before he asked: whoever comes while an answer is being made waits for the next.  So an
answer is as fresh as one of his own, and a hundred who ask cost two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Shared(Generic[Answer]):
    """Answers that are being made."""

    def __init__(self) -> None:
        self._next: dict[Hashable, asyncio.Future[Answer]] = {}
        """Question → what those wait for who asked since the last was begun."""
        self._making: dict[Hashable, asyncio.Task[None]] = {}

    async def answer(self, question: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return what *make* does, begun after this was asked.  Raises what it raises."""
        if (found := self._next.get(question)) is None:
            found = self._next[question] = asyncio.get_running_loop().create_future()
            found.add_done_callback(_seen)
            if question not in self._making:
                self._making[question] = asyncio.create_task(self._make(question, make))
        return await asyncio.shield(found)

    async def _make(self, question: Hashable, make: Callable[[], Awaitable[Answer]]) -> None:
        try:
            while found := self._next.pop(question, None):
                try:
                    found.set_result(await make())
                except Exception as error:  # noqa: BLE001 - all who asked are told
                    found.set_exception(error)
        finally:
            del self._making[question]


def _seen(found: asyncio.Future[Answer]) -> None:
    """Look at an error: those who asked may all have gone."""
    if not found.cancelled():
        found.exception()
