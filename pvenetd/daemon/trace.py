"""Real packets, followed through the kernel's rules for a short time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Protocol

from typing_extensions import TypedDict

from pvenetd.errors import Conflict, Unavailable
from pvenetd.firewall.ruleset import Rule
from pvenetd.firewall.trace import Known, Met, Place, Step, script, ways

QUIET = 0.2
"""Seconds without another step after which packets have come to their ends."""


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
        if self.start is None:
            raise Unavailable("packets are traced by the daemon")
        if self._runs:
            raise Conflict("another trace is running")
        self._runs = True
        try:
            with closing(await asyncio.to_thread(self.start, script(asked, packets))) as tracing:
                steps = await _gathered(tracing, packets, seconds)
                known = await asyncio.to_thread(tracing.known)
        finally:
            self._runs = False
        return [
            {
                "packet": {name.rstrip(":").lower(): value or 1 for name, value in way.headers},
                "text": " ".join(f"{name}={value}" if value else name for name, value in way.headers),
                "steps": way.steps,
            }
            for way in ways(steps, known)[:packets]
        ]


async def _gathered(tracing: Tracing, packets: int, seconds: float) -> list[Step]:
    """Return the steps of as many packets, or of those that come in time, each to its end."""
    loop, found = asyncio.get_running_loop(), list[Step]()
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0:
        enough = len({one.packet for one in found}) >= packets
        if not await _readable(tracing, QUIET if enough else left):
            break
        found += tracing.steps()
    return found


async def _readable(tracing: Tracing, seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(tracing.fileno(), _once, ready)
    try:
        await asyncio.wait_for(ready, seconds)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(tracing.fileno())
    return True


def _once(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
