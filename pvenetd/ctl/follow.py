"""Go on showing what comes, ``events -f``, as Server-Sent Events: through the end of a daemon, to the next one."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from pvenetd.ctl.client import NoAnswerError, NoDaemonError, Request, stream

_KIND = "text/event-stream"
_SILENCE = 60.0
"""Seconds in which a daemon that is there says at least that it is."""
_PAUSE = 0.5
"""Seconds between two tries to reach a daemon that has ended, and may be starting again."""

Show = Callable[[list[dict[str, Any]]], None]


def follow(root: str, request: Request, show: Show) -> None:
    """Show what comes after *request*'s ``since``, until interrupted.  Raises `RefusedError`.

    A daemon that has ended is waited for, which is told; the next one's records have ids of their own.
    """
    lost = False
    while True:
        try:
            with stream(root, request, _KIND) as coming:
                lost = False
                _show(coming, show)
            raise NoAnswerError("pvenetd has ended")
        except (NoDaemonError, NoAnswerError) as error:
            if not lost:
                sys.stderr.write(f"{error}; waiting for it\n")
            lost, request = True, request._replace(params={**request.params, "since": 0})
            time.sleep(_PAUSE)


def _show(coming: socket.socket, show: Show) -> None:
    """Show all that a connection brings.  Raises `NoAnswerError`."""
    for kind, data in _events(coming):
        if kind == "missed":
            sys.stderr.write(f"{data['missed']} were missed: more came than pvenetd remembers\n")
        else:
            show([data])


def _events(coming: socket.socket) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each event's kind and data (WHATWG HTML 9.2.6, as far as the daemon uses it)."""
    kind, text = "message", ""
    for line in _lines(coming):
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            text = value
        elif not line:
            if text:
                yield kind, json.loads(text)
            kind, text = "message", ""


def _lines(coming: socket.socket) -> Iterator[str]:
    """Yield what comes, by lines.  Raises `NoAnswerError` where it breaks off or falls silent."""
    coming.settimeout(_SILENCE)
    with coming.makefile("rb") as file:
        while True:
            try:
                line = file.readline()
            except TimeoutError:
                raise NoAnswerError("pvenetd says nothing any more") from None
            except OSError as error:
                raise NoAnswerError(f"pvenetd hung up: {error.strerror or error}") from None
            if not line:
                return
            yield line.decode(errors="replace").rstrip("\n")
