"""How long tests wait for what comes in its own time: patience costs nothing when a test passes.

Machines that run the tests differ in pace by more than an order of magnitude, and one of them does several things at
once.  So a test waits for what is to be, until it is; what it waits for in vain is ended by `tests.run`'s limits.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds for anything that takes one or two on a machine that has nothing else to do."""

_PAUSE = 0.02
"""Seconds between two questions: who asks without a pause keeps the machine from what is waited for."""


def until(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Ask until *holds*; fail, with *what* it was, after *seconds*."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(_PAUSE)
