"""Who is outside talks to the host without a pause, whatever happens to the package meanwhile."""

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
_MORE = 25
"""Answers that are waited for: half a second's."""


class Flow:
    """Pings, one every 20 ms, for as long as the context lasts."""

    def __enter__(self) -> Self:
        run(*_SPACE, "ip", "address", "replace", f"{OUTSIDE}/32", "dev", "customer0")
        run(*_SPACE, "ip", "route", "replace", f"{HERE}/32", "dev", "customer0")
        self._ping = Process("flow", [*_SPACE, "ping", "-n", "-i", "0.02", HERE])
        self._ping.expect("icmp_seq=")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ping.stop()
        run(*_SPACE, "ip", "route", "delete", f"{HERE}/32", "dev", "customer0")
        run(*_SPACE, "ip", "address", "delete", f"{OUTSIDE}/32", "dev", "customer0")

    def lost(self) -> set[int]:
        """Wait until more pings have been answered; return the numbers of those before that were not."""
        enough = len(self._answered()) + _MORE
        until(lambda: len(self._answered()) >= enough, "more pings are answered")
        answered = self._answered()
        return set(range(min(answered), max(answered))) - answered

    def count(self) -> int:
        """Return how many pings have been answered."""
        return len(self._answered())

    def _answered(self) -> set[int]:
        return {int(found[1]) for line in self._ping.lines.copy() if (found := re.search(r" icmp_seq=(\d+) ", line))}
