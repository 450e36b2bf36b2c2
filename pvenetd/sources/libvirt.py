"""libvirt's own word: which domains run, and what has changed with one (libvirt-python).

Everything is asked anew: an event only says which domain to look at, so lost, doubled and late ones end the same.
libvirt's event loop is its own, in a thread: libvirtaio would change ours from every thread that calls libvirt.  All
calls are made in one other thread, so one that waits, as for a domain whose hook is being answered, holds up nobody.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from pvenetd.errors import Conflict, NotFound, PvenetError, Unavailable
from pvenetd.guests.wiring import PREFIX, SPACE

log = logging.getLogger("pvenetd.libvirt")

T = TypeVar("T")

PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each new try to connect; the last one again and again."""
ALIVE = (5, 3)
"""Seconds between two questions whether libvirtd is there, and how many of them may go unanswered."""
AGAIN = 30.0
"""Seconds between two looks at every domain that runs: of a changed link state or limit no event tells."""
PATIENCE = 30.0
"""Seconds somebody waits for an answer of libvirt's."""


class Follower(Protocol):
    """Who wants to know of domains."""

    connection: str
    """How the connection is, for people."""

    def running(self) -> set[str]:
        """Return the UUIDs of the domains that it takes for running."""

    def mark(self, uuid: str) -> int:
        """Return what `seen` compares: whether it was told of the domain otherwise meanwhile."""

    async def seen(self, uuid: str, xml: str | None, mark: int) -> bool:
        """Take the XML of a domain for how it is, None for that it is not there.

        Return whether it did: false where *mark* is out of date, and the domain to be looked at again.
        """


class Libvirt:
    """The connection to libvirtd; it comes and goes with libvirtd, and what it tells is looked at when it is back."""

    def __init__(self, uri: str, follower: Follower) -> None:
        self._uri = uri
        self._follower = follower
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="libvirt")
        self._events: asyncio.Queue[str | None] = asyncio.Queue()
        """UUIDs of domains to look at; None where the connection is gone."""
        self._connection: Any = None
        self._due = 0.0
        """The event loop's time at which every domain that runs is looked at again."""
        follower.connection = f"not connected to {uri} yet"

    async def run(self) -> None:
        """Follow libvirt until cancelled."""
        library = _library()
        if library is None:
            self._follower.connection = "off: python3-libvirt is not installed"
            log.info("libvirt's events are not followed: python3-libvirt is not installed")
            return
        tries = 0
        try:
            while True:
                try:
                    await self._follow(library)
                    tries = 0
                    reason = "libvirtd has hung up"
                except library.libvirtError as error:
                    reason = str(error)
                if self._follower.connection != (told := f"not connected to {self._uri}: {reason}"):
                    log.warning("%s", told)
                self._follower.connection = told
                await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
                tries += 1
        finally:
            self._thread.shutdown(wait=False)

    async def xml(self, name: str) -> tuple[str, bool]:
        """Return the configuration of the domain *name* as it is kept, and whether it runs.

        Raises `NotFound`, `Conflict` for a domain that is not kept, `Unavailable`.
        """

        def ask(connection: Any, library: Any) -> tuple[str, bool]:
            domain = _named(connection, library, name)
            if not domain.isPersistent():
                raise Conflict(f"domain {name} is transient: libvirt keeps no configuration of it")
            return _kept(library, domain), bool(domain.isActive())

        return await self._ask(ask)

    async def network(self, name: str) -> str:
        """Return the XML of the network *name*.  Raises `NotFound`, `Unavailable`."""

        def ask(connection: Any, library: Any) -> str:
            try:
                found: str = connection.networkLookupByName(name).XMLDesc(0)
            except library.libvirtError as error:
                raise NotFound(f"libvirt has no network {name}: {error}") from error
            return found

        return await self._ask(ask)

    async def define(self, xml: str) -> None:
        """Keep *xml* as its domain's configuration.  Raises `Conflict` where libvirt refuses it, `Unavailable`."""

        def ask(connection: Any, library: Any) -> None:
            try:
                connection.defineXML(xml)
            except library.libvirtError as error:
                raise Conflict(f"libvirt refuses the new configuration: {error}") from error

        await self._ask(ask)

    async def describe(self, name: str, element: str, *, live: bool) -> None:
        """Put *element*, our metadata, into what is kept of a domain, and into how it runs where it does, *live*.

        Raises `Conflict` where libvirt refuses it, `NotFound`, `Unavailable`.
        """

        def ask(connection: Any, library: Any) -> None:
            domain = _named(connection, library, name)
            flags = library.VIR_DOMAIN_AFFECT_CONFIG if domain.isPersistent() else 0
            flags |= library.VIR_DOMAIN_AFFECT_LIVE if live else 0
            try:
                domain.setMetadata(library.VIR_DOMAIN_METADATA_ELEMENT, element, PREFIX, SPACE, flags)
            except library.libvirtError as error:
                raise Conflict(f"libvirt refuses the metadata: {error}") from error

        await self._ask(ask)

    async def domains(self) -> dict[str, str]:
        """Return the XML of every domain, by its name, as it is kept.  Raises `Unavailable`."""

        def ask(connection: Any, library: Any) -> dict[str, str]:
            return {domain.name(): _kept(library, domain) for domain in connection.listAllDomains()}

        return await self._ask(ask)

    async def _ask(self, question: Callable[[Any, Any], T]) -> T:
        library, connection = _library(), self._connection
        if library is None or connection is None:
            raise Unavailable(f"libvirt cannot be asked: {self._follower.connection}")
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._call(question, connection, library)
        except TimeoutError:
            raise Unavailable(f"libvirt did not answer within {PATIENCE:g} s") from None
        except library.libvirtError as error:
            raise Unavailable(f"libvirt: {error}") from error

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def _follow(self, library: Any) -> None:
        """Connect, look at every domain, then at those that events name, until the connection is gone."""
        self._events = asyncio.Queue()
        connection = await self._call(library.open, self._uri)
        numbers: list[int] = []
        try:
            await self._call(_listen, library, connection, numbers, self._tell(asyncio.get_running_loop()))
            self._connection = connection
            self._follower.connection = f"connected to {self._uri}"
            log.info("connected to %s", self._uri)
            for uuid in {*await self._call(_active, library, connection), *self._follower.running()}:
                self._events.put_nowait(uuid)
            self._due = asyncio.get_running_loop().time() + AGAIN
            while (named := await self._next()) is not None:
                await self._look(library, connection, named)
        finally:
            self._connection = None
            self._thread.submit(_leave, library, connection, numbers)

    async def _next(self) -> str | None:
        """Return the next domain to look at: one that an event names, or, now and then, each that runs."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout_at(self._due):
                    return await self._events.get()
            except TimeoutError:
                self._due = loop.time() + AGAIN
                for uuid in self._follower.running():
                    self._events.put_nowait(uuid)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> Callable[[str | None], None]:
        """Return what is called in the thread of libvirt's events."""
        events = self._events

        def tell(uuid: str | None) -> None:
            with suppress(RuntimeError):  # our loop has ended
                loop.call_soon_threadsafe(events.put_nowait, uuid)

        return tell

    async def _look(self, library: Any, connection: Any, uuid: str) -> None:
        try:
            while True:
                mark = self._follower.mark(uuid)
                if await self._follower.seen(uuid, await self._call(_described, library, connection, uuid), mark):
                    return
        except PvenetError as error:
            log.error("domain %s: %s", uuid, error)  # noqa: TRY400
        except library.libvirtError:
            if connection.isAlive():
                raise


