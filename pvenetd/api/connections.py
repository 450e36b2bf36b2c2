"""Connections from the network: how many there may be, and how long one may keep still.

A connection is served by what `serving` makes; one that is not in the middle of a request for `Limits.still` seconds is
ended: it has not sent its request, or not taken its answer, or has nothing more to ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger("pvenetd.api")

HANDSHAKE = 15.0
"""Seconds TLS has to begin."""
GOODBYE = 5.0
"""Seconds TLS has to end."""
_QUIET = 10.0
"""Seconds in which no more is said of who is turned away."""
_PAUSE = 0.5
"""Seconds until another connection is taken, where there was no room for one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many, and how long."""

    still: float = 60.0
    """Seconds for a request to come whole, for an answer to be taken, and between two of them."""
    most: int = 400
    """Connections at a time; a service of systemd's has 1,024 file descriptors."""
    most_of_one: int = 250
    """Connections at a time of one address."""
    head: int = 5 << 18
    """Bytes of a request's head, and of what of its body may come before the request is begun with."""


LIMITS = Limits()


def address(peer: Sequence[Any]) -> str:
    """Return who a socket's other end is: an IPv4 address as such, at whichever socket."""
    return str(peer[0]).partition("%")[0].removeprefix("::ffff:")


@dataclass(eq=False)
class Connection:
    """One that was accepted."""

    socket: socket.socket
    address: str
    since: float
    """When it was last busy."""
    busy: int = 0
    """Requests that are being answered."""
    unasked: int = 0
    """Bytes it has sent since the last one."""

    @property
    def is_open(self) -> bool:
        """Return whether it was not closed yet."""
        return self.socket.fileno() != -1

    def end(self) -> None:
        """Have it end, whatever is still to be sent."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class Bounded(asyncio.Protocol):
    """What serves a connection, and is not given more of a request's head than there may be.

    aiohttp has such a bound since 3.12; Debian 13's keeps headers without an end for as long as they come.
    """

    def __init__(self, serving: asyncio.Protocol, one: Connection, most: int) -> None:
        self._serving, self._one, self._most = serving, one, most
        self.connection_made = serving.connection_made  # type: ignore[method-assign]
        self.connection_lost = serving.connection_lost  # type: ignore[method-assign]
        self.pause_writing = serving.pause_writing  # type: ignore[method-assign]
        self.resume_writing = serving.resume_writing  # type: ignore[method-assign]
        self.eof_received = serving.eof_received  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        """Pass on what came, if it is not too much."""
        if not self._one.busy:
            self._one.unasked += len(data)
        if self._one.unasked > self._most:
            self._one.end()
        else:
            self._serving.data_received(data)


@dataclass
class Connections:
    """All of them, at all listening sockets."""

    serving: Callable[[], asyncio.Protocol]
    context: ssl.SSLContext
    limits: Limits = LIMITS
    _open: set[Connection] = field(default_factory=set)
    _by_protocol: dict[asyncio.Protocol, Connection] = field(default_factory=dict)
    _beginning: set[asyncio.Task[None]] = field(default_factory=set)
    _told: float = float("-inf")

    @contextlib.asynccontextmanager
    async def listening(self, sockets: list[socket.socket]) -> AsyncIterator[None]:
        """Take what connects to *sockets* until the context ends; connections that stand are not ended by that."""
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._accept(one)) for one in sockets]
        tasks.append(loop.create_task(self._sweep()))
        try:
            yield
        finally:
            for task in (*tasks, *self._beginning):
                task.cancel()
            await asyncio.gather(*tasks, *self._beginning, return_exceptions=True)
            for one in sockets:
                one.close()

    @contextlib.contextmanager
    def busy(self, protocol: asyncio.Protocol) -> Iterator[None]:
        """Tell that the connection of *protocol* has a request that is being answered."""
        found = self._by_protocol.get(protocol)
        if found is None:
            yield
            return
        found.busy += 1
        found.unasked = 0
        try:
            yield
        finally:
            found.busy -= 1
            found.since = asyncio.get_running_loop().time()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                made, peer = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("a connection could not be taken: %s", error.strerror)
                await asyncio.sleep(_PAUSE)
                continue
            one = Connection(made, address(peer), loop.time())
            if not self._has_room(one.address):
                made.close()
                if loop.time() > self._told + _QUIET:
                    self._told = loop.time()
                    log.warning("%s: turned away, there are too many connections", one.address)
                continue
            self._open.add(one)
            task = loop.create_task(self._begin(one))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    def _has_room(self, who: str) -> bool:
        self._forget_closed()
        return (
            len(self._open) < self.limits.most
            and sum(one.address == who for one in self._open) < self.limits.most_of_one
        )

    async def _begin(self, one: Connection) -> None:
        def serving() -> asyncio.Protocol:
            protocol = self.serving()
            self._by_protocol[protocol] = one
            return Bounded(protocol, one, self.limits.head)

        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                serving, one.socket, ssl=self.context, ssl_handshake_timeout=HANDSHAKE, ssl_shutdown_timeout=GOODBYE
            )
        except OSError as error:  # ssl.SSLError, ConnectionError and TimeoutError among them
            log.debug("%s: TLS did not begin: %s", one.address, error)

    def _forget_closed(self) -> None:
        self._open = {one for one in self._open if one.is_open}
        self._by_protocol = {protocol: one for protocol, one in self._by_protocol.items() if one.is_open}

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.limits.still / 4)
            self._forget_closed()
            for one in [one for one in self._open if not one.busy and loop.time() - one.since > self.limits.still]:
                one.end()
