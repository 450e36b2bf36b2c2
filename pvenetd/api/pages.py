"""What is asked for and is no row of the table: the OpenAPI document, the page by which one reads it, /metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pvenetd.api import metrics
from pvenetd.api.page import Page
from pvenetd.daemon.daemon import Daemon

DOCUMENT = "/api2/openapi.json"
BROWSER = "/api2/docs"
_ONLY_OURS = (
    "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: the page asks this server, and nobody else for anything."""


async def page(daemon: Daemon, method: str, path: str, *, is_known: bool) -> Page | None:
    """Return the page at *path*, None where there is none for who asks.  Raises `PvenetError`."""
    found = PAGES.get(path)
    if not found or method not in ("GET", "HEAD") or not (is_known or found.public):
        return None
    return await found.make(daemon)


async def _described(daemon: Daemon) -> Page:
    del daemon
    return Page("application/json; charset=utf-8", await asyncio.to_thread(_document))


async def _browsed(daemon: Daemon) -> Page:
    del daemon
    return Page("text/html; charset=utf-8", _browser(), {"Content-Security-Policy": _ONLY_OURS})


@dataclass(frozen=True, slots=True)
class Served:
    """A page, made when it is asked for."""

    make: Callable[[Daemon], Awaitable[Page]]
    public: bool = False
    """Whether who is not known gets it: it asks who he is."""


PAGES = {DOCUMENT: Served(_described), BROWSER: Served(_browsed, public=True), metrics.PATH: Served(metrics.metrics)}
"""All there are, by path."""


@cache
def _document() -> bytes:
    from pvenetd.api.openapi import document
    from pvenetd.api.routes import ROUTES

    return json.dumps(document(ROUTES)).encode()


@cache
def _browser() -> bytes:
    return (files("pvenetd.api") / "docs.html").read_bytes()
