"""Who is outside talks to the host, or to a guest, without a pause, whatever happens meanwhile."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Self

from tests.netns import run
from tests.patience import until
from tests.sandbox.process import Process

HERE, OUTSIDE = "192.0.2.2", "192.0.2.9"
"""The host's address, and the one that asks."""
_SPACE = ("ip", "netns", "exec", "provider")
_MORE = 0.5
"""Seconds' worth of answers that are waited for."""


class Pings:
    """Pings from outside, with so many seconds between two, from when the first is answered."""

    def __init__(self, target: str, pause: float = 0.02) -> None:
        self._more = int(_MORE / pause)
        self._ping = Process(f"pings of {target}", [*_SPACE, "ping", "-n", "-i", pause, target])
        self._ping.expect("icmp_seq=")

    def lost(self) -> set[int]:
        """Wait until more pings have been answered; return the numbers of those before that were not."""
        enough = self.count() + self._more
        until(lambda: self.count() >= enough, "more pings are answered")
        answered = self._answered()
        return set(range(min(answered), max(answered))) - answered

    def count(self) -> int:
        """Return how many pings have been answered."""
        return len(self._answered())

    def stop(self) -> None:
        """End them."""
        self._ping.stop()

    def _answered(self) -> set[int]:
        return {int(found[1]) for line in self._ping.lines.copy() if (found := re.search(r" icmp_seq=(\d+) ttl", line))}


class Flow:
    """Pings of the host, for as long as the context lasts."""

    def __enter__(self) -> Self:
        run(*_SPACE, "ip", "address", "replace", f"{OUTSIDE}/32", "dev", "customer0")
        run(*_SPACE, "ip", "route", "replace", f"{HERE}/32", "dev", "customer0")
        self._pings = Pings(HERE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pings.stop()
        run(*_SPACE, "ip", "route", "delete", f"{HERE}/32", "dev", "customer0")
        run(*_SPACE, "ip", "address", "delete", f"{OUTSIDE}/32", "dev", "customer0")

    def lost(self) -> set[int]:
        """Wait until more pings have been answered; return the numbers of those before that were not."""
        return self._pings.lost()

    def count(self) -> int:
        """Return how many pings have been answered."""
        return self._pings.count()
