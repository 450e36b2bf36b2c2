"""Real packets, followed through the kernel's rules for a short time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from typing import Protocol

from typing_extensions import TypedDict

from pvenetd.daemon.readable import readable
from pvenetd.errors import Conflict, Unavailable
from pvenetd.firewall.ruleset import Rule
from pvenetd.firewall.trace import TABLE, Known, Met, Place, Step, Way, found, script

QUIET = 0.2
"""Seconds without another step after which packets have come to their ends."""
_LOOK = 1.0
"""Seconds after which it is said that nothing has come."""


class Tracing(Protocol):
    """The kernel, telling of packets until it is closed."""

    def fileno(self) -> int:
        """Return what can be read when there is something."""

    def close(self) -> None:
        """End it."""

    def known(self) -> dict[Place, Known]:
        """Return the rules there are."""

    def steps(self) -> list[Step]:
        """Return what was told since the last call."""


class TracedPacket(TypedDict):
    """A packet, and the rules it met."""

    packet: dict[str, str | int]
    """Its headers by name; a flag is 1."""
    text: str
    steps: list[Met]
    verdict: str
    """What became of it: ``accept``, ``drop``, …"""


Told = tuple[int, Way, Met | None]
"""A packet's number, from 1, its way so far, and the rule it has just met; none where it has just been seen."""


class Trace:
    """One trace at a time."""

    def __init__(self) -> None:
        self.start: Callable[[str], Tracing] | None = None
        """Has the kernel tell of the packets that a script chooses."""
        self._runs = False

    async def run(self, asked: Rule, packets: int, seconds: float) -> list[TracedPacket]:
        """Return the ways of the first *packets* that *asked* matches, and of their answers, within *seconds*.

        Raises `Conflict`, `Unavailable`, `KernelError`.
        """
        ways: dict[int, Way] = {}
        async with aclosing(self.follow(asked, packets, seconds)) as telling:
            async for news in telling:
                ways |= {number: way for number, way, _ in news}
        return [record(way) for way in ways.values()]

    async def follow(self, asked: Rule, packets: int, seconds: float) -> AsyncGenerator[list[Told]]:
        """Yield what packets meet as they meet it, for as long as `run` would take; at once, and each second, nothing.

        Raises `Conflict`, `Unavailable`, `KernelError` before the first.
        """
        if self.start is None:
            raise Unavailable("packets are traced by the daemon")
        if self._runs:
            raise Conflict("another trace is running")
        self._runs = True
        try:
            with closing(await asyncio.to_thread(self.start, script(asked, packets))) as tracing:
                yield []
                async with aclosing(_told(tracing, packets, seconds)) as telling:
                    async for news in telling:
                        yield news
        finally:
            self._runs = False


def record(way: Way) -> TracedPacket:
    """Return a way as it is told."""
    packet = {name.rstrip(":").lower(): value or 1 for name, value in way.headers}
    return {"packet": packet, "text": way.text, "steps": way.steps, "verdict": way.verdict}


async def _told(tracing: Tracing, packets: int, seconds: float) -> AsyncGenerator[list[Told]]:
    """Yield the steps of as many packets, or of those that come in time, each to its end."""
    loop, ways = asyncio.get_running_loop(), dict[int, Way]()
    known: dict[Place, Known] = {}
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0:
        enough = len(ways) >= packets
        if await readable(tracing.fileno(), min(left, QUIET if enough else _LOOK)):
            steps = tracing.steps()
            unknown = {one.place for one in steps if one.place.table != TABLE and not found(one.place, known)}
            if any(place.handle for place in unknown):  # rules may have come since
                known |= dict.fromkeys(unknown, Known("", "")) | await asyncio.to_thread(tracing.known)
            yield _taken(steps, known, ways, packets)
        elif enough:
            return
        else:
            yield []


def _taken(steps: list[Step], known: dict[Place, Known], ways: dict[int, Way], packets: int) -> list[Told]:
    told: list[Told] = []
    for one in steps:
        is_new = one.packet not in ways
        if is_new and len(ways) >= packets:
            continue
        way = ways.setdefault(one.packet, Way())
        met, number = way.take(one, known), [*ways].index(one.packet) + 1
        told += [(number, way, None)] * is_new + ([(number, way, met)] if met else [])
    return told
