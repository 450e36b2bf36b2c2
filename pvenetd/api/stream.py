"""Answers that go on: what happens, as Server-Sent Events (WHATWG HTML 9.2), and captured packets.

A feed or a trace is streamed to who asks it with ``Accept: text/event-stream``.  A reader takes at his own pace and
nobody waits for him: of a feed what he is too slow for is forgotten, and he is told how much that was.  He resumes
where he was by ``Last-Event-ID``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web

from pvenetd import pcapng
from pvenetd.api import capture, host, packet_log, trace
from pvenetd.api.connections import address
from pvenetd.api.route import Route, nodes, validated
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.feed import Feed, Record
from pvenetd.daemon.trace import record
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
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}

Wanted = Callable[[Record], bool]
Chunks = AsyncGenerator[bytes]
"""The first before anything is sent, so that it can still be refused; an empty one looks whether the reader is there.
"""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that goes on."""

    kind: str
    chunks: Callable[[Daemon, Any, web.Request], Chunks]
    """Given the parameters, and who asks."""
    always: bool = False
    """Whether there is no other answer."""


def _events(daemon: Daemon, params: host.Since, request: web.Request) -> Chunks:
    return told(daemon.events, bool, _since(request, params.since))


def _packets(daemon: Daemon, params: packet_log.Since, request: web.Request) -> Chunks:
    return told(daemon.packets.lines, packet_log.wanted(params), _since(request, params.since))


def _since(request: web.Request, given: int) -> int:
    text = request.headers.get("Last-Event-ID", "")
    return int(text) if text.isascii() and text.isdigit() else given


def _captured(daemon: Daemon, params: capture.Capture, request: web.Request) -> Chunks:
    there = request.get_extra_info("peername")
    own = f"not (tcp and host {address(there)} and port {there[1]})" if isinstance(there, tuple) else ""
    return daemon.captures.capture(params.wanted(own))


STREAMS: dict[Any, Stream] = {
    host.events: Stream(KIND, _events),
    packet_log.packets: Stream(KIND, _packets),
    trace.trace: Stream(KIND, lambda daemon, params, _: traced(daemon, params)),
    capture.capture: Stream(pcapng.KIND, _captured, always=True),
}
"""By what answers the request otherwise."""
_ALWAYS = "/pvenetd/capture"


def is_asked(request: web.Request, path: str) -> bool:
    """Return whether *request* may want a stream: who knows the route knows it."""
    return path.endswith(_ALWAYS) or request.headers.get("Accept", "").partition(";")[0].strip() == KIND


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
        self,
        request: web.Request,
        route: Route,
        found: dict[str, str],
        given: dict[str, Any],
        begun: Callable[[], None],
    ) -> web.StreamResponse:
        """Stream what *route*, which is in `STREAMS`, tells, until that ends or the reader goes.

        Raises `PvenetError`, as long as it has not *begun*.
        """
        if found["node"] not in nodes():
            raise NotFound(f"no node {found['node']!r}: this is {nodes()[0]}")
        stream, params = STREAMS[route.ask], validated(route.params, found, given)
        with self._counted():
            async with aclosing(stream.chunks(self._daemon, params, request)) as chunks:
                first = await anext(chunks)
                response = web.StreamResponse(headers={"Content-Type": stream.kind, **_HEADERS})
                begun()
                await response.prepare(request)
                ended = await _sent(first, chunks, request, response)
        if request.transport and not ended:
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


async def _sent(first: bytes, chunks: Chunks, request: web.Request, response: web.StreamResponse) -> bool:
    """Send all that comes; return whether it came to its end, and the reader is still there."""
    try:
        await _write(response, first)
        async for chunk in chunks:
            if request.transport is None or request.transport.is_closing():
                return False
            await _write(response, chunk)
        await response.write_eof()
    except (ConnectionError, TimeoutError):  # the reader has gone, or does not read
        return False
    return True


async def _write(response: web.StreamResponse, chunk: bytes) -> None:
    if chunk:
        async with asyncio.timeout(PATIENCE):
            await response.write(chunk)


async def traced(daemon: Daemon, params: trace.Flow) -> Chunks:
    """Yield what packets meet as they meet it, and at last what became of each."""
    found: dict[int, Any] = {}
    async with aclosing(daemon.trace.follow(params.rule(), params.packets, params.seconds)) as telling:
        async for news in telling:
            written = b""
            for number, way, met in news:
                about: Record = {"packet": record(way)["packet"], "text": way.text} if met is None else met
                written += _event({"number": number, **about}, f"event: {'packet' if met is None else 'step'}\n")
                found[number] = way
            yield written
    ends = [{"number": number, "text": way.text, "verdict": way.verdict} for number, way in found.items()]
    yield _event({"packets": ends}, "event: end\n")


async def told(feed: Feed, wanted: Wanted, since: int) -> Chunks:
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
