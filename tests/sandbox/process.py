"""Processes that are awaited by what they print, with a deadline."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO

from tests.patience import PATIENCE

_BEFORE_KILL = 30.0
"""Seconds a process has to end after SIGTERM."""

STARTED: list[Process] = []
"""Those of the test that runs: what they said is shown where it fails (`tests.conftest`)."""


class Process:
    """A program that runs beside this one, and never outlives it: its lines as they come."""

    def __init__(self, name: str, command: Sequence[object], env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.lines: list[str] = []
        """Everything it has printed, on both streams."""
        STARTED.append(self)
        self._read = 0
        self._closed = False
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            process_group=0,  # Ctrl-C is for this program, which ends the others in order
        )
        self.pid = self._process.pid
        assert self._process.stdout
        self._reader = threading.Thread(target=self._follow, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def expect(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        """Return the match of the next line that has *pattern* in it; wait for it if need be."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                while self._read < len(self.lines):
                    self._read += 1
                    if found := re.search(pattern, self.lines[self._read - 1]):
                        return found
                left = deadline - time.monotonic()
                if self._closed or left <= 0:
                    why = "it ended" if self._closed else f"not within {seconds:g} s"
                    said = "\n".join(f"  | {line}" for line in self.lines[-20:])
                    raise AssertionError(f"{self.name}: no line with '{pattern}': {why}; it said\n{said}")
                self._news.wait(left)

    def skip(self) -> None:
        """Let `expect` look at what comes from now on only."""
        with self._news:
            self._read = len(self.lines)

    def send(self, line: str) -> None:
        """Give it a line."""
        assert self._process.stdin
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        """Send a signal, if it is still there."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Return its exit status once it has ended and all its lines are here."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended within {seconds:g} s") from None
        self._reader.join(seconds)
        return status

    def stop(self) -> int:
        """End it, the hard way if it must be; doing it twice is fine."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(_BEFORE_KILL)
        except AssertionError:
            self.signal(signal.SIGKILL)
            return self.wait()
        finally:
            if self._process.stdin:
                self._process.stdin.close()

    def _follow(self, stream: IO[bytes]) -> None:
        for line in stream:
            with self._news:
                self.lines.append(line.decode(errors="replace").rstrip("\r\n"))
                self._news.notify_all()
        stream.close()
        with self._news:
            self._closed = True
            self._news.notify_all()
