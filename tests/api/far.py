"""The API over TLS, with users of a test's own, and what they have to show for themselves."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp

from pvenetd.access.tokens import Token
from pvenetd.api.app import serve_network
from pvenetd.api.connections import LIMITS, Limits
from pvenetd.api.errors import NoMethodError
from pvenetd.api.route import find
from pvenetd.api.routes import ROUTES
from pvenetd.api.tls import Certificate, listening
from pvenetd.drivers.certificate import ensure
from pvenetd.drivers.files import Files
from pvenetd.drivers.programs import Programs
from pvenetd.errors import NotFound
from pvenetd.settings import Settings
from tests.api.server import DOCUMENT, UNLIMITED, Api, fake, served

PASSWORD = "correct horse"
GROUPS = {"root": frozenset({"root"}), "alice": frozenset({"users", "pvenetd"}), "bob": frozenset({"users"})}
Headers = Mapping[str, str]
NONE: Headers = MappingProxyType({})


class Users:
    """Users, all with the same password."""

    def __init__(self) -> None:
        self.asked = 0
        self.groups_of = dict(GROUPS)

    def groups(self, name: str) -> frozenset[str] | None:
        return self.groups_of.get(name)

    def login(self, name: str, password: str, address: str) -> bool:
        assert ip_address(address)
        self.asked += 1
        return name in self.groups_of and password == PASSWORD


class Far:
    """A client somewhere else."""

    def __init__(self, api: Api, session: aiohttp.ClientSession, port: int, users: Users) -> None:
        self.api, self.session, self.port, self.users = api, session, port, users
        self.access = api.daemon.access

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def ask(self, method: str, path: str, headers: Headers = NONE, **given: Any) -> tuple[int, Any]:
        """Return status and record; the document must say such an answer."""
        async with self.session.request(method, f"{self.url}{path}", headers=dict(headers), data=given) as answer:
            found = answer.status, await answer.json()
        with suppress(NotFound, NoMethodError):
            route, _ = find(ROUTES, method, path.partition("?")[0])
            assert not DOCUMENT.wrong(route.method, route.path, *found)
        return found

    async def login(self, user: str = "root@pam", password: str = PASSWORD) -> dict[str, Any]:
        """Return what a login gives."""
        status, body = await self.ask("POST", "/api2/json/access/ticket", username=user, password=password)
        assert status == 200, body
        data: dict[str, Any] = body["data"]
        return data

    async def token(self, name: str, *, may_write: bool, expire: int = 0) -> Headers:
        """Return the header of a new token."""
        secret = await self.access.create(Token(name, "", may_write, expire))
        return {"Authorization": f"PVEAPIToken={name}={secret}"}


def by_ticket(issued: Mapping[str, Any], *, guarded: bool = True) -> Headers:
    """Return the headers of a request with a ticket."""
    guard = {"CSRFPreventionToken": issued["CSRFPreventionToken"]} if guarded else {}
    return {"Cookie": f"PVEAuthCookie={issued['ticket']}", **guard}


@asynccontextmanager
async def far_off(
    root: Path, limits: Limits = LIMITS, certificate: Certificate | None = None, settings: Settings = UNLIMITED
) -> AsyncIterator[Far]:
    """Yield a client of a daemon that serves by TLS, with a certificate of its own if not *certificate*."""
    async with served(root, fake(), settings) as api:
        file = ensure(Files(root), Programs(root), ["localhost", "127.0.0.1"])
        users = api.daemon.access.accounts = Users()
        sockets = listening([ip_address("127.0.0.1")], 0)
        port = sockets[0].getsockname()[1]
        shown = certificate or Certificate(file, None)
        trusting = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=file))
        async with (
            serve_network(api.daemon, sockets, shown.context, limits),
            aiohttp.ClientSession(connector=trusting, cookie_jar=aiohttp.DummyCookieJar()) as session,
        ):
            yield Far(api, session, port, users)
