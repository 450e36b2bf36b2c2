"""systemd-resolved is told of a link's name servers by D-Bus (org.freedesktop.resolve1.Manager): one call each.

The bus may not be there yet, or dbus-fast not at all: then nobody is told here, and resolvectl(1) is for the caller.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

_BUS = Path("/run/dbus/system_bus_socket")
_CONNECTED = 5.0
"""Seconds the bus has to let us in: at boot, its daemon may be waited for by systemd's socket."""
_ANSWERED = 25.0
"""Seconds resolved has for an answer, as libdbus waits."""

Call = tuple[str, str, list[Any]]
"""A method, the signature of what is given, what is given."""


class NoBusError(Exception):
    """Nobody can be told by D-Bus here and now."""


class RefusedError(Exception):
    """What resolved says to it."""


def told(iface: str, servers: Iterable[str], domains: Iterable[str]) -> list[Call]:
    """Return what tells resolved of *servers* and *domains*; ``~`` before a domain: only asked of, not appended.

    Raises `NoBusError` for a server that is more than an address, OSError for a link that is not there.
    """
    index = socket.if_nametoindex(iface)
    try:
        addresses = [ip_address(server) for server in servers]
    except ValueError as error:
        raise NoBusError(str(error)) from error
    families = {4: int(socket.AF_INET), 6: int(socket.AF_INET6)}
    return [
        ("SetLinkDNS", "ia(iay)", [index, [[families[one.version], one.packed] for one in addresses]]),
        ("SetLinkDomains", "ia(sb)", [index, [[name.removeprefix("~"), name.startswith("~")] for name in domains]]),
    ]


def forgotten(iface: str) -> list[Call]:
    """Return what has resolved forget what it was told of a link.  Raises OSError for one that is not there."""
    return [("RevertLink", "i", [socket.if_nametoindex(iface)])]


def tell(calls: Iterable[Call]) -> None:
    """Call resolved, in turn; blocks, and is for a thread without an event loop.

    Raises `NoBusError`, also for a bus that lets nobody in; `RefusedError`; TimeoutError where no answer comes.
    """
    if not _BUS.exists():
        raise NoBusError(f"{_BUS} is not there")
    try:
        from dbus_fast import errors as wrong  # it is not installed everywhere
    except ImportError as error:
        raise NoBusError(str(error)) from error
    try:
        asyncio.run(_told(calls))
    except (wrong.AuthError, wrong.DBusError, wrong.InvalidAddressError, EOFError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise NoBusError(str(error)) from error


async def _told(calls: Iterable[Call]) -> None:
    from dbus_fast import BusType
    from dbus_fast.aio import MessageBus

    bus: Any = MessageBus(bus_address=f"unix:path={_BUS}", bus_type=BusType.SYSTEM)
    try:
        try:
            await _within(_CONNECTED, bus.connect(), "the bus")
        except TimeoutError as error:
            raise NoBusError(str(error)) from error
        for call in calls:
            await _within(_ANSWERED, _called(bus, *call), "systemd-resolved")
    finally:
        bus.disconnect()
        if bus.connected:
            await _within(_CONNECTED, bus.wait_for_disconnect(), "the bus")


async def _within(seconds: float, asked: Awaitable[Any], whom: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            await asked
    except TimeoutError:
        raise TimeoutError(f"{whom} has not answered for {seconds:g} s") from None


async def _called(bus: Any, member: str, signature: str, body: list[Any]) -> None:
    from dbus_fast import Message

    reply = await bus.call(
        Message(
            destination="org.freedesktop.resolve1",
            path="/org/freedesktop/resolve1",
            interface="org.freedesktop.resolve1.Manager",
            member=member,
            signature=signature,
            body=body,
        )
    )
    if reply is not None and reply.error_name:
        raise RefusedError(f"{member}: {reply.error_name}: {' '.join(map(str, reply.body))}")
