"""Pings without an end, judged by the numbers of their answers.

Not by ping's own summary: interrupted, it counts the echo that is on its way as lost, and with a number to send it
waits for the last answer no longer than for two round trips.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from tests.sandbox.process import Process

_ANSWER = re.compile(r"\[([\d.]+)\] .*bytes from .* icmp_seq=(\d+) ")


class Pings:
    """A ping(8) that has been answered once, with *prefix* before its command."""

    def __init__(self, prefix: Sequence[object], address: str, interval: float = 0.1) -> None:
        self.process = Process("ping", [*prefix, "ping", "-D", "-n", "-i", interval, address])
        self.go_on(1)

    def go_on(self, answers: int = 5) -> None:
        """Wait for so many answers from now on."""
        self.process.skip()
        for _ in range(answers):
            self.process.expect("bytes from")

    def lost(self) -> list[int]:
        """Return the numbers of those that were not answered, though a later one was."""
        numbers = {int(found[2]) for found in self._answers()}
        return sorted(set(range(1, max(numbers))) - numbers)

    def longest_silence(self) -> float:
        """Return the seconds between two answers, at most, by ping's own time stamps."""
        return max(float(later[1]) - float(earlier[1]) for earlier, later in pairwise(self._answers()))

    def stop(self) -> int:
        """End it."""
        return self.process.stop()

    def _answers(self) -> list[re.Match[str]]:
        return [found for line in self.process.lines if (found := _ANSWER.match(line))]
