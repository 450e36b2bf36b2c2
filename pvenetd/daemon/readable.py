"""Wait for a file descriptor, for a time."""

from __future__ import annotations

import asyncio


async def readable(descriptor: int, seconds: float) -> bool:
    """Return whether there is something to read at *descriptor*, as soon as there is, or after so many *seconds*."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _once, ready)
    try:
        await asyncio.wait_for(ready, seconds)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return True


def _once(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
