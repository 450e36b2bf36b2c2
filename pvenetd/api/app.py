"""The HTTP server: who is at the other end, bytes → parameters, records → bytes (aiohttp)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, NoReturn, cast

from aiohttp import web

from pvenetd.access.attempts import site
from pvenetd.access.rate import STRANGERS, Rate
from pvenetd.api import stream
from pvenetd.api.answers import Answers
from pvenetd.api.connections import LIMITS, Connections, Limits, address
from pvenetd.api.credentials import caller
from pvenetd.api.errors import BadParametersError, Refusal, TooLargeError, TooSlowError, refusal
from pvenetd.api.pages import page
from pvenetd.api.peer import BACKLOG, group_id, peer
from pvenetd.api.route import PREFIX, SOCKET, Caller, find, permitted
from pvenetd.api.routes import ROUTES
from pvenetd.daemon.daemon import Daemon
from pvenetd.errors import PvenetError, TooMany, shortage
from pvenetd.management import Session
from pvenetd.precedence import UNKNOWN

log = logging.getLogger("pvenetd.api")

_LONGEST = 300
"""Characters in an answer's first line."""

MAX_BODY = 1 << 20
"""Bytes of a request's body."""
MAX_DEPTH = 16
"""Levels of objects and arrays in it."""
BODY_SECONDS = 60.0
_SECRET = re.compile(r"pass|secret|ticket|token|otp", re.IGNORECASE)
"""What is in the names, or the values, of parameters that are not logged."""
_BUG: Refusal = {"data": None, "message": "a bug in pvenetd: its journal has the traceback"}
_HEADERS = {
    "Content-Type": "application/json;charset=UTF-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
"""The type is to the letter as Proxmox VE has it: some of its clients compare the type as text."""
_QUIET = logging.getLogger("pvenetd.api.http")
"""What aiohttp says of requests that are no HTTP: it quotes them, and what they have of credentials."""
_QUIET.disabled = True


@contextlib.asynccontextmanager
async def serve(daemon: Daemon, listening: socket.socket) -> AsyncIterator[Callable[[socket.socket], Awaitable[None]]]:
    """Answer requests of local programs at *listening* until the context ends; yield what serves at another, too."""
    server = Server(daemon, group_id())
    async with _runner(server) as runner, contextlib.AsyncExitStack() as stack:
        taken = cast("web.Server", runner.server)

        async def serve_at(one: socket.socket) -> None:
            at = await asyncio.get_running_loop().create_server(
                lambda: server.expecting(taken()), sock=one, backlog=BACKLOG
            )
            stack.enter_context(contextlib.closing(at))

        await serve_at(listening)
        yield serve_at


@contextlib.asynccontextmanager
async def serve_network(
    daemon: Daemon, listening: list[socket.socket], context: ssl.SSLContext, limits: Limits = LIMITS
) -> AsyncIterator[None]:
    """Answer requests from the network at *listening*, by TLS, until the context ends."""
    server = Server(daemon, group_id())
    async with _runner(server, keepalive_timeout=limits.still, logger=_QUIET) as runner:
        server.connections = Connections(cast("web.Server", runner.server), context, limits)
        async with server.connections.listening(listening):
            yield


@contextlib.asynccontextmanager
async def _runner(server: Server, **options: Any) -> AsyncIterator[web.AppRunner]:
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_route("*", "/{path:(?s:.*)}", server.serve)
    # A compressed body would be made a thousand times as large before anybody could refuse it.
    options |= {"auto_decompress": False}
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0, **options)
    await runner.setup()
    try:
        yield runner
    finally:
        server.streams.close()
        await runner.cleanup()


