"""The daemon's place on the bus: connected for as long as there is a bus, with its name (dbus-fast)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from dbus_fast import BusType, Message, NameFlag, RequestNameReply
from dbus_fast.aio import MessageBus
from dbus_fast.errors import AuthError, DBusError, InvalidAddressError

from pvenetd.bus.table import NAME

log = logging.getLogger("pvenetd.bus")

_FIRST, _LONGEST = 1.0, 60.0
"""Seconds until a bus that is not there is tried again, doubled each time."""


OBSTACLES = (OSError, EOFError, AuthError, DBusError, InvalidAddressError)
"""Why there is no bus, or no name on it."""


class _Patient:
    """A socket whose send() takes nothing where it would block: dbus-fast closes the connection for that."""

    def __init__(self, below: socket.socket) -> None:
        self._below = below

    def send(self, data: bytes) -> int:
        try:
            return self._below.send(data)
        except BlockingIOError:
            return 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)


async def serve(address: str, attend: Callable[[MessageBus], Awaitable[None]]) -> None:
    """Be on the bus at *address* (the system's for an empty one) until cancelled, and *attend* to it each time.

    *attend* prepares the connection, then lasts as long as it does.  A bus that goes, or is not there, is tried again.
    """
    loop = asyncio.get_running_loop()
    wait = _FIRST
    while True:
        began = loop.time()
        try:
            await _attended(await _connected(address), attend)
        except OBSTACLES as error:
            log.log(logging.INFO if wait == _FIRST else logging.DEBUG, "nobody can ask by D-Bus: %s", error)
        if loop.time() - began > _LONGEST:
            wait = _FIRST
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST)


async def _connected(address: str) -> MessageBus:
    bus = MessageBus(bus_address=address or None, bus_type=BusType.SYSTEM)
    async with asyncio.timeout(_LONGEST):
        await bus.connect()
    inside: Any = bus
    inside._writer.sock = _Patient(inside._sock)  # noqa: SLF001  it has no other way in
    return bus


async def _attended(bus: MessageBus, attend: Callable[[MessageBus], Awaitable[None]]) -> None:
    """Attend to *bus* until it is gone."""
    task = asyncio.ensure_future(attend(bus))
    gone = asyncio.ensure_future(_end_of(bus))
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for one in (task, gone):
            one.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await one
        bus.disconnect()


async def _end_of(bus: Any) -> None:
    await bus.wait_for_disconnect()


async def own(bus: MessageBus) -> None:
    """Take our name, when everything is ready to answer.  Another that has it is told of, once, and waited for."""
    reply = await bus.request_name(NAME, NameFlag.DO_NOT_QUEUE)
    if reply not in (RequestNameReply.PRIMARY_OWNER, RequestNameReply.ALREADY_OWNER):
        raise ConnectionError(f"{NAME} is somebody else's on this bus")


class CallError(OSError):
    """A call was answered by an error, or not at all."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        """D-Bus's name of the error."""


async def call(bus: MessageBus, message: Message) -> list[Any]:
    """Return the body of the answer to *message*.  Raises `CallError`."""
    reply = await bus.call(message)
    if reply is None:
        raise CallError("org.freedesktop.DBus.Error.NoReply", "no answer")
    if reply.error_name:
        raise CallError(reply.error_name, " ".join(map(str, reply.body)))
    return list(reply.body)
