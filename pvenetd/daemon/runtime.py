"""What lies below ``run/pvenetd``, kept in mind: who wipes /run takes a running daemon's socket and records."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pvenetd.daemon.staging import Files
from pvenetd.errors import PvenetError

log = logging.getLogger("pvenetd.runtime")

PLACE = "run/pvenetd"
SOCKET = "api.sock"
_EVERY = 2.0
"""Seconds between two looks: of another directory that goes the kernel tells nobody who does not watch all above it."""


class Runtime:
    """The files in `PLACE` as they were last seen."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._seen: dict[str, bytes] = {}

    def look(self) -> bool:
        """Keep in mind what is there; return whether it has been wiped: the socket is gone."""
        names = self._files.names(PLACE)
        if SOCKET not in names:
            return True
        there = [name for name in names if name.endswith((".json", ".jsonl"))]
        self._seen = {name: data for name in there if (data := self._files.read(f"{PLACE}/{name}")) is not None}
        return False

    def put_back(self) -> None:
        """Write what was there and is not any more.  Raises OSError."""
        for name in self._seen.keys() - set(self._files.names(PLACE)):
            self._files.put(f"{PLACE}/{name}", self._seen[name])

    async def keep(self, serve_again: Callable[[], Awaitable[object]]) -> None:
        """Have the daemon be reached again after each wipe."""
        told = ""
        self.look()
        while True:
            await asyncio.sleep(_EVERY)
            try:
                if self.look():
                    self.put_back()
                    await serve_again()
                    log.warning("somebody has wiped /%s: what was there is put back, a new socket serves", PLACE)
                told = ""
            except (PvenetError, OSError) as error:
                if told != str(error):
                    log.error("/%s cannot be kept: %s", PLACE, error)  # noqa: TRY400
                told = str(error)