class Server:
    """Answers every request, and logs who asked what and what came of it."""

    def __init__(self, daemon: Daemon, group: int | None) -> None:
        self._daemon = daemon
        self._group = group
        self._answers = Answers(daemon)
        self._rate = Rate(daemon.settings.api.rate)
        self.streams = stream.Streams(daemon)
        self.connections: Connections | None = None
        """Those from the network; without, whoever asks is on this host."""
        self._expected: dict[asyncio.Protocol, Callable[[], None]] = {}
        """Connections whose first request may be a change → what is to be called when that is known."""

    def expecting(self, protocol: asyncio.Protocol) -> asyncio.Protocol:
        """Have what comes by a new connection go first: it may be QEMU's hook."""
        self._expected[protocol] = self._daemon.precedence.begin(UNKNOWN, lambda: self._expected.pop(protocol, None))
        return protocol

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Return the answer to one request."""
        with self.connections.busy(request.protocol) if self.connections else contextlib.nullcontext():
            return await self._serve(request)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        who = await self._caller(request)
        path = request.rel_url.raw_path
        status, began = 200, asyncio.get_running_loop().time()
        body, refused, headers = b"", cast("Mapping[str, Any]", {}), _HEADERS
        try:
            self._limit(who, began)
            if made := await page(self._daemon, request.method, path, is_known=not who.refusal):
                _tell(who, f"{request.method} {_harmless(request)}", status, {})
                return web.Response(body=made.body, headers={"Content-Type": made.kind, **made.headers})
            if who.refusal:
                permitted(ROUTES, who, request.method, path)  # before anything more is read
            streamed = await self._streamed(request, who, path) if stream.is_asked(request, path) else None
            if streamed is not None:  # which is a mapping to aiohttp, and an empty one
                return streamed
            given = await _given(request)
            if known := self._expected.get(request.protocol):
                known()
            body = await self._answers.answer(who, request.method, path, given)
        except PvenetError as error:
            status, refused = refusal(error)
            if isinstance(error, TooMany):
                headers = {**_HEADERS, "Retry-After": str(math.ceil(max(error.seconds, 1)))}
        except Exception as error:
            lack = shortage(error) if isinstance(error, OSError) else None
            if not lack:
                log.exception("%s %s: a bug", request.method, path)
            status, refused = refusal(lack) if lack else (500, _BUG)
        _tell(who, f"{request.method} {_harmless(request)}", status, refused)
        self._count(request.method, path, status, asyncio.get_running_loop().time() - began)
        told = web.Response(
            body=json.dumps(refused).encode() if refused else body,
            status=status,
            reason=_reason(refused) if refused else None,
            headers=headers,
        )
        if who.refusal and request.can_read_body:
            told.force_close()  # what he sends nobody reads
        return told

    def _limit(self, who: Caller, now: float) -> None:
        """Raise `TooMany` where somebody asks too often; root at the socket, and so QEMU's hooks, may always."""
        if who.where == SOCKET and who.name == "root":
            return
        whose = f"{who.name} {site(who.where)}" if not who.refusal else site(who.where)
        if wait := self._rate.wait(whose, now, STRANGERS if who.refusal else 1.0):
            raise TooMany("too many requests", wait)

    def _count(self, method: str, path: str, status: int, seconds: float) -> None:
        with contextlib.suppress(PvenetError):  # what is no route is not counted: anybody could name thousands
            route, _ = find(ROUTES, method, path)
            self._daemon.counts.asked(method, route.path, status, seconds)

    async def _streamed(self, request: web.Request, who: Caller, path: str) -> web.StreamResponse | None:
        """Answer with a stream; None where this path has none.  Raises `PvenetError`."""
        route, found = permitted(ROUTES, who, request.method, path)
        if route.ask not in stream.STREAMS:
            return None
        given = await _given(request)
        begun = partial(_tell, who, f"{request.method} {_harmless(request)}", 200, {"message": "streams"})
        return await self.streams.answer(request, route, found, given, begun)

    async def _caller(self, request: web.Request) -> Caller:
        if self.connections:
            return await caller(self._daemon.access, request.method, request.headers, _session(request))
        return peer(request.transport, self._group)


