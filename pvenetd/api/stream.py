"""What happens, as Server-Sent Events (WHATWG HTML 9.2): for who asks a feed with ``Accept: text/event-stream``.

A reader takes from the feed at his own pace and nobody waits for him: what he is too slow for is forgotten, and he
is told how much that was.  He resumes where he was by ``Last-Event-ID``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from aiohttp import web

from pvenetd.api import host, packet_log
from pvenetd.api.route import Route, nodes, validated
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.feed import Feed, Record
from pvenetd.errors import NotFound, TooMany

KIND = "text/event-stream"
MOST = 64
"""Streams at a time."""
KEEPALIVE = 15.0
"""Seconds after which a reader is told that he is still connected."""
PATIENCE = 60.0
"""Seconds in which a reader has to take something of what waits for him."""
_AT_ONCE = 100
"""Records that are written before it is looked whether more were forgotten."""
_HEADERS = {"Content-Type": KIND, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Wanted = Callable[[Record], bool]
Source = tuple[Feed, Wanted]


def _events(daemon: Daemon, params: host.Since) -> Source:
    del params
    return daemon.events, bool


def _packets(daemon: Daemon, params: packet_log.Since) -> Source:
    return daemon.packets.lines, packet_log.wanted(params)


FEEDS: dict[Any, Callable[[Daemon, Any], Source]] = {host.events: _events, packet_log.packets: _packets}
"""By what answers the request otherwise."""


def is_asked(request: web.Request) -> bool:
    """Return whether *request* wants a stream."""
    return request.method == "GET" and request.headers.get("Accept", "").partition(";")[0].strip() == KIND


class Streams:
    """The streams that are open."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._open: set[asyncio.Task[object]] = set()

    def close(self) -> None:
        """End them all: one whose reader has gone waits for something to tell him."""
        for task in self._open:
            task.cancel()

    async def answer(
        self, request: web.Request, route: Route, found: dict[str, str], given: dict[str, Any]
    ) -> web.StreamResponse:
        """Stream what *route*, which is in `FEEDS`, tells, until the reader goes.  Raises `PvenetError`."""
        if found["node"] not in nodes():
            raise NotFound(f"no node {found['node']!r}: this is {nodes()[0]}")
        params = validated(route.params, found, given)
        feed, wanted = FEEDS[route.ask](self._daemon, params)
        text = request.headers.get("Last-Event-ID", "")
        since = int(text) if text.isascii() and text.isdigit() else getattr(params, "since", 0)
        with self._counted():
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            async for chunk in told(feed, wanted, since):
                try:
                    async with asyncio.timeout(PATIENCE):
                        await response.write(chunk)
                except (ConnectionError, TimeoutError):  # the reader has gone, or does not read
                    break
        if request.transport:
            request.transport.abort()
        return response

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if len(self._open) >= MOST:
            raise TooMany(f"at most {MOST} streams at a time", KEEPALIVE)
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._open.add(task)
        try:
            yield
        finally:
            self._open.discard(task)


async def told(feed: Feed, wanted: Wanted, since: int) -> AsyncIterator[bytes]:
    """Yield what of *feed* is *wanted* after id *since*, for ever; an id of an earlier daemon's is before all."""
    last = since if since <= feed.newest else 0
    yield b"retry: 2000\n\n"
    while True:
        found = (await feed.after(last, KEEPALIVE, wanted))[:_AT_ONCE]
        missed = max(feed.oldest - last - 1, 0) if last else 0
        if missed:
            yield _event({"missed": missed}, "event: missed\n")
        if not found:
            yield b": still here\n\n"
            continue
        yield b"".join(_event(one, f"id: {one['id']}\n") for one in found)
        last = found[-1]["id"]


def _event(record: Record, before: str) -> bytes:
    return f"{before}data: {json.dumps(record)}\n\n".encode()
