"""How long work takes, told to whoever counts it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pvenetd.state import State

Took = Callable[[str, bool, float], object]
"""Given what was worked on (``plan``, ``plug``, …), whether that was done, and the seconds it took."""


@dataclass
class Work:
    """What is worked on: without a name it is not told, for nothing had to be done."""

    name: str = ""


@contextmanager
def measured(took: Took, name: str = "") -> Iterator[Work]:
    """Have *took* told how long what is done within takes."""
    work, began, done = Work(name), time.perf_counter(), False
    try:
        yield work
        done = True
    finally:
        if work.name:
            took(work.name, done, time.perf_counter() - began)


def change(owner: str, before: State, after: State) -> str:
    """Return what becomes of *owner*: of a guest ``plug`` or ``unplug``, or ``guest`` where its ports stay."""
    if not owner.startswith("vm:"):
        return owner
    more = _ports(after) - _ports(before)
    return "guest" if not more else "plug" if more > 0 else "unplug"


def unmeasured(work: str, done: bool, seconds: float) -> None:
    """Measure nothing."""
    del work, done, seconds


def _ports(state: State) -> int:
    return sum(bool(getattr(one, "master", None)) for one in state.values())