def _session(request: web.Request) -> Session:
    """Return the two ends of a request's connection; all zeros where it is gone."""
    ends = (request.get_extra_info(name) for name in ("peername", "sockname"))
    return Session(*(address(end) if end else "0.0.0.0" for end in ends))  # noqa: S104


def _harmless(request: web.Request) -> str:
    """Return what is asked for, without what may be a secret: a login's parameters belong into its body."""
    path, query = request.rel_url.raw_path, request.rel_url.raw_query_string
    if not query:
        return path
    secret = path.startswith(f"{PREFIX}/access/") or _SECRET.search(query)
    return f"{path}?{'...' if secret else query}"


def _reason(body: Mapping[str, Any]) -> str | None:
    """Return what is said in the answer's first line, as by Proxmox VE: its clients show their users no more."""
    told = "".join(char for char in body["message"].partition("\n")[0] if char.isascii() and char.isprintable())
    return told[:_LONGEST] or None


def _tell(caller: Caller, what: str, status: int, body: Mapping[str, Any]) -> None:
    outcome = body.get("message", "done").partition("\n")[0]
    facts = {"who": caller.name, "where": caller.where, "what": what, "status": status, "outcome": outcome}
    who = caller.name if caller.where == SOCKET else f"{caller.name} from {caller.where}"
    log.info("%s: %s: %s %s", who, what, status, outcome, extra=facts)


async def _given(request: web.Request) -> dict[str, Any]:
    """Return the parameters in query and body.  Raises `BadParametersError`, `TooLargeError`."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise BadParametersError({"body": "should not be compressed"})
    query = _listed(request.query.items())
    body = _listed(await _body(request)) if request.can_read_body else {}
    if both := query.keys() & body.keys():
        raise BadParametersError(dict.fromkeys(both, "is given twice"))
    return query | body


def _listed(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return parameters by name; one that comes several times is a list, as Proxmox VE's clients send lists."""
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


async def _body(request: web.Request) -> Iterable[tuple[str, Any]]:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            if request.content_type == "application/x-www-form-urlencoded":
                return (await request.post()).items()
            data = await request.read()
    except TimeoutError:
        raise TooSlowError(f"a body has to be sent within {BODY_SECONDS:g} s") from None
    except ConnectionError:
        raise TooSlowError("the body did not come whole") from None
    except web.HTTPRequestEntityTooLarge:
        raise TooLargeError(f"a body has at most {MAX_BODY} bytes") from None
    except (ValueError, LookupError) as error:
        raise BadParametersError({"body": f"no form: {error}"}) from error
    if not data:
        return ()
    if request.content_type != "application/json":
        raise BadParametersError({"body": "should be JSON (Content-Type: application/json), or a form"})
    try:
        record = json.loads(data, parse_constant=_no_constant, object_pairs_hook=_once)
        _check_depth(record)
        _check_text(data, record)
    except (ValueError, RecursionError) as error:
        raise BadParametersError({"body": f"no JSON: {error}"}) from error
    if not isinstance(record, dict):
        raise BadParametersError({"body": "should be a JSON object"})
    return record.items()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's members; of one that is there twice, others might read the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a member twice")
    return found


def _check_depth(record: object) -> None:
    """Raise ValueError where *record* has more levels than any parameter: how many JSON's reader takes is its own."""
    level: list[object] = [record]
    for _ in range(MAX_DEPTH):
        inner = (one.values() if isinstance(one, dict) else one if isinstance(one, list) else () for one in level)
        level = [one for values in inner for one in values]
        if not level:
            return
    raise ValueError(f"more than {MAX_DEPTH} levels")


def _check_text(data: bytes, record: object) -> None:
    """Raise ValueError where *record* has half a character (a lone surrogate): no file could hold it."""
    if b"\\u" in data:
        try:
            json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise ValueError("a text has half a character") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
