"""systemd's end of a service: readiness, watchdog, the socket it opened (sd_notify(3), sd_listen_fds(3))."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping

_FIRST_SOCKET = 3
_HALF = 2
"""The watchdog is fed twice within its time (sd_watchdog_enabled(3))."""


class Notifier:
    """Tells systemd how the daemon is; without systemd, nobody."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if ours else 0.0
        given = environment.get("LISTEN_PID") == str(os.getpid()) and int(environment.get("LISTEN_FDS", "0")) > 0
        self._given = given

    def listening(self) -> socket.socket | None:
        """Return the listening socket that systemd opened, None where it did not."""
        return socket.socket(fileno=_FIRST_SOCKET) if self._given else None

    def ready(self) -> None:
        """Tell that the daemon serves."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """Tell that the daemon is about to end."""
        self._tell("STOPPING=1")

    async def pulse(self) -> None:
        """Feed the watchdog as long as the event loop turns."""
        while self._watchdog:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog / _HALF)

    def _tell(self, words: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto(words.encode(), self._address)
