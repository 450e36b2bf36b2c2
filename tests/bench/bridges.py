"""Many bridges with a port each, beside ifupdown2 and `ip -batch`: made, left alone, one of them changed, removed.

Each in a network namespace of its own.  Times are what a caller waits: from the request to the answer.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.record import record
from tests.sandbox.client import request
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT, Space, scratch
from tests.sandbox.world import World

KINDS = ("veth", "vxlan")
LOOPBACK = "auto lo\niface lo inet loopback\n\n"
_REPETITIONS = 5
_ONCE_FROM = 500
"""Bridges from which the peers run once: ifupdown2 takes a quarter of a minute each time."""


def text(number: int, kind: str, ageing: int = 300) -> str:
    """Return a configuration of *number* bridges; *ageing* is that of the one in the middle."""
    return LOOPBACK + "".join(
        _port_text(at, kind) + _bridge_text(at, ageing if at == number // 2 else 300) for at in range(number)
    )


def _port_text(at: int, kind: str) -> str:
    if kind == "veth":
        return f"auto port{at}\niface port{at} inet manual\n\tlink-type veth\n\tveth-peer-name peer{at}\n\n"
    return f"auto port{at}\niface port{at} inet manual\n\tvxlan-id {at + 1}\n\tvxlan-local-tunnelip 127.0.0.1\n\n"


def _bridge_text(at: int, ageing: int) -> str:
    return (
        f"auto br{at}\niface br{at} inet static\n\taddress 10.{at >> 8}.{at & 255}.1/24\n\tbridge-ports port{at}\n"
        f"\tbridge-stp off\n\tbridge-fd 0\n\tbridge-ageing {ageing}\n\n"
    )


def _batch(number: int, kind: str) -> str:
    """Return what makes the same with `ip -batch`."""
    lines = []
    for at in range(number):
        if kind == "veth":
            lines.append(f"link add port{at} type veth peer name peer{at}")
        else:
            lines.append(f"link add port{at} type vxlan id {at + 1} local 127.0.0.1 dstport 4789")
        lines += [
            f"link add br{at} type bridge forward_delay 0 ageing_time 30000",
            f"link set port{at} master br{at} up",
            f"link set br{at} up",
            f"address add 10.{at >> 8}.{at & 255}.1/24 dev br{at}",
        ]
    return "".join(f"{line}\n" for line in lines)


def rows() -> Iterator[dict[str, Any]]:
    """Yield a record for each kind of port, number of bridges, and what is done with them."""
    written = written_without_a_change()
    assert not written, f"an apply without a change wrote {written}"
    for kind in KINDS:
        for number in (10, 100, 500):
            repetitions = 1 if number >= _ONCE_FROM else _REPETITIONS
            ours = _ours(number, kind)
            theirs = _ifupdown2(number, kind, repetitions)
            floor = _iproute2(number, kind, repetitions)
            for what, times in theirs.items():
                yield record(f"bridges-{kind}-{number}-{what}", ours[what], times, peer_is="ifupdown2")
            for what, times in floor.items():
                yield record(f"bridges-{kind}-{number}-{what}-floor", ours[what], times, peer_is="iproute2")


def memory() -> Iterator[dict[str, Any]]:
    """Yield what the daemon's memory is once it has brought up 1,000 interfaces, beside its limit."""
    limit = 120.0
    with World(cables=()) as world:
        daemon = _start(world)
        _apply(world, text(500, "vxlan"))
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        kib = int(status.split("VmRSS:")[1].split()[0])
        yield record("memory-1000-interfaces", [kib / 1024], [limit], unit="MiB", peer_is="limit")
        _drop(world.host)


def _ours(number: int, kind: str) -> dict[str, list[float]]:
    """Return the milliseconds of each time that something was done, by what it was."""
    times: dict[str, list[float]] = {"first": [], "same": [], "one": [], "remove": []}
    with World(cables=()) as world:
        _start(world)
        for again in range(_REPETITIONS):
            times["first"].append(_apply(world, text(number, kind)))
            assert len(world.host.show("ip", "-j", "link", "show", "type", "bridge")) == number
            times["same"].append(_apply(world, text(number, kind), ops=0))
            times["one"].append(_apply(world, text(number, kind, ageing=100 + again), ops=1))
            times["remove"].append(_apply(world, LOOPBACK))
    return times


