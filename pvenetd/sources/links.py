"""What changes in the kernel by itself, or by others: its notifications wake whoever has to know."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Collection

log = logging.getLogger("pvenetd.links")

GATHER = 0.1
"""Seconds in which changes of links gather: what is being plugged goes first, and a storm is one call."""


Readable = int | socket.socket


async def watch(events: Collection[Readable], noticed: Callable[[], Awaitable[object]], gather: float = GATHER) -> None:
    """Call *noticed*, *gather* seconds after one of *events* has something to read; it reads it, and may take its time.

    Meanwhile more may come in: that is one call more, however many they are.
    """
    loop = asyncio.get_running_loop()
    while True:
        ready = loop.create_future()
        for one in events:
            loop.add_reader(one, _once, ready)
        try:
            await ready
        finally:
            for one in events:
                loop.remove_reader(one)
        await asyncio.sleep(gather)
        try:
            await noticed()
        except Exception:
            log.exception("a change in the kernel could not be followed")


def _once(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
