"""A guest that is nothing but its NIC: a tap made as QEMU makes it, and gone with this program.

  python -m tests.sandbox.tap TAP      then reads commands, a line each:
    flood FRAME     writes the frame (hexadecimal) without pause, also while the tap is still down; says
                    "flooding", and "1000 taken" when the kernel has taken so many
    stop            ends that: "taken N, refused N" by the kernel
    send FRAME      "sent"
Every frame that comes out of the tap is printed: "got FRAME".
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import threading

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_MANY = 1000
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000


def make(name: str) -> int:
    """Return the descriptor of a new tap: down, without a master."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return device


class Flood:
    """Writes one frame again and again."""

    def __init__(self, device: int, frame: bytes) -> None:
        self._device, self._frame = device, frame
        self._stop = threading.Event()
        self.taken = self.refused = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                os.write(self._device, self._frame)
                self.taken += 1
                if self.taken == _MANY:
                    say(f"{_MANY} taken")
            except OSError:
                self.refused += 1
            if self.taken + self.refused == 1:
                say("flooding")


def follow(device: int) -> None:
    """Print what comes out; a tap that is down gives an error, and is asked again."""
    while True:
        try:
            say(f"got {os.read(device, 65536).hex()}")
        except OSError:
            return


def say(line: str) -> None:
    print(line, flush=True)


def main(name: str) -> None:
    device = make(name)
    threading.Thread(target=follow, args=(device,), daemon=True).start()
    say("ready")
    flood: Flood | None = None
    for line in sys.stdin:
        word, _, frame = line.strip().partition(" ")
        if word == "flood":
            flood = Flood(device, bytes.fromhex(frame))
        elif word == "stop" and flood:
            flood.stop()
            say(f"taken {flood.taken}, refused {flood.refused}")
        elif word == "send":
            os.write(device, bytes.fromhex(frame))
            say("sent")


if __name__ == "__main__":
    main(sys.argv[1])
