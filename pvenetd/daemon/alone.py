"""One writer at a time, of whatever process: a lock that is waited for with patience."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from pvenetd.errors import Conflict

PATIENCE = 10.0
"""Seconds a writer waits for another."""
_PAUSE = 0.005
"""Seconds between two looks at the lock: flock(2) knows no deadline, and a thread that waits in it no end."""


class Locks(Protocol):
    """Files that can be locked."""

    def lock(self, name: str) -> Callable[[], None] | None:
        """Return what lets go of the lock, None where somebody has it."""


@asynccontextmanager
async def alone(files: Locks, name: str, busy: str, patience: float = PATIENCE) -> AsyncIterator[None]:
    """Hold the lock file *name*.  Raises `Conflict`, which says *busy*, after *patience* seconds."""
    until = time.monotonic() + patience
    while (release := files.lock(name)) is None:
        if time.monotonic() > until:
            raise Conflict(busy)
        await asyncio.sleep(_PAUSE)
    try:
        yield
    finally:
        release()
