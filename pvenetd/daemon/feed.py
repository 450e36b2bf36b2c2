"""What is told, oldest first, as far as it is remembered; who wants the next of it can wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

Record = Mapping[str, Any]


class Feed:
    """Records with increasing ids.  Who waits holds nobody up: what he is too slow for is forgotten."""

    def __init__(self, most: int) -> None:
        """Remember *most* of them."""
        self._kept: deque[dict[str, Any]] = deque(maxlen=most)
        self._last = 0
        self._news: asyncio.Future[None] | None = None

    def __iter__(self) -> Iterator[Record]:
        return iter(self._kept)

    def add(self, facts: Record) -> None:
        """Tell of something."""
        self._last += 1
        self._kept.append({"id": self._last, **facts})
        if self._news and not self._news.done():
            self._news.set_result(None)

    def since(self, number: int, wanted: Callable[[Record], bool] = bool) -> list[Record]:
        """Return the records after id *number* that are *wanted*."""
        found = []
        for one in reversed(self._kept):
            if one["id"] <= number:
                break
            if wanted(one):
                found.append(one)
        return found[::-1]

    async def after(self, number: int, seconds: float, wanted: Callable[[Record], bool] = bool) -> list[Record]:
        """Return the records after id *number* that are *wanted*, as soon as there are some; none after *seconds*."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (found := self.since(number, wanted)):
                    if self._news is None or self._news.done():
                        self._news = asyncio.get_running_loop().create_future()
                    await asyncio.shield(self._news)
                return found
        return self.since(number, wanted)
