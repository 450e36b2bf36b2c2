"""What is asked for and is no row of the table: the OpenAPI document, and the page by which one reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

DOCUMENT = "/api2/openapi.json"
BROWSER = "/api2/docs"
_ONLY_OURS = (
    "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: the page asks this server, and nobody else for anything."""


@dataclass(frozen=True, slots=True)
class Page:
    """Bytes of some kind."""

    kind: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


async def page(method: str, path: str, *, is_known: bool) -> Page | None:
    """Return the page at *path*, None where there is none; who is not known gets the one that asks who he is."""
    if method not in ("GET", "HEAD"):
        return None
    if path == DOCUMENT and is_known:
        return Page("application/json; charset=utf-8", await asyncio.to_thread(_document))
    if path == BROWSER:
        return Page("text/html; charset=utf-8", _browser(), {"Content-Security-Policy": _ONLY_OURS})
    return None


@cache
def _document() -> bytes:
    from pvenetd.api.openapi import document
    from pvenetd.api.routes import ROUTES

    return json.dumps(document(ROUTES)).encode()


@cache
def _browser() -> bytes:
    return (files("pvenetd.api") / "docs.html").read_bytes()
