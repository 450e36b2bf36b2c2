"""200 clients that read all the time, on a host with 1,000 guests, while other guests are plugged and unplugged.

Beside a plug and an unplug the same on that host while nobody reads; beside the answers those to one client that asks
alone.  A reader of events who never takes what he is sent is there all the time.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from statistics import quantiles
from types import TracebackType
from typing import Any, Self, cast

from tests.bench.clients import Asked
from tests.bench.pair import BRIDGE, BRIDGE_TEXT, FIREWALLED, forget, hooked, write
from tests.bench.record import record
from tests.bench.worker import Worker
from tests.sandbox.client import request
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT
from tests.sandbox.world import World

HERE = "/api2/json/nodes/localhost"
PATHS = {"network": f"{HERE}/network", "ports": f"{HERE}/pvenetd/ports"}
_MORE = tuple(f"vmbr{number}" for number in range(11, 20))
_INTERFACES = "etc/network/interfaces"
GUESTS, CLIENTS, SECONDS = 1000, 200, 30.0
_ROUNDS = 5
"""Each beside as long a time in which nobody reads: what else the machine does concerns both."""
_CROWD, _FIRST, _LAST = 10_000, 200, 400
_PAUSE = 0.02
"""Seconds between two changes: guests come and go one at a time."""

Times = Mapping[str, list[float]]
"""``plug`` and ``unplug``: milliseconds."""


class Host:
    """A host whose *guests* are plugged when its daemon serves."""

    def __init__(self, guests: int) -> None:
        self._ends = ExitStack()
        self._guests = guests
        self._vmid = _FIRST

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def _build(self) -> None:
        self.world = self._ends.enter_context(World())
        bridges = (BRIDGE, *_MORE)
        text = "".join(BRIDGE_TEXT.format(name=name) for name in _MORE)
        self.world.write(_INTERFACES, self.world.read(_INTERFACES) + text)
        self._worker = Worker(self.world.host, self.world.env())
        self._ends.callback(self._worker.stop)
        for at in range(self._guests):
            write(self.world, _CROWD + at, FIREWALLED, bridges[at % len(bridges)])
            self._worker.tap(f"tap{_CROWD + at}i0")
        self.daemon = self.world.start_daemon()
        self.world.ctl("apply")

    def changes(self, seconds: float) -> Times:
        """Have guests come and go for *seconds*; return what that took."""
        found: dict[str, list[float]] = defaultdict(list)
        until = time.monotonic() + seconds
        while time.monotonic() < until or not found:
            vmid = self._vmid = self._vmid + 1 if self._vmid < _LAST else _FIRST
            tap = f"tap{vmid}i0"
            write(self.world, vmid, FIREWALLED)
            time.sleep(_PAUSE)
            self._worker.tap(tap)
            for what, phase in (("plug", "up"), ("unplug", "down")):
                found[what].append(hooked(self.world, phase, tap))
                is_port = " master " in self.world.host.run("ip", "-o", "link", "show", tap)
                assert is_port == (what == "plug"), f"{tap}: {what} is answered and not done"
            self._worker.drop(tap)
            forget(self.world, vmid)
            request(self.world.root, "POST", f"vms/{vmid}/unplug")
        return found

    def crowd(self, clients: int) -> Process:
        """Have *clients* ask until `ended`."""
        socket_path = self.world.root / "run/pvenetd/api.sock"
        command = [sys.executable, "-m", "tests.bench.clients"]
        asking = Process("clients", [*command, socket_path, clients, *PATHS.values()], {"PYTHONPATH": str(CHECKOUT)})
        self._ends.callback(asking.stop)
        asking.expect("^asking$")
        return asking

    def deaf(self) -> closing[socket.socket]:
        """Return a reader of events who takes nothing."""
        there = socket.socket(socket.AF_UNIX)
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        there.connect(str(self.world.root / "run/pvenetd/api.sock"))
        there.sendall(
            f"GET {HERE}/pvenetd/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        return closing(there)


def ended(asking: Process) -> Times:
    """Have clients ask no more, and return the seconds of answers by path.  Fails if one was no success."""
    asking.send("")
    found = cast("Asked", json.loads(asking.expect("^{").string))
    asking.stop()
    assert not found["wrong"], found["wrong"][:3]
    return found["seconds"]


def run() -> Iterator[dict[str, Any]]:
    """Yield a record for each bench."""
    idle, busy, alone, found = rounds(GUESTS, CLIENTS, SECONDS)
    for what in ("plug", "unplug"):
        yield record(f"load-{what}", busy[what], idle[what], peer_is="nobody reads")
        yield record(f"load-{what}-p99", [p99(busy[what])], [p99(idle[what])], peer_is="nobody reads")
    for name, path in PATHS.items():
        times = [[second * 1000 for second in one[path]] for one in (found, alone)]
        more = {"peer_is": "one client alone", "answers": len(times[0])}
        yield record(f"load-{name}", *times, **more)
        yield record(f"load-{name}-p99", [p99(times[0])], [p99(times[1])], **more)


def rounds(guests: int, clients: int, seconds: float) -> tuple[Times, Times, Times, Times]:
    """Return the milliseconds of changes while nobody reads, and while *clients* do for *seconds* in all.

    Then the seconds of answers, by their path: those to one client of each path alone, while nothing changes, and
    those to all of them.  Fails if any answer was no success.
    """
    found: tuple[dict[str, list[float]], ...] = tuple(defaultdict(list) for _ in range(4))
    with Host(guests) as host, host.deaf():
        host.changes(1.0)  # warms up
        for _ in range(_ROUNDS):
            _add(found[0], host.changes(seconds / _ROUNDS))
            asking = host.crowd(len(PATHS))
            time.sleep(seconds / _ROUNDS / 4)
            _add(found[2], ended(asking))
            asking = host.crowd(clients)
            _add(found[1], host.changes(seconds / _ROUNDS))
            _add(found[3], ended(asking))
    return cast("tuple[Times, Times, Times, Times]", found)


def _add(all_: dict[str, list[float]], more: Times) -> None:
    for what, times in more.items():
        all_[what] += times


def p99(times: list[float]) -> float:
    """Return what 99 of 100 stay below."""
    return quantiles(times, n=100, method="inclusive")[-1] if len(times) > 1 else times[0]
