"""Who listens at NFQUEUEs of a namespace, as an intrusion prevention system would: sees packets, and decides.

Sources: linux/netfilter/nfnetlink_queue.h; net/netfilter/nfnetlink_queue.c.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from tests.kernel.world import inside

NETLINK_NETFILTER = 12
NFNL_SUBSYS_QUEUE = 3
PACKET, VERDICT, CONFIG = 0, 1, 2
"""Messages of the subsystem."""
CFG_CMD, CFG_PARAMS = 1, 2
BIND, COPY_PACKET = 1, 2
PACKET_HDR, VERDICT_HDR, PAYLOAD = 1, 2, 10
DROP, ACCEPT = 0, 1
"""NF_DROP, NF_ACCEPT (linux/netfilter.h)."""
_REQUEST, _ACK = 1, 4


class Listener:
    """Listens at *queues* of the namespace *name*; lets all pass, or nothing."""

    def __init__(self, name: str, queues: Iterable[int], *, lets_pass: bool) -> None:
        self.seen: list[bytes] = []
        """The packets, in the order they came."""
        self._verdict = ACCEPT if lets_pass else DROP
        with inside(name):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        for queue in queues:
            self._tell(CONFIG, queue, _attribute(CFG_CMD, struct.pack("!BxH", BIND, 0)))
            self._tell(CONFIG, queue, _attribute(CFG_PARAMS, struct.pack("!IB", 0xFFFF, COPY_PACKET)))
        self._end, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._stop)
        self._thread.join()
        os.close(self._end)
        self._socket.close()

    def _tell(self, message: int, queue: int, attribute: bytes) -> None:
        """Send a request that is answered, and read that it was taken."""
        self._socket.send(_message(message, queue, attribute, _REQUEST | _ACK))
        answer = self._socket.recv(1 << 16)
        assert struct.unpack_from("=i", answer, 16)[0] == 0, os.strerror(-struct.unpack_from("=i", answer, 16)[0])

    def _run(self) -> None:
        while self._end not in (ready := select.select([self._socket, self._end], [], [])[0]):
            assert ready
            for queue, packet, payload in _packets(self._socket.recv(1 << 17)):
                self.seen.append(payload)
                header = _attribute(VERDICT_HDR, struct.pack("!II", self._verdict, packet))
                self._socket.send(_message(VERDICT, queue, header, _REQUEST))


def _message(message: int, queue: int, attribute: bytes, flags: int) -> bytes:
    body = struct.pack("!BBH", socket.AF_UNSPEC, 0, queue) + attribute
    return struct.pack("=IHHII", 16 + len(body), NFNL_SUBSYS_QUEUE << 8 | message, flags, 0, 0) + body


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _packets(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield the queue, the number and the content of each packet in what was received."""
    while data:
        length, kind = struct.unpack_from("=IH", data)
        if kind == NFNL_SUBSYS_QUEUE << 8 | PACKET:
            found = _attributes(data[20:length])
            (number,) = struct.unpack_from("!I", found[PACKET_HDR])
            yield struct.unpack_from("!H", data, 18)[0], number, found.get(PAYLOAD, b"")
        data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found
