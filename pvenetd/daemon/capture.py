"""What interfaces send and receive, as pcapng, for who asks for it: so much, so long, and for so many at a time.

Frames are taken from the kernel as fast as the reader takes them from us; what he is too slow for the kernel drops,
and the end of the file says how much that was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Protocol

from pvenetd import pcapng
from pvenetd.daemon.guests import Guests
from pvenetd.daemon.places import ZONE
from pvenetd.daemon.readable import readable
from pvenetd.errors import EditError, KernelError, NotFound, TooMany, Unavailable
from pvenetd.names import is_ifname

MOST = 4
"""Captures at a time."""
TURN = 64
"""Frames that are taken in one go: others are served between two."""
_LOOK = 1.0
"""Seconds after which it is said that nothing has come, so that it is noticed when the reader has gone."""


class Sniffing(Protocol):
    """An interface's frames, until it is closed."""

    def fileno(self) -> int:
        """Return what can be read when a frame has come."""

    def close(self) -> None:
        """End it."""

    def frames(self, most: int) -> list[pcapng.Frame]:
        """Return those that have come since the last call, at most so many.  Raises `KernelError`."""

    def counts(self) -> tuple[int, int]:
        """Return how many there were, and how many of them were dropped."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be captured, and when it is enough."""

    target: str
    """An interface, ``bridge/NAME``, ``vm/VMID`` or ``vm/VMID/netN``."""
    expression: str
    """A filter of libpcap's; empty for all frames."""
    besides: str
    """Another: what is not the capture's own way to its reader."""
    snaplen: int
    """Bytes of each frame that are kept."""
    count: int
    """Frames."""
    seconds: float
    size: int
    """Bytes of the file, but for its end."""


class Captures:
    """Those that run."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests
        self.start: Callable[[str, str, int], Sniffing] | None = None
        """Has the kernel tell of an interface's frames that match an expression, so many bytes of each."""
        self.running = 0

    async def capture(self, wanted: Wanted) -> AsyncGenerator[bytes]:
        """Yield a file, in pieces; an empty one where for a second nothing has come.

        Raises `EditError`, `NotFound`, `TooMany`, `Unavailable`, `KernelError` before the first.
        """
        if self.start is None:
            raise Unavailable("packets are captured by the daemon")
        if self.running >= MOST:
            raise TooMany(f"at most {MOST} captures at a time", _LOOK)
        self.running += 1
        try:
            device = await self._device(wanted.target)
            expression = " and ".join(f"({one})" for one in (wanted.expression, wanted.besides) if one)
            with closing(await asyncio.to_thread(self.start, device, expression, wanted.snaplen)) as sniffer:
                yield pcapng.beginning(device, wanted.target, wanted.expression, wanted.snaplen)
                async with aclosing(_told(sniffer, wanted)) as telling:
                    async for chunk in telling:
                        yield chunk
        finally:
            self.running -= 1

    async def _device(self, target: str) -> str:
        kind, _, name = target.partition("/")
        if kind == "bridge" and is_ifname(name):
            return name
        found = ZONE.fullmatch(target)
        if found and found["vmid"]:
            guest = await self._guests.show(int(found["vmid"]))
            taps = {one["nic"]: one["tap"] for one in guest["nics"]}
            nic = f"net{found['net']}" if found["net"] else min(taps, default="net0", key=lambda one: int(one[3:]))
            if nic not in taps:
                raise NotFound(f"guest {guest['vmid']} has no {nic}")
            return taps[nic]
        if not is_ifname(target):
            raise EditError({"target": "should be an interface, bridge/NAME, vm/VMID or vm/VMID/netN"})
        return target


async def _told(sniffer: Sniffing, wanted: Wanted) -> AsyncGenerator[bytes]:
    """Yield frames, and at last what was lost of them."""
    loop, began = asyncio.get_running_loop(), time.time_ns()
    until = loop.time() + wanted.seconds
    count = size = 0
    while count < wanted.count and size < wanted.size and (left := until - loop.time()) > 0:
        if not await readable(sniffer.fileno(), min(left, _LOOK)):
            yield b""
            continue
        try:
            frames = sniffer.frames(min(TURN, wanted.count - count))
        except KernelError:  # the interface has gone, or down: so has the capture
            break
        chunk = b"".join(map(pcapng.packet, frames))
        count, size = count + len(frames), size + len(chunk)
        yield chunk
    yield pcapng.end(began, time.time_ns(), *sniffer.counts())
