"""A guest that sends from its first microsecond: it has its tap, and floods it before anybody else knows of it.

python -m tests.sandbox.flood TAP FRAME…      then reads commands, a line each:
  start       makes the tap and writes the frames (hexadecimal) in turn, without pause; says "flooding"
  stop        ends that, and the tap: "taken N, refused N" by the kernel
"""

from __future__ import annotations

import itertools
import os
import sys
import threading

from tests.sandbox.tap import make, say


class Guest:
    """A tap that is flooded until it goes."""

    def __init__(self, tap: str, frames: list[bytes]) -> None:
        self._device = make(tap)
        self._stop = threading.Event()
        self._counts = [0, 0]
        self._thread = threading.Thread(target=self._run, args=(frames,))
        self._thread.start()

    def stop(self) -> None:
        """End it, and tell."""
        self._stop.set()
        self._thread.join()
        os.close(self._device)
        say("taken {}, refused {}".format(*self._counts))

    def _run(self, frames: list[bytes]) -> None:
        for frame in itertools.cycle(frames):
            if self._stop.is_set():
                return
            try:
                os.write(self._device, frame)
                self._counts[0] += 1
            except OSError:  # while the tap is down
                self._counts[1] += 1


def main(tap: str, *frames: str) -> None:
    """Follow the commands."""
    guest: Guest | None = None
    for line in sys.stdin:
        if line == "start\n":
            guest = Guest(tap, [bytes.fromhex(frame) for frame in frames])
            say("flooding")
        elif guest:
            guest.stop()
            guest = None
    if guest:
        guest.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
