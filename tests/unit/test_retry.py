"""What failed is tried again, later and later."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from pvenetd.daemon.retry import Retry
from tests.patience import PATIENCE

SOON = 0.001
"""Seconds."""


async def test_what_failed_is_tried_again_until_it_is_done_each_time_later() -> None:
    loop = asyncio.get_running_loop()
    times = [loop.time()]
    done = asyncio.Event()

    async def again(what: int) -> None:
        assert what == 100
        times.append(loop.time())
        if len(times) < 6:
            retry.failed(what)
        else:
            retry.done(what)
            done.set()

    retry = Retry(again, first=SOON)
    retry.failed(100)
    retry.failed(100)
    async with asyncio.timeout(PATIENCE):
        await done.wait()
    waits = [after - before for before, after in pairwise(times)]
    assert len(waits) == 5, "told of twice, it is still tried once"
    assert all(wait >= SOON * 2**number for number, wait in enumerate(waits))


async def test_what_is_done_or_closed_is_not_tried_again() -> None:
    tried: asyncio.Queue[int] = asyncio.Queue()

    async def again(what: int) -> None:
        await tried.put(what)

    retry = Retry(again, first=SOON)
    retry.failed(100)
    retry.done(100)
    retry.failed(101)
    retry.close()
    other = Retry(again, first=SOON * 5)
    other.failed(102)
    async with asyncio.timeout(PATIENCE):
        assert await tried.get() == 102, "those before it would have been tried sooner"
