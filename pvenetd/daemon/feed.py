"""What is told, oldest first, as far as it is remembered; who wants the next of it can wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

Record = Mapping[str, Any]


class Feed:
    """Records with increasing ids.  Who waits holds nobody up: what he is too slow for is forgotten.

    It is told of something in whichever thread that happens.
    """

    def __init__(self, most: int) -> None:
        """Remember *most* of them."""
        self._kept: deque[dict[str, Any]] = deque(maxlen=most)
        self._last = 0
        self._adding = threading.Lock()
        self._news: asyncio.Future[None] | None = None

    def __iter__(self) -> Iterator[Record]:
        return iter(self._now())

    @property
    def newest(self) -> int:
        """Return the id of the last record, 0 where there never was any."""
        return self._last

    @property
    def oldest(self) -> int:
        """Return the id of the first record that is remembered, of the next where there is none."""
        kept = self._now()
        return int(kept[0]["id"]) if kept else self._last + 1

    def add(self, facts: Record) -> None:
        """Tell of something."""
        with self._adding:
            self._last += 1
            self._kept.append({"id": self._last, **facts})
        if news := self._news:
            with suppress(RuntimeError):  # the loop has ended
                news.get_loop().call_soon_threadsafe(_wake, news)

    def since(self, number: int, wanted: Callable[[Record], bool] = bool) -> list[Record]:
        """Return the records after id *number* that are *wanted*."""
        found = []
        for one in reversed(self._now()):
            if one["id"] <= number:
                break
            if wanted(one):
                found.append(one)
        return found[::-1]

    def _now(self) -> tuple[dict[str, Any], ...]:
        """Return what is remembered, taken in one go: another thread may be adding to it."""
        return tuple(self._kept)

    async def after(self, number: int, seconds: float, wanted: Callable[[Record], bool] = bool) -> list[Record]:
        """Return the records after id *number* that are *wanted*, as soon as there are some; none after *seconds*."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    if self._news is None or self._news.done():
                        self._news = asyncio.get_running_loop().create_future()
                    news = self._news  # first, so that what is told from now on wakes
                    if found := self.since(number, wanted):
                        return found
                    await asyncio.shield(news)
        return self.since(number, wanted)


def _wake(news: asyncio.Future[None]) -> None:
    if not news.done():
        news.set_result(None)
