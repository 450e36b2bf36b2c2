"""What the daemon has done since it started, in numbers: for `/metrics`."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds up to which durations are counted together."""


@dataclass
class Durations:
    """How long what is of one sort has taken."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    """By `BOUNDS`, each without those before; the last are longer than all of them."""
    total: float = 0.0
    """Seconds."""

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Counts:
    """Counted in whichever thread it happens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.events: Counter[str] = Counter()
        self.ops: Counter[tuple[str, str]] = Counter()
        """By what was done (``+``, ``~``, ``-``) and to what: ``link``, ``address``, …"""
        self.requests: dict[tuple[str, str, int], Durations] = {}
        """By method, path with its parameters' names, status."""
        self.work: dict[tuple[str, str], Durations] = {}
        """By what was worked on, and its outcome: ``done`` or ``failed``."""

    def happened(self, event: str, facts: Mapping[str, Any]) -> None:
        """Count an event."""
        verb, noun, *_ = [*str(facts.get("op", "")).split(), "", ""]
        with self._lock:
            self.events[event] += 1
            if event == "op":
                self.ops[verb, noun] += 1

    def asked(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        with self._lock:
            self.requests.setdefault((method, path, status), Durations()).add(seconds)

    def took(self, work: str, done: bool, seconds: float) -> None:
        """Count work of the engine's."""
        with self._lock:
            self.work.setdefault((work, "done" if done else "failed"), Durations()).add(seconds)
