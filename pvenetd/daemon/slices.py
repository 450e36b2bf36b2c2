"""Long work in the event loop, in slices: a guest that is plugged meanwhile does not wait for all of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

from pvenetd.precedence import aside

T = TypeVar("T")

SLICE = 0.001
"""Seconds for which others wait; what is begun then is finished."""


async def in_slices(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield *items*, and let others have their turn whenever `SLICE` has passed."""
    began = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() > began + SLICE:
            await aside(began)
            began = time.monotonic()
