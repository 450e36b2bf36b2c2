"""A UNIX socket as a program's standard streams: ``python -m tests.guest.relay PATH``."""

from __future__ import annotations

import os
import selectors
import socket
import sys


def main(path: str) -> None:
    """Pass on what comes from either side, until the socket closes."""
    with socket.socket(socket.AF_UNIX) as there, selectors.DefaultSelector() as selector:
        there.connect(path)
        selector.register(there, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                data = os.read(key.fd, 1 << 16)
                if key.fd != 0 and not data:
                    return
                if key.fd != 0:
                    os.write(1, data)
                elif data:
                    there.sendall(data)
                else:
                    selector.unregister(0)


if __name__ == "__main__":
    main(sys.argv[1])
