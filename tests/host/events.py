"""What the kernel tells of the host's links, addresses and routes while something is done to the host."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tests.netns import run
from tests.patience import until
from tests.sandbox.process import Process

_MARK = "198.51.100."
"""Routes that come and go tell where in the listing one is."""


class Events:
    """Those that come for as long as the context lasts."""

    def __init__(self) -> None:
        self._marks = 0
        self._told = 0

    def __enter__(self) -> Self:
        self._monitor = Process("ip monitor", ["ip", "monitor", "link", "address", "route"])
        until(lambda: self._mark() and any(_MARK in line for line in self._monitor.lines.copy()), "events are told")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._monitor.stop()

    def told(self) -> list[str]:
        """Return the lines that were told since this was last asked."""
        self._monitor.expect(f"^Deleted .*{self._mark()}( |$)")
        before, lines = self._told, self._monitor.lines.copy()
        self._told = len(lines)
        return [line for line in lines[before:] if _MARK not in line]

    def _mark(self) -> str:
        self._marks += 1
        address = f"{_MARK}{self._marks % 250 + 1}"
        run("ip", "route", "add", "blackhole", address)
        run("ip", "route", "delete", "blackhole", address)
        return address
