"""Many clients of the API at once, in one process, each asking anew as soon as it has its answer.

python -m tests.bench.clients SOCKET NUMBER PATH…    asks until standard input ends, every PATH by as many clients
                                                     as any other; prints `Asked` as JSON when that is over
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import TypedDict

_ROOM = 1 << 18
_HEAD_END = b"\r\n\r\n"


class Asked(TypedDict):
    """What has come of it."""

    answers: int
    wrong: list[str]
    """Heads of answers that were no success."""
    seconds: dict[str, list[float]]
    """Path → how long each answer took."""


@dataclass(eq=False)
class Client:
    """One of them, with a connection that it keeps."""

    path: str
    there: socket.socket
    began: float = 0.0
    _head: bytearray = field(default_factory=bytearray)
    _left: int = -1
    """Bytes of the body that have not come yet; -1 while the head has not come whole."""

    def ask(self) -> None:
        """Ask once more."""
        self._left, self.began = -1, time.perf_counter()
        self._head.clear()
        self.there.sendall(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def take(self, room: memoryview) -> str | None:
        """Take what has come; return the head of the answer if it is whole now."""
        count = self.there.recv_into(room)
        if not count:
            raise ConnectionError("the daemon hung up")
        if self._left < 0:
            self._head += room[:count]
            if (end := self._head.find(_HEAD_END)) < 0:
                return None
            count = len(self._head) - end - len(_HEAD_END)
            del self._head[end:]
            self._left = _length(self._head)
        self._left -= count
        return self._head.decode("latin-1") if self._left <= 0 else None


def _length(head: bytes) -> int:
    lines = (line.lower().partition(b":") for line in head.split(b"\r\n"))
    return next(int(value) for name, _, value in lines if name == b"content-length")


def crowd(address: str, number: int, paths: list[str]) -> Asked:
    """Have *number* clients ask until standard input ends."""
    room = memoryview(bytearray(_ROOM))
    found: Asked = {"answers": 0, "wrong": [], "seconds": {path: [] for path in paths}}
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        for at in range(number):
            there = socket.socket(socket.AF_UNIX)
            there.connect(address)
            client = Client(paths[at % len(paths)], there)
            client.ask()
            selector.register(there, selectors.EVENT_READ, client)
        print("asking", flush=True)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    return found
                if head := key.data.take(room):
                    found["seconds"][key.data.path].append(time.perf_counter() - key.data.began)
                    found["answers"] += 1
                    if not head.startswith("HTTP/1.1 200 "):
                        found["wrong"].append(head)
                    key.data.ask()


def main() -> None:
    """Ask as the command line says."""
    address, number, *paths = sys.argv[1:]
    print(json.dumps(crowd(address, int(number), paths)), flush=True)


if __name__ == "__main__":
    main()
