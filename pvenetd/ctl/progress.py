"""What the daemon is doing while a command waits for it: a line on the terminal, which goes when the answer comes."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any

from pvenetd.ctl.client import NoAnswerError, NoDaemonError, Request, ask, hint
from pvenetd.ctl.page import clean

_FRESH = "\r\x1b[K"
"""Back to the line's beginning, and clear it (ECMA-48)."""
_PATIENCE = 1.0
"""Seconds the daemon has to tell."""


class Progress:
    """The line."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._began = time.time()
        self._last = 0
        self._operations = 0
        self._now = ""
        self._shown = False

    def show(self) -> None:
        """Show how long it takes, how many operations there were and which was the last; or that nobody answers."""
        news = self._news()
        for one in news or ():
            self._operations += 1
            self._now = f", {self._operations} operations: {one['op']}"
        text = f"{time.time() - self._began:.0f} s"
        text += f": pvenetd does not answer yet{hint(self._root)}" if news is None else self._now
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"{_FRESH}{clean(text)[:width]}")
        sys.stderr.flush()
        self._shown = True

    def end(self) -> None:
        """Take it away."""
        if self._shown:
            sys.stderr.write(_FRESH)
            sys.stderr.flush()

    def _news(self) -> list[dict[str, Any]] | None:
        try:
            status, body = ask(self._root, Request("GET", ("events",), {"since": self._last}, seconds=_PATIENCE))
        except (NoDaemonError, NoAnswerError):
            return None
        found = body["data"] if status < 400 else []  # HTTP: refused
        self._last = found[-1]["id"] if found else self._last
        since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._began))
        return [one for one in found if one["event"] == "op" and one["time"] >= since]
