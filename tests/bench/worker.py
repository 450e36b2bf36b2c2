"""What a bench has done within a network namespace: taps as QEMU makes them, and programs, timed.

python -m tests.bench.worker     reads requests, a JSON list a line; prints an answer to each

  ["tap", NAME]                  makes a tap, which is there until it is dropped or this program ends: "made"
  ["drop", NAME]                 "dropped"
  ["run", COMMAND, …]            runs commands (lists of words) one after the other; prints the milliseconds from
                                 the first one's fork to the last one's exit.  "write" PATH TEXT is no program
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT, Space
from tests.sandbox.tap import make

_SILENT = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]


class Worker:
    """The program's other side: asks, and returns the answers."""

    def __init__(self, space: Space, env: Mapping[str, str] | None = None) -> None:
        command = [*space.prefix(), sys.executable, "-m", "tests.bench.worker"]
        self._process = Process("worker", command, {**(env or {}), "PYTHONPATH": str(CHECKOUT)})
        self._process.expect("^ready$")

    def stop(self) -> None:
        """End it, and with it the taps."""
        self._process.stop()

    def tap(self, name: str) -> None:
        """Make a tap."""
        self._ask("tap", name)

    def drop(self, name: str) -> None:
        """Have a tap go."""
        self._ask("drop", name)

    def run(self, *commands: Sequence[object]) -> float:
        """Return the milliseconds that *commands* take.  Fails if one of them does."""
        return float(self._ask("run", *([str(word) for word in command] for command in commands)))

    def _ask(self, *request: object) -> str:
        self._process.send(json.dumps(request))
        said = self._process.expect("").string
        assert not said.startswith("failed"), said
        return said


def main() -> None:
    """Do what standard input says."""
    taps: dict[str, int] = {}
    print("ready", flush=True)
    for line in sys.stdin:
        what, *words = json.loads(line)
        print(_done(taps, what, words), flush=True)


def _done(taps: dict[str, int], what: str, words: list[Any]) -> str:
    if what == "tap":
        taps[words[0]] = make(words[0])
        return "made"
    if what == "drop":
        os.close(taps.pop(words[0]))
        return "dropped"
    started = time.perf_counter()
    for command in words:
        if status := _run(command):
            return f"failed with status {status}: {' '.join(command)}"
    return f"{(time.perf_counter() - started) * 1000:.3f}"


def _run(command: list[str]) -> int:
    if command[0] == "write":
        Path(command[1]).write_text(command[2], encoding="ascii")
        return 0
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=_SILENT)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main()
