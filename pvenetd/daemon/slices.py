"""Long work in the event loop, in slices: a guest that is plugged meanwhile does not wait for all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")

SLICE = 8
"""Guests looked at in one go: half a millisecond."""


async def in_slices(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield *items*, and let others have their turn after every `SLICE` of them."""
    for number, item in enumerate(items, 1):
        yield item
        if not number % SLICE:
            await asyncio.sleep(0)
