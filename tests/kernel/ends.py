"""The two ends of a guest's way out: its tap, as QEMU holds it, and the cable outside; and what the kernel tells."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.netns import Namespaces, show
from tests.patience import PATIENCE, until

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TAP, _IFF_NO_PI = 0x2, 0x1000
_ETH_P_ALL = 3
_PACKET_AUXDATA, _SOL_PACKET, _VLAN_VALID = 8, 263, 1 << 4
_EXPERIMENT = 0x88B5
"""IEEE 802's ethertype for local experiments: no other traffic has it."""
_LINGER = 0.3
"""Seconds without a frame after which none comes any more."""


@dataclass(frozen=True)
class End:
    """Where frames are sent and received; `receive` waits at most so many seconds, and returns None then."""

    send: Callable[[bytes], object]
    receive: Callable[[float], bytes | None]

    def take(self, count: int) -> list[bytes]:
        """Return *count* of the experiment's frames, waiting for each, and those that come at once after them."""
        found = [data for _ in range(count) if (data := self.next(PATIENCE))]
        return [*found, *iter(lambda: self.next(0), None)]

    def drain(self) -> list[bytes]:
        """Return the experiment's frames that come until none comes any more."""
        return [*iter(self.next, None)]

    def next(self, seconds: float = _LINGER) -> bytes | None:
        """Return the next of the experiment's frames, its ethertype and tag included."""
        while data := self.receive(seconds):
            if struct.pack("!H", _EXPERIMENT) in data[12:18]:
                return data[12:]
        return None


def frame(source: str, dest: str, payload: bytes, vlan: int = 0) -> bytes:
    """Return an Ethernet frame of the experiment, tagged with *vlan* if there is one."""
    tag = struct.pack("!HH", 0x8100, vlan) if vlan else b""
    macs = bytes.fromhex(dest.replace(":", "")) + bytes.fromhex(source.replace(":", ""))
    return macs + tag + struct.pack("!H", _EXPERIMENT) + payload


@contextmanager
def tap(name: str) -> Iterator[End]:
    """Hold the tap *name*, as its guest."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    try:
        yield End(lambda data: os.write(device, data), lambda seconds: _read(device, seconds))
    finally:
        os.close(device)


def _read(device: int, seconds: float) -> bytes | None:
    return os.read(device, 1 << 16) if select.select([device], [], [], seconds)[0] else None


def forwarding() -> None:
    """Wait until every port forwards: a bridge hears of a carrier when the kernel's watch gets round to it."""
    until(lambda: {one["state"] for one in show("bridge", "-j", "link")} <= {"forwarding"}, "every port forwards")


@contextmanager
def outside(namespaces: Namespaces, name: str) -> Iterator[End]:
    """Be at the outer end of the cable *name*."""
    with namespaces.away():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        wire.bind((name, _ETH_P_ALL))
    wire.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
    wire.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    try:
        yield End(wire.send, lambda seconds: _heard(wire, seconds))
    finally:
        wire.close()


def _heard(wire: socket.socket, seconds: float) -> bytes | None:
    """Return the next frame that came in, with the tag that the kernel has taken out of it."""
    while select.select([wire], [], [], seconds)[0]:
        data, more, _, (_, _, kind, *_) = wire.recvmsg(1 << 16, 128)
        if kind == socket.PACKET_OUTGOING:
            continue
        for _, _, found in more:
            status, *_, tci, _ = struct.unpack("=IIIHHHH", found)
            if status & _VLAN_VALID:
                data = data[:12] + struct.pack("!HH", 0x8100, tci) + data[12:]
        return data
    return None


@contextmanager
def flooding(sender: End, receiver: End, data: bytes) -> Iterator[None]:
    """Send *data* as long as the context lasts, far more than is to pass; *receiver* takes what comes."""
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(0.001):  # a tick of the kernel's: three to thirty megabytes a second
            with suppress(OSError):
                for _ in range(20):
                    sender.send(data)

    def receive() -> None:
        while not ended.is_set():
            receiver.receive(0.1)

    threads = [threading.Thread(target=job) for job in (send, receive)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def bytes_a_second(counted: Callable[[], int], burst: int, seconds: float) -> float:
    """Return how many bytes a second pass once *burst* bytes have; *counted* tells them."""
    begin, first = _when(counted, counted() + burst)
    end, last = begin, first
    while end < begin + seconds:
        end, last = _when(counted, last + 1)
    return (last - first) / (end - begin)


def _when(counted: Callable[[], int], number: int) -> tuple[float, int]:
    """Wait until at least *number* are counted, and return when that was, and what was counted."""
    found = 0

    def there() -> bool:
        nonlocal found
        found = counted()
        return found >= number

    until(there, f"{number} bytes come")
    return time.monotonic(), found


@contextmanager
def news(group: int) -> Iterator[list[bytes]]:
    """Yield, once the context ends, the messages of a group of rtnetlink's that came meanwhile."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as listening:
        listening.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
        listening.bind((0, 1 << (group - 1)))
        found: list[bytes] = []
        yield found
        listening.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                data = listening.recv(1 << 18)
                while data:
                    (length,) = struct.unpack_from("=I", data)
                    found.append(data[:length])
                    data = data[(length + 3) & ~3 :]