def _library() -> Any:
    """Return libvirt-python, with its event loop running; None where it is not installed."""
    try:
        import libvirt
    except ImportError:
        return None
    _start_events(libvirt)
    return libvirt


_started = threading.Lock()
"""Taken by the first who starts libvirt's event loop, which is one for the whole process."""


def _start_events(library: Any) -> None:
    if not _started.acquire(blocking=False):
        return
    library.registerErrorHandler(_quiet, None)
    library.virEventRegisterDefaultImpl()

    def run() -> None:
        while True:
            library.virEventRunDefaultImpl()

    threading.Thread(target=run, name="libvirt events", daemon=True).start()


def _quiet(*_: object) -> None:
    """Print nothing: an error is raised as well."""


def _listen(library: Any, connection: Any, numbers: list[int], tell: Callable[[str | None], None]) -> None:
    """Have *tell* called with the UUID of each domain something happens to, and with None at the connection's end."""

    def domain(_: Any, found: Any, *__: Any) -> None:
        tell(found.UUIDString())

    def closed(*_: Any) -> None:
        tell(None)

    with suppress(library.libvirtError):  # a hypervisor within this process has no connection that could be lost
        connection.registerCloseCallback(closed, None)
        connection.setKeepAlive(*ALIVE)
    for name in ("LIFECYCLE", "DEVICE_ADDED", "DEVICE_REMOVED", "METADATA_CHANGE"):
        event = getattr(library, f"VIR_DOMAIN_EVENT_ID_{name}")
        numbers.append(connection.domainEventRegisterAny(None, event, domain, None))


def _leave(library: Any, connection: Any, numbers: list[int]) -> None:
    for number in numbers:
        with suppress(library.libvirtError):
            connection.domainEventDeregisterAny(number)
    with suppress(library.libvirtError):
        connection.unregisterCloseCallback()
    with suppress(library.libvirtError):
        connection.close()


def _active(library: Any, connection: Any) -> list[str]:
    return [domain.UUIDString() for domain in connection.listAllDomains(library.VIR_CONNECT_LIST_DOMAINS_ACTIVE)]


def _described(library: Any, connection: Any, uuid: str) -> str | None:
    """Return the XML of a domain that runs, None for any other."""
    try:
        found = connection.lookupByUUIDString(uuid)
        xml: str = found.XMLDesc(0)
        return xml if found.isActive() else None
    except library.libvirtError as error:
        if error.get_error_code() == library.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _kept(library: Any, domain: Any) -> str:
    found: str = domain.XMLDesc(library.VIR_DOMAIN_XML_INACTIVE | library.VIR_DOMAIN_XML_SECURE)
    return found


def _named(connection: Any, library: Any, name: str) -> Any:
    try:
        return connection.lookupByName(name)
    except library.libvirtError as error:
        if error.get_error_code() == library.VIR_ERR_NO_DOMAIN:
            raise NotFound(f"libvirt has no domain {name}") from error
        raise
