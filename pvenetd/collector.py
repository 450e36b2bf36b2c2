"""Python's garbage collector, told what this program is like: many small values that live long, and few cycles."""

from __future__ import annotations

import asyncio
import ctypes
import gc

_YOUNG = 300_000
"""New objects after which the young ones are looked through (Python's own: 700): reading 5,000 stanzas makes fewer."""

_EVERY = 20.0
"""Seconds after which the youngest are looked through: a millisecond or two."""


def tune() -> None:
    """Leave alone what has been loaded, and look seldom: half the time to read a long file is else spent looking."""
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)


async def tidy() -> None:
    """Look through the youngest now and then: each connection leaves a cycle, its transport that knows itself.

    What the C library keeps of freed memory, some 10 MB after thousands of plugs, goes back to the kernel: half a
    millisecond.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone, malloc_trim(3)
    while True:
        await asyncio.sleep(_EVERY)
        gc.collect(0)
        if trim:
            trim(0)