def _start(world: World) -> Process:
    world.write("etc/network/interfaces", LOOPBACK)
    daemon = world.start_daemon()
    request(world.root, "POST", "apply")
    return daemon


def _apply(world: World, configuration: str, ops: int | None = None) -> float:
    """Return how long an apply takes; fail if it does not take as many operations as *ops* says."""
    world.write("etc/network/interfaces", configuration)
    taken, answer = _timed(lambda: request(world.root, "POST", "apply"))
    assert ops is None or len(answer["ops"]) == ops, f"{len(answer['ops'])} operations: {answer['ops'][:3]}"
    return taken


def written_without_a_change() -> list[str]:
    """Return what strace saw the daemon write to the kernel's netlink while nothing had to be changed."""
    with World(cables=()) as world:
        daemon = _start(world)
        trace = Process("strace", ["strace", "-f", "-e", "trace=sendto,sendmsg", "-p", daemon.pid])
        world.keep(trace).expect("attached")
        _apply(world, text(10, "vxlan"))
        made = len(trace.lines)
        _apply(world, text(10, "vxlan"), ops=0)
        trace.stop()
        _drop(world.host)
    types = [(number, re.findall(r"nlmsg_type=(0x[0-9a-f]+)", line)) for number, line in enumerate(trace.lines)]
    writes = [number for number, found in types if any(_writes(int(kind, 16)) for kind in found)]
    assert any(number < made for number in writes), "strace sees what is written"
    return [trace.lines[number] for number in writes if number >= made]


def _writes(kind: int) -> bool:
    """Return whether a message is a change: every fourth rtnetlink type asks; nftables' begin with 16 (rtnetlink.h)."""
    return 16 <= kind < 256 and kind % 4 != 2


def _ifupdown2(number: int, kind: str, repetitions: int) -> dict[str, list[float]]:
    """Return the milliseconds of `ifreload -a`."""
    times: dict[str, list[float]] = {"first": [], "same": [], "one": []}
    with _peer() as (host, place):
        for _ in range(repetitions):
            for what, ageing in (("first", 300), ("same", 300), ("one", 100)):
                (place / "interfaces").write_text(text(number, kind, ageing))
                command = [sys.executable, "-m", "tests.peers", place / "state", place / "interfaces", "ifreload", "-a"]
                env = {"PYTHONPATH": str(CHECKOUT)}
                times[what].append(_timed(lambda: host.run(*command, env=env, check=False))[0])  # noqa: B023
            made = len(host.show("ip", "-j", "link", "show", "type", "bridge"))
            assert made == number, f"ifupdown2 made {made} of {number} bridges"
            _drop(host)
            shutil.rmtree(place / "state")
    return times


def _iproute2(number: int, kind: str, repetitions: int) -> dict[str, list[float]]:
    """Return the milliseconds of `ip -batch` for the same bridges, and of `ip link delete group`."""
    times: dict[str, list[float]] = {"first": [], "remove": []}
    with _peer() as (host, place):
        (place / "batch").write_text(_batch(number, kind))
        for _ in range(repetitions):
            times["first"].append(_timed(lambda: host.run("ip", "-batch", place / "batch"))[0])
            times["remove"].append(_drop(host))
    return times


def _drop(host: Space) -> float:
    """Delete all bridges and their ports as one group; return the milliseconds that takes."""
    names = [link["ifname"] for link in json.loads(host.run("ip", "-j", "link", "show")) if link["ifname"] != "lo"]
    batch = scratch() / "group"
    batch.write_text("".join(f"link set {name} group 99\n" for name in names))
    host.run("ip", "-batch", batch)
    shutil.rmtree(batch.parent)
    return _timed(lambda: host.run("ip", "link", "delete", "group", "99"))[0]


@contextmanager
def _peer() -> Iterator[tuple[Space, Path]]:
    host = Space("peer")
    place = CHECKOUT / ".cache" / host.name  # below /tmp ifupdown2's own mounts could hide it
    place.mkdir(parents=True)
    try:
        yield host, place
    finally:
        host.remove()
        shutil.rmtree(place)


def _timed(job: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = job()
    return (time.perf_counter() - started) * 1000, result
