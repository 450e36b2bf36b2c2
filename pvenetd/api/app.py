"""The HTTP server: a UNIX socket, who is at its other end, bytes → parameters, records → bytes (aiohttp)."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, NoReturn

from aiohttp import web

from pvenetd.api.errors import BadParametersError, TooLargeError, refusal
from pvenetd.api.pages import page
from pvenetd.api.peer import group_id, peer
from pvenetd.api.route import answer
from pvenetd.api.routes import ROUTES
from pvenetd.daemon.daemon import Daemon
from pvenetd.errors import PvenetError

log = logging.getLogger("pvenetd.api")

MAX_BODY = 1 << 20
"""Bytes of a request's body."""


@contextlib.asynccontextmanager
async def serve(daemon: Daemon, listening: socket.socket) -> AsyncIterator[None]:
    """Answer requests at *listening* until the context ends."""
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_route("*", "/{path:(?s:.*)}", Server(daemon, group_id()).serve)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        yield
    finally:
        await runner.cleanup()


class Server:
    """Answers every request, and logs who asked what and what came of it."""

    def __init__(self, daemon: Daemon, group: int | None) -> None:
        self._daemon = daemon
        self._group = group

    async def serve(self, request: web.Request) -> web.Response:
        """Return the answer to one request."""
        caller = peer(request.transport, self._group)
        path = request.rel_url.raw_path
        status = 200
        body: Mapping[str, Any]
        try:
            if made := await page(request.method, path):
                return web.Response(body=made.body, content_type=made.kind, charset="utf-8", headers=made.headers)
            body = await answer(self._daemon, ROUTES, caller, request.method, path, await _given(request))
        except PvenetError as error:
            status, body = refusal(error)
        except Exception:
            log.exception("%s %s: a bug", request.method, path)
            status, body = 500, {"data": None, "message": "a bug in pvenetd: its journal has the traceback"}
        outcome = body.get("message", "done").partition("\n")[0]
        what = f"{request.method} {request.rel_url.raw_path_qs}"
        facts = {"who": caller.name, "what": what, "status": status, "outcome": outcome}
        log.info("%s: %s: %s %s", caller.name, what, status, outcome, extra=facts)
        return web.Response(text=json.dumps(body), status=status, content_type="application/json")


async def _given(request: web.Request) -> dict[str, Any]:
    """Return the parameters in query and body.  Raises `BadParametersError`, `TooLargeError`."""
    pairs: list[tuple[str, Any]] = list(request.query.items())
    if request.can_read_body:
        pairs += await _body(request)
    given = dict(pairs)
    if len(given) < len(pairs):
        names = [name for name, _ in pairs]
        raise BadParametersError({name: "is given twice" for name in given if names.count(name) > 1})
    return given


async def _body(request: web.Request) -> Iterable[tuple[str, Any]]:
    try:
        if request.content_type == "application/x-www-form-urlencoded":
            return (await request.post()).items()
        data = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLargeError(f"a body has at most {MAX_BODY} bytes") from None
    except (ValueError, LookupError) as error:
        raise BadParametersError({"body": f"no form: {error}"}) from error
    if not data:
        return ()
    if request.content_type != "application/json":
        raise BadParametersError({"body": "should be JSON (Content-Type: application/json), or a form"})
    try:
        record = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadParametersError({"body": f"no JSON: {error}"}) from error
    if not isinstance(record, dict):
        raise BadParametersError({"body": "should be a JSON object"})
    return record.items()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
